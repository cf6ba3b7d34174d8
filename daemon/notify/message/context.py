"""How a message is to be written: for which zone and language, at which moment, with which links. Plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from daemon.domain.events import Event
from daemon.notify.message.language.voice import Voice, voice
from daemon.notify.message.model import Cover, Language, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a message needs to know beside the rows that it tells of."""

    zone: tzinfo = UTC
    now: datetime
    """When it is told."""
    language: Language = Language.ENGLISH
    links: Mapping[int, str] = field(default_factory=dict)
    """wrapd's own link to a job's video, by the job's row id. Where it is, no other link is shown; '' where it was
    revoked: then none is."""
    cover: Cover | None = None
    failed_at: datetime | None = None
    """When this channel last took no message, None where that is not known: alerts written before then are late
    because of it, though they themselves may be tried for the first time."""

    @property
    def voice(self) -> Voice:
        """The words for it."""
        return voice(self.language, zone=self.zone, now=self.now)


MARKS: Mapping[Event, tuple[str, Severity]] = {
    Event.SUCCEEDED: ("✅", Severity.GOOD),
    Event.FAILED: ("❌", Severity.BAD),
    Event.CANCELED: ("🚫", Severity.WARNING),
    Event.BLOCKED: ("🧊", Severity.WARNING),
    Event.UNBLOCKED: ("▶️", Severity.INFO),
    Event.STARTED: ("🎬", Severity.INFO),
    Event.STUCK: ("⏳", Severity.WARNING),
    Event.LOST: ("❓", Severity.WARNING),
    Event.EXPIRED: ("⌛", Severity.WARNING),
    Event.LINK_EXPIRING: ("⏰", Severity.WARNING),
    Event.BATCH_FINISHED: ("🏁", Severity.GOOD),
    Event.PROJECT_DOWN: ("🔌", Severity.BAD),
    Event.PROJECT_RECOVERED: ("🔋", Severity.GOOD),
    Event.AUTH_FAILED: ("🔑", Severity.BAD),
    Event.CHANNEL_HELD: ("📪", Severity.BAD),
    Event.UNKNOWN_STATE: ("🧩", Severity.WARNING),
    Event.OVERLOADED: ("🐢", Severity.WARNING),
    Event.DELIVERY_DEAD: ("🪦", Severity.BAD),
    Event.UNCONFIRMED: ("👻", Severity.WARNING),
    Event.CONFIG_REFUSED: ("📝", Severity.WARNING),
    Event.ORPHANED: ("📦", Severity.BAD),
    Event.DEFECT: ("🐞", Severity.WARNING),
}
"""The sign and the colour of each event, in every language."""
PARTIAL = ("🌗", Severity.WARNING)
"""The same of a success that is none of all that was ordered."""
OTHER = ("🔔", Severity.INFO)
DIGEST = "📋"
