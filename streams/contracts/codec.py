"""The door: bytes become contracts here once, contracts become bytes, and what cannot be read becomes a dead letter.

    record ──► decode_batch ──► Batch of contracts ──► stages
                     └────────► dead letters: field, value, what was wanted

Where a neighbour writes the record, its key must be the id that its value names, and no time may lie further ahead of
the record than the settings allow; stages need not look again.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter, sub
from typing import Any, Final, Protocol, cast

import msgspec

from streams.contracts.dead_letters import DeadLetter
from streams.contracts.listeners import Erasure, ListenerSettings
from streams.contracts.messages import Batch, Message
from streams.contracts.plays import Play
from streams.contracts.releases import AudioRelease, Release
from streams.contracts.targets import Outcome, Suppression, Target
from streams.contracts.topics import DAY_MS, HOUR_MS, LISTENER_ERASURES, READ_FROM_NEIGHBOURS, TOPICS, Topic, Wire
from streams.errors import MalformedMessage
from streams.settings import ContractSettings

Headers = list[tuple[str, bytes]]

SHOWN = 80  # characters of a refused value that a reason repeats
MAX_ID = 128  # characters, as fields.Id
KEPT_KEY_BYTES = 1_024  # of an oversized key; the longest id has 512
FLOAT32_MAX = 3.4028234663852886e38
# contracts.ids hashes several names with this between them: no id may hold it, or two pairs would share a hash.
SEPARATOR = "\x1f"


class Record(Protocol):
    """What the door needs of a Kafka record; aiokafka's and kafka-python's fit, and replay has its own."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


def decode_batch(
    topic: Topic, partition: int, records: Sequence[Record], settings: ContractSettings
) -> tuple[Batch[Any], list[DeadLetter]]:
    """At least one record, in the order of the offsets: what could be read, and what could not, with the reason."""
    offsets, times = [record.offset for record in records], [record.timestamp for record in records]
    keys, values = [record.key for record in records], [record.value for record in records]
    next_offset = offsets[-1] + 1
    plays = _plays_at_once(keys, values, times, settings) if topic.carries is Play else None
    if plays is not None:
        return Batch(topic.name, partition, next_offset, offsets, times, keys, plays, values), []
    good: list[int] = []
    contracts: list[msgspec.Struct | None] = []
    refused: list[DeadLetter] = []
    for n, (time_ms, key, value) in enumerate(zip(times, keys, values, strict=True)):
        try:
            contracts.append(decode(topic, key, value, time_ms, settings))
            good.append(n)
        except MalformedMessage as reason:
            where = (topic.name, partition, offsets[n], time_ms)
            refused.append(_dead_letter(where, key, value, str(reason), settings.max_record_bytes))
    offsets, times = [offsets[n] for n in good], [times[n] for n in good]
    keys, values = [keys[n] for n in good], [values[n] for n in good]
    return Batch(topic.name, partition, next_offset, offsets, times, keys, contracts, values), refused


def decode(
    topic: Topic, key: bytes | None, value: bytes | None, time_ms: int, settings: ContractSettings
) -> msgspec.Struct | None:
    """One record as a contract, None for a withdrawal or a tombstone; raises MalformedMessage."""
    size = len(key or b"") + len(value or b"")
    if size > settings.max_record_bytes and topic in READ_FROM_NEIGHBOURS:
        raise MalformedMessage(
            f"record is {size} bytes long, wanted at most {settings.max_record_bytes}; its end is cut"
        )
    named = _NAMED_BY.get(topic.carries)
    if value is None or (topic is LISTENER_ERASURES and not value):
        if not (topic.compacted or topic is LISTENER_ERASURES):
            raise MalformedMessage(f"value is null, wanted a value: {topic.name} has no withdrawals")
        _id_in(key, named or "the id")
        return None
    contract = decode_value(topic, value)
    return contract if named is None else _believed(contract, named, _id_in(key, named), time_ms, settings)


def decode_value(topic: Topic, value: bytes) -> msgspec.Struct:
    """The bytes alone, without what key and time have to say: enough for what our own stages wrote."""
    try:
        contract: msgspec.Struct = _DECODE[topic.name](value)
        return contract
    except RecursionError as error:
        raise MalformedMessage(f"value is nested too deep: {_shown(value)}") from error
    except msgspec.ValidationError as error:
        raise MalformedMessage(_ill_typed(topic, value, str(error))) from error
    except ValueError as error:  # not JSON or msgpack at all, or text that is not UTF-8
        raise MalformedMessage(f"value is {_shown(value)}, wanted {topic.wire.value}: {error}") from error


def encode(message: Message) -> tuple[bytes, bytes | None]:
    """Key and value: the same message gives the same bytes, fields in the order in which they are declared."""
    value = message.value
    return message.key.encode(), None if value is None else _ENCODE[message.topic.wire](value)


