"""Which models a study trains: what is varied, one thing at a time, around the settings that it is given."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from bcl_model.settings import ContrastFrom, CorrelationOn, Estimator, Grouping, Operator, Reading, TrainSettings

Variants: TypeAlias = dict[str, TrainSettings]

BPR, RFM, CFM, BCL = "BPR only", "BPR + RFM", "BPR + CFM", "BCL"
SHARES, GROUP_TEMPERATURES = (0.25, 0.5, 0.75), (0.25, 1.0, 4.0)
CONTRASTED = (128, 256, 512, 1024)
WEIGHTS, TEMPERATURES = (0.03, 0.1, 0.3, 1.0), (0.05, 0.1, 0.2, 0.5)
EVERY, DECAYS = (10, 30, 100, 300), (0.0, 0.9, 0.99, 0.999)
LEARNING_RATES, RANKING_TEMPERATURES = (3e-4, 1e-3, 3e-3), (0.05, 0.1, 0.2)
NONE_AT_ALL, AS_SET = "no operator", "as set"


def methods(base: TrainSettings) -> Variants:
    """The four that differ in their views alone."""
    return {
        BPR: changed(base, "contrast", weight=0.0),
        RFM: changed(base, "grouping", kind=Grouping.RANDOM),
        CFM: changed(base, "grouping", kind=Grouping.TOP),
        BCL: changed(base, "grouping", kind=Grouping.GUMBEL),
    }


def operators(base: TrainSettings) -> Variants:
    """Each operator alone and the mixture, in both readings; and the views of groups alone."""
    found = {BPR: changed(base, "contrast", weight=0.0)}
    for reading in Reading:
        for operator in (Operator.MIXTURE, Operator.RANDOM, Operator.SPAN, Operator.NOISE):
            found[f"{operator} {reading}"] = changed(base, "augment", operator=operator, reading=reading)
    found[f"{NONE_AT_ALL} {Reading.KEEP_OWN.value}"] = changed(
        base, "augment", operator=Operator.NOISE, noise=0.0, reading=Reading.KEEP_OWN
    )
    return found


def views(base: TrainSettings) -> Variants:
    """How the groups of the two views are drawn, and which and how many songs are contrasted."""
    found = {AS_SET: base}
    for kind in Grouping:
        if kind is not base.grouping.kind:
            found[f"groups {kind}"] = changed(base, "grouping", kind=kind)
    for share in SHARES:
        if share != base.grouping.share:
            found[f"group of {share:.0%}"] = changed(base, "grouping", share=share)
    for temperature in GROUP_TEMPERATURES:
        if temperature != base.grouping.temperature:
            found[f"group temperature {temperature:g}"] = changed(base, "grouping", temperature=temperature)
    found["a seed field for each song"] = changed(base, "grouping", seed_per_sample=not base.grouping.seed_per_sample)
    found["groups drawn apart"] = changed(base, "grouping", complementary=not base.grouping.complementary)
    found |= {
        f"{songs} songs": changed(base, "contrast", songs=songs) for songs in CONTRASTED if songs != base.contrast.songs
    }
    found["songs of the pairs contrasted"] = changed(base, "contrast", songs_from=ContrastFrom.PAIRS)
    found["contrast in both directions"] = changed(base, "contrast", both_directions=not base.contrast.both_directions)
    found["no head"] = changed(base, "encoder", head=())
    return found


def correlation(base: TrainSettings) -> Variants:
    """How the running matrix is kept: how often, how slowly, of what, and by which estimator."""
    usual = base.correlation
    found = {AS_SET: base}
    found |= {f"every {every}": changed(base, "correlation", every=every) for every in EVERY if every != usual.every}
    found |= {f"decay {decay:g}": changed(base, "correlation", decay=decay) for decay in DECAYS if decay != usual.decay}
    on = CorrelationOn.EMBEDDING if usual.on is CorrelationOn.INPUT else CorrelationOn.INPUT
    found[f"on {on}"] = changed(base, "correlation", on=on)
    for every in EVERY:
        if every != usual.every:
            found[f"on {on}, every {every}"] = changed(base, "correlation", on=on, every=every)
    other = Estimator.PLAIN if usual.estimator is Estimator.U_CENTRED else Estimator.U_CENTRED
    found[f"{other}"] = changed(base, "correlation", estimator=other)
    return found


def contrast(base: TrainSettings) -> Variants:
    """Weight by temperature."""
    found = {BPR: changed(base, "contrast", weight=0.0)}
    for weight in WEIGHTS:
        for temperature in TEMPERATURES:
            found[contrast_name(weight, temperature)] = changed(
                base, "contrast", weight=weight, temperature=temperature
            )
    return found


def contrast_name(weight: float, temperature: float) -> str:
    return f"weight {weight:g}, temperature {temperature:g}"


MODEL_STUDIES: Mapping[str, Callable[[TrainSettings], Variants]] = {
    "operators": operators,
    "views": views,
    "correlation": correlation,
    "contrast": contrast,
}


def candidates(method: TrainSettings, trials: int, seed: int) -> list[TrainSettings]:
    """What is tried for a method: the first as given, the others drawn.

    Draw n is the same for every method as far as the method has the setting: all are offered the same common settings,
    and none a better chance.
    """
    rng = np.random.default_rng([seed, 0x7E57])
    found = [method]
    for _ in range(trials - 1):
        rate, ranking = rng.choice(LEARNING_RATES), rng.choice(RANKING_TEMPERATURES)
        weight, temperature = rng.choice(WEIGHTS), rng.choice(TEMPERATURES)
        drawn = changed(method, "run", learning_rate=float(rate))
        drawn = changed(drawn, "ranking", temperature=float(ranking))
        if method.contrast.weight:
            drawn = changed(drawn, "contrast", weight=float(weight), temperature=float(temperature))
        found.append(drawn)
    return found


def changed(settings: TrainSettings, section: str, **values: Any) -> TrainSettings:
    return replace(settings, **{section: replace(getattr(settings, section), **values)})


def seeded(settings: TrainSettings, seed: int) -> TrainSettings:
    return changed(settings, "run", seed=seed)
