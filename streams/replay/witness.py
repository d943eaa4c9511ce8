"""Who may look on while a log is replayed: at each decision, with what it knew and nothing later."""

from typing import Protocol

from streams.audience.audience import Audience
from streams.catalogue.warm_songs import WarmSongs
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.queries import AudienceQuery
from streams.state.store import Store


class Witness(Protocol):
    """Told before the stage handles the record itself, and once for each decision. It may read and change nothing."""

    def matched(self, query: AudienceQuery, embedded: SongEmbedded, warm: WarmSongs) -> None:
        """A release, and what was asked about it; the views as they were then."""

    def asked(self, query: AudienceQuery, partition: int, audience: Audience, store: Store) -> None:
        """One listener partition that answered; its listeners as they were then, the offsets in its store."""


class Nobody:
    """Looks away."""

    def matched(self, query: AudienceQuery, embedded: SongEmbedded, warm: WarmSongs) -> None:
        pass

    def asked(self, query: AudienceQuery, partition: int, audience: Audience, store: Store) -> None:
        pass
