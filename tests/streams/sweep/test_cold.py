"""The truth by which a model is judged follows from who plays what."""

import numpy as np

from bcl_model.pairs import Interactions
from streams.sweep.cold import recalls, true_neighbours


def test_true_neighbours_are_the_songs_that_the_fans_play():
    plays = Interactions(np.array([0, 1, 2, 3, 4, 5, 3, 4, 5, 0]), np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2]))
    fans = [np.array([True, True, True, False, False, False]), np.array([False, False, False, True, True, True])]
    found = true_neighbours(plays, fans, 3)
    assert [(int(a), int(b)) for a, b in zip(found.songs, found.similar, strict=True)] == [(0, 0), (1, 1), (1, 2)]
    measured = recalls(found, np.array([0, 9, 9]), np.array([[0, 1], [1, 0]]))
    assert measured == {"recall": 0.75, "recall_in_decile_1": 1.0, "recall_in_decile_10": 0.5}
