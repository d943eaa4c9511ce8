"""The table from keys to rows against a dict."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.catalogue.key_table import KeyTable

# Few distinct low bits, so that chains are long; the highest bit, so that no sign creeps in.
KEYS = st.builds(lambda low, high: low + (high << 12), st.integers(0, 7), st.integers(0, 2**52 - 1))


@given(st.lists(st.lists(KEYS, max_size=400), max_size=6), st.lists(KEYS, max_size=50))
def test_it_finds_what_a_dict_finds(batches: list[list[int]], strangers: list[int]) -> None:
    table, known = KeyTable(), dict[int, int]()
    for batch in batches:
        new = [key for key in dict.fromkeys(batch) if key not in known]
        rows = np.arange(len(known), len(known) + len(new), dtype=np.int32)
        table.add(np.array(new, dtype=np.uint64), rows)
        known.update(zip(new, rows.tolist(), strict=True))
        asked = [*known, *strangers]
        found = table.find(np.array(asked, dtype=np.uint64))
        assert found.tolist() == [known.get(key, -1) for key in asked]
        assert len(table) == len(known)


def test_keys_of_any_shape_are_asked_at_once_and_the_smallest_and_largest_are_keys_too() -> None:
    table = KeyTable()
    table.add(np.array([0, 2**64 - 1, 5], dtype=np.uint64), np.array([4, 2, 0], dtype=np.int32))
    asked = np.array([[[0, 5], [6, 2**64 - 1]]], dtype=np.uint64)
    assert table.find(asked).tolist() == [[[4, 0], [-1, 2]]]
    assert table.find(asked[0, 0, 1]).shape == () and table.find(asked[0, 0, 1]) == 0
    assert table.find(asked[:, :0]).shape == (1, 0, 2)


def test_many_keys_survive_growth() -> None:
    keys = np.random.default_rng(1).integers(0, 2**64, 50_000, dtype=np.uint64)
    table = KeyTable()
    for some in np.split(np.arange(50_000, dtype=np.int32), 50):
        table.add(keys[some], some)
    assert (table.find(keys) == np.arange(50_000)).all()
