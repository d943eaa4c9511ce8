"""How a model is trained, as frozen values read from config/models/*.toml.

Grades: FOUND was written by the authors or their company; every other default is our reconstruction: the paper does
not publish this value, so it is a switch.
"""

import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from bcl_model.errors import BadModelSettings
from bcl_model.familiarity import WEIGHT

S = TypeVar("S")

SLOPE = 0.01  # of the LeakyReLU below zero, in training (encoder.py) and serving (inference.py)


class Similarity(StrEnum):
    DOT = "dot"  # FOUND: the inner product of two song vectors
    COSINE = "cosine"  # our reconstruction: what is served and compared, however it was trained


class Grouping(StrEnum):
    """Which fields make the two views."""

    NONE = "none"  # no groups: both views disturb every field
    RANDOM = "random"  # RFM
    TOP = "top"  # CFM: the most correlated partners of a seed field
    GUMBEL = "gumbel"  # CGM: partners drawn in proportion to the correlation


class Operator(StrEnum):
    RANDOM = "random"
    SPAN = "span"
    NOISE = "noise"
    MIXTURE = "mixture"


class Reading(StrEnum):
    """How operators meet groups; the paper leaves both open."""

    DISTURB_OTHERS = "A"  # view 1 keeps group 1 and disturbs group 2, view 2 the reverse
    KEEP_OWN = "B"  # view v holds only group v, disturbed; the rest is a learned default


class FieldUnit(StrEnum):
    FIELD = "field"
    CHUNK = "chunk"
    DIMENSION = "dimension"


class Estimator(StrEnum):
    PLAIN = "plain"
    U_CENTRED = "u_centred"


class CorrelationOn(StrEnum):
    INPUT = "input"
    EMBEDDING = "embedding"


class ContrastFrom(StrEnum):
    CATALOGUE = "catalogue"  # uniform, without replacement: as in the ancestor (Yao et al.)
    PAIRS = "pairs"  # the ablation: follows the power law of the training pairs


class Through(StrEnum):
    """What leads from a song to listeners, where no evidence is weighed."""

    NEAR_SONGS = "near_songs"  # how many of them a listener heard
    LIVE = "live"  # cosine to the mean of their audiences and to the song, and how many of them a listener heard


@dataclass(frozen=True)
class ContentSettings:
    """Which fields are read, where no description of them is given."""

    leave_out: tuple[str, ...] = ("artist",)  # our reconstruction: whether the paper uses the artist is not known
    min_songs: int = 2  # a token on fewer songs counts as unknown


@dataclass(frozen=True)
class AudienceSettings:
    """Fields made of plays: where the audiences of the songs lie that share a word (see audiences.py)."""

    fields: tuple[str, ...] = ()  # of words, as artist and album; none: content alone. Our reconstruction
    width: int = 64  # of each vector
    seed: int = 1  # of the basis of tastes

    def __post_init__(self) -> None:
        if self.width < 1:
            raise BadModelSettings(f"audience.width is {self.width!r}, wanted 1 or more")


@dataclass(frozen=True)
class EncoderSettings:
    layers: tuple[int, ...] = (256, 128, 64)
    head: tuple[int, ...] = (64,)  # empty: no head, the contrastive loss sees h


@dataclass(frozen=True)
class PairSettings:
    per_song: int = 50  # most similar songs kept as positives
    min_common: int = 3  # listeners that two songs must share
    min_good_rate: float = 0.0  # posterior check, needs an impression log: quantile of the good-feedback rate; 0: off
    min_impressions: int = 20
    keep_unjudged: bool = True  # pairs with fewer impressions pass


@dataclass(frozen=True)
class RankingSettings:
    similarity: Similarity = Similarity.COSINE
    temperature: float = 0.1  # of the cosine; the inner product is taken as it is
    negatives: int = 256  # uniform over the training songs (FOUND: uniform); how many is ours
    shared_negatives: bool = True  # drawn once for a batch of pairs instead of for each pair
    absent_share: float = 0.0  # of the fields taken away, so that songs without an album, say, are met in training
    unknown_share: float = 0.02  # of the words replaced by the unknown word, so that it learns what to say


@dataclass(frozen=True)
class ContrastSettings:
    weight: float = 0.1  # lambda; 0: BPR only, which is CB2CF
    temperature: float = 0.1
    songs: int = 256  # of a step; with 512 a step costs 1.6 times one of BPR only, with 256 1.3 times
    both_directions: bool = False
    songs_from: ContrastFrom = ContrastFrom.CATALOGUE


@dataclass(frozen=True)
class CorrelationSettings:
    decay: float = 0.99  # weight of the OLD matrix in the moving average
    every: int = 100  # steps
    on: CorrelationOn = CorrelationOn.INPUT
    estimator: Estimator = Estimator.U_CENTRED
    rows: int = 512
    unit: FieldUnit = FieldUnit.FIELD
    chunks: int = 4  # of a vector field, where the unit is the chunk


