"""Where things are on a time axis, in percent of its width. Pure; the templates draw."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from daemon import views

_STEPS = (60, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 7 * 86400)
"""Seconds between two ticks, of which the first that leaves few is taken."""
_TICKS = 5
_LABEL = 12.0
"""Percent that the label of a tick takes, at its right end."""


class Tick(Struct, frozen=True, kw_only=True):
    """A mark on an axis."""

    x: float
    at: datetime


class Axis(Struct, frozen=True, kw_only=True):
    """A time axis from `start` to `end`."""

    start: datetime
    end: datetime

    def x(self, at: datetime) -> float:
        """Where a time is; what is outside is at the edge."""
        share = (at - self.start) / (self.end - self.start)
        return round(100 * min(1.0, max(0.0, share)), 2)

    def ticks(self) -> list[Tick]:
        """Round times on the axis, a handful."""
        length = (self.end - self.start).total_seconds()
        step = next((each for each in _STEPS if length / each <= _TICKS), _STEPS[-1] * (1 + length // _STEPS[-1]))
        first = -(-self.start.timestamp() // step) * step
        times = [datetime.fromtimestamp(first + n * step, self.start.tzinfo) for n in range(_TICKS + 1)]
        placed = [Tick(x=self.x(at), at=at) for at in times if at <= self.end]
        return [each for each in placed if each.x <= 100 - _LABEL]


class Bar(Struct, frozen=True, kw_only=True):
    """A running job: its range from `low` to `high`, and its median, in percent."""

    job: views.Job
    low: float
    median: float
    high: float


def bars(jobs: Sequence[views.Job], *, now: datetime) -> tuple[Axis, list[Bar]] | None:
    """The jobs that have an estimate on one axis from now on, the first to end first; None if there is none."""
    known = [(job, job.eta) for job in jobs if job.eta is not None]
    if not known:
        return None
    known.sort(key=lambda each: each[1].median_seconds)
    longest = max(eta.high_seconds for _, eta in known)
    axis = Axis(start=now, end=now + timedelta(seconds=max(60.0, longest * 1.05)))

    def x(seconds: float) -> float:
        return axis.x(now + timedelta(seconds=seconds))

    return axis, [
        Bar(job=job, low=x(eta.low_seconds), median=x(eta.median_seconds), high=x(eta.high_seconds))
        for job, eta in known
    ]


class Mark(Struct, frozen=True, kw_only=True):
    """Something that happened to a job. `row` is service (by its own times), wrapd (when it saw it) or chat (when
    a message was sent)."""

    row: str
    what: str  # a key of the texts, or a state
    at: datetime
    channel: str | None = None
    x: float = 0.0


def timeline(job: views.Job, log: views.JobLog) -> tuple[Axis, list[Mark]] | None:
    """What happened to a job, in order, on an axis of its own; None if nothing did."""
    found = [
        Mark(row="service", what=what, at=datetime.fromisoformat(at))
        for what, at in (("created", job.created_at), ("started", job.started_at), ("ended", job.ended_at))
        if at is not None
    ]
    found += [
        Mark(row="wrapd", what=each.to, at=datetime.fromisoformat(each.observed_at))
        for each in log.transitions
        if each.observed_at is not None
    ]
    found += [
        Mark(row="chat", what=each.event, at=datetime.fromisoformat(each.sent_at), channel=each.channel)
        for each in log.deliveries
        if each.sent_at is not None
    ]
    if not found:
        return None
    found.sort(key=lambda each: each.at)
    first, last = found[0].at, found[-1].at
    axis = Axis(start=first, end=max(last, first + timedelta(seconds=1)))
    return axis, [
        Mark(row=each.row, what=each.what, at=each.at, channel=each.channel, x=axis.x(each.at)) for each in found
    ]
