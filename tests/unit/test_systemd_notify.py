"""The sd_notify protocol with real datagram sockets of both namespaces."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import logs
from daemon.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Act as systemd: return an address for NOTIFY_SOCKET and the socket behind it."""
    if request.param == "path":
        address = str(tmp_path / "notify")
        name = address
    else:
        address = f"@wrapd-test-{os.getpid()}"
        name = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(name)
        end.settimeout(5)
        yield address, end


def test_every_message_arrives_as_the_protocol_writes_it(manager: tuple[str, socket.socket]) -> None:
    address, end = manager
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    notifier.ready("3 jobs\nin  2 projects")
    notifier.status("4 jobs · 2 videos")
    notifier.watchdog()
    notifier.stopping()
    assert [end.recv(4096).decode() for _ in range(4)] == [
        "READY=1\nSTATUS=3 jobs in 2 projects",
        "STATUS=4 jobs · 2 videos",
        "WATCHDOG=1",
        "STOPPING=1",
    ]
    end.settimeout(0)
    with pytest.raises(BlockingIOError):
        end.recv(4096)


@pytest.mark.parametrize(
    "environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "@"}, {"NOTIFY_SOCKET": "relative/path"}]
)
def test_nothing_is_sent_where_no_manager_listens(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relative").mkdir()
    notifier = Notifier.from_environment(environ | {"WATCHDOG_USEC": "60000000"})
    assert notifier == Notifier(address=None, watchdog_interval=None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("relative/path")
        end.settimeout(0)
        notifier.ready()
        notifier.watchdog()
        notifier.status("text")
        with pytest.raises(BlockingIOError):
            end.recv(4096)


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "4711"}, 1.5),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "4712"}, None),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "?"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_interval_is_for_the_process_it_names(
    environ: dict[str, str], interval: float | None
) -> None:
    notifier = Notifier.from_environment(environ | {"NOTIFY_SOCKET": "/run/notify"}, pid=4711)
    assert notifier.watchdog_interval == interval


def test_this_process_and_its_environment_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert Notifier.from_environment() == Notifier(address="/run/notify", watchdog_interval=30.0)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert Notifier.from_environment().watchdog_interval is None


def test_a_lost_message_is_a_log_line_and_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up()
    Notifier(address=str(tmp_path / "gone")).ready("up")
    said = capsys.readouterr().err
    assert logs.LogEvent.MANAGER_UNREACHED in said
    assert "READY=1" in said