def headers_of(message: Message) -> Headers:
    """CloudEvents attributes (binary mode) of what we publish to neighbours; nothing on topics of our own.

    A record without a value is a tombstone under CloudEvents too, and carries none.
    """
    value = message.value
    if isinstance(value, Target | Suppression):
        kind, name = _EVENTS[type(value)], value.target_id
    elif isinstance(value, Outcome):
        kind, name = _EVENTS[Outcome], f"{value.song_id}/{value.at_ms}"
    else:
        return []
    return [*kind, ("ce_id", name.encode()), ("ce_time", _rfc3339(message.time_ms))]


def cause_of(reason: str) -> str:
    """What reasons have in common that differ only in their values: eight hex digits to count and group by."""
    return blake2b(_VALUES.sub("*", reason).encode(), digest_size=4).hexdigest()


def dead_letter_record(letter: DeadLetter) -> tuple[str, bytes | None, bytes | None, Headers]:
    """Topic, key, value and headers: the bytes as they came, and what is needed to repair and replay them."""
    headers = {
        "reason": letter.reason,
        "cause": cause_of(letter.reason),
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(letter.offset),
        "time": str(letter.time_ms),
        "whole": "no" if letter.is_cut else "yes",
    }
    named = [(name, text.encode("utf-8", "backslashreplace")) for name, text in headers.items()]
    return TOPICS[letter.topic].dead_letters, letter.key, letter.value, named


def read_dead_letter(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> DeadLetter:
    """The way back from `dead_letter_record`."""
    told = {name: text.decode() for name, text in headers}
    try:
        return DeadLetter(
            told["topic"],
            int(told["partition"]),
            int(told["offset"]),
            int(told["time"]),
            key,
            value,
            told["reason"],
            is_cut=told["whole"] != "yes",
        )
    except (KeyError, ValueError) as error:
        raise MalformedMessage(f"not a dead letter: {error!r} in the headers {sorted(told)}") from error


def _plays_at_once(
    keys: list[bytes | None], values: list[bytes | None], times: list[int], settings: ContractSettings
) -> list[Play] | None:
    """Every play, or None if any is in doubt: then `decode` looks at each, and its word counts.

    Accepts only what `decode` accepts (test_plays_read_at_once_are_the_plays_read_one_by_one) at a third of its cost.
    """
    if None in keys or None in values:
        return None
    named, told = cast(list[bytes], keys), cast(list[bytes], values)
    if max(map(len, named)) + max(map(len, told)) > settings.max_record_bytes:
        return None
    try:
        plays: list[Play] = list(map(_PLAY.decode, told))
    except (ValueError, RecursionError):
        return None
    if [play.listener_id.encode() for play in plays] != named:
        return None
    if SEPARATOR.encode() in b"".join(named) or SEPARATOR in "".join([play.song_id for play in plays]):
        return None
    if max(map(sub, map(_PLAYED_MS, plays), times)) > settings.max_ahead_h * HOUR_MS:
        return None
    return plays


def _ill_typed(topic: Topic, value: bytes, error: str) -> str:
    """msgspec's words begin with what was wanted and end with the path; the reason begins with the field."""
    if missing := _MISSING.search(error):
        path = error.partition(" - at `$.")[2].rstrip("`")
        return f"{path + '.' if path else ''}{missing[1]} is missing: {_shown(value)}"
    wanted, _, path = error.partition(" - at ")
    path = path.replace("`", "").removeprefix("key in ").removeprefix("$").removeprefix(".")
    try:
        decoded = (msgspec.json if topic.wire is Wire.JSON else msgspec.msgpack).decode(value)
        found = decoded[re.split(r"[.\[]", path)[0]] if path else decoded
    except (ValueError, LookupError, TypeError, RecursionError):  # a number that only the untyped reader cannot hold
        found = value
    return f"{path or 'value'} is {_shown(found)}: {wanted}"


def _id_in(key: bytes | None, field: str) -> str:
    """The id that a key spells."""
    if not key:
        raise MalformedMessage(f"key is missing, wanted {field}")
    try:
        name = key.decode()
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"key is {_shown(key)}, wanted {field} in UTF-8") from error
    if len(name) > MAX_ID or SEPARATOR in name:
        raise MalformedMessage(f"key is {_shown(name)}, wanted {field}: at most {MAX_ID} characters, no U+001F")
    return name


