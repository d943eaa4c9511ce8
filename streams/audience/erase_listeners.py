"""A listener who asks for it is forgotten: by the state, by the matrix, and by the samples of every song."""

from dataclasses import dataclass

from streams.audience.audience import Audience
from streams.audience.wishes import erased_ms, put_erased, settings_of
from streams.contracts.crowds import ListenersForgotten
from streams.contracts.ids import keys_of
from streams.contracts.listeners import Erasure
from streams.contracts.messages import Batch, Message
from streams.contracts.topics import AUDIENCE_SAMPLES
from streams.state.layout import EXPOSURE, SETTINGS, named
from streams.state.store import Store


@dataclass
class EraseListeners:
    """What remains is a marker under a hash of the name. What was played or said later stays: topics have no common
    order, so it must not matter whether it was read before the erasure or after.
    """

    audience: Audience
    store: Store
    song_partitions: int

    def handle(self, batch: Batch[Erasure]) -> list[Message]:
        erased: set[str] = set()
        for key, time_ms, erasure in zip(batch.keys, batch.times_ms, batch.values, strict=True):
            listener_id = (erasure.listener_id if erasure else None) or (key or b"").decode()
            asked_ms = (erasure.asked_ms if erasure else None) or time_ms
            self._erase(listener_id, asked_ms)
            erased.add(listener_id)
        if not erased:
            return []
        forgotten = ListenersForgotten(keys_of(sorted(erased)).astype("<u8").tobytes())
        return [
            Message(AUDIENCE_SAMPLES, str(partition), forgotten, batch.times_ms[-1], partition)
            for partition in range(self.song_partitions)
        ]

    def _erase(self, listener_id: str, asked_ms: int) -> None:
        up_to_ms = max(asked_ms, erased_ms(self.store, listener_id) or 0)
        put_erased(self.store, listener_id, up_to_ms)
        self.store.purge([named(EXPOSURE, listener_id)])
        settings = settings_of(self.store, listener_id)
        if settings is None or settings.changed_ms <= up_to_ms:
            self.store.purge([named(SETTINGS, listener_id)])
        self.audience.forget(listener_id, up_to_ms)
