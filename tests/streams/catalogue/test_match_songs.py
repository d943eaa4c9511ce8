"""Releases are matched with the audiences of warm songs, once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.audience.cat import merge_crowds
from streams.catalogue.match_songs import MatchSongs
from streams.contracts.codec import decode_value, encode
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.ids import query_id_of, seed_of
from streams.contracts.messages import Message
from streams.contracts.queries import AudienceQuery, Neighbour, TargetsSelected
from streams.contracts.topics import DAY_MS, HOUR_MS, SONG_DECISIONS, SONG_EMBEDDINGS
from streams.state.layout import OPEN_QUERY
from streams.state.memory_store import MemoryStore
from tests.builders.catalogue import Catalogue
from tests.builders.contracts import NOW, batch, crowds, embedded, settings, unit

L = 3  # listener partitions


def a_catalogue() -> Catalogue:
    catalogue = Catalogue()
    for song, direction, *its_crowds in (
        ("near", (1, 0.1), (1, 0), (0, 1)),
        ("nearer", (1, 0.05), (1, 0.2)),
        ("far", (-1, 0), (-1, 0)),
    ):
        catalogue.add_songs(embedded(song, *direction, at=NOW - 90 * DAY_MS)).add_crowds(crowds(song, *its_crowds))
    return catalogue


def stage(catalogue: Catalogue, store: MemoryStore | None = None, **matching: Any) -> MatchSongs:
    chosen = {"neighbours": 5, "min_similarity": 0.0, "crowds": 2, "max_share_per_neighbour": 0.6} | matching
    return MatchSongs(catalogue.warm, store or MemoryStore(), settings(matching=chosen).matching, listener_partitions=L)


def matched(match: MatchSongs, *songs: SongEmbedded | str, partition: int = 1, at: int | None = None) -> list[Message]:
    outputs = match.handle(batch(SONG_EMBEDDINGS, *songs, partition=partition, at=at))
    assert not any(isinstance(output, DeadLetter) for output in outputs)
    return [output for output in outputs if isinstance(output, Message)]


def query_in(messages: Sequence[Message]) -> AudienceQuery:
    assert len(messages) == 1 + L
    assert all(message.value == messages[0].value for message in messages)
    query = messages[0].value
    assert isinstance(query, AudienceQuery)
    return query


def vectors(data: bytes) -> Any:
    return np.frombuffer(data, "<f4").reshape(-1, 2)


NEW = embedded("new", 1, 0)


def test_the_decision_comes_first_and_then_one_question_for_each_listener_partition() -> None:
    messages = matched(stage(a_catalogue()), NEW, partition=1)
    assert [(one.topic.name, one.partition) for one in messages] == [
        ("song-decisions", 1), ("audience-queries", 0), ("audience-queries", 1), ("audience-queries", 2),
    ]  # fmt: skip
    assert {(one.key, one.time_ms) for one in messages} == {("new", NEW.published_ms)}


def test_the_question_holds_the_merged_crowds_of_the_nearest_warm_songs_and_what_was_known() -> None:
    catalogue = a_catalogue()
    catalogue.songs.read_up_to(1, 40)
    query = query_in(matched(stage(catalogue), NEW))
    similarities = {"nearer": 1 / np.hypot(1, 0.05), "near": 1 / np.hypot(1, 0.1)}
    assert query.because == tuple(Neighbour(song, pytest.approx(cos, abs=1e-6)) for song, cos in similarities.items())
    found = [(catalogue.crowds.of(song), similarity) for song, similarity in pairs(query)]
    merged = merge_crowds(
        [(song, similarity) for song, similarity in found if song is not None],
        crowds=2,
        max_share=0.6,
        seed=seed_of("new", "a1"),
        at_ms=NOW,
    )
    assert vectors(query.centroids) == pytest.approx(merged.centroids, abs=1e-5) and len(merged.centroids) == 2
    assert np.frombuffer(query.masses, "<f4") == pytest.approx(merged.masses, abs=1e-5)
    assert (query.song_offsets, query.crowd_offsets) == ((3, 40), (3, 0))
    assert query.query_id == query_id_of("new", "a1", "c-new", query.policy)
    assert (query.song_id, query.artifact, query.embedding) == ("new", "a1", NEW.embedding)


def test_centroids_are_unit_and_masses_sum_to_one() -> None:
    draw = np.random.default_rng(3)
    catalogue = Catalogue()
    for n in range(60):
        rows = draw.normal(size=(3, 2)).tolist()
        catalogue.add_songs(embedded(f"s{n}", *draw.normal(size=2))).add_crowds(crowds(f"s{n}", *rows))
    for n in range(20):
        query = query_in(matched(stage(catalogue, crowds=4), embedded(f"new{n}", *draw.normal(size=2))))
        assert np.linalg.norm(vectors(query.centroids), axis=1) == pytest.approx(1, abs=1e-5)
        assert np.frombuffer(query.masses, "<f4").sum() == pytest.approx(1, abs=1e-5)
        assert np.isfinite(vectors(query.centroids)).all()


def test_budget_expiry_and_markets_are_the_releases_or_as_configured() -> None:
    match = stage(a_catalogue(), budget=77, expires_after_h=10.0)
    query = query_in(matched(match, NEW))
    assert (query.budget, query.decided_ms, query.expires_ms) == (77, NOW, NOW + 10 * HOUR_MS)
    own = query_in(matched(match, embedded("own", 1, 0, budget=5, expires_ms=NOW + 1, markets=("DE", "AT"))))
    assert (own.budget, own.expires_ms, own.markets) == (5, NOW + 1, ("DE", "AT"))


def test_an_announced_song_is_matched_early_and_expires_after_its_release() -> None:
    query = query_in(matched(stage(a_catalogue(), expires_after_h=10.0), embedded("new", released_ms=NOW + 7 * DAY_MS)))
    assert (query.decided_ms, query.released_ms) == (NOW, NOW + 7 * DAY_MS)
    assert query.expires_ms == NOW + 7 * DAY_MS + 10 * HOUR_MS


@pytest.mark.parametrize(("age_days", "is_matched"), [(0, True), (30, True), (30.001, False), (4_000, False)])
def test_only_what_is_cold_is_matched(age_days: float, is_matched: bool) -> None:
    song = embedded("new", released_ms=NOW - round(age_days * DAY_MS))
    assert bool(matched(stage(a_catalogue(), cold_for_days=30.0), song)) == is_matched


def test_a_release_that_expired_before_it_was_published_is_not_matched() -> None:
    assert matched(stage(a_catalogue()), embedded("new", expires_ms=NOW)) == []


def test_neighbours_are_near_enough_warm_of_the_market_and_not_the_song_itself() -> None:
    catalogue = a_catalogue()
    catalogue.add_songs(embedded("elsewhere", 1, 0, markets=("US",))).add_crowds(crowds("elsewhere"))
    catalogue.add_songs(embedded("cold", 1, 0)).add_songs(NEW).add_crowds(crowds("new"))
    german = query_in(matched(stage(catalogue), embedded("new", 1, 0, markets=("DE",))))
    assert [song for song, _ in pairs(german)] == ["nearer", "near"]
    anywhere = query_in(matched(stage(catalogue, min_similarity=-1.0, neighbours=3), NEW))
    assert [song for song, _ in pairs(anywhere)] == ["elsewhere", "nearer", "near"]
    strict = query_in(matched(stage(catalogue, min_similarity=0.997), embedded("new", 1, 0, markets=("DE",))))
    assert [song for song, _ in pairs(strict)] == ["nearer"]


def pairs(query: AudienceQuery) -> list[tuple[str, float]]:
    return [(neighbour.song_id, neighbour.similarity) for neighbour in query.because]


@pytest.mark.parametrize("catalogue", [Catalogue(), a_catalogue()], ids=["empty", "none is near enough"])
def test_without_a_neighbour_the_songs_own_embedding_is_the_only_centroid(catalogue: Catalogue) -> None:
    query = query_in(matched(stage(catalogue, min_similarity=0.999), embedded("new", 0, 1)))
    assert query.because == () and query.centroids == unit(0, 1)
    assert np.frombuffer(query.masses, "<f4").tolist() == [1.0]


def test_the_songs_own_record_need_not_have_reached_the_view() -> None:
    before = query_in(matched(stage(a_catalogue()), NEW))
    after = query_in(matched(stage(a_catalogue().add_songs(NEW)), NEW))
    assert (before.centroids, before.because) == (after.centroids, after.because)


def test_another_artifacts_embedding_is_counted_and_left_out() -> None:
    match = stage(a_catalogue())
    assert matched(match, embedded("new", artifact="a2")) == [] and match.of_other_artifacts == 1
    assert matched(match, NEW) != []  # it was not taken for matched


# ---- once --------------------------------------------------------------------------------------------------------


def test_a_song_that_is_embedded_again_is_not_matched_again() -> None:
    store = MemoryStore()
    assert len(matched(stage(a_catalogue(), store), NEW, embedded("new", 0, 1, content="other"), NEW)) == 1 + L
    store.commit({})
    assert matched(stage(a_catalogue(), store), embedded("new", 0, 1, content="third")) == []


def test_a_song_that_was_withdrawn_and_comes_back_is_matched_again() -> None:
    later = embedded("new", 1, 0, published_ms=NOW + DAY_MS)
    messages = matched(stage(a_catalogue()), NEW, "new", later)
    assert [message.time_ms for message in messages] == [NOW] * (1 + L) + [NOW + DAY_MS] * (1 + L)


def test_a_song_that_is_published_again_after_a_later_withdrawal_is_not_matched_again() -> None:
    """A shard that lost its state publishes all embeddings anew, each before the withdrawal that followed it."""
    match = stage(a_catalogue())
    assert matched(match, NEW, "new")
    assert matched(match, NEW, "new", NEW) == []


def test_of_a_song_that_is_withdrawn_no_question_stays_open() -> None:
    store = MemoryStore()
    match = stage(a_catalogue(), store)
    matched(match, NEW)
    assert list(store.items(OPEN_QUERY))
    matched(match, "new")
    assert not list(store.items(OPEN_QUERY))


def test_a_decision_once_published_stands_whatever_the_views_say_now() -> None:
    first = matched(stage(a_catalogue()), NEW)
    later = stage(Catalogue(), neighbours=1, policy="another")
    for message in first:
        if message.topic is SONG_DECISIONS:
            later.adopt(decode_value(SONG_DECISIONS, encode(message)[1]))
    later.adopt(TargetsSelected(query_id="q", song_id="new", answers={}, coverage=1.0))  # of another stage
    again = matched(later, NEW)
    assert [(m.topic, m.partition, m.time_ms, *encode(m)) for m in again] == [
        (m.topic, m.partition, m.time_ms, *encode(m)) for m in first
    ]
    assert matched(later, NEW) == []


def test_what_was_decided_before_a_withdrawal_is_not_adopted_after_it() -> None:
    first, back = query_in(matched(stage(a_catalogue()), NEW)), embedded("new", 1, 0, published_ms=NOW + DAY_MS)
    match = stage(Catalogue())
    match.adopt(first)
    messages = matched(match, NEW) + matched(match, "new", at=NOW + HOUR_MS) + matched(match, back)
    assert query_in(messages[: 1 + L]) == first
    assert query_in(messages[1 + L :]).decided_ms == NOW + DAY_MS
    forgetful = stage(Catalogue())
    forgetful.adopt(first)
    forgetful.adopt(second := query_in(messages[1 + L :]))
    assert matched(forgetful, "new", at=NOW + HOUR_MS) == []
    assert query_in(matched(forgetful, back)) == second


def test_of_a_log_that_compaction_thinned_the_newest_decision_before_the_record_is_adopted() -> None:
    """The store is lost, and of the song's two records only the second, which was not matched, is left."""
    decision = query_in(matched(stage(a_catalogue()), NEW))
    match = stage(Catalogue())
    match.adopt(decision)
    assert query_in(matched(match, embedded("new", 0, 1, content="other", published_ms=NOW + DAY_MS))) == decision


