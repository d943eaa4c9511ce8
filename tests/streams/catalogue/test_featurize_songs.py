"""Sound and text in, releases with vectors out."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from streams.catalogue.embed_songs import EmbedSongs
from streams.catalogue.featurize_songs import FeaturizeSongs, in_words
from streams.contracts.codec import decode, encode
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Message
from streams.contracts.releases import AudioRelease, Release
from streams.contracts.topics import AUDIO_RELEASES, DAY_MS, SONG_RELEASES
from streams.errors import UnusableSound
from streams.sounds.encoders import MelEncoder
from streams.state.memory_store import MemoryStore
from tests.builders.contracts import NOW, audio_release, batch, release, settings
from tests.builders.sounds import wav

URI = "https://sounds.example.com/s1.wav"
LIMITS = settings().contracts


@dataclass
class Shelf:
    """Sounds by their names."""

    sounds: Mapping[str, bytes] = field(default_factory=lambda: {URI: wav()})
    asked: list[str] = field(default_factory=list)

    def fetched(self, uri: str) -> bytes:
        self.asked.append(uri)
        if uri not in self.sounds:
            raise UnusableSound(f"audio_uri {uri!r} is not here")
        return self.sounds[uri]


class Counts:
    """An encoder that reads too: how long a thing is."""

    name, size = "counts-1", 1

    def sound(self, raw: bytes) -> npt.NDArray[np.float32]:
        return np.array([len(raw)], dtype=np.float32)

    def text(self, title: str, caption: str, lyrics: str) -> npt.NDArray[np.float32] | None:
        return np.array([len(title), len(caption), len(lyrics)], dtype=np.float32)

    def close(self) -> None:
        pass


class Infinite(Counts):
    def sound(self, raw: bytes) -> npt.NDArray[np.float32]:
        return np.array([np.inf], dtype=np.float32)


def featurize(shelf: Shelf | None = None, encoder: Any = None, **more: Any) -> FeaturizeSongs:
    return FeaturizeSongs(shelf or Shelf(), encoder or Counts(), settings().featurize, **more)


def filled(stage: FeaturizeSongs, one: AudioRelease) -> Release:
    [message] = stage.handle(batch(AUDIO_RELEASES, one))
    assert isinstance(message, Message), message
    assert message.topic is SONG_RELEASES and isinstance(message.value, Release)
    return message.value


def reason(stage: FeaturizeSongs, one: AudioRelease) -> str:
    [letter] = stage.handle(batch(AUDIO_RELEASES, one))
    assert isinstance(letter, DeadLetter) and letter.topic == "audio-releases" and letter.key == b"s1"
    return letter.reason


def test_a_release_is_passed_on_with_its_vectors_its_facts_and_its_time():
    facts: dict[str, Any] = {"artist_ids": ("ar1",), "markets": ("DE",), "budget": 7, "expires_ms": NOW + 10}
    asked = audio_release(lyrics="la la", **facts)
    [message] = featurize().handle(batch(AUDIO_RELEASES, asked, at=NOW + 5))
    assert isinstance(message, Message)
    assert (message.topic.name, message.key, message.time_ms) == ("song-releases", "s1", NOW + 5)
    assert message.value == Release(
        song_id="s1",
        released_ms=NOW,
        title="Title of s1",
        attributes={"genre": "folk"},
        lyrics="la la",
        vectors={"audio": (float(len(wav())),), "lyric": (11.0, 12.0, 5.0)},
        vectors_by="counts-1",
        **facts,
    )
    key, value = encode(message)
    assert decode(SONG_RELEASES, key, value, NOW + 5, LIMITS) == message.value


def test_the_same_release_again_gives_the_same_bytes_alone_and_among_others_in_threads_or_not():
    sounds = {f"https://sounds.example.com/s{n}.wav": wav(0.2, 200.0 + 50 * n) for n in range(6)}
    asked = [audio_release(f"s{n}", uri=uri) for n, uri in enumerate(sounds)]
    with ThreadPoolExecutor(4) as threads:
        several = featurize(Shelf(sounds), MelEncoder(), threads=threads).handle(batch(AUDIO_RELEASES, *asked))
    alone = [
        message
        for one in asked
        for message in featurize(Shelf(sounds), MelEncoder()).handle(batch(AUDIO_RELEASES, one))
    ]
    assert [encode(one) for one in several] == [encode(one) for one in alone]  # type: ignore[arg-type]


def test_what_the_release_says_itself_stands_and_is_not_fetched():
    shelf = Shelf()
    said = filled(featurize(shelf), audio_release(vectors={"audio": (1.0,), "title": (2.0,)}))
    assert said.vectors == {"audio": (1.0,), "title": (2.0,), "lyric": (11.0, 12.0, 0.0)} and shelf.asked == []


def test_a_caption_goes_before_the_attributes_and_a_song_without_words_has_no_text():
    assert filled(featurize(), audio_release(caption="warm")).vectors["lyric"] == (11.0, 4.0, 0.0)
    assert "lyric" not in filled(featurize(), audio_release(title="")).vectors
    assert "lyric" not in filled(featurize(encoder=MelEncoder()), audio_release()).vectors
    assert in_words(release()) == "genre: folk. moods: calm, warm. tempo: 92.5."


def test_one_that_is_not_had_is_a_dead_letter_and_the_others_go_on_in_their_order():
    asked = [audio_release("s1"), audio_release("s2", uri="https://sounds.example.com/none.wav"), audio_release("s3")]
    first, second, third = featurize().handle(batch(AUDIO_RELEASES, *asked))
    assert [one.value.song_id for one in (first, third) if isinstance(one, Message)] == ["s1", "s3"]  # type: ignore[union-attr]
    assert (
        isinstance(second, DeadLetter)
        and second.reason == "audio_uri 'https://sounds.example.com/none.wav' is not here"
    )
    assert second.value == encode(Message(AUDIO_RELEASES, "s2", asked[1], NOW))[1]


def test_another_sound_than_was_meant_is_refused():
    right = sha256(wav()).hexdigest()
    assert filled(featurize(), audio_release(audio_sha256=right)).vectors["audio"]
    assert reason(featurize(), audio_release(audio_sha256="0" * 64)).startswith(f"audio_sha256 is {'0' * 64}, what")


def test_what_cannot_be_heard_or_is_not_finite_is_refused():
    said = reason(featurize(Shelf({URI: b"oops"}), MelEncoder()), audio_release())
    assert said == "the sound of 4 bytes cannot be read as wav: it ends early"
    assert reason(featurize(encoder=Infinite()), audio_release()) == (
        "field 'audio': counts-1 makes numbers of it that are not finite"
    )


def test_a_release_that_is_read_again_from_the_topic_finds_every_withdrawal_still_there():
    """song-releases keeps a withdrawal for seven days (streams/broker/topics.py), the oldest segment included."""
    from streams.broker.topics import plans

    configs = {plan.name: plan.configs for plan in plans(settings().topics)}
    asked, songs = configs[AUDIO_RELEASES.name], configs[SONG_RELEASES.name]
    assert int(asked["retention.ms"]) + int(asked["segment.ms"]) + DAY_MS <= int(songs["delete.retention.ms"])


def song_releases(*said: tuple[int, Release | None]) -> list[tuple[str, object, int]]:
    """What comes of them in this order: (topic, value, time)."""
    store, outputs = MemoryStore(), []
    for time_ms, value in said:
        stage = EmbedSongs(_Same(), store, 4)
        outputs += stage.handle(batch(SONG_RELEASES, value or "s1", at=time_ms))
        store.commit({})
    return [(one.topic.name, one.value, one.time_ms) for one in outputs if isinstance(one, Message)]


class _Same:
    artifact, dimension = "a1", 2

    def embed(self, contents: Any) -> npt.NDArray[np.float32]:
        return np.tile(np.array([1, 0], dtype=np.float32), (len(contents), 1))


FILLED = release(vectors_by="counts-1")


@pytest.mark.parametrize("asked_ms", [NOW + 4, NOW + 5])
def test_a_release_that_was_filled_in_late_does_not_bring_a_withdrawn_song_back(asked_ms: int):
    assert song_releases((NOW + 5, None), (asked_ms, FILLED)) == [
        ("song-embeddings", None, NOW + 5),
        ("song-crowds", None, NOW + 5),
        ("song-releases", None, NOW + 5),  # said again, so that compaction keeps it
    ]


def test_a_song_that_is_released_again_after_its_withdrawal_comes_back():
    later = song_releases((NOW + 5, None), (NOW + 6, FILLED))[2:]
    assert [(topic, time_ms) for topic, _, time_ms in later] == [("song-embeddings", NOW + 6)]
    plain = song_releases((NOW + 5, None), (NOW + 4, release()))[2:]
    assert [topic for topic, _, _ in plain] == ["song-embeddings"]  # said by the catalogue: the log's order counts


def test_a_late_one_changes_nothing_of_a_song_that_was_released_again():
    assert len(song_releases((NOW + 5, None), (NOW + 6, release()), (NOW + 4, FILLED))) == 3
