"""Protection against locked credentials: after a refusal only single, spaced probes are sent.

Owns the state of one key pair (or token, or user) across all projects that use it. More than 5 consecutive
failures lock a key pair for 5 minutes (public documentation). A gate allows at most 3 in any 5 minutes.

It cannot recall requests already on the wire when the first refusal arrives. While credentials are unproven (at
the start, after a token was renewed) a single request is sent and the others wait for its result, so this affects
only keys revoked while in use.
"""

import asyncio
import hashlib
from collections import deque
from datetime import datetime, timedelta
from typing import assert_never

from daemon.clock import Clock
from daemon.logs import LogEvent, logger
from daemon.metastudio.errors import AuthPaused
from daemon.metastudio.settings import AkSk, Auth, GivenToken, Password

log = logger(__name__)

LIMIT = 3
"""Maximum number of consecutive failures within the window."""
WINDOW = 300.0
"""Seconds. The gate waits one more, so that rounding of clocks cannot admit a fourth failure."""
_FIRST_PROBE = 2.0
"""Seconds from the first refusal of a key that never worked to the probe that tells a temporary fault from a wrong
key. For a key that worked until then the probe may go at once."""
_AFTER_AT_ONCE = 20.0
"""Seconds from the refusal of an immediate probe to the next one: a temporary fault may be over by then."""
_NEXT_PROBES = 100.0
"""Seconds between later probes: three fill the window."""
_NO_VERDICT = 1.0
"""Seconds to wait after a probe whose answer says nothing about the credentials."""
SKEW = timedelta(minutes=5)
"""Clock difference above which a refusal may be due to the clock (the service refuses from 15 minutes on)."""


class Pass:
    """Permission to send one request. A probe's result decides for all waiting callers."""

    __slots__ = ("generation", "probe")

    def __init__(self, generation: int, *, probe: bool) -> None:
        self.generation = generation
        self.probe = probe


