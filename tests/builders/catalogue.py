"""A catalogue in a few lines: views that are fed as from topics, and an encoder that nobody trained."""

import itertools
from dataclasses import dataclass, field

import numpy as np

from bcl_model.artifact import Artifact
from bcl_model.fields import Content, inferred
from bcl_model.inference import SongEncoder
from bcl_model.settings import EncoderSettings, TrainSettings
from streams.catalogue.exact_index import ExactIndex
from streams.catalogue.song_crowds import CrowdsOfSongs
from streams.catalogue.song_index import SongIndex
from streams.catalogue.songs import Songs
from streams.catalogue.warm_songs import WarmSongs
from streams.contracts.crowds import SongCrowds
from streams.contracts.embeddings import SongEmbedded
from tests.builders.contracts import ARTIFACT


def untrained_encoder(*contents: Content, dimension: int = 8, seed: int = 1) -> SongEncoder:
    """The real encoder with drawn weights: right for what does not ask how good an embedding is."""
    return SongEncoder(untrained_artifact(*contents, dimension=dimension, seed=seed))


def untrained_artifact(*contents: Content, dimension: int = 8, seed: int = 1) -> Artifact:
    fields = inferred(contents, min_songs=1).learned(contents)
    draw = np.random.default_rng(seed)
    widths = [fields.width + len(fields), 16, dimension]
    shapes: dict[str, tuple[int, ...]] = {f"tables.{name}": (len(of) + 1, 16) for name, of in fields.words.items()}
    for n, (wide, narrow) in enumerate(itertools.pairwise(widths)):
        shapes |= {f"backbone.{2 * n}.weight": (narrow, wide), f"backbone.{2 * n}.bias": (narrow,)}
    weights = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    settings = TrainSettings(encoder=EncoderSettings(layers=tuple(widths[1:])))
    return Artifact.of(weights, settings, fields, {})


@dataclass
class Catalogue:
    """Both views with an index over them; a bare name takes a song, or its crowds, out."""

    dimension: int = 2
    partitions: int = 2
    warm_at_listeners: int = 20
    index: SongIndex | None = None
    songs: Songs = field(init=False)
    crowds: CrowdsOfSongs = field(init=False)
    warm: WarmSongs = field(init=False)

    def __post_init__(self) -> None:
        self.songs = Songs(ARTIFACT, self.dimension, self.partitions)
        self.crowds = CrowdsOfSongs(ARTIFACT, self.partitions, self.warm_at_listeners)
        index = ExactIndex(self.dimension) if self.index is None else self.index
        self.warm = WarmSongs(self.songs, self.crowds, index)

    def add_songs(self, *songs: SongEmbedded | str, partition: int = 0) -> "Catalogue":
        for song in songs:
            song_id, value = (song, None) if isinstance(song, str) else (song.song_id, song)
            self.songs.apply(partition, self.songs.offsets[partition] + 1, song_id, value)
        return self

    def add_crowds(self, *crowds: SongCrowds | str, partition: int = 0) -> "Catalogue":
        for song in crowds:
            song_id, value = (song, None) if isinstance(song, str) else (song.song_id, song)
            self.crowds.apply(partition, self.crowds.offsets[partition] + 1, song_id, value)
        return self
