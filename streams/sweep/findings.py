"""What the measured numbers say, in words: every sentence follows from an interval, and what was not shown is said so.

A difference counts as shown where its p-value is below 5 % after one Holm correction over all comparisons of its study.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from streams.settings import Settings
from streams.sweep import rules as of
from streams.sweep.clusterings import CLUSTERINGS
from streams.sweep.samples import Asked, Difference, Samples, differences, slopes
from streams.sweep.studies import SKEW, Found
from streams.sweep.variants import AS_SET, BCL, BPR, CFM, RFM

PRECISION, REACH, RECALL, BY_NEIGHBOURS = "precision", "reach", "recall", "precision_by_neighbours"
RARE = "recall_in_decile_1"
NAMED = {
    REACH: "reach of every true crowd",
    RECALL: "recall@50 of the true neighbours",
    BY_NEIGHBOURS: "precision of targets by neighbours",
    RARE: "recall@50 of the rarest tenth of true neighbours",
}
TREND = "slope over the Gini of the plays"
COMPARED = (2, 3, 5, 10)  # numbers of crowds that are set against one; the figure has all
SAID_AT_MOST = 6  # of a list; of more, the four largest and the smallest


@dataclass(frozen=True)
class Block:
    """Variants that are set against one reference, and what they are about."""

    reference: str
    variants: tuple[str, ...]
    about: str = ""


@dataclass(frozen=True)
class Answer:
    """In a paragraph, and in all detail."""

    short: str
    long: tuple[str, ...]
    compared: Mapping[Asked, Difference]

    def to_json(self) -> dict[str, Any]:
        rows = [asdict(asked) | asdict(one.estimate) | {"p": one.p} for asked, one in self.compared.items()]
        return {"answer": self.short, "detail": list(self.long), "compared": rows}


def answers(found: Found) -> dict[str, Answer]:
    return {study: answer(study, found) for study in found.studies}


def answer(study: str, found: Found) -> Answer:
    places, settings = found.studies[study], found.sweep.bench.settings
    every = next(iter(places.values()))
    blocks, measures = blocks_of(study, settings, every), measures_of(study, every)
    apart = {
        Asked(place, measure, block.reference, variant): samples.apart(variant, block.reference, measure)
        for place, samples in places.items()
        for block in blocks
        for measure in measures
        for variant in block.variants
    }
    if len(found.levels) > 1 and study == SKEW:
        apart |= trends(found, measures)
    compared = differences(apart)
    long = []
    for place, samples in places.items():
        long.append(f"{_at(place)}{skewness(found, place)}{best(samples, measures)}")
        for block in blocks:
            sentences = [told(compared, samples, place, block, measure) for measure in measures]
            long.append(f"{block.about}{' '.join(sentences)}")
    over_skew = [trend(asked, one) for asked, one in compared.items() if asked.place == TREND]
    long += over_skew
    short = [counted(compared, every.unit)]
    if study == SKEW:
        short += [_at(place) + ends(compared, places[place], place, blocks[0], measures[:1]) for place in places]
        short += over_skew[:3]
    else:
        first = next(iter(places))
        short += [_at(first) * (n == 0) + ends(compared, every, first, of, measures) for n, of in enumerate(blocks)]
    return Answer(" ".join(short), tuple(long), compared)


def _at(place: str) -> str:
    return f"At {place}: " if place else ""


def measures_of(study: str, samples: Samples) -> list[str]:
    wanted = [PRECISION, REACH] if study in of.TARGETING_STUDIES else [RECALL, BY_NEIGHBOURS, RARE]
    return [measure for measure in wanted if measure in samples.measures]


def blocks_of(study: str, settings: Settings, samples: Samples) -> list[Block]:
    if study == "vectors":
        return [
            Block(of.vectors_name(kind, 1), tuple(of.vectors_name(kind, more) for more in of.VECTORS[1:]))
            for kind in of.BY_VECTORS
        ]
    if study == "crowds":
        return [block for kind in of.BY_CROWDS for block in _of_crowds(kind, settings.matching.crowds)]
    reference = {"rules": of.live_name(settings), "operators": BPR, "contrast": BPR, SKEW: BCL}.get(study, AS_SET)
    return [Block(reference, tuple(name for name in samples.variants if name != reference))]


def _of_crowds(kind: str, configured: int) -> list[Block]:
    """More crowds against one, and other ways to find as many as are configured."""
    means = [of.crowds_name(kind, "k-means", k) for k in of.CROWDS]
    others = [of.crowds_name(kind, way, configured) for way in CLUSTERINGS if way != "k-means"]
    if configured in of.WHOLE_CROWDS:
        others.append(of.crowds_name(kind, of.WHOLE, configured))
    return [
        Block(means[0], tuple(means[k - 1] for k in COMPARED), f"Rule {kind}, how many crowds: "),
        Block(of.crowds_name(kind, "k-means", configured), tuple(others), f"Rule {kind}, how crowds are found: "),
    ]


def counted(compared: Mapping[Asked, Difference], unit: str) -> str:
    ahead, behind = (sum(_is(one, sign) for one in compared.values()) for sign in (1, -1))
    alone = sum(one.is_shown_alone for one in compared.values())
    return (
        f"Of {len(compared)} comparisons, each paired {unit} by {unit}, {ahead} show a variant ahead of its reference "
        f"and {behind} show it behind; {alone} more would be shown if each were the only one, and "
        f"{len(compared) - ahead - behind - alone} show no difference."
    )


def best(samples: Samples, measures: Sequence[str]) -> str:
    said = [
        f"in {name_of(measure)} {first} ({samples.estimate(first, measure)})"
        for measure in measures
        for first in [samples.best(measure)]
    ]
    return f"The highest mean has {', '.join(said)}."


def ends(
    compared: Mapping[Asked, Difference], samples: Samples, place: str, block: Block, measures: Sequence[str]
) -> str:
    """A reference and the two variants that differ most from it."""
    sentences = []
    for measure in measures:
        found = {name: compared[Asked(place, measure, block.reference, name)] for name in block.variants}
        ordered = sorted(found, key=lambda name: found[name].estimate.mean)
        said = [
            f"{word} is {name} ({found[name]}{_surely(found[name])})"
            for word, name in (("the highest of the others", ordered[-1]), ("the lowest", ordered[0]))
        ]
        reference = f"{block.reference} has {samples.estimate(block.reference, measure)}"
        sentences.append(f"In {name_of(measure)} {reference}; {', '.join(said)}.")
    return block.about + " ".join(sentences)


def told(compared: Mapping[Asked, Difference], samples: Samples, place: str, block: Block, measure: str) -> str:
    """Who is ahead of a reference, who behind, and who cannot be told from it."""
    found = {name: compared[Asked(place, measure, block.reference, name)] for name in block.variants}
    parts = []
    for sign, word in ((1, "ahead of it"), (-1, "behind it")):
        if names := [name for name, one in found.items() if _is(one, sign)]:
            parts.append(f"{word} {_are(names)} {_listed(found, names)}")
    if alone := [name for name, one in found.items() if one.is_shown_alone]:
        parts.append(f"different from it only if taken alone {_are(alone)} {_listed(found, alone)}")
    if alike := [name for name, one in found.items() if not one.is_shown and not one.is_shown_alone]:
        parts.append(f"no difference is shown for {_listed(found, alike)}")
    start = f"In {name_of(measure)}, with {block.reference} at {samples.estimate(block.reference, measure)}"
    return f"{start}: {'; '.join(parts)}."


def name_of(measure: str) -> str:
    return NAMED.get(measure, measure.replace("_", " "))


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _surely(difference: Difference) -> str:
    return "" if difference.is_shown else ", shown if alone" if difference.is_shown_alone else ", not shown"


def _is(difference: Difference, sign: int) -> bool:
    return difference.is_shown and difference.estimate.mean * sign > 0


def _listed(found: Mapping[str, Difference], names: Sequence[str]) -> str:
    """The largest difference first, and of many only the ends."""
    ordered = sorted(names, key=lambda name: -abs(found[name].estimate.mean))
    if len(ordered) <= SAID_AT_MOST:
        return ", ".join(f"{name} ({found[name]})" for name in ordered)
    ends = [f"{name} ({found[name]})" for name in (*ordered[:4], ordered[-1])]
    return ", ".join([*ends[:4], f"{len(ordered) - 5} between", ends[4]])


def skewness(found: Found, place: str) -> str:
    if place not in found.levels:
        return ""
    skew = found.levels[place].skew
    return (
        f"The Gini of the plays is {skew['gini']:.2f}; {skew['plays_of_the_first_percent']:.0%} of them are of the "
        f"first percent of the songs, and {skew['songs_that_are_not_warm']:.0%} of the songs are not warm. "
    )


def trends(found: Found, measures: Sequence[str]) -> dict[Asked, np.ndarray]:
    """Does a gap change with the skew? One slope for each world."""
    places = found.studies[SKEW]
    ginis = [found.levels[place].skew["gini"] for place in places]
    return {
        Asked(TREND, measure, other, BCL): slopes(
            ginis, [samples.apart(BCL, other, measure).tolist() for samples in places.values()]
        )
        for measure in measures
        for other in (BPR, RFM, CFM)
    }


def trend(asked: Asked, slope: Difference) -> str:
    change = f"{slope} for a Gini higher by 1"
    gap = f"the gap of {asked.variant} over {asked.reference} in {name_of(asked.measure)}"
    if not slope.is_shown:
        return f"That {gap} changes with the skew is not shown ({change})."
    return f"{gap[0].upper()}{gap[1:]} {'grows' if slope.estimate.mean > 0 else 'shrinks'} with the skew ({change})."
