"""A sound that hangs, crashes or swells what decodes it is refused with the reason; the next one is heard."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bcl_model.htcl.settings import SoundSettings
from bcl_model.htcl.sound import read_sound
from streams.errors import BadSettings, UnusableSound
from streams.sounds.decoder import Decoders, decoder_command
from tests.builders.sounds import wav

HEARD = SoundSettings(sample_rate=8_000, seconds=0.5)
WITHIN_S, MOST_BYTES = 1.0, 64_000_000

# The process as it is, with a library that has every fault.
FAULTY = f"""
import os, sys, time
import numpy as np
from streams.sounds.decoder import serve

def decode(raw):
    while raw == b"hang":
        pass
    while raw == b"wait":
        time.sleep(1)
    if raw == b"crash":
        os.abort()
    if raw == b"exit":
        os._exit(3)
    if raw == b"swell":
        np.ones({4 * MOST_BYTES}, dtype=np.uint8)
    if raw == b"stumble":
        raise ZeroDivisionError("no rate")
    return np.frombuffer(raw, dtype=np.uint8)

serve(decode, float(sys.argv[1]), {MOST_BYTES})
"""


def faulty_command(within_s: float) -> tuple[str, ...]:
    return (sys.executable, "-c", FAULTY, str(within_s))


@pytest.fixture(scope="module")
def faulty() -> Iterator[Decoders]:
    decoders = Decoders(faulty_command(WITHIN_S), 1)
    yield decoders
    decoders.close()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"hang", "the sound of 4 bytes cannot be decoded: it takes longer than it may"),
        (b"crash", r"cannot be decoded: it ends what decodes it \(SIGABRT\)"),
        (b"exit", "cannot be decoded: it ended with exit code 3"),
        (b"swell", f"cannot be heard: decoding it takes more than {MOST_BYTES} bytes"),
        (b"stumble", "cannot be heard: no rate"),
    ],
)
def test_what_ends_the_process_costs_one_sound(faulty: Decoders, raw: bytes, why: str):
    with pytest.raises(UnusableSound, match=why):
        faulty.decoded(raw)
    np.testing.assert_array_equal(faulty.decoded(b"\x01\x02"), np.array([1, 2], np.float32))


def test_one_that_waits_for_what_never_comes_is_ended_too():
    decoders = Decoders(faulty_command(0.05), 1)
    with pytest.raises(UnusableSound, match="the sound of 4 bytes cannot be decoded: it takes longer than it may"):
        decoders.decoded(b"wait")
    decoders.close()


def test_sounds_are_decoded_as_without_it_and_side_by_side():
    decoders = Decoders(decoder_command(HEARD.sample_rate, HEARD.seconds, 60.0, 1 << 30), 2)
    sounds = [wav(pitch=110.0 * (n + 1)) for n in range(6)]
    with ThreadPoolExecutor(4) as threads:
        for raw, samples in zip(sounds, threads.map(decoders.decoded, sounds), strict=True):
            np.testing.assert_array_equal(samples, read_sound(raw, HEARD))
    with pytest.raises(UnusableSound, match="a sound of 4 bytes cannot be read as sound"):
        decoders.decoded(b"oops")
    decoders.close()


def test_a_process_that_does_not_start_is_said_so_at_once():
    with pytest.raises(BadSettings, match="does not start: it ended with exit code 5"):
        Decoders((sys.executable, "-c", "raise SystemExit(5)"), 1)
