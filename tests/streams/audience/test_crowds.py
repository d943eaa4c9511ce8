import struct
from math import inf

import numpy as np
import pytest

from streams.audience.crowds import VERSION, Audiences, rounds
from streams.contracts.crowds import SongCrowds
from streams.contracts.ids import key_of
from streams.errors import StoreDamaged
from streams.settings import CrowdSettings
from tests.builders.samples import DAY_MS, NOW, Sample, log
from tests.twin import crowds_twin

SETTINGS = CrowdSettings(crowds_per_song=3, listeners_per_song=16, half_life_days=30, warm_at_listeners=4)


def audiences(dimension: int = 8, settings: CrowdSettings = SETTINGS, artifact: str = "a1") -> Audiences:
    return Audiences(settings, artifact, dimension)


def folded(into: Audiences, samples: list[Sample], at_once: int = 1) -> Audiences:
    """`at_once` 1: one sample after the other; more: in rounds over the songs of so many samples."""
    for start in range(0, len(samples), at_once):
        part = samples[start : start + at_once]
        rows = into.rows([one.song for one in part])
        keys = np.array([key_of(one.by) for one in part], np.uint64)
        played = np.array([one.at for one in part], np.int64)
        strengths = np.array([one.strength for one in part], np.float32)
        embeddings = np.array([one.embedding for one in part])
        embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
        draws = into.draws(keys, played, strengths)
        for at in rounds(rows):
            into.fold(rows[at], keys[at], draws[at], played[at], embeddings[at].astype(np.float64), strengths[at])
    return into


def packed(of: Audiences) -> dict[str, bytes]:
    return dict(zip(of.song_ids, of.pack(np.arange(len(of))), strict=True))


def crowds_of(of: Audiences, song: str = "s0") -> tuple[np.ndarray, np.ndarray]:
    crowds = of.publish(int(of.rows([song])[0]))
    masses = np.frombuffer(crowds.masses, np.float32)
    return np.frombuffer(crowds.centroids, np.float32).reshape(len(masses), -1), masses


def listeners_of(of: Audiences, song: str = "s0") -> set[int]:
    row = int(of.rows([song])[0])
    return set(of.keys[row, : of.listeners[row]].tolist())


# The same, however it is cut


@pytest.mark.parametrize("at_once", [2, 7, 64, 400])
@pytest.mark.parametrize("dimension", [8, 64])
def test_rounds_over_songs_equal_one_sample_after_the_other_to_the_bit(at_once: int, dimension: int) -> None:
    samples = log(400, songs=12, dimension=dimension)
    assert packed(folded(audiences(dimension), samples, at_once)) == packed(folded(audiences(dimension), samples))


def test_the_plain_reference_says_the_same() -> None:
    samples = log(600, songs=4)
    fast = folded(audiences(), samples, at_once=50)
    slow: dict[str, crowds_twin.Song] = {}
    for one in samples:
        song = slow.setdefault(one.song, crowds_twin.Song())
        embedding = np.array(one.embedding) / np.linalg.norm(one.embedding)
        crowds_twin._sample(song, embedding.astype(np.float32).tolist(), one.strength, one.at, SETTINGS)
        crowds_twin._listener(song, key_of(one.by), one.strength, one.at, SETTINGS)
    for song_id, raw in packed(fast).items():
        found = crowds_twin.unpacked(raw)
        assert found.listeners.keys() == slow[song_id].listeners.keys()
        for crowd, wanted in zip(found.crowds, slow[song_id].crowds, strict=True):
            assert crowd.mass == pytest.approx(wanted.mass, rel=1e-9)
            np.testing.assert_allclose(crowd.mean, wanted.mean, atol=1e-6)


def test_rounds_keep_the_order_of_each_song_and_no_round_has_a_song_twice() -> None:
    rows = np.array([3, 1, 3, 3, 2, 1, 0])
    found = [at.tolist() for at in rounds(rows)]
    assert found == [[0, 1, 6, 4], [2, 5], [3]]
    assert [at.tolist() for at in rounds(rows, at_most=3)] == [[0, 1, 6], [2, 5], [3], [4]]
    assert [at.tolist() for at in rounds(rows[:0])] == []
    assert [at.tolist() for at in rounds(rows[:1])] == [[0]]


# Crowds


def test_the_first_samples_are_crowds_of_their_own() -> None:
    of = folded(audiences(2), [Sample("s0", "ann", (1, 0)), Sample("s0", "bob", (0, 1), strength=2)])
    centroids, masses = crowds_of(of)
    assert (centroids.tolist(), masses.tolist()) == ([[1, 0], [0, 1]], [1, 2])


