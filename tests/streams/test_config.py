"""Settings are read once, from files and environment, and every fault is found at the start."""

import re
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import get_type_hints

import pytest

from streams.config import MASK, SECRETS, config_folder, load_settings, shown
from streams.errors import BadSettings
from streams.settings import Settings

DEFAULTS = config_folder() / "defaults.toml"
PASSWORD = {"BCL__KAFKA__SASL_PASSWORD": "correct horse"}


def overlay(folder: Path, text: str) -> Path:
    file = folder / "overlay.toml"
    file.write_text(text, "utf-8")
    return file


def refusal(*overlays: Path, **environment: str) -> str:
    with pytest.raises(BadSettings) as refused:
        load_settings(overlays, environment)
    return str(refused.value)


def test_the_defaults_name_every_setting_and_no_other():
    told = tomllib.loads(DEFAULTS.read_text("utf-8"))
    wanted = {
        section: {key for key in get_type_hints(kind) if (section, key) not in SECRETS}
        for section, kind in get_type_hints(Settings).items()
    }
    assert {section: set(keys) for section, keys in told.items()} == wanted


def test_the_defaults_stand_in_the_order_of_the_sections():
    told = tomllib.loads(DEFAULTS.read_text("utf-8"))
    assert list(told) == list(get_type_hints(Settings))
    for section, kind in get_type_hints(Settings).items():
        assert list(told[section]) == [key for key in get_type_hints(kind) if (section, key) not in SECRETS]


def test_defaults_written_for_a_kind_have_that_kind():
    told, wanted = tomllib.loads(DEFAULTS.read_text("utf-8")), get_type_hints(Settings)
    for section, keys in told.items():
        kinds = get_type_hints(wanted[section])
        assert {key: type(value) for key, value in keys.items()} == {key: kinds[key] for key in keys}


def test_a_default_is_what_is_in_force_where_nobody_says_otherwise():
    told, settings = tomllib.loads(DEFAULTS.read_text("utf-8")), asdict(load_settings(environment={}))
    assert settings.pop("kafka") == told.pop("kafka") | {"sasl_password": ""}
    assert settings == told


def test_an_overlay_goes_over_the_defaults_and_the_environment_over_both(tmp_path):
    file = overlay(tmp_path, "[listening]\nkeep_plays = 8\nhalf_life_days = 7\n")
    settings = load_settings([file], {"BCL__LISTENING__KEEP_PLAYS": "4", "BCL__ADMISSION__CONSENT_BY_DEFAULT": "False"})
    assert settings.listening.keep_plays == 4
    assert settings.listening.half_life_days == 7.0 and type(settings.listening.half_life_days) is float
    assert settings.admission.consent_by_default is False


def test_variables_of_others_are_left_alone():
    assert load_settings(environment={"BCL_TEST_BROKERS": "x:1", "PATH": "/bin"}) == load_settings(environment={})


def test_an_unknown_key_is_refused_with_the_nearest_known_name(tmp_path):
    file = overlay(tmp_path, "[listening]\nkeep_play = 8\n")
    assert refusal(file) == f"{file}: [listening] keep_play is unknown; did you mean keep_plays?"
    assert refusal(BCL__SCORNG__RULE="max") == "environment: [scorng] is no section; did you mean scoring?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[listening]\nkeep_plays = '8'", "[listening] keep_plays is '8', wanted a whole number"),
        ("[listening]\nkeep_plays = 8.0", "[listening] keep_plays is 8.0, wanted a whole number"),
        ("[listening]\nkeep_plays = true", "[listening] keep_plays is True, wanted a whole number"),
        ("[listening]\neffective_s = nan", "[listening] effective_s is nan, wanted a finite number"),
        ("[listening]\neffective_s = true", "[listening] effective_s is True, wanted a finite number"),
        ("[kafka]\nbrokers = ['a:1']", "[kafka] brokers is ['a:1'], wanted a text"),
        ("[admission]\nconsent_by_default = 1", "[admission] consent_by_default is 1, wanted true or false"),
        ("listening = 3", "listening is 3, wanted a section [listening]"),
    ],
)
def test_a_value_of_the_wrong_type_names_file_section_key_value_and_what_was_wanted(tmp_path, text, said):
    file = overlay(tmp_path, text)
    assert refusal(file) == f"{file}: {said}"


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("BCL__LISTENING__KEEP_PLAYS", "many", "keep_plays is 'many', wanted a whole number"),
        ("BCL__LISTENING__EFFECTIVE_S", "inf", "effective_s is inf, wanted a finite number"),
        ("BCL__ADMISSION__CONSENT_BY_DEFAULT", "yes", "consent_by_default is 'yes', wanted true or false"),
    ],
)
def test_the_environment_is_held_to_the_same_types(variable, text, said):
    assert refusal(**{variable: text}).endswith(said)


