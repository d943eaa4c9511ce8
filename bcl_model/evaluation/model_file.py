"""A method's settings as a file of config/models: the words at its top stay, what a search chose is written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bcl_model.evaluation.contenders import USUAL, Contender

CHOSEN = "# Chosen by"


def write_model(file: Path, chosen: Contender, why: str) -> None:
    """`why` is one line; that of an earlier search is replaced."""
    said = []
    if file.exists():
        for line in file.read_text("utf-8").splitlines():
            if not line.startswith("#"):
                break
            said.append(line)
    said = [line for line in said if not line.startswith(CHOSEN)] + [f"{CHOSEN} {why}"]
    table: dict[str, Any] = dict(chosen.table)
    if chosen.method != USUAL:
        table = {"method": chosen.method, **table}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(said) + "\n\n" + to_toml(table), "utf-8")


def to_toml(table: Mapping[str, Any]) -> str:
    """Keys first, then a section for each table in it; values as TOML writes them."""
    lines = [f"{key} = {_value(value)}" for key, value in table.items() if not isinstance(value, Mapping)]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{key}]", *(f"{name} = {_value(one)}" for name, one in value.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (bool, str)) else repr(value)
