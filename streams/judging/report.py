"""Writes what a replay found: report.json for machines, and report.html for people, a page that needs no other file."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from streams.judging import figures
from streams.judging.findings import SCHEMA, Findings, PolicyFound, ReleaseFound
from streams.judging.judge import Estimate

DIGITS = 6  # that a figure is written with
SCHEMA_FILE = Path(__file__).with_name("report.schema.json")  # JSON Schema of report.json, for whoever reads it
_BY = {"popularity": "played by, decile", "artist": "artist"}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; color: #222; }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2rem }
img { width: 100%; height: auto }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .85rem }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
.note { background: #fff6dd; padding: .5rem .8rem; margin: .5rem 0 }
"""


def written(found: Findings, folder: Path) -> tuple[Path, Path]:
    """report.json and report.html."""
    folder.mkdir(parents=True, exist_ok=True)
    machines, people = folder / "report.json", folder / "report.html"
    machines.write_bytes(msgspec.json.format(msgspec.json.encode(plain(found)), indent=1))
    people.write_text(page(found), "utf-8")
    return machines, people


def schema() -> bytes:
    """What stands in SCHEMA_FILE."""
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA, "title": "report.json"}
    return msgspec.json.format(msgspec.json.encode(about | msgspec.json.schema(Findings)), indent=1) + b"\n"


def plain(found: Findings) -> Any:
    """As report.json has it."""
    return _rounded(msgspec.to_builtins(found))


