"""A small process that is the parent of one Java and ends it when its own parent is gone, by whatever signal.

Started with `python -I watchdog.py PARENT REMOVE COMMAND...`; REMOVE is a folder that goes with the parent, or "".
Standard output says Java's process id; standard input takes `terminate` and `kill`; its end means, as the parent's end
does: terminate, and remove the folder.
Ends with Java's exit code. Standard library only, and nothing of streams: it must start in milliseconds.
"""

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

LOOK_EVERY_S = 0.2
MAY_TAKE_S = 15.0  # to end cleanly, before it is killed


def main(parent: int, remove: str, command: list[str]) -> int:
    # Orders come through the pipe alone. A handler and not SIG_IGN: that one Java would inherit, and never end
    signal.signal(signal.SIGTERM, lambda *_: None)
    java = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, stderr=2, preexec_fn=_die_with_the_watchdog)
    print(java.pid, flush=True)
    pipe_ended = threading.Event()

    def obey() -> None:
        while order := sys.stdin.readline():
            (java.kill if order == "kill\n" else java.terminate)()
        pipe_ended.set()

    threading.Thread(target=obey, daemon=True).start()
    while _runs(java, LOOK_EVERY_S):
        if os.getppid() != parent or pipe_ended.is_set():
            java.terminate()
            if _runs(java, MAY_TAKE_S):
                java.kill()
                java.wait()
            if remove:
                _remove(remove)
    return java.returncode if java.returncode >= 0 else 128 - java.returncode


def _runs(java: "subprocess.Popen[bytes]", for_s: float) -> bool:
    try:
        java.wait(for_s)
    except subprocess.TimeoutExpired:
        return True
    return False


def _remove(folder: str) -> None:
    """The node's folder; the last node takes what they had in common with it."""
    shutil.rmtree(folder, ignore_errors=True)
    cluster = pathlib.Path(folder).parent
    if not any(cluster.glob("node-*")):
        shutil.rmtree(cluster, ignore_errors=True)


def _die_with_the_watchdog() -> None:
    """On Linux Java ends even if the watchdog is killed: PR_SET_PDEATHSIG, set by a thread that lasts."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
