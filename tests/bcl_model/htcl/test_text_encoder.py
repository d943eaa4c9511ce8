"""The text encoder: BERT's way with words, any BERT by folder or name, and MiniLM against the values of its makers."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import load_file, save_file

from bcl_model.errors import BadData
from bcl_model.htcl.bert_files import NoTextEncoder, folder_of
from bcl_model.htcl.settings import Pooling, TextSettings
from bcl_model.htcl.text_encoder import TextEncoder, song_text
from bcl_model.htcl.wordpiece import WordPiece
from tests.builders.htcl import bert_folder

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *"[]^',歌", "cafe", "del", "mar", "##co", "s", "it", "sep")
DEL, MAR = WORDS.index("del"), WORDS.index("mar")


def wordpiece(**how: bool) -> WordPiece:
    return WordPiece(WORDS, **{"lower": True, "strip_accents": True, "split_han": True, **how})


def said(text: str, **how: bool) -> str:
    return " ".join(WORDS[n] for n in wordpiece(**how).pieces(text))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Café del MAR", "cafe del mar"),
        ("marco", "mar ##co"),
        ("marcob", "[UNK]"),
        ("mar,mar^it's", "mar , mar ^ it ' s"),
        ("歌歌", "歌 歌"),
        ("del\tmar\u3000\u00a0del\u200b\x00", "del mar del"),
        ("[SEP]", "[ sep ]"),
        ("m" * 101, "[UNK]"),
        ("", ""),
    ],
)
def test_texts_become_the_pieces_that_bert_makes_of_them(text, pieces):
    assert said(text) == pieces


def test_a_cased_vocabulary_keeps_case_and_accents():
    assert said("cafe Cafe café", lower=False, strip_accents=False) == "cafe [UNK] [UNK]"


def test_long_texts_end_at_the_limit_and_short_ones_are_padded():
    tokens = wordpiece()(["mar del mar del mar", "mar"], most=5)
    assert tokens.pieces.tolist() == [[2, MAR, DEL, MAR, 3], [2, MAR, 3, 0, 0]]
    assert tokens.is_said.sum(dim=1).tolist() == [5, 3]


def test_a_song_is_told_by_what_there_is():
    assert song_text("Blue", "genre: jazz ", "la la") == "Blue\ngenre: jazz\nla la"
    assert song_text(lyrics="la") == "la"


@pytest.mark.parametrize("pooling", Pooling)
@torch.no_grad()
def test_neither_padding_nor_company_changes_a_text(tmp_path, pooling):
    encoder = TextEncoder.pretrained(TextSettings(str(bert_folder(tmp_path)), pooling)).eval()
    alone, beside = encoder(encoder.tokens(["a b"])), encoder(encoder.tokens(["a b", "genre : bass c d e f"]))
    torch.testing.assert_close(beside[:1], alone, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(beside[0], beside[1], atol=1e-2)


def test_a_text_encoder_without_a_pooler_can_only_be_averaged(tmp_path):
    folder = bert_folder(tmp_path)
    state = load_file(folder / "model.safetensors")
    save_file({name: one for name, one in state.items() if "pooler" not in name}, folder / "model.safetensors")
    TextEncoder.pretrained(TextSettings(str(folder), Pooling.MEAN))
    with pytest.raises(BadData, match=r"have nothing for pooler\.bias"):
        TextEncoder.pretrained(TextSettings(str(folder), Pooling.POOLER))


def test_old_names_and_other_heads_in_a_file_are_understood(tmp_path):
    folder = bert_folder(tmp_path)
    wanted = TextEncoder.pretrained(TextSettings(str(folder))).state_dict()
    state = load_file(folder / "model.safetensors")
    old = {
        f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): one
        for name, one in state.items()
    }
    save_file({**old, "cls.predictions.bias": torch.zeros(3)}, folder / "model.safetensors")
    found = TextEncoder.pretrained(TextSettings(str(folder))).state_dict()
    assert all(found[name].equal(weight) for name, weight in wanted.items())


def test_what_is_no_bert_is_refused_by_name(tmp_path):
    folder = bert_folder(tmp_path)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"bert"', '"roberta"'))
    with pytest.raises(BadData, match="model_type is 'roberta', wanted 'bert'"):
        TextEncoder.pretrained(TextSettings(str(folder)))


@contextmanager
def host(folder) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_public_name_is_fetched_once(tmp_path, monkeypatch):
    bert_folder(tmp_path / "hub" / "some" / "bert" / "resolve" / "main")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with host(tmp_path / "hub") as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        folder = folder_of("some/bert")
        with pytest.raises(NoTextEncoder, match=r"the text encoder 'no/bert' has no config\.json"):
            folder_of("no/bert")
    assert folder_of("some/bert") == folder  # the host is gone
    TextEncoder.pretrained(TextSettings("some/bert"))
    with pytest.raises(NoTextEncoder, match="'other/bert' cannot be fetched"):
        folder_of("other/bert")
    assert [file.name for file in folder.parent.iterdir()] == ["some--bert"]


def test_a_folder_that_is_not_there_is_not_looked_for_elsewhere(tmp_path):
    with pytest.raises(NoTextEncoder, match=r"names the folder .*, which is not there"):
        folder_of(str(tmp_path / "nothing"))


@torch.no_grad()
def test_minilm_has_the_values_of_its_makers():
    """Taken from transformers 5.23.0 on the same weights."""
    try:
        mean, pooled = (TextEncoder.pretrained(TextSettings("minilm", pooling)).eval() for pooling in Pooling)
    except NoTextEncoder as reason:
        pytest.skip(str(reason))
    mean, pooled = pooled, mean  # POOLER comes first
    tokens = mean.tokens(["Sad piano, in A minor."])
    assert tokens.pieces.tolist() == [[101, 6517, 3682, 1010, 1999, 1037, 3576, 1012, 102]]
    wanted = [0.3694628179, 0.5218182206, 0.4153396487, -0.1777823120, -0.1813336760, 0.2681387961]
    assert mean(tokens)[0, :6].tolist() == pytest.approx(wanted, abs=1e-4)
    wanted = [-0.0582845584, 0.0355347283, -0.0267232861, 0.0137852319, -0.0420603119, -0.0073913261]
    assert pooled(tokens)[0, :6].tolist() == pytest.approx(wanted, abs=1e-4)
