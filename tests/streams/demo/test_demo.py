"""What may be asked of `bcl demo`, before anything is started."""

import pytest

from streams.cli import main
from streams.demo.options import Options


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", "0"], "--workers: 0 is out of bounds, wanted 1 to 16"),
        (["--listeners", "5"], "--listeners: 5 is out of bounds, wanted 200"),
        (["--songs", "many"], "--songs: 'many' is no whole number"),
        (["--releases", "0"], "--releases: 0 is out of bounds"),
        (["--seconds", "-1"], "--seconds: -1 is out of bounds"),
        (["--seed", "-1"], "--seed: -1 is out of bounds"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_a_wrong_option_is_named_with_what_was_wanted_and_ends_with_code_2(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["demo", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_sizes_follow_from_the_number_of_listeners():
    small, large = Options(listeners=2_000), Options(listeners=20_000)
    assert (small.history, large.history) == (100_000, 1_000_000)
    assert (small.budget, large.budget) == (20, 200)
    assert (small.plays_per_second, large.plays_per_second) == (200, 2_000)


def test_the_last_release_has_time_to_be_met_with_plays():
    options = Options(releases=20, seconds=60)
    assert options.releases * options.release_every_s < options.seconds
