"""A query is answered with the listeners of this partition who fit a release best, and with a few for comparison."""

from concurrent.futures import Executor
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from bcl_model.familiarity import familiarity, shares_of
from streams.audience.audience import Audience
from streams.audience.cat import RULES, compared_with, nearest_crowds, within_quota
from streams.audience.rings import Embeddings, Flags, Rows
from streams.contracts.ids import seed_of, unit_draws
from streams.contracts.messages import Batch, Message
from streams.contracts.queries import AudienceAnswer, AudienceQuery, Candidates
from streams.contracts.topics import AUDIENCE_ANSWERS, LISTENER_ERASURES, LISTENER_SETTINGS, PLAYS
from streams.settings import ScoringSettings, SelectionSettings
from streams.state.store import Store
from streams.targeting.selection import best_first

Floats: TypeAlias = NDArray[np.float32]
Slots: TypeAlias = NDArray[np.int64]

ROWS = 64  # a block has a multiple of so many listeners: none is in the odd rest that a matrix product treats apart
COLUMNS = 8  # the same for crowds; one column alone would be another routine
SAMPLE = 4_096  # scores from which a threshold is guessed
NONE = Candidates()


@dataclass
class ScoreListeners:
    """A listener's score depends on the listener and the query alone: blocks have one size, the last is filled up."""

    audience: Audience
    store: Store
    scoring: ScoringSettings
    selection: SelectionSettings
    hold_out_share: float
    listener_partitions: int
    threads: Executor | None = None  # blocks are scored in these; None: one after the other

    def __post_init__(self) -> None:
        self._libraries = ThreadpoolController().select(user_api="blas")

    def handle(self, batch: Batch[AudienceQuery]) -> list[Message]:
        queries = [query for query in batch.values if query is not None]
        return [
            Message(AUDIENCE_ANSWERS, query.song_id, self._answer(query, batch.partition), query.decided_ms)
            for query in queries
        ]

    def _answer(self, query: AudienceQuery, partition: int) -> AudienceAnswer:
        audience, known = self.audience, self.store.offsets()
        with audience.songs.lock:
            audience.refresh()
            song_offsets = audience.songs.offsets
            near = audience.songs.rows([neighbour.song_id for neighbour in query.because])
        found = _Found() if query.artifact != audience.songs.artifact else self._found(query, near)
        return AudienceAnswer(
            query_id=query.query_id,
            song_id=query.song_id,
            artifact=query.artifact,
            listener_partition=partition,
            listener_partitions=self.listener_partitions,
            best=found.best,
            held_out=found.held_out,
            explored=found.explored,
            eligible=found.eligible,
            scored=found.scored,
            plays_offset=known.get(PLAYS.name, 0),
            settings_offset=known.get(LISTENER_SETTINGS.name, 0),
            erasures_offset=known.get(LISTENER_ERASURES.name, 0),
            song_offsets=song_offsets,
        )

    def _found(self, query: AudienceQuery, near: Rows) -> "_Found":
        matrix, slots = self.audience.matrix, self.audience.slots
        compared = _Compared.of(query, self.scoring.rule, matrix.embeddings.shape[1])
        is_scored, may_be_told = self._asked_about(query)
        is_eligible = may_be_told & ~matrix.is_held_out[:slots]
        eligible = np.flatnonzero(is_eligible)

        with self._libraries.limit(limits=1):
            scores = self._scores(compared, is_scored) + self._familiarity(query, near)
            most = with_margin(query.budget, 1 / self.listener_partitions, self.scoring.margin_sigmas)
            best = self._best(eligible, scores, most, compared)
            threshold = scores[best].min(initial=np.inf) if len(best) == most else -np.inf
            held_out = np.flatnonzero(may_be_told & matrix.is_held_out[:slots] & (scores >= threshold))
            held_out = self._first(held_out, scores, self._held_out_at_most(most))
            is_eligible[best] = False
            explored = self._explored(query, np.flatnonzero(is_eligible), scores)
            found = np.concatenate([best, held_out, explored])
            crowds = np.split(self._crowds(compared, found), np.cumsum([len(best), len(held_out)]))
            return _Found(
                best=self._candidates(best, scores, crowds[0]),
                held_out=self._candidates(held_out, scores, crowds[1]),
                explored=self._candidates(explored, scores, crowds[2]),
                eligible=len(eligible),
                scored=int(is_scored.sum()),
            )

    def eligible(self, query: AudienceQuery) -> Slots:
        """Who could be told of the song, as of the last answer."""
        _, may_be_told = self._asked_about(query)
        return np.flatnonzero(may_be_told & ~self.audience.matrix.is_held_out[: self.audience.slots])

    def _asked_about(self, query: AudienceQuery) -> tuple[Flags, Flags]:
        """Who is scored, and who of them may be told, were it not for the hold-out."""
        audience, matrix, slots = self.audience, self.audience.matrix, self.audience.slots
        is_scored = audience.is_present() & matrix.has_embedding[:slots]
        if self.scoring.candidates == "audience":
            is_scored &= audience.has_heard_any([neighbour.song_id for neighbour in query.because])
        may_be_told = is_scored & matrix.consents[:slots] & ~audience.has_heard(query.song_id)
        if query.markets:
            may_be_told &= audience.is_in(query.markets)
        return is_scored, may_be_told

    def _scores(self, compared: "_Compared", is_scored: Flags) -> Floats:
        """By slot; -inf for a listener who is not to be scored. Costs a product with all, or only with a few."""
        scores = np.full(len(is_scored), -np.inf, np.float32)
        slots = np.flatnonzero(is_scored)
        rule, embeddings = RULES[self.scoring.rule], self.audience.matrix.embeddings
        blocks: list[Slots | slice]
        if len(slots) < len(is_scored) / 2:
            blocks = [slots[start : start + self._rows] for start in range(0, len(slots), self._rows)]
        else:
            blocks = [slice(start, start + self._rows) for start in range(0, len(is_scored), self._rows)]

        def score(block: Slots | slice) -> None:
            some = embeddings[block][: len(scores[block])]
            scores[block] = rule(self._cosines(some, compared), compared.masses, self.scoring.sharpness)

        list((self.threads.map if self.threads else map)(score, blocks))
        scores[~is_scored] = -np.inf
        return scores

    def _familiarity(self, query: AudienceQuery, near: Rows) -> Floats:
        """By slot. `near`: the rows of the neighbours."""
        if not (self.scoring.familiarity and query.because):
            return np.zeros(self.audience.slots, np.float32)
        shares = shares_of(np.array([neighbour.similarity for neighbour in query.because]))
        return familiarity(self.audience.shares_played(near, shares), self.scoring.familiarity)

    def _cosines(self, embeddings: Embeddings, compared: "_Compared") -> Floats:
        """(B, D) -> (B, C)"""
        block = embeddings
        if len(embeddings) < self._rows:
            block = np.zeros((self._rows, embeddings.shape[1]), np.float32)
            block[: len(embeddings)] = embeddings
        cosines: Floats = (compared.filled @ block.T).T  # (C + zeros, D) @ (D, B): a crowd's cosines lie together
        return cosines[: len(embeddings), : len(compared.vectors)]

    def _best(self, slots: Slots, scores: Floats, most: int, compared: "_Compared") -> Slots:
        if self.scoring.rule != "quota":
            return self._first(slots, scores, most)
        ordered = self._first(slots, scores, len(slots))
        return ordered[within_quota(self._crowds(compared, ordered), compared.masses, most)]

    def _first(self, slots: Slots, scores: Floats, most: int) -> Slots:
        """Those with the highest scores, in order; ties by listener id."""
        slots = slots[_not_below_a_guess(scores[slots], most)]
        names = self.audience.listener_ids
        ids = np.array([names[slot] for slot in slots.tolist()], object)
        return slots[best_first(scores[slots], ids, most)]

    def _explored(self, query: AudienceQuery, pool: Slots, scores: Floats) -> Slots:
        """Drawn without a look at the scores, each with the same chance."""
        share = self.selection.exploration_share / self.listener_partitions
        wanted = with_margin(query.budget, share, self.scoring.margin_sigmas)
        if wanted < len(pool):
            draws = unit_draws(seed_of("explored", query.query_id), self.audience.matrix.listener_keys[pool])
            pool = pool[np.argpartition(draws, wanted)[:wanted]]
        return self._first(pool, scores, wanted)

    def _held_out_at_most(self, most: int) -> int:
        """Twice as many as are expected above the threshold."""
        share = self.hold_out_share
        return most if share >= 1 / 3 else ceil(2 * most * share / (1 - share))

    def _crowds(self, compared: "_Compared", slots: Slots) -> NDArray[np.uint8]:
        embeddings = self.audience.matrix.embeddings
        blocks = [slots[start : start + self._rows] for start in range(0, len(slots), self._rows)]
        found = [nearest_crowds(self.scoring.rule, self._cosines(embeddings[block], compared)) for block in blocks]
        return np.concatenate(found) if found else np.zeros(0, np.uint8)

    def _candidates(self, slots: Slots, scores: Floats, crowds: NDArray[np.uint8]) -> Candidates:
        names = self.audience.listener_ids
        return Candidates(
            listener_ids=tuple([names[slot] for slot in slots.tolist()]),
            scores=scores[slots].astype("<f4").tobytes(),
            crowds=crowds.tobytes(),
        )

    @property
    def _rows(self) -> int:
        return -(-self.scoring.listeners_per_block // ROWS) * ROWS


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """What listeners are compared with."""

    vectors: Floats  # (C, D)
    masses: Floats  # (C,)
    filled: Floats  # the vectors, and zeros up to a multiple of COLUMNS

    @classmethod
    def of(cls, query: AudienceQuery, rule: str, dimension: int) -> "_Compared":
        centroids = np.frombuffer(query.centroids, "<f4").reshape(-1, dimension)
        masses, embedding = np.frombuffer(query.masses, "<f4"), np.frombuffer(query.embedding, "<f4")
        vectors, masses = compared_with(rule, centroids, masses, embedding)
        filled = np.zeros((-(-len(vectors) // COLUMNS) * COLUMNS, dimension), np.float32)
        filled[: len(vectors)] = vectors
        return cls(vectors, masses, filled)


@dataclass(frozen=True, slots=True)
class _Found:
    best: Candidates = NONE
    held_out: Candidates = NONE
    explored: Candidates = NONE
    eligible: int = 0
    scored: int = 0


def with_margin(total: int, share: float, sigmas: float) -> int:
    """What a partition may have of a total that chance shares out, but for one release in very many."""
    expected = total * share
    return min(total, ceil(expected + sigmas * sqrt(expected)))


def _not_below_a_guess(scores: Floats, most: int) -> Slots:
    """Places that hold the `most` highest scores and not many others: a threshold from a sample, checked."""
    if len(scores) > 4 * max(most, SAMPLE):
        sample = np.sort(scores[:: len(scores) // SAMPLE])
        expected = most * len(sample) / len(scores)
        threshold = sample[-ceil(expected + 4 * sqrt(expected) + 1)]
        places = np.flatnonzero(scores >= threshold)
        if len(places) >= most:
            return places
    return np.arange(len(scores))
