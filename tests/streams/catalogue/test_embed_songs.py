"""Releases in, embeddings and tombstones out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcl_model.fields import Content
from bcl_model.inference import SongEncoder
from streams.catalogue.content import content_of
from streams.catalogue.embed_songs import EmbedSongs
from streams.contracts.codec import encode
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.messages import Message
from streams.contracts.releases import Release
from streams.contracts.topics import SONG_RELEASES
from streams.state.memory_store import MemoryStore
from tests.builders.catalogue import untrained_artifact, untrained_encoder
from tests.builders.contracts import NOW, batch, release

VARIED = [release(f"s{n}", attributes={"genre": f"g{n % 3}", "tempo": 80.0 + n}) for n in range(8)]
ENCODER = untrained_encoder(*map(content_of, [release(), *VARIED]))


@dataclass
class Counting:
    """The encoder, and how much it was asked at once."""

    encoder: SongEncoder = ENCODER
    asked: list[int] = field(default_factory=list)

    @property
    def artifact(self) -> str:
        return self.encoder.artifact

    @property
    def dimension(self) -> int:
        return self.encoder.dimension

    def embed(self, contents: Sequence[Content]) -> npt.NDArray[np.float32]:
        self.asked.append(len(contents))
        return self.encoder.embed(contents)


def stage(store: MemoryStore | None = None, encoder: Any = ENCODER, songs_per_batch: int = 4) -> EmbedSongs:
    return EmbedSongs(encoder, store or MemoryStore(), songs_per_batch)


def told(outputs: list[Message | DeadLetter]) -> list[tuple[str, str, SongEmbedded | None]]:
    assert all(isinstance(output, Message) for output in outputs), outputs
    return [(one.topic.name, one.key, one.value) for one in outputs if isinstance(one, Message)]  # type: ignore[misc]


def test_a_release_is_embedded_with_its_facts() -> None:
    facts: dict[str, Any] = {"markets": ("DE",), "budget": 7, "expires_ms": NOW + 10}
    [message] = stage().handle(batch(SONG_RELEASES, release(**facts), at=NOW + 5))
    assert isinstance(message, Message) and isinstance(embedded := message.value, SongEmbedded)
    assert (message.topic.name, message.key, message.time_ms, message.partition) == (
        "song-embeddings",
        "s1",
        NOW + 5,
        None,
    )
    assert (embedded.artifact, embedded.published_ms, embedded.released_ms) == (ENCODER.artifact, NOW + 5, NOW)
    assert (embedded.markets, embedded.budget, embedded.expires_ms) == (("DE",), 7, NOW + 10)
    assert (embedded.title, embedded.artist_ids) == ("Title of s1", ("ar1",))
    expected = ENCODER.embed([content_of(release())])[0]
    assert np.frombuffer(embedded.embedding, "<f4") == pytest.approx(expected)
    assert np.linalg.norm(np.frombuffer(embedded.embedding, "<f4")) == pytest.approx(1)


def test_the_same_content_again_says_nothing_and_costs_nothing() -> None:
    encoder = Counting()
    embed = stage(encoder=encoder)
    embed.handle(batch(SONG_RELEASES, release()))
    assert embed.handle(batch(SONG_RELEASES, release(), release(), at=NOW + 9)) == []
    assert sum(encoder.asked) <= 2  # a song that stands twice in a batch may be asked for once too often


def test_other_content_embeds_again_and_so_does_other_news_of_the_song() -> None:
    embed = stage()
    [(_, _, first)] = told(embed.handle(batch(SONG_RELEASES, release())))
    [(_, _, louder)] = told(embed.handle(batch(SONG_RELEASES, release(vectors={"audio": (0.8, 0.6)}))))
    [(_, _, elsewhere)] = told(
        embed.handle(batch(SONG_RELEASES, release(vectors={"audio": (0.8, 0.6)}, markets=("DE",))))
    )
    assert first and louder and elsewhere
    assert louder.embedding != first.embedding and louder.content != first.content
    assert elsewhere.embedding == louder.embedding and elsewhere.markets == ("DE",)


def test_a_withdrawal_leaves_tombstones_and_the_song_may_come_back() -> None:
    embed = stage()
    outputs = told(embed.handle(batch(SONG_RELEASES, release(), "s1", release())))
    assert [(topic, key, value is None) for topic, key, value in outputs] == [
        ("song-embeddings", "s1", False),
        ("song-embeddings", "s1", True),
        ("song-crowds", "s1", True),
        ("song-embeddings", "s1", False),
    ]


def test_withdrawing_what_was_never_embedded_here_is_told_all_the_same() -> None:
    outputs = told(stage().handle(batch(SONG_RELEASES, "s9")))  # compaction may have left only the withdrawal
    assert outputs == [("song-embeddings", "s9", None), ("song-crowds", "s9", None)]


def test_a_song_that_does_not_fit_the_model_is_a_dead_letter_and_its_neighbours_go_on() -> None:
    wrong_size, wrong_kind = release("s2", vectors={"audio": (1.0,)}), release("s4", attributes={"tempo": "fast"})
    outputs = stage().handle(batch(SONG_RELEASES, release("s1"), wrong_size, release("s3"), wrong_kind, release("s5")))
    assert [type(output).__name__ for output in outputs] == [
        "Message",
        "DeadLetter",
        "Message",
        "DeadLetter",
        "Message",
    ]
    letters = [output for output in outputs if isinstance(output, DeadLetter)]
    assert [(letter.offset, letter.key, letter.reason) for letter in letters] == [
        (1, b"s2", "field 'audio' holds a vector of size 1, wanted size 2"),
        (3, b"s4", "field 'tempo' holds 'fast', wanted a finite number"),
    ]
    alone = stage().handle(batch(SONG_RELEASES, release("s3")))
    assert [o.value for o in outputs if isinstance(o, Message)][1] == alone[0].value  # type: ignore[union-attr]


def test_vectors_by_another_encoder_than_the_models_are_a_dead_letter() -> None:
    artifact = untrained_artifact(content_of(release()))
    fields = [replace(one, made_by="htcl-1" if one.name == "audio" else "") for one in artifact.fields.fields]
    encoder = SongEncoder(replace(artifact, fields=replace(artifact.fields, fields=tuple(fields))))
    releases = [release("s1", vectors_by="htcl-1"), release("s2", vectors_by="htcl-2"), release("s3")]
    first, letter, third = stage(encoder=encoder).handle(batch(SONG_RELEASES, *releases))
    assert isinstance(first, Message) and isinstance(third, Message) and isinstance(letter, DeadLetter)
    assert letter.reason == "field 'audio' holds a vector by htcl-2, wanted one by htcl-1"


def test_a_song_that_failed_is_tried_again_when_it_is_mended() -> None:
    embed = stage()
    broken = release(vectors={"audio": (1.0,)})
    first = embed.handle(batch(SONG_RELEASES, broken, release(), broken))
    assert [type(output).__name__ for output in first] == ["DeadLetter", "Message", "DeadLetter"]
    assert embed.handle(batch(SONG_RELEASES, release())) == []  # the mended one stands


def test_a_key_that_is_not_the_song_is_a_dead_letter() -> None:
    read = batch(SONG_RELEASES, release("s1"), release("s2"))
    outputs = stage().handle(with_columns(read, keys=[b"s9", b"s2"]))
    assert isinstance(letter := outputs[0], DeadLetter)
    assert letter.reason == "the key is 's9', wanted song_id 's1'" and letter.offset == 0
    assert [output.key for output in outputs[1:]] == ["s2"]


def with_columns(read: Any, **columns: Any) -> Any:
    return replace(read, **columns)


@dataclass
class Broken:
    artifact: str = "a1"
    dimension: int = 2

    def embed(self, contents: Sequence[Content]) -> npt.NDArray[np.float32]:
        rows = np.full((len(contents), 2), 2**-0.5, np.float32)
        rows[0] = np.nan if contents[0].attributes.get("genre") == "g0" else 0
        return rows


def test_an_embedding_without_direction_is_a_dead_letter_not_a_poisoned_view() -> None:
    outputs = stage(encoder=Broken(), songs_per_batch=2).handle(batch(SONG_RELEASES, *VARIED[:4]))
    reasons = [output.reason if isinstance(output, DeadLetter) else "" for output in outputs]
    assert reasons == [
        "the encoder makes an embedding of length nan of it", "",
        "the encoder makes an embedding of length 0 of it", "",
    ]  # fmt: skip


def test_another_model_embeds_every_song_again() -> None:
    store, other = MemoryStore(), untrained_encoder(*map(content_of, [release(), *VARIED]), seed=2)
    [(_, _, first)] = told(stage(store).handle(batch(SONG_RELEASES, release())))
    [(_, _, second)] = told(stage(store, other).handle(batch(SONG_RELEASES, release())))
    assert first and second and first.artifact != second.artifact and first.embedding != second.embedding
    assert told(stage(store, other).handle(batch(SONG_RELEASES, release()))) == []


def test_at_most_so_many_songs_are_embedded_at_once() -> None:
    encoder = Counting()
    stage(encoder=encoder, songs_per_batch=3).handle(batch(SONG_RELEASES, *VARIED))
    assert encoder.asked == [3, 3, 2]


EVENTS = st.lists(
    st.one_of(
        st.sampled_from(["s0", "s1", "s2"]),
        st.builds(
            lambda song, genre, size: release(
                song, attributes={"genre": genre}, vectors={"audio": (0.6, 0.8, 1.0)[:size]}
            ),
            st.sampled_from(["s0", "s1", "s2"]),
            st.sampled_from(["g0", "g1", "new"]),
            st.sampled_from([2, 2, 2, 3]),
        ),
    ),
    min_size=1,
    max_size=12,
)


def outputs_of(events: Sequence[Release | str], cuts: list[int], *, songs_per_batch: int) -> list[Any]:
    """In batches that end at the cuts, each committed, and the stage built anew in between as after a crash."""
    store, outputs, first = MemoryStore(), list[Any](), 0
    for end in [*cuts, len(events)]:
        if end > first:
            some = stage(store, songs_per_batch=songs_per_batch).handle(
                batch(SONG_RELEASES, *events[first:end], first=first)
            )
            outputs += [(one.topic.name, *encode(one)) if isinstance(one, Message) else one for one in some]
            store.commit({"song-releases": end})
            first = end
    return outputs


@given(EVENTS, st.sets(st.integers(1, 11)), st.integers(1, 5))
def test_what_is_published_does_not_depend_on_where_the_batch_was_cut(
    events: list[Release | str], cuts: set[int], songs_per_batch: int
) -> None:
    whole = outputs_of(events, [], songs_per_batch=8)
    cut = outputs_of(events, sorted(cut for cut in cuts if cut < len(events)), songs_per_batch=songs_per_batch)
    assert cut == whole


@given(EVENTS)
def test_a_redelivered_batch_says_the_same_as_long_as_it_is_not_committed(events: list[Release | str]) -> None:
    """The process died between publishing and the commit."""
    said = stage(MemoryStore()).handle(batch(SONG_RELEASES, *events))
    assert stage(MemoryStore()).handle(batch(SONG_RELEASES, *events)) == said
