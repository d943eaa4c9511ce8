"""Serving: content in, embeddings out, with NumPy alone and equal bits for equal songs.

A batch changes the speed and never a result: all sums of the forward pass are exact (see exact.py), so neither the
songs beside a song nor the count of threads nor the processor can be seen in its embedding.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bcl_model.artifact import Artifact, read_artifact
from bcl_model.exact import Doubles, ExactLinear, unit_rows
from bcl_model.fields import NONE, Content, Encoded, Fields, Floats
from bcl_model.registry import resolve
from bcl_model.settings import SLOPE


class SongEncoder:
    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact.name
        self.fields: Fields = artifact.fields
        self.dimension = artifact.dimension
        self._audiences = artifact.audiences  # of the words that a release says
        self._tables = {
            one.name: artifact.weights[f"tables.{one.name}"].astype(np.float64)
            for one in self.fields.fields
            if one.has_words
        }
        self._layers = [
            ExactLinear(artifact.weights[f"backbone.{n}.weight"], artifact.weights[f"backbone.{n}.bias"])
            for n in range(0, 2 * len(artifact.settings.encoder.layers), 2)
        ]

    @classmethod
    def load(cls, folder: Path) -> "SongEncoder":
        """From an artifact's folder, or from a folder of artifacts the one in use."""
        return cls(read_artifact(resolve(folder)))

    def embed(self, contents: Sequence[Content]) -> Floats:
        """Rows of unit length, (songs, dimension)."""
        return unit_rows(self.represent(contents)).astype(np.float32)

    def represent(self, contents: Sequence[Content]) -> Doubles:
        """h as it was trained, of any length."""
        encoded = self.fields.encode(self._audiences.completed(contents))
        rows = np.concatenate([*self._parts(encoded), encoded.present.astype(np.float64)], axis=1)
        for n, layer in enumerate(self._layers):
            if n:
                rows = np.where(rows > 0, rows, SLOPE * rows)
            rows = layer(rows)
        return rows

    def _parts(self, encoded: Encoded) -> list[Doubles]:
        parts = []
        for one in self.fields.fields:
            if one.has_words:
                words, table = encoded.words[one.name], self._tables[one.name]
                rows = np.zeros((len(words), one.width))
                for column in words.T:  # one word of each song at a time: the order of addition is the song's own
                    rows += np.where((column != NONE)[:, None], table[np.maximum(column, 0)], 0.0)
                parts.append(unit_rows(rows))
            else:
                parts.append(encoded.values[one.name].astype(np.float64))
        return parts
