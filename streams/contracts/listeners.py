"""What a listener has decided: consent, time zone, quiet hours; and the wish to be forgotten."""

import msgspec

from streams.contracts.fields import EpochMs, Id, MinuteOfDay, Token


class QuietHours(msgspec.Struct, frozen=True):
    from_minute: MinuteOfDay  # of the listener's local day; may lie after to_minute: the night
    to_minute: MinuteOfDay


class ListenerSettings(msgspec.Struct, frozen=True):
    listener_id: Id
    consent: bool
    changed_ms: EpochMs
    time_zone: Token | None = None  # an IANA name
    quiet_hours: QuietHours | None = None


class Erasure(msgspec.Struct, frozen=True):
    """The key of the record is all that is needed; a value may say when it was asked for."""

    listener_id: Id | None = None  # filled in from the key at the door
    asked_ms: EpochMs | None = None
