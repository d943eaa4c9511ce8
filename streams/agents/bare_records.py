"""Records as aiokafka's decoder finds them, without the object of eleven fields that its consumer makes of each.

They have offset, timestamp, key and value, which is all that the door reads (`codec.Record`); aiokafka 0.14 spends more
time on that object than we do on decoding the play in it.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher


class BareRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka is untyped
    def __iter__(self) -> Iterator[Any]:
        records: Iterator[Any] = self._records_iterator
        return records

    def _consumer_record(self, tp: object, record: Any) -> Any:
        return record


def hand_over_bare_records() -> None:
    """From now on, to every consumer of this process: a worker's, whose consumers are all ours."""
    fetcher.PartitionRecords = BareRecords
