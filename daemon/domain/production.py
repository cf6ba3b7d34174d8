"""When a job's production began and how long it took. Owns which of the service's times are credible."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from daemon.domain.samples import Sample
from daemon.domain.states import State

LONGEST = 60 * 86400 * 1_000_000
"""Microseconds. Longer production times are taken for errors in the service's times."""
SKEW = 120 * 1_000_000
"""Microseconds. How far a start may precede the creation: in the API document's own example it does so by ten
months."""
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class Producible(Protocol):
    """A job's state, since when wrapd knows it, and the service's own times as of the last transition."""

    @property
    def state(self) -> str | None:
        """None before the first answer."""

    @property
    def state_since(self) -> datetime | None:
        """When wrapd saw the job come into its state."""

    @property
    def created_at(self) -> datetime | None:
        """When the job was created."""

    @property
    def started_at(self) -> datetime | None:
        """When its production began."""


class Finished(Producible, Protocol):
    """An ended job with the service's own times."""

    @property
    def state(self) -> str:
        """Its last state."""

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""

    @property
    def reported_at(self) -> datetime | None:
        """When the service last changed it."""

    @property
    def state_since(self) -> datetime:
        """When wrapd saw the end."""

    @property
    def expected_length(self) -> float | None:
        """Its seconds of speech."""

    @property
    def blocked(self) -> bool:
        """Whether wrapd ever saw it frozen."""


class Unended(NamedTuple):
    """A job that has not ended. `key` is its project and kind, `length` its seconds of speech, `elapsed` its
    seconds in production; None if it is not in production or its start is unknown. A tuple, since a list makes
    hundreds."""

    key: tuple[str, str]
    length: float | None
    elapsed: float | None


def elapsed_of(job: Producible, now: datetime) -> float | None:
    """For how many seconds a job has been in production as of `now`; None if it is not."""
    if job.state != State.PROCESSING:
        return None
    at = (now - _EPOCH) // _MICROSECOND
    return elapsed_at(at, *map(_microseconds, (job.started_at, job.created_at, job.state_since)))


def elapsed_at(at: int, started: int | None, created: int | None, seen: int | None) -> float | None:
    """The same of a job in production by the times as stored, microseconds since 1970. `seen` is when wrapd saw it
    come into production."""
    begin = started if started is not None and is_credible(started, created, seen) else seen
    return None if begin is None else max(0.0, (at - begin) / 1e6)


def _microseconds(at: datetime | None) -> int | None:
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def production_began(
    *, started_at: datetime | None, created_at: datetime | None, by: datetime | None
) -> datetime | None:
    """When production began by the service's own times, or None where they are not credible. `by` is a moment at
    which it had begun, if one is known."""
    started, created, known = map(_microseconds, (started_at, created_at, by))
    return started_at if started is not None and is_credible(started, created, known) else None


def is_credible(started: int, created: int | None, by: int | None) -> bool:
    """Whether production began at `started`, for microseconds since 1970. A creation (`created`) before that is of
    no account; `by` is when it had begun."""
    if created is not None and started < created - SKEW:
        return False
    return by is None or -SKEW <= by - started <= LONGEST


def samples_of(jobs: Iterable[Finished]) -> list[Sample]:
    """The jobs whose production time is known, in order."""
    return [sample for sample in map(sample_of, jobs) if sample is not None]


def sample_of(job: Finished) -> Sample | None:
    """An ended job as evidence of how long production takes; None if it is none, as one that was frozen."""
    begin = production_began(started_at=job.started_at, created_at=job.created_at, by=None)
    end = job.ended_at or job.reported_at or job.state_since
    if begin is None or job.blocked or not 0 < (end - begin) // _MICROSECOND <= LONGEST:
        return None
    return Sample(
        seconds=(end - begin).total_seconds(),
        length=job.expected_length,
        failed=job.state in (State.FAILED, State.CANCELED),
        ended=job.state_since.timestamp(),
    )