def test_centroids_are_the_weighted_means_of_their_samples() -> None:
    one = CrowdSettings(crowds_per_song=1, listeners_per_song=4, half_life_days=30, warm_at_listeners=1)
    of = audiences(2, one)
    folded(
        of, [Sample("s0", "a", (1, 0), strength=5), Sample("s0", "b", (0, 1), strength=1), Sample("s0", "c", (0, 1))]
    )
    centroids, masses = crowds_of(of)
    np.testing.assert_allclose(centroids, [np.array([5, 2]) / np.sqrt(29)], atol=1e-6)
    np.testing.assert_allclose(masses, [7])


def test_old_samples_fade_and_late_ones_weigh_what_they_would_have_weighed() -> None:
    early, now = Sample("s0", "a", (1, 0), at=NOW - 30 * DAY_MS), Sample("s0", "b", (0, 1), at=NOW)
    for order in ([early, now], [now, early]):
        of = folded(audiences(2), order)
        centroids, masses = crowds_of(of)
        assert sorted(zip(masses.tolist(), centroids.tolist(), strict=True)) == [(0.5, [1, 0]), (1.0, [0, 1])]
        assert of.at_ms[0] == NOW


@pytest.mark.parametrize("seed", range(5))
def test_the_true_crowds_are_found_though_they_came_mixed(seed: int) -> None:
    random = np.random.default_rng(seed)
    true = np.linalg.qr(random.normal(size=(16, 3)))[0].T
    which = random.choice(3, size=600, p=[0.6, 0.3, 0.1])
    drawn = true[which] + 0.15 * random.normal(size=(600, 16))
    of = folded(audiences(16), [Sample("s0", f"l{n}", tuple(vector)) for n, vector in enumerate(drawn)])
    centroids, masses = crowds_of(of)
    nearest = (centroids @ true.T).argmax(axis=1)
    assert sorted(nearest) == [0, 1, 2]
    assert (centroids @ true.T).max(axis=1).min() > 0.98
    np.testing.assert_allclose(masses[np.argsort(nearest)] / 600, np.bincount(which) / 600, atol=0.02)


def test_a_crowd_that_comes_late_gets_its_own_centroid_and_outliers_do_not() -> None:
    random = np.random.default_rng(1)
    first = [tuple([1, 0, 0, 0] + 0.1 * random.normal(size=4)) for _ in range(200)]
    outlier = [(0.0, 0.0, 0.0, 1.0)]
    late = [tuple([0, 1, 0, 0] + 0.1 * random.normal(size=4)) for _ in range(30)]
    of = folded(audiences(4), [Sample("s0", f"l{n}", vector) for n, vector in enumerate([*first, *outlier, *late])])
    centroids, masses = crowds_of(of)
    assert masses[centroids[:, 1] > 0.95].sum() == pytest.approx(30, abs=1)
    assert masses[centroids[:, 0] > 0.95].sum() >= 199


def test_online_crowds_are_nearly_as_tight_as_k_means_over_all_samples() -> None:
    from streams.audience.cat import spherical_k_means

    random = np.random.default_rng(3)
    centres = random.normal(size=(6, 16))
    drawn = centres[random.integers(6, size=800)] + 0.6 * random.normal(size=(800, 16))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    centroids, _ = crowds_of(
        folded(audiences(16), [Sample("s0", f"l{n}", tuple(vector)) for n, vector in enumerate(drawn)])
    )
    _, best = spherical_k_means(drawn, np.ones(800), 3, seed=0)
    assert (drawn @ centroids.T).max(axis=1).mean() > 0.93 * (drawn @ best.T).max(axis=1).mean()


def test_opposites_that_became_one_crowd_point_nowhere_and_are_left_out() -> None:
    one = CrowdSettings(crowds_per_song=1, listeners_per_song=4, half_life_days=30, warm_at_listeners=1)
    of = folded(audiences(2, one), [Sample("s0", "a", (1, 0)), Sample("s0", "b", (-1, 0))])
    crowds = of.publish(0)
    assert (crowds.centroids, crowds.masses, crowds.samples) == (b"", b"", 2)
    np.testing.assert_allclose(crowds_of(folded(of, [Sample("s0", "c", (0, 1))]))[0], [[0, 1]])


def test_a_play_from_long_ago_or_after_long_silence_leaves_finite_crowds() -> None:
    short = CrowdSettings(crowds_per_song=2, listeners_per_song=4, half_life_days=1, warm_at_listeners=1)
    of = folded(
        audiences(2, short),
        [Sample("s0", "a", (1, 0), at=1), Sample("s0", "b", (0, 1), at=NOW), Sample("s0", "c", (1, 0), at=2),
         Sample("s0", "d", (1, 1), at=4_102_444_799_999)],
    )  # fmt: skip
    centroids, masses = crowds_of(of)
    assert np.isfinite(centroids).all() and np.isfinite(masses).all()
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-6)


