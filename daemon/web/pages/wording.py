"""How the pages write times, lengths, reasons and names for a reader, and what their links lead to. Pure."""

from datetime import UTC, date, datetime, tzinfo
from urllib.parse import quote, urlencode, urlsplit

from msgspec import Struct

from daemon import views
from daemon.domain.reasons import reworded
from daemon.domain.text import in_zone, offset
from daemon.web.pages.texts import Texts

_LONGEST = 3650 * 86400.0
"""Seconds from which a length is not told exactly: numbers from outside can be anything."""


class Wording(Struct, frozen=True, kw_only=True):
    """Words one page for one reader, in their `zone`, as of `now`."""

    texts: Texts
    language: str
    zone: tzinfo
    now: datetime

    def moment(self, at: str | datetime | None) -> str:
        """A time, with the date unless it is today's, and with the year unless it is this one.

        >>> from datetime import UTC
        >>> from daemon.web.pages.english import ENGLISH
        >>> word = Wording(texts=ENGLISH, language="en", zone=UTC, now=datetime(2026, 3, 1, 12, tzinfo=UTC))
        >>> [word.moment(at) for at in ("2026-03-01T09:05:00Z", "2026-02-28T09:05:00Z", "2025-02-28T09:05:00Z")]
        ['09:05', '28 Feb 09:05', '28 Feb 2025 09:05']
        """
        if at is None:
            return "-"
        local, today = in_zone(_read(at), self.zone), in_zone(self.now, self.zone)
        if local.date() == today.date():
            return f"{local:%H:%M}"
        form = self.texts.date if local.year == today.year else self.texts.dated
        return form.format(
            day=local.day, month=self.texts.months[local.month - 1], year=local.year, time=f"{local:%H:%M}"
        )

    def day_began(self) -> datetime:
        """When the day in UTC began, by which ends are counted."""
        return in_zone(self.now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def hour(self, at: datetime) -> str:
        """A time without its date."""
        return f"{in_zone(at, self.zone):%H:%M}"

    def since(self, job: views.Job) -> str:
        """Since when a job is as `state` says; '' if that is not known. Its last query showed that it is lost, or
        was the last before it expired."""
        at = {"lost": job.last_polled_at, "expired": job.last_polled_at, "stopped": None}
        found = at.get(job.tracking, job.state_since)
        return "" if found is None else self.moment(found)

    def second(self, at: str | datetime | None) -> str:
        """A time to the second, with the date unless it is today's."""
        shown = self.moment(at)
        return shown if at is None else f"{shown}:{in_zone(_read(at), self.zone):%S}"

    def stamped(self, at: datetime | None = None) -> str:
        """A time (by default that of the page) with its date, year and zone."""
        local = in_zone(at or self.now, self.zone)
        month, zone = self.texts.months[local.month - 1], offset(local)
        return self.texts.dated.format(day=local.day, month=month, year=local.year, time=f"{local:%H:%M} {zone}")

    def band(self, eta: views.Remaining) -> str:
        """When what has this estimate ends, in 9 of 10 cases; equal times once."""
        low, high = self.moment(eta.low_at), self.moment(eta.high_at)
        return low if low == high else f"{low}-{high}"

    def day(self, day: str) -> str:
        """A day of this year or the last, as it is in UTC."""
        at = date.fromisoformat(day)
        return self.texts.day.format(day=at.day, month=self.texts.months[at.month - 1])

    def clock(self) -> str:
        """The time of the page, to the second."""
        return f"{in_zone(self.now, self.zone):%H:%M:%S}"

    def zone_name(self) -> str:
        """The name of the reader's time zone, and its offset."""
        name, shown = str(self.zone), offset(in_zone(self.now, self.zone))
        return name if name == shown else f"{name}, {shown}"

    def ahead(self, at: str | datetime) -> bool:
        """Whether a time is still to come."""
        return _read(at) > self.now

    def length(self, seconds: float | None) -> str:
        """Seconds in their two largest units.

        >>> from datetime import UTC
        >>> from daemon.web.pages.english import ENGLISH
        >>> word = Wording(texts=ENGLISH, language="en", zone=UTC, now=datetime(2026, 3, 1, 12, tzinfo=UTC))
        >>> [word.length(seconds) for seconds in (0.2, 65, 3600, 90000, float("nan"), None)]
        ['under 1 s', '1 min 5 s', '1 h', '1 d 1 h', 'over 10 years', '-']
        """
        if seconds is None:
            return "-"
        if not seconds < _LONGEST:
            return self.texts.ages
        left = round(seconds)
        if left < 1:
            return self.texts.moment
        parts: list[str] = []
        for size, unit in zip((86400, 3600, 60, 1), self.texts.units, strict=True):
            if (number := left // size) or parts:
                parts.append(f"{number} {unit}" if number else "")
                left -= number * size
            if len(parts) == 2:
                break
        return " ".join(filter(None, parts))

    def reason(self, reason: str) -> str:
        """A reason that wrapd recorded, in the reader's language; what another party said in it as it is."""
        return self.texts.recorded.get(reason) or reworded(reason, self.texts.phrases)

    def telling(self) -> views.Telling:
        """How to tell why an alert waits."""
        return views.Telling(moment=self.second, words=self.texts.whys, reason=self.reason)

    def kind(self, kind: str) -> str:
        """The name of a kind; an unknown one as it is."""
        return self.texts.kinds.get(kind, kind)

    def state(self, job: views.Job) -> str:
        """How a job is, in a word or two; an unknown state as the service names it."""
        if job.tracking in self.texts.trackings:
            return self.texts.trackings[job.tracking]
        return self.texts.new if job.state is None else self.texts.states.get(job.state, job.state)


def tone(job: views.Job) -> str:
    """Which of the marks a job's state gets: wait, run, done, part, stop, bad or held."""
    if job.tracking in ("lost", "expired"):
        return "bad"
    return "stop" if job.tracking == "stopped" else _TONES.get(job.state or "", "wait")


_TONES = {
    "PROCESSING": "run",
    "SUCCEED": "done",
    "PARTIAL_SUCCEED": "part",
    "FAILED": "bad",
    "CANCELED": "stop",
    "BLOCK": "held",
}


def to_https(url: str | None) -> str | None:
    """The link, if a page may lead there: by https, to a host.

    >>> [to_https(url) for url in ("https://a.example/x", "http://a.example", "javascript:alert(1)", "https:")]
    ['https://a.example/x', None, None, None]
    """
    if url is None or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme == "https" and parts.hostname else None


def job_path(project: str, job_id: str) -> str:
    """The address of a job's page."""
    return f"/jobs/{quote(project, safe='')}/{quote(job_id, safe='')}"


def batch_path(project: str, batch: str) -> str:
    """The address of a batch's page. A name of dots alone, in which browsers see a way up, gets a character that
    is dropped where the name is read.

    >>> batch_path("main", "a/b 100%"), batch_path("main", "..")
    ('/batches/main/a%2Fb%20100%25', '/batches/main/%7F..')
    """
    name = batch if batch.strip(".") else f"\x7f{batch}"
    return f"/batches/{quote(project, safe='')}/{quote(name, safe='')}"


def deliveries_path(**filters: str) -> str:
    """The address of the list of deliveries with these filters."""
    return f"/deliveries?{urlencode(filters)}" if filters else "/deliveries"


def need_path(need: views.Need) -> str | None:
    """The address of the page where a person can mend it; None if there is none.

    >>> need = views.Need(kind="dead_alerts", project=None, job_id=None, channel="a&b", name=None, since=None,
    ...     until=None, text="", action="")
    >>> need_path(need)
    '/deliveries?status=dead&channel=a%26b'
    """
    if need.project is not None and need.job_id is not None:
        return job_path(need.project, need.job_id)
    if need.kind == "dead_alerts" and need.channel is not None:
        return deliveries_path(status="dead", channel=need.channel)
    if need.channel is not None:
        return "/channels"
    return None if need.project is None else "/projects"


def status_tone(status: str) -> str:
    """Which of the marks of `tone` a delivery's status gets."""
    return _STATUS_TONES.get(status, "wait")


_STATUS_TONES = {"sending": "run", "sent": "done", "held": "held", "dead": "bad", "canceled": "stop"}


def _read(at: str | datetime) -> datetime:
    return at if isinstance(at, datetime) else datetime.fromisoformat(at)
