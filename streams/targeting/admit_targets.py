"""Chosen listeners become targets, or suppressions that say why not: one judge per listener, in its shard."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from streams.audience.wishes import Wishes
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.ids import key_of, target_id_of
from streams.contracts.messages import Batch, Message
from streams.contracts.queries import TargetCandidates
from streams.contracts.targets import Arm, Reason, Suppression, Target, TargetReactions
from streams.contracts.topics import (
    LISTENER_ERASURES,
    LISTENER_SETTINGS,
    PLAYS,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    TARGET_CANDIDATES,
    TARGET_REACTIONS,
)
from streams.settings import AdmissionSettings
from streams.state.layout import EXPOSURE, named
from streams.state.store import Store
from streams.targeting import eligibility
from streams.targeting.eligibility import Listener, due_ms, is_erased, reason_to_suppress
from streams.targeting.exposure import Exposure, Push, decoded, with_push
from streams.targeting.watched_releases import WatchedReleases

_ARMS = {arm.value: arm for arm in Arm}


class Verdict(NamedTuple):
    """What admission adds to a candidate; with it the message is written again, byte by byte."""

    reason: Reason | None
    not_before_ms: int
    plays_offset: int
    settings_offset: int
    erasures_offset: int

    @property
    def is_push(self) -> bool:
        """Sent, or kept back for the comparison alone."""
        return self.reason is None or self.reason is Reason.HELD_OUT


@dataclass
class AdmitTargets:
    """A candidate record is admitted once: of a second copy nothing comes out.

    A listener of the hold-out is judged as if pushes were sent, and remembered where one would have been: only then
    are the two arms alike.
    """

    store: Store
    watched: WatchedReleases
    settings: AdmissionSettings
    have_heard: Callable[[str, Sequence[str]], Sequence[bool]]  # of a song, by each of these listeners
    wishes_of: Callable[[Sequence[str]], Wishes]  # each of them

    def __post_init__(self) -> None:
        eligibility.check(self.settings)
        # By query, time and target: about a song it may be asked anew, and of a listener it may be decided anew.
        self._adopted: dict[tuple[str, int, str], Verdict] = {}
        self._ahead: dict[str, list[Push]] = {}  # adopted and not yet come to: they count against what comes before

    def adopt(self, decision: msgspec.Struct) -> None:
        if not isinstance(decision, Target | Suppression):
            return
        reason = decision.reason if isinstance(decision, Suppression) else None
        offsets = decision.plays_offset, decision.settings_offset, decision.erasures_offset
        verdict = Verdict(reason, decision.not_before_ms, *offsets)
        self._adopted[decision.query_id, decision.decided_ms, decision.target_id] = verdict
        if verdict.is_push:
            push = Push(key_of(decision.song_id), decision.decided_ms, verdict.not_before_ms, decision.arm)
            self._ahead.setdefault(decision.listener_id, []).append(push)

    def handle(self, batch: Batch[TargetCandidates]) -> list[Message | DeadLetter]:
        messages: list[Message | DeadLetter] = []
        for offset, candidates in zip(batch.offsets, batch.values, strict=True):
            if candidates is not None and not self.watched.is_done(candidates):
                messages += self._admitted(candidates, batch.partition, offset)
                self.watched.done(candidates)
        return messages

    def _admitted(self, candidates: TargetCandidates, partition: int, offset: int) -> list[Message]:
        song_id, decided_ms = candidates.song_id, candidates.decided_ms
        song_key = key_of(song_id)
        offsets = self.store.offsets()
        known = [offsets.get(topic.name, 0) for topic in (PLAYS, LISTENER_SETTINGS, LISTENER_ERASURES)]
        messages: list[Message] = []
        reached: Counter[str] = Counter()
        for n, (listener_id, listener) in enumerate(self._listeners(candidates)):
            target_id, arm = target_id_of(song_id, listener_id), _ARMS[candidates.arms[n]]
            verdict = self._adopted.pop((candidates.query_id, decided_ms, target_id), None) if self._adopted else None
            if verdict is None:
                due = due_ms(max(decided_ms, candidates.released_ms), listener.settings, self.settings)
                reason = self._reason(candidates, song_key, self._and_ahead(listener_id, listener), due)
                verdict = Verdict(reason, due, *known)
            if verdict.is_push:
                reached[candidates.arms[n]] += 1
                if is_erased(listener.settings, listener.erased_ms):
                    continue  # adopted, and sent before they were erased: nothing is sent or remembered any more
                push = Push(song_key, decided_ms, verdict.not_before_ms, arm)
                self._remember(listener_id, listener.exposure, push)
            messages.append(_message(candidates, n, target_id, arm, verdict, partition))
        return [*messages, _reactions(candidates, reached, partition, offset)]

    def _listeners(self, candidates: TargetCandidates) -> Iterator[tuple[str, Listener]]:
        """No listener is in one record twice, so nothing that is remembered of one is asked of another."""
        names = candidates.listener_ids
        settings, erased_ms = self.wishes_of(names)
        have_heard = self.have_heard(candidates.song_id, names)
        are_held_out = [arm == Arm.HOLD_OUT for arm in candidates.arms]
        exposures = map(decoded, self.store.get_many([named(EXPOSURE, name) for name in names]))
        return zip(names, map(Listener, settings, erased_ms, have_heard, are_held_out, exposures), strict=True)

    def _and_ahead(self, listener_id: str, listener: Listener) -> Listener:
        for push in self._ahead.get(listener_id, ()):
            if not listener.exposure.tells(push.song_key):
                listener = listener._replace(exposure=decoded(with_push(listener.exposure, push, self.settings)))
        return listener

    def _remember(self, listener_id: str, before: Exposure, push: Push) -> None:
        self.store.put(named(EXPOSURE, listener_id), with_push(before, push, self.settings))
        if push in (ahead := self._ahead.get(listener_id, [])):
            ahead.remove(push)
            if not ahead:
                del self._ahead[listener_id]

    def _reason(self, candidates: TargetCandidates, song_key: int, listener: Listener, due: int) -> Reason | None:
        return reason_to_suppress(
            song_key,
            listener,
            self.settings,
            now_ms=candidates.decided_ms,
            due_ms=due,
            expires_ms=candidates.expires_ms,
        )


def _message(
    candidates: TargetCandidates, n: int, target_id: str, arm: Arm, verdict: Verdict, partition: int
) -> Message:
    """By position, in the order in which targets and suppressions are declared: names cost half as much again."""
    listener_id = candidates.listener_ids[n]
    reason, not_before_ms, plays_offset, settings_offset, erasures_offset = verdict
    told = (
        target_id,
        candidates.song_id,
        listener_id,
        candidates.scores[n],
        candidates.ranks[n],
        candidates.crowds[n],
        candidates.because,
        arm,
        candidates.propensities[n],
        candidates.policy,
        candidates.artifact,
        candidates.query_id,
        candidates.decided_ms,
        not_before_ms,
        candidates.expires_ms,
        candidates.coverage,
        plays_offset,
        settings_offset,
        erasures_offset,
    )
    if reason is None:
        return Message(PUSH_TARGETS, listener_id, Target(*told), candidates.decided_ms, partition)
    return Message(PUSH_SUPPRESSIONS, listener_id, Suppression(reason, *told), candidates.decided_ms, partition)


def _reactions(candidates: TargetCandidates, reached: Counter[str], partition: int, offset: int) -> Message:
    reactions = TargetReactions(
        song_id=candidates.song_id,
        source=TARGET_CANDIDATES.name,
        listener_partition=partition,
        offset=offset,
        decided_ms=candidates.decided_ms,
        reached={arm.value: reached[arm.value] for arm in Arm if arm.value in reached},
    )
    return Message(TARGET_REACTIONS, candidates.song_id, reactions, candidates.decided_ms)
