import os
from pathlib import Path
from typing import cast

from streams.agents.restore import Restore
from streams.metrics import Metrics
from streams.wiring import Wiring
from tests.builders.contracts import settings


def test_state_that_moved_away_is_forgotten_while_other_state_is_being_restored(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for name in ("listener-0", "listener-1", "song-0"):
        (state / name).mkdir(parents=True)
    for name in ("listener-0", "listener-1"):
        os.utime(state / name, (0, 0))
    (state / ".listener-2.restoring").symlink_to(tmp_path / "renamed")  # listed, and gone when it is looked at
    no_shard_is_opened = cast(Wiring, None)

    restore = Restore(no_shard_is_opened, {}, settings(worker={"data": str(tmp_path)}), Metrics())
    restore.forget_strangers({"listener-0"})

    assert {folder.name for folder in state.iterdir()} == {"listener-0", "song-0", ".listener-2.restoring"}
