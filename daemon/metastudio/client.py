"""The client of one project, which stays the same object while its settings change.

Owns the choice of session. A request ends on the session on which it began, and a replaced session is closed after
its last request. Budget and gate outlive sessions, so a change of settings keeps the rate and remembers refusals.
"""

import asyncio
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from daemon.clock import Clock
from daemon.domain.jobs import JobId, Observation
from daemon.metastudio.budget import Budget, Permit
from daemon.metastudio.errors import ProjectPaused, Unavailable
from daemon.metastudio.gate import AuthGate, AuthGates
from daemon.metastudio.kinds import Kind
from daemon.metastudio.listing import Listed, ListQuery
from daemon.metastudio.session import OnRequest, Session, Shown
from daemon.metastudio.settings import ProjectSettings

__all__ = ["OnRequest", "ProjectClient", "Shown"]


class ProjectClient:
    """Queries the API about one project's jobs.

    `gates` is shared by all projects; `environ` gives the proxy if the settings name none. Raises ConfigFault for
    an unusable proxy or CA file. All requests raise only ApiError (see `errors`).
    """

    def __init__(
        self,
        settings: ProjectSettings,
        *,
        clock: Clock,
        gates: AuthGates,
        rng: random.Random,
        environ: Mapping[str, str] = os.environ,
        on_request: OnRequest | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.paused = False
        """Whether a person has paused the project: then no request is sent, and each raises ProjectPaused."""
        self.budget = budget or Budget(settings.requests_per_second, clock, after_restart=True)
        self._clock = clock
        self._gates = gates
        self._rng = rng
        self._environ = environ
        self._on_request = on_request
        self._session = self._made(settings)
        self._uses = {self._session: 0}
        """Open sessions, with the number of requests in progress on each."""
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def settings(self) -> ProjectSettings:
        """The current settings."""
        return self._session.settings

    def prepare(self, settings: ProjectSettings) -> Session | None:
        """Create the session for new settings, to be adopted or closed; None if the present one will do. Sends
        nothing. Raises ConfigFault."""
        return None if replace(self.settings, rate=None) == replace(settings, rate=None) else self._made(settings)

    def adopt(self, settings: ProjectSettings, session: Session | None) -> None:
        """Use `settings` from now on, with the result of `prepare` for them."""
        old = self.settings
        self.budget.set_rate(settings.requests_per_second)
        if session is None:
            self._session.settings = settings
            return
        if old.auth != settings.auth and self._gate(old) is self._gate(settings):
            self._gate(settings).renewed()
        before, self._session = self._session, session
        self._uses[session] = 0
        self._close_unused(before)

    async def show(self, kind: Kind, job_id: JobId, *, permit: Permit, show_script: bool = False) -> Observation:
        """Query a job."""
        return (await self.show_whole(kind, job_id, permit=permit, show_script=show_script)).observation

    async def show_whole(self, kind: Kind, job_id: JobId, *, permit: Permit, show_script: bool = False) -> Shown:
        """Query a job and return the complete answer."""
        with self._used() as session:
            return await session.show_whole(kind, job_id, permit=permit, show_script=show_script)

    async def list(self, query: ListQuery, *, permit: Permit) -> Listed:
        """Query a page of the project's videos. A job missing from it may still exist: query it singly."""
        with self._used() as session:
            return await session.list(query, permit=permit)

    async def download_url(self, asset_id: str, *, permit: Permit, timeout: float) -> str | None:  # noqa: ASYNC109
        """Query the link (valid 24 h) of an asset's main file; None if it has none or the endpoint offers none.

        Takes at most `timeout` seconds, including all waiting.
        """
        with self._used() as session:
            return await session.download_url(asset_id, permit=permit, timeout=timeout)

    async def aclose(self) -> None:
        """Cancel all requests and close all connections."""
        self._closed = True
        await self.budget.aclose()
        for session in tuple(self._uses):
            await session.aclose()
        self._uses.clear()
        if self._closing:
            await asyncio.wait(self._closing)

    @contextmanager
    def _used(self) -> Iterator[Session]:
        """The session for one request, which keeps it open until the request ends."""
        if self._closed:
            raise Unavailable("the project was removed from the config")
        if self.paused:
            raise ProjectPaused("the project is paused", until=self._clock.monotonic(), retry_after=0.0)
        session = self._session
        self._uses[session] += 1
        try:
            yield session
        finally:
            if session in self._uses:
                self._uses[session] -= 1
                self._close_unused(session)

    def _close_unused(self, session: Session) -> None:
        if session is not self._session and self._uses[session] == 0:
            del self._uses[session]
            task = asyncio.get_running_loop().create_task(session.aclose(), name="close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _made(self, settings: ProjectSettings) -> Session:
        return Session(
            settings,
            clock=self._clock,
            gate=self._gate(settings),
            rng=self._rng,
            environ=self._environ,
            on_request=self._on_request,
            budget=self.budget,
        )

    def _gate(self, settings: ProjectSettings) -> AuthGate:
        return self._gates.of(settings.auth, place=settings.iam_url or "")
