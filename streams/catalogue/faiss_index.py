"""A song index on FAISS that is written while it is searched.

    base        what the last build put into FAISS, never changed afterwards; rows sorted, FAISS ids are positions
    delta       what came since, appended to plain arrays and searched exactly
    tombstones  base and delta entries that are outdated or removed: `alive` is False

A search takes one reference, the view, and needs no lock: arrays in a view are replaced or appended to beyond its
end, never overwritten. When delta and tombstones outgrow their share, a thread builds the next base from a view;
what was written meanwhile becomes the next delta, and a single assignment swaps both.

FAISS's own traps that this shape avoids: a search beside an add or a removal may crash; HNSW cannot remove; IDMap
over IVF corrupts ids; a removal looks at every song; the lists of an IVF stay as they were trained while the music
moves on (here every build trains them anew, and looks into as many of them as the measured recall asks for).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from threading import Lock, Thread

import faiss
import numpy as np
import numpy.typing as npt

from streams.catalogue.index_content import IndexContent, read_content
from streams.catalogue.song_index import (
    SCORE_ERROR,
    Allowed,
    Bools,
    Embeddings,
    Near,
    Rows,
    best,
    best_exactly,
    last_of_each,
    unit_query,
)

log = logging.getLogger(__name__)

SPARE = 16  # candidates beyond k, for ties and tombstones
MOST_CANDIDATES = 4_096  # to ask FAISS for; beyond that the exact way is faster
RECALL_AT = 50
RECALL_GOAL = 0.98  # of a build, at RECALL_AT; reached by looking into more lists, at the worst into all of them
SONGS_PER_LIST = 39  # FAISS warns below this number of training points for each list
NO_ROWS: Rows = np.zeros(0, dtype=np.int64)
NOWHERE = -1


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some songs, side by side."""

    rows: Rows
    embeddings: Embeddings
    alive: Bools

    @classmethod
    def empty(cls, dimension: int) -> "_Part":
        return cls(NO_ROWS, np.zeros((0, dimension), dtype=np.float32), np.zeros(0, dtype=bool))

    def __len__(self) -> int:
        return len(self.rows)

    def living(self, allowed: Allowed | None) -> npt.NDArray[np.int64]:
        """Positions of the songs that may be answered."""
        positions = np.flatnonzero(self.alive)
        return positions if allowed is None else positions[allowed(self.rows[positions])]

    def without(self, positions: npt.NDArray[np.int64]) -> "_Part":
        if len(positions) == 0:
            return self
        alive = self.alive.copy()
        alive[positions] = False
        return replace(self, alive=alive)

    def best_exactly(self, query: Embeddings, k: int, allowed: Allowed | None) -> list[Near]:
        return best_exactly(self.rows, self.embeddings, self.living(allowed), query, k)


