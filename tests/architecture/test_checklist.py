"""What a faithful build of BCL and CAT must have, box by box, and the tests that hold it: none may be renamed away."""

import ast
from functools import cache
from pathlib import Path

import pytest

from bcl_model.rivals import TABLE
from bcl_model.settings import (
    AugmentSettings,
    ContrastSettings,
    CorrelationSettings,
    GroupingSettings,
    PairSettings,
    RankingSettings,
)

TESTS = Path(__file__).parents[1]

BOXES = {
    "fields of each kind with presence bits": [
        "bcl_model/test_fields.py::test_a_song_says_words_numbers_and_a_vector",
        "bcl_model/test_fields.py::test_what_a_song_does_not_say_is_absent",
        "bcl_model/test_fields.py::test_fields_can_be_inferred_from_songs",
    ],
    "artist optional and off": ["bcl_model/test_draws.py::test_the_artist_is_optional_and_off"],
    "four fields at least, with a clear error": [
        "bcl_model/test_grouping.py::test_fewer_than_four_units_are_refused_with_a_way_out",
        "bcl_model/test_contrast.py::test_three_fields_cannot_be_grouped_but_can_be_ranked",
    ],
    "encoder to h, head to z, score by the inner product of h": [
        "bcl_model/test_draws.py::test_the_score_is_the_inner_product_of_h_and_the_head_is_not_served",
        "bcl_model/test_inference.py::test_serving_equals_the_encoder_of_training",
        "bcl_model/test_contrast.py::test_every_switch_trains_and_gradients_reach_every_parameter",
    ],
    "pairs: ItemCF, minimum common listeners, posterior filter": [
        "bcl_model/test_pairs.py::test_pairs_equal_the_slow_loop",
        "bcl_model/test_pairs.py::test_the_posterior_check_keeps_pairs_that_earned_good_feedback",
    ],
    "BPR with uniform negatives": [
        "bcl_model/test_losses.py::test_bpr_equals_the_loop",
        "bcl_model/test_draws.py::test_negatives_are_even_over_the_training_songs_however_popular",
    ],
    "no held-out song in any pair": [
        "bcl_model/test_train.py::test_no_held_out_song_is_in_a_pair_or_in_the_training_songs",
        "bcl_model/test_train.py::test_plays_of_held_out_songs_change_nothing_that_is_trained",
        "bcl_model/evaluation/test_trial.py::test_what_a_method_may_know_holds_no_play_of_a_cold_song",
    ],
    "C is updated every k steps with a decay; signed average, root at reading": [
        "bcl_model/test_draws.py::test_the_correlation_is_updated_every_so_many_steps",
        "bcl_model/test_correlation.py::test_decay_is_the_weight_of_the_old_matrix_and_the_first_is_taken_whole",
        "bcl_model/test_correlation.py::test_averaging_signed_squares_leaves_less_than_averaging_roots",
    ],
    "both estimators, their fixtures and the bias table": [
        "bcl_model/test_correlation.py::test_the_fixtures_hold",
        "bcl_model/test_correlation.py::test_the_matrix_equals_the_slow_loops",
        "bcl_model/test_correlation.py::test_the_bias_table_holds",
        "bcl_model/test_correlation.py::test_the_fast_form_for_numbers_agrees_also_with_ties_and_gaps",
    ],
    "absent rows do not correlate": [
        "bcl_model/test_correlation.py::test_a_shared_block_of_absent_songs_does_not_make_parts_look_correlated",
    ],
    "grouping none, random, top, gumbel": [
        "bcl_model/test_augment.py::test_without_groups_both_views_disturb_everything",
        "bcl_model/test_grouping.py::test_random_ignores_the_correlation_and_gumbel_follows_it",
        "bcl_model/test_grouping.py::test_top_takes_the_most_correlated_partners_of_the_seed",
        "bcl_model/test_grouping.py::test_gumbel_draws_partners_without_replacement",
        "bcl_model/rivals/test_models.py::test_a_contrastive_model_is_bpr_with_its_own_views",
    ],
    "operators random, span, noise, mixture": [
        "bcl_model/test_augment.py::test_masks_zero_the_share_that_was_asked_for",
        "bcl_model/test_augment.py::test_runs_of_a_span_mask_have_the_mean_length",
        "bcl_model/test_augment.py::test_noise_is_even_and_measured_in_deviations_of_its_unit",
        "bcl_model/test_augment.py::test_the_mixture_uses_each_operator",
    ],
    "readings A and B": [
        "bcl_model/test_augment.py::test_reading_a_keeps_its_group_and_disturbs_the_others",
        "bcl_model/test_augment.py::test_reading_b_holds_its_group_alone_and_disturbed",
    ],
    "InfoNCE beside BPR, its batch uniform over the catalogue without replacement": [
        "bcl_model/test_losses.py::test_info_nce_equals_the_loop",
        "bcl_model/test_draws.py::test_the_contrastive_batch_is_even_over_the_catalogue_and_holds_no_song_twice",
        "bcl_model/test_contrast.py::test_a_weight_changes_what_is_learned_and_a_seed_repeats_it",
    ],
    "serving: warm neighbours, their audiences, CAT, gates, the best": [
        "streams/catalogue/test_match_songs.py::test_neighbours_are_near_enough_warm_of_the_market_and_not_the_song_itself",
        "streams/catalogue/test_match_songs.py::"
        "test_the_question_holds_the_merged_crowds_of_the_nearest_warm_songs_and_what_was_known",
        "streams/audience/test_score_listeners.py::test_who_may_not_be_told_is_left_out_before_the_best_are_taken",
        "streams/audience/test_score_listeners.py::test_the_best_are_those_of_a_loop_over_listeners_and_crowds",
    ],
    "CAT: weighted spherical k-means, its seed, its rules": [
        "streams/audience/test_cat.py::test_a_fixed_point_each_point_is_with_its_nearest_centroid_which_is_their_mean",
        "streams/audience/test_cat.py::test_the_order_of_the_neighbours_changes_no_bit_and_the_seed_repeats",
        "streams/audience/test_cat.py::test_scores_equal_the_loop_over_crowds",
        "streams/audience/test_cat.py::test_a_hit_does_not_drown_the_other_neighbours",
        "streams/audience/test_cat.py::test_the_silhouette_finds_how_many_crowds_there_are",
    ],
    "deterministic for a song, a model and a state": [
        "bcl_model/test_inference.py::test_a_song_has_the_same_bits_in_every_batch",
        "bcl_model/test_train.py::test_a_seed_repeats_a_run_to_the_bit",
        "streams/audience/test_score_listeners.py::"
        "test_a_score_has_the_same_bits_in_whatever_slot_and_block_a_listener_lies",
    ],
    "the rivals of the model, in one command": [
        "bcl_model/evaluation/test_rounds.py::test_every_method_of_the_whole_table_can_be_made",
        "bcl_model/rivals/test_learned.py::test_dropout_net_knows_cold_songs_by_what_was_dropped_while_it_learned",
        "bcl_model/rivals/test_learned.py::test_clcrec_needs_one_of_its_two_ties_between_content_and_listening",
        "bcl_model/rivals/test_means.py::test_a_cold_song_is_the_mean_of_what_its_artist_and_its_album_are",
        "bcl_model/test_ease.py::test_each_column_is_the_ridge_regression_on_the_other_columns",
        "bcl_model/rivals/test_headroom.py::test_fits_equal_the_loop_over_neighbours_and_their_partners",
    ],
    "the rivals of CAT": [
        "streams/sweep/test_choosing.py::test_every_rule_that_looks_at_the_song_beats_chance",
    ],
    "Recall and NDCG overall and by decile, by song and by artist, intervals over seeds": [
        "bcl_model/evaluation/test_measures.py::test_recall_and_ndcg_of_a_ranking_by_hand",
        "bcl_model/evaluation/test_compare.py::test_deciles_are_of_the_plays_of_true_neighbours",
        "bcl_model/evaluation/test_trial.py::test_a_split_by_a_field_shares_none_of_its_values",
        "bcl_model/evaluation/test_compare.py::test_intervals_are_students_over_seeds",
    ],
    "equal tuning budget, on songs that no split judges": [
        "bcl_model/evaluation/test_search.py::test_as_many_trials_as_wanted_or_as_there_are",
        "bcl_model/evaluation/test_search.py::test_a_trial_draws_the_same_of_what_methods_share",
        "bcl_model/evaluation/test_trial.py::test_songs_on_which_settings_are_chosen_are_judged_in_no_split",
    ],
    "a generated catalogue with known truth": [
        "streams/world/test_catalogue.py::test_a_world_says_ten_fields_of_its_songs_and_who_played_them_effectively",
        "streams/sweep/test_sources.py::test_a_simulated_release_is_true_by_its_world",
    ],
    "every default that the authors did not say is a switch": [
        "bcl_model/test_settings.py::test_settings_survive_the_way_through_a_table",
        "bcl_model/test_settings.py::test_every_published_model_can_be_read",
    ],
}

