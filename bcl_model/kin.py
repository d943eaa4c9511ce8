"""Where the audiences of a song's kin lie, computed from plays; a song never sees its own.

    e_j       a song's place in a basis of tastes: singular vectors of plays, weighted by n_u^-1/2 and |U_j|^-1/2
    v_u       (1 / n_u) sum over songs j heard by u of e_j                              where a listener lies
    a_m       (1 / |U_m|) sum over listeners u of m of v_u                              where a song's audience lies
    field_c   sum over songs m that share c's word, m other than c, of a_m              as if nobody had heard c

If a song saw its own plays, training would learn to read what a release never has. So c is left out of its kin, and
out of the places of the listeners that it shares with them: v_u without c is (n_u v_u - e_c) / (n_u - 1). What is left
of it is its part in the basis, one of all songs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from bcl_model.audiences import Audiences, Floats, Table, told, words_of
from bcl_model.fields import Content
from bcl_model.pairs import Interactions
from bcl_model.remembered import remembered
from bcl_model.settings import AudienceSettings

PLAYS_AT_ONCE = 65_536  # bounds the memory of what is left out
SPARE, ROUNDS = 16, 3  # of the randomised singular vectors: columns beyond those wanted, and passes


def with_audiences(
    contents: Sequence[Content], plays: Interactions, settings: AudienceSettings
) -> tuple[list[Content], Audiences]:
    """Every song with the audience of its kin, its own left out; and the tables for songs to come.

    Songs without plays are nobody's kin. A listener's second play of a song counts nothing.
    """
    if not settings.fields:
        return list(contents), Audiences()
    heard = heard_of(plays, len(contents))
    tastes = tastes_of(heard, settings.width, settings.seed)
    found, tables = list(contents), {}
    for name in settings.fields:
        table, of_songs = kin_of(found, name, heard, tastes)
        if not len(table.words):
            continue
        tables[name] = table.of_warm_words()
        for n, (place, songs, listeners) in enumerate(zip(*of_songs, strict=True)):
            if songs > 0:
                found[n] = told(found[n], name, place, songs, listeners)
    return found, Audiences(tables)


@dataclass(frozen=True, eq=False)
class Tastes:
    basis: Floats  # (songs, width): e_j
    lies: Floats  # (listeners, width): v_u
    places: Floats  # (songs, width): a_m

    @classmethod
    def of(cls, heard: sparse.csr_array, basis: Floats) -> "Tastes":
        songs_of = np.maximum(np.diff(heard.indptr), 1).astype(np.float32)
        listeners_of = np.maximum(np.bincount(heard.indices, minlength=heard.shape[1]), 1).astype(np.float32)
        lies: Floats = ((heard @ basis) / songs_of[:, None]).astype(np.float32)
        return cls(basis, lies, ((heard.T @ lies) / listeners_of[:, None]).astype(np.float32))


@remembered(4)
def tastes_of(heard: sparse.csr_array, width: int, seed: int) -> Tastes:
    return Tastes.of(heard, basis_of(heard, width, seed))


def basis_of(heard: sparse.csr_array, width: int, seed: int) -> Floats:
    """Places of songs in `width` tastes, (songs, width); zeros for songs without plays and beyond the rank."""
    songs_of = np.maximum(np.diff(heard.indptr), 1)
    listeners_of = np.maximum(np.bincount(heard.indices, minlength=heard.shape[1]), 1)
    scale = (listeners_of**-0.5).astype(np.float32)
    weighted = (sparse.diags_array((songs_of**-0.5).astype(np.float32)) @ heard @ sparse.diags_array(scale)).tocsr()
    across = weighted.T.tocsr()
    wanted = min(width + SPARE, *heard.shape)
    start = np.random.default_rng([seed, 0xA0D1]).standard_normal((heard.shape[0], wanted), dtype=np.float32)
    found = _orthonormal(across @ start)
    for _ in range(ROUNDS):
        found = _orthonormal(across @ (weighted @ found))
    across_listeners = weighted @ found
    _, turn = np.linalg.eigh(across_listeners.T @ across_listeners)  # ascending
    best = (found @ turn[:, ::-1].astype(np.float32))[:, :width]
    places = np.zeros((heard.shape[1], width), np.float32)
    places[:, : best.shape[1]] = best
    return places * scale[:, None]


def _orthonormal(columns: Floats) -> Floats:
    """Of the same span, without what is only rounding; by the products of columns, as there are few of them."""
    lengths, turn = np.linalg.eigh(columns.T @ columns)
    keep = lengths > lengths[-1] * 1e-6
    turned: Floats = (columns @ (turn[:, keep] / np.sqrt(lengths[keep]))).astype(np.float32)
    return turned


def kin_of(
    contents: Sequence[Content], name: str, heard: sparse.csr_array, tastes: Tastes
) -> tuple[Table, tuple[Floats, Floats, Floats]]:
    """The table of a field, and of every song its kin's sum of places, count of songs and listeners of each."""
    words, says = says_of(contents, name)
    listeners_of = np.bincount(heard.indices, minlength=heard.shape[1]).astype(np.float32)
    warm = (listeners_of > 0).astype(np.float32)
    share = (warm / np.maximum(listeners_of, 1)).astype(np.float32)
    places = tastes.places
    told = (sparse.diags_array(warm) @ says).tocsr()
    of_words = (told.T @ places, told.sum(axis=0), told.T @ listeners_of)
    table = Table(words, *(np.asarray(one, dtype=np.float32) for one in of_words))
    times = np.asarray(says.sum(axis=1)).ravel()
    left_out = _left_out(heard, says, share, tastes)
    kin = says @ table.places - (times * warm)[:, None] * places - left_out
    songs = np.asarray(says @ table.songs) - times * warm
    listeners = np.asarray(says @ table.listeners) - times * listeners_of
    return table, (kin.astype(np.float32), songs, listeners)


