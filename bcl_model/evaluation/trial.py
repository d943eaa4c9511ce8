"""One split of a catalogue: a trial, which is all that a method may know, and apart from it what its answers meet.

    cold         held out, with all songs that share a value of the field `by`: contents are known, plays are not
    warm         contents and plays are known
    validation   some of the warm ones, for choosing settings and steps: the same in every split, and never cold

Settings are chosen once and used in every split. So the songs on which they are chosen are reserved for that, in each
way of holding out that settings are chosen for: no split judges by a song that any choice was made on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bcl_model.errors import BadData
from bcl_model.fields import Content, Fields
from bcl_model.pairs import Interactions, Pairs, item_cf
from bcl_model.settings import PairSettings

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

AT = 50  # places of a ranking that are judged, and true neighbours of a song
SONG = "song"
TUNED_BY = (SONG, "album", "artist")  # ways of holding out in which songs are reserved for choosing settings
RESERVED_SHARE = 0.05  # of the songs, in each of these ways


@dataclass(frozen=True)
class Trial:
    """What a method may know. Rows of `contents` are the songs; a song that is neither warm nor cold is not there."""

    contents: Sequence[Content]
    fields: Fields
    warm: Ints
    cold: Ints
    validation: Ints  # some of the warm ones
    known: Interactions  # plays of warm songs
    listeners: int  # so many; some may have no known play
    by: str
    seed: int

    @cached_property
    def heard(self) -> sparse.csr_array:
        """(listeners, warm) of 0 and 1."""
        return heard(self.known, self.warm, self.listeners)

    def mask(self, songs: Ints) -> Bools:
        """Over all rows of `contents`."""
        mask = np.zeros(len(self.contents), dtype=bool)
        mask[songs] = True
        return mask


@dataclass(frozen=True)
class Split:
    trial: Trial
    hidden: Interactions  # plays of cold songs
    truth: Pairs  # from cold to warm songs: the nearest by all plays (ItemCF), best first


def split_of(
    contents: Sequence[Content],
    interactions: Interactions,
    fields: Fields,
    *,
    by: str = SONG,
    share: float = 0.1,
    seed: int = 1,
) -> Split:
    """Hold songs out, or all songs that share a value of the field `by`, until they are `share` of the catalogue."""
    reserved = {way: _reserved(contents, way) for way in {*TUNED_BY, by} if way == SONG or is_said(contents, way)}
    if by not in reserved:
        raise BadData(f"no song says anything in the field {by!r}, so none can be held out by it")
    spoken_for = np.logical_or.reduce(list(reserved.values()))
    held = _some(groups_of(contents, by), ~spoken_for, share, np.random.default_rng([seed, 0xC01D]))
    if not held.any() or held.all():
        raise BadData(f"holding out {share:.0%} of {len(contents)} songs by {by!r} leaves nothing on one side")
    listeners = int(interactions.listeners.max(initial=-1)) + 1
    return _split(
        contents, interactions, fields, ~held, held & ~spoken_for, ~held & reserved[by], listeners, by=by, seed=seed
    )


def split_within(trial: Trial) -> Split:
    """The split on which settings are chosen: validation songs are cold, and the trial's own cold songs not there."""
    cold = trial.mask(trial.validation)
    warm = trial.mask(trial.warm) & ~cold
    if not cold.any() or not warm.any():
        raise BadData(f"{cold.sum()} of {len(trial.warm)} warm songs are for validation, so nothing can be chosen")
    draw = np.random.default_rng([trial.seed, 0x1A57])
    again = warm & _some(groups_of(trial.contents, trial.by), warm, RESERVED_SHARE, draw)
    return _split(
        trial.contents, trial.known, trial.fields, warm, cold, again, trial.listeners, by=trial.by, seed=trial.seed
    )


def heard(plays: Interactions, songs: Ints, listeners: int) -> sparse.csr_array:
    """(listeners, songs) of 0 and 1; `songs` ascend and hold every song that is played."""
    place = np.searchsorted(songs, plays.songs)
    found = sparse.csr_array((np.ones(len(place), np.float32), (plays.listeners, place)), (listeners, len(songs)))
    found.sum_duplicates()
    found.data[:] = 1.0
    return found


def groups_of(contents: Sequence[Content], by: str) -> Ints:
    """The same number for songs that say the same; a song that says nothing is alone."""
    if by == SONG:
        return np.arange(len(contents))
    values = [repr(content.attributes.get(by, (n,))) for n, content in enumerate(contents)]
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def is_said(contents: Sequence[Content], by: str) -> bool:
    return any(by in content.attributes for content in contents)


def _split(
    contents: Sequence[Content],
    interactions: Interactions,
    fields: Fields,
    warm: Bools,
    cold: Bools,
    validation: Bools,
    listeners: int,
    *,
    by: str,
    seed: int,
) -> Split:
    plays = interactions.of_songs(warm | cold)
    known, hidden = interactions.of_songs(warm), interactions.of_songs(cold)
    warm_songs, cold_songs, for_tuning = (np.flatnonzero(one) for one in (warm, cold, validation))
    trial = Trial(contents, fields, warm_songs, cold_songs, for_tuning, known, listeners, by, seed)
    return Split(trial, hidden, _nearest_warm(plays, warm, cold))


def _nearest_warm(plays: Interactions, warm: Bools, cold: Bools) -> Pairs:
    every = item_cf(plays, len(warm), replace(PairSettings(), per_song=len(warm)), only=cold)
    is_warm = warm[every.similar]
    songs = every.songs[is_warm]
    first = np.arange(len(songs)) - np.searchsorted(songs, songs) < AT
    return Pairs(songs[first], every.similar[is_warm][first], every.scores[is_warm][first])


def _reserved(contents: Sequence[Content], by: str) -> Bools:
    draw = np.random.default_rng([0x7E57, *by.encode()])
    return _some(groups_of(contents, by), np.ones(len(contents), dtype=bool), RESERVED_SHARE, draw)


def _some(groups: Ints, among: Bools, share: float, draw: np.random.Generator) -> Bools:
    """All songs of groups drawn evenly, until `share` of the songs are drawn; only songs `among` count."""
    sizes = np.bincount(groups[among], minlength=int(groups.max(initial=-1)) + 1)
    order = draw.permutation(len(sizes))
    order = order[sizes[order] > 0]
    before = np.cumsum(sizes[order]) - sizes[order]
    return np.isin(groups, order[before < share * len(groups)])
