"""The client of one project: what others hold while its settings change.

Owns which session asks. A question ends on the session on which it began; one that was replaced is closed when its
last question has ended. Budget and gate outlive sessions, so a change of settings neither breaks the pace nor
forgets a refusal.
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
from daemon.metastudio.errors import Unavailable
from daemon.metastudio.gate import AuthGate, AuthGates
from daemon.metastudio.kinds import Kind
from daemon.metastudio.listing import Listed, ListQuery
from daemon.metastudio.session import OnRequest, Session, Shown
from daemon.metastudio.settings import ProjectSettings

__all__ = ["OnRequest", "ProjectClient", "Shown"]


class ProjectClient:
    """Asks the API about one project's jobs.

    `gates` is shared by all projects; `environ` tells the proxy where the settings name none. Raises ConfigFault
    for a proxy or CA file that cannot be used. All methods raise only ApiError (see `errors`).
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
        self.budget = budget or Budget(settings.requests_per_second, clock, after_restart=True)
        self._clock = clock
        self._gates = gates
        self._rng = rng
        self._environ = environ
        self._on_request = on_request
        self._session = self._made(settings)
        self._uses = {self._session: 0}
        """Sessions that are not closed, with how many questions are under way on each."""
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def settings(self) -> ProjectSettings:
        """The settings by which it asks now."""
        return self._session.settings

    def prepare(self, settings: ProjectSettings) -> Session | None:
        """The session for other settings, to be adopted or closed; None where the present one serves them too.
        Nothing is sent. Raises ConfigFault."""
        return None if replace(self.settings, rate=None) == replace(settings, rate=None) else self._made(settings)

    def adopt(self, settings: ProjectSettings, session: Session | None) -> None:
        """Ask by these settings from now on, by the session that `prepare` gave for them."""
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
        """What the service says of a job now."""
        return (await self.show_whole(kind, job_id, permit=permit, show_script=show_script)).observation

    async def show_whole(self, kind: Kind, job_id: JobId, *, permit: Permit, show_script: bool = False) -> Shown:
        """The same with the whole answer, for whoever wants more of it than a poll."""
        with self._used() as session:
            return await session.show_whole(kind, job_id, permit=permit, show_script=show_script)

    async def list(self, query: ListQuery, *, permit: Permit) -> Listed:
        """A page of the project's videos. A job that is missing from it may still exist: ask for it singly."""
        with self._used() as session:
            return await session.list(query, permit=permit)

    async def download_url(self, asset_id: str, *, permit: Permit, timeout: float) -> str | None:  # noqa: ASYNC109
        """The link of an asset's main file (valid 24 h); None where the endpoint offers none, or there is none.

        Takes at most `timeout` seconds, all waiting included.
        """
        with self._used() as session:
            return await session.download_url(asset_id, permit=permit, timeout=timeout)

    async def aclose(self) -> None:
        """Give up what is under way and close all connections."""
        self._closed = True
        await self.budget.aclose()
        for session in tuple(self._uses):
            await session.aclose()
        self._uses.clear()
        if self._closing:
            await asyncio.wait(self._closing)

    @contextmanager
    def _used(self) -> Iterator[Session]:
        """The session of one question, which is not closed before that has ended."""
        if self._closed:
            raise Unavailable("the project was taken out of the config")
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
