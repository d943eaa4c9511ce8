"""Places in a log as people say them."""

import pytest

from streams.errors import BadSettings
from streams.recording.offsets import EARLIEST, LATEST, Place, place

NOW = 1_700_000_000_000


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ("earliest", EARLIEST),
        ("latest", LATEST),
        ("ts=1700000000", Place(NOW)),
        ("ts=1699999999.5", Place(NOW - 500)),
        ("last=24h", Place(NOW - 86_400_000)),
        ("last=1.5m", Place(NOW - 90_000)),
        ("last=7d", Place(NOW - 604_800_000)),
    ],
)
def test_a_place_is_an_end_or_a_time(told: str, wanted: Place) -> None:
    assert place(told, NOW) == wanted


@pytest.mark.parametrize("told", ["", "first", "ts=", "ts=yesterday", "last=24", "last=-1h", "LATEST", "ts=1e9"])
def test_what_is_no_place_is_refused_with_what_was_wanted(told: str) -> None:
    with pytest.raises(BadSettings, match="wanted earliest, latest, ts=<unix seconds> or last="):
        place(told, NOW)
