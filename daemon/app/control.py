"""The control socket: requests from this machine to the running daemon, one line of JSON each way.

Owns the socket and the limits of a request; the handlers define the requests. Access is decided by the kernel: the
socket has the owner and group of the database, and the group may connect if it may write to the database; besides
these, only root may. If the socket cannot be created, this is logged and the daemon runs without it.
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
"""Answers one request with JSON-compatible values. The client gets the message of a WrapdError that it raises."""

PATIENCE = 10.0
"""Seconds within which a request must arrive, and its answer must be read."""
MOST = 16
"""Maximum concurrent connections."""


class ControlServer:
    """Listens next to `database` (links resolved), whose daemon lock must be held from `start` to `stop`."""

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
        """Listen. A failure is logged and otherwise ignored."""
        try:
            listener = self._bind()
            self._server = await asyncio.start_unix_server(self._connected, sock=listener, limit=LONGEST_REQUEST)
        except OSError as error:
            self._remove()
            log.warning(LogEvent.CONTROL_UNAVAILABLE, path=str(self.path), error=error)

    async def stop(self, *, patience: float) -> None:
        """Remove the socket; requests in progress get `patience` seconds."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._remove()
        await self._tasks.end(patience=patience)

    def _bind(self) -> socket.socket:
        """Bind a socket and set its mode. No one can connect before it listens. Raises OSError."""
        self._folder = os.open(self.path.parent, O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        _remove_stale(self._folder, self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(by_descriptor(self._folder, self.path.name))
            self._inode = _share(self._folder, self.path.name, self._database)
        except BaseException:
            listener.close()
            raise
        return listener

    def _remove(self) -> None:
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
            with contextlib.suppress(OSError, TimeoutError):  # the client is gone or too slow
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
            return _refusal(f"it takes more than {LONGEST_WORK:g} s; the daemon continues, see its log")
        return work.result() or _refusal("an error in wrapd itself; see its log")

    async def _handled(self, handler: Handler, request: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return {"answer": await handler(request)}
        except WrapdError as error:
            return {**_refusal(MASKS.apply(str(error))), "status": int(error.exit_status)}


async def _request(reader: asyncio.StreamReader) -> Mapping[str, Any] | None:
    """The request, or None if it is too long or not a JSON object."""
    try:
        request = json.loads(await reader.readline())
    except (ValueError, RecursionError):  # ValueError also for a line over the limit
        return None
    return request if isinstance(request, dict) else None


def _refusal(text: str) -> dict[str, Any]:
    return {"error": text}


def _line(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer, default=str).encode() + b"\n"


def _remove_stale(folder: int, path: Path) -> None:
    """Remove the socket of a killed daemon; since the database lock is held, no one is listening. Anything else,
    including a link to a socket, belongs to another program and stays. Raises OSError."""
    try:
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(f"{path}: this is not a socket; remove it")
    os.unlink(path.name, dir_fd=folder)


def _share(folder: int, name: str, database: Path) -> int:
    """Give the socket the owner and group of the database, as far as this user may; the group may connect if it
    may write to the database. Returns the inode. Raises OSError."""
    entry = os.open(name, O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        found, model = os.fstat(entry), database.stat()
        if not stat.S_ISSOCK(found.st_mode):
            raise FileExistsError(f"{name}: another program put something else in its place")
        with contextlib.suppress(OSError):
            os.chown(by_descriptor(entry), model.st_uid if os.geteuid() == 0 else -1, model.st_gid)
        shared = os.fstat(entry).st_gid == model.st_gid and bool(model.st_mode & stat.S_IWGRP)
        Path(by_descriptor(entry)).chmod(0o660 if shared else 0o600)
        return found.st_ino
    finally:
        os.close(entry)