class AuthGate:
    """One key pair's gate. Callers report `accepted`, `refused` or `unclear` for each pass and then `release` it.

    `name` appears in logs and contains no secret. `skew`, for signing, is the service's clock minus this
    machine's.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.skew = timedelta(0)
        self._clock = clock
        self._open = False
        self._pass = Pass(0, probe=False)
        self._generation = 0
        self._proven = 0
        self._failures: deque[float] = deque(maxlen=LIMIT)
        self._next_probe = 0.0
        self._probe: asyncio.Event | None = None
        self._sent = 0
        self._accepted_last = self._refused_last = 0
        self._immediate = False
        """Whether the next probe may go at once, within the limit: the refused key had worked until then."""
        self._was_immediate = False
        """Whether the probe in progress went at once."""

    @property
    def open_pass(self) -> Pass | None:
        """An immediate pass if the credentials are known to work, else None: call `enter`."""
        return self._pass if self._open else None

    async def enter(self, *, at_once: bool = False) -> Pass:
        """Get a pass, after the result of any probe in progress. `at_once` ignores the spacing, as the cause of
        the refusal is fixed, but keeps the limit. Raises AuthPaused."""
        if self._probe is not None and not self._open:
            await self._probe.wait()
        if self._open:
            return self._pass
        if self._probe is not None:  # another waiting caller was faster
            raise self._paused(self._clock.monotonic() + _NO_VERDICT)
        until = self._shut_until(at_once=at_once)
        if self._clock.monotonic() < until:
            raise self._paused(until)
        self._probe = asyncio.Event()
        self._was_immediate, self._immediate = self._immediate, False
        return Pass(self._generation, probe=True)

    def sent(self) -> int:
        """The sequence number of a request that is about to be sent, for its result."""
        self._sent += 1
        return self._sent

    def accepted(self, given: Pass, sent: int = 0) -> None:
        """The answer shows that the credentials work."""
        self._accepted_last = max(self._accepted_last, sent)
        later = 0 < self._refused_last < sent  # sent after every refused request: those did not concern the key
        if self._open or (given.generation != self._generation and not later):
            return  # already known, or sent before the refusal, so it proves nothing about now
        self._open = True
        self._failures.clear()
        self._generation += 1
        self._proven = self._generation
        self._pass = Pass(self._generation, probe=False)

    def refused(self, given: Pass, sent: int = 0) -> bool:
        """The service refused the credentials. Returns False, and counts nothing, if it accepted them for a
        request that was sent later: the refusal then concerns this request only."""
        if 0 < sent < self._accepted_last:
            return False
        self._refused_last = max(self._refused_last, sent)
        if given.generation >= self._proven:  # otherwise a later request was accepted in the meantime
            self.count_refusal()
        return True

    def unclear(self, given: Pass) -> None:
        """The request was sent, and its result says nothing about the credentials."""
        if given.probe:
            self._next_probe = max(self._next_probe, self._clock.monotonic() + _NO_VERDICT)

    def count_refusal(self) -> None:
        """Count a refusal without a pass (IAM refused a password)."""
        worked = self._open
        self.doubt()
        now = self._clock.monotonic()
        self._failures.append(now)
        # The refusal may concern this request only, which another one will show at once.
        self._immediate = self._immediate or worked
        gap = _AFTER_AT_ONCE if self._was_immediate else _NEXT_PROBES
        self._next_probe = now + (_FIRST_PROBE if len(self._failures) == 1 else gap)
        self._was_immediate = False
        wait = round(max(0.0, self._shut_until(at_once=False) - now), 1)
        log.warning(LogEvent.AUTH_PAUSED, key=self.name, failures=len(self._failures), seconds=wait)

    def doubt(self) -> None:
        """The credentials are new or in doubt: the next request goes alone."""
        if self._open:
            self._open = False
            self._generation += 1

    def renewed(self) -> None:
        """The credentials were replaced under the same name: the next request goes alone, and at once if
        allowed."""
        self.doubt()
        self._immediate = True

    def release(self, given: Pass) -> None:
        """The request has ended, with any result."""
        if given.probe and self._probe is not None:
            given.probe = False
            self._probe.set()
            self._probe = None

    def learn_skew(self, service_time: datetime | None) -> None:
        """Adopt the service's clock if a refusal shows that this machine's is off by more than 5 minutes."""
        now = self._clock.now()
        if service_time is None:
            return
        if abs(service_time - (now + self.skew)) > SKEW:
            self.skew = service_time - now
            log.warning(LogEvent.CLOCK_SKEWED, key=self.name, seconds=round(self.skew.total_seconds()))

    def _shut_until(self, *, at_once: bool) -> float:
        now = self._clock.monotonic()
        while self._failures and now >= self._failures[0] + WINDOW + 1:
            self._failures.popleft()
        limit = self._failures[0] + WINDOW + 1 if len(self._failures) == LIMIT else 0.0
        return limit if at_once or self._immediate else max(limit, self._next_probe)

    def _paused(self, until: float) -> AuthPaused:
        wait = max(until - self._clock.monotonic(), 0.0)
        refused, unverified = "the credentials were refused recently", "the credentials have not been verified yet"
        text = f"{refused if self._failures else unverified}; the next request can be sent in {wait:.0f} s"
        return AuthPaused(text, until=until, retry_after=wait)


class AuthGates:
    """The gates of all key pairs; projects with the same key share one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gates: dict[tuple[str, ...], AuthGate] = {}

    def of(self, auth: Auth, *, place: str = "") -> AuthGate:
        """The gate of `auth`; `place` (the IAM endpoint) distinguishes users of the same name."""
        key = _identity(auth, place)
        if key not in self._gates:
            self._gates[key] = AuthGate(key[1], self._clock)
        return self._gates[key]


def _identity(auth: Auth, place: str) -> tuple[str, ...]:
    """A key for the credentials. Its second part appears in logs: a fingerprint or names, never a secret."""
    match auth:
        case AkSk():
            return ("aksk", f"key {_fingerprint(auth.access_key)}", auth.access_key)
        case GivenToken():
            return ("token", f"token {_fingerprint(auth.token)}")
        case Password():
            return ("password", f"user {auth.user} of {auth.domain}", place)
        case _:
            assert_never(auth)


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
