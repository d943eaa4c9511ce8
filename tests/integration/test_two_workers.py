"""Two workers share a stream of everything: the twin agrees with what they leave, and would see it if it were wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from streams.contracts.targets import Target
from streams.contracts.topics import PUSH_TARGETS
from streams.state.layout import EXPOSURE, LISTENER, OUTCOME
from streams.state.rocksdict_store import RocksdictStore
from streams.world.world import World
from tests.harness.live import Live
from tests.harness.stream import Story, Stream, told
from tests.twin.check import check, settled
from tests.twin.log import last_state


def test_two_workers_leave_what_their_twin_computes_and_the_twin_would_see_what_is_wrong(
    live: Live, world: World
) -> None:
    live.begin("one", "two")
    Stream(live, told(world, Story(), seed=1), lasts_s=6).joined()

    seen = settled(live).seen
    for rule in ("embeddings", "crowds", "exposures", "outcomes", "candidates", "settings"):
        assert seen[rule] > 0, rule
    for reason in ("None", "cooling-down", "held-out"):  # who is told too late or too often, chance and the hour decide
        assert seen[f"reason {reason}"] > 0, reason

    listeners, songs = (last_state(live, side, 0).folder for side in ("listener", "song"))
    change(listeners, LISTENER, lambda raw: raw[: 2 + raw[1]] + raw[18 + raw[1] :])  # one play less, after the market
    change(listeners, EXPOSURE, lambda raw: raw[:1])  # as if nothing had been pushed
    change(songs, OUTCOME, lambda raw: raw.replace(b"\xa6target", b"\xa6tarGet", 1))
    _, _, first = next(one for one in live.contracts(PUSH_TARGETS) if isinstance(one[2], Target))
    live.produce(PUSH_TARGETS, [(first.listener_id, first, first.decided_ms)])  # without the headers
    with pytest.raises(AssertionError) as differences:
        check(live)
    for rule in ("rings", "embeddings", "exposures", "outcomes", "second copies in push-targets"):
        assert f"\n{rule}: 1 of " in str(differences.value)


def change(folder: Path, kind: bytes, how: Callable[[bytes], bytes]) -> None:
    """One row of a kind."""
    store = RocksdictStore(folder)
    key, raw = next(store.items(kind))
    store.put(key, how(raw))
    store.commit({})
    store.close()