# The sample of listeners


def test_neither_order_nor_repetition_changes_who_is_in_the_sample() -> None:
    samples = log(300, songs=1, listeners=80)
    whole = listeners_of(folded(audiences(), samples))
    assert len(whole) == SETTINGS.listeners_per_song
    for seed in range(4):
        random = np.random.default_rng(seed)
        again = [samples[n] for n in random.permutation(300)] + [samples[n] for n in random.integers(300, size=50)]
        assert listeners_of(folded(audiences(), again)) == whole


def test_a_listener_counts_once_and_the_count_ends_at_the_bound() -> None:
    of = audiences(2)
    counts = []
    for n in range(40):
        folded(of, [Sample("s0", f"l{n // 2}", (1, 0), at=NOW + n)])
        counts.append(int(of.listeners[0]))
    assert counts == [min(16, n // 2 + 1) for n in range(40)]


def test_listeners_are_drawn_by_recency_and_strength() -> None:
    """Two listeners for one place: the chance is w / (w + w'), so .5, 2/3 after a half-life, 5/6 for strength 5."""
    one = CrowdSettings(crowds_per_song=1, listeners_per_song=1, half_life_days=30, warm_at_listeners=1)
    for changed, chance in (({}, 1 / 2), ({"at": NOW + 30 * DAY_MS}, 2 / 3), ({"strength": 5.0}, 5 / 6)):
        of = audiences(1, one)
        songs = [f"s{n}" for n in range(3000)]
        samples = [Sample(song, f"old {song}", (1,)) for song in songs]
        samples += [Sample(song, f"new {song}", (1,), **changed) for song in songs]  # type: ignore[arg-type]
        folded(of, samples, at_once=6000)
        stayed = sum(listeners_of(of, song) == {key_of(f"new {song}")} for song in songs)
        assert stayed / 3000 == pytest.approx(chance, abs=0.03)  # three standard errors: .027


def test_who_plays_more_often_is_drawn_more_often() -> None:
    one = CrowdSettings(crowds_per_song=1, listeners_per_song=1, half_life_days=30, warm_at_listeners=1)
    of = audiences(1, one)
    songs = [f"s{n}" for n in range(3000)]
    samples = [Sample(song, f"often {song}", (1,), at=NOW + n) for song in songs for n in range(3)]
    folded(of, samples + [Sample(song, f"once {song}", (1,)) for song in songs], at_once=12_000)
    stayed = sum(listeners_of(of, song) == {key_of(f"often {song}")} for song in songs)
    assert stayed / 3000 == pytest.approx(3 / 4, abs=0.03)


def test_a_forgotten_listener_leaves_every_song_and_the_others_stay() -> None:
    samples = log(400, songs=6)
    of = folded(audiences(), samples, at_once=400)
    gone = key_of("listener-4")
    before = {song: listeners_of(of, song) for song in of.song_ids}
    had = {song for song, keys in before.items() if gone in keys}
    assert had and had != set(before)
    changed = of.forget(np.array([gone, key_of("nobody")], np.uint64))
    assert {of.song_ids[row] for row in changed} == had
    assert {song: listeners_of(of, song) for song in before} == {song: keys - {gone} for song, keys in before.items()}
    assert not (of.keys == gone).any()
    assert all(len(listeners_of(of, song)) == of.listeners[of.rows([song])[0]] for song in before)
    assert list(of.forget(np.array([gone], np.uint64))) == []


def test_a_place_that_became_free_is_taken_again() -> None:
    of = folded(audiences(2), [Sample("s0", f"l{n}", (1, 0)) for n in range(16)])
    of.forget(np.array([key_of("l3"), key_of("l15")], np.uint64))
    folded(of, [Sample("s0", "new", (1, 0), at=1), Sample("s0", "l4", (1, 0), at=NOW + 1)])
    assert of.listeners[0] == 15 and key_of("new") in listeners_of(of)


def test_the_key_zero_is_a_listener_like_any_other() -> None:
    of = audiences(1)
    row, now, unit = of.rows(["s0"]), np.array([NOW]), np.ones((1, 1))
    for _ in range(2):
        keys, strengths = np.zeros(1, np.uint64), np.ones(1, np.float32)
        of.fold(row, keys, of.draws(keys, now, strengths), now, unit, strengths)
    assert (of.listeners[0], (of.kept[0] > -inf).sum()) == (1, 1)
    assert of.forget(np.zeros(1, np.uint64)).tolist() == [0]
    assert of.listeners[0] == 0


# Packing


def test_what_was_packed_comes_back_and_folds_on_as_if_nothing_had_happened() -> None:
    samples = log(500, songs=8)
    whole = folded(audiences(), samples, at_once=20)
    half = folded(audiences(), samples[:240], at_once=20)
    half.publish(0)
    again = audiences()
    for song_id, raw in sorted(packed(half).items()):
        again.unpack(song_id, raw)
    assert packed(again) == packed(half)
    assert again.published[again.rows(["s0"])[0]] == half.published[half.rows(["s0"])[0]]
    whole.publish(0)
    folded(again, samples[240:], at_once=20)
    folded(half, samples[240:], at_once=20)
    assert packed(again) == packed(half)


def test_the_layout_is_as_drawn() -> None:
    of = folded(audiences(2), [Sample("s0", "ann", (0.6, 0.8), strength=2), Sample("s0", "bob", (0, 1), at=NOW + 1)])
    raw = of.pack(np.array([0]))[0]
    head = struct.unpack_from("<BBHIQQQq", raw)
    assert head == (VERSION, 2, 2, 2, key_of("a1"), 2, 0, NOW + 1)
    assert len(raw) == 40 + 2 * 8 + 2 * 16 + 2 * 2 * 4
    assert struct.unpack_from("<2Q", raw, 40 + 4 * 8) == (key_of("ann"), key_of("bob"))
    np.testing.assert_allclose(struct.unpack_from("<4f", raw, 40 + 6 * 8), [0.6, 0.8, 0, 1], rtol=1e-6)


def test_a_song_of_another_artifact_keeps_its_count_of_samples_only() -> None:
    raw = folded(audiences(2), [Sample("s0", "ann", (1, 0))] * 3).pack(np.array([0]))[0]
    for other in (audiences(2, artifact="a2"), audiences(4)):
        other.unpack("s0", raw)
        assert (other.samples[0], other.listeners[0], other.used[0], other.published[0]) == (3, 0, 0, 0)


def test_smaller_settings_keep_the_heaviest_crowds_and_the_listeners_with_the_highest_draws() -> None:
    of = folded(audiences(), log(300, songs=1))
    small = audiences(settings=CrowdSettings(2, 5, 30, 4))
    small.unpack("s0", of.pack(np.array([0]))[0])
    assert sorted(small.masses[0]) == sorted(of.masses[0])[1:]
    assert sorted(small.kept[0]) == sorted(of.kept[0])[-5:]
    large = audiences(settings=CrowdSettings(6, 50, 30, 4))
    large.unpack("s0", of.pack(np.array([0]))[0])
    assert large.pack(np.array([0]))[0] == of.pack(np.array([0]))[0]


@pytest.mark.parametrize(
    "broken", [b"", b"\x01", lambda raw: raw[:-1], lambda raw: raw + b"\0", lambda raw: b"\x07" + raw[1:]]
)
def test_bytes_that_are_no_audience_are_refused_by_name(broken) -> None:
    raw = folded(audiences(2), [Sample("s0", "ann", (1, 0))]).pack(np.array([0]))[0]
    with pytest.raises(StoreDamaged, match="audience of s0"):
        audiences(2).unpack("s0", broken if isinstance(broken, bytes) else broken(raw))


# Publishing


def test_a_song_is_due_when_it_turns_warm_and_then_ever_more_rarely() -> None:
    of = audiences(2)
    published: list[SongCrowds] = []
    for n in range(1500):
        folded(of, [Sample("s0", f"l{n // 2 % 30}", (1, 0.01 * n), at=NOW + n)])
        if of.is_due(np.array([0]))[0]:
            published.append(of.publish(0))
    at = [crowds.samples for crowds in published]
    assert at[0] == 7  # the first sample of the fourth listener
    assert at[1:4] == [15, 23, 31]
    pauses = np.diff(at)
    assert pauses.min() == 8 and pauses.max() == 64 and (np.diff(pauses) >= 0).all()
    assert [crowds.listeners for crowds in published[:2]] == [4, 8]


def test_many_songs_get_room_and_keep_what_they_have() -> None:
    of = audiences(2)
    folded(of, [Sample(f"s{n}", "ann", (1, n)) for n in range(1000)], at_once=90)
    assert len(of) == 1000 and (of.samples[:1000] == 1).all() and not of.samples[1000:].any()
    for n in (0, 500, 999):
        np.testing.assert_allclose(crowds_of(of, f"s{n}")[0], [np.array([1, n]) / np.hypot(1, n)], atol=1e-6)
