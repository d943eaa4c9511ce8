"""The named moments at which a test may end this process as SIGKILL would: nothing is flushed, nothing is said.

`BCL_CRASH_AT=after-state` ends it when the moment is first reached, `after-state:3` at the third time.
"""

import os
from collections import Counter

VARIABLE = "BCL_CRASH_AT"
EXIT_CODE = 137  # as a shell reports SIGKILL

AFTER_OUTPUTS = "after-outputs"  # published, acknowledged; state not yet written
AFTER_STATE = "after-state"  # written; a checkpoint or the acknowledgement may follow
BEFORE_ACKNOWLEDGEMENT = "before-acknowledgement"
IN_CHECKPOINT = "in-checkpoint"  # its files are copied, its manifest is not

_reached: Counter[str] = Counter()


def reached(name: str) -> None:
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    at, _, nth = wanted.partition(":")
    if at != name:
        return
    _reached[name] += 1
    if _reached[name] == int(nth or 1):
        os._exit(EXIT_CODE)
