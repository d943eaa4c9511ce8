"""A release that names a sound, through a real Kafka: featurizer, song worker, targets; what cannot be had is told."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from streams.contracts.codec import read_dead_letter
from streams.contracts.releases import AudioRelease, Release
from streams.contracts.topics import (
    AUDIO_RELEASES,
    LISTENER_SETTINGS,
    PLAYS,
    PUSH_TARGETS,
    SONG_EMBEDDINGS,
    SONG_RELEASES,
)
from streams.settings import KafkaSettings, TopicSettings
from streams.sounds.encoders import MelEncoder
from streams.world.music import scores
from streams.world.recordings import take, write_wav
from streams.world.world import World
from tests.builders.malformed import malformed
from tests.builders.sounds import Answer, Host, serving
from tests.harness.live import Live, WorkerProcess
from tests.harness.scene import artifact_of, play_records, small_world
from tests.twin.check import check

SECONDS, RELEASED, MAX_BYTES, WITHIN_S = 1.5, 6, 100_000, 4.0
FEATURIZE = ("-m", "streams.cli", "featurize")
ROOM_FOR_ALL = {  # six releases at once: none is suppressed because of another
    "BCL__CROWDS__WARM_AT_LISTENERS": "8",
    "BCL__ADMISSION__COOLDOWN_H": "0",
    "BCL__ADMISSION__ROLLING_CAP": "20",
    "BCL__ADMISSION__DAY_CAP": "20",
    "BCL__ADMISSION__QUIET_FROM_MINUTE": "0",
    "BCL__ADMISSION__QUIET_TO_MINUTE": "0",
    "BCL__SELECTION__ANSWER_WITHIN_S": "2",
    "BCL__CONTRACTS__MAX_RECORD_BYTES": "50000",
}


@pytest.fixture(scope="module")
def world() -> World:
    return small_world(listeners=800, songs=200)


@pytest.fixture(scope="module")
def sounds(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Of every song, as the synthesiser performs it."""
    folder, found = tmp_path_factory.mktemp("performed"), {}
    for row, score in enumerate(scores(world.catalogue, world.artists, world.settings.seed)):
        if row < world.settings.songs + RELEASED + 2:
            write_wav(folder / "one.wav", take(score, row, SECONDS, world.settings.seed))
            found[world.catalogue.ids[row]] = (folder / "one.wav").read_bytes()
    return found


@pytest.fixture(scope="module")
def catalogue(world: World, sounds: dict[str, bytes]) -> list[Release]:
    """The songs of the world, and for their audio what the encoder hears."""
    return [heard(song, sounds[song.song_id]) for song in world.songs()]


