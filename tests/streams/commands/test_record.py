"""`bcl record` says what is wrong with what it was asked before it reaches for a broker; its bar tells the pace."""

from pathlib import Path

import pytest

from streams.cli import main
from streams.commands.log_progress import pace


@pytest.mark.parametrize("option", ["--from", "--until"])
def test_a_place_that_is_none_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert main(["record", "--out", str(tmp_path), option, "yesterday"]) == 2
    assert "'yesterday' is no place in a log; wanted earliest, latest" in capsys.readouterr().err


def test_the_pace_tells_the_rate_and_how_much_faster_than_it_was_recorded() -> None:
    assert pace(500_000, 3_600_000, 2.0) == "250,000 a second, 1,800 times as fast as recorded"
    assert pace(500_000, 0, 2.0) == "250,000 a second"
    assert pace(0, 0, 0.0) == ""
