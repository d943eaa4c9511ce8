"""The policies that a command line names, with their settings and encoders; and one that is known to be broken."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from bcl_model.fields import Content
from streams.catalogue.embed_songs import SongEncoder
from streams.config import load_settings, shown
from streams.contracts.ids import seed_of
from streams.errors import BadSettings
from streams.replay.lanes import Contestant
from streams.settings import Settings

CONFIGURED = "configured"  # the settings in force
RANDOM_CROWDS = "random-crowds"


@dataclass(frozen=True)
class RandomEncoder:
    """Each song has a direction of its own, drawn from its content: neighbours, and so crowds, are random.

    A control: a judge that does not find this policy worse than a trained one sees nothing.
    """

    artifact: str
    dimension: int

    def embed(self, contents: Sequence[Content]) -> npt.NDArray[np.float32]:
        rows = np.zeros((len(contents), self.dimension), np.float32)
        for row, content in enumerate(contents):
            said = msgspec.msgpack.encode((content.attributes, content.vectors), order="sorted")
            drawn = np.random.default_rng(seed_of(RANDOM_CROWDS, said.hex())).normal(size=self.dimension)
            rows[row] = drawn / np.linalg.norm(drawn)
        return rows


def changes(policy: Settings, base: Settings) -> list[str]:
    """What a policy does differently, as it would stand on a command line."""
    before = shown(base)
    return [
        f"{section}.{key}={value}"
        for section, keys in shown(policy).items()
        for key, value in keys.items()
        if value != before[section][key]
    ]


def contestants(
    files: Sequence[str], overlays: Sequence[Path], environment: Mapping[str, str], load: Callable[[Path], SongEncoder]
) -> list[Contestant]:
    """A single policy is compared with the settings in force, several with each other; a policy has its file's name.

    Where a file changes the budget, that is the policy's for every release, whatever the release says.
    """
    base = load_settings(overlays, environment)
    encoders: dict[str, SongEncoder] = {}

    def encoder(artifact: str) -> SongEncoder:
        if artifact not in encoders:
            encoders[artifact] = load(Path(artifact))
        return encoders[artifact]

    found = [] if len(files) > 1 else [Contestant(CONFIGURED, base, encoder(base.model.artifact))]
    for file in files:
        if file == RANDOM_CROWDS:
            trained = encoder(base.model.artifact)
            found.append(Contestant(file, base, RandomEncoder(file, trained.dimension)))
            continue
        own = load_settings([*overlays, Path(file)], environment)
        budget = own.matching.budget if own.matching.budget != base.matching.budget else None
        found.append(Contestant(Path(file).stem, own, encoder(own.model.artifact), budget))
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadSettings(f"--policy: two policies have the name {', '.join(twice)}; give their files other names")
    return found
