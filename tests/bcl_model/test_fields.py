"""Fields: what each kind of content becomes, and what happens to content that does not fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcl_model.errors import BadData, FieldMismatch
from bcl_model.fields import NONE, UNKNOWN, Content, Field, Fields, Kind, described, inferred, read_fields
from tests.builders.songs import FIELDS, content

LEARNED = FIELDS.learned([content("de"), content("fr", ["jazz"], 60.0), content("fr", ["rock"], 180.0)])


def test_a_song_says_words_numbers_and_a_vector() -> None:
    encoded = LEARNED.encode([content("fr", ["rock", "jazz"], 60.0, [3.0, 0.0, 4.0])])

    assert encoded.words["language"].tolist() == [[2]]  # de, fr
    assert encoded.words["genres"].tolist() == [[1, 3]]  # jazz, pop, rock
    np.testing.assert_array_equal(encoded.values["tempo"], [[1, 0, 0, 0]])
    np.testing.assert_allclose(encoded.values["audio"], [[0.6, 0, 0.8]], rtol=1e-6)
    assert encoded.present.all()


def test_a_word_never_seen_is_the_unknown_word_and_present() -> None:
    encoded = LEARNED.encode([content("xx", ["rock", "never", "heard"])])

    assert encoded.words["language"].tolist() == [[UNKNOWN]]
    assert encoded.words["genres"].tolist() == [[UNKNOWN, 3]]
    assert encoded.present.all()


def test_what_a_song_does_not_say_is_absent() -> None:
    encoded = LEARNED.encode([content(), content(None, None, None, None), content(None, [], None, [0.0, 0.0, 0.0])])

    assert encoded.present.tolist() == [[True] * 4, [False] * 4, [False] * 4]
    assert (encoded.words["language"][1:] == NONE).all()
    assert (encoded.words["genres"][1:] == NONE).all()
    assert not encoded.values["tempo"][1:].any()
    assert not encoded.values["audio"][1:].any()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (content(audio=[1.0, 2.0]), "field 'audio' holds a vector of size 2, wanted size 3"),
        (content(audio=[1.0, 2.0, float("nan")]), "wanted 3 finite numbers"),
        (content(audio=["a", "b", "c"]), "wanted 3 finite numbers"),  # type: ignore[list-item]
        (content(tempo=float("inf")), "field 'tempo' holds inf, wanted a finite number"),
        (content(tempo="fast"), "field 'tempo' holds 'fast', wanted a finite number"),  # type: ignore[arg-type]
        (content(language=7.0), "field 'language' holds 7.0, wanted a token"),  # type: ignore[arg-type]
        (Content({"language": ("de", "fr")}), "field 'language' holds 2 tokens, wanted one token"),
        (Content({"genres": 3.0}), "field 'genres' holds 3.0, wanted tokens"),
    ],
)
def test_content_that_does_not_fit_is_refused_with_field_value_and_wish(wrong: Content, said: str) -> None:
    with pytest.raises(FieldMismatch) as refusal:
        LEARNED.encode([content(), wrong])

    assert said in str(refusal.value)
    assert isinstance(refusal.value, ValueError)
    assert repr(refusal.value.field) in str(refusal.value)


def test_what_the_model_has_no_field_for_is_left_out() -> None:
    more = Content({**content().attributes, "label": "x"}, {**content().vectors, "cover": [1.0]})

    assert LEARNED.encode([more]).words["language"].tolist() == LEARNED.encode([content()]).words["language"].tolist()


def test_order_and_repeats_of_words_do_not_count() -> None:
    one, other = LEARNED.encode([content(genres=["rock", "pop"]), content(genres=["pop", "rock", "pop"])]).words[
        "genres"
    ]

    assert one.tolist() == other.tolist()


def test_rare_words_are_unknown() -> None:
    fields = Fields((Field("label", Kind.TOKEN, 2, min_songs=2),))
    learned = fields.learned([Content({"label": name}) for name in ("big", "big", "small")])

    assert learned.words == {"label": ("big",)}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(-1e7, 1e7))
def test_a_number_lies_between_two_knots_whatever_was_learned(numbers: list[float], asked: float) -> None:
    learned = Fields((Field("tempo", Kind.NUMBER, 5),)).learned([Content({"tempo": number}) for number in numbers])
    [weights] = learned.encode([Content({"tempo": asked})]).values["tempo"]

    assert np.count_nonzero(weights) in (1, 2)
    assert (weights >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(weights), 1, rtol=1e-6)


def test_near_numbers_look_alike() -> None:
    at = LEARNED.encode([content(tempo=tempo) for tempo in (100.0, 101.0, 170.0)]).values["tempo"]

    assert at[0] @ at[1] > 0.99 > at[0] @ at[2]


def test_a_description_is_read_from_toml(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "fields.toml").write_text(
        '[fields.language]\nkind = "token"\n[fields.audio]\nkind = "vector"\nwidth = 3\n[fields.bpm]\nkind = "number"\n'
    )

    assert [(one.name, one.kind, one.width) for one in read_fields(tmp_path / "fields.toml").fields] == [
        ("language", Kind.TOKEN, 16),
        ("audio", Kind.VECTOR, 3),
        ("bpm", Kind.NUMBER, 8),
    ]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"audio": {"kind": "vector"}}, "says no width"),
        ({"x": {"kind": "colour"}}, "is of kind 'colour', wanted token, tokens, number, vector"),
        ({"x": {"kind": "token", "size": 3}}, "unknown keys ['size']"),
        ({"x": {"kind": "token", "made_by": "htcl-1"}}, "is of kind token and says made_by"),
        ({}, "at least one field"),
    ],
)
def test_a_wrong_description_is_refused(table: dict[str, dict[str, object]], said: str) -> None:
    with pytest.raises(BadData) as refusal:
        described(table)
    assert said in str(refusal.value)


def test_vectors_of_another_encoder_are_refused_where_a_field_says_whose_it_holds() -> None:
    fields = described({"audio": {"kind": "vector", "width": 2, "made_by": "htcl-1"}})
    assert Fields.from_json(fields.to_json(), {}) == fields
    by_any = described({"audio": {"kind": "vector", "width": 2}})
    assert "made_by" not in by_any.to_json()["fields"][0]

    known, unknown = (Content(vectors={"audio": [3.0, 4.0]}, vectors_by=by) for by in ("htcl-1", ""))
    np.testing.assert_array_equal(fields.encode([known, unknown]).values["audio"], np.float32([[0.6, 0.8]] * 2))
    other = Content(vectors={"audio": [3.0, 4.0]}, vectors_by="htcl-2")
    with pytest.raises(FieldMismatch, match="'audio' holds a vector by htcl-2, wanted one by htcl-1"):
        fields.encode([known, other])
    assert fields.encode([Content(vectors_by="htcl-2")]).present.tolist() == [[False]]
    assert by_any.encode([other]).present.tolist() == [[True]]


def test_fields_can_be_inferred_from_songs() -> None:
    fields = inferred([content(), Content({"artist": "a"})], leave_out=["artist"])

    assert {one.name: one.kind for one in fields.fields} == {
        "language": Kind.TOKEN,
        "genres": Kind.TOKENS,
        "tempo": Kind.NUMBER,
        "audio": Kind.VECTOR,
    }


def test_fields_survive_the_way_through_json() -> None:
    assert Fields.from_json(LEARNED.to_json(), LEARNED.words) == LEARNED


def test_fields_that_learned_nothing_say_so() -> None:
    with pytest.raises(BadData, match="learned"):
        FIELDS.encode([content()])
