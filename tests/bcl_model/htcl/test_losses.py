"""The losses against slow loops; a song is never its own negative."""

import math

import pytest
import torch

from bcl_model.htcl.losses import Represented, clip, preference, semantics

GENERATOR = torch.Generator()


def rows(seed: int, count: int = 5) -> torch.Tensor:
    return torch.randn(count, 7, generator=GENERATOR.manual_seed(seed))


def slow_clip(a: torch.Tensor, b: torch.Tensor, songs: list[set[int]], scale: float) -> float:
    def one_way(ours: torch.Tensor, theirs: torch.Tensor) -> float:
        total = 0.0
        for n in range(len(ours)):
            cosine = [float(torch.cosine_similarity(ours[n], other, dim=0)) for other in theirs]
            others = [m for m in range(len(theirs)) if m == n or not songs[n] & songs[m]]
            total -= math.log(
                math.exp(math.exp(scale) * cosine[n]) / sum(math.exp(math.exp(scale) * cosine[m]) for m in others)
            )
        return total / len(ours)

    return (one_way(a, b) + one_way(b, a)) / 2


@pytest.mark.parametrize("songs", [[0, 1, 2, 3, 4], [0, 1, 0, 3, 1]])
def test_the_symmetric_loss_equals_the_loop_and_leaves_the_same_song_out(songs):
    a, b, named = rows(1), rows(2), torch.tensor(songs)[:, None]
    loss = clip(a, b, named, torch.tensor(1.3))
    assert float(loss) == pytest.approx(slow_clip(a, b, [{song} for song in songs], 1.3), abs=1e-5)


def test_a_song_twice_in_a_batch_changes_nothing_for_itself():
    a, b = rows(1, 3), rows(2, 3)
    twice = torch.tensor([[0], [1], [2], [0]])
    doubled = clip(a[[0, 1, 2, 0]], b[[0, 1, 2, 0]], twice, torch.tensor(2.6))
    assert float(doubled) == pytest.approx(
        slow_clip(a[[0, 1, 2, 0]], b[[0, 1, 2, 0]], [{0}, {1}, {2}, {0}], 2.6), abs=1e-5
    )


def test_stage_two_equals_its_three_terms():
    one = Represented(rows(1), rows(2), rows(3), torch.tensor([0, 1, 2, 3, 0]))
    two = Represented(rows(4), rows(5), rows(6), torch.tensor([5, 6, 7, 6, 8]))
    single = [{int(song)} for song in [*one.songs, *two.songs]]
    pairs = [{int(a), int(b)} for a, b in zip(one.songs, two.songs, strict=True)]
    wanted = (
        1.0 * slow_clip(torch.cat([one.audio, two.audio]), torch.cat([one.text, two.text]), single, 0.5)
        + 2.0 * slow_clip(one.audio, two.audio, pairs, 1.0)
        + 3.0 * (slow_clip(one.audio, two.fusion, pairs, 1.5) + slow_clip(two.audio, one.fusion, pairs, 1.5)) / 2
    )
    found = preference(one, two, [torch.tensor(s) for s in (0.5, 1.0, 1.5)], (1.0, 2.0, 3.0))
    assert float(found) == pytest.approx(wanted, abs=1e-4)


def test_without_any_knowledge_the_loss_is_the_logarithm_of_the_batch():
    same = torch.ones(8, 4)
    one = Represented(same, same, same, torch.arange(8))
    assert float(semantics(one, torch.tensor(2.6))) == pytest.approx(math.log(8), abs=1e-5)


def test_a_batch_of_one_song_alone_has_nothing_to_learn_from():
    one = Represented(rows(1), rows(2), rows(3), torch.zeros(5, dtype=torch.int64))
    assert float(semantics(one, torch.tensor(2.6))) == pytest.approx(0, abs=1e-6)
