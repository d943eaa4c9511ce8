"""What holds for every file of the repository: nobody's machine in it, tests without mocks, documents that are true."""

import ast
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = {".git", ".venv", "__pycache__", "runs", "build", "dist", ".demo"}
TEXTS = {
    ".py",
    ".toml",
    ".md",
    ".sh",
    ".yml",
    ".yaml",
    ".json",
    ".cfg",
    ".ini",
    ".txt",
    ".properties",
    ".lock",
    ".html",
    "",
}

# Each in two halves, so that this file does not name them either.
REGISTRIES = [
    one + other for one, other in [("py", "pi.org"), ("python", "hosted.org"), ("repo1.", "maven"), ("npm", "js.org")]
]
MACHINES = [
    one + other
    for one, other in [
        (r"(?<![\w.])/wo", r"rk/"),
        (r"(?<![\w.])/ro", r"ot/"),
        (r"(?<![\w.])/ho", r"me/\w"),
        (r"(?<![\w.$}\])])/t", r"mp/\w"),
    ]
]


def files() -> list[Path]:
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(
            name for name in folders if name not in LEFT_OUT and not name.endswith((".egg-info", "_cache"))
        )
        folders[:] = [name for name in folders if name != ".hypothesis"]
        found += [Path(folder) / name for name in sorted(names) if Path(name).suffix in TEXTS]
    return found


FILES = files()
TESTS = [file for file in FILES if file.suffix == ".py" and file.is_relative_to(ROOT / "tests")]


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def lines_with(patterns: list[str]) -> list[str]:
    wanted = re.compile("|".join(patterns))
    found = []
    for file in FILES:
        try:
            text = file.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(file)}:{n}" for n, line in enumerate(text.splitlines(), 1) if wanted.search(line)]
    return found


def test_no_file_names_a_package_registry():
    assert lines_with([re.escape(host) for host in REGISTRIES]) == []


def test_no_file_names_a_folder_of_somebodys_machine():
    assert lines_with(MACHINES) == []


@pytest.mark.parametrize("file", TESTS, ids=name_of)
def test_tests_use_real_small_objects_and_no_mock_library(file):
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not [name for name in names if name.split(".")[0] in ("mock", "pytest_mock") or name == "unittest.mock"]


def test_tests_are_no_package_so_that_they_cannot_hide_the_code():
    assert [name_of(file) for file in (ROOT / "tests").rglob("__init__.py")] == []


def test_paths_that_a_document_names_are_there():
    """In backticks, beginning with a folder of ours."""
    path = re.compile(r"`((?:streams|bcl_model|tests|config|deploy|\.ci)/[\w./-]*)`")
    documents = [file for file in FILES if file.suffix == ".md"]
    named = [(name_of(file), one) for file in documents for one in path.findall(file.read_text("utf-8"))]
    assert [pair for pair in named if not (ROOT / pair[1]).exists()] == []
