"""Contestants of a merged replay, each a policy with the encoder of its artifact, and which see listeners alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from streams.catalogue.embed_songs import SongEncoder
from streams.errors import BadSettings
from streams.settings import Settings


@dataclass(frozen=True)
class Contestant:
    name: str
    settings: Settings
    encoder: SongEncoder
    budget: int | None = None  # instead of what a release says


@dataclass(frozen=True)
class Lane:
    """Policies that share listeners and crowds: one artifact, one way to listen, one way to form crowds."""

    artifact: str
    dimension: int
    settings: Settings  # what all its policies have in common is read from here
    policies: dict[str, Settings] = field(default_factory=dict)
    budgets: dict[str, int | None] = field(default_factory=dict)  # of each policy, instead of what a release says


def lanes_of(policies: Sequence[Contestant]) -> list[tuple[Lane, SongEncoder]]:
    """In the order of the policies."""
    names = [policy.name for policy in policies]
    if len(set(names)) < len(names):
        raise BadSettings(f"two policies have one name in {', '.join(names)}; give each its own")
    if not policies:
        raise BadSettings("there is no policy to replay; name at least one")
    found: dict[object, tuple[Lane, SongEncoder]] = {}
    first = policies[0].settings
    for policy in policies:
        settings = policy.settings
        if _partitions(settings) != _partitions(first):
            raise BadSettings(
                f"policy {policy.name} has {_partitions(settings)} listener and song partitions, {names[0]} has "
                f"{_partitions(first)}: policies that are compared need the same [topics]"
            )
        admission = settings.admission
        alike = (
            policy.encoder.artifact,
            settings.listening,
            settings.crowds,
            (admission.consent_by_default, admission.hold_out_share, admission.hold_out_salt),
        )
        lane = Lane(policy.encoder.artifact, policy.encoder.dimension, settings)
        shared, _ = found.setdefault(alike, (lane, policy.encoder))
        shared.policies[policy.name], shared.budgets[policy.name] = settings, policy.budget
    return list(found.values())


def _partitions(settings: Settings) -> tuple[int, int]:
    return settings.topics.listener_partitions, settings.topics.song_partitions
