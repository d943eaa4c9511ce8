"""What a listener has asked for, as a listener shard keeps it: settings, and that they be forgotten."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from streams.contracts.ids import key_of
from streams.contracts.listeners import ListenerSettings
from streams.settings import AdmissionSettings
from streams.state.layout import ERASED, SETTINGS, keyed, named
from streams.state.store import Store
from streams.targeting.eligibility import is_erased

Wishes: TypeAlias = tuple[Sequence[ListenerSettings | None], Sequence[int | None]]  # of each, and erased when

_SETTINGS = msgspec.msgpack.Decoder(ListenerSettings)


def decode_settings(raw: bytes) -> ListenerSettings:
    return _SETTINGS.decode(raw)


def settings_of(store: Store, listener_id: str) -> ListenerSettings | None:
    raw = store.get(named(SETTINGS, listener_id))
    return None if raw is None else decode_settings(raw)


def put_settings(store: Store, settings: ListenerSettings) -> None:
    store.put(named(SETTINGS, settings.listener_id), msgspec.msgpack.encode(settings))


def erased_ms(store: Store, listener_id: str) -> int | None:
    """When the listener asked to be forgotten: plays up to then count nothing for ever."""
    [found] = erased_ms_of(store, [key_of(listener_id)])
    return found


def erased_ms_of(store: Store, listener_keys: Iterable[int]) -> list[int | None]:
    stored = store.get_many([keyed(ERASED, key) for key in listener_keys])
    return [None if raw is None else int.from_bytes(raw, "little") for raw in stored]


def put_erased(store: Store, listener_id: str, at_ms: int) -> None:
    store.put(keyed(ERASED, key_of(listener_id)), at_ms.to_bytes(8, "little"))


def consents(settings: ListenerSettings | None, erased_ms: int | None, admission: AdmissionSettings) -> bool:
    """Who was erased has to consent anew; of others the default holds until they say something."""
    if is_erased(settings, erased_ms):
        return False
    return settings.consent if settings is not None else admission.consent_by_default
