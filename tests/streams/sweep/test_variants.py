"""What a study varies: one thing at a time, and fair chances for every method."""

from bcl_model.settings import TrainSettings, to_table
from streams.sweep.variants import AS_SET, BPR, candidates, correlation, methods, views


def test_every_method_is_offered_the_same_common_settings_and_as_many_trials():
    offered = {name: candidates(model, 5, seed=3) for name, model in methods(TrainSettings()).items()}
    common = {name: [(one.run.learning_rate, one.ranking.temperature) for one in of] for name, of in offered.items()}
    assert all(each == common[BPR] and len(each) == 5 for each in common.values())
    assert {one.contrast.weight for one in offered[BPR]} == {0.0}


def test_a_variant_of_the_views_differs_from_the_settings_in_one_value():
    usual = values_of(TrainSettings())
    for name, model in views(TrainSettings()).items():
        changed = [key for key, value in values_of(model).items() if value != usual[key]]
        assert len(changed) == (name != AS_SET), (name, changed)


def test_no_two_variants_of_the_correlation_are_the_same():
    found = list(correlation(TrainSettings()).values())
    assert len(set(found)) == len(found)


def values_of(model: TrainSettings) -> dict[tuple[str, str], object]:
    return {(section, key): value for section, of in to_table(model).items() for key, value in of.items()}