def test_a_file_that_is_not_there_or_not_toml_is_named(tmp_path):
    assert "missing.toml" in refusal(tmp_path / "missing.toml")
    assert "overlay.toml" in refusal(overlay(tmp_path, "[kafka"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"CROWDS__WARM_AT_LISTENERS": "65"}, "[crowds] warm_at_listeners must be at most listeners_per_song"),
        ({"ADMISSION__KEEP_PUSHES": "6"}, "[admission] keep_pushes must be at least rolling_cap"),
        ({"ADMISSION__ROLLING_H": "5000"}, "[admission] keep_pushes_days must cover rolling_h"),
        ({"ADMISSION__UNKNOWN_ZONE": "Europe/Atlantis"}, "[admission] unknown_zone must be an IANA name"),
        ({"ADMISSION__HOLD_OUT_SALT": ""}, "[admission] hold_out_salt must not be empty"),
        ({"LISTENING__EFFECTIVE_SHARE": "1.5"}, "[listening] effective_share is 1.5, wanted 0 to 1"),
        ({"SELECTION__EXPLORATION_SHARE": "-0.1"}, "[selection] exploration_share is -0.1, wanted 0 to 1"),
        ({"LISTENING__COMPLETED_SHARE": "0.2"}, "[listening] completed_share must be at least effective_share"),
        ({"LISTENING__STRENGTH_LIKED": "0.5"}, "[listening] strengths must not fall"),
        ({"LISTENING__HALF_LIFE_DAYS": "0"}, "[listening] half_life_days is 0.0"),
        ({"LISTENING__KEEP_PLAYS": "0"}, "[listening] keep_plays is 0, wanted 1 to inf"),
        ({"TOPICS__MIN_INSYNC": "2"}, "[topics] min_insync must be at most replication"),
        ({"TOPICS__PREFIX": "a b"}, "[topics] prefix"),
        ({"SCORING__RULE": "mas"}, "[scoring] rule is 'mas'; did you mean mass?"),
        ({"SCORING__CANDIDATES": "7"}, "[scoring] candidates is '7', wanted one of all, audience"),
        ({"MATCHING__MIN_SIMILARITY": "-2"}, "[matching] min_similarity is -2.0, wanted -1 to 1"),
        ({"MATCHING__CROWDS": "300"}, "[matching] crowds is 300, wanted 1 to 255"),
        ({"KAFKA__HEARTBEAT_MS": "6000"}, "[kafka] heartbeat_ms must be at most a third"),
        ({"KAFKA__BROKERS": "localhost"}, "[kafka] brokers must be host:port"),
        ({"KAFKA__SECURITY": "SASL_SSL"}, "[kafka] security with SASL wants sasl_user"),
        ({"KAFKA__CERT_FILE": "cert.pem"}, "[kafka] cert_file and key_file go together"),
        ({"CONTRACTS__MAX_RECORD_BYTES": "5000000"}, "[contracts] max_record_bytes is 5000000"),
        ({"CHECKPOINTS__KEEP_H": "0"}, "[checkpoints] keep_h must cover every_s"),
        (
            {"WORKER__COMMIT_EVERY_S": "30", "WORKER__PROGRESS_WITHIN_S": "20"},
            "[worker] commit_every_s must be at most",
        ),
        ({"MODEL__ARTIFACT": ""}, "[model] artifact must name a folder"),
    ],
)
def test_values_that_cannot_work_are_refused_at_start(changes, said):
    assert said in refusal(**{f"BCL__{key}": text for key, text in changes.items()})


def test_all_faults_are_told_at_once():
    said = refusal(BCL__SCORING__THREADS="0", BCL__TOPICS__MIN_INSYNC="2")
    assert "threads is 0" in said and "min_insync" in said


def test_a_secret_in_a_file_is_refused_and_not_repeated(tmp_path):
    said = refusal(overlay(tmp_path, "[kafka]\nsasl_password = 'correct horse'"))
    assert "BCL__KAFKA__SASL_PASSWORD" in said and "horse" not in said


def test_a_secret_shows_neither_in_the_repr_nor_in_what_is_printed():
    settings = load_settings(environment=PASSWORD)
    assert settings.kafka.sasl_password == "correct horse"
    assert "horse" not in repr(settings)
    assert shown(settings)["kafka"]["sasl_password"] == MASK
    assert shown(load_settings(environment={}))["kafka"]["sasl_password"] == ""


@pytest.mark.parametrize("file", sorted(config_folder().glob("*.toml")), ids=lambda file: file.name)
def test_every_overlay_of_ours_can_be_loaded(file):
    load_settings([file], PASSWORD)


def test_each_default_has_a_line_of_meaning_or_stands_under_one_that_says_it():
    bare = [
        line.split(" = ")[0]
        for line in DEFAULTS.read_text("utf-8").splitlines()
        if re.match(r"\w+ = ", line) and " # " not in line
    ]
    assert len(bare) <= 4, f"without a word of meaning: {bare}"
