"""How settings are found, read and checked: defaults, then overlays, then the environment, then judgement.

A setting that is missing, unknown, of the wrong type or at odds with another is BadSettings at start, never at the
first message. Secrets come from the environment alone.
"""

import difflib
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints
from zoneinfo import ZoneInfo

from streams.errors import BadSettings
from streams.settings import Settings

PREFIX = "BCL__"
SECRETS = {("kafka", "sasl_password")}
MASK = "***"

Tables = dict[str, dict[str, Any]]
Kinds = Mapping[str, Mapping[str, type]]  # section -> key -> wanted type


def config_folder() -> Path:
    """Where `defaults.toml` and its neighbours are: in a checkout beside the packages, in a wheel inside ours."""
    packaged = Path(__file__).parent / "config_files"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "config"


def load_settings(overlays: Sequence[Path] = (), environment: Mapping[str, str] | None = None) -> Settings:
    """The one place that reads the environment; raises BadSettings."""
    sections = get_type_hints(Settings)
    kinds = {section: get_type_hints(kind) for section, kind in sections.items()}
    tables: Tables = {
        section: {key: "" for key in keys if (section, key) in SECRETS} for section, keys in kinds.items()
    }
    for file in (config_folder() / "defaults.toml", *overlays):
        _lay_over(tables, _read(file), kinds, str(file))
    said = _from_environment(os.environ if environment is None else environment, kinds)
    _lay_over(tables, said, kinds, "environment")
    for section, keys in kinds.items():
        if missing := sorted(keys.keys() - tables[section].keys()):
            raise BadSettings(f"[{section}] {', '.join(missing)} missing; every key has a default in defaults.toml")
    settings = Settings(**{section: kind(**tables[section]) for section, kind in sections.items()})
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Each value within its bounds, and the values in agreement with each other; BadSettings names all faults."""
    faults = [*_out_of_bounds(settings), *(fault for wrong, fault in _AT_ODDS if wrong(settings))]
    if faults:
        raise BadSettings("; ".join(faults))


def shown(settings: Settings) -> dict[str, dict[str, Any]]:
    """All settings as plain values, secrets masked."""
    return {
        section: {key: MASK if (section, key) in SECRETS and value else value for key, value in vars(values).items()}
        for section, values in vars(settings).items()
    }


def _read(file: Path) -> Mapping[str, object]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:  # TOML and UTF-8 errors are ValueErrors
        raise BadSettings(f"{file}: {error}") from error
    for section, key in SECRETS:
        if isinstance(table := tables.get(section), dict) and key in table:
            raise BadSettings(f"{file}: [{section}] {key} is a secret: take it out and set {variable_of(section, key)}")
    return tables


def variable_of(section: str, key: str) -> str:
    return f"{PREFIX}{section}__{key}".upper()


def _from_environment(environment: Mapping[str, str], kinds: Kinds) -> Mapping[str, object]:
    """Texts, turned into what the key wants; a text that cannot be is left as it is, and refused with the others."""
    tables: Tables = {}
    for variable, text in sorted(environment.items()):
        if variable.startswith(PREFIX):
            section, _, key = variable.removeprefix(PREFIX).lower().partition("__")
            wanted = kinds.get(section, {}).get(key, str)
            tables.setdefault(section, {})[key] = _parsed(text, wanted)
    return tables


def _parsed(text: str, wanted: type) -> object:
    if wanted is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return wanted(text)
    except ValueError:
        return text


def _lay_over(tables: Tables, over: Mapping[str, object], kinds: Kinds, source: str) -> None:
    for section, table in over.items():
        if section not in kinds:
            raise BadSettings(f"{source}: [{section}] is no section{_nearest(section, kinds)}")
        if not isinstance(table, Mapping):
            raise BadSettings(f"{source}: {section} is {table!r:.80}, wanted a section [{section}]")
        for key, value in table.items():
            if key not in kinds[section]:
                raise BadSettings(f"{source}: [{section}] {key} is unknown{_nearest(key, kinds[section])}")
            tables[section][key] = _of_kind(kinds[section][key], value, f"{source}: [{section}] {key}", (section, key))


def _of_kind(wanted: type, value: object, name: str, path: tuple[str, str]) -> object:
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted or (isinstance(value, float) and not math.isfinite(value)):
        found = MASK if path in SECRETS else f"{value!r:.80}"
        raise BadSettings(f"{name} is {found}, wanted {_WORDS[wanted]}")
    return value


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f", wanted one of {', '.join(sorted(known))}"


_WORDS = {str: "a text", int: "a whole number", float: "a finite number", bool: "true or false"}

_CHOICES = {
    ("kafka", "security"): ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    ("kafka", "sasl_mechanism"): ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    ("kafka", "compression"): ("none", "lz4", "zstd"),
    ("scoring", "rule"): ("max", "share", "mean", "mass", "blend", "quota", "song"),
    ("scoring", "candidates"): ("all", "audience"),
}

# Where the unit at the end of a name does not say it all.
_BOUNDS: dict[tuple[str, str], tuple[float, float]] = {
    ("worker", "http_port"): (0, 65_535),
    ("worker", "commit_every_s"): (0.01, 60),
    ("worker", "deadline_tick_s"): (0.01, 10),
    ("worker", "progress_within_s"): (1, math.inf),
    # A dead letter holds the record and must itself be one that Kafka takes: at most 1 MiB by default.
    ("contracts", "max_record_bytes"): (2_000, 1_000_000),
    ("topics", "listener_partitions"): (1, 10_000),
    ("topics", "song_partitions"): (1, 10_000),
    ("matching", "min_similarity"): (-1, 1),
    ("matching", "max_share_per_neighbour"): (0.001, 1),
    ("matching", "exact_below_songs"): (0, math.inf),
    ("matching", "budget"): (1, 10_000_000),
    ("crowds", "crowds_per_song"): (1, 255),
    ("matching", "crowds"): (1, 255),  # a listener's crowd travels in one byte
    ("crowds", "half_life_days"): (0.01, math.inf),
    ("listening", "half_life_days"): (0.01, math.inf),
    ("listening", "strength_played"): (0.001, 1_000),
    ("listening", "strength_completed"): (0.001, 1_000),
    ("listening", "strength_liked"): (0.001, 1_000),
    ("scoring", "sharpness"): (0.001, 1_000),
    ("scoring", "familiarity"): (0, 1_000),
    ("scoring", "margin_sigmas"): (0, 100),
    ("admission", "rolling_cap"): (0, math.inf),
    ("admission", "day_cap"): (0, math.inf),
    ("admission", "quiet_from_minute"): (0, 1_439),
    ("admission", "quiet_to_minute"): (0, 1_439),
}


def _out_of_bounds(settings: Settings) -> Iterator[str]:
    for section, values in vars(settings).items():
        for key, value in vars(values).items():
            if choices := _CHOICES.get((section, key)):
                if value not in choices:
                    yield f"[{section}] {key} is {value!r:.80}{_nearest(value, choices)}"
            elif isinstance(value, int | float) and not isinstance(value, bool):
                least, most = _BOUNDS.get((section, key), _usual_bounds(key, value))
                if not least <= value <= most:
                    yield f"[{section}] {key} is {value!r}, wanted {least:g} to {most:g}"


def _usual_bounds(key: str, value: float) -> tuple[float, float]:
    """A share lies within 0 and 1, a duration is not negative, and of what is counted there is at least one."""
    if re.search(r"(^|_)share(_|$)", key):
        return (0, 1)
    return (1 if isinstance(value, int) else 0, math.inf)


def _unknown_zone(zone: str) -> bool:
    try:
        return zone != "suppress" and not ZoneInfo(zone)
    except (OSError, ValueError, LookupError):
        return True


# What no value can say alone.
_AT_ODDS: tuple[tuple[Callable[[Settings], bool], str], ...] = (
    (
        lambda s: not re.fullmatch(r"[^\s:,]+:\d{1,5}(,[^\s:,]+:\d{1,5})*", s.kafka.brokers),
        "[kafka] brokers must be host:port, several separated by commas",
    ),
    (
        lambda s: 3 * s.kafka.heartbeat_ms > s.kafka.session_timeout_ms,
        "[kafka] heartbeat_ms must be at most a third of session_timeout_ms",
    ),
    (
        lambda s: s.kafka.security.startswith("SASL") and not (s.kafka.sasl_user and s.kafka.sasl_password),
        f"[kafka] security with SASL wants sasl_user and, in the environment, {variable_of('kafka', 'sasl_password')}",
    ),
    (
        lambda s: bool(s.kafka.cert_file) != bool(s.kafka.key_file),
        "[kafka] cert_file and key_file go together",
    ),
    (
        lambda s: not re.fullmatch(r"[A-Za-z0-9._-]{0,100}", s.topics.prefix),
        "[topics] prefix may hold letters, digits, dots, underscores and hyphens",
    ),
    (
        lambda s: s.topics.min_insync > s.topics.replication,
        "[topics] min_insync must be at most replication: nothing would ever be acknowledged",
    ),
    (lambda s: not s.worker.data, "[worker] data must name a folder"),
    (lambda s: not s.model.artifact, "[model] artifact must name a folder"),
    (
        lambda s: not {one.strip() for one in s.featurize.schemes.split(",")} <= {"https", "http", "file"},
        "[featurize] schemes may be https, http and file, with commas between them",
    ),
    (
        lambda s: "file" in s.featurize.schemes and not s.featurize.folder,
        "[featurize] schemes with file wants folder, below which the sounds lie",
    ),
    (lambda s: not s.featurize.encoder, "[featurize] encoder must be mel or name a folder"),
    (lambda s: not s.featurize.audio_field, "[featurize] audio_field must name a field"),
    (
        lambda s: (
            s.topics.song_partitions * s.featurize.songs_per_batch * s.featurize.fetch_within_s
            > s.featurize.fetches_at_once * s.worker.progress_within_s
        ),
        "[featurize] songs_per_batch of every partition, fetches_at_once of them side by side, must be fetched within "
        "[worker] progress_within_s, each taking fetch_within_s: slow hosts would look like no progress",
    ),
    (
        lambda s: (
            s.topics.song_partitions * s.featurize.songs_per_batch * s.featurize.decode_within_s
            > s.featurize.decoders * s.worker.progress_within_s
        ),
        "[featurize] songs_per_batch of every partition must be decoded by decoders within [worker] progress_within_s, "
        "each taking decode_within_s: hostile sounds would look like no progress",
    ),
    (
        lambda s: s.worker.commit_every_s > s.worker.progress_within_s,
        "[worker] commit_every_s must be at most progress_within_s",
    ),
    (
        lambda s: s.checkpoints.keep_h * 3600 < s.checkpoints.every_s,
        "[checkpoints] keep_h must cover every_s: the newest checkpoint would be removed before the next is taken",
    ),
    (
        lambda s: s.listening.completed_share < s.listening.effective_share,
        "[listening] completed_share must be at least effective_share",
    ),
    (
        lambda s: not s.listening.strength_played <= s.listening.strength_completed <= s.listening.strength_liked,
        "[listening] strengths must not fall from played to completed to liked",
    ),
    (
        lambda s: s.crowds.warm_at_listeners > s.crowds.listeners_per_song,
        "[crowds] warm_at_listeners must be at most listeners_per_song: no song would ever become warm",
    ),
    (
        lambda s: s.crowds.crowds_per_song > s.crowds.listeners_per_song,
        "[crowds] crowds_per_song must be at most listeners_per_song",
    ),
    (
        lambda s: not s.matching.policy or len(s.matching.policy) > 128,
        "[matching] policy must be a name of 1 to 128 characters",
    ),
    (lambda s: not s.admission.hold_out_salt, "[admission] hold_out_salt must not be empty"),
    (
        lambda s: _unknown_zone(s.admission.unknown_zone),
        '[admission] unknown_zone must be an IANA name or "suppress"',
    ),
    (
        lambda s: s.admission.keep_pushes < max(s.admission.rolling_cap, s.admission.day_cap),
        "[admission] keep_pushes must be at least rolling_cap and day_cap: what is forgotten cannot be counted",
    ),
    (
        lambda s: s.admission.keep_pushes_days * 24 < max(s.admission.rolling_h, s.admission.cooldown_h, 48),
        "[admission] keep_pushes_days must cover rolling_h, cooldown_h and two days",
    ),
)
