"""Whether a project's API can be reached, judged by the results of its requests. Pure."""

from dataclasses import dataclass, field
from typing import Literal

from daemon.domain import backoff
from daemon.domain.jobs import JobId

DOWN_AFTER = 30.0
"""Seconds without any answer after which a project counts as down."""
DOWN_FAILURES = 3
"""Consecutive failures before requests go one at a time, and before the project may count as down."""
_SUSPECTS = 8
"""Most failed jobs that are told apart. Two are enough to show that the trouble is not about a single job."""
_PROBE_BASE, _PROBE_CAP = 1.0, 30.0
"""Seconds between two probes while the project does not answer: at first, and at most."""

Change = Literal["down", "recovered"]


@dataclass(slots=True)
class ProjectHealth:
    """A project's circuit breaker over all its requests. Moments are monotonic seconds."""

    failures: int = 0
    failing_since: float | None = None
    failed_at: float = 0.0
    """When the last request failed."""
    down: bool = False
    paused_until: float = 0.0
    """Nothing is sent before this."""
    lone: JobId | None = None
    """The one job that all consecutive failures were about, while there are others to query. The trouble may be
    that job's own, so another job is queried before the project is judged."""
    _about: set[JobId | None] = field(default_factory=set)
    _probes: int = 0

    @property
    def probing(self) -> bool:
        """Whether requests go one at a time because the API does not answer."""
        return self.down or self.failures >= DOWN_FAILURES

    def begin_anew(self) -> None:
        """Allow a probe at once: the cause may be fixed. Only an answer changes whether the project is down."""
        self.paused_until, self.failed_at, self._probes = 0.0, 0.0, 0

    def succeeded(self) -> Change | None:
        """Note a usable answer ("no such job" is one too)."""
        was_down, self.failures, self.failing_since, self.down = self.down, 0, None, False
        self._probes, self.paused_until, self.lone = 0, 0.0, None
        self._about.clear()
        return "recovered" if was_down else None

    def failed(
        self, now: float, *, spread: float, at_once: bool = False, about: JobId | None = None, others: bool = False
    ) -> Change | None:
        """Note a request without a usable answer. `spread` is a random number in [0, 1).

        `at_once`: the project itself is at fault, so further requests make no sense for now. `about`: the job
        queried, if it was one. `others`: there are more jobs to query.
        """
        self.failures += 1
        self.failed_at = now
        if len(self._about) < _SUSPECTS:
            self._about.add(about)
        self.lone = about if others and not self.down and self._about == {about} else None
        if self.lone is not None:
            return None
        if self.failing_since is None:
            self.failing_since = now
        if (self.probing or at_once) and now >= self.paused_until:  # failures of concurrent requests count once
            self._probes += 1
            gap = backoff.delay(self._probes, base=_PROBE_BASE, cap=_PROBE_CAP, spread=spread)
            self.paused_until = now + gap
        if self.down or self.failures < DOWN_FAILURES or now - self.failing_since < DOWN_AFTER:
            return None
        self.down = True
        return "down"


_PATIENT, _LIMIT = 2, 3
"""Consecutive refusals after which the credentials count as refused. The lower number is enough if the second
refusal is about another job than the first, or there is only one job, and one of these holds: the same query was
answered before, or the gateway refused it, which checks nothing but credentials. Otherwise the higher one."""


@dataclass(slots=True)
class CredentialRefusals:
    """Whether the service refuses the credentials or just one query."""

    reported: bool = False
    """Whether the credentials are refused and that was reported."""
    about: set[JobId] = field(default_factory=set)
    """The jobs of refused queries since the last good answer."""
    _count: int = 0
    _since: float = 0.0

    @property
    def reported_since(self) -> float | None:
        """Since when the credentials are refused, if that was reported."""
        return self._since if self.reported else None

    @property
    def open(self) -> bool:
        """Whether a refusal is waiting for the result of another query."""
        return self._count > 0

    def answered(self) -> bool:
        """Note an answer: the credentials work. Returns whether their refusal had been reported."""
        reported, self.reported, self._count = self.reported, False, 0
        self.about.clear()
        return reported

    def refused(
        self, about: JobId | None, *, began: float, now: float, by_service: bool, worked: bool, alone: bool
    ) -> bool:
        """Note a refusal and return whether to report it now. `about`: the job queried, if it was one.
        `by_service`: the gateway had accepted the request. `worked`: the same query was answered before. `alone`:
        there is nothing else to query. Queries already under way (`began`) at the first refusal count together
        with it."""
        another = bool(self.about) and about not in self.about
        if self._count == 0:
            self._since = now
        if self._count == 0 or began > self._since:
            self._count += 1
        if about is not None and len(self.about) < _SUSPECTS:
            self.about.add(about)
        sure = (another and worked) or ((alone or another) and not by_service) or not self.about
        if self.reported or self._count < (_PATIENT if sure else _LIMIT):
            return False
        self.reported = True
        return True


@dataclass(slots=True)
class Overload:
    """Whether jobs have been later than they should be for long enough to notify the operators."""

    limit: float
    """Seconds of lateness that are too much."""
    patience: float
    """Seconds for which it must last."""
    late_since: float | None = None
    reported: bool = False

    def note(self, lateness: float, now: float) -> bool:
        """Note by how many seconds the most overdue job is late. Returns True once per overload."""
        if lateness <= self.limit:
            self.late_since = None
            self.reported = self.reported and lateness > self.limit / 2
            return False
        if self.late_since is None:
            self.late_since = now
        if self.reported or now - self.late_since < self.patience:
            return False
        self.reported = True
        return True


@dataclass(slots=True)
class Progress:
    """Whether a project's watch makes progress. Moments are monotonic seconds."""

    at: float
    """When it last made progress."""
    moved: float
    """The same, counting internal errors too: a project that has not moved for long hangs."""
    broken: bool = False
    """Whether an internal error came since: then resting does not count as progress."""

    def made(self, now: float) -> None:
        """Note that a query ended with an answer or an expected error."""
        self.at = self.moved = now
        self.broken = False

    def broke(self, now: float) -> None:
        """Note an internal error: nothing counts as progress until a query ends otherwise."""
        self.moved, self.broken = now, True

    def rested(self, now: float) -> None:
        """Note that no query is due or allowed at the moment."""
        self.moved = now
        if not self.broken:
            self.at = now
