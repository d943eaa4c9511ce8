"""What a text encoder that does not learn makes of a corpus, once: kept beside it under what it follows from."""

import json
import os
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from bcl_model.htcl.checkpoint import fingerprint
from bcl_model.htcl.corpus import Corpus
from bcl_model.htcl.text_encoder import TextEncoder
from bcl_model.settings import to_table


def rows_of(corpus: Corpus, encoder: TextEncoder, device: torch.device) -> Tensor:
    """(songs, width): read where they are kept, else made."""
    told = json.dumps([to_table(encoder.settings), encoder.wordpiece.vocabulary, corpus.texts])
    kept = corpus.folder / f".words-{sha256((told + fingerprint(encoder)).encode()).hexdigest()[:12]}.npy"
    if kept.exists():
        return torch.from_numpy(np.load(kept)).to(device)
    rows = encoder.rows(corpus.texts, device)
    aside = kept.with_name(f"{os.getpid()}{kept.name}")  # several processes of one training come here at once
    np.save(aside, rows.cpu().numpy())
    aside.rename(kept)
    return rows
