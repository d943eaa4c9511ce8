"""The stage that keeps the crowds of a song partition's songs, and publishes them ever more rarely."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from streams.audience.crowds import Audiences, Doubles, Floats, Keys, Rows, Times, rounds
from streams.contracts.crowds import AudienceSamples, ListenersForgotten
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Batch, Message
from streams.contracts.topics import SONG_CROWDS
from streams.settings import CrowdSettings
from streams.state.layout import ANSWER, CROWDS, SAMPLES_FOLDED, named, of_partition
from streams.state.store import Store

UNIT = 1e-3  # how far the length of a float32 embedding may lie from 1


class RefreshCrowds:
    """All songs of the partition are in memory (`Audiences` says how large); the store gets what has changed.

    A sample of a listener partition whose offset is not above the highest one folded came before, and is left out.
    What is published follows from the samples, one after the other, never from where a batch was cut.
    """

    def __init__(self, store: Store, settings: CrowdSettings, artifact: str, dimension: int) -> None:
        self.of_other_artifacts = 0  # samples left out
        self.seen_before = 0  # samples left out
        self._store = store
        self._dimension = dimension
        self._audiences = Audiences(settings, artifact, dimension)
        for key, packed in store.items(CROWDS):
            self._audiences.unpack(key[len(CROWDS) :].decode(), packed)
        self._folded = {
            int.from_bytes(key[len(SAMPLES_FOLDED) :], "big"): int.from_bytes(offset, "little")
            for key, offset in store.items(SAMPLES_FOLDED)
        }

    def handle(self, batch: Batch[AudienceSamples | ListenersForgotten]) -> list[Message | DeadLetter]:
        messages: list[Message | DeadLetter] = []
        waiting: list[_Samples] = []
        for n, value in enumerate(batch.values):
            if isinstance(value, AudienceSamples):
                samples = _Samples.of(value, batch.times_ms[n], self._dimension)
                if isinstance(samples, str):
                    messages.append(batch.dead_letter(n, samples))
                else:
                    waiting.append(self._new(samples, value.listener_partition, value.artifact))
            elif isinstance(value, ListenersForgotten):
                messages += self._fold(waiting)
                waiting = []
                self._forget(np.frombuffer(value.listener_keys, "<u8"))
        return messages + self._fold(waiting)

    def _new(self, samples: "_Samples", listener_partition: int, artifact: str) -> "_Samples":
        """Those to be folded; that all of them were seen is noted."""
        highest = self._folded.get(listener_partition, -1)
        is_new = samples.offsets > highest
        self.seen_before += len(is_new) - int(is_new.sum())
        if is_new.any():
            highest = int(samples.offsets.max())
            self._folded[listener_partition] = highest
            self._store.put(of_partition(SAMPLES_FOLDED, listener_partition), highest.to_bytes(8, "little"))
        if artifact != self._audiences.artifact:
            self.of_other_artifacts += int(is_new.sum())
            is_new = np.zeros_like(is_new)
        return samples.only(is_new)

    def _fold(self, waiting: "list[_Samples]") -> list[Message | DeadLetter]:
        """Each song's samples in their order; the messages in the order of the samples that made them due."""
        if not waiting:
            return []
        all_of = _Samples.joined(waiting)
        audiences = self._audiences
        rows = audiences.rows(all_of.song_ids.tolist())
        draws = audiences.draws(all_of.keys, all_of.played_ms, all_of.strengths)
        due: list[tuple[int, Message]] = []
        for at in rounds(rows):
            audiences.fold(
                rows[at], all_of.keys[at], draws[at], all_of.played_ms[at], all_of.embeddings[at], all_of.strengths[at]
            )
            for n in at[audiences.is_due(rows[at])].tolist():
                crowds = audiences.publish(int(rows[n]))
                due.append((n, Message(SONG_CROWDS, crowds.song_id, crowds, int(all_of.times_ms[n]))))
        self._put(np.unique(rows))
        return [message for _, message in sorted(due, key=lambda one: one[0])]

    def _forget(self, keys: Keys) -> None:
        """A sample that a listener has left since may lie under a newer one on the disk: all of that goes too."""
        changed = self._audiences.forget(keys)
        self._store.purge(self._names(changed), overwritten=CROWDS)
        self._store.purge([], overwritten=ANSWER)  # answers name listeners, and are deleted once they are merged
        self._put(changed)

    def _put(self, rows: Rows) -> None:
        for name, packed in zip(self._names(rows), self._audiences.pack(rows), strict=True):
            self._store.put(name, packed)

    def _names(self, rows: Rows) -> list[bytes]:
        return [named(CROWDS, self._audiences.song_ids[row]) for row in rows.tolist()]


@dataclass(frozen=True, slots=True)
class _Samples:
    """`AudienceSamples` as arrays, one place for each sample."""

    offsets: Rows
    times_ms: Times  # of the record
    song_ids: NDArray[np.object_]
    keys: Keys
    played_ms: Times
    strengths: Floats
    embeddings: Doubles  # (samples, D)

    @classmethod
    def of(cls, samples: AudienceSamples, time_ms: int, dimension: int) -> "_Samples | str":
        """Or why they cannot be used; our own stages write no such record."""
        count = len(samples.offsets)
        sizes = {
            "song_ids": (len(samples.song_ids), count),
            "listener_keys": (len(samples.listener_keys), 8 * count),
            "played_ms": (len(samples.played_ms), 8 * count),
            "strengths": (len(samples.strengths), 4 * count),
            "embeddings": (len(samples.embeddings), 4 * dimension * count),
        }
        for column, (found, wanted) in sizes.items():
            if found != wanted:
                return f"{column} has length {found}; wanted {wanted} for {count} samples of dimension {dimension}"
        strengths = np.frombuffer(samples.strengths, "<f4")
        if not (np.isfinite(strengths) & (strengths > 0)).all():
            return "strengths are not all above 0"
        embeddings = np.frombuffer(samples.embeddings, "<f4").reshape(count, dimension).astype(np.float64)
        lengths = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))
        if not (np.abs(lengths - 1) < UNIT).all():
            return "embeddings are not all of unit length"
        return cls(
            np.array(samples.offsets, np.int64),
            np.full(count, time_ms, np.int64),
            np.array(samples.song_ids, object),
            np.frombuffer(samples.listener_keys, "<u8"),
            np.frombuffer(samples.played_ms, "<i8"),
            strengths,
            embeddings,
        )

    @classmethod
    def joined(cls, parts: "list[_Samples]") -> Self:
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def only(self, chosen: NDArray[np.bool_]) -> "_Samples":
        return _Samples(*(getattr(self, field.name)[chosen] for field in fields(self)))