def page(found: Findings) -> str:
    parts = [
        f"<h1>Replay of {found.releases:,} releases</h1>",
        f"<p>Choices were fixed at each release; those who played it within {found.horizon_ms / 3_600_000:g} hours are "
        f"the truth: {found.truth.effective_plays:,} effective plays. Intervals are 95 % bootstraps over releases. "
        f"The log ends at {_time(found.until_ms)}; seed {found.seed}.</p>",
        *(f'<p class="note">{escape(note)}</p>' for note in found.notes),
        _table(("the run", ""), ((name, _plain(value)) for name, value in found.run.items())) if found.run else "",
        "<h2>Policies</h2>",
        _policies(found.policies),
        _pairs(found),
        "<h2>Timeline</h2>",
        _image(figures.timeline(found.policies), "precision over time"),
        "<h2>Reliability of the estimate</h2>",
        _image(figures.reliability(found), "running precision"),
        *(part for name, policy in found.policies.items() for part in _policy(name, policy, found)),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>Replay</title><style>{STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def text(found: Findings) -> str:
    """What a terminal shows."""
    lines = [
        f"{found.releases:,} releases judged by the plays of {found.horizon_ms / 3_600_000:g} h after each, "
        f"{found.open:,} open; {found.truth.effective_plays:,} effective plays; 95 % intervals"
    ]
    for name, one in found.policies.items():
        of = one.quality
        lines += [
            "",
            f"{name:18}{'precision':24}{'recall':24}{'NDCG':24}{'policy over it':26}p",
            f"{'':18}{_said(of.precision):24}{_said(of.recall):24}{_said(of.ndcg):24}".rstrip(),
        ]
        for rival, beside in one.rivals.items():
            theirs = beside.rival
            lines.append(
                f"  {rival:16}{_said(theirs.precision):24}{_said(theirs.recall):24}{_said(theirs.ndcg):24}"
                f"{_said(beside.lift):26}{beside.p:.2g}"
            )
        suppressed = ", ".join(f"{reason} {count:,}" for reason, count in one.suppressed.items()) or "nobody"
        lines += [
            f"  {one.funnel.chosen:,} chosen, {one.funnel.sent:,} sent, {one.effective_plays:,} effective plays; "
            f"caps hit {one.caps.hit:,}; suppressed: {suppressed}",
            f"  told {one.listeners.told:,} of {one.listeners.of:,} listeners, {one.catalogue.told:,} of "
            f"{one.catalogue.releases:,} releases",
            *_off_policy_text(one),
        ]
    if found.compared:
        lines += ["", f"{'difference':34}{'precision':26}{'p (of several)':18}{'McNemar':10}better"]
        for pair in found.compared:
            lines.append(
                f"{pair.first + ' - ' + pair.second:34}{_said(pair.precision):26}{pair.p_of_several:<18.2g}"
                f"{pair.mcnemar.p:<10.2g}{pair.better or 'not told apart'}"
            )
    return "\n".join([*lines, "", *(f"note: {note}" for note in found.notes)])


def _off_policy_text(one: PolicyFound) -> Iterable[str]:
    if one.off_policy is not None and (value := one.off_policy.value) is not None:
        yield f"  off-policy, for each choice: IPS {value.ips}, SNIPS {value.snips}, DR {value.dr}"
    elif one.off_policy is not None:
        yield from (f"  off-policy: not reported: {reason}" for reason in one.off_policy.refused)


def _policies(policies: Mapping[str, PolicyFound]) -> str:
    rows = []
    for name, one in policies.items():
        rows.append((name, *map(_said, (one.quality.precision, one.quality.recall, one.quality.ndcg)), "", ""))
        for rival, beside in one.rivals.items():
            of = beside.rival
            figures_of = map(_said, (of.precision, of.recall, of.ndcg, beside.lift))
            rows.append((f"— {rival}", *figures_of, f"{beside.p:.2g}"))
    return _table(("", "precision", "recall", "NDCG", "policy over rival", "p"), rows)


def _pairs(found: Findings) -> str:
    if not found.compared:
        return ""
    rows = [
        (
            f"{one.first} - {one.second}",
            _said(one.precision),
            f"{one.p_of_several:.2g}",
            f"{one.mcnemar.p:.2g}",
            f"{one.noticed_from:.3g}" if one.noticed_from is not None else "",
            one.better or "not told apart",
        )
        for one in found.compared
    ]
    explained = (
        "<p>p: sign flips over releases, allowing for all pairs. McNemar takes plays as independent, so it is too "
        "sure. Noticed from: the difference that so many releases would show 8 times in 10.</p>"
    )
    columns = ("difference", "precision", "p", "McNemar", "noticed from", "better")
    return "<h2>Differences</h2>" + _table(columns, rows) + explained


def _policy(name: str, one: PolicyFound, found: Findings) -> Iterable[str]:
    yield f"<h2>{escape(name)}</h2><h3>From candidates to effective plays</h3>"
    yield _image(figures.funnel(one), "funnel")
    spread = one.listeners
    yield _table(
        ("coverage and spread", ""),
        (
            ("listeners told", f"{spread.told:,} of {spread.of:,}"),
            ("most targets of one listener", spread.most_targets),
            ("releases told", f"{one.catalogue.told:,} of {one.catalogue.releases:,}"),
            ("artists, effective number of targets", f"{one.artists.effective_number_of_targets:.1f}"),
            ("caps hit", f"{one.caps.hit:,}"),
            *((f"suppressed: {reason}", f"{count:,}") for reason, count in one.suppressed.items()),
        ),
    )
    yield "<h3>What a score and a rank are worth</h3>"
    yield _image(figures.calibration(one.by_score, "score, mean of each tenth"), "calibration by score")
    yield _image(figures.calibration(one.by_rank, "rank, 0 the best"), "share who played by rank")
    yield _table(
        ("releases", "of them", "precision", "recall", "NDCG"),
        (
            (
                f"{_BY[of.by]} {of.name}",
                of.policy.releases,
                *map(_said, (of.policy.precision, of.policy.recall, of.policy.ndcg)),
            )
            for of in one.groups
        ),
    )
    yield from _off_policy(one)
    by_id = {release.song_id: release for release in found.per_release}
    for title, songs in (("Best releases", one.best), ("Worst releases", one.worst)):
        yield f"<h3>{title}</h3>" + _releases([by_id[song] for song in songs], name)


def _off_policy(one: PolicyFound) -> Iterable[str]:
    if one.off_policy is None:
        return
    support, value = one.off_policy.support, one.off_policy.value
    yield (
        f"<h3>Off-policy</h3><p>overlap {support.overlap:.2f}, effective sample size {support.effective:,.0f}, "
        f"{support.rows:,} rows of {support.choices:,} choices</p>"
    )
    if value is None:
        yield from (f'<p class="note">Not reported: {escape(reason)}</p>' for reason in one.off_policy.refused)
    else:
        yield _table(
            ("effective plays for each choice", ""),
            (("IPS", _said(value.ips)), ("SNIPS", _said(value.snips)), ("DR", _said(value.dr))),
        )


def _releases(releases: Sequence[ReleaseFound], policy: str) -> str:
    rows = []
    for one in releases:
        chosen = one.policies[policy]
        near = ", ".join(f"{neighbour.song_id} {neighbour.similarity:.2f}" for neighbour in chosen.because)
        precision = "" if chosen.precision is None else f"{chosen.precision:.3f}"
        rows.append((one.title or one.song_id, _time(one.at_ms), precision, one.played_by, near))
    return _table(("song", "released", "precision", "played by", "neighbours"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def _image(svg: str, alt: str) -> str:
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}">'


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_plain(one) or 'as configured'}" for name, one in value.items())
    return "; ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _said(estimate: Estimate | None) -> str:
    return "" if estimate is None else str(estimate)


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, (list, tuple)) else value