def _left_out(heard: sparse.csr_array, says: sparse.csr_array, share: Floats, tastes: Tastes) -> Floats:
    """What each song moves in the places of its kin's audiences, by those of its listeners that they share."""
    of_words = (heard @ sparse.diags_array(share) @ says).tocsr()  # (listeners, words): sum over songs m of 1 / |U_m|
    times = np.asarray(says.sum(axis=1)).ravel()
    listeners = np.repeat(np.arange(heard.shape[0]), np.diff(heard.indptr))
    basis, lies = tastes.basis, tastes.lies
    moved = np.zeros(basis.shape, np.float32)
    for start in range(0, len(listeners), PLAYS_AT_ONCE):
        who, song = listeners[start : start + PLAYS_AT_ONCE], heard.indices[start : start + PLAYS_AT_ONCE]
        shared = np.asarray(of_words[who].multiply(says[song]).sum(axis=1)).ravel() - times[song] * share[song]
        some = shared > share[song] * 1e-4  # not the rounding of a difference that is nothing
        who, song, shared = who[some], song[some], shared[some]
        count = np.diff(heard.indptr)[who].astype(np.float32)[:, None]
        without = (count * lies[who] - basis[song]) / np.maximum(count - 1, 1)
        adds = sparse.csr_array((shared, (song, np.arange(len(song)))), shape=(len(basis), len(song)))
        moved += adds @ (lies[who] - without)
    return moved


def says_of(contents: Sequence[Content], name: str) -> tuple[tuple[str, ...], sparse.csr_array]:
    said = [words_of(content, name) for content in contents]
    words = tuple(sorted({word for of_song in said for word in of_song}))
    column = {word: n for n, word in enumerate(words)}
    songs = np.repeat(np.arange(len(said)), [len(of_song) for of_song in said])
    columns = np.array([column[word] for of_song in said for word in of_song], dtype=np.int64)
    ones = np.ones(len(songs), np.float32)
    return words, sparse.csr_array((ones, (songs, columns)), shape=(len(said), len(words)))


def heard_of(plays: Interactions, songs: int) -> sparse.csr_array:
    listeners = int(plays.listeners.max(initial=-1)) + 1
    ones = np.ones(len(plays.songs), np.float32)
    heard = sparse.csr_array((ones, (plays.listeners, plays.songs)), shape=(listeners, songs))
    heard.sum_duplicates()
    heard.data[:] = 1.0
    return heard
