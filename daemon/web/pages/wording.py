"""What the pages say: the texts that a language must provide, and how times, lengths and names are written. Pure.

The `{names}` of a text are the same in all languages; a test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from urllib.parse import quote, urlencode, urlsplit

from msgspec import Struct

from daemon import views
from daemon.domain.text import in_zone, offset

_LONGEST = 3650 * 86400.0
"""Seconds from which a length is not told exactly: numbers from outside can be anything."""


class Texts(Struct, frozen=True, kw_only=True):
    """All texts of one language."""

    date: str  # {day} {month} {time}
    dated: str  # {year} {day} {month} {time}
    months: tuple[str, ...]
    units: tuple[str, str, str, str]  # day, hour, minute, second
    moment: str  # a length below a second
    ages: str  # a length that cannot be real

    skip: str
    sections: str
    overview: str
    jobs: str
    account: str
    as_of: str  # {time}
    zone: str  # {zone}
    live: str
    reconnecting: str
    paused: str
    pause: str
    go_on: str
    changes: str  # {n}

    login: str
    login_token: str
    login_hint: str
    login_refused: str
    login_once_hint: str
    login_over: str
    login_unsafe: str
    logout: str
    trouble: str
    back: str

    may: str  # {scope}
    scopes: Mapping[str, str]
    sessions: str
    session: str
    begun: str
    last_seen: str
    ends: str
    this_session: str
    end_session: str
    token: str
    token_hint: str
    revoke_token: str
    no_token: str
    never: str

    states: Mapping[str, str]
    trackings: Mapping[str, str]
    kinds: Mapping[str, str]
    new: str

    title_needs: str  # {n}
    needs: str
    needs_none: str
    needs_more: str  # {n}
    since: str  # {time}
    until: str  # {time}
    by_command: str
    look: str
    ask: str
    seen: str
    running: str
    running_none: str
    all_of_them: str  # {n}
    range: str  # {median} {high}
    range_short: str  # {median} {high}
    no_range: str
    today: str
    today_hint: str
    finished: str
    failed: str
    canceled: str
    production: str
    usual: str  # {length}
    batches: str
    batches_none: str
    batch_of: str  # {ended} {jobs}
    all_batches: str
    batch_band: str  # {band}
    batch_jobs: str
    ways: Mapping[str, str]  # how jobs of a batch ended that did not succeed; {n}
    none_batches: str
    none_fit_batches: str
    next_batches: str
    first_batches: str
    rest_of_wall: str
    first_of_wall: str
    share: str
    share_hint: str
    share_make: str
    share_until: str  # {time} {who}
    share_end: str
    shared: str
    shared_once: str
    share_days: Mapping[int, str]
    share_ends: str  # {time}
    share_closed: str
    share_gone: str
    share_over: str
    share_away: str
    reload: str
    unnamed: str
    itself: str
    project: str
    state: str
    tracked: str
    late: str
    budget: str
    feed: str
    channel: str
    sent: str
    waiting: str
    held: str
    dead: str
    filters: str
    all_jobs: str
    search: str
    search_hint: str
    any_project: str
    batch: str
    tag: str
    apply: str
    clear: str
    as_table: str
    as_wall: str
    job: str
    cover: str
    ends_at: str
    length: str
    none_fit: str
    none_yet: str
    searched: str  # {n}
    next_page: str
    first_page: str
    no_cover: str
    watch: str
    download: str
    copy: str
    copied: str
    link: str
    note: str
    note_hint: str
    keep: str
    mute: str
    mute_for: str
    mute_why: str
    unmute: str
    muted_until: str  # {time} {why} {who}
    timeline: str
    timeline_hint: str  # {first} {last}
    of_service: str
    of_wrapd: str
    of_chat: str
    created: str
    started: str
    ended: str
    alerts: str
    alerts_none: str
    attempts: str
    retry: str
    polling: str
    never_polled: str
    polls: str  # {n} {time}
    next_poll: str  # {time}
    details: str
    id: str
    kind: str
    tags: str
    reported: str
    acts: str
    done: Mapping[str, str]
    more_filters: str
    any_kind: str
    changed_since: str
    any_time: str
    or_day: str
    sort: str
    sorts: Mapping[str, str]
    periods: Mapping[str, str]
    choose: str
    with_jobs: str
    the_chosen: str
    all_fit: str
    all_that_fit: str  # {n}
    bulk: Mapping[str, str]
    bulk_count: Mapping[str, str]  # {n}
    bulk_none: Mapping[str, str]
    bulk_done: Mapping[str, str]  # {n}
    bulk_changed: str  # {before} {now}
    cancel: str
    to_jobs: str
    last_answer: str
    need_acts: Mapping[str, str]
    chips: Mapping[str, str]
    statuses: Mapping[str, str]
    project_states: Mapping[str, str]
    feeds: Mapping[str, str]
    events: Mapping[str, str]
    hours: Mapping[int, str]
    day: str  # {day} {month}
    stats: str
    stats_span: str
    stats_days: str  # {n}
    stats_none: str  # {n}
    stats_total: str
    stats_mean: str
    stats_ends: str
    stats_ends_hint: str
    stats_ends_desc: str  # {n} {first} {last} {most}
    stats_rate: str
    stats_rate_hint: str
    stats_rate_desc: str  # {rate}
    stats_kinds: str
    stats_kinds_hint: str  # {n}
    stats_half: str
    stats_most: str
    stats_law_half: str
    stats_law_most: str
    stats_seen: str
    stats_seen_hint: str  # {n} {median} {high}
    stats_within: str
    stats_projects: str
    stats_day: str
    stats_numbers: str
    errors: Mapping[str, str]  # by key or status, in place of the text of an `HttpError`, which is English
    no_etas: Mapping[str, str]  # why a job has no estimate
    need_reason: str  # {reason}
    need_texts: Mapping[str, str]  # by kind, in place of the sentence of `views.Need`, which is English
    reasons: Mapping[str, str]  # why a job is asked about at that time

    deliveries: str
    channels: str
    projects: str
    alert: str
    next_try: str
    change: str
    again_of: str  # {n}
    now: str
    any_channel: str
    id_of_job: str
    deliveries_search: str
    deliveries_none: str
    deliveries_none_fit: str
    deliveries_searched: str  # {n}
    older_deliveries: str
    latest_deliveries: str
    with_others: str  # {n}
    repeated: str
    acts_on: Mapping[str, str]
    retry_fitting: str  # {n}
    retry_those: str
    retry_title: str  # {n}
    retry_what: str
    retry_other: str  # {n} {expected}
    retry_many: str  # {n}
    retry_none: str
    retry_go: str  # {n}
    to_list: str
    retried_many: str  # {n}
    accepts: str
    refuses: str
    last_sent: str
    test: str
    release: str
    released: str  # {channel}
    channels_none: str
    test_of: str  # {channel}
    test_sent: str  # {length}
    test_held: str  # {n}
    test_refused: str
    to_channels: str
    requests: str
    requests_of: Mapping[str, str]
    requests_hint: str
    at_most: str  # {rate}
    used: str  # {percent}
    credentials: str
    credentials_good: str
    credentials_refused: str
    credentials_unknown: str
    paused_by: str  # {time} {who}
    pause_project: str
    resume_project: str
    projects_none: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
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
