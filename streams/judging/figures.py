"""The pictures of a replay report, as SVG; the same findings draw the same bytes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any, TypeAlias

from streams.judging.findings import Bin, Findings, PolicyFound
from streams.judging.judge import Estimate

Axes: TypeAlias = Any

WIDTH, HEIGHT = 6.0, 3.4  # inches: readable on a phone
TICKS = 4  # of a time axis


def timeline(policies: Mapping[str, PolicyFound]) -> str:
    """Precision over windows of releases, policies with their intervals, and the rivals of the first."""

    def draw(axes: Axes) -> None:
        windows = next(iter(policies.values())).windows
        at_ms = [(one.from_ms + one.to_ms) / 2 for one in windows]
        for name, policy in policies.items():
            _band(axes, name, at_ms, [one.precision for one in policy.windows])
        for rival in windows[0].rivals:
            means = [_mean(one.rivals[rival]) for one in windows]
            axes.plot(at_ms, means, "--", lw=1, label=rival)
        shown = [at_ms[n] for n in sorted({round(n * (len(at_ms) - 1) / (TICKS - 1)) for n in range(TICKS)})]
        axes.set_xticks(shown, [datetime.fromtimestamp(at / 1_000, UTC).strftime("%d %b %Y\n%H:%M") for at in shown])
        axes.set(xlabel="middle of each window of releases, UTC", ylabel="precision", ylim=(0, None))

    return _drawn(draw)


def funnel(found: PolicyFound) -> str:
    steps = {step: getattr(found.funnel, step) for step in ("eligible", "chosen", "sent", "played", "effective")}

    def draw(axes: Axes) -> None:
        bars = axes.barh(list(steps)[::-1], [max(count, 0.5) for count in list(steps.values())[::-1]])
        axes.bar_label(bars, [f"{count:,}" for count in list(steps.values())[::-1]], padding=3)
        axes.set(xscale="log", xlabel="listeners, summed over releases", xlim=(0.5, 20 * max(1, *steps.values())))

    return _drawn(draw, legend=False)


def calibration(bins: Sequence[Bin], what: str) -> str:
    def draw(axes: Axes) -> None:
        errors = [[max(0.0, one.rate - one.low) for one in bins], [max(0.0, one.high - one.rate) for one in bins]]
        axes.errorbar([one.at for one in bins], [one.rate for one in bins], errors, fmt="o-", capsize=3)
        axes.set(xlabel=what, ylabel="share who played", ylim=(0, None))

    return _drawn(draw, legend=False)


def reliability(found: Findings) -> str:
    """How the estimate settles as releases come in."""

    def draw(axes: Axes) -> None:
        for name, policy in found.policies.items():
            running = policy.reliability.running
            _band(axes, name, [one.releases for one in running], [one.precision for one in running])
        axes.set(xlabel="releases judged", ylabel="precision until then", ylim=(0, None))

    return _drawn(draw)


def _band(axes: Axes, name: str, at: Sequence[float], estimates: Sequence[Estimate | None]) -> None:
    told = [(x, one) for x, one in zip(at, estimates, strict=True) if one is not None]
    xs = [x for x, _ in told]
    [line] = axes.plot(xs, [one.mean for _, one in told], "o-", ms=3, label=name)
    lows, highs = [one.low for _, one in told], [one.high for _, one in told]
    axes.fill_between(xs, lows, highs, alpha=0.2, color=line.get_color(), lw=0)


def _mean(estimate: Estimate | None) -> float:
    return estimate.mean if estimate is not None else float("nan")


def _drawn(draw: Callable[[Axes], None], *, legend: bool = True) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "bcl", "font.size": 11}):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        if legend:
            axes.legend(fontsize=9, frameon=False)
        drawn = StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()
