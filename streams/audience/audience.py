"""The listeners of one partition in memory, kept in step with the store: who they are, what they play and want.

A slot that is given up goes to the next new listener; nothing that is answered depends on which slot a listener has.
An embedding is computed when somebody asks for it; until then it is stale.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.audience import rings as ring
from streams.audience.audience_matrix import NO_MARKET, AudienceMatrix
from streams.audience.listener import forget_after_ms, half_life_ms, thousandths
from streams.audience.rings import UNKNOWN, Embeddings, Flags, Keys, Rings, Rows, Times, Whens
from streams.audience.wishes import Wishes, consents, decode_settings, erased_ms, erased_ms_of, settings_of
from streams.catalogue.songs import Songs
from streams.contracts.ids import key_of, keys_of
from streams.contracts.listeners import ListenerSettings
from streams.errors import BadSettings
from streams.settings import AdmissionSettings, ListeningSettings
from streams.state.layout import ERASED, LISTENER, NEWEST_PLAY, SETTINGS, named
from streams.state.store import Store
from streams.targeting.eligibility import is_held_out

SMALLEST = 1_024  # slots
LOADED_AT_ONCE = 4_096
SWEPT_PER_BATCH = 256  # slots that a batch looks at for listeners to drop
STALE_AT_MOST = 4_096  # embeddings that may wait for a query: 3 ms of its time, in each partition

NEW_MARKET = -2
NO_SLOT = -1

Slots: TypeAlias = NDArray[np.int64]
Markets: TypeAlias = NDArray[np.int32]


class Plays(NamedTuple):
    """Columns of effective plays, in the order of the log."""

    listener_ids: Sequence[str]  # asked for where there is no slot yet
    slots: Slots  # as `slots_of` tells them; NO_SLOT: a new listener
    song_keys: Keys
    played_ms: Times
    strengths: Times  # thousandths
    markets: Markets  # as `markets_of` tells them


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """What a batch of plays did. Its plays may be asked about until the next batch."""

    audience: "Audience"
    listener_keys: Keys  # of each play
    is_counted: Flags  # the play is remembered, and was not before
    whens: Whens  # of each play
    heard_rows: Rows  # the song of each play in the song view
    rounds: list[NDArray[np.int64]]  # plays of different listeners each, one after the other
    place: NDArray[np.int64]  # of each play in what follows, round by round: its listener, just before it
    slots: Slots
    rings: Rings
    song_rows: Rows
    is_continued: (
        Flags  # the ring has changed since the listener's play before only in that this play stands at its end
    )
    is_forgotten: Flags
    _is_current: Flags  # the matrix holds the embedding of that ring

    def embeddings_before(self, plays: NDArray[np.int64]) -> Embeddings:
        """Of the listeners of these counted plays, without the play and all that came later. Zero: none."""
        at = self.place[plays]
        others = np.flatnonzero(~self._is_current[at])
        if len(others) == len(at):
            found = self.audience.embeddings_of(self.rings[at], self.song_rows[at])
        else:
            found = self.audience.matrix.embeddings[self.slots[at]]
            found[others] = self.audience.embeddings_of(self.rings[at[others]], self.song_rows[at[others]])
        found[self.is_forgotten[at]] = 0
        return found


class Audience:
    """Where it is not stored, what the store has is read, and plays change the memory alone."""

    def __init__(
        self,
        store: Store,
        songs: Songs,
        listening: ListeningSettings,
        admission: AdmissionSettings,
        *,
        is_stored: bool = True,
    ) -> None:
        for name in ("strength_played", "strength_completed", "strength_liked"):
            if not 0 < thousandths(strength := getattr(listening, name)) <= ring.MAX_STRENGTH:
                raise BadSettings(f"[listening] {name} is {strength}, wanted 0.001 to 4194")
        self.songs = songs
        self.matrix = AudienceMatrix.of(SMALLEST, listening.keep_plays, songs.dimension)
        self.listener_ids: list[str] = []  # by slot; empty: the slot is free
        self._names: list[bytes] = []  # by slot, in the store
        self.newest_ms = int.from_bytes(store.get(NEWEST_PLAY) or b"", "little")  # play of the partition
        self.given_up = 0  # slots, so far: whoever remembers slots looks whether they still hold
        self._store = store
        self._is_stored = is_stored
        self._admission = admission
        self._keep = listening.keep_plays
        self._forget_after_ms = forget_after_ms(listening)
        self._half_life_ms = half_life_ms(listening)
        self._slot_of: dict[str, int] = {}
        self._free: list[int] = []
        self._swept = 0  # where the next sweep begins
        self._market_code: dict[str | None, int] = {None: NO_MARKET}
        self._market_rank = np.array([NO_MARKET], np.int32)  # in the alphabet; the last place is what NO_MARKET reads
        self._market_head = {NO_MARKET: ring.head(None)}
        self._song_changes = 0  # of the song view, that rings have followed
        self._song_rows_seen = 0  # no ring has a song of a later row
        self._awaited: set[int] = set()  # keys of songs that were not known when they were played
        self._load()

    def __len__(self) -> int:
        return len(self._slot_of)

    @property
    def slots(self) -> int:
        """The matrix is in use up to here."""
        return len(self.listener_ids)

    def slot_of(self, listener_id: str) -> int | None:
        return self._slot_of.get(listener_id)

    def is_present(self) -> Flags:
        """Which slots hold a listener who is not forgotten."""
        newest_ms = self.matrix.newest_ms[: self.slots]
        return (newest_ms > 0) & (newest_ms >= self.newest_ms - self._forget_after_ms)

    def is_in(self, markets: tuple[str, ...]) -> Flags:
        """Which slots hold a listener whose newest play that told a market told one of these."""
        wanted = np.zeros(len(self._market_rank), np.bool_)
        wanted[[self._market_code[market] for market in markets if market in self._market_code]] = True
        matrix, slots = self.matrix, self.slots
        is_fresh = matrix.market_ms[:slots] >= matrix.newest_ms[:slots] - self._forget_after_ms
        found: Flags = wanted[matrix.market[:slots]] & is_fresh
        return found

    def has_heard(self, song_id: str) -> Flags:
        """Which slots remember a play of the song."""
        row = self.songs.row_of.get(song_id)
        if row is not None:
            return self._holding(self.matrix.song_rows[: self.slots] == row)
        return self._holding(self.matrix.rings[: self.slots, :, 1] == np.uint64(key_of(song_id)))

    def have_heard(self, song_id: str, listener_ids: Sequence[str]) -> list[bool]:
        """Whether each of these listeners remembers a play of the song; in time with their number, not with all."""
        slots = self.slots_of(listener_ids)
        keys = self.matrix.rings[slots, :, 1]
        found: list[bool] = ((keys == np.uint64(key_of(song_id))).any(axis=1) & (slots >= 0)).tolist()
        return found

    def wishes_of(self, listener_ids: Sequence[str]) -> Wishes:
        """The settings of each of these listeners, and when they asked to be forgotten; the store tells of few."""
        slots = self.slots_of(listener_ids)
        settings: list[ListenerSettings | None] = [None] * len(slots)
        erased: list[int | None] = [at_ms or None for at_ms in self.matrix.erased_ms[slots].tolist()]
        for n in np.flatnonzero(self.matrix.has_settings[slots] | (slots == NO_SLOT)).tolist():
            settings[n] = settings_of(self._store, listener_ids[n])
        for n in np.flatnonzero(slots == NO_SLOT).tolist():
            erased[n] = erased_ms(self._store, listener_ids[n])
        return settings, erased

    def has_heard_any(self, song_ids: list[str]) -> Flags:
        """The same for some songs that are known; unknown ones are left out."""
        return self._holding(self._with_songs(self.songs.rows(song_ids)))

    def shares_played(self, rows: Rows, shares: NDArray[np.floating]) -> NDArray[np.float64]:
        """(L,): of the plays that a slot remembers, the shares of their songs added up; -1 is no song's row."""
        of_row = np.zeros(len(self.songs.song_ids) + 1)
        of_row[rows] = shares
        of_row[-1] = 0
        entries = np.flatnonzero(self._with_songs(rows))
        songs = self.matrix.song_rows[: self.slots].ravel()[entries]
        return np.asarray(np.bincount(entries // self._keep, of_row[songs], minlength=self.slots), np.float64)

    def slots_of(self, listener_ids: Sequence[str]) -> Slots:
        """They hold until the next `sweep`."""
        return np.fromiter(map(self._slot_of.get, listener_ids, repeat(NO_SLOT)), np.int64, len(listener_ids))

    def markets_of(self, markets: Sequence[str | None]) -> Markets:
        codes = np.fromiter(map(self._market_code.get, markets, repeat(NEW_MARKET)), np.int32, len(markets))
        for n in np.flatnonzero(codes == NEW_MARKET).tolist():
            codes[n] = self._code_of(markets[n])
        return codes

    def fold(self, plays: Plays) -> Folded:
        song_rows = self._known_rows(plays)
        newest_ms = np.maximum.accumulate(np.concatenate(([self.newest_ms], plays.played_ms)))
        slots = self._slots(plays, plays.played_ms >= newest_ms[:-1] - 2 * self._forget_after_ms)
        whens, markets = ring.whens(plays.played_ms, plays.strengths), plays.markets

        matrix = self.matrix
        rounds = _rounds(slots)
        order = np.concatenate(rounds)
        rings, rows = np.empty((len(order), self._keep, 2), np.uint64), np.empty((len(order), self._keep), np.int32)
        is_current, is_continued = np.empty((2, len(order)), np.bool_)
        is_counted, is_other = np.zeros(len(slots), np.bool_), np.zeros(len(slots), np.bool_)
        for now, places in zip(rounds, spans(rounds), strict=True):
            at = slots[now]
            is_current[places] = ~matrix.is_stale[at]
            is_continued[places] = matrix.is_continued[at]
            matrix.rings.take(at, axis=0, out=rings[places], mode="clip")  # any other mode copies twice
            matrix.song_rows.take(at, axis=0, out=rows[places], mode="clip")
            after = ring.with_plays(
                rings[places],
                rows[places],
                whens[now],
                plays.song_keys[now],
                song_rows[now],
                forget_after_ms=self._forget_after_ms,
            )
            matrix.rings[at], matrix.song_rows[at] = after.rings, after.song_rows
            matrix.newest_ms[at] = ring.played_ms(after.rings[:, -1, 0])
            matrix.is_stale[at] |= after.is_other
            matrix.is_waiting[at] |= song_rows[now] == UNKNOWN
            matrix.is_continued[at] = after.is_newest
            is_counted[now] = after.is_new
            is_other[now] = after.is_other | self._tell_markets(at, markets[now], plays.played_ms[now])
        if self._is_stored:
            self._put(np.unique(slots[is_other]))
        self._put_newest(int(newest_ms[-1]))

        place = np.zeros(len(slots), np.int64)
        place[order] = np.arange(len(order))
        is_forgotten = ring.played_ms(rings[:, -1, 0]) < newest_ms[order] - self._forget_after_ms
        listener_keys = matrix.listener_keys[slots]
        return Folded(
            audience=self,
            listener_keys=listener_keys,
            is_counted=is_counted,
            whens=whens,
            heard_rows=song_rows,
            rounds=rounds,
            place=place,
            slots=slots[order],
            rings=rings,
            song_rows=rows,
            is_continued=is_continued,
            is_forgotten=is_forgotten,
            _is_current=is_current,
        )

    def refresh(self, *, stale_at_most: int = 0) -> None:
        """Computes the embeddings that plays, erasures and songs have changed, if they are more than so many."""
        with self.songs.lock:
            self._follow_songs()
        matrix = self.matrix
        slots = np.flatnonzero(matrix.is_stale[: self.slots])
        if len(slots) <= stale_at_most:
            return
        for start in range(0, len(slots), ring.PER_CHUNK):
            some = slots[start : start + ring.PER_CHUNK]
            embeddings = self.embeddings_of(matrix.rings[some], matrix.song_rows[some])
            matrix.embeddings[some] = embeddings
            matrix.has_embedding[some] = embeddings.any(axis=1)
            matrix.is_stale[some] = False

    def embeddings_of(self, rings: Rings, song_rows: Rows) -> Embeddings:
        return ring.embeddings_of(rings, song_rows, self.songs.embeddings, half_life_ms=self._half_life_ms)

    def follow_wishes(self, listener_id: str) -> None:
        """Settings of this listener were put into the store, or an erasure."""
        slot = self._slot_of.get(listener_id)
        if slot is not None:
            self._follow(slot, listener_id, erased_ms(self._store, listener_id))

    def _follow(self, slot: int, listener_id: str, erased: int | None) -> None:
        settings = settings_of(self._store, listener_id)
        self.matrix.erased_ms[slot] = erased or 0
        self.matrix.has_settings[slot] = settings is not None
        self.matrix.consents[slot] = consents(settings, erased, self._admission)

    def forget(self, listener_id: str, up_to_ms: int) -> None:
        """Every play up to then; with it the listener, if nothing remains."""
        self._store.purge([named(LISTENER, listener_id)])
        slot = self._slot_of.get(listener_id)
        if slot is None:
            return
        matrix = self.matrix
        ring.empty_up_to(matrix.rings[slot], matrix.song_rows[slot], up_to_ms)
        if not matrix.rings[slot].any():
            self._give_up(slot)
            return
        if matrix.market_ms[slot] <= up_to_ms:
            matrix.market_ms[slot], matrix.market[slot] = 0, NO_MARKET
        matrix.is_stale[slot], matrix.is_continued[slot] = True, False
        self._put(np.array([slot]))
        self.follow_wishes(listener_id)

    def bytes_in_memory(self) -> int:
        """The matrix as it is allotted, and what Python keeps to find a listener."""
        found_by = (self._slot_of, self._slot_of.values(), self._names)
        names = sum(sum(map(sys.getsizeof, each)) for each in found_by)
        return self.matrix.nbytes + names + sum(map(sys.getsizeof, (self._slot_of, self.listener_ids, self._names)))

    def bytes_in_store(self) -> int:
        """Keys and values; a store on disk adds its own."""
        return sum(len(key) + len(value) for key, value in self._store.items(LISTENER))

    def _load(self) -> None:
        stored = self._store.items(LISTENER)
        while some := list(islice(stored, LOADED_AT_ONCE)):
            rings, markets, markets_ms = zip(*(ring.unpacked(value, self._keep) for _, value in some), strict=True)
            names = [key[len(LISTENER) :].decode() for key, _ in some]
            for name in names:
                self._take_slot(name)
            slots = self._describe(names, keys_of(names).tolist())
            matrix = self.matrix
            loaded = np.frombuffer(b"".join(rings), "<u8").reshape(len(some), self._keep, 2)
            matrix.rings[slots] = loaded
            matrix.newest_ms[slots] = ring.played_ms(loaded[:, -1, 0])
            matrix.market[slots] = self.markets_of(markets)
            matrix.market_ms[slots] = markets_ms
            with self.songs.lock:
                song_rows = self.songs.rows_of_keys(np.ascontiguousarray(loaded[:, :, 1]))
            song_rows[loaded[:, :, 0] == 0] = UNKNOWN
            matrix.song_rows[slots] = song_rows
            is_unknown = (song_rows == UNKNOWN) & (loaded[:, :, 0] > 0)
            matrix.is_waiting[slots] = is_unknown.any(axis=1)
            matrix.is_stale[slots] = True
            self._await(song_rows[loaded[:, :, 0] > 0], loaded[:, :, 1][loaded[:, :, 0] > 0])
        self.newest_ms = max(self.newest_ms, int(self.matrix.newest_ms.max()))
        self._load_wishes()

    def _load_wishes(self) -> None:
        """Read through once: that is cheaper than to ask for each listener."""
        self.matrix.consents[: self.slots] = self._admission.consent_by_default
        for _, value in self._store.items(SETTINGS):
            settings = decode_settings(value)
            slot = self._slot_of.get(settings.listener_id)
            if slot is not None:
                self.matrix.has_settings[slot] = True
                self.matrix.consents[slot] = consents(settings, None, self._admission)
        erased = {key[len(ERASED) :] for key, _ in self._store.items(ERASED)}
        if erased:
            raw = self.matrix.listener_keys[: self.slots].astype("<u8").tobytes()
            for slot, listener_id in enumerate(self.listener_ids):
                if raw[8 * slot : 8 * slot + 8] in erased:
                    self.follow_wishes(listener_id)

    def _slots(self, plays: Plays, is_recent: Flags) -> Slots:
        """The slot of each play; -1 for one that counts nothing: far too late, or from before an erasure."""
        slots = plays.slots.copy()
        new = np.flatnonzero((slots < 0) & is_recent)
        if len(new):
            who = list(map(plays.listener_ids.__getitem__, new.tolist()))
            slots[new] = self._slots_for(who, plays.played_ms[new].tolist())
        slots[~is_recent | (plays.played_ms <= self.matrix.erased_ms[slots])] = -1
        return slots

    def _slots_for(self, listener_ids: list[str], played_ms: list[int]) -> list[int]:
        """Of plays by listeners who may be new; NO_SLOT: they were erased later than that."""
        unknown = [one for one in dict.fromkeys(listener_ids) if one not in self._slot_of]
        keys = dict(zip(unknown, keys_of(unknown).tolist(), strict=True))
        told = zip(unknown, erased_ms_of(self._store, keys.values()), strict=True)
        erased = {one: up_to_ms for one, up_to_ms in told if up_to_ms is not None}
        found, new = list[int](), list[str]()
        for listener_id, at_ms in zip(listener_ids, played_ms, strict=True):
            slot = self._slot_of.get(listener_id, NO_SLOT)
            if slot == NO_SLOT and (listener_id not in erased or at_ms > erased[listener_id]):
                slot = self._take_slot(listener_id)
                new.append(listener_id)
            found.append(slot)
        if new:
            slots = self._describe(new, [keys[one] for one in new])
            self.matrix.consents[slots] = self._admission.consent_by_default
            settings = self._store.get_many([named(SETTINGS, one) for one in new])
            for slot, listener_id, raw in zip(slots.tolist(), new, settings, strict=True):
                if raw or listener_id in erased:
                    self._follow(slot, listener_id, erased.get(listener_id))
        return found

    def _take_slot(self, listener_id: str) -> int:
        if self._free:
            slot = self._free.pop()
            self.listener_ids[slot], self._names[slot] = listener_id, named(LISTENER, listener_id)
        else:
            slot = self.slots
            if slot == len(self.matrix):
                self.matrix = self.matrix.grown(2 * slot)
            self.listener_ids.append(listener_id)
            self._names.append(named(LISTENER, listener_id))
        self._slot_of[listener_id] = slot
        return slot

    def _describe(self, listener_ids: list[str], keys: list[int]) -> Slots:
        """Whose slot it is, of slots that were just taken."""
        slots = self.slots_of(listener_ids)
        self.matrix.listener_keys[slots] = keys
        self.matrix.is_held_out[slots] = [is_held_out(one, self._admission) for one in listener_ids]
        return slots

    def _give_up(self, slot: int) -> None:
        del self._slot_of[self.listener_ids[slot]]
        self.listener_ids[slot], self._names[slot] = "", b""
        self.matrix.clear(slot)
        self._free.append(slot)
        self.given_up += 1

    def sweep(self) -> None:
        """Once for each batch: drops listeners whose rings can never be seen again, see `listener.is_forgotten`."""
        if self.slots == 0:
            return
        some = (self._swept + np.arange(min(SWEPT_PER_BATCH, self.slots))) % self.slots
        self._swept = int(some[-1]) + 1
        newest_ms = self.matrix.newest_ms[some]
        for slot in some[(newest_ms > 0) & (newest_ms < self.newest_ms - 2 * self._forget_after_ms)].tolist():
            self._store.delete(self._names[slot])
            self._give_up(slot)

    def _put(self, slots: Slots) -> None:
        if not self._is_stored:
            return
        matrix, put, names, heads = self.matrix, self._store.put, self._names, self._market_head
        entries, starts, ends = ring.packed(matrix.rings[slots], matrix.market_ms[slots])
        for slot, market, start, end in zip(slots.tolist(), matrix.market[slots].tolist(), starts, ends, strict=True):
            put(names[slot], heads[market] + entries[start:end])

    def _put_newest(self, newest_ms: int) -> None:
        if newest_ms > self.newest_ms:
            self.newest_ms = newest_ms
            if self._is_stored:
                self._store.put(NEWEST_PLAY, newest_ms.to_bytes(8, "little"))

    def _code_of(self, market: str | None) -> int:
        code = self._market_code.get(market)
        if code is None:
            code = self._market_code[market] = len(self._market_code) - 1
            self._market_head[code] = ring.head(market)
            alphabet = sorted(name for name in self._market_code if name is not None)
            self._market_rank = np.full(len(self._market_code), NO_MARKET, np.int32)
            self._market_rank[[self._market_code[name] for name in alphabet]] = np.arange(len(alphabet))
        return code

    def _tell_markets(self, at: Slots, markets: Markets, played_ms: Times) -> Flags:
        """The market of the newest play that tells one, of plays at the same time the last in the alphabet."""
        matrix, rank = self.matrix, self._market_rank
        told_ms = matrix.market_ms[at]
        is_later = (played_ms > told_ms) | ((played_ms == told_ms) & (rank[markets] > rank[matrix.market[at]]))
        is_told: Flags = is_later & (markets != NO_MARKET)
        matrix.market[at[is_told]], matrix.market_ms[at[is_told]] = markets[is_told], played_ms[is_told]
        return is_told

    def _follow_songs(self) -> None:
        """Songs that became known, were embedded again or withdrawn since the last call change embeddings."""
        if self.songs.changes == self._song_changes:
            return
        changed = self.songs.changed_since(self._song_changes)
        self._song_changes = self.songs.changes
        matrix, slots = self.matrix, self.slots
        seen = changed[changed < self._song_rows_seen]
        if len(seen):
            matrix.is_stale[:slots] |= self._holding(self._with_songs(seen))
            self._lose_rows(seen[~self.songs.known[seen]])
        awaited = self._awaited.intersection(self.songs.keys[changed].tolist())
        if awaited:
            self._find_rows(np.flatnonzero(matrix.is_waiting[:slots]), np.array(sorted(awaited), np.uint64))

    def _lose_rows(self, withdrawn: Rows) -> None:
        """Songs that are not known any more are waited for, as if they had never been."""
        if len(withdrawn):
            entries = self._with_songs(withdrawn)
            self.matrix.song_rows[: self.slots][entries] = UNKNOWN
            holding = self._holding(entries)
            self.matrix.is_waiting[: self.slots] |= holding
            self.matrix.is_continued[: self.slots] &= ~holding
            self._awaited.update(self.songs.keys[withdrawn].tolist())

    def _find_rows(self, slots: Slots, keys: Keys) -> None:
        """These songs are known now, and played by listeners who wait for some song."""
        matrix = self.matrix
        for start in range(0, len(slots), LOADED_AT_ONCE):
            some = slots[start : start + LOADED_AT_ONCE]
            rings, rows = matrix.rings[some], matrix.song_rows[some]
            is_unknown = (rows == UNKNOWN) & (rings[:, :, 0] > 0)
            hits = is_unknown & np.isin(rings[:, :, 1], keys)
            rows[hits] = self.songs.rows_of_keys(rings[:, :, 1][hits])
            matrix.song_rows[some] = rows
            matrix.is_stale[some] |= (found_some := hits.any(axis=1))
            matrix.is_continued[some] &= ~found_some
            matrix.is_waiting[some] = (is_unknown & (rows == UNKNOWN)).any(axis=1)
        found = self.songs.rows_of_keys(keys)
        self._awaited.difference_update(keys[found != UNKNOWN].tolist())
        self._song_rows_seen = max(self._song_rows_seen, int(found.max(initial=UNKNOWN)) + 1)

    def _known_rows(self, plays: Plays) -> Rows:
        with self.songs.lock:
            self._follow_songs()
            song_rows = self.songs.rows_of_keys(plays.song_keys)
        self._await(song_rows, plays.song_keys)
        return song_rows

    def _await(self, song_rows: Rows, song_keys: Keys) -> None:
        self._song_rows_seen = max(self._song_rows_seen, int(song_rows.max(initial=UNKNOWN)) + 1)
        self._awaited.update(song_keys[song_rows == UNKNOWN].tolist())

    def _with_songs(self, rows: Rows) -> Flags:
        """(L, K): which entries are of these songs."""
        wanted = np.zeros(len(self.songs.song_ids) + 1, np.bool_)
        wanted[rows] = True
        wanted[-1] = False  # what row -1 reads
        entries: Flags = wanted[self.matrix.song_rows[: self.slots]]
        return entries

    def _holding(self, entries: Flags) -> Flags:
        """(L, K) -> (L,): who has one of these entries. They are few: finding them beats a look at every row."""
        found = np.zeros(len(entries), np.bool_)
        found[np.flatnonzero(entries) // self._keep] = True
        return found


def _rounds(slots: Slots) -> list[NDArray[np.int64]]:
    """The plays that have a slot, in rounds of plays of different listeners: the n-th play of each in round n."""
    plays = np.argsort(slots, kind="stable")[np.count_nonzero(slots < 0) :]
    count = np.arange(len(plays))
    is_first = np.ones(len(plays), np.bool_)
    is_first[1:] = slots[plays][1:] != slots[plays][:-1]
    nth = count - np.maximum.accumulate(np.where(is_first, count, 0))
    if not nth.any():
        return [plays]
    return np.split(plays[np.argsort(nth, kind="stable")], np.cumsum(np.bincount(nth))[:-1])


def spans(rounds: list[NDArray[np.int64]]) -> list[slice]:
    """Where each round stands, one after the other."""
    ends = np.cumsum([len(now) for now in rounds]).tolist()
    return [slice(end - len(now), end) for now, end in zip(rounds, ends, strict=True)]
