import numpy as np

from streams.contracts.crowds import SongCrowds
from streams.demo.comparison import Asked, _Crowds
from streams.world.world import listener_id
from tests.builders.contracts import query


def crowds(song_id: str, samples: int) -> SongCrowds:
    return SongCrowds(
        song_id=song_id, artifact="a", samples=samples, listeners=samples, centroids=b"", masses=b"", at_ms=1
    )


def asked(scores: list[float], *chosen: int) -> Asked:
    ids = [listener_id(number) for number in chosen]
    return Asked(query=query(), answers={}, chosen=ids, mean=np.zeros((1, 2)), scores={"random": np.array(scores)})


def test_a_rival_chooses_as_many_as_the_live_system_did_and_the_best_first():
    one = asked([0.1, 0.9, 0.5, 0.7], 0, 2)
    assert one.choice("cat").tolist() == [0, 2]
    assert one.choice("random").tolist() == [1, 3]


def test_a_rival_never_chooses_who_is_not_eligible():
    nobody = -np.inf
    assert asked([nobody, 0.2, nobody], 0, 1).choice("random").tolist() == [1]


def test_crowds_are_those_that_were_known_at_the_offsets_of_the_decision():
    told = _Crowds()
    for offset, samples in ((3, 10), (7, 20), (9, 30)):
        told.add(1, offset, crowds("s1", samples))
    assert told.then("s1", (0, 8)).samples == 20
    assert told.then("s1", (0, 10)).samples == 30
    assert told.then("s1", (0, 2)).samples == 10  # compaction took what was known then: what came next
    assert told.then("s2", (0, 8)) is None
