"""What operators are given names what is there: metrics, alerts, settings and commands; what runs which tests."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli import VERBS
from streams.config import load_settings
from streams.metrics import Metrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def names_of_metrics() -> set[str]:
    exposed = Metrics().exposition().decode()
    families = dict(re.findall(r"^# TYPE (\w+) (\w+)$", exposed, re.MULTILINE))
    buckets = {f"{name}_bucket" for name, kind in families.items() if kind == "histogram"}
    return set(families) | buckets


@pytest.mark.parametrize("file", ["grafana.json", "alerts.yml", "runbook.md"])
def test_every_metric_that_is_watched_exists(file: str) -> None:
    watched = set(re.findall(r"\bbcl_(?!model\b(?!_))[a-z_]+", (DEPLOY / file).read_text()))
    assert watched
    assert watched <= names_of_metrics()


def test_every_alert_has_its_place_in_the_runbook() -> None:
    alerts = re.findall(r"- alert: (\w+)", (DEPLOY / "alerts.yml").read_text())
    assert alerts
    assert set(alerts) <= set(re.findall(r"^## (\w+)$", (DEPLOY / "runbook.md").read_text(), re.MULTILINE))


def test_the_dashboard_is_json_and_every_panel_asks_something() -> None:
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])


@pytest.mark.parametrize("file", ["compose.yaml", "kubernetes.yaml", "runbook.md"])
def test_every_setting_and_command_that_is_named_exists(file: str) -> None:
    text, settings = (DEPLOY / file).read_text(), load_settings(environment={})
    named = re.findall(r"BCL__([A-Z]+)__([A-Z_]+)", text) + re.findall(
        r"`(kafka|topics|worker|checkpoints|model|matching|featurize)\.([a-z_]+)`", text
    )
    for section, key in named:
        assert hasattr(getattr(settings, section.lower()), key.lower()), f"[{section}] {key}"
    assert set(re.findall(r"`bcl ([a-z-]+)", text)) <= set(VERBS)


def test_the_drain_ends_before_the_orchestrator_kills() -> None:
    environment = {"BCL__KAFKA__SASL_PASSWORD": "of a test"}
    drain_within_s = load_settings([ROOT / "config" / "production.toml"], environment).worker.drain_within_s
    for file, pattern in (
        ("kubernetes.yaml", r"terminationGracePeriodSeconds: (\d+)"),
        ("compose.yaml", r"stop_grace_period: (\d+)s"),
    ):
        graces_s = re.findall(pattern, (DEPLOY / file).read_text())
        assert graces_s and all(int(grace_s) > drain_within_s for grace_s in graces_s)


def test_constraints_are_exact_and_name_no_place() -> None:
    lines = [line for line in (DEPLOY / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)


def test_without_a_python_the_scripts_say_so(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    for script in ("prepare", "demo", "test"):
        (tmp_path / "deploy" / script).write_bytes((DEPLOY / script).read_bytes())
        (tmp_path / "deploy" / script).chmod(0o755)
    for script in ("demo", "test"):
        done = subprocess.run(
            [tmp_path / "deploy" / script],
            env={"PATH": "/usr/bin:/bin", "BCL_PYTHON": str(tmp_path / "no-python")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "no Python 3.11 or newer among:" in done.stderr
        assert not (tmp_path / ".venv").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="sh scripts")
@pytest.mark.parametrize("script", ["deploy/prepare", "deploy/demo", "deploy/test", ".ci/run"])
def test_scripts_can_be_run(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("words", "folders"),
    [("tests", {"conformance"}), ("tests --all", {"chaos", "conformance"}), ("tests/chaos", {"chaos"})],
)
def test_what_takes_minutes_runs_where_it_is_asked_for(words: str, folders: set[str]) -> None:
    """Looked for in the folders whose names begin with a c."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--ignore-glob=tests/[!c]*", *words.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert {line.split("/")[1] for line in done.stdout.splitlines() if "::" in line} == folders


def test_ci_runs_every_test() -> None:
    assert "deploy/test --all" in (ROOT / ".ci" / "run").read_text()
