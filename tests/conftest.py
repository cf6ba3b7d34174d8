"""What every test run shares: a clean environment, and no silent skips where none are allowed."""

import os
import signal
import sqlite3
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from daemon.logs import MASKS
from daemon.store import engine, migrate

_OURS = ("WRAPD_", "HUAWEICLOUD_", "NOTIFY_SOCKET", "WATCHDOG_")


def pytest_configure() -> None:
    """Forget what the machine's owner has set for a wrapd of their own: tests say what they need.

    Ctrl-C is ignored by what a shell starts in the background, and by all that it starts in turn: not here.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    no_skips = os.environ.get("WRAPD_NO_SKIPS")
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        del os.environ[name]
    if no_skips:
        os.environ["WRAPD_NO_SKIPS"] = no_skips
    # Until logging is set up, structlog shows each frame with its code and all its variables: seconds a traceback.
    (shown,) = (each for each in structlog.get_config()["processors"] if hasattr(each, "exception_formatter"))
    shown.exception_formatter = structlog.dev.plain_traceback
    if not os.environ.get("CI"):  # there, Hypothesis takes its own profile "ci": no deadline, and no chance
        settings.register_profile("wrapd", deadline=None)
        settings.load_profile("wrapd")


class _QuickDatabases:
    """In this process an empty database gets a copy of one that was migrated before, and no commit waits for the
    disk: most of the time of most tests went there. `on` is False where that is what is tested; programs in
    processes of their own do as ever."""

    OFF = ("test_migration", "test_store_open", "test_upgrade")
    """Beginnings of the names of files."""

    def __init__(self) -> None:
        self.on = True
        self._migrated: bytes | None = None
        self._run, self._connect = migrate._run, engine._connect

    def run(self, path: Path, scripts: Path) -> bool:
        """Stands in for the run of all migrations."""
        if not self.on or scripts != migrate.scripts_folder() or path.stat().st_size:
            return self._run(path, scripts)
        if self._migrated is None:
            self._run(path, scripts)
            self._migrated = path.read_bytes()
        else:
            path.write_bytes(self._migrated)
        return True

    def connect(self, path: Path, **how: bool) -> Callable[[], sqlite3.Connection]:
        """Stands in for the way to connect."""
        connect, on = self._connect(path, **how), self.on

        def quickly() -> sqlite3.Connection:
            connection = connect()
            if on:
                connection.execute("PRAGMA synchronous = OFF")
            return connection

        return quickly


_DATABASES = _QuickDatabases()
migrate._run = _DATABASES.run
engine._connect = _DATABASES.connect


def pytest_runtest_setup(item: pytest.Item) -> None:
    _DATABASES.on = not item.path.name.startswith(_QuickDatabases.OFF)


@pytest.fixture(autouse=True)
def _own_masks() -> Iterator[None]:
    """A secret of one test ("password", say) must not be masked in the messages of the next."""
    before = dict(vars(MASKS))
    yield
    vars(MASKS).update(before)


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With WRAPD_NO_SKIPS=1 a skip is a failure: a machine meant to run everything has to."""
    if os.environ.get("WRAPD_NO_SKIPS") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped where no skip is allowed (WRAPD_NO_SKIPS): {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report
