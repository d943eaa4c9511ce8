"""Embeds what is released, and takes out what is withdrawn."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bcl_model.errors import FieldMismatch
from bcl_model.fields import Content
from streams.catalogue.content import content_hash, content_of
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.messages import Batch, Message
from streams.contracts.releases import Release
from streams.contracts.topics import SONG_CROWDS, SONG_EMBEDDINGS, SONG_RELEASES
from streams.state.layout import BARRED, EMBEDDED, named
from streams.state.store import Store


class SongEncoder(Protocol):
    """The port to the model. An embedding follows from its own content, bit for bit, whatever is embedded beside it."""

    @property
    def artifact(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed(self, contents: Sequence[Content]) -> npt.NDArray[np.float32]:
        """Unit rows, (n, dimension). Raises FieldMismatch if a content does not fit the model's fields."""
        ...


@dataclass(frozen=True)
class EmbedSongs:
    """A song whose content and facts are as they were is not published again; a withdrawal always is.

    A release whose vectors took time to make may arrive after the song's withdrawal although it was said before it.
    It does not count; and so that compaction does not keep it as the song's last word, the withdrawal is said again.
    """

    encoder: SongEncoder
    store: Store
    songs_per_batch: int

    def handle(self, batch: Batch[Release]) -> list[Message | DeadLetter]:
        song_ids = [(key or b"").decode() for key in batch.keys]
        contents = [None if release is None else content_hash(release) for release in batch.values]
        embeddings = self._embeddings(song_ids, contents, batch.values)
        outputs: list[Message | DeadLetter] = []
        for n, (song_id, content, release) in enumerate(zip(song_ids, contents, batch.values, strict=True)):
            at_ms = batch.times_ms[n]
            if release is None or content is None:
                outputs += [Message(topic, song_id, None, at_ms) for topic in (SONG_EMBEDDINGS, SONG_CROWDS)]
                self.store.delete(named(EMBEDDED, song_id))
                self.store.put(named(BARRED, song_id), at_ms.to_bytes(8, "little"))
            elif release.song_id != song_id:
                outputs.append(batch.dead_letter(n, f"the key is {song_id!r}, wanted song_id {release.song_id!r}"))
            elif (withdrawn_ms := self._withdrawn_since(release, at_ms)) is not None:
                if self.store.get(named(EMBEDDED, song_id)) is None:
                    outputs.append(Message(SONG_RELEASES, song_id, None, withdrawn_ms))
            elif self._is_embedded(song_id, content):
                continue
            elif isinstance(embedding := embeddings[content], str):
                outputs.append(batch.dead_letter(n, embedding))
            else:
                outputs.append(Message(SONG_EMBEDDINGS, song_id, self._fact(release, content, embedding, at_ms), at_ms))
                self.store.put(named(EMBEDDED, song_id), self._mark(content))
        return outputs

    def _fact(self, release: Release, content: str, embedding: bytes, at_ms: int) -> SongEmbedded:
        return SongEmbedded(
            song_id=release.song_id,
            artifact=self.encoder.artifact,
            content=content,
            embedding=embedding,
            published_ms=at_ms,
            released_ms=release.released_ms,
            title=release.title,
            artist_ids=release.artist_ids,
            markets=release.markets,
            budget=release.budget,
            expires_ms=release.expires_ms,
        )

    def _withdrawn_since(self, release: Release, said_ms: int) -> int | None:
        """When the song was withdrawn, if that was said after the release that was filled in here."""
        barred = self.store.get(named(BARRED, release.song_id)) if release.vectors_by else None
        withdrawn_ms = None if barred is None else int.from_bytes(barred, "little")
        return withdrawn_ms if withdrawn_ms is not None and said_ms <= withdrawn_ms else None

    def _mark(self, content: str) -> bytes:
        return f"{self.encoder.artifact}\x1f{content}".encode()

    def _is_embedded(self, song_id: str, content: str) -> bool:
        return self.store.get(named(EMBEDDED, song_id)) == self._mark(content)

    def _embeddings(
        self, song_ids: Sequence[str], contents: Sequence[str | None], releases: Sequence[Release | None]
    ) -> dict[str, bytes | str]:
        """Of each content that the batch may need: the embedding, or why there is none."""
        times = Counter(song_ids)
        needed: dict[str, Content] = {}
        for song_id, content, release in zip(song_ids, contents, releases, strict=True):
            if release is None or content is None or song_id != release.song_id:
                continue
            if times[song_id] > 1 or not self._is_embedded(
                song_id, content
            ):  # in between it may change or be withdrawn
                needed[content] = content_of(release)
        embeddings: dict[str, bytes | str] = {}
        names = list(needed)
        for first in range(0, len(names), self.songs_per_batch):
            some = names[first : first + self.songs_per_batch]
            embeddings.update(zip(some, self._embed([needed[name] for name in some]), strict=True))
        return embeddings

    def _embed(self, contents: list[Content]) -> list[bytes | str]:
        try:
            rows = np.asarray(self.encoder.embed(contents), dtype="<f4")
        except FieldMismatch as mismatch:
            if len(contents) == 1:
                return [str(mismatch)]
            return [embedding for content in contents for embedding in self._embed([content])]
        lengths = np.linalg.norm(rows, axis=1)
        return [
            row.tobytes() if abs(length - 1) < 1e-3 else f"the encoder makes an embedding of length {length:.3g} of it"
            for row, length in zip(rows, lengths.tolist(), strict=True)
        ]
