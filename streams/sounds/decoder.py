"""Decodes sounds in processes of their own, each sound within bounds of time and memory: what ends one costs one sound.

agent -> process    length (8 bytes), bytes of a file
process -> agent    READY; then of each file HEARD or REFUSED, length, float32 samples or the reason

The bounds are the process's own, so the kernel ends it also where the agent is gone: by SIGPROF after its time of a
processor, which no busy machine shortens, and by SIGALRM where it waits for what never comes.
"""

import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import LifoQueue
from typing import IO

import numpy as np
import numpy.typing as npt

from streams.errors import BadSettings, UnusableSound

Samples = npt.NDArray[np.float32]
Decode = Callable[[bytes], Samples]

READY, HEARD, REFUSED = b"+", b"s", b"-"
_LENGTH_BYTES = 8
_WAITS = 10  # times as long as it may compute
_TIMERS = ((signal.ITIMER_PROF, signal.SIGPROF, 1), (signal.ITIMER_REAL, signal.SIGALRM, _WAITS))


class Decoders:
    """Processes that are started when they are first needed, and again when one has ended; for several threads."""

    def __init__(self, command: Sequence[str], count: int) -> None:
        self._command = command
        self._idle: LifoQueue[_Process | None] = LifoQueue()
        for _ in range(count - 1):
            self._idle.put(None)
        self._idle.put(_Process(command))  # whether it can be started shows at once

    def decoded(self, raw: bytes) -> Samples:
        process = self._idle.get()
        try:
            if process is None or process.has_ended():
                process = _Process(self._command)
            return process.decoded(raw)
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """Nobody may be asking any more."""
        for _ in range(self._idle.qsize()):
            process = self._idle.get()
            if process is not None:
                process.end()


class _Process:
    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what is meant for the agent, as an interrupt from the terminal, is not for it
        )
        assert self._process.stdin and self._process.stdout
        self._to, self._from = self._process.stdin, self._process.stdout
        if self._from.read(1) != READY:
            raise BadSettings(f"what decodes sounds does not start: it {self._why_it_ended()}")

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def decoded(self, raw: bytes) -> Samples:
        try:
            _write(self._to, raw)
            kind = self._from.read(1)
            told = _read(self._from)
        except (OSError, EOFError):
            raise UnusableSound(f"the sound of {len(raw)} bytes cannot be decoded: it {self._why_it_ended()}") from None
        if kind == REFUSED:
            raise UnusableSound(f"the sound cannot be heard: {told.decode()}")
        return np.frombuffer(told, dtype=np.float32)

    def end(self) -> None:
        self._to.close()
        self._from.close()
        self._process.kill()
        self._process.wait()

    def _why_it_ended(self) -> str:
        code = self._process.wait()
        self.end()
        if -code in (signal.SIGPROF, signal.SIGALRM):
            return "takes longer than it may"
        return f"ends what decodes it ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"


def serve(decode: Decode, within_s: float, most_bytes: int) -> None:
    """The process's side, until nobody is there to ask."""
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    _bound_memory(most_bytes)
    for _, ends, _ in _TIMERS:
        signal.signal(ends, signal.SIG_DFL)
    answers.write(READY)
    answers.flush()
    while True:
        try:
            raw = _read(asked)
        except EOFError:
            return
        for timer, _, times in _TIMERS:
            signal.setitimer(timer, times * within_s)
        kind, told = _answer(decode, bytes(raw), most_bytes)
        for timer, _, _ in _TIMERS:
            signal.setitimer(timer, 0)
        answers.write(kind)
        _write(answers, told)


def _answer(decode: Decode, raw: bytes, most_bytes: int) -> tuple[bytes, bytes]:
    try:
        return HEARD, np.ascontiguousarray(decode(raw), dtype=np.float32).tobytes()
    except MemoryError:
        return REFUSED, f"decoding it takes more than {most_bytes} bytes".encode()
    except Exception as error:  # whatever a library makes of hostile bytes is said of these bytes alone
        return REFUSED, str(error).encode()


def _bound_memory(most_bytes: int) -> None:
    """Beyond what the process holds already; where the system does not say how much that is, time alone is bound."""
    held = Path("/proc/self/statm")
    if held.exists():
        pages = int(held.read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + most_bytes,) * 2)


def _write(pipe: IO[bytes], said: bytes) -> None:
    pipe.write(len(said).to_bytes(_LENGTH_BYTES) + said)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytearray:
    length = pipe.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        raise EOFError
    told = bytearray(int.from_bytes(length))
    if pipe.readinto(told) < len(told):  # type: ignore[attr-defined]
        raise EOFError
    return told


def decoder_command(sample_rate: int, seconds: float, within_s: float, most_bytes: int) -> Sequence[str]:
    return (sys.executable, "-m", __name__, *map(str, (sample_rate, seconds, within_s, most_bytes)))


def main(sample_rate: str, seconds: str, within_s: str, most_bytes: str) -> None:
    from bcl_model.htcl.settings import SoundSettings
    from bcl_model.htcl.sound import read_sound

    heard = SoundSettings(sample_rate=int(sample_rate), seconds=float(seconds))
    serve(lambda raw: read_sound(raw, heard), float(within_s), int(most_bytes))


if __name__ == "__main__":
    main(*sys.argv[1:])
