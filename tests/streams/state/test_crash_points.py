import os
import subprocess
import sys

import pytest

CODE = """
from streams.state.crash_points import reached
for n in range(3):
    reached("before-acknowledgement")
    reached("after-state")
    print(n, flush=True)
"""


@pytest.mark.parametrize(("crash_at", "code", "printed"), [
    ("", 0, "0\n1\n2\n"), ("after-outputs", 0, "0\n1\n2\n"), ("after-state", 137, ""), ("after-state:1", 137, ""),
    ("after-state:3", 137, "0\n1\n"), ("after-state:4", 0, "0\n1\n2\n"), ("before-acknowledgement:2", 137, "0\n"),
])  # fmt: skip
def test_the_process_ends_where_and_when_it_is_told(crash_at: str, code: int, printed: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CODE], env={**os.environ, "BCL_CRASH_AT": crash_at}, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (code, printed)
