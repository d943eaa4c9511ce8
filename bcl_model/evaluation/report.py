"""What a comparison found, as one JSON object."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bcl_model.evaluation.compare import Compared, Estimate
from bcl_model.evaluation.contenders import Contender
from bcl_model.evaluation.measures import FOUND, SONG_TO_SONGS, song_to_listeners
from bcl_model.evaluation.rounds import Outcome, Plan


def report(outcome: Outcome, contenders: Sequence[Contender], plan: Plan, main: str, data: str) -> dict[str, Any]:
    """`main` is the method that is set against every other one."""
    return {
        "data": data,
        "share": plan.share,
        "seeds": plan.seeds,
        "budget": plan.budget,
        "main": main,
        "methods": {one.name: {"method": one.method, "settings": one.table} for one in contenders},
        "seconds_to_answer": {name: round(sum(of) / len(of), 2) for name, of in outcome.seconds.items()},
        "held_out_by": {by: _of_way(compared, plan, main) for by, compared in outcome.compared.items()},
    }


def _of_way(compared: Compared, plan: Plan, main: str) -> dict[str, Any]:
    of_songs = [*SONG_TO_SONGS, *song_to_listeners(plan.budget), FOUND]
    return {
        "cold_songs": [len(one.facts.decile) for one in compared.rounds],
        "songs_by_artist": compared.songs_by_artist(),
        "methods": {
            name: {
                measure: {**asdict(compared.estimate(name, measure)), "by_seed": compared.values(name, measure)}
                for measure in compared.measures
            }
            for name in compared.methods
        },
        "by_decile": {
            name: {measure: _each(compared.by_decile(name, measure)) for measure in of_songs}
            for name in compared.methods
        },
        "by_artist": {
            name: {
                measure: {which: one and asdict(one) for which, one in compared.by_artist(name, measure).items()}
                for measure in of_songs
            }
            for name in compared.methods
        },
        "main_against": {
            measure: {rival: asdict(one) for rival, one in compared.better(main, measure).items()}
            for measure in compared.measures
        },
        "main_gain_by_decile": {
            rival: {measure: _each(compared.gain_by_decile(main, rival, measure)) for measure in of_songs}
            for rival in compared.methods
            if rival != main
        },
    }


def _each(estimates: Sequence[Estimate | None]) -> list[dict[str, Any] | None]:
    return [None if one is None else asdict(one) for one in estimates]
