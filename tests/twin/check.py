"""The twin verifier: recomputes from the input topics, in one batch, what a live run must have left, and compares.

    settled(live)  drains the run, ends its workers and checks what they leave
    check(live)    after the run was drained and its workers ended

Every difference is collected; the first of each kind are shown.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import numpy as np

from streams.audience.audience import Audience
from streams.catalogue.songs import Songs
from streams.contracts.crowds import SongCrowds
from streams.contracts.ids import key_of, target_id_of
from streams.contracts.listeners import ListenerSettings
from streams.contracts.queries import AudienceAnswer, AudienceQuery, TargetCandidates, TargetsSelected
from streams.contracts.targets import Outcome, Suppression
from streams.contracts.topics import (
    AUDIENCE_ANSWERS,
    AUDIENCE_QUERIES,
    AUDIENCE_SAMPLES,
    DAY_MS,
    HOUR_MS,
    LISTENER_ERASURES,
    LISTENER_SETTINGS,
    PLAYS,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    RELEASE_OUTCOMES,
    SONG_CROWDS,
    SONG_DECISIONS,
    SONG_EMBEDDINGS,
    SONG_RELEASES,
    TARGET_CANDIDATES,
    TARGET_REACTIONS,
    TOPICS,
)
from streams.settings import Settings
from streams.state import layout
from tests.harness.live import STAGE_INPUTS, Live
from tests.twin import crowds_twin, listeners_twin, targets_twin
from tests.twin.log import Entry, Log, State, last_state
from tests.twin.targets_twin import Choice, Decision, Exposures, Known, Push

SHOWN_OF_EACH = 3
SONGS_LOOKED_AT = 40  # of each partition: the twin of crowds takes 2 ms a sample
AFTER_ALL = 1 << 62


@dataclass
class Checked:
    """What was compared, so that a test can say that it was not nothing."""

    seen: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def equal(self, what: str, where: object, found: object, wanted: object) -> None:
        self.true(what, where, found == wanted, f"found {found!r:.300}, wanted {wanted!r:.300}")

    def true(self, what: str, where: object, is_right: object, otherwise: str = "") -> None:
        self.seen[what] += 1
        if not is_right:
            self.wrong[what].append(f"{where}: {otherwise}")

    def raise_differences(self) -> None:
        if self.wrong:
            lines = [
                f"{what}: {len(every)} of {self.seen[what]} differ\n  " + "\n  ".join(every[:SHOWN_OF_EACH])
                for what, every in self.wrong.items()
            ]
            raise AssertionError("the live run differs from its twin\n" + "\n".join(lines))


def check(live: Live, seed: int = 0) -> Checked:
    settings, log, checked = live.settings(), Log(live), Checked()
    states = {
        (side, partition): last_state(live, side, partition)
        for side, count in (("song", live.topics.song_partitions), ("listener", live.topics.listener_partitions))
        for partition in range(count)
    }
    Twin(settings, log, states, checked, Random(seed)).compare()
    checked.raise_differences()
    return checked


def settled(live: Live, seed: int = 0) -> Checked:
    live.drained()
    codes = live.stop_all()
    assert codes == dict.fromkeys(codes, 0)
    return check(live, seed)


@dataclass
class Twin:
    settings: Settings
    log: Log
    states: Mapping[tuple[str, int], State]
    checked: Checked
    random: Random

    def __post_init__(self) -> None:
        embedded = [one.value for one in self.log.entries(SONG_EMBEDDINGS) if one.value is not None]
        self.artifact, self.dimension = embedded[-1].artifact, len(embedded[-1].embedding) // 4
        self.erased = {
            partition: [
                (
                    one.offset,
                    (one.value and one.value.listener_id) or one.key,
                    (one.value and one.value.asked_ms) or one.time_ms,
                )
                for one in entries
            ]
            for partition, entries in self.log.partitions(LISTENER_ERASURES).items()
        }
        self.withdrawn = {one.key for one in self.log.entries(SONG_RELEASES) if one.value is None}
        self.targets = self._distinct(PUSH_TARGETS, lambda one: one.value.target_id)
        self.suppressions = self._distinct(PUSH_SUPPRESSIONS, lambda one: one.value.target_id)

    def compare(self) -> None:
        self.everything_is_folded()
        songs = self.songs()
        for partition in range(self.settings.topics.listener_partitions):
            self.listeners(partition, songs)
            self.wishes(partition)
            self.song_plays(partition)
            self.admission(partition)
        for partition in range(self.settings.topics.song_partitions):
            self.crowds(partition)
            self.outcomes(partition)
        self.releases()
        self.selections()
        self.caps()

    # -- everything was read

    def everything_is_folded(self) -> None:
        for (side, partition), state in self.states.items():
            for name in STAGE_INPUTS[f"{side}s"]:
                self.log.partitions(TOPICS[name])
                end = self.log.ends[name, partition]
                self.checked.equal("offsets of the state", f"{name}[{partition}]", state.offsets.get(name, 0), end)

    def _distinct(self, topic: Any, named: Any) -> dict[Any, Entry]:
        """By name; a second copy has the same bytes."""
        found: dict[Any, Entry] = {}
        for one in self.log.entries(topic):
            if one.value is None:
                continue
            name = named(one)
            first = found.setdefault(name, one)
            if first is not one:
                self.checked.equal(f"second copies in {topic.name}", name, one.whole, first.whole)
        return found

    # -- listeners

    def songs(self) -> Songs:
        """The view as every worker has it at the end."""
        songs = Songs(self.artifact, self.dimension, self.settings.topics.song_partitions)
        for one in self.log.entries(SONG_EMBEDDINGS):
            songs.apply(one.partition, one.offset + 1, one.key, one.value)
        return songs

    def vectors(self) -> dict[int, np.ndarray[Any, Any]]:
        """Song key -> embedding, folded from the topic without the view."""
        found = {}
        for one in self.log.entries(SONG_EMBEDDINGS):
            if one.value is None:
                found.pop(key_of(one.key), None)
            elif one.value.artifact == self.artifact:
                found[key_of(one.key)] = np.frombuffer(one.value.embedding, "<f4").astype(np.float64)
        return found

    def erased_ms(self, partition: int) -> dict[str, int]:
        last: dict[str, int] = {}
        for _, name, at_ms in self.erased[partition]:
            last[name] = max(at_ms, last.get(name, 0))
        return last

    def listeners(self, partition: int, songs: Songs) -> None:
        state, listening, checked = self.states["listener", partition], self.settings.listening, self.checked
        plays = [one.value for one in self.log.partitions(PLAYS)[partition]]
        wanted = listeners_twin.fold(plays, self.erased_ms(partition), listening)
        found = {name.decode(): listeners_twin.unpacked(raw) for name, raw in state.of(layout.LISTENER).items()}
        checked.equal("who is remembered", partition, sorted(found.keys() ^ wanted.keys()), [])
        audience = Audience(state.store(), songs, listening, self.settings.admission)
        audience.refresh()
        vectors = self.vectors()
        for name in found.keys() & wanted.keys():
            checked.equal("rings", name, found[name].ring, wanted[name].ring)
            checked.equal("markets", name, found[name].market, wanted[name].market)
            embedding, slot = wanted[name].embedding(vectors, listening), audience.slot_of(name)
            live = audience.matrix.embeddings[slot]
            off = np.abs(live - (0 if embedding is None else embedding)).max()
            checked.true("embeddings", name, off < 1e-6, f"off by {off}")

    def wishes(self, partition: int) -> None:
        state, erased = self.states["listener", partition], self.erased_ms(partition)
        markers = {key_of(name).to_bytes(8, "little"): at_ms.to_bytes(8, "little") for name, at_ms in erased.items()}
        self.checked.equal("markers of erasures", partition, state.of(layout.ERASED), markers)
        known = self.known(partition)
        wanted = {name: known.settings_of(name, AFTER_ALL, erased.get(name)) for name in known.settings}
        found = {
            name.decode(): msgspec.msgpack.decode(raw, type=ListenerSettings)
            for name, raw in state.of(layout.SETTINGS).items()
        }
        wanted_now = {name: said for name, said in wanted.items() if said is not None}
        for name in sorted(found.keys() | wanted_now.keys()):
            self.checked.equal("settings", name, found.get(name), wanted_now.get(name))

    def song_plays(self, partition: int) -> None:
        """Exact, but for the plays of an erased listener: they count if they were read before the erasure."""
        erased = self.erased_ms(partition)
        least: Counter[int] = Counter()
        most: Counter[int] = Counter()
        plays = [one.value for one in self.log.partitions(PLAYS)[partition]]
        for name, own in listeners_twin.by_listener(plays).items():
            counts = listeners_twin.counted_plays(own, self.settings.listening)
            most.update(counts)
            if name not in erased:
                least.update(counts)
        found = listeners_twin.unpacked_song_plays(
            self.states["listener", partition].of(layout.SONG_PLAYS),
            self.states["listener", partition].of(layout.RECENT_SONG_PLAYS),
        )
        self.checked.equal("songs that were played", partition, sorted(found.keys() - most.keys()), [])
        for song, upper in most.items():
            count = found.get(song, 0)
            is_within = least[song] <= count <= upper
            self.checked.true("plays of a song", song, is_within, f"{count}, wanted {least[song]} to {upper}")

    # -- crowds

    def crowds(self, partition: int) -> None:
        """Of songs drawn by chance: state, and what was published of it."""
        records = [(one.time_ms, one.value) for one in self.log.partitions(AUDIENCE_SAMPLES)[partition]]
        packed = {name.decode(): raw for name, raw in self.states["song", partition].of(layout.CROWDS).items()}
        names = sorted({name for _, value in records for name in getattr(value, "song_ids", ())})
        self.checked.equal("songs with crowds", partition, sorted(set(packed) ^ set(names)), [])
        some = set(self.random.sample(names, min(SONGS_LOOKED_AT, len(names))))
        wanted = crowds_twin.fold(records, self.settings.crowds, self.artifact, only=some)
        for name, song in wanted.songs.items():
            if name in packed:
                why = crowds_twin.difference(crowds_twin.unpacked(packed[name]), song)
                self.checked.true("crowds", name, why is None, str(why))
        told = {(one.song_id, one.samples): one for one in wanted.published}
        published: dict[tuple[str, int], SongCrowds] = {}
        withdrawn = {at for at in told if at[0] in self.withdrawn}
        for one in self.log.partitions(SONG_CROWDS)[partition]:
            if one.value is not None and one.key in some:
                first = published.setdefault((one.key, one.value.samples), one.value)
                self.checked.equal("second copies of crowds", one.key, one.value, first)
        self.checked.equal("published crowds", partition, sorted(published.keys() - told.keys()), [])
        latest = dict(sorted(told))  # of each song; compaction may have taken the others
        self.checked.equal("latest crowds", partition, sorted(latest.items() - withdrawn - published.keys()), [])
        for at in published.keys() & told.keys():
            is_near = np.allclose(np.frombuffer(published[at].masses, "<f4"), told[at].masses, rtol=1e-6)
            centroids = np.frombuffer(published[at].centroids, "<f4").reshape(-1, self.dimension)
            self.checked.true("centroids", at, is_near and np.allclose(centroids, told[at].centroids, atol=1e-6))

    # -- releases and selection

    def wanted_queries(self) -> dict[str, list[int]]:
        """Song -> times of the release records to be matched: the first cold one since it was last withdrawn.

        One that was filled in here counts only if it was said after that withdrawal, wherever in the log it stands.
        """
        wanted: dict[str, list[int]] = defaultdict(list)
        matched: set[str] = set()
        withdrawn_ms: dict[str, int] = {}
        for one in self.log.entries(SONG_RELEASES):
            if one.value is None:
                matched.discard(one.key)
                withdrawn_ms[one.key] = one.time_ms
            elif one.value.vectors_by and one.time_ms <= withdrawn_ms.get(one.key, 0):
                continue
            elif one.key not in matched and self._is_cold(one):
                matched.add(one.key)
                wanted[one.key].append(one.time_ms)
        return dict(wanted)

    def _is_cold(self, one: Entry) -> bool:
        release, within_ms = one.value, self.settings.matching.cold_for_days * DAY_MS
        is_over = release.expires_ms is not None and release.expires_ms <= one.time_ms
        return not is_over and one.time_ms - release.released_ms <= within_ms

    def queries(self) -> dict[str, AudienceQuery]:
        decided = self._distinct(SONG_DECISIONS, lambda one: (type(one.value), one.value.query_id))
        self.selected = {name: one for (kind, name), one in decided.items() if kind is TargetsSelected}
        return {name: one.value for (kind, name), one in decided.items() if kind is AudienceQuery}

    def releases(self) -> None:
        """Every cold release has one question, put to every partition, and one decision."""
        queries = self.queries()
        found: dict[str, list[int]] = defaultdict(list)
        for query in queries.values():
            found[query.song_id].append(query.decided_ms)
        self.checked.equal("releases that were matched", "", dict(found), self.wanted_queries())
        undecided = {one.song_id for name, one in queries.items() if name not in self.selected}
        self.checked.equal("releases without a decision", "", sorted(undecided - self.withdrawn), [])
        asked = self._distinct(AUDIENCE_QUERIES, lambda one: (one.value.query_id, one.partition))
        for name, query in queries.items():
            for partition in range(self.settings.topics.listener_partitions):
                copy = asked.get((name, partition))
                self.checked.equal("questions", (query.song_id, partition), copy and copy.value, query)

    def selections(self) -> None:
        """The exact merge of the answers that a decision names, and no candidate besides."""
        queries = self.queries()
        answers = {(one.partition, one.offset): one.value for one in self.log.entries(AUDIENCE_ANSWERS)}
        told: dict[str, dict[int, list[Choice]]] = defaultdict(lambda: defaultdict(list))
        for (query_id, _, partition, _), one in self.candidates().items():
            told[query_id][partition] += _choices(one.value, partition)
        for query_id, entry in self.selected.items():
            decision, query = entry.value, queries[query_id]
            coverage = len(decision.answers) / self.settings.topics.listener_partitions
            self.checked.equal("coverage", query.song_id, decision.coverage, coverage)
            merged: list[AudienceAnswer] = []
            for partition, offset in sorted(decision.answers.items()):
                answer = answers[entry.partition, offset]
                named = (answer.query_id, answer.listener_partition)
                self.checked.equal("answers", query.song_id, named, (query_id, partition))
                merged.append(answer)
            wanted: dict[int, list[Choice]] = defaultdict(list)
            for choice in targets_twin.chosen(query, merged, self.settings.selection):
                wanted[choice.partition].append(choice)
            for partition in wanted.keys() | told[query_id].keys():
                where = (query.song_id, partition)
                self.checked.equal("candidates", where, told[query_id][partition], wanted[partition])
        self.checked.equal("candidates of no decision", "", sorted(told.keys() - self.selected.keys()), [])

    def candidates(self) -> dict[Any, Entry]:
        return self._distinct(
            TARGET_CANDIDATES,
            lambda one: (one.value.query_id, one.value.decided_ms, one.partition, one.value.listener_ids),
        )

    # -- admission

    def known(self, partition: int) -> Known:
        settings: dict[str, list[Any]] = defaultdict(list)
        erasures: dict[str, list[Any]] = defaultdict(list)
        plays: dict[str, list[Any]] = defaultdict(list)
        for one in self.log.partitions(LISTENER_SETTINGS)[partition]:
            settings[one.key].append((one.offset, one.value))
        for offset, name, at_ms in self.erased[partition]:
            erasures[name].append((offset, at_ms))
        for one in self.log.partitions(PLAYS)[partition]:
            plays[one.key].append((one.offset, one.value))
        return Known(settings, erasures, plays)

    def admission(self, partition: int) -> None:
        """Every candidate has one decision, and it is that of the rules, given what the decision knew."""
        exposures = Exposures(self.known(partition))
        wanted: set[str] = set()
        for (_, _, at, _), one in self.candidates().items():
            if at == partition:
                for n in range(len(one.value.listener_ids)):
                    wanted.add(target_id_of(one.value.song_id, one.value.listener_ids[n]))
                    self.decision(one.value, n, exposures)
        for kind, decided in (("target", self.targets), ("suppression", self.suppressions)):
            found = {name for name, one in decided.items() if one.partition == partition}
            self.checked.equal(f"a {kind} that was no candidate", partition, sorted(found - wanted), [])
        self.exposures(partition, exposures)

    def decision(self, candidates: TargetCandidates, n: int, exposures: Exposures) -> None:
        song_id, listener_id, checked = candidates.song_id, candidates.listener_ids[n], self.checked
        name, where = target_id_of(song_id, listener_id), (song_id, listener_id)
        both = [one.value for one in (self.targets.get(name), self.suppressions.get(name)) if one is not None]
        checked.equal("decisions of a candidate", where, len(both), 1)
        if len(both) != 1:
            return
        decision: Decision = both[0]
        arms = (candidates.arms[n], candidates.ranks[n], candidates.propensities[n], candidates.scores[n])
        checked.equal("what is told", where, (decision.arm, decision.rank, decision.propensity, decision.score), arms)
        admission, listening = self.settings.admission, self.settings.listening
        reason, due_ms = targets_twin.judged(
            song_id, listener_id, candidates, decision, exposures, admission, listening
        )
        said = decision.reason.value if isinstance(decision, Suppression) else None
        checked.seen[f"reason {said}"] += 1
        checked.equal("reasons", where, said, reason)
        checked.equal("not before", where, decision.not_before_ms, due_ms)
        if said in (None, "held-out"):
            push = Push(song_id, candidates.decided_ms, due_ms, candidates.arms[n], decision.erasures_offset)
            exposures.add(listener_id, push)

    def exposures(self, partition: int, exposures: Exposures) -> None:
        found = {
            name.decode(): sorted(push[:4] for push in targets_twin.unpacked_exposure(raw))
            for name, raw in self.states["listener", partition].of(layout.EXPOSURE).items()
        }
        wanted = {
            name: sorted(
                (key_of(push.song_id), push.decided_ms, push.due_ms, push.arm) for push in exposures.of(name, AFTER_ALL)
            )
            for name in exposures.pushes
        }
        for name in sorted(found.keys() | wanted.keys()):
            self.checked.equal("exposures", name, found.get(name, []), wanted.get(name, []))

    def caps(self) -> None:
        """Asked of the targets alone: cool-down and rolling cap, and nobody in the hold-out."""
        admission = self.settings.admission
        erased = {name for every in self.erased.values() for _, name, _ in every}
        due: dict[str, list[int]] = defaultdict(list)
        for one in self.targets.values():
            self.checked.true("hold-out", one.key, not targets_twin.held_out(one.key, admission), "was told")
            due[one.key].append(one.value.not_before_ms)
        for name, times in due.items():
            if name in erased:
                continue  # forgotten: a new consent begins with nothing
            times.sort()
            least = min((b - a for a, b in pairwise(times)), default=AFTER_ALL)
            self.checked.true("cool-down", name, least >= admission.cooldown_h * HOUR_MS, f"{least} ms")
            most = max(targets_twin.most_within(times, admission.rolling_h * HOUR_MS, at) for at in times)
            self.checked.true("rolling cap", name, most <= admission.rolling_cap, f"{most} targets")

    # -- outcomes

    def outcomes(self, partition: int) -> None:
        """The sum of the reactions, each counted once; and nobody reached who was not told."""
        folded: dict[tuple[str, int], int] = {}
        wanted: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        for one in self.log.partitions(TARGET_REACTIONS)[partition]:
            source = (one.value.source, one.value.listener_partition)
            if one.value.offset > folded.get(source, -1):
                folded[source] = one.value.offset
                for what in ("reached", "effective_plays", "likes"):
                    wanted[one.value.song_id][what].update(getattr(one.value, what))
        found = {
            name.decode(): msgspec.msgpack.decode(raw, type=Outcome)
            for name, raw in self.states["song", partition].of(layout.OUTCOME).items()
        }
        published = {one.key: one.value for one in self.log.partitions(RELEASE_OUTCOMES)[partition]}
        self.checked.equal("published outcomes", partition, published, found)
        kept_aside = [one for one in self.suppressions.values() if one.value.reason == "held-out"]
        told = Counter((one.value.song_id, one.value.arm) for one in (*self.targets.values(), *kept_aside))
        for song_id in sorted(found.keys() | wanted.keys()):
            outcome = found.get(song_id)
            sums = {what: dict(counts) for what, counts in wanted[song_id].items() if counts}
            counted = {what: getattr(outcome, what, {}) for what in ("reached", "effective_plays", "likes")}
            self.checked.equal("outcomes", song_id, {what: one for what, one in counted.items() if one}, sums)
            for arm in targets_twin.ARMS:
                self.checked.equal("reached", (song_id, arm), counted["reached"].get(arm, 0), told[song_id, arm])


def _choices(candidates: TargetCandidates, partition: int) -> Iterable[Choice]:
    columns = zip(
        candidates.scores,
        candidates.listener_ids,
        candidates.crowds,
        candidates.ranks,
        candidates.arms,
        candidates.propensities,
        strict=True,
    )
    return [
        Choice(-score, name, partition, crowd, rank, arm, propensity)
        for score, name, crowd, rank, arm, propensity in columns
    ]
