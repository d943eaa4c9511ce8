"""What a ring was before a play can be asked later: the same entries, the same embedding to the bit."""

from contextlib import closing

import numpy as np
from hypothesis import given
from hypothesis import settings as trial
from hypothesis import strategies as st

from streams.audience.audience import Audience, Folded, Plays
from streams.audience.track_listening import strengths_of
from streams.contracts.ids import keys_of
from streams.contracts.plays import Play
from streams.contracts.topics import DAY_MS
from streams.replay.past_rings import NONE, Followed, PastRings
from streams.state.memory_store import MemoryStore
from tests.builders.contracts import NOW, play, settings
from tests.builders.listening import Catalogue, catalogue

SONGS, DIMENSION = 6, 5
WANTED = settings(listening={"keep_plays": 3, "forget_after_days": 4.0, "half_life_days": 5.0})
LISTENERS, TIMES = st.integers(0, 3), st.integers(-12, 12)


@st.composite
def plays(draw) -> Play:
    return play(
        f"s{draw(st.integers(0, SONGS + 1))}",  # two of them are not known at the start
        by=f"l{draw(LISTENERS)}",
        at=NOW + draw(TIMES) * DAY_MS // 2,
        listened_s=draw(st.sampled_from([100, 200])),
        liked=draw(st.booleans()),
    )


BATCHES = st.lists(plays(), min_size=1, max_size=12)
ERASURES = st.tuples(st.just("erased"), LISTENERS, TIMES)
KNOWN = st.tuples(st.just("known"), st.integers(SONGS, SONGS + 1))
WITHDRAWN = st.tuples(st.just("withdrawn"), st.integers(0, SONGS + 1))
CLEARED = st.just(("cleared",))


def present(folded: Folded) -> np.ndarray:
    """The counted plays of listeners who are not forgotten."""
    counted = np.flatnonzero(folded.is_counted)
    return counted[~folded.is_forgotten[folded.place[counted]]]


class Past:
    """An audience that is followed, and what its rings were."""

    def __init__(self) -> None:
        self.told: Catalogue = catalogue(SONGS, DIMENSION)
        self.audience = Audience(MemoryStore(), self.told.songs, WANTED.listening, WANTED.admission, is_stored=False)
        self.past = PastRings(WANTED.listening)
        self._followed = Followed(self.past)
        self.before: list[tuple[np.ndarray, Folded, np.ndarray]] = []  # entries, rings, embeddings

    def step(self, step: object) -> None:
        match step:
            case ("erased", listener, days):
                self.audience.forget(f"l{listener}", NOW + days * DAY_MS // 2)
            case ("known", song):
                self.told.tell(f"s{song}", *([1.0 + song] * DIMENSION))
            case ("withdrawn", song):
                self.told.tell(f"s{song}")
            case ("cleared",):
                self.check()
                self.before.clear()
                self.past.clear()
                self.audience.matrix.is_continued[:] = False
            case _:
                self._hear(step)  # type: ignore[arg-type]

    def _hear(self, heard: list[Play]) -> None:
        self.audience.sweep()
        listener_ids = [one.listener_id for one in heard]
        folded = self.audience.fold(
            Plays(
                listener_ids=listener_ids,
                slots=self.audience.slots_of(listener_ids),
                song_keys=keys_of([one.song_id for one in heard]),
                played_ms=np.array([one.played_ms for one in heard]),
                strengths=strengths_of(heard, WANTED.listening),
                markets=self.audience.markets_of([None] * len(heard)),
            )
        )
        ends = self._followed.follow(folded)
        counted = present(folded)
        self.before.append((ends, folded, folded.embeddings_before(counted)))

    def close(self) -> None:
        self.past.close()

    def check(self) -> None:
        for ends, folded, _ in self.before:
            rings, rows = self.past.rings(ends)
            assert rings[:, :, 0].tolist() == folded.rings[:, :, 0].tolist()
            assert rows.tolist() == folded.song_rows.tolist()
            assert ((ends == NONE) == (folded.rings[:, -1, 0] == 0)).all()


@trial(max_examples=150, deadline=None)
@given(st.lists(st.one_of(BATCHES, BATCHES, BATCHES, ERASURES, KNOWN, WITHDRAWN, CLEARED), max_size=12))
def test_a_ring_of_the_past_is_what_it_was_whatever_came_after(steps):
    with closing(Past()) as past:
        for step in steps:
            past.step(step)
        past.check()


@trial(max_examples=60, deadline=None)
@given(st.lists(st.one_of(BATCHES, BATCHES, ERASURES, KNOWN), max_size=12))
def test_while_no_song_is_altered_embeddings_of_the_past_are_the_same_to_the_bit(steps):
    with closing(Past()) as past:
        for step in steps:
            past.step(step)
        for ends, folded, embeddings in past.before:
            counted = present(folded)
            again = past.past.embeddings(ends[folded.place[counted]], past.told.songs.embeddings)
            assert again.tobytes() == embeddings.tobytes()


def test_plays_in_order_cost_an_entry_each_and_a_late_one_its_ring_anew():
    with closing(Past()) as past:
        for n in range(20):
            past.step([play(f"s{n % SONGS}", by=f"l{listener}", at=NOW + n) for listener in range(3)])
        assert len(past.past) == 60
        past.step([play("s1", by="l1", at=NOW + 17), play("s1", by="l1", at=NOW + 30)])
        assert len(past.past) == 60 + 2 + 3
        past.check()
