"""The words of every message: a catalogue for each language, and how it speaks of lengths, moments, kinds and
states in a time zone. Pure. Must never know a job, a channel or a markup.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from daemon.domain.events import Event
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
    """The words of a language.

    >>> catalogue(Language.CHINESE).field_names["ended"]
    '完成时间'
    """
    return CATALOGUES[language]


_VIDEOS = frozenset({"avatar", "photo"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """How one message is worded. Moments of another year than that of `now` tell theirs."""

    texts: Catalogue
    zone: tzinfo
    now: datetime

    def length(self, seconds: float) -> str:
        """Seconds in their two largest units."""
        return length(seconds, self.texts.units)

    def rough(self, seconds: float) -> str:
        """The same for what is only expected."""
        return rough(seconds, self.texts.units)

    def moment(self, at: datetime) -> str:
        """Day, time and offset.

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
        """The time alone where it is that of the day of `now`, else with its day; without the offset."""
        local = in_zone(at, self.zone)
        if local.date() == in_zone(self.now, self.zone).date():
            return f"{local:%H:%M}"
        return f"{self._date(local)} {local:%H:%M}"

    def clocks(self, moments: Iterable[datetime]) -> tuple[str, ...]:
        """The same for moments of one sentence: without days where all are of one day, whichever that is."""
        local = [in_zone(at, self.zone) for at in moments]
        if len({each.date() for each in local}) == 1:
            return tuple(f"{each:%H:%M}" for each in local)
        return tuple(f"{self._date(each)} {each:%H:%M}" for each in local)

    def span(self, first: datetime, last: datetime) -> str:
        """From when to when: the end without its day where that is the same, and without its offset."""
        same = in_zone(first, self.zone).date() == in_zone(last, self.zone).date()
        local = in_zone(last, self.zone)
        end = f"{local:%H:%M}" if same else f"{self._date(local)} {local:%H:%M}"
        return self.texts.calendar.until.format(first=self.moment(first), last=end)

    def kind(self, kind: str) -> str:
        """A kind of job; an unknown one by its name."""
        return self.texts.kinds.get(kind) or clean(kind, limit=40)

    def product(self, kind: str) -> str:
        """What comes of a kind of job."""
        if kind in _VIDEOS:
            return self.texts.product_video
        return self.texts.product_card if kind == "business_card" else self.texts.product_result

    def state(self, state: str | None) -> str:
        """A state; an unknown one as the service named it."""
        if state is None:
            return self.texts.state_unknown
        return self.texts.states.get(state) or clean(state, limit=64)

    def reason(self, reason: str) -> str:
        """A reason that was written down in English: in this language, but for what somebody else said in it."""
        known = self.texts.reasons
        for phrase in sorted((phrase for phrase in known if phrase in reason), key=len, reverse=True):
            reason = reason.replace(phrase, known[phrase])
        return reason

    def sentences(self, *sentences: str) -> str:
        """The sentences that are not empty, as one text."""
        return self.texts.gap.join(filter(None, sentences))

    def field(self, name: str, value: str) -> Field:
        """A named value, under the name of this language."""
        return Field(name=self.texts.field_names[name], value=value)

    def _date(self, local: datetime) -> str:
        calendar = self.texts.calendar
        pattern = calendar.date if local.year == in_zone(self.now, self.zone).year else calendar.dated
        return pattern.format(day=local.day, month=calendar.months[local.month - 1], year=local.year)


def voice(language: Language, *, zone: tzinfo, now: datetime) -> Voice:
    """The voice of a language."""
    return Voice(texts=catalogue(language), zone=zone, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageContext:
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
