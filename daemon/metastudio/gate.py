"""The rule that keeps credentials from being locked: after a refusal only single, spaced probes.

Owns what is known of one key pair (or token, or user) over all projects that use it. More than 5 consecutive
failures lock a key pair for 5 minutes (public documentation); a gate lets at most 3 happen in any 5 minutes.

What it cannot do: call back requests that are already on the wire when the first refusal comes. As long as
credentials are unproven (at the start, after a renewed token) only one request goes, and the others wait for its
verdict; so this concerns only keys that are revoked while they are in use.
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
"""Failures in a row that may happen within the window."""
WINDOW = 300.0
"""Seconds; one more is waited, so that no clock's rounding makes a fourth."""
_FIRST_PROBE = 2.0
"""Seconds from the first refusal of a key that never worked to the probe that tells a passing fault from a wrong
key. Where it worked until then the probe may go at once."""
_AFTER_AT_ONCE = 20.0
"""Seconds from the refusal of a probe that went at once to the next: a passing fault may be over by then."""
_NEXT_PROBES = 100.0
"""Seconds between later probes: three fill the window."""
_NO_VERDICT = 1.0
"""Seconds to wait after a probe whose answer said nothing of the credentials."""
SKEW = timedelta(minutes=5)
"""Difference of clocks from which a refusal may be the clock's fault (the service refuses from 15 minutes on)."""


class Pass:
    """Leave to send one request. A probe's verdict decides for all who wait."""

    __slots__ = ("generation", "probe")

    def __init__(self, generation: int, *, probe: bool) -> None:
        self.generation = generation
        self.probe = probe


class AuthGate:
    """One key pair's gate. Every pass ends with `release`; before it, `accepted` or `refused` where the answer
    tells, or `unclear`. `name` shows in log lines: never a secret.

    `skew` is the service's clock minus this machine's, as far as it must be corrected when signing.
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
        self._spare = False
        """A key that worked until now is refused: the next probe goes at once, if the limit allows one."""
        self._at_once = False
        """The probe under way went at once."""

    @property
    def open_pass(self) -> Pass | None:
        """A pass at once where the credentials are known to work; None: `enter` decides."""
        return self._pass if self._open else None

    async def enter(self, *, at_once: bool = False) -> Pass:
        """A pass; waits for the verdict of a probe that is under way. `at_once` does not wait out the spacing (the
        cause of the refusal is mended), but keeps the limit. Raises AuthPaused."""
        if self._open:
            return self._pass
        if await self._verdict():
            return self._pass
        if self._probe is not None:  # another one who waited is faster
            raise self._paused(self._clock.monotonic() + _NO_VERDICT)
        until = self._shut_until(at_once=at_once)
        if self._clock.monotonic() < until:
            raise self._paused(until)
        self._probe = asyncio.Event()
        self._at_once, self._spare = self._spare, False
        return Pass(self._generation, probe=True)

    async def _verdict(self) -> bool:
        """Wait for the probe under way, if any; whether it opened the gate."""
        if self._probe is not None:
            await self._probe.wait()
        return self._open

    def sent(self) -> int:
        """A request is about to go out: its place in the order of all of them, for its verdict."""
        self._sent += 1
        return self._sent

    def accepted(self, given: Pass, sent: int = 0) -> None:
        """The answer shows that the credentials work."""
        self._accepted_last = max(self._accepted_last, sent)
        later = 0 < self._refused_last < sent  # than all that was refused: those refusals were not the key's
        if self._open or (given.generation != self._generation and not later):
            return  # known already; or sent before the refusal: it proves nothing of now
        self._open = True
        self._failures.clear()
        self._generation += 1
        self._proven = self._generation
        self._pass = Pass(self._generation, probe=False)

    def refused(self, given: Pass, sent: int = 0) -> bool:
        """The service refused the credentials. False where it accepted them for a request that was sent later:
        this refusal is about what was asked for, and counts nothing."""
        if 0 < sent < self._accepted_last:
            return False
        self._refused_last = max(self._refused_last, sent)
        if given.generation >= self._proven:  # else a later request was accepted meanwhile
            self.count_refusal()
        return True

    def unclear(self, given: Pass) -> None:
        """The request went out, and nothing tells whether the credentials work."""
        if given.probe:
            self._next_probe = max(self._next_probe, self._clock.monotonic() + _NO_VERDICT)

    def count_refusal(self) -> None:
        """Count a refusal that no pass stands for (IAM's, of a password)."""
        worked = self._open
        self.doubt()
        now = self._clock.monotonic()
        self._failures.append(now)
        self._spare = self._spare or worked  # it may be about what was asked for: another question tells
        gap = _AFTER_AT_ONCE if self._at_once else _NEXT_PROBES
        self._next_probe = now + (_FIRST_PROBE if len(self._failures) == 1 else gap)
        self._at_once = False
        wait = round(max(0.0, self._shut_until(at_once=False) - now), 1)
        log.warning(LogEvent.AUTH_PAUSED, key=self.name, failures=len(self._failures), seconds=wait)

    def doubt(self) -> None:
        """The credentials are new, or in question: the next request goes alone."""
        if self._open:
            self._open = False
            self._generation += 1

    def renewed(self) -> None:
        """A person has put other credentials in their place under the same name: the next request goes alone, and
        at once if the limit allows one."""
        self.doubt()
        self._spare = True

    def release(self, given: Pass) -> None:
        """The request has ended, in whatever way."""
        if given.probe and self._probe is not None:
            given.probe = False
            self._probe.set()
            self._probe = None

    def learn_skew(self, service_time: datetime | None) -> None:
        """Take over the service's clock if a refusal shows that this machine's is off by more than 5 minutes."""
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
        return limit if at_once or self._spare else max(limit, self._next_probe)

    def _paused(self, until: float) -> AuthPaused:
        wait = max(until - self._clock.monotonic(), 0.0)
        why = "the credentials were refused lately" if self._failures else "the credentials are not proven yet"
        return AuthPaused(f"{why}; nothing is sent for {wait:.0f} s", until=until, retry_after=wait)


class AuthGates:
    """The gates of all key pairs: projects with the same key share one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gates: dict[tuple[str, ...], AuthGate] = {}

    def of(self, auth: Auth, *, place: str = "") -> AuthGate:
        """The gate of `auth`; `place` (the IAM endpoint) tells users of the same name apart."""
        key = _identity(auth, place)
        if key not in self._gates:
            self._gates[key] = AuthGate(key[1], self._clock)
        return self._gates[key]


def _identity(auth: Auth, place: str) -> tuple[str, ...]:
    """What names the credentials. The second part shows in logs: a fingerprint, or names, never a secret."""
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
