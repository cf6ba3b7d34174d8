"""A real daemon and a simulator in a thread, for tests that wait for events: each line of the log is one, with its
fields."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from daemon.sim import SimSettings, Simulator
from tests.support.process import COMMAND
from tests.support.webhook import Webhook

T = TypeVar("T")

PATIENCE = 60.0
"""Maximum seconds that a test waits for an expected event: far more than it takes on a busy machine."""


class LiveSim:
    """A simulator in its own thread, as a context manager: `sim.do(lambda it: it.create_jobs())`."""

    def __init__(self, **settings: Any) -> None:
        self.simulator = Simulator(SimSettings(**{"seed": 1, **settings}))
        self.settings = self.simulator.settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return self.simulator.url

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.simulator.up(), self._loop).result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.simulator.down(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Callable[[Simulator], T]) -> T:
        """Run a function of the simulator in its thread."""

        async def done() -> T:
            return work(self.simulator)

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(PATIENCE)

    def jobs(self, count: int = 1, **options: Any) -> list[str]:
        return self.do(lambda it: it.create_jobs(count=count, **options))

    def asked(self, operation: str | None = None) -> int:
        """Return how many requests arrived."""
        stats = self.do(lambda it: it.stats())
        return int(stats["total"] if operation is None else stats["by_operation"].get(operation, 0))

    def wait_for_hang(self) -> None:
        """Return once a request hangs."""
        until("a request hangs", lambda: any(fault["hits"] for fault in self.do(lambda it: it.faults())))

    @property
    def aksk(self) -> str:
        """The `auth` of a project, with the simulator's keys."""
        keys = self.settings
        return f'{{ method = "aksk", access_key = "{keys.access_key}", secret_key = "{keys.secret_key}" }}'

    def project(self, name: str = "main", *, auth: str | None = None, more: str = "", named: bool = True) -> str:
        """Return a project's config section; with `named`, including the project's id."""
        return (
            f'[projects.{name}]\nendpoint = "{self.url}"\nrequests_per_second = 20\n'
            + (f'project_id = "{self.settings.project_id}"\n' if named else "")
            + f"auth = {auth or self.aksk}\n{more}\n"
        )


QUICK = """
[polling]
min_interval = "100ms"
max_interval = "500ms"
blocked_interval = "500ms"
"""
FAST = (
    QUICK
    + """[log]
format = "json"
"""
)
"""Config sections for tests."""


def to(hook: Webhook, name: str = "hook", more: str = "", *, path: str = "/hook") -> str:
    """Return the config section of a channel to a webhook, with `more` keys."""
    return f'[channels.{name}]\nurl = "{hook.url(path)}"\n{more}\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The exit status of a process, and how long it took to end (seconds)."""

    status: int
    seconds: float


def _check_web(config: str) -> None:
    """Refuse a config that listens at the default address: tests run beside each other."""
    web = tomllib.loads(config).get("web", {})
    assert not web.get("enabled", True) or "listen" in web, "give web.listen, port 0, or web.enabled = false"


class LiveDaemon:
    """`wrapd run` on a config in `folder`, as a context manager; `start` runs it again after a `stop`."""

    def __init__(
        self, folder: Path, config: str, *, environ: Mapping[str, str] | None = None, started: bool = True
    ) -> None:
        _check_web(config)
        self.folder = folder
        self.config = folder / "wrapd.toml"
        self.config.write_text(config)
        self.config.chmod(0o600)
        self.environ = {**os.environ, **(environ or {})}
        self.lines: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self._news = threading.Condition()
        self._reader: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._started = started
        self._over = False

    def __enter__(self) -> Self:
        return self.start() if self._started else self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        self._wait()

    def start(self) -> Self:
        """Start the daemon and wait until it reports that it has started."""
        self.lines.clear()
        self._over = False
        self._process = subprocess.Popen(
            [*COMMAND, "--config", self.config, "run"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=self.environ,
        )
        self._reader = threading.Thread(target=self._read, args=[self._process], daemon=True)
        self._reader.start()
        try:
            self.wait_for("daemon.started")
        except BaseException:
            self.__exit__()  # a `with` that fails to begin does not end
            raise
        return self

    def wait_for(
        self, event: str, *, count: int = 1, seconds: float = PATIENCE, **fields: object
    ) -> list[dict[str, Any]]:
        """Return the log lines with this event and these fields, once there are `count` of them."""
        wanted = {"event": event, **fields}

        def found() -> list[dict[str, Any]]:
            return [line for line in self.lines if wanted.items() <= line.items()]

        with self._news:
            enough = self._news.wait_for(lambda: len(found()) >= count or self._over, seconds)
            assert enough, f"no {wanted} within {seconds:g} s:\n{self.said}"
            assert len(found()) >= count, f"it ended without {wanted}:\n{self.said}"
            return found()

    def stop(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = 60) -> Ended:
        """Stop the daemon with a signal."""
        assert self._process is not None
        begun = time.monotonic()
        self._process.send_signal(number)
        status = self._process.wait(seconds)
        took = time.monotonic() - begun
        self._wait()
        return Ended(status=status, seconds=took)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def wait(self, seconds: float) -> int:
        """Wait for the daemon to end by itself; return its exit status."""
        assert self._process is not None
        status = self._process.wait(seconds)
        self._wait()
        return status

    def command(self, *arguments: str, status: int = 0) -> str:
        """Run another command with the same config; return its output."""
        ended = subprocess.run(
            [*COMMAND, "--config", self.config, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environ,
            check=False,
            timeout=60,
        )
        assert ended.returncode == status, ended.stdout
        return ended.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.command(*arguments, "--json"))

    def states(self) -> dict[str, tuple[str | None, str]]:
        """Return state and tracking of each job, by its id."""
        return {row["job_id"]: (row["state"], row["tracking"]) for row in self.json("jobs")}

    @property
    def said(self) -> str:
        """Return everything on standard output and standard error."""
        return "\n".join(self.raw)

    @property
    def address(self) -> str:
        """The address of its web pages."""
        return str(self.wait_for("web.listening")[0]["address"])

    def page(self, path: str) -> tuple[int, str]:
        """Return status and body of one of its pages."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for text in process.stdout:
            with self._news:
                self.raw.append(text.rstrip("\n"))
                try:
                    line = json.loads(text)
                except ValueError:
                    line = {}
                self.lines += [line] if isinstance(line, dict) and line else []
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    def _wait(self) -> None:
        if self._process is None or self._reader is None:
            return
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Manager:
    """A service manager's socket (sd_notify), as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> Self:
        self._socket.bind(str(self.path))
        self._socket.settimeout(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def hears(self, begins: str) -> str:
        """Return the next message that starts with this text."""
        while not (message := self._socket.recv(4096).decode()).startswith(begins):
            continue
        return message


def until(what: str, holds: Callable[[], bool], *, seconds: float = PATIENCE, pace: float = 0.1) -> float:
    """Poll until a condition holds that no process announces; return the seconds that took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(pace)
    return time.monotonic() - begun


def events(hook: Webhook) -> Sequence[str]:
    """Return the events of the alerts received, in order."""
    return [received.json["event"] for received in list(hook.requests)]
