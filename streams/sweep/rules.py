"""Which rules the targeting studies let choose: each list varies one thing around the live rule."""

from dataclasses import replace

from streams.settings import Settings
from streams.sweep.choosing import OF_CROWDS, Rule
from streams.sweep.clusterings import CLUSTERINGS
from streams.sweep.variants import AS_SET

CROWDS = tuple(range(1, 11))
BY_CROWDS = ("max", "mass", "blend")  # rules for which the crowds are varied
VECTORS = (1, 2, 3, 5)
BY_VECTORS = ("max", "mass", "blend", "song")  # rules for which the listener's vectors are varied
OTHERS = ("song", "single_mean", "weighted_count", "density_ratio", "popularity", "random")


def every_rule(settings: Settings) -> list[Rule]:
    """The live one first."""
    live = Rule(live_name(settings), settings.scoring.rule, familiarity=settings.scoring.familiarity)
    others = [Rule(kind, kind) for kind in (*OF_CROWDS, *OTHERS)]
    return [live, *(other for other in others if replace(other, name=live.name) != live)]


def live_name(settings: Settings) -> str:
    return f"{settings.scoring.rule}{' and familiarity' * (settings.scoring.familiarity > 0)} (live)"


def of_vectors(settings: Settings) -> list[Rule]:
    return [Rule(vectors_name(kind, vectors), kind, vectors=vectors) for kind in BY_VECTORS for vectors in VECTORS]


def vectors_name(kind: str, vectors: int) -> str:
    return f"{kind}, {vectors} vector{'s' * (vectors > 1)}"


def of_crowds(settings: Settings) -> list[Rule]:
    """Every clustering with every number of crowds; and k-means over all listeners instead of the songs' crowds."""
    found = [
        Rule(crowds_name(kind, clustering, k), kind, crowds=k, clustering=clustering)
        for kind in BY_CROWDS
        for clustering in CLUSTERINGS
        for k in CROWDS
    ]
    whole = [
        Rule(crowds_name(kind, WHOLE, k), kind, crowds=k, clustered="listeners")
        for kind in BY_CROWDS
        for k in WHOLE_CROWDS
    ]
    return found + whole


WHOLE = "k-means of listeners"
WHOLE_CROWDS = (1, 2, 3, 5, 8, 10)


def crowds_name(kind: str, clustering: str, crowds: int) -> str:
    return f"{kind}, {clustering}, {crowds}"


def of_matching(settings: Settings) -> list[Rule]:
    """How many neighbours, how much one may weigh, how sharply nearness counts, and how much it is to know them."""
    matching, scoring = settings.matching, settings.scoring
    live = Rule(AS_SET, scoring.rule, familiarity=scoring.familiarity)
    found = [live]
    found += [
        replace(live, name=f"{n} neighbours", neighbours=n) for n in (10, 25, 100, 200) if n != matching.neighbours
    ]
    found += [
        replace(live, name=f"share of a neighbour up to {share:g}", max_share=share)
        for share in (0.05, 0.5, 1.0)
        if share != matching.max_share_per_neighbour
    ]
    found += [replace(live, name=f"sharpness {s:g}", sharpness=s) for s in (3.0, 30.0) if s != scoring.sharpness]
    return found + [
        replace(live, name=f"familiarity {weight:g}", familiarity=weight)
        for weight in (0.0, 0.02, 0.1, 0.2)
        if weight != scoring.familiarity
    ]


TARGETING_STUDIES = {
    "rules": every_rule,
    "vectors": of_vectors,
    "crowds": of_crowds,
    "matching": of_matching,
}
