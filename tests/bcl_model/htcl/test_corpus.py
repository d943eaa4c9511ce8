"""A folder of songs: what is read of it, what is refused and why; frames kept beside it; what vectors are asked."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from bcl_model.errors import BadData, BadModelSettings
from bcl_model.htcl.corpus import Feedback, read_corpus, split_of
from bcl_model.htcl.embedder import Embedder
from bcl_model.htcl.mel import LogMel
from bcl_model.htcl.model import Htcl
from bcl_model.htcl.probe import Vectors, probe
from bcl_model.htcl.retrieval import agreement, neighbours, recall_of_own
from bcl_model.htcl.settings import FeedbackSettings, HtclSettings, RunSettings, read_htcl_settings
from bcl_model.htcl.sound import read_sound
from bcl_model.htcl.spectra import Spectra
from bcl_model.htcl.words import rows_of
from tests.builders.htcl import bert_folder, spectra_of, tiny_corpus, tiny_settings


def rewritten(folder, file: str, **columns: list) -> None:
    table = pq.read_table(folder / file).to_pydict()
    table = {name: values for name, values in (table | columns).items() if values}
    pq.write_table(pa.table(table), folder / file)


def test_a_song_is_read_with_its_words_and_tags(tmp_path):
    corpus = tiny_corpus(tmp_path, songs=6, artists=3)
    assert len(corpus) == 6 and corpus.songs[1] == "s01" and corpus.artists[4] == ("a1",)
    assert corpus.texts[1] == "genre : alto\nlatin" and set(corpus.tags) == {"genre", "language"}
    rewritten(tmp_path, "songs.parquet", artist=[])
    assert len(set(read_corpus(tmp_path).artists)) == 6  # songs without an artist are nobody else's


def test_a_song_of_artists_from_both_sides_is_on_neither(tmp_path):
    tiny_corpus(tmp_path, songs=6, artists=3)
    rewritten(tmp_path, "songs.parquet", artist=[["a"], ["b"], ["c"], ["a", "b"], ["b", "c"], ["a", "c"]])
    split = split_of(read_corpus(tmp_path), RunSettings(held_out_share=0.3))
    assert (len(split.held_out), len(split.training)) == (1, 3)
    assert not set(split.held_out) & set(split.training)


@pytest.mark.parametrize(
    ("file", "columns", "reason"),
    [
        ("songs.parquet", {"audio": []}, "has no column 'audio', only artist, caption"),
        ("songs.parquet", {"song_id": ["a", "b", "a", "c", "d", "e"]}, "names the song 'a' twice"),
        ("feedback.parquet", {"shown": []}, "has no column 'shown'"),
        ("feedback.parquet", {"trigger": ["s00"] * 29 + ["nobody"]}, "trigger names the song 'nobody'"),
        ("feedback.parquet", {"liked": [0] * 29 + [11]}, "row 29 was shown 10 times and liked 11 times"),
    ],
)
def test_a_folder_that_cannot_be_trained_on_says_why(tmp_path, file, columns, reason):
    tiny_corpus(tmp_path, songs=6)
    rewritten(tmp_path, file, **columns)
    with pytest.raises(BadData, match=reason):
        read_corpus(tmp_path)


def test_a_missing_and_a_broken_file_are_told(tmp_path):
    with pytest.raises(BadData, match=r"songs.parquet is missing"):
        read_corpus(tmp_path)
    (tmp_path / "songs.parquet").write_bytes(b"nothing")
    with pytest.raises(BadData, match="cannot be read as parquet"):
        read_corpus(tmp_path)


def test_pairs_are_those_that_pleased_after_they_were_shown_often_enough():
    feedback = Feedback(
        triggers=np.array([0, 0, 1, 1, 2]),
        recalled=np.array([1, 2, 2, 0, 2]),  # the last is its own trigger
        shown=np.array([10, 10, 10, 2, 10]),
        liked=np.array([8, 1, 5, 2, 9]),
    )
    pairs = feedback.pairs(FeedbackSettings(min_shown=5, min_like_rate=0.5))
    assert pairs.tolist() == [[0, 1], [1, 2]]
    assert feedback.pairs(FeedbackSettings(min_shown=99)).shape == (0, 2)


def test_frames_are_made_once_kept_and_the_same(tmp_path):
    corpus, settings = tiny_corpus(tmp_path, songs=3), tiny_settings(tmp_path).sound
    first = Spectra(corpus, settings, 17)
    seen: list[tuple[int, int]] = []
    assert first.prepare(threads=2, done=lambda *now: seen.append(now)) == [] and seen[-1] == (3, 3)
    for file in (tmp_path / "audio").iterdir():
        file.unlink()
    again = Spectra(corpus, settings, 17)
    assert again.prepare() == []
    heard = again.of(np.array([2, 0]))
    assert heard.lengths.tolist() == [38, 26]
    assert not heard.frames[1, 26:].any() and heard.frames[1, :26].std() == pytest.approx(1, abs=1e-2)
    other = Spectra(corpus, replace(settings, mels=8), 17)
    assert len(other.prepare()) == 3  # of another front end nothing is kept, and the files are gone


def test_frames_are_those_of_the_front_end_and_songs_that_cannot_be_heard_are_left_out(tmp_path):
    corpus, settings = tiny_corpus(tmp_path, songs=4), tiny_settings(tmp_path).sound
    (tmp_path / "audio" / "s01.wav").write_bytes(b"RIFF")
    spectra = Spectra(corpus, settings, 30)
    refused = spectra.prepare()
    assert [reason.split(":")[0] for reason in refused] == ["s00", "s01", "s03"]
    assert "has 26 frames, wanted at least 30" in refused[0] and "cannot be read" in refused[1]
    assert spectra.heard(np.arange(4)).tolist() == [2]
    wanted = LogMel(settings)(read_sound(tmp_path / "audio" / "s02.wav", settings))
    torch.testing.assert_close(spectra.of(np.array([2])).frames[0], wanted, rtol=1e-3, atol=2e-3)


def test_recall_counts_ties_against_itself_and_neighbours_leave_the_song_out():
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert recall_of_own(queries, queries, at=(1, 3)) == {1: 1.0, 3: 1.0}
    assert recall_of_own(queries, torch.ones(3, 2), at=(1, 3)) == {1: 0.0, 3: 1.0}
    vectors = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    assert neighbours(vectors, torch.tensor([0, 3]), 2).tolist() == [[1, 3], [2, 1]]
    assert agreement(torch.tensor([[1, 2], [0, 3]]), torch.tensor([[2, 3], [0, 3]])) == 0.75


def test_probes_of_perfect_and_of_empty_vectors_say_so(tmp_path):
    """Vectors that are the genre itself: every probe is right; vectors that are all alike: none beats chance."""
    corpus = tiny_corpus(tmp_path / "songs", songs=48, artists=16)
    embedder = Embedder("tiny", Htcl.fresh(tiny_settings(bert_folder(tmp_path / "bert"))))
    split = split_of(corpus, RunSettings(held_out_share=0.25))
    prompts = embedder.texts([f"genre : {genre}" for genre in corpus.tags["genre"]])
    rng = np.random.default_rng(1)
    perfect = prompts + 2e-3 * rng.normal(size=prompts.shape).astype(np.float32)
    found = probe(corpus, Vectors(np.arange(48), perfect, perfect), embedder, split, ["genre"], "{tag} : {word}")
    assert found["tags"]["genre"]["linear_probe"] == found["tags"]["genre"]["zero_shot"] == 1.0
    assert found["text_to_audio"] == {"recall_at_1": 1.0, "recall_at_5": 1.0, "recall_at_10": 1.0}
    same = np.ones_like(prompts)
    found = probe(corpus, Vectors(np.arange(48), same, same), embedder, split, ["genre"], "{tag} : {word}")
    assert found["tags"]["genre"]["linear_probe"] == found["tags"]["genre"]["most_frequent"]
    assert found["text_to_audio"]["recall_at_1"] == 0.0
    with pytest.raises(BadData, match="the songs have no tag 'mood', wanted one of genre, language"):
        probe(corpus, Vectors(np.arange(48), same, same), embedder, split, ["mood"])


def test_settings_that_make_no_model_are_refused_with_the_values(tmp_path):
    whole = HtclSettings()
    for change, reason in (
        ({"audio": replace(whole.audio, kernels=(5, 3))}, "3 channels, 2 kernels and 3 strides"),
        ({"audio": replace(whole.audio, heads=7)}, "width is 768, wanted a multiple of heads 7"),
        ({"head": replace(whole.head, fusion=(50,))}, "head.fusion ends in"),
        ({"loss": replace(whole.loss, weights=(1.0,))}, "loss.weights has 1 numbers, wanted three"),
        ({"run": replace(whole.run, held_out_share=1.0)}, "run.held_out_share is 1.0"),
        ({"stage2": replace(whole.stage2, per_batch=1)}, "stage2 wants .* found 20, 1, 1"),
    ):
        with pytest.raises(BadModelSettings, match=reason):
            replace(whole, **change)
    (tmp_path / "a.toml").write_text("[run]\nsede = 1\n")
    with pytest.raises(BadModelSettings, match="unknown key 'sede', did you mean 'seed'"):
        read_htcl_settings(tmp_path / "a.toml")


def test_a_corpus_prepared_by_one_model_serves_another_seed(tmp_path):
    corpus = tiny_corpus(tmp_path / "songs", songs=4)
    settings = tiny_settings(bert_folder(tmp_path / "bert"))
    spectra_of(corpus, Htcl.fresh(settings))
    spectra_of(corpus, Htcl.fresh(replace(settings, run=replace(settings.run, seed=5))))
    assert len(list((tmp_path / "songs").glob(".spectra-*"))) == 1


def test_what_an_encoder_makes_of_the_words_is_kept_until_encoder_or_words_change(tmp_path):
    corpus = tiny_corpus(tmp_path / "songs", songs=6)
    settings = tiny_settings(bert_folder(tmp_path / "bert"))
    encoder = Htcl.fresh(settings).text_encoder
    rows = rows_of(corpus, encoder, torch.device("cpu"))
    alone = torch.cat([encoder(encoder.tokens([text])) for text in corpus.texts]).detach()
    torch.testing.assert_close(rows, alone, rtol=1e-4, atol=1e-5)

    def kept() -> int:
        return len(list((tmp_path / "songs").glob(".words-*.npy")))

    assert rows_of(corpus, encoder, torch.device("cpu")).equal(rows) and kept() == 1
    with torch.no_grad():
        encoder.bert.norm.bias += 1
    assert not rows_of(corpus, encoder, torch.device("cpu")).allclose(rows) and kept() == 2
    changed = replace(corpus, texts=("genre : bass", *corpus.texts[1:]))
    rows_of(changed, encoder, torch.device("cpu"))
    assert kept() == 3
