"""The simulator: its parts put together, its life, and what a test may ask of it.

Owns the listening socket and the control interface as methods; `control` offers the same over HTTP.
"""

import asyncio
import gc
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from aiohttp import web

from daemon.sim import control_http as control
from daemon.sim.answers import Answers
from daemon.sim.api import Api
from daemon.sim.book import Book
from daemon.sim.callbacks import Callbacks
from daemon.sim.faults import Faults, Option
from daemon.sim.front import Front
from daemon.sim.iam import Iam
from daemon.sim.jobs import Job
from daemon.sim.links import Links
from daemon.sim.orders import JobOrder, read_order
from daemon.sim.plans import Step
from daemon.sim.settings import SettledSettings, SimSettings
from daemon.sim.storage import Storage
from daemon.sim.tenant import Tenant
from daemon.sim.times import SimTime
from daemon.sim.wire import Answer

_MAX_LINE = 64 * 1024
"""Bytes of a request line or header: a list may name 100 jobs of 128 characters."""
_MANY: Final = 10_000
"""Jobs made at once from which on they are kept out of the garbage collector's sight: going through 100,000 of
them holds every request for half a second, and what is held arrives together."""


class Simulator:
    """A MetaStudio of one tenant, with its IAM and its object storage, behind one address.

    Use it as an async context manager; `url` is its address. Everything that the control endpoints do can be
    called here too, with the same names and meanings. Raises ValueError for settings that cannot be, OSError where
    the address is taken.
    """

    def __init__(self, settings: SimSettings | None = None) -> None:
        self.settings: SettledSettings = (settings or SimSettings()).settle()
        clock = self.settings.clock
        self._faults = Faults()
        self._time = SimTime(clock, lambda: self._faults.skew(clock.monotonic()) if self._faults.any else 0.0)
        rng = random.Random(f"tokens/{self.settings.seed}")  # noqa: S311 - made-up tokens, to be repeated
        self._tenant = Tenant(self.settings, self._time, rng)
        self._book = Book(seed=self.settings.seed, speed=self.settings.speed, time=self._time)
        self._callbacks = Callbacks(
            self._time, unit=self.settings.callback_unit, signed=self.settings.callback_signed
        )
        self._book.on_callback = self._callbacks.watch
        links = Links(self.settings)
        answers = Answers(links, link_life=self.settings.link_life)
        self._api = Api(self.settings, self._time, self._book, answers)
        self._front = Front(
            self.settings,
            time=self._time,
            faults=self._faults,
            tenant=self._tenant,
            api=self._api,
            iam=Iam(self.settings, self._tenant),
            storage=Storage(links, self._book),
            control=self._carry_out_control,
        )
        self._port = self.settings.port
        self._web: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def up(self) -> None:
        """Listen; after `down()` on the same port as before."""
        self._front.closing.clear()
        self._web = web.Server(
            self._front.handle,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
        )
        loop = asyncio.get_running_loop()
        host = self.settings.listen_host
        self._listener = await loop.create_server(self._web, host, self._port, backlog=1024)
        self._port = self._listener.sockets[0].getsockname()[1]
        self._callbacks.up()

    async def down(self) -> None:
        """Stop listening and end all connections: to a client the service has gone. Jobs live on."""
        self._front.closing.set()
        await self._callbacks.down()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._web is not None:
            await self._web.shutdown(timeout=0.1)
            self._web = None

    @property
    def url(self) -> str:
        """The address, `http://host:port`; of API, IAM, files and control alike."""
        host = self.settings.listen_host
        shown = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(host)  # noqa: S104 - shown, not bound
        return f"http://{shown or (f'[{host}]' if ':' in host else host)}:{self._port}"

    # The control interface: what /_sim/ offers, as methods.

    def create_jobs(
        self,
        *,
        kind: str = "avatar",
        count: int = 1,
        job_id: str | None = None,
        name: str | None = None,
        script_chars: int | None = None,
        timeline: Sequence[Step] | None = None,
        created_ago: float = 0.0,
        callback_config: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Make jobs, all alike; returns their ids. `timeline` is [(state, seconds before division by speed), …],
        and the last state stays. It began with the creation, `created_ago` seconds of the wall clock ago;
        `callback_config` says whom to tell of the end, as in the create operation. What is not given is made up
        from the seed. Raises ValueError."""
        given = {
            "kind": kind,
            "count": count,
            "job_id": job_id,
            "name": name,
            "script_chars": script_chars,
            "timeline": timeline,
            "created_ago": created_ago,
            "callback_config": callback_config,
        }
        return self._make([read_order(given)])

    def create_many(self, jobs: Sequence[Mapping[str, Any]]) -> list[str]:
        """Make jobs, each with arguments of `create_jobs` of its own: all of them, or none. Raises ValueError with
        the place of the one that cannot be."""
        orders = []
        for place, given in enumerate(jobs):
            try:
                orders.append(read_order(given))
            except ValueError as error:
                raise ValueError(f"jobs[{place}]: {error}") from None
        return self._make(orders)

    def _make(self, orders: Sequence[JobOrder]) -> list[str]:
        job_ids = [job.job_id for job in self._book.add_all(orders)]
        if len(job_ids) >= _MANY:
            gc.collect()
            gc.freeze()
        return job_ids

    def jobs(self) -> list[dict[str, Any]]:
        """The truth: job_id, kind, name, state, and history [{state, at}] with times in ISO 8601, UTC."""
        return self._book.truth()

    def ends(self, since: float | None = None) -> list[dict[str, Any]]:
        """The ends so far in order of time, [{job_id, state, at}], `at` in ISO 8601, UTC: from `since` (epoch
        seconds) on."""
        return self._book.ends(since=since)

    def callbacks(self) -> list[dict[str, Any]]:
        """The callbacks sent so far, oldest first: job_id, result, at, and `status` or `error` once answered."""
        self._callbacks.pump()
        return [dict(each) for each in self._callbacks.sent]

    def set_state(self, job_id: str, state: str) -> None:
        """The job is in `state` from now on. Raises KeyError for an unknown job, ValueError for an empty state."""
        if not state:
            raise ValueError("the state is empty")
        self._book.set_state(self._known(job_id), state)

    def remove_job(self, job_id: str) -> None:
        """The service forgets the job. Raises KeyError for an unknown one."""
        self._book.remove(self._known(job_id))

    def answer(self, job_id: str, body: bytes | None) -> None:
        """Serve `body` byte for byte (status 200) to show of this id, known or not; None ends that."""
        if body is None:
            self._api.raw.pop(job_id, None)
        else:
            self._api.raw[job_id] = body

    def fault(
        self,
        name: str,
        *,
        times: int | None = None,
        seconds: float | None = None,
        operation: str | None = None,
        job_id: str | None = None,
        **options: Option,
    ) -> int:
        """Order a fault of `faults.OFFERED`; returns its id. `times` and `seconds` bound how often and how long it
        acts; `operation` and `job_id` say on what. Raises ValueError."""
        return self._faults.order(
            name,
            now=self._time.monotonic(),
            times=times,
            seconds=seconds,
            operation=operation,
            job_id=job_id,
            options=options,
        ).number

    def faults(self) -> list[dict[str, Any]]:
        """The faults that still act."""
        return [fault.show() for fault in self._faults.active(self._time.monotonic())]

    def clear_faults(self, number: int | None = None) -> None:
        """End one fault, or all."""
        self._faults.clear(number)

    def stats(self) -> dict[str, Any]:
        """Counts of requests: total, by_operation, by_status, by_second, max_in_any_second."""
        return self._front.stats.show()

    def clear_stats(self) -> None:
        """Count from zero."""
        self._front.stats.clear()

    def revoke_tokens(self) -> int:
        """End all tokens that IAM issued; returns how many."""
        return self._tenant.revoke_tokens()

    def _known(self, job_id: str) -> Job:
        job = self._book.get(job_id)
        if job is None:
            raise KeyError(job_id)
        return job

    def _carry_out_control(self, method: str, path: str, query: str, body: bytes) -> Answer:
        return control.carry_out(self, method, path, query, body)