@dataclass(frozen=True, slots=True, eq=False)
class _Base:
    part: _Part
    index: faiss.Index | None = None  # None: no songs
    lists: int = 0  # 0: every song is looked at
    lists_looked_into: int = 0
    recall: float | None = 1.0  # when it was built

    @classmethod
    def build(cls, rows: Rows, embeddings: Embeddings, *, exact_below: int) -> "_Base":
        part = _Part(rows, embeddings, np.ones(len(rows), dtype=bool))
        if len(rows) == 0:
            return cls(part)
        if len(rows) < exact_below:
            flat = faiss.IndexFlatIP(embeddings.shape[1])
            flat.add(embeddings)
            return cls(part, flat)
        lists = max(1, min(int(4 * len(rows) ** 0.5), len(rows) // SONGS_PER_LIST))
        ivf = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(embeddings.shape[1]), embeddings.shape[1], lists, faiss.METRIC_INNER_PRODUCT
        )
        ivf.cp.seed, ivf.cp.spherical = 7, True
        draw = np.random.default_rng(7)
        ivf.train(embeddings[np.sort(draw.choice(len(rows), min(len(rows), 64 * lists), replace=False))])
        ivf.add(embeddings)
        recall = _look_into_enough_lists(ivf, embeddings, lists)
        return cls(part, ivf, lists, ivf.nprobe, recall)

    def nearest(self, query: Embeddings, k: int, allowed: Allowed | None) -> list[Near]:
        part, wanted = self.part, k + SPARE
        while self.index is not None and wanted <= min(MOST_CANDIDATES, len(part) // 2):
            (scores,), (positions,) = self.index.search(query[None], wanted)
            if positions[-1] < 0:  # filled up: the lists looked into hold no more
                break
            fit = part.alive[positions]
            if allowed is not None:
                fit[fit] = allowed(part.rows[positions[fit]])
            # Songs tied with the end of the answer must all be among the candidates: the lowest rows win.
            if np.count_nonzero(fit) >= k and scores[fit][k - 1] > scores[-1] + 2 * SCORE_ERROR:
                return best(part.rows, part.embeddings, positions[fit], scores[fit], query, k)
            wanted *= 4
        return part.best_exactly(query, k, allowed)


def _look_into_enough_lists(ivf: faiss.IndexIVFFlat, embeddings: Embeddings, lists: int) -> float:
    draw = np.random.default_rng(11)
    asked = embeddings[draw.choice(len(embeddings), min(64, len(embeddings)), replace=False)]
    k = min(RECALL_AT, len(embeddings))
    truth = np.partition(asked @ embeddings.T, len(embeddings) - k, axis=1)[:, len(embeddings) - k]
    ivf.nprobe = min(8, lists)
    while True:
        scores, _ = ivf.search(asked, k)
        recall = float((scores >= truth[:, None] - SCORE_ERROR).mean())
        if recall >= RECALL_GOAL or ivf.nprobe >= lists:
            return recall
        ivf.nprobe = min(2 * ivf.nprobe, lists)


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """All that a search sees."""

    base: _Base
    delta: _Part
    songs: int

    def nearest(self, query: Embeddings, k: int, allowed: Allowed | None) -> list[Near]:
        near = [*self.base.nearest(query, k, allowed), *self.delta.best_exactly(query, k, allowed)]
        return sorted(near, key=_rank)[:k]

    def nearest_exactly(self, query: Embeddings, k: int, allowed: Allowed | None) -> list[Near]:
        near = [*self.base.part.best_exactly(query, k, allowed), *self.delta.best_exactly(query, k, allowed)]
        return sorted(near, key=_rank)[:k]

    def content(self) -> tuple[Rows, Embeddings]:
        """The living songs, by row."""
        base, delta = self.base.part, self.delta
        rows = np.concatenate([base.rows[base.alive], delta.rows[delta.alive]])
        order = np.argsort(rows)
        embeddings = np.concatenate([base.embeddings[base.alive], delta.embeddings[delta.alive]])
        return rows[order], embeddings[order]


def _rank(near: Near) -> tuple[float, int]:
    return -near.similarity, near.row


@dataclass(frozen=True, slots=True)
class IndexState:
    """For metrics."""

    songs: int
    base: int
    delta: int  # entries, outdated ones included
    tombstones: int  # in base and delta
    lists: int  # 0: exact
    lists_looked_into: int
    builds: int
    failed_builds: int
    building: bool
    recall_when_built: float | None  # None: restored
    recall: float | None  # mean of the last sampled searches; None: none yet


class FaissIndex:
    def __init__(
        self,
        dimension: int,
        *,
        exact_below_songs: int = 200_000,
        rebuild_share: float = 0.1,
        rebuild_from: int = 4_096,
        recall_sample_share: float = 0.0,
        on_recall: Callable[[float], None] | None = None,
    ) -> None:
        """`on_recall` is told the recall of each sampled search, in the thread that searched."""
        self.dimension = dimension
        self._exact_below, self._rebuild_share, self._rebuild_from = exact_below_songs, rebuild_share, rebuild_from
        self._recall_share, self._on_recall = recall_sample_share, on_recall
        self._searches = count(1)
        self._recalls: list[float] = []
        self._writing = Lock()
        self._builder: Thread | None = None
        self._written_meanwhile: list[Rows] = []  # rows, since the builder took its view
        self._builds = self._failed_builds = 0
        self._patience = 1  # doubles with every failed build
        nothing = _Part.empty(dimension)
        self._restart(_Base(nothing), nothing.rows, nothing.embeddings)

    def __len__(self) -> int:
        return self._view.songs

    def rows(self) -> Rows:
        return self._view.content()[0]

    def state(self) -> IndexState:
        view, recalls = self._view, self._recalls[-100:]
        entries = len(view.base.part) + len(view.delta)
        return IndexState(
            songs=view.songs,
            base=len(view.base.part),
            delta=len(view.delta),
            tombstones=entries - view.songs,
            lists=view.base.lists,
            lists_looked_into=view.base.lists_looked_into,
            builds=self._builds,
            failed_builds=self._failed_builds,
            building=self._builder is not None,
            recall_when_built=view.base.recall,
            recall=sum(recalls) / len(recalls) if recalls else None,
        )

    def upsert(self, rows: npt.NDArray[np.integer], embeddings: Embeddings) -> None:
        distinct, units = last_of_each(rows, embeddings, self.dimension)
        if len(distinct) == 0:
            return
        with self._writing:
            view = self._buried(distinct)
            first = len(view.delta)
            self._place[distinct] = np.arange(first, first + len(distinct)) + len(view.base.part)
            delta = self._appended(view.delta, distinct, units)
            self._publish(_View(view.base, delta, view.songs + len(distinct)), distinct)

    def remove(self, rows: npt.NDArray[np.integer]) -> None:
        distinct = np.unique(np.asarray(rows, dtype=np.int64))
        with self._writing:
            distinct = distinct[(distinct >= 0) & (distinct < len(self._place))]
            distinct = distinct[self._place[distinct] != NOWHERE]
            if len(distinct):
                self._publish(self._buried(distinct), distinct)

    def nearest(self, embedding: Embeddings, k: int, allowed: Allowed | None = None) -> list[Near]:
        faiss.omp_set_num_threads(1)  # holds for the calling thread only
        view, query = self._view, unit_query(embedding, self.dimension)
        if k <= 0 or view.songs == 0:
            return []
        near = view.nearest(query, k, allowed)
        searches = next(self._searches)
        if int(searches * self._recall_share) > int((searches - 1) * self._recall_share):
            self._sample_recall(near, view.nearest_exactly(query, k, allowed))
        return near

    def frozen(self) -> IndexContent:
        view = self._view
        rows, embeddings = view.content()
        index = view.base.index
        if index is None or view.base.lists == 0:
            return IndexContent(rows, embeddings)  # a flat base is built in no time
        positions = np.full(len(view.base.part), NOWHERE, dtype=np.int64)
        alive = view.base.part.alive
        positions[alive] = np.searchsorted(rows, view.base.part.rows[alive])

        def write_base(folder: Path) -> None:
            np.save(folder / "base.npy", positions)  # FAISS id -> which of the rows; -1: a tombstone
            faiss.write_index(index, str(folder / "base.faiss"))

        return IndexContent(rows, embeddings, write_base)

    def restore(self, folder: Path, *, artifact: str) -> dict[str, tuple[int, ...]]:
        content, manifest = read_content(folder, artifact=artifact, dimension=self.dimension)
        self.close()
        if len(content.rows) >= self._exact_below and "base.faiss" in manifest.files:
            base, rest = _base_of(folder, content)
        else:
            faiss.omp_set_num_threads(1)
            base = _Base.build(content.rows, content.embeddings, exact_below=self._exact_below)
            rest = NO_ROWS
        with self._writing:
            self._restart(base, content.rows[rest], content.embeddings[rest])
        return manifest.offsets

    def close(self) -> None:
        with self._writing:
            builder = self._builder
        if builder is not None:
            builder.join()

    # ---- below: with self._writing held -----------------------------------------------------------------------

    def _restart(self, base: _Base, rows: Rows, embeddings: Embeddings) -> None:
        """With this base, and these rows as the delta."""
        self._room_rows: Rows = np.zeros(64, dtype=np.int64)
        self._room_embeddings: Embeddings = np.zeros((64, self.dimension), dtype=np.float32)
        # Where a row lives: its position in the base or, behind all of these, in the delta.
        self._place = np.full(64, NOWHERE, dtype=np.int64)
        self._make_place_for(base.part.rows)
        self._make_place_for(rows)
        living = base.part.living(None)
        self._place[base.part.rows[living]] = living
        self._place[rows] = np.arange(len(rows)) + len(base.part)
        delta = self._appended(_Part.empty(self.dimension), rows, embeddings)
        self._view = _View(base, delta, len(living) + len(rows))

    def _make_place_for(self, rows: Rows) -> None:
        highest = int(rows.max(initial=NOWHERE))
        if highest >= len(self._place):
            more = np.full(max(highest + 1, 2 * len(self._place)) - len(self._place), NOWHERE, dtype=np.int64)
            self._place = np.concatenate([self._place, more])

    def _buried(self, rows: Rows) -> _View:
        """The view without these rows, wherever they are."""
        self._make_place_for(rows)
        view, places = self._view, self._place[rows]
        self._place[rows] = NOWHERE
        in_base = places[(places != NOWHERE) & (places < len(view.base.part))]
        in_delta = places[places >= len(view.base.part)] - len(view.base.part)
        return _View(
            replace(view.base, part=view.base.part.without(in_base)),
            view.delta.without(in_delta),
            view.songs - len(in_base) - len(in_delta),
        )

    def _appended(self, delta: _Part, rows: Rows, embeddings: Embeddings) -> _Part:
        """Into room that no view has seen yet."""
        first, end = len(delta), len(delta) + len(rows)
        if end > len(self._room_rows):
            self._room_rows = np.zeros(2 * end, dtype=np.int64)
            self._room_embeddings = np.zeros((2 * end, self.dimension), dtype=np.float32)
            self._room_rows[:first], self._room_embeddings[:first] = delta.rows, delta.embeddings
        self._room_rows[first:end], self._room_embeddings[first:end] = rows, embeddings
        alive = np.concatenate([delta.alive, np.ones(len(rows), dtype=bool)])
        return _Part(self._room_rows[:end], self._room_embeddings[:end], alive)

    def _publish(self, view: _View, written: Rows) -> None:
        self._view = view
        if self._builder is not None:
            self._written_meanwhile.append(written)
        elif self._is_outgrown():
            self._written_meanwhile = []
            self._builder = Thread(target=self._build, args=(self._view,), name="song-index-build", daemon=True)
            self._builder.start()

    def _is_outgrown(self) -> bool:
        view = self._view
        waiting = len(view.delta) + len(view.base.part) - np.count_nonzero(view.base.part.alive)
        return bool(waiting > self._patience * max(self._rebuild_from, self._rebuild_share * view.songs))

    def _swap(self, base: _Base) -> None:
        view = self._view
        written = np.unique(np.concatenate([NO_ROWS, *self._written_meanwhile]))
        places = self._place[written]  # a row that was written since lives in the delta, or no more
        delta = places[places != NOWHERE] - len(view.base.part)
        outdated = np.flatnonzero(np.isin(base.part.rows, written, assume_unique=True))
        base = replace(base, part=base.part.without(outdated))
        self._restart(base, view.delta.rows[delta], view.delta.embeddings[delta])

    # ---- in the thread that builds ----------------------------------------------------------------------------

    def _build(self, view: _View) -> None:
        faiss.omp_set_num_threads(1)  # the other cores belong to the stream
        try:
            base = _Base.build(*view.content(), exact_below=self._exact_below)
        except Exception:
            # The index answers as before, only slower; the next try comes when twice as much waits.
            log.exception("the song index could not be built anew; it goes on with the present one")
            with self._writing:
                self._failed_builds += 1
                self._patience *= 2
                self._builder = None
            return
        with self._writing:
            self._swap(base)
            self._builds += 1
            self._patience = 1
            self._builder = None

    def _sample_recall(self, near: list[Near], truth: list[Near]) -> None:
        if not truth:
            return
        found = sum(one.similarity >= truth[-1].similarity for one in near)
        recall = found / len(truth)
        self._recalls = [*self._recalls[-99:], recall]
        if self._on_recall is not None:
            self._on_recall(recall)


def _base_of(folder: Path, content: IndexContent) -> tuple[_Base, npt.NDArray[np.int64]]:
    """The base as it was saved, and which rows lie outside it."""
    positions = np.load(folder / "base.npy", allow_pickle=False)
    alive = positions != NOWHERE
    rows = np.full(len(positions), NOWHERE, dtype=np.int64)
    embeddings = np.zeros((len(positions), content.embeddings.shape[1]), dtype=np.float32)
    rows[alive], embeddings[alive] = content.rows[positions[alive]], content.embeddings[positions[alive]]
    rest = np.setdiff1d(np.arange(len(content.rows)), positions[alive])
    index = faiss.read_index(str(folder / "base.faiss"))
    ivf = faiss.extract_index_ivf(index)
    return _Base(_Part(rows, embeddings, alive), index, ivf.nlist, ivf.nprobe, None), rest
