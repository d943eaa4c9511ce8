"""Parts in processes: what goes wrong in one of them is told, and ends them all."""

import os
import signal

import pytest

from bcl_model.fields import Content
from bcl_model.inference import SongEncoder
from streams.errors import BadSettings, Stop
from streams.replay.lanes import Contestant, Lane, lanes_of
from streams.replay.parts import OneProcess
from streams.replay.processes import Processes, crew_of
from streams.settings import Settings
from tests.builders.catalogue import untrained_encoder
from tests.builders.contracts import settings

SMALL = settings(topics={"listener_partitions": 3})


def lanes(*policies: Settings) -> list[Lane]:
    contestants = [Contestant(f"p{n}", own, encoder()) for n, own in enumerate(policies)]
    return [lane for lane, _ in lanes_of(contestants)]


def encoder() -> SongEncoder:
    return untrained_encoder(Content({"genre": "jazz"}, {}))


def test_a_part_that_cannot_answer_says_why_and_all_of_them_end() -> None:
    crew = crew_of(lanes(SMALL), 7)
    assert isinstance(crew, Processes) and crew.parts == 3
    assert crew.ask("crowds", [(0, ["s1"])] * 3) == [[None]] * 3
    with pytest.raises(Stop, match=r"replay-0 cannot say crowds:\nTraceback(.|\n)*IndexError"):
        crew.ask("crowds", [(9, [])] * 3)
    assert [process.exitcode for process in crew._processes] == [0, 0, 0]


def test_a_part_that_was_killed_ends_the_replay_with_its_exit_code() -> None:
    crew = Processes(lanes(SMALL), 2)
    crew.ask("crowds", [(0, [])] * 2)
    os.kill(crew._processes[1].pid or 0, signal.SIGKILL)
    crew._processes[1].join()
    with pytest.raises(Stop, match=r"gone while crowds was asked of it; exit codes \{'replay-1': -9\}"):
        crew.ask("crowds", [(0, [])] * 2)


def test_one_worker_is_this_process_and_none_is_refused() -> None:
    assert isinstance(crew_of(lanes(SMALL), 1), OneProcess)
    with pytest.raises(BadSettings, match="0 workers are wanted"):
        crew_of(lanes(SMALL), 0)


def test_policies_share_a_lane_where_they_see_listeners_alike() -> None:
    rarely = settings(topics={"listener_partitions": 3}, admission={"cooldown_h": 9.0})
    others = settings(topics={"listener_partitions": 3}, admission={"hold_out_salt": "another"})
    first, second = lanes(SMALL, rarely, others)
    assert (list(first.policies), list(second.policies)) == (["p0", "p1"], ["p2"])


def test_policies_that_cannot_be_compared_are_refused_by_name() -> None:
    with pytest.raises(BadSettings, match=r"policy p1 has \(8, 4\) listener and song partitions, p0 has \(3, 4\)"):
        lanes(SMALL, settings())
    with pytest.raises(BadSettings, match="two policies have one name"):
        lanes_of([Contestant("a", SMALL, encoder())] * 2)
    with pytest.raises(BadSettings, match="no policy to replay"):
        lanes_of([])
