"""From a sound to its listeners, without Kafka: the stages of the featurizer and of the workers, in any order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bcl_model.inference import SongEncoder
from streams.catalogue.content import content_of
from streams.catalogue.featurize_songs import FeaturizeSongs
from streams.contracts.codec import encode
from streams.contracts.releases import AudioRelease, Release
from streams.contracts.topics import AUDIO_RELEASES, PLAYS, PUSH_TARGETS, SONG_EMBEDDINGS, SONG_RELEASES
from streams.contracts.topics import Shard as Side
from streams.recording.log import Log
from streams.replay.driver import exact, replay
from streams.settings import Settings
from streams.shard import Decided, Shard
from streams.sounds.download import Downloads
from streams.sounds.encoders import MelEncoder
from streams.state.memory_store import MemoryStore
from streams.world.recordings import recording, write_wav
from streams.world.world import World, WorldSettings
from tests.builders.catalogue import untrained_encoder
from tests.builders.contracts import Logged, settings
from tests.builders.lived import lived
from tests.harness.scene import play_records
from tests.harness.stream import Event, event

WORLD = World(WorldSettings(listeners=250, songs=60, new_songs=6, seed=5))
START_MS = WORLD.settings.start_ms
NEW = WORLD.new_releases(5)
RELEASED, LATE = NEW[:4], NEW[4]
ROOM_FOR_ALL = {"cooldown_h": 0.0, "rolling_cap": 20, "day_cap": 20, "quiet_from_minute": 0, "quiet_to_minute": 0}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for song_id in WORLD.catalogue.ids:
        write_wav(folder / f"{song_id}.wav", recording(WORLD, WORLD.row_of(song_id), 0.5))
    return folder


@pytest.fixture(scope="module")
def small(sounds: Path) -> Settings:
    return settings(
        topics={"listener_partitions": 2, "song_partitions": 1},
        crowds={"warm_at_listeners": 4},
        admission=ROOM_FOR_ALL,
        featurize={"schemes": "file", "folder": str(sounds)},
    )


@pytest.fixture(scope="module")
def featurizer(small: Settings) -> Iterator[Shard]:
    downloads = Downloads(small.featurize)
    stage = FeaturizeSongs(downloads, MelEncoder(), small.featurize)
    yield Shard(
        Side.SONG,
        0,
        MemoryStore(),
        {AUDIO_RELEASES.name: [stage]},
        decisions={},
        deciders=[],
        contracts=small.contracts,
    )
    downloads.close()


def featurized(featurizer: Shard, songs: list[Release], folder: Path) -> Decided:
    """What the featurizer says of these songs, once nobody tells it their audio."""
    log = []
    for offset, song in enumerate(songs):
        told: dict[str, Any] = {name: getattr(song, name) for name in Release.__struct_fields__}
        told["vectors"] = {name: vector for name, vector in song.vectors.items() if name != "audio"}
        asked = AudioRelease(**told, audio_uri=f"file://{folder}/{song.song_id}.wav")
        log.append(Logged(offset, START_MS, song.song_id.encode(), msgspec.json.encode(asked)))
    return featurizer.decide(AUDIO_RELEASES, log)


def passed_on(decided: Decided) -> list[Event]:
    return [Event(one.topic, *encode(one), one.time_ms) for one in decided.messages]


@pytest.fixture(scope="module")
def log(small: Settings, featurizer: Shard, sounds: Path) -> Log:
    """The catalogue with its sounds, plays, and releases; the last one is withdrawn while its sound is heard."""
    catalogue = passed_on(featurized(featurizer, list(WORLD.songs()), sounds))
    plays = [Event(PLAYS, *record) for record in play_records(WORLD, 3_000)]
    new = passed_on(featurized(featurizer, [*RELEASED, LATE], sounds))
    withdrawal = event(SONG_RELEASES, LATE.song_id, None, START_MS + 1)
    return lived([[*catalogue, *plays], [*new[:-1], withdrawal, new[-1]]], small, wiring(small, sounds, featurizer), 3)


def wiring(small: Settings, sounds: Path, featurizer: Shard) -> Any:
    """A model of songs whose audio is what the featurizer hears."""
    heard = [one.value for one in featurized(featurizer, list(WORLD.songs()), sounds).messages]
    encoder: SongEncoder = untrained_encoder(*(content_of(one) for one in heard), dimension=16)  # type: ignore[arg-type]
    return exact(small, encoder)


def values(log: Log, topic: Any) -> list[Any]:
    return [contract for partition in log.partitions(topic) for _, contract in log.contracts(topic, partition)]


def test_every_song_whose_sound_is_had_reaches_listeners(log: Log):
    reached = {target.song_id for target in values(log, PUSH_TARGETS)}
    assert {song.song_id for song in RELEASED} <= reached


def test_a_song_that_was_withdrawn_while_it_was_heard_stays_withdrawn_and_says_so_last(log: Log):
    said = [record.value for record in log.records(SONG_RELEASES, 0) if record.key == LATE.song_id.encode()]
    embedded = [one for one in values(log, SONG_EMBEDDINGS) if one is not None]
    assert [value is None for value in said] == [True, False, True]
    assert LATE.song_id not in {one.song_id for one in embedded}
    assert LATE.song_id not in {target.song_id for target in values(log, PUSH_TARGETS)}


def test_a_replay_of_it_says_the_same_bytes(log: Log, small: Settings, featurizer: Shard, sounds: Path):
    assert replay(log, wiring(small, sounds, featurizer)).differences(log) == []


def test_a_sound_that_is_not_there_is_a_dead_letter_of_audio_releases(featurizer: Shard, tmp_path: Path):
    [letter] = featurized(featurizer, NEW[:1], tmp_path).dead_letters
    assert (letter.topic, letter.key) == ("audio-releases", NEW[0].song_id.encode())
    assert "lies outside of the folder of the sounds" in letter.reason