def _believed(
    contract: msgspec.Struct, named: str, name: str, time_ms: int, settings: ContractSettings
) -> msgspec.Struct | None:
    """What a neighbour says, where it agrees with the record's key and time."""
    if isinstance(contract, Erasure):
        if contract == Erasure():
            return None
        contract = msgspec.structs.replace(contract, listener_id=contract.listener_id or name)
    if (found := getattr(contract, named)) != name:
        raise MalformedMessage(f"key is {_shown(name)}, wanted the {named} of the value: {_shown(found)}")
    ahead_ms = int(settings.max_ahead_h * HOUR_MS)
    match contract:
        case Play():
            _no_later("played_ms", contract.played_ms, time_ms, ahead_ms)
            if SEPARATOR in contract.song_id:
                raise MalformedMessage(f"song_id is {_shown(contract.song_id)}, wanted no U+001F")
        case Release():
            _no_later("released_ms", contract.released_ms, time_ms, int(settings.max_release_ahead_days * DAY_MS))
            _no_overflow(contract)
        case ListenerSettings():
            _no_later("changed_ms", contract.changed_ms, time_ms, ahead_ms)
        case Erasure():
            _no_later("asked_ms", contract.asked_ms or 0, time_ms, ahead_ms)
    return contract


def _no_later(field: str, found_ms: int, time_ms: int, ahead_ms: int) -> None:
    if found_ms - time_ms > ahead_ms:
        raise MalformedMessage(f"{field} is {found_ms}, wanted at most {ahead_ms} ms after its record's time {time_ms}")


def _no_overflow(release: Release) -> None:
    """Numbers become float32 inside: one that is finite only in 64 bits would turn the embedding into infinities."""
    for field, vector in release.vectors.items():
        if max(map(abs, vector)) > FLOAT32_MAX:
            n, number = next((n, x) for n, x in enumerate(vector) if abs(x) > FLOAT32_MAX)
            raise MalformedMessage(f"vectors.{field}[{n}] is {number!r}, wanted a number that float32 can hold")
    for field, value in release.attributes.items():
        if isinstance(value, float) and abs(value) > FLOAT32_MAX:
            raise MalformedMessage(f"attributes.{field} is {value!r}, wanted a number that float32 can hold")


def _dead_letter(
    where: tuple[str, int, int, int], key: bytes | None, value: bytes | None, reason: str, max_bytes: int
) -> DeadLetter:
    """An oversized record keeps only its beginning: a dead letter must itself be a record that Kafka takes."""
    is_cut = len(key or b"") + len(value or b"") > max_bytes
    if is_cut:
        key = key and key[:KEPT_KEY_BYTES]
        value = value and value[: max(max_bytes - KEPT_KEY_BYTES, 0)]
    return DeadLetter(*where, key, value, reason, is_cut=is_cut)


def _shown(value: object) -> str:
    """Cut before it is written out: a value of ten megabytes costs no more than a short one."""
    short = value[:SHOWN] if isinstance(value, str | bytes | list) else value
    text = repr(short)
    return text if len(text) <= SHOWN and short == value else f"{text[:SHOWN]}..."


@lru_cache(maxsize=1_024)  # the targets of a release share the time of the decision
def _rfc3339(time_ms: int) -> bytes:
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()


def _decoder(topic: Topic) -> Callable[[bytes], Any]:
    kinds = topic.carries if isinstance(topic.carries, tuple) else (topic.carries,)
    wanted: Any = kinds[0]
    for kind in kinds[1:]:
        wanted = wanted | kind  # told apart by their tags
    decoder = msgspec.json.Decoder(wanted) if topic.wire is Wire.JSON else msgspec.msgpack.Decoder(wanted)
    decode: Callable[[bytes], Any] = decoder.decode
    return decode


_PLAYED_MS: Final = attrgetter("played_ms")
_PLAY: Final = msgspec.json.Decoder(Play)
_DECODE: Final = {name: _decoder(topic) for name, topic in TOPICS.items()}
_ENCODE: Final = {
    Wire.JSON: msgspec.json.Encoder(order="deterministic").encode,
    # msgspec sorts no dict whose keys are numbers: TargetsSelected travels in the order in which its stage wrote it.
    Wire.MSGPACK: msgspec.msgpack.Encoder().encode,
}
# The field of a neighbour's contract that its key must equal.
_NAMED_BY: Final[dict[object, str]] = {
    Release: "song_id",
    AudioRelease: "song_id",
    Play: "listener_id",
    ListenerSettings: "listener_id",
    Erasure: "listener_id",
}
_EVENTS: Final[dict[type, Headers]] = {
    kind: [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_type", name),
        ("ce_source", source),
    ]
    for kind, name, source in (
        (Target, b"push.target.v1", b"/bcl/push-targets"),
        (Suppression, b"push.suppression.v1", b"/bcl/push-suppressions"),
        (Outcome, b"release.outcome.v1", b"/bcl/release-outcomes"),
    )
}
_MISSING: Final = re.compile(r"missing required field `(\w+)`")
_VALUES: Final = re.compile(r"""b?'(?:[^'\\]|\\.)*'?|b?"(?:[^"\\]|\\.)*"?|\d+(?:\.\d+)?""")
