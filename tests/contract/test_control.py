"""The control socket next to the database: who may use it, its bounds, and the leftovers of a killed daemon."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.app.control import MOST, ControlServer
from daemon.app.control_address import LONGEST_REQUEST, socket_name
from daemon.app.control_client import Declined, Unanswered, ask
from daemon.clock import SystemClock
from daemon.errors import ConfigFault, Exit
from daemon.metrics import Metrics
from daemon.tasks import Defects, Tasks


async def _same(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"asked": request["request"]}


async def _faulty(request: Mapping[str, Any]) -> Mapping[str, Any]:
    raise ConfigFault("channels.x: no")


async def _broken(request: Mapping[str, Any]) -> Mapping[str, Any]:
    raise RuntimeError("a defect")


@asynccontextmanager
async def control(database: Path, *, patience: float = 10) -> AsyncIterator[ControlServer]:
    database.touch(mode=0o660)
    tasks = Tasks("control", Defects(clock=SystemClock(), metrics=Metrics()))
    handlers = {"same": _same, "faulty": _faulty, "broken": _broken}
    server = ControlServer(database, handlers, tasks=tasks, patience=patience)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(patience=0)


async def asked(database: Path, request: str = "same") -> dict[str, Any] | None:
    return await asyncio.to_thread(ask, database, {"request": request}, patience=30)


async def said(server: ControlServer, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(server.path)
    writer.write(sent)
    answer = await reader.readline()
    writer.close()
    return answer


async def test_a_request_is_answered_and_the_socket_goes_with_the_daemon(tmp_path: Path) -> None:
    async with control(tmp_path / "w.db") as server:
        assert await asked(tmp_path / "w.db") == {"asked": "same"}
        assert server.path == tmp_path / "w.db.sock"
    assert not server.path.exists()
    assert await asked(tmp_path / "w.db") is None


async def test_what_goes_wrong_is_said_with_its_status(tmp_path: Path) -> None:
    async with control(tmp_path / "w.db"):
        with pytest.raises(Declined, match=r"channels\.x: no") as refused:
            await asked(tmp_path / "w.db", "faulty")
        assert refused.value.exit_status is Exit.CONFIG
        with pytest.raises(Declined, match="an error in wrapd itself"):
            await asked(tmp_path / "w.db", "broken")
        with pytest.raises(Declined, match="it knows broken, faulty, same"):
            await asked(tmp_path / "w.db", "other")


@pytest.mark.parametrize("mode", [0o660, 0o600, 0o640, 0o666])
async def test_its_group_may_ask_where_it_may_write_to_the_database(tmp_path: Path, mode: int) -> None:
    (tmp_path / "w.db").touch()
    (tmp_path / "w.db").chmod(mode)
    os.chown(tmp_path / "w.db", -1, os.getegid())
    async with control(tmp_path / "w.db") as server:
        assert stat.S_IMODE(server.path.stat().st_mode) == (0o660 if mode & 0o020 else 0o600)


@pytest.mark.parametrize("folders", [0, 12])
async def test_a_path_of_any_length_will_do(tmp_path: Path, folders: int) -> None:
    folder = tmp_path.joinpath(*["a-folder-of-some-length"] * folders)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("w.db", "w" * 200, "视频" * 40):
        async with control(folder / name):
            assert await asked(folder / name) == {"asked": "same"}
            assert len(socket_name(folder / name).encode()) <= 80


async def test_what_a_killed_daemon_left_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "w.db.sock"))
    left.close()
    assert await asked(tmp_path / "w.db") is None
    async with control(tmp_path / "w.db"):
        assert await asked(tmp_path / "w.db") == {"asked": "same"}


@pytest.mark.parametrize("what", ["file", "link", "folder"])
async def test_what_is_no_socket_stays_and_the_daemon_goes_on(tmp_path: Path, what: str) -> None:
    target, path = tmp_path / "precious", tmp_path / "w.db.sock"
    target.write_text("kept")
    match what:
        case "file":
            path.write_text("kept")
        case "link":
            path.symlink_to(target)
        case _:
            path.mkdir()
    async with control(tmp_path / "w.db"):
        with pytest.raises(Unanswered, match="no socket"):
            await asked(tmp_path / "w.db")
    assert target.read_text() == "kept"
    assert os.path.lexists(path)


@pytest.mark.parametrize("sent", [b"\n", b"[]\n", b"{\n", b"\xff\n", b'{"request": 5}\n', b"[" * 60_000 + b"\n"])
async def test_what_is_no_request_is_refused(tmp_path: Path, sent: bytes) -> None:
    async with control(tmp_path / "w.db") as server:
        assert b'"error"' in await said(server, sent)
        assert await asked(tmp_path / "w.db") == {"asked": "same"}


async def test_requests_are_bounded_in_length_time_and_number(tmp_path: Path) -> None:
    async with control(tmp_path / "w.db", patience=0.2) as server:
        assert b"one line" in await said(server, b"x" * (LONGEST_REQUEST + 1) + b"\n")
        assert await said(server, b"half a line") == b"", "it is closed when its time is over"
    async with control(tmp_path / "w.db") as server:
        held = [await asyncio.open_unix_connection(server.path) for _ in range(MOST)]
        while server._connections < MOST:
            await asyncio.sleep(0)
        assert b"too many" in await said(server, b"")
        for _, writer in held:
            writer.close()
        while server._connections:
            await asyncio.sleep(0)
        assert await asked(tmp_path / "w.db") == {"asked": "same"}
