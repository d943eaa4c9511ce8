"""A partition moves to an empty disk: from the newest checkpoint and its tail, an older one, or from the topics."""

import shutil

import pytest

from streams.state.checkpoints import MANIFEST
from streams.world.world import World
from tests.harness.live import Live
from tests.harness.stream import Story, Stream, told
from tests.twin.check import settled

pytestmark = pytest.mark.chaos

SHARDS = ("song-0", "song-1", "listener-0", "listener-1", "listener-2", "listener-3")


def test_an_empty_disk_is_filled_from_the_newest_checkpoint_or_the_one_before_or_from_the_topics(
    live: Live, world: World
) -> None:
    seed = 21
    print(f"seed {seed}")
    live.begin("one")
    of_each(live, "checkpoint", "one")
    Stream(live, told(world, Story(plays=2_000, releases=4), seed), lasts_s=6).joined()
    of_each(live, "checkpoint", "one", times=2)
    live.workers["one"].kill()

    start_on_empty_disk(live, "two")
    of_each(live, "restored from checkpoint", "two")
    Stream(live, told(world, Story(plays=2_000, releases=4, first=4), seed + 1), lasts_s=6).joined()
    live.drained()
    of_each(live, "checkpoint", "two", times=2)
    settled(live, seed)

    newest = {shard: damaged(live, shard) for shard in SHARDS}
    start_on_empty_disk(live, "three")
    for shard, name in newest.items():
        live.until(f"checkpoint {name} of {shard} is refused: ", "three")
    of_each(live, "restored from checkpoint", "three")
    settled(live, seed)

    shutil.rmtree(live.folder / "checkpoints")
    start_on_empty_disk(live, "four")
    of_each(live, "no checkpoint, rebuilt from the topics", "four")
    Stream(live, told(world, Story(plays=1_000, releases=2, first=8), seed + 2), lasts_s=3).joined()
    settled(live, seed)


def start_on_empty_disk(live: Live, name: str) -> None:
    """It is alone, and nobody's disk is left."""
    for other in list(live.workers):
        shutil.rmtree(live.workers.pop(other).data)
    live.start(name)


def of_each(live: Live, said: str, worker: str, times: int = 1) -> None:
    for shard in SHARDS:
        live.until(f"{shard}: {said}", worker, times=times)


def damaged(live: Live, shard: str) -> str:
    """The name of the shard's newest checkpoint, of which one byte is another one now."""
    newest = max((live.folder / "checkpoints" / shard).glob(f"*/{MANIFEST}")).parent
    file = max((one for one in newest.iterdir() if one.name != MANIFEST), key=lambda one: one.stat().st_size)
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.unlink()  # it may be a hard link
    file.write_bytes(raw)
    return newest.name
