"""A table grows by filling, keeps what it holds, and is left alone where it is long enough."""

import numpy as np

from streams.replay.growing import longer


def test_what_a_table_holds_stays_and_the_rest_is_filled():
    grown = longer(np.array([[1, 2], [3, 4]], np.int32), 3, -1)

    assert grown.dtype == np.int32
    assert grown.tolist() == [[1, 2], [3, 4], [-1, -1], [-1, -1]]  # twice as long, though three would do


def test_a_table_that_is_long_enough_is_the_same_table():
    table = np.zeros(3)

    assert longer(table, 3) is table
    assert len(longer(table, 100)) == 100
