"""The simulator: assembles its parts, starts and stops.

Owns the listening socket. `control` has the methods for tests.
"""

import asyncio
import random
from functools import partial
from typing import Self

from aiohttp import web

from daemon.sim.answers import JobRenderer
from daemon.sim.api import Api
from daemon.sim.book import Book
from daemon.sim.callbacks import Callbacks
from daemon.sim.control import Control
from daemon.sim.control_http import carry_out
from daemon.sim.faults import Faults
from daemon.sim.front import Front
from daemon.sim.iam import Iam
from daemon.sim.links import FileLinks
from daemon.sim.settings import SettledSettings, SimSettings
from daemon.sim.stats import RequestCounts
from daemon.sim.storage import Storage
from daemon.sim.tenant import Tenant
from daemon.sim.times import SimTime

_MAX_LINE = 64 * 1024
"""Maximum bytes of a request line or header: a list may name 100 jobs of 128 characters."""


class Simulator(Control):
    """A MetaStudio of one tenant, with its IAM and object storage, at one address.

    Use it as an async context manager; `url` is its address. The methods of `Control` do the same as the control
    endpoints. Raises ValueError for invalid settings, OSError if the address is in use.
    """

    def __init__(self, settings: SimSettings | None = None) -> None:
        self.settings: SettledSettings = (settings or SimSettings()).settle()
        clock = self.settings.clock
        faults, stats = Faults(), RequestCounts()
        time = SimTime(clock, lambda: faults.skew(clock.monotonic()) if faults.any else 0.0)
        rng = random.Random(f"tokens/{self.settings.seed}")  # noqa: S311 - made-up, repeatable tokens
        tenant = Tenant(self.settings, time, rng)
        book = Book(seed=self.settings.seed, speed=self.settings.speed, time=time)
        callbacks = Callbacks(time, unit=self.settings.callback_unit, signed=self.settings.callback_signed)
        book.on_callback = callbacks.watch
        links = FileLinks(self.settings)
        api = Api(self.settings, time, book, JobRenderer(links, link_life=self.settings.link_life))
        super().__init__(
            time=time, faults=faults, tenant=tenant, book=book, callbacks=callbacks, api=api, stats=stats
        )
        self._front = Front(
            self.settings,
            time=time,
            faults=faults,
            tenant=tenant,
            api=api,
            iam=Iam(self.settings, tenant),
            storage=Storage(links, book),
            stats=stats,
            control=partial(carry_out, self),
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
        """Start listening; after `down()`, on the same port as before."""
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
        """Stop listening and end all connections, as if the service were down. Jobs keep their timelines."""
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
        """The address, `http://host:port`, of the API, IAM, files and control endpoints."""
        host = self.settings.listen_host
        shown = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(host)  # noqa: S104 - shown, not bound
        return f"http://{shown or (f'[{host}]' if ':' in host else host)}:{self._port}"
