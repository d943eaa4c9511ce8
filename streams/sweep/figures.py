"""The pictures of a sweep, as SVG that is legible on a phone; the same numbers draw the same bytes."""

from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any, TypeAlias

import numpy as np

from streams.judging.judge import Estimate
from streams.sweep import rules as of
from streams.sweep.clusterings import CLUSTERINGS
from streams.sweep.findings import measures_of, name_of
from streams.sweep.samples import Asked, Difference, Samples, interval
from streams.sweep.studies import SKEW, Found
from streams.sweep.variants import BCL, BPR, CFM, RFM, TEMPERATURES, WEIGHTS, contrast_name

Axes: TypeAlias = Any
Compared: TypeAlias = Mapping[Asked, Difference]

WIDTH, ROW, PANEL = 5.2, 0.22, 2.6  # inches


def figures_of(study: str, found: Found, compared: Compared) -> dict[str, str]:
    """Title -> picture."""
    places = found.studies[study]
    measures = measures_of(study, next(iter(places.values())))
    if study == SKEW:
        return {f"BCL minus another, {name_of(measure)}": of_skew(found, measure) for measure in measures}
    drawn = {}
    for place, samples in places.items():
        for measure in measures:
            if study == "rules":
                title, svg = "", of_means(samples, measure)
            elif study == "contrast":
                title, svg = f" over {BPR}", of_contrast(samples, measure)
            elif study == "vectors":
                title, svg = " over one vector", of_vectors(samples, measure)
            elif study == "crowds":
                title, svg = " over one crowd of k-means", of_crowds(samples, measure)
            else:
                title, svg = "", of_differences(compared, place, measure)
            drawn[", ".join(filter(None, (f"{name_of(measure)}{title}", place)))] = svg
    return drawn


def of_means(samples: Samples, measure: str) -> str:
    """Means with intervals, highest first."""
    names = sorted(samples.variants, key=lambda name: -float(np.mean(samples.values[name][measure])))

    def draw(axes: Axes) -> None:
        every = [samples.estimate(name, measure) for name in names]
        axes.errorbar([one.mean for one in every], range(len(names)), xerr=_reach(every), fmt="o", ms=4, capsize=2)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel(name_of(measure))

    return _drawn(draw, height=0.7 + ROW * len(names))


def of_differences(compared: Compared, place: str, measure: str) -> str:
    """From the one reference of a study, highest first; blue: shown, light blue: if alone, grey: not shown."""
    found = {asked: one for asked, one in compared.items() if (asked.place, asked.measure) == (place, measure)}
    ordered = sorted(found, key=lambda asked: -found[asked].estimate.mean)

    def draw(axes: Axes) -> None:
        for row, asked in enumerate(ordered):
            one = found[asked]
            colour = "tab:blue" if one.is_shown else "tab:cyan" if one.is_shown_alone else "tab:gray"
            reach = _reach([one.estimate])
            axes.errorbar([one.estimate.mean], [row], xerr=reach, fmt="o", ms=4, capsize=2, color=colour)
        axes.set_yticks(range(len(ordered)), [asked.variant for asked in ordered])
        axes.invert_yaxis()
        axes.axvline(0, color="black", lw=0.8)
        axes.locator_params(axis="x", nbins=5)
        axes.figure.supxlabel(f"{name_of(measure)}, minus {ordered[0].reference}", fontsize="medium")

    return _drawn(draw, height=0.7 + ROW * len(ordered))


def of_vectors(samples: Samples, measure: str) -> str:
    def draw(axes: Axes) -> None:
        for n, kind in enumerate(of.BY_VECTORS):
            one, *more = (of.vectors_name(kind, vectors) for vectors in of.VECTORS)
            at = np.array(of.VECTORS[1:]) + 0.06 * (n - 1.5)  # side by side
            _line(axes, at, [interval(samples.apart(name, one, measure)) for name in more], f"rule {kind}")
        axes.axhline(0, color="black", lw=0.8)
        axes.set(xlabel="vectors of a listener", ylabel="minus one vector", xticks=of.VECTORS[1:])

    return _drawn(draw, legend=True)


