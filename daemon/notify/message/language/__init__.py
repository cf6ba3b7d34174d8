"""The words of every message: a catalogue for each language, and the formatting of lengths, times, kinds and
states in a time zone. Pure. Knows no jobs, channels or markup."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo

from msgspec import Struct, field

from daemon.domain.events import Event
from daemon.domain.reasons import reworded
from daemon.domain.text import in_zone, offset
from daemon.notify.message import Cover, Field, Language, Severity
from daemon.notify.message.escape import clean, length, rough
from daemon.notify.message.language.catalogue import Catalogue
from daemon.notify.message.language.chinese import CHINESE
from daemon.notify.message.language.english import ENGLISH

__all__ = [
    "CATALOGUES",
    "DIGEST",
    "MARKS",
    "OTHER",
    "PARTIAL",
    "Catalogue",
    "MessageContext",
    "Voice",
    "catalogue",
    "voice",
]

CATALOGUES: Mapping[Language, Catalogue] = {Language.ENGLISH: ENGLISH, Language.CHINESE: CHINESE}


def catalogue(language: Language) -> Catalogue:
    """The texts of a language.

    >>> catalogue(Language.CHINESE).field_names["ended"]
    '完成时间'
    """
    return CATALOGUES[language]


_VIDEOS = frozenset({"avatar", "photo"})


class Voice(Struct, frozen=True, kw_only=True):
    """Words one message. Dates outside the year of `now` include their year."""

    texts: Catalogue
    zone: tzinfo
    now: datetime

    def length(self, seconds: float) -> str:
        """Seconds in their two largest units."""
        return length(seconds, self.texts.units)

    def rough(self, seconds: float) -> str:
        """The same for an estimate."""
        return rough(seconds, self.texts.units)

    def moment(self, at: datetime) -> str:
        """Date, time and offset.

        >>> from datetime import UTC
        >>> at = datetime(2022, 12, 17, 1, 44, tzinfo=UTC)
        >>> voice(Language.ENGLISH, zone=UTC, now=at).moment(at)
        '17 Dec 01:44 (UTC)'
        """
        local = in_zone(at, self.zone)
        return self.texts.calendar.moment.format(
            date=self._date(local), time=f"{local:%H:%M}", offset=offset(local)
        )

    def clock(self, at: datetime) -> str:
        """The time, with the date unless it is that of `now`; without the offset."""
        local = in_zone(at, self.zone)
        if local.date() == in_zone(self.now, self.zone).date():
            return f"{local:%H:%M}"
        return f"{self._date(local)} {local:%H:%M}"

    def clocks(self, moments: Iterable[datetime]) -> tuple[str, ...]:
        """Several times in one sentence: without dates if all fall on the same day, whichever that is."""
        local = [in_zone(at, self.zone) for at in moments]
        if len({each.date() for each in local}) == 1:
            return tuple(f"{each:%H:%M}" for each in local)
        return tuple(f"{self._date(each)} {each:%H:%M}" for each in local)

    def span(self, first: datetime, last: datetime) -> str:
        """A range: the end is without its date if that is the same, and always without the offset."""
        same = in_zone(first, self.zone).date() == in_zone(last, self.zone).date()
        local = in_zone(last, self.zone)
        end = f"{local:%H:%M}" if same else f"{self._date(local)} {local:%H:%M}"
        return self.texts.calendar.until.format(first=self.moment(first), last=end)

    def kind(self, kind: str) -> str:
        """Name of a kind of job; an unknown one as given."""
        return self.texts.kinds.get(kind) or clean(kind, limit=40)

    def product(self, kind: str) -> str:
        """What a kind of job produces."""
        if kind in _VIDEOS:
            return self.texts.product_video
        return self.texts.product_card if kind == "business_card" else self.texts.product_result

    def state(self, state: str | None) -> str:
        """Name of a state; an unknown one as the service named it."""
        if state is None:
            return self.texts.state_unknown
        return self.texts.states.get(state) or clean(state, limit=64)

    def reason(self, reason: str) -> str:
        """Translate a reason stored in English; text from other parties within it is kept."""
        return reworded(reason, self.texts.reasons)

    def sentences(self, *sentences: str) -> str:
        """Join the sentences that are not empty."""
        return self.texts.gap.join(filter(None, sentences))

    def field(self, name: str, value: str) -> Field:
        """A named value, with the name in this language."""
        return Field(name=self.texts.field_names[name], value=value)

    def _date(self, local: datetime) -> str:
        calendar = self.texts.calendar
        pattern = calendar.date if local.year == in_zone(self.now, self.zone).year else calendar.dated
        return pattern.format(day=local.day, month=calendar.months[local.month - 1], year=local.year)


def voice(language: Language, *, zone: tzinfo, now: datetime) -> Voice:
    """The voice of a language."""
    return Voice(texts=catalogue(language), zone=zone, now=now)


class MessageContext(Struct, frozen=True, kw_only=True):
    """What a message needs to know in addition to the rows it reports."""

    zone: tzinfo = UTC
    now: datetime
    """When the message is sent."""
    language: Language = Language.ENGLISH
    links: Mapping[int, str] = field(default_factory=dict)
    """wrapd's own link to a job's video, by the job's row id. If there is one, no other link is shown. '' means
    revoked: then no link is shown."""
    cover: Cover | None = None
    failed_at: datetime | None = None
    """When this channel last failed to take a message, None if unknown. Alerts written before then are late
    because of it, even on their first attempt."""

    @property
    def voice(self) -> Voice:
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
"""The emoji and severity of each event, in every language."""
PARTIAL = ("🌗", Severity.WARNING)
"""The same for a success of only part of what was ordered."""
OTHER = ("🔔", Severity.INFO)
DIGEST = "📋"