@dataclass(frozen=True)
class GroupingSettings:
    kind: Grouping = Grouping.GUMBEL
    share: float = 0.5  # of the units in the seed's group, the seed included
    seed_per_sample: bool = False
    temperature: float = 1.0
    complementary: bool = True  # else the second view draws its own group


@dataclass(frozen=True)
class AugmentSettings:
    operator: Operator = Operator.MIXTURE
    reading: Reading = Reading.DISTURB_OTHERS
    mask_share: float = 0.2
    span_share: float = 0.2
    mean_span: float = 4.0
    noise: float = 0.1  # in units of each field's standard deviation
    mixture: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)  # random, span, noise


@dataclass(frozen=True)
class ReachSettings:
    """How listeners are scored for a song that nobody has heard, in evaluation; all ours, the paper's way is CAT."""

    fitted: bool = False  # by evidence weighed on the validation songs (reach.py, ranker.py)
    through: Through = Through.NEAR_SONGS  # if not fitted
    familiarity: float = WEIGHT  # of live; 0: by the vectors alone
    similarity: bool = True  # the model's similarities are evidence; off: the ablation that shows what they add
    fields: tuple[str, ...] = ()  # of words that a listener's own songs are counted by
    neighbours: int = 200  # nearest warm songs
    temperatures: tuple[float, ...] = (0.02, 0.05, 0.2)  # of the softmax over them, evidence for each
    ridge: float = 300.0  # of EASE between words
    width: int = 400  # of the basis of tastes in which listeners and audiences lie
    hidden: int = 16
    negatives: int = 20  # listeners, and as many songs, that each heard pair is ranked above
    steps: int = 600
    learning_rate: float = 1e-2


@dataclass(frozen=True)
class RunSettings:
    steps: int = 600
    pairs_per_step: int = 1024
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.1  # share that is left at the last step; falls along a cosine
    weight_decay: float = 1e-6
    validation_share: float = 0.05  # of the songs, held out as cold ones
    validate_every: int = 100  # steps
    patience: int = 5  # validations without a better one; then the best is kept
    checkpoint_every: int = 200  # steps, where a folder for checkpoints is given
    seed: int = 1
    threads: int = 1  # more are faster only where the cores are free: torch spins while it waits
    device: str = "cpu"
    bf16: bool = False
    compile: bool = False


@dataclass(frozen=True)
class TrainSettings:
    content: ContentSettings = field(default_factory=ContentSettings)
    audience: AudienceSettings = field(default_factory=AudienceSettings)
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    pairs: PairSettings = field(default_factory=PairSettings)
    ranking: RankingSettings = field(default_factory=RankingSettings)
    contrast: ContrastSettings = field(default_factory=ContrastSettings)
    correlation: CorrelationSettings = field(default_factory=CorrelationSettings)
    grouping: GroupingSettings = field(default_factory=GroupingSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    reach: ReachSettings = field(default_factory=ReachSettings)
    run: RunSettings = field(default_factory=RunSettings)


def read_settings(path: Path) -> TrainSettings:
    return from_file(TrainSettings, path, "model settings")


def from_file(kind: type[S], path: Path, named: str) -> S:
    try:
        with path.open("rb") as file:
            return section(kind, tomllib.load(file), path.name)
    except FileNotFoundError:
        raise BadModelSettings(f"there are no {named} at {path}") from None
    except tomllib.TOMLDecodeError as error:
        raise BadModelSettings(f"{path}: {error}") from None


def section(kind: type[S], table: Mapping[str, Any], name: str) -> S:
    """A settings value from a table; what the table leaves out keeps its default."""
    wanted = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in wanted:
            near = get_close_matches(key, wanted, 1)
            raise BadModelSettings(f"{name}: unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else ""))
        values[key] = _value(wanted[key], value, f"{name}.{key}")
    return kind(**values)


def to_table(settings: Any) -> dict[str, Any]:
    return {one.name: _plain(getattr(settings, one.name)) for one in fields(settings)}


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _value(wanted: Any, value: Any, name: str) -> Any:
    if is_dataclass(wanted) and isinstance(wanted, type):
        if not isinstance(value, Mapping):
            raise BadModelSettings(f"{name} is {value!r:.80}, wanted a table")
        return section(wanted, value, name)
    if isinstance(wanted, type) and issubclass(wanted, StrEnum):
        try:
            return wanted(value)
        except ValueError:
            raise BadModelSettings(f"{name} is {value!r:.80}, wanted one of {', '.join(wanted)}") from None
    if isinstance(wanted, types.GenericAlias):  # tuple[int, ...], tuple[float, ...]
        if not isinstance(value, (list, tuple)):
            raise BadModelSettings(f"{name} is {value!r:.80}, wanted a list")
        return tuple(_value(wanted.__args__[0], one, f"{name}[{n}]") for n, one in enumerate(value))
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise BadModelSettings(f"{name} is {value!r:.80}, wanted {wanted.__name__}")
    return value
