"""What a listener says about consent, time zone and quiet hours is kept; the newest counts."""

from dataclasses import dataclass

from msgspec.structs import replace

from streams.audience.audience import Audience
from streams.audience.wishes import erased_ms, put_settings, settings_of
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.listeners import ListenerSettings
from streams.contracts.messages import Batch, Message
from streams.state.layout import SETTINGS, named
from streams.state.store import Store
from streams.targeting.eligibility import zone


@dataclass
class FollowSettings:
    """A record without a value withdraws the settings: the defaults hold again."""

    audience: Audience
    store: Store

    def handle(self, batch: Batch[ListenerSettings]) -> list[Message | DeadLetter]:
        refused: list[Message | DeadLetter] = []
        for n, (key, settings) in enumerate(zip(batch.keys, batch.values, strict=True)):
            if settings is None:
                listener_id = (key or b"").decode()
                self.store.delete(named(SETTINGS, listener_id))
                self.audience.follow_wishes(listener_id)
                continue
            if settings.time_zone is not None and zone(settings.time_zone) is None:
                refused.append(
                    batch.dead_letter(n, f"time_zone is {settings.time_zone!r}, wanted a name of the IANA time zones")
                )
                if settings.consent:
                    continue
                settings = replace(settings, time_zone=None)  # a no is heard, whatever else is wrong
            self._keep(settings)
        return refused

    def _keep(self, settings: ListenerSettings) -> None:
        """Of what was said at the same time the later record counts; what was said before an erasure is gone."""
        known = settings_of(self.store, settings.listener_id)
        erased = erased_ms(self.store, settings.listener_id)
        if known is not None and settings.changed_ms < known.changed_ms:
            return
        if erased is not None and settings.changed_ms <= erased:
            return
        put_settings(self.store, settings)
        self.audience.follow_wishes(settings.listener_id)