EVENTS = st.lists(
    st.one_of(
        st.sampled_from(["n0", "n1", "n2"]),
        st.builds(lambda song, y: (song, y), st.sampled_from(["n0", "n1", "n2"]), st.integers(0, 4)),
    ),
    min_size=1,
    max_size=10,
)


@given(EVENTS, st.integers(0, 10), st.integers(0, 40))
def test_a_crash_after_any_message_leaves_decisions_that_its_successor_repeats(
    events: list[str | tuple[str, int]], committed: int, published: int
) -> None:
    """The successor's views have moved on, and its batch is cut elsewhere."""
    records = [
        event
        if isinstance(event, str)
        else embedded(event[0], 1, event[1], content=f"c{event[1]}", published_ms=NOW + n)
        for n, event in enumerate(events)
    ]
    times = [NOW + n for n in range(len(records))]

    def run(match: MatchSongs, first: int, end: int) -> list[Any]:
        return [
            (message.topic, message.partition, message.time_ms, *encode(message))
            for n in range(first, end)
            for message in matched(match, records[n], at=times[n])
        ]

    whole = run(stage(a_catalogue()), 0, len(records))
    committed, store = min(committed, len(records)), MemoryStore()
    before = stage(a_catalogue(), store)
    said = run(before, 0, committed)
    store.commit({})
    lost = MemoryStore(None)
    for key, value in store.items(b""):
        lost.put(key, value)
    lost.commit({})
    said_then_lost = run(before, committed, len(records))[:published]
    successor = stage(
        a_catalogue().add_songs("near", embedded("brand-new", 1, 0)).add_crowds(crowds("brand-new")), lost
    )
    for topic, _, _, _, value in said_then_lost:
        if topic is SONG_DECISIONS:
            successor.adopt(decode_value(SONG_DECISIONS, value))
    repeated = run(successor, committed, len(records))
    assert repeated[: len(said_then_lost)] == said_then_lost
    assert said + said_then_lost == whole[: len(said) + len(said_then_lost)]
    assert len(said) + len(repeated) == len(whole)
