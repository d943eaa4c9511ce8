"""What a report says follows from the numbers: who is ahead, who is not told apart, and how surely."""

import numpy as np
import pytest

from streams.sweep.findings import Block, counted, ends, told
from streams.sweep.samples import Asked, Samples, differences

UNITS = 12


@pytest.fixture
def samples() -> Samples:
    """better is ahead in every world, alike now and then."""
    rng = np.random.default_rng(5)
    usual = rng.uniform(0.2, 0.4, UNITS)
    columns = {
        "usual": usual,
        "better": usual + rng.uniform(0.04, 0.06, UNITS),
        "alike": usual + rng.normal(0, 0.02, UNITS),
    }
    return Samples("world", {name: {"precision": column.tolist()} for name, column in columns.items()})


BLOCK = Block("usual", ("better", "alike"))


def compared(samples: Samples, block: Block):
    return differences(
        {
            Asked("", "precision", block.reference, name): samples.apart(name, block.reference, "precision")
            for name in block.variants
        }
    )


def test_only_a_difference_that_is_shown_is_called_ahead(samples: Samples):
    found = compared(samples, BLOCK)
    said = told(found, samples, "", BLOCK, "precision")
    assert "ahead of it is better (+0.05" in said
    assert "no difference is shown for alike" in said
    assert ", 1 show a variant ahead" in counted(found, "world")


def test_set_against_the_better_one_the_usual_one_is_behind(samples: Samples):
    block = Block("better", ("usual",))
    assert "behind it is usual (-0.05" in told(compared(samples, block), samples, "", block, "precision")


def test_the_ends_name_the_highest_and_the_lowest(samples: Samples):
    said = ends(compared(samples, BLOCK), samples, "", BLOCK, ["precision"])
    assert "the highest of the others is better (+0.05" in said
    assert "the lowest is alike (" in said and said.endswith("not shown).")


def test_the_more_is_compared_the_less_is_shown():
    """p of a single comparison is 0.03; among three that show nothing it is Holm's 0.12."""
    apart = {Asked("", "precision", "usual", f"v{n}"): np.array([-1.0, 1.0, -1.1, 1.1, 0.1]) for n in range(3)}
    alone = Asked("", "precision", "usual", "other")
    values = np.array([0.3, 1.0, 0.2, 0.9, 0.7])
    one = differences({alone: values})[alone]
    many = differences({alone: values, **apart})[alone]
    assert many.p == pytest.approx(4 * one.p)
    assert one.is_shown and not many.is_shown
