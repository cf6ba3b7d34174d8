"""Whether a project's API can be reached, decided from what its requests gave. Pure."""

from dataclasses import dataclass, field
from typing import Literal

from daemon.domain import backoff
from daemon.domain.jobs import JobId

DOWN_AFTER = 30.0
"""Seconds without any answer after which a project is down."""
DOWN_FAILURES = 3
"""Failures in a row from which on one request at a time is sent, and that it takes to be down."""
_SUSPECTS = 8
"""Different jobs that are told apart among those that failed: from two on it is no single job's trouble."""
_PROBE_BASE, _PROBE_CAP = 1.0, 30.0
"""Seconds between two probes while the project does not answer: at first, and at most."""

Change = Literal["down", "recovered"]


@dataclass(slots=True)
class ProjectHealth:
    """The circuit breaker of a project: counts failures in a row over all its requests. Moments are monotonic
    seconds."""

    failures: int = 0
    failing_since: float | None = None
    failed_at: float = 0.0
    """When the last request failed."""
    down: bool = False
    paused_until: float = 0.0
    """Nothing is sent before this."""
    lone: JobId | None = None
    """The one job that all failures in a row were about, while there are others to ask: it may be that job's
    trouble, so another one is asked before anything is said of the project."""
    _about: set[JobId | None] = field(default_factory=set)
    _probes: int = 0

    @property
    def probing(self) -> bool:
        """Whether requests go one at a time: the API does not answer."""
        return self.down or self.failures >= DOWN_FAILURES

    def begin_anew(self) -> None:
        """What was at fault may be mended: a probe may go now. Whether the project is down shows by its answer."""
        self.paused_until, self.failed_at, self._probes = 0.0, 0.0, 0

    def succeeded(self) -> Change | None:
        """Note a usable answer (one that says no such job is one)."""
        was_down, self.failures, self.failing_since, self.down = self.down, 0, None, False
        self._probes, self.paused_until, self.lone = 0, 0.0, None
        self._about.clear()
        return "recovered" if was_down else None

    def failed(
        self,
        now: float,
        *,
        spread: float,
        at_once: bool = False,
        about: JobId | None = None,
        others: bool = False,
    ) -> Change | None:
        """Note a request without a usable answer. `spread` is a random number in [0, 1).

        `at_once`: no further request makes sense for now, whatever came before (the project is at fault).
        `about` is the one job that was asked about, if it was one; `others`: there are more to ask.
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
        if (self.probing or at_once) and now >= self.paused_until:  # those that were under way count once
            self._probes += 1
            gap = backoff.delay(self._probes, base=_PROBE_BASE, cap=_PROBE_CAP, spread=spread)
            self.paused_until = now + gap
        if self.down or self.failures < DOWN_FAILURES or now - self.failing_since < DOWN_AFTER:
            return None
        self.down = True
        return "down"


_PATIENT, _LIMIT = 2, 3
"""Refusals in a row that show that it is the credentials that are refused: where the second was of a question that
had been answered before, or the gateway refuses it, which looks at the credentials alone, and it was about another
job or there is but one; and in any case."""


@dataclass(slots=True)
class CredentialRefusals:
    """Whether it is the credentials that the service refuses, or one question."""

    told: bool = False
    """The credentials are refused, and somebody was told."""
    about: set[JobId] = field(default_factory=set)
    """The jobs of the refused questions since the last good answer."""
    _count: int = 0
    _since: float = 0.0

    @property
    def open(self) -> bool:
        """Whether a refusal waits for what another question brings."""
        return self._count > 0

    def answered(self) -> bool:
        """Note an answer: the credentials work. True where it had been told that they do not."""
        told, self.told, self._count = self.told, False, 0
        self.about.clear()
        return told

    def refused(
        self,
        about: JobId | None,
        *,
        began: float,
        now: float,
        by_service: bool,
        worked: bool,
        alone: bool,
    ) -> bool:
        """Note a refusal; `about` is the job that was asked about, if it was one. `by_service`: the gateway had
        let it pass. `worked`: the same question had an answer before. `alone`: there is nothing else to ask.
        What was under way (`began`) when the first refusal came counts with that one. True where it is to be told
        now."""
        another = bool(self.about) and about not in self.about
        if self._count == 0:
            self._since = now
        if self._count == 0 or began > self._since:
            self._count += 1
        if about is not None and len(self.about) < _SUSPECTS:
            self.about.add(about)
        sure = (another and worked) or ((alone or another) and not by_service) or not self.about
        if self.told or self._count < (_PATIENT if sure else _LIMIT):
            return False
        self.told = True
        return True


@dataclass(slots=True)
class Overload:
    """Whether jobs wait longer for their turn than they should, for long enough to tell somebody."""

    limit: float
    """Seconds of lateness that are too much."""
    patience: float
    """Seconds for which it must last."""
    late_since: float | None = None
    told: bool = False

    def note(self, lateness: float, now: float) -> bool:
        """Note how late the most overdue job is (seconds). True once for each time that it lasts."""
        if lateness <= self.limit:
            self.late_since = None
            self.told = self.told and lateness > self.limit / 2
            return False
        if self.late_since is None:
            self.late_since = now
        if self.told or now - self.late_since < self.patience:
            return False
        self.told = True
        return True


@dataclass(slots=True)
class Progress:
    """Whether a project's watch gets on. Moments are monotonic seconds."""

    at: float
    """When it last did."""
    moved: float
    """The same, with errors of wrapd's own: a project that has not moved for long hangs."""
    broken: bool = False
    """An error of wrapd's own came since: rest is no progress then."""

    def made(self, now: float) -> None:
        """Note that a question ended with an answer or a foreseen error."""
        self.at = self.moved = now
        self.broken = False

    def broke(self, now: float) -> None:
        """Note an error of wrapd's own: until a question ends otherwise, nothing is progress."""
        self.moved, self.broken = now, True

    def rested(self, now: float) -> None:
        """Note that there is no question now, by rule."""
        self.moved = now
        if not self.broken:
            self.at = now
