"""The control socket: what people at this machine ask of the running daemon, one line of JSON each way.

Owns the socket and the bounds of a request. Who may ask is decided by the kernel: the socket has the owner and
group of the database, and its group may connect where it may write to the database; nobody else may but root.
Handlers say what there is to ask. Must never be a reason for the daemon to fail: where no socket can be made, that
is logged, and it goes on.
"""

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from daemon.app.control_address import LONGEST_REQUEST, LONGEST_WORK, O_PATH, by_descriptor, socket_name
from daemon.errors import WrapdError
from daemon.logs import MASKS, LogEvent, logger
from daemon.tasks import Tasks

log = logger(__name__)

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Answers one request, given whole, with what can be JSON. What it raises as a WrapdError is told to who asks."""

PATIENCE = 10.0
"""Seconds in which a request must have come, and an answer must have been taken."""
MOST = 16
"""Connections at once."""


class ControlServer:
    """Listens beside `database` (its links resolved), whose daemon lock must be held from `start` to `stop`."""

    def __init__(
        self, database: Path, handlers: Mapping[str, Handler], *, tasks: Tasks, patience: float = PATIENCE
    ) -> None:
        self.path = database.with_name(socket_name(database))
        self._database = database
        self._handlers = handlers
        self._tasks = tasks
        self._patience = patience
        self._connections = 0
        self._folder: int | None = None
        self._inode: int | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Where that cannot be, log it and go on."""
        try:
            listener = self._bound()
            self._server = await asyncio.start_unix_server(self._connected, sock=listener, limit=LONGEST_REQUEST)
        except OSError as error:
            self._leave()
            log.warning(LogEvent.CONTROL_UNAVAILABLE, path=str(self.path), error=error)

    async def stop(self, *, patience: float) -> None:
        """Take the socket away; who is being answered is given `patience` seconds."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._leave()
        await self._tasks.end(patience=patience)

    def _bound(self) -> socket.socket:
        """A socket that is bound and has its mode; nobody can connect before it listens. Raises OSError."""
        self._folder = os.open(self.path.parent, O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        _make_way(self._folder, self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(by_descriptor(self._folder, self.path.name))
            self._inode = _share(self._folder, self.path.name, self._database)
        except BaseException:
            listener.close()
            raise
        return listener

    def _leave(self) -> None:
        """Remove the socket if it is this daemon's own."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            found = os.stat(self.path.name, dir_fd=self._folder, follow_symlinks=False)
            if found.st_ino == self._inode:
                os.unlink(self.path.name, dir_fd=self._folder)
        os.close(self._folder)
        self._folder = None

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= MOST:
            writer.write(_line(_refusal("too many requests at once; try again")))
            writer.close()
        else:
            self._connections += 1
            self._tasks.spawn("control", self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, TimeoutError):  # who asked is gone, or never comes to the point
                async with asyncio.timeout(self._patience):
                    request = await _request(reader)
                answer = _refusal("write one line of JSON") if request is None else await self._answer(request)
                writer.write(_line(answer))
                async with asyncio.timeout(self._patience):
                    await writer.drain()
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        name = request.get("request")
        handler = self._handlers.get(name) if isinstance(name, str) else None
        if handler is None:
            return _refusal(f"this daemon knows no such request; it knows {', '.join(sorted(self._handlers))}")
        work = self._tasks.spawn(f"control {name}", self._handled(handler, request))
        done, _ = await asyncio.wait({work}, timeout=LONGEST_WORK)
        if not done:
            return _refusal(
                f"it takes more than {LONGEST_WORK:g} s; the daemon goes on with it, and its log tells"
            )
        return work.result() or _refusal("an error of wrapd itself; its log has it")

    async def _handled(self, handler: Handler, request: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return {"answer": await handler(request)}
        except WrapdError as error:
            return {**_refusal(MASKS.apply(str(error))), "status": int(error.exit_status)}


async def _request(reader: asyncio.StreamReader) -> Mapping[str, Any] | None:
    """What is asked, None where it is too long or no JSON object."""
    try:
        request = json.loads(await reader.readline())
    except (ValueError, RecursionError):  # ValueError: also where the line is longer than the limit
        return None
    return request if isinstance(request, dict) else None


def _refusal(text: str) -> dict[str, Any]:
    return {"error": text}


def _line(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer, default=str).encode() + b"\n"


def _make_way(folder: int, path: Path) -> None:
    """Remove what a daemon left that was killed: the lock of the database is held, so nobody listens there. What
    is no socket, a link to one included, is another program's and stays. Raises OSError."""
    try:
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(f"{path}: there is something else, no socket; remove it")
    os.unlink(path.name, dir_fd=folder)


def _share(folder: int, name: str, database: Path) -> int:
    """Give the socket the owner and group of the database, as far as this user may, and its group the right to
    connect where it may write to the database. Returns the inode. Raises OSError."""
    entry = os.open(name, O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        found, model = os.fstat(entry), database.stat()
        if not stat.S_ISSOCK(found.st_mode):
            raise FileExistsError(f"{name}: somebody put something else in its place")
        with contextlib.suppress(OSError):
            os.chown(by_descriptor(entry), model.st_uid if os.geteuid() == 0 else -1, model.st_gid)
        shared = os.fstat(entry).st_gid == model.st_gid and bool(model.st_mode & stat.S_IWGRP)
        Path(by_descriptor(entry)).chmod(0o660 if shared else 0o600)
        return found.st_ino
    finally:
        os.close(entry)
