"""Who is compared: a name, the method behind it, and the settings that it is made of.

A name is a TOML file, or stands for config/models/NAME.toml, or for a method with its default settings. A file says
`method = "..."` at its top, or is of a BCL model.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.answers import Method
from bcl_model.rivals import RIVALS, Rival

USUAL = "bcl"


@dataclass(frozen=True)
class Contender:
    name: str
    method: str  # of RIVALS
    table: Mapping[str, Any]  # its settings, as a TOML file holds them

    def __post_init__(self) -> None:
        if self.method not in RIVALS:
            raise BadModelSettings(f"{self.name}: there is no method {self.method!r}; there are {', '.join(RIVALS)}")
        self.answers()  # refuses settings that it does not know, now and not after an hour

    @property
    def rival(self) -> Rival:
        return RIVALS[self.method]

    def answers(self) -> Method:
        try:
            return self.rival.make(self.table)
        except BadModelSettings as error:
            raise BadModelSettings(f"{self.name}: {error}") from None

    def digest(self) -> str:
        """The same for the same settings, whether a default is said or not."""
        return sha256(repr((self.method, self.rival.read(self.table))).encode()).hexdigest()


def contender(name: str, models: Path) -> Contender:
    file = Path(name) if name.endswith(".toml") else models / f"{name}.toml"
    if not file.exists() and name in RIVALS:
        return Contender(name, name, {})
    try:
        with file.open("rb") as opened:
            table = tomllib.load(opened)
    except FileNotFoundError:
        known = sorted({*RIVALS, *(found.stem for found in models.glob("*.toml"))})
        raise BadModelSettings(f"{name!r} is no file and no method; there are {', '.join(known)}") from None
    except tomllib.TOMLDecodeError as error:
        raise BadModelSettings(f"{file}: {error}") from None
    method = table.pop("method", USUAL)
    if not isinstance(method, str):
        raise BadModelSettings(f"{file}: method is {method!r}, wanted the name of one")
    return Contender(file.stem, method, table)


def contenders(names: Sequence[str], models: Path) -> list[Contender]:
    found = [contender(name, models) for name in names]
    if twice := sorted({one.name for one in found if sum(other.name == one.name for other in found) > 1}):
        raise BadModelSettings(f"methods of the same name: {', '.join(twice)}")
    return found
