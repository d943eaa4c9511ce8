"""A tiny HTCL: a BERT of a few words, a model of a few numbers, songs of one tone each. Nothing of it is downloaded."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from bcl_model.htcl.artifact import write_htcl
from bcl_model.htcl.corpus import Corpus, read_corpus
from bcl_model.htcl.model import Htcl
from bcl_model.htcl.processes import Processes
from bcl_model.htcl.settings import (
    AudioSettings,
    FeedbackSettings,
    HeadSettings,
    HtclSettings,
    Pooling,
    RunSettings,
    SoundSettings,
    StageSettings,
    TextSettings,
)
from bcl_model.htcl.sound import write_sound
from bcl_model.htcl.spectra import Spectra

GENRES = {"bass": 110.0, "alto": 440.0, "flute": 1_760.0}
LANGUAGES = ("latin", "greek")
ALONE = Processes(0, 1, torch.device("cpu"))
RATE = 8_000

_WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *GENRES, *LANGUAGES, "genre", "language", ":", *"abcdefghij")


def bert_folder(folder: Path, *, width: int = 16, seed: int = 1) -> Path:
    """In Hugging Face's layout, with drawn weights."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {
        "model_type": "bert",
        "vocab_size": len(_WORDS),
        "hidden_size": width,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 2 * width,
        "max_position_embeddings": 24,
    }
    (folder / "config.json").write_text(json.dumps(sizes))
    (folder / "vocab.txt").write_text("\n".join(_WORDS) + "\n")
    save_file(hugging_face_state(sizes, seed), folder / "model.safetensors")
    return folder


def hugging_face_state(sizes: dict[str, object], seed: int = 1) -> dict[str, torch.Tensor]:
    width, inner = int(str(sizes["hidden_size"])), int(str(sizes["intermediate_size"]))
    linears = {"attention.self.query": (width, width), "attention.self.key": (width, width)}
    linears |= {"attention.self.value": (width, width), "attention.output.dense": (width, width)}
    linears |= {"intermediate.dense": (inner, width), "output.dense": (width, inner)}
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (int(str(sizes["vocab_size"])), width),
        "embeddings.position_embeddings.weight": (int(str(sizes["max_position_embeddings"])), width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "pooler.dense.weight": (width, width),
        "pooler.dense.bias": (width,),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(int(str(sizes["num_hidden_layers"]))):
        for name, shape in linears.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
        norms += [f"encoder.layer.{layer}.{part}.LayerNorm" for part in ("attention.output", "output")]
    generator = torch.Generator().manual_seed(seed)
    state = {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    for norm in norms:
        state |= {f"{norm}.weight": torch.ones(width), f"{norm}.bias": torch.zeros(width)}
    return state


def tiny_settings(bert: Path, **run: object) -> HtclSettings:
    stage = StageSettings(epochs=4, per_batch=8, audio_rate=3e-3, text_rate=1e-3, head_rate=3e-3)
    return HtclSettings(
        sound=SoundSettings(sample_rate=RATE, seconds=0.6, window_s=0.032, hop_s=0.016, mels=16),
        audio=AudioSettings(
            channels=(16, 16, 16), width=16, position_kernel=3, position_groups=2, layers=1, heads=2, feed_forward=32
        ),
        text=TextSettings(str(bert), Pooling.POOLER, max_tokens=16),
        head=HeadSettings(layers=(16, 8), fusion=(16, 8)),
        stage1=stage,
        stage2=stage,
        feedback=FeedbackSettings(min_shown=5, min_like_rate=0.75),
        run=RunSettings(**{"seed": 1, "held_out_share": 0.25, "judge_every": 4, **run}),  # type: ignore[arg-type]
    )


def without_dropout(settings: HtclSettings) -> HtclSettings:
    return replace(settings, audio=replace(settings.audio, dropout=0.0), text=replace(settings.text, is_trained=False))


def tiny_model_folder(folder: Path, **run: object) -> Path:
    """A model that nobody trained, as `Embedder.load` reads it."""
    settings = tiny_settings(bert_folder(folder / "bert"), **run)
    return write_htcl(folder / "models", Htcl.fresh(settings), {})


def tone(pitch: float, seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    loud = 0.4 * np.sin(2 * np.pi * pitch * time * rng.uniform(0.95, 1.05))
    return (loud + 0.01 * rng.normal(size=len(time))).astype(np.float32)


def tiny_corpus(folder: Path, *, songs: int = 24, artists: int = 8) -> Corpus:
    """Songs of three genres and two languages; of one genre please alike."""
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    rows, genres = [], list(GENRES)
    for n in range(songs):
        genre, language = genres[n % 3], LANGUAGES[n // 3 % 2]
        write_sound(folder / "audio" / f"s{n:02d}.wav", tone(GENRES[genre], 0.4 + 0.1 * (n % 3), n), RATE)
        row = {"song_id": f"s{n:02d}", "audio": f"audio/s{n:02d}.wav", "artist": [f"a{n % artists}"]}
        rows.append({**row, "caption": f"genre : {genre}", "lyrics": language, "genre": genre, "language": language})
    pq.write_table(pa.Table.from_pylist(rows), folder / "songs.parquet")
    pairs = [(n, m) for n in range(songs) for m in range(songs) if n != m]
    liked = [8 if n % 3 == m % 3 else 1 for n, m in pairs]
    feedback = {"trigger": [f"s{n:02d}" for n, _ in pairs], "recalled": [f"s{m:02d}" for _, m in pairs]}
    pq.write_table(pa.table({**feedback, "shown": [10] * len(pairs), "liked": liked}), folder / "feedback.parquet")
    return read_corpus(folder)


def spectra_of(corpus: Corpus, model: Htcl) -> Spectra:
    spectra = Spectra(corpus, model.settings.sound, model.audio_encoder.fewest_frames)
    assert spectra.prepare() == []
    return spectra