@pytest.fixture(scope="module")
def artifact(world: World, catalogue: list[Release], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifact_of(world, 6_000, tmp_path_factory.mktemp("models"), steps=15, songs=catalogue)


def heard(song: Release, sound: bytes) -> Release:
    vector = np.round(MelEncoder().sound(sound).astype(float), 6)
    return msgspec.structs.replace(song, vectors={**song.vectors, "audio": tuple(vector.tolist())})


def asked(song: Release, uri: str) -> AudioRelease:
    """The same song, before anybody has heard it."""
    told = {name: getattr(song, name) for name in Release.__struct_fields__}
    vectors = {name: vector for name, vector in song.vectors.items() if name != "audio"}
    return AudioRelease(**(told | {"vectors": vectors, "audio_uri": uri}))


@contextmanager
def running(kafka: KafkaSettings, topics: TopicSettings, folder: Path, artifact: Path) -> Iterator[Live]:
    live = Live(kafka, topics, folder, artifact, ROOM_FOR_ALL)
    try:
        yield live
    finally:
        live.end()


def featurizer(live: Live, name: str, host: Host, folder: Path) -> WorkerProcess:
    return live.start(
        name,
        command=FEATURIZE,
        BCL__WORKER__NAME="featurizer",  # one after the other: the next has its partitions at once
        BCL__FEATURIZE__SCHEMES="file,http",
        BCL__FEATURIZE__HOSTS=f"{host.name},localhost:{host.port}",
        BCL__FEATURIZE__FOLDER=str(folder),
        BCL__FEATURIZE__PRIVATE_ADDRESSES="true",
        BCL__FEATURIZE__MAX_BYTES=str(MAX_BYTES),
        BCL__FEATURIZE__FETCH_WITHIN_S=str(WITHIN_S),
    )


def values(live: Live, topic: Any, song_id: str) -> list[Any]:
    return [
        record.value for records in live.records(topic).values() for record in records if record.key == song_id.encode()
    ]


def test_a_release_that_names_a_sound_reaches_listeners_and_what_cannot_be_had_is_told(
    kafka_settings: KafkaSettings,
    make_topics: Callable[..., TopicSettings],
    world: World,
    artifact: Path,
    catalogue: list[Release],
    sounds: dict[str, bytes],
    tmp_path: Path,
) -> None:
    now_ms = world.settings.start_ms
    new = world.new_releases(RELEASED + 2)
    late, spare = new[RELEASED], new[RELEASED + 1]
    right = sounds[spare.song_id]
    folder = tmp_path / "sounds"
    folder.mkdir()
    for song in new[: RELEASED // 2]:
        (folder / f"{song.song_id}.wav").write_bytes(sounds[song.song_id])
    (folder / "cut.wav").write_bytes(right[:-100])
    (tmp_path / "outside.wav").write_bytes(right)
    answers = {f"/{song.song_id}.wav": Answer(sounds[song.song_id]) for song in new[RELEASED // 2 : RELEASED]}
    answers |= {
        "/late.wav": Answer(sounds[late.song_id]),
        "/slow.wav": Answer(right, pause_s=0.5),
        "/large.wav": Answer(right * 4),
        "/page.wav": Answer(b"<html>not here</html>"),
        "/half.wav": Answer(right[:9_000], says_length=len(right)),
        "/moved.wav": Answer(status=301, headers={"Location": "/late.wav"}),
    }
    with (
        serving(answers) as host,
        running(kafka_settings, make_topics(), tmp_path, artifact) as live,
    ):
        live.start("w0")
        featurizer(live, "f0", host, folder)
        live.produce(SONG_RELEASES, [(song.song_id, song, now_ms) for song in catalogue])
        live.produce(LISTENER_SETTINGS, [(one.listener_id, one, one.changed_ms) for one in world.listener_settings()])
        live.produce(PLAYS, play_records(world, 5_000))
        live.drained()

        here = [asked(song, f"file://{folder}/{song.song_id}.wav") for song in new[: RELEASED // 2]]
        there = [asked(song, host.uri(f"/{song.song_id}.wav")) for song in new[RELEASED // 2 : RELEASED]]
        live.produce(AUDIO_RELEASES, [(one.song_id, one, now_ms) for one in (*here, *there)])
        refused = {
            "ftp://127.0.0.1/a.wav": "has the scheme 'ftp'",
            "http://elsewhere.example.com/a.wav": "has the host 'elsewhere.example.com'",
            f"file://{folder}/../outside.wav": "lies outside of the folder of the sounds",
            f"file://{folder}/none.wav": "cannot be read: No such file or directory",
            host.uri("/none.wav"): "the host answers 404",
            host.uri("/large.wav"): f"wanted at most {MAX_BYTES}",
            host.uri("/slow.wav"): f"is not there within {WITHIN_S:g} s",
            host.uri("/half.wav"): "its end is missing",
            host.uri("/moved.wav"): "redirects are not followed",
            f"file://{folder}/cut.wav": "its end is missing",
            host.uri("/page.wav"): "cannot be read as wav",
        }
        bad = [asked(msgspec.structs.replace(spare, song_id=f"bad-{n}"), uri) for n, uri in enumerate(refused)]
        live.produce(AUDIO_RELEASES, [(one.song_id, one, now_ms) for one in bad])
        unread = [
            one
            for one in malformed(300, seed=6, at_ms=int(time.time() * 1000), limits=live.settings().contracts)
            if one.topic is AUDIO_RELEASES
        ]
        live.produce(AUDIO_RELEASES, [(one.key, one.value, one.at_ms) for one in unread])
        live.produce(SONG_RELEASES, [(late.song_id, None, now_ms + 1)])  # before its sound has been heard
        live.produce(AUDIO_RELEASES, [(late.song_id, asked(late, host.uri("/late.wav")), now_ms)])
        live.workers["f0"].kill()  # whatever it is at
        featurizer(live, "f1", host, folder)
        live.drained()
        assert live.stop_all() == {"w0": 0, "f0": -9, "f1": 0}

        # every sound that can be had: vectors, an embedding, listeners
        reached = {target.song_id for _, _, target in live.contracts(PUSH_TARGETS)}
        assert reached & {song.song_id for song in new} == {song.song_id for song in new[:RELEASED]}
        for song in new[:RELEASED]:
            [filled] = set(values(live, SONG_RELEASES, song.song_id))  # a second copy is byte-identical
            expected = msgspec.structs.replace(heard(song, sounds[song.song_id]), vectors_by="mel-32")
            assert msgspec.json.decode(filled, type=Release) == expected

        # the withdrawn one stays withdrawn, and says so last
        said = values(live, SONG_RELEASES, late.song_id)
        assert said[0] is None and any(said) and said[-1] is None
        assert set(values(live, SONG_EMBEDDINGS, late.song_id)) == {None}

        # each that cannot: one dead letter, with the reason
        letters = [
            read_dead_letter(record.key, record.value, record.headers)
            for record in live.records(AUDIO_RELEASES.dead_letters)[0]
        ]
        reasons = {(letter.key or b"").decode("utf-8", "replace"): letter.reason for letter in letters}
        places = {(letter.partition, letter.offset) for letter in letters}
        assert len(places) == len(bad) + len(unread) and len(unread) > 40
        for one, (uri, why) in zip(bad, refused.items(), strict=True):
            assert why in reasons[one.song_id], (uri, reasons[one.song_id])
        check(live)