# What the reconstruction had to choose, and where it can be chosen otherwise
SWITCHES = {
    PairSettings: {"per_song", "min_common", "min_good_rate", "min_impressions"},
    RankingSettings: {"similarity", "negatives", "temperature"},
    CorrelationSettings: {"decay", "every", "on", "estimator", "rows", "unit"},
    GroupingSettings: {"kind", "share", "seed_per_sample", "temperature", "complementary"},
    AugmentSettings: {"operator", "reading", "mask_share", "span_share", "mean_span", "noise", "mixture"},
    ContrastSettings: {"weight", "temperature", "songs", "both_directions", "songs_from"},
}
RIVALS_WANTED = {
    "random", "popularity", "content", "artist_mean", "bpr", "rfm", "cfm", "bcl", "dropout_net", "clcrec", "headroom",
    "artist_ease",
}  # fmt: skip


@cache
def names_in(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("box", BOXES)
def test_a_box_is_held_by_tests_that_exist(box):
    for place in BOXES[box]:
        file, _, name = place.partition("::")
        assert (TESTS / file).is_file(), f"{box}: there is no {file}"
        assert name in names_in(TESTS / file), f"{box}: {file} has no {name}"


@pytest.mark.parametrize("settings", SWITCHES, ids=lambda one: one.__name__)
def test_what_is_our_reconstruction_can_be_switched(settings):
    assert SWITCHES[settings] <= settings.__dataclass_fields__.keys()


def test_the_table_compares_all_rivals():
    assert set(TABLE) >= RIVALS_WANTED
