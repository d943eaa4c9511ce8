"""Answers: exact, whatever slot a listener has and however listeners are laid out in blocks."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from math import ceil, sqrt

import numpy as np
import pytest
from msgspec.structs import replace as replaced

from streams.audience import score_listeners
from streams.audience.score_listeners import with_margin
from streams.contracts.queries import Neighbour
from streams.contracts.topics import AUDIENCE_ANSWERS, DAY_MS
from streams.targeting.eligibility import is_held_out
from tests.builders.contracts import NOW, erasure, listener_settings, play, query, settings
from tests.builders.listening import ListenerShard, catalogue, reference

SONGS, DIMENSION = 40, 16


def wanted(rule="max", *, partitions=1, share=0.0, exploration=0.0, block=64, **scoring):
    return settings(
        scoring={"rule": rule, "listeners_per_block": block, "margin_sigmas": 0.0, **scoring},
        topics={"listener_partitions": partitions},
        admission={"hold_out_share": share},
        selection={"exploration_share": exploration},
    )


def shard(told=None, *, listeners=300, plays=5, seed=1, **more):
    one = ListenerShard(told or catalogue(SONGS, DIMENSION), wanted(**more))
    one.hear(*history(listeners, plays, seed))
    return one


def history(listeners=300, plays=5, seed=1):
    random = np.random.default_rng(seed)
    return [
        play(
            f"s{random.integers(SONGS)}",
            by=f"l{n:04d}",
            at=NOW + int(random.integers(DAY_MS)),
            market="de" if n % 3 else "fr",
        )
        for n in range(listeners)
        for _ in range(plays)
    ]


def asked(crowds=3, *, budget=50, seed=2, **more):
    random = np.random.default_rng(seed)
    masses = random.dirichlet(np.ones(crowds)).astype("<f4").tobytes()
    rows = random.normal(size=(crowds, DIMENSION)).tolist()
    near = tuple(Neighbour(song, nearness) for song, nearness in (("s3", 0.9), ("not known", 0.85), ("s1", 0.8)))
    return replaced(query("new", *rows, budget=budget), **({"masses": masses, "because": near} | more))


def arrays(column):
    return np.frombuffer(column.scores, "<f4"), np.frombuffer(column.crowds, "u1")


def slow_familiarity(question, weight=0.05):
    """Of every listener; a neighbour that is played twice counts twice."""
    nearness = {near.song_id: np.exp(near.similarity / 0.05) for near in question.because}
    played = Counter()
    for one in history():
        played[one.listener_id] += nearness.get(one.song_id, 0) / sum(nearness.values())
    return {name: weight * np.log(1 + share / 0.01) for name, share in played.items()}


def slow_scores(one, question, rule, sharpness=10.0):
    embeddings = reference(history(), one.told.vectors, one.settings.listening, DIMENSION)
    centroids = np.frombuffer(question.centroids, "<f4").reshape(-1, DIMENSION).astype(float)
    masses = np.frombuffer(question.masses, "<f4").astype(float)
    if rule == "song":
        centroids, masses = np.frombuffer(question.embedding, "<f4").reshape(1, -1).astype(float), np.ones(1)
    scores, familiar = {}, slow_familiarity(question)
    for name, embedding in embeddings.items():
        cosines = [float(embedding @ centroid) for centroid in centroids]
        scores[name] = (
            {
                "mean": sum(mass * cosine for mass, cosine in zip(masses, cosines, strict=True)),
                "mass": np.log(sum(m * np.exp(sharpness * c) for m, c in zip(masses, cosines, strict=True))),
            }.get(rule, max(cosines))
            + familiar[name],
            int(np.argmax(cosines)),
        )
    return scores


@pytest.mark.parametrize("rule", ["max", "mean", "mass", "song"])
def test_the_best_are_those_of_a_loop_over_listeners_and_crowds(rule):
    one, question = shard(rule=rule), asked(budget=70)
    slow = slow_scores(one, question, rule)
    answer = one.ask(question)
    ranked = sorted(slow, key=lambda name: (-slow[name][0], name))
    assert answer.best.listener_ids == tuple(ranked[:70])
    scores, crowds = arrays(answer.best)
    np.testing.assert_allclose(scores, [slow[name][0] for name in ranked[:70]], atol=1e-5)
    assert crowds.tolist() == [slow[name][1] for name in ranked[:70]]
    assert answer.eligible == answer.scored == 300


def test_a_neighbour_that_is_withdrawn_makes_nobody_familiar_and_without_the_weight_none_does():
    one, plain, question = shard(rule="song"), shard(rule="song", familiarity=0.0), asked(budget=300)
    knowing = {song: {heard.listener_id for heard in history() if heard.song_id == song} for song in ("s1", "s3")}
    assert gained(one, plain, question) == knowing["s1"] | knowing["s3"]
    one.told.tell("s3")
    plain.told.tell("s3")
    assert gained(one, plain, question) == knowing["s1"]


def gained(one, other, question):
    """Whose score is higher in the first of these."""
    there, here = (
        dict(zip(answer.best.listener_ids, arrays(answer.best)[0], strict=True))
        for answer in (other.ask(question), one.ask(question))
    )
    return {name for name in here if here[name] > there[name]}


def test_a_quota_gives_each_crowd_its_share_of_the_budget():
    one = shard(rule="quota")
    question = asked(2, budget=10, masses=np.array([0.8, 0.2], "<f4").tobytes())
    slow = slow_scores(one, question, "max")
    answer = one.ask(question)
    _, crowds = arrays(answer.best)
    assert np.bincount(crowds).tolist() == [8, 2]
    for crowd, quota in ((0, 8), (1, 2)):
        own = sorted((name for name in slow if slow[name][1] == crowd), key=lambda name: (-slow[name][0], name))
        assert {name for name, c in zip(answer.best.listener_ids, crowds, strict=True) if c == crowd} == set(
            own[:quota]
        )


@pytest.mark.parametrize("crowds", [1, 2, 5, 9])
@pytest.mark.parametrize("rule", ["max", "mean", "mass"])
def test_a_score_has_the_same_bits_in_whatever_slot_and_block_a_listener_lies(rule, crowds):
    told, question = catalogue(SONGS, DIMENSION), asked(crowds, budget=1_000)
    heard = history(listeners=500)
    scores = []
    for seed in range(3):
        one = ListenerShard(told, wanted(rule, block=128))
        order = np.random.default_rng(seed).permutation(500).tolist()
        by_listener = [heard[5 * n : 5 * n + 5] for n in order]
        one.hear(*(play for own in by_listener for play in own))
        for gone in order[: 40 * seed]:
            one.audience.forget(f"l{gone:04d}", NOW + 2 * DAY_MS)
        one.hear(*(play for own in by_listener[: 40 * seed] for play in own[::-1]))
        answer = one.ask(question)
        scores.append(dict(zip(answer.best.listener_ids, arrays(answer.best)[0].view("u4").tolist(), strict=True)))
    assert len(scores[0]) == 500
    assert scores[0] == scores[1] == scores[2]


def test_threads_and_the_restriction_to_an_audience_change_no_bit_of_a_score():
    told, question = (
        catalogue(SONGS, DIMENSION),
        asked(4, budget=1_000, because=(Neighbour("s3", 0.9), Neighbour("gone", 0.5))),
    )
    everyone = shard(told, rule="mass")
    scores = dict(zip(everyone.ask(question).best.listener_ids, arrays(everyone.ask(question).best)[0], strict=True))
    restricted = shard(told, rule="mass", candidates="audience")
    answer = restricted.ask(question)
    audience = {one.listener_id for one in history() if one.song_id == "s3"}
    assert set(answer.best.listener_ids) == audience and answer.scored == answer.eligible == len(audience) < 100
    assert arrays(answer.best)[0].tolist() == [scores[name] for name in answer.best.listener_ids]
    with ThreadPoolExecutor(2) as threads:
        everyone.score.threads = threads
        assert (
            dict(zip(everyone.ask(question).best.listener_ids, arrays(everyone.ask(question).best)[0], strict=True))
            == scores
        )


def test_listeners_who_score_alike_are_taken_by_name():
    one = ListenerShard(catalogue(SONGS, DIMENSION), wanted())
    names = [f"l{n:02d}" for n in np.random.default_rng(3).permutation(90)]
    one.hear(*(play("s1", by=name) for name in names))
    assert one.ask(asked(budget=20)).best.listener_ids == tuple(sorted(names)[:20])


def test_a_guessed_threshold_is_exact(monkeypatch):
    one, question = shard(listeners=1_500, plays=2), asked(budget=30)
    exact = one.ask(question)
    monkeypatch.setattr(score_listeners, "SAMPLE", 64)
    assert one.ask(question) == exact


@pytest.mark.parametrize("scores", [np.zeros(1_000, "f4"), np.arange(1_000, dtype="f4"), -np.arange(1_000, dtype="f4")])
def test_a_guess_never_loses_one_of_the_highest(scores, monkeypatch):
    monkeypatch.setattr(score_listeners, "SAMPLE", 16)
    places = score_listeners._not_below_a_guess(scores, 10)
    assert set(np.argsort(-scores, kind="stable")[:10]) <= set(places.tolist())


def test_who_may_not_be_told_is_left_out_before_the_best_are_taken():
    one = shard()
    question = asked(budget=300)
    before = one.ask(question)
    heard, refused, erased = before.best.listener_ids[:3]
    one.hear(play("new", by=heard, at=NOW + DAY_MS))
    one.want(listener_settings(refused, consent=False))
    one.forget(erasure(erased, at=NOW + 2 * DAY_MS))
    after = one.ask(question)
    assert set(before.best.listener_ids) - set(after.best.listener_ids) == {heard, refused, erased}
    assert (after.eligible, after.scored) == (297, 299)
    one.hear(play("s1", by="newest", at=NOW + 182 * DAY_MS))
    assert one.ask(question).best.listener_ids == ("newest",)  # the others are forgotten


def test_a_song_that_is_known_and_heard_is_not_proposed_again():
    one = shard()
    heard = {one_play.listener_id for one_play in history() if one_play.song_id == "s7"}
    answer = one.ask(replaced(asked(budget=300), song_id="s7"))
    assert not heard & set(answer.best.listener_ids) and answer.eligible == 300 - len(heard)


def test_a_release_for_some_markets_finds_only_their_listeners():
    one = shard()
    answer = one.ask(asked(budget=300, markets=("fr", "zz")))
    assert set(answer.best.listener_ids) == {f"l{n:04d}" for n in range(0, 300, 3)}
    assert one.ask(asked(budget=300, markets=("zz",))).eligible == 0


def test_listeners_without_a_known_song_are_not_scored():
    one = ListenerShard(catalogue(3, DIMENSION), wanted())
    one.hear(play("s1", by="ann"), play("never", by="bob"))
    answer = one.ask(asked())
    assert answer.best.listener_ids == ("ann",) and answer.scored == 1


def test_the_hold_out_is_answered_apart_down_to_the_score_of_the_last_best():
    one, question = shard(listeners=1_000, share=0.2), asked(budget=50)
    answer = one.ask(question)
    held_out = {f"l{n:04d}" for n in range(1_000) if is_held_out(f"l{n:04d}", one.settings.admission)}
    assert answer.eligible == 1_000 - len(held_out) and len(answer.best) == 50
    everyone = shard(listeners=1_000)
    all_ranked = one_ranked(everyone, replaced(question, budget=1_000))
    threshold = arrays(answer.best)[0][-1]
    above = [name for name, score in all_ranked if name in held_out and score >= threshold]
    assert list(answer.held_out.listener_ids) == above[: ceil(2 * 50 * 0.2 / 0.8)] != []


def one_ranked(one, question):
    best = one.ask(question).best
    return list(zip(best.listener_ids, arrays(best)[0].tolist(), strict=True))


def test_exploration_draws_among_the_eligible_outside_the_best_and_spreads_over_queries():
    one = shard(exploration=0.4)
    drawn = []
    for n in range(30):
        answer = one.ask(asked(budget=50, query_id=f"q{n}"))
        assert len(answer.explored) == 20 and not set(answer.explored.listener_ids) & set(answer.best.listener_ids)
        scores = arrays(answer.explored)[0]
        assert (np.diff(scores) <= 0).all()
        drawn += answer.explored.listener_ids
    best = set(one.ask(asked(budget=50)).best.listener_ids)
    # 600 draws among 250: 227 of them are expected to be met
    assert len(set(drawn)) > 205 and not set(drawn) & best
    assert one.ask(asked(budget=50, query_id="q1")) == one.ask(asked(budget=50, query_id="q1"))


def test_a_partition_answers_with_its_share_of_the_budget_and_a_margin():
    assert with_margin(1_000, 1 / 8, 4.0) == ceil(125 + 4 * sqrt(125))
    assert with_margin(10, 1 / 2, 4.0) == 10
    assert with_margin(10, 0.0, 4.0) == 0
    one = shard(partitions=4, margin_sigmas=1.0)
    answer = one.ask(asked(budget=100))
    assert len(answer.best) == 30
    assert (answer.listener_partition, answer.listener_partitions) == (3, 4)


def test_vectors_of_another_artifact_are_not_compared():
    one = shard()
    answer = one.ask(asked(artifact="a2"))
    assert (len(answer.best), answer.scored, answer.eligible) == (0, 0, 0) and answer.artifact == "a2"


def test_an_answer_says_what_was_known():
    one = shard()
    assert (one.ask(asked()).plays_offset, one.ask(asked()).song_offsets) == (0, (SONGS,))
    one.want(listener_settings("l0001"))
    one.commit()
    answer = one.ask(asked())
    assert (answer.plays_offset, answer.settings_offset, answer.erasures_offset) == (1_500, 1, 0)


def test_an_empty_partition_answers():
    one = ListenerShard(catalogue(SONGS, DIMENSION), wanted())
    answer = one.ask(asked(because=(Neighbour("s1", 0.5),)))
    assert len(answer.best) == len(answer.held_out) == len(answer.explored) == answer.scored == 0


def test_each_query_gets_one_message_under_its_song():
    one = shard()
    questions = [asked(), replaced(asked(), song_id="s9", decided_ms=NOW + 5)]
    messages = one.score.handle(one._batch("audience-queries", questions))
    assert [(message.topic, message.key, message.time_ms, message.partition) for message in messages] == [
        (AUDIENCE_ANSWERS, "new", NOW, None),
        (AUDIENCE_ANSWERS, "s9", NOW + 5, None),
    ]


def test_without_crowds_the_song_itself_is_compared():
    one = shard(rule="mass")
    question = replaced(asked(), centroids=b"", masses=b"")
    assert len(one.ask(question).best) == 50
