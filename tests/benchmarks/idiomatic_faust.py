"""The rival: the same job as Faust's documentation teaches it - a model for each message, a table, an agent per event.

Records as models, state in a RocksDB table with its changelog, one `async for` over the plays, samples sent with
`topic.send`. Run by `ingest`, as: python -m tests.benchmarks.idiomatic_faust worker --without-web -l warn
"""

import os
from typing import Any

import faust
import numpy as np

HALF_LIFE_MS = 30 * 86_400_000
KEEP_PLAYS = 32
SAMPLE_EVERY = 20


class Play(faust.Record, serializer="json"):
    play_id: str
    listener_id: str
    song_id: str
    played_ms: int
    listened_ms: int
    song_ms: int
    liked: bool = False
    market: str | None = None
    target_id: str | None = None


class Listener(faust.Record, serializer="json"):
    played_ms: int  # newest play
    embedding: list[float]
    recent: list[list[Any]]  # played_ms, song_id, strength


class Sample(faust.Record, serializer="json"):
    song_id: str
    listener_id: str
    played_ms: int
    strength: float
    embedding: list[float]


app = faust.App(
    "idiomatic",
    broker=f"kafka://{os.environ['RIVAL_BROKERS']}",
    store="rocksdb://",
    datadir=os.environ["RIVAL_DATA"],
    topic_partitions=int(os.environ["RIVAL_PARTITIONS"]),
)
plays_topic = app.topic(os.environ["RIVAL_TOPIC"], key_type=str, key_serializer="raw", value_type=Play)
samples_topic = app.topic("idiomatic-samples", key_type=str, value_type=Sample)
listeners = app.Table("idiomatic-listeners", key_type=str, value_type=Listener)


with np.load(os.environ["RIVAL_SONGS"]) as stored:
    songs = dict(zip(stored["ids"].tolist(), stored["rows"].astype(np.float64), strict=True))


@app.agent(plays_topic)
async def track_listening(plays: faust.StreamT[Play]) -> None:
    effective = 0
    async for play in plays:
        if play.listened_ms < 30_000 and play.listened_ms < 0.5 * play.song_ms:
            continue
        strength = 2.0 if play.liked else 1.5 if play.listened_ms >= 0.9 * play.song_ms else 1.0
        song = songs[play.song_id]
        before = listeners.get(play.listener_id)
        if before is None:
            embedding, recent, newest_ms = strength * song, [], play.played_ms
        else:
            newest_ms = max(before.played_ms, play.played_ms)
            fade = 2.0 ** ((before.played_ms - newest_ms) / HALF_LIFE_MS)
            weight = strength * 2.0 ** ((play.played_ms - newest_ms) / HALF_LIFE_MS)
            embedding, recent = np.array(before.embedding) * fade + weight * song, before.recent
        listeners[play.listener_id] = Listener(
            played_ms=newest_ms,
            embedding=embedding.tolist(),
            recent=[*recent, [play.played_ms, play.song_id, strength]][-KEEP_PLAYS:],
        )
        effective += 1
        if before is not None and effective % SAMPLE_EVERY == 0:
            sample = Sample(play.song_id, play.listener_id, play.played_ms, strength, before.embedding)
            await samples_topic.send(key=play.song_id, value=sample)


if __name__ == "__main__":
    app.main()
