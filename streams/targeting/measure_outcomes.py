"""What came of a release: listener shards notice who played the song, its song shard adds it up.

A listener counts once for each target: the first effective play and the first like, from the decision until `window_h`
after the push may be sent. Of the hold-out the same is counted, from and until the same moments. A play that comes
before its listener is told of the song counts for nothing: it was not the push that led there.
"""

from dataclasses import dataclass

import msgspec

from streams.audience.listener import is_effective
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Batch, Message
from streams.contracts.plays import Play
from streams.contracts.targets import Outcome, TargetReactions
from streams.contracts.topics import HOUR_MS, PLAYS, RELEASE_OUTCOMES, TARGET_REACTIONS
from streams.settings import ListeningSettings, OutcomeSettings
from streams.state.layout import EXPOSURE, OUTCOME, REACTIONS_FOLDED, named, of_partition
from streams.state.store import Store
from streams.targeting.exposure import Exposure, decoded, with_reaction
from streams.targeting.outcomes import with_reactions
from streams.targeting.watched_releases import WatchedReleases

_outcome = msgspec.msgpack.Decoder(Outcome)


@dataclass
class NoticeReactions:
    store: Store
    watched: WatchedReleases
    listening: ListeningSettings
    settings: OutcomeSettings

    def handle(self, batch: Batch[Play]) -> list[Message | DeadLetter]:
        watched = self.watched.songs
        of_watched = [n for n, play in enumerate(batch.values) if play is not None and play.song_id in watched]
        reactions = [self._reactions(batch, n) for n in of_watched]
        return [message for message in reactions if message is not None]

    def _reactions(self, batch: Batch[Play], n: int) -> Message | None:
        play = batch.values[n]
        assert play is not None
        key = named(EXPOSURE, play.listener_id)
        before = decoded(self.store.get(key))
        at = self._told_at(before, self.watched.songs[play.song_id], play.played_ms)
        if at is None:
            return None
        push = before.push(at)
        played = not push.played and is_effective(play, self.listening)
        liked = not push.liked and play.liked
        if not (played or liked):
            return None
        self.store.put(key, with_reaction(before, at, played=played, liked=liked))
        reactions = TargetReactions(
            song_id=play.song_id,
            source=PLAYS.name,
            listener_partition=batch.partition,
            offset=batch.offsets[n],
            decided_ms=push.decided_ms,
            effective_plays={push.arm.value: 1} if played else {},
            likes={push.arm.value: 1} if liked else {},
        )
        return Message(TARGET_REACTIONS, play.song_id, reactions, batch.times_ms[n])

    def _told_at(self, told: Exposure, song_key: int, played_ms: int) -> int | None:
        window_ms = int(self.settings.window_h * HOUR_MS)
        for at, pushed_key in enumerate(told.song_keys):
            if pushed_key == song_key and told.decided_ms[at] <= played_ms < told.due_ms[at] + window_ms:
                return at
        return None


@dataclass
class MeasureOutcomes:
    """The total is published after each record that counts, not once for each batch.

    So what is published follows from the log alone and not from where a batch was cut, and the last record of a song,
    which compaction keeps, is the whole sum. A listener partition publishes its reactions in the order of their source:
    what is not higher has been counted. Under REACTIONS_FOLDED (source, listener partition) lies the next offset that
    counts, u64 little endian.
    """

    store: Store

    def handle(self, batch: Batch[TargetReactions]) -> list[Message | DeadLetter]:
        messages: list[Message | DeadLetter] = []
        for reactions, at_ms in zip(batch.values, batch.times_ms, strict=True):
            if reactions is not None and self._is_new(reactions):
                key = named(OUTCOME, reactions.song_id)
                raw = self.store.get(key)
                outcome = with_reactions(_outcome.decode(raw) if raw is not None else None, reactions, at_ms)
                self.store.put(key, msgspec.msgpack.encode(outcome))
                messages.append(Message(RELEASE_OUTCOMES, outcome.song_id, outcome, outcome.at_ms))
        return messages

    def _is_new(self, reactions: TargetReactions) -> bool:
        key = of_partition(REACTIONS_FOLDED, reactions.listener_partition, reactions.source)
        raw = self.store.get(key)
        if raw is not None and reactions.offset < int.from_bytes(raw, "little"):
            return False
        self.store.put(key, (reactions.offset + 1).to_bytes(8, "little"))
        return True