def of_crowds(samples: Samples, measure: str) -> str:
    """By the number of crowds, a panel for each rule, a line for each clustering; a band around k-means."""

    def panel(kind: str) -> Callable[[Axes], None]:
        one_crowd = of.crowds_name(kind, "k-means", 1)

        def draw(axes: Axes) -> None:
            for way in (*CLUSTERINGS, of.WHOLE):
                counts = of.WHOLE_CROWDS if way == of.WHOLE else of.CROWDS
                names = [of.crowds_name(kind, way, k) for k in counts]
                every = [interval(samples.apart(name, one_crowd, measure)) for name in names]
                [line] = axes.plot(counts, [one.mean for one in every], "o-", ms=3, lw=1, label=way)
                if way == "k-means":
                    lows, highs = [one.low for one in every], [one.high for one in every]
                    axes.fill_between(counts, lows, highs, alpha=0.15, color=line.get_color(), lw=0)
            axes.axhline(0, color="black", lw=0.8)
            axes.set(ylabel=f"{measure}, rule {kind}", xticks=of.CROWDS)

        return draw

    return _drawn(*map(panel, of.BY_CROWDS), height=PANEL * len(of.BY_CROWDS), legend=True, below="crowds")


def of_contrast(samples: Samples, measure: str) -> str:
    """How far each weight and temperature is ahead of no contrast at all."""
    ahead = np.array(
        [[_mean(samples, contrast_name(weight, warm), measure) for warm in TEMPERATURES] for weight in WEIGHTS]
    )

    def draw(axes: Axes) -> None:
        most = max(float(np.abs(ahead).max()), 1e-9)
        axes.imshow(ahead, cmap="RdBu", vmin=-1.3 * most, vmax=1.3 * most, aspect="auto")
        for row, column in np.ndindex(ahead.shape):
            axes.text(column, row, f"{ahead[row, column]:+.3f}", ha="center", va="center")
        axes.set_xticks(range(len(TEMPERATURES)), [f"{one:g}" for one in TEMPERATURES])
        axes.set_yticks(range(len(WEIGHTS)), [f"{one:g}" for one in WEIGHTS])
        axes.set(xlabel="temperature", ylabel="weight")
        axes.grid(visible=False)

    return _drawn(draw)


def _mean(samples: Samples, variant: str, measure: str) -> float:
    return float(samples.apart(variant, BPR, measure).mean())


def of_skew(found: Found, measure: str) -> str:
    """How far BCL is ahead of each other method, by the Gini of the plays."""
    levels = found.studies[SKEW]

    def draw(axes: Axes) -> None:
        for n, other in enumerate((BPR, RFM, CFM)):
            gaps = [interval(samples.apart(BCL, other, measure)) for samples in levels.values()]
            at = np.array([found.levels[place].skew["gini"] for place in levels]) + 0.004 * (n - 1)  # side by side
            _line(axes, at, gaps, f"{BCL} - {other}")
        axes.axhline(0, color="black", lw=0.8)
        axes.set(xlabel="Gini of the plays", ylabel="difference")

    return _drawn(draw, legend=True)


def _line(axes: Axes, at: Any, every: Sequence[Estimate], label: str) -> None:
    axes.errorbar(at, [one.mean for one in every], yerr=_reach(every), marker="o", ms=4, capsize=2, lw=1, label=label)


def _reach(every: Sequence[Estimate]) -> Any:
    return np.array([[one.mean - one.low for one in every], [one.high - one.mean for one in every]])


def _drawn(*panels: Callable[[Axes], None], height: float = PANEL + 0.6, legend: bool = False, below: str = "") -> str:
    """One panel above the other; the legend above them all."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "sweep", "font.size": 10, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        every = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, draw in zip(every, panels, strict=True):
            draw(axes)
            axes.spines[["top", "right"]].set_visible(False)
        if below:
            every[-1].set_xlabel(below)
        if legend:
            lines, labels = every[0].get_legend_handles_labels()
            figure.legend(lines, labels, loc="outside upper center", ncols=2, fontsize=9, frameon=False)
        drawn = StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()
