"""A comparison as one HTML file for people: tables and figures within it, readable on a phone."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from typing import Any

STYLE = """body{font:16px/1.5 sans-serif;margin:0 auto;max-width:48rem;padding:1rem;color:#222;background:#fff}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}td,th{padding:.2rem .5rem;text-align:right;
white-space:nowrap;border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left;position:sticky;left:0;
background:#fff}.main td{font-weight:bold}img{width:100%;max-width:30rem;display:block}"""
ABOUT = """Songs were held out with all their plays; each method knew their content, and the plays of the other songs.
Rankings are full. Means and 95 % intervals are over seeds. Deciles are of the popularity of a cold song's true
neighbours. p-values are one-sided: <em>seeds</em> is a paired t over seeds with the variance corrected for the overlap
of splits; <em>flips</em> tries all signs of the seeds' differences and cannot go below 2 to the minus number of seeds;
<em>units</em> flips signs at random by artist (by listener where listeners are asked), models as they are."""

GAINS_OVER = ("bpr",)  # rivals whose gap is drawn by decile: what the contrastive part does, and for whom


def page(found: Mapping[str, Any]) -> str:
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width,initial-scale=1"><title>Cold songs</title>',
        f"<style>{STYLE}</style><h1>Cold songs: methods compared</h1>",
        f"<p>{escape(found['data'])}: {found['share']:.0%} of the songs held out, {found['seeds']} seeds, "
        f"{found['budget']} listeners for each song; set against the others: {escape(found['main'])}.</p>",
        f"<p>{ABOUT}</p>",
    ]
    if worlds := found.get("worlds"):
        for by, measures in worlds["by"].items():
            for measure, of_rivals in measures.items():
                title = f"{measure.replace('_', ' ')}, held out by {by}: {found['main']} above the others"
                parts += [f"<h3>{escape(title)}</h3>", _image(_skew(worlds["values"], of_rivals), title)]
    for by, way in found["held_out_by"].items():
        parts.append(f"<h2>Held out by {escape(by)}</h2>")
        for measure in next(iter(way["methods"].values())):
            title = measure.replace("_", " ")
            parts += [f"<h3>{escape(title)}</h3>", _image(_means(way, measure, found["main"]), title)]
            parts.append(_table(way, measure, found["main"]))
        for measure in next(iter(way["by_decile"].values())):
            title = f"{measure.replace('_', ' ')} by popularity decile"
            parts += [f"<h3>{escape(title)}</h3>", _image(_deciles(way, measure, found["main"]), title)]
        for measure in next(iter(way["by_decile"].values())):
            for rival in way["main_gain_by_decile"]:
                if rival in GAINS_OVER:
                    title = f"{measure.replace('_', ' ')} by popularity decile: {found['main']} − {rival}"
                    image = _image(_gains(way["main_gain_by_decile"][rival][measure]), title)
                    parts += [f"<h3>{escape(title)}</h3>", image]
    return "\n".join(parts) + "\n"


def _table(way: Mapping[str, Any], measure: str, main: str) -> str:
    against = way["main_against"][measure]
    rows = ["<tr><th>method<th>mean<th>95 %<th>main − this<th>95 %<th>p seeds<th>p flips<th>p units"]
    for name, of in way["methods"].items():
        cells = [escape(name), f"{of[measure]['mean']:.4f}", _interval(of[measure])]
        if one := against.get(name):
            cells += [f"{one['difference']['mean']:+.4f}", _interval(one["difference"])]
            cells += [_p(one[test]) for test in ("seeds", "flips", "units")]
        rows.append(f"<tr{' class=main' if name == main else ''}><td>" + "<td>".join(cells))
    return f"<div class=wide><table>{''.join(rows)}</table></div>"


def _interval(estimate: Mapping[str, float]) -> str:
    return f"{estimate['low']:.4f} to {estimate['high']:.4f}"


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _image(svg: bytes, title: str) -> str:
    return f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{b64encode(svg).decode()}">'


def _means(way: Mapping[str, Any], measure: str, main: str) -> bytes:
    from matplotlib.figure import Figure

    names = list(way["methods"])
    figure = Figure(figsize=(4.2, 0.8 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(reversed(names)):
        one = way["methods"][name][measure]
        colour = "tab:red" if name == main else "tab:gray"
        axes.plot([one["low"], one["high"]], [row, row], color=colour)
        axes.plot([one["mean"]], [row], "o", color=colour)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_xlim(left=0)
    return _svg(figure)


def _deciles(way: Mapping[str, Any], measure: str, main: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for row, (name, of) in enumerate(way["by_decile"].items()):
        shown: Sequence[Any] = [(n + 1, one["mean"]) for n, one in enumerate(of[measure]) if one]
        style: dict[str, Any] = {
            "color": f"C{row % 10}",
            "linestyle": ("-", "--", ":")[row // 10 % 3],
            "linewidth": 1.0,
        }
        if name == main:
            style = {"color": "black", "linewidth": 2.5}
        axes.plot([n for n, _ in shown], [mean for _, mean in shown], marker=".", label=name, **style)
    axes.set_xlabel("decile, 10 = the most played neighbours")
    figure.legend(fontsize="x-small", ncols=3, loc="outside lower center")
    return _svg(figure)


def _gains(of_deciles: Sequence[Mapping[str, float] | None]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color="tab:gray", linewidth=0.8)
    for decile, one in enumerate(of_deciles, start=1):
        if one:
            axes.plot([decile, decile], [one["low"], one["high"]], color="tab:red")
            axes.plot([decile], [one["mean"]], "o", color="tab:red")
    axes.set_xticks(range(1, len(of_deciles) + 1))
    axes.set_xlabel("decile, 10 = the most played neighbours")
    return _svg(figure)


def _skew(values: Sequence[float], of_rivals: Mapping[str, Sequence[Mapping[str, float]]]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color="tab:gray", linewidth=0.8)
    step = (max(values) - min(values) or 1.0) / 60
    for n, (rival, gaps) in enumerate(of_rivals.items()):
        at = [value + (n - (len(of_rivals) - 1) / 2) * step for value in values]  # side by side
        low, mean, high = ([gap[name] for gap in gaps] for name in ("low", "mean", "high"))
        [line] = axes.plot(at, mean, marker="o", label=f"above {rival}")
        axes.vlines(at, low, high, colors=line.get_color())
    axes.set_xticks(list(values), [f"{value:g}" for value in values])
    axes.set_xlabel("exponent of the plays' power law")
    axes.legend(fontsize="x-small")
    return _svg(figure)


def _svg(figure: Any) -> bytes:
    import matplotlib

    written = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "cold songs"}):
        figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()
