"""Writes what a sweep found: report.json for machines, and report.html for people, a page that needs no other file."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from bcl_model.settings import to_table
from streams.sweep.figures import figures_of
from streams.sweep.findings import Answer, answers, name_of
from streams.sweep.samples import Samples
from streams.sweep.sources import Simulated
from streams.sweep.studies import Found

QUESTIONS = {
    "rules": "Which rule chooses best: the nearest crowd, all of them, or no crowds at all?",
    "vectors": "Is a listener better kept as several vectors?",
    "crowds": "Open question 2: how many crowds, and found by which clustering?",
    "matching": "How many neighbours, how much from one of them, how sharply?",
    "operators": "Open question 1: what does each operator do alone?",
    "views": "How should the groups of the two views be drawn?",
    "correlation": "Does it matter how the running correlation is kept: how often, how slowly, of what?",
    "contrast": "Which weight and temperature of the contrastive loss?",
    "skew": "Does BCL gain more where plays are more skewed?",
}
OURS = (
    "What the papers leave open is filled in by our reconstruction; they do not publish these values, and nothing here "
    "is comparable with their live results."
)
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:auto;padding:1rem;color:#222;background:#fff}
img{width:100%;max-width:36rem;display:block}figure{margin:1rem 0}figcaption{font-size:.85rem;color:#555}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}td,th{padding:.2rem .6rem;text-align:left;
white-space:nowrap;border-bottom:1px solid #ddd}"""


def written(found: Found, folder: Path) -> dict[str, Any]:
    """report.json, which is given back too, and report.html."""
    said = answers(found)
    report = to_json(found, said)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", "utf-8")
    (folder / "report.html").write_text(page(found, said), "utf-8")
    return report


def to_json(found: Found, said: Mapping[str, Answer]) -> dict[str, Any]:
    return {
        "made": made(found),
        "studies": {
            study: {"question": QUESTIONS[study], **answer.to_json(), "measured": _measured(found.studies[study])}
            for study, answer in said.items()
        },
        "skew": {
            place: {
                **level.skew,
                "chosen": {name: to_table(model) for name, model in level.chosen.items()},
                "validation_recall_of_candidates": level.searched,
            }
            for place, level in found.levels.items()
        },
    }


def made(found: Found) -> dict[str, Any]:
    """How the sweep was made."""
    sweep, source = found.sweep, found.sweep.bench.source
    if isinstance(source, Simulated):
        about: dict[str, Any] = {"simulated": True, "world": asdict(source.world), "plays": source.plays}
    else:
        about = {"simulated": False, "data": source.data.name, "digest": source.digest, "held_out": source.share}
    return about | {
        "unit": source.unit,
        "seeds": [bench.source.seed for bench in sweep.benches],
        "releases_for_rules": sweep.releases,
        "releases_for_models": sweep.unheard,
        "budgets": list(sweep.bench.budgets),
        "model": to_table(sweep.model),
    }


def _measured(places: Mapping[str, Samples]) -> dict[str, Any]:
    """Means with intervals, and the values that they are means of."""
    return {
        place: {
            name: {
                measure: asdict(samples.estimate(name, measure)) | {"values": list(samples.values[name][measure])}
                for measure in samples.measures
            }
            for name in samples.variants
        }
        for place, samples in places.items()
    }


def page(found: Found, said: Mapping[str, Answer]) -> str:
    parts = [f"<h1>Sweeps</h1><p>{escape(about(found))} {OURS}</p>"]
    for study, answer in said.items():
        parts.append(f"<h2>{escape(QUESTIONS[study])}</h2><p>{escape(answer.short)}</p>")
        parts += [_figure(title, svg) for title, svg in figures_of(study, found, answer.compared).items()]
        detail = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in answer.long)
        parts.append(f"<details><summary>every comparison</summary>{detail}</details>")
        parts += [_table(samples, place) for place, samples in found.studies[study].items()]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>Sweeps</title><style>{STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def about(found: Found) -> str:
    source, seeds = found.sweep.bench.source, [bench.source.seed for bench in found.sweep.benches]
    which = f"seeds {seeds[0]} to {seeds[-1]}"
    if isinstance(source, Simulated):
        world = source.world
        what = (
            f"Simulated worlds, {which}: {world.listeners:,} listeners, {world.songs:,} songs, {source.plays:,} plays. "
            "All figures are of simulated worlds."
        )
    else:
        what = (
            f"Data folder {source.data.name}, {which}: {source.share:.0%} of the songs are held out and become the "
            "releases; a target is right if the listener did play the song. The data do not say which crowds there "
            "are, so all who played a song are one, and reach is recall. Splits overlap, so intervals are too narrow."
        )
    return (
        f"{what} The unit is a {source.unit} with models of its own: values are means over its releases, variants are "
        f"compared {source.unit} by {source.unit}, intervals are 95 %. The comparisons of a question are corrected "
        "together (Holm): shown is what chance would do in fewer than 5 % of sweeps, taken alone what its own interval "
        "says."
    )


def _figure(title: str, svg: str) -> str:
    source = f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
    return f'<figure><img alt="{escape(title)}" src="{source}"><figcaption>{escape(title)}</figcaption></figure>'


def _table(samples: Samples, place: str) -> str:
    head = "".join(f"<th>{escape(name_of(measure))}</th>" for measure in samples.measures)
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f"<td>{samples.estimate(name, measure)}</td>" for measure in samples.measures)
        + "</tr>"
        for name in samples.variants
    )
    title = f"{place or 'all figures'}, {samples.units} {samples.unit}s"
    table = f'<div class="wide"><table><tr><th></th>{head}</tr>{rows}</table></div>'
    return f"<details><summary>{escape(title)}</summary>{table}</details>"
