"""Set-up shared by all tests: a clean environment, and no silent skips where none are allowed."""

import gc
import logging
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import structlog
from hypothesis import settings
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL

from daemon import logs
from daemon.config import Config
from daemon.config.json_schema import json_schema
from daemon.config.keys import Parsing, Place
from daemon.logs import MASKS
from daemon.store import engine, migrate

_OURS = ("WRAPD_", "HUAWEICLOUD_", "NOTIFY_SOCKET", "WATCHDOG_")


def pytest_configure() -> None:
    """Remove the settings of the machine's own wrapd from the environment: tests set what they need.

    Shells make background processes, and their children, ignore Ctrl-C: restore the default handler.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    no_skips = os.environ.get("WRAPD_NO_SKIPS")
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        del os.environ[name]
    if no_skips:
        os.environ["WRAPD_NO_SKIPS"] = no_skips
    os.environ["TZ"] = "UTC"  # screens show times in the machine's zone
    time.tzset()
    # Until logging is set up, structlog prints each frame with its code and variables, which takes seconds a
    # traceback.
    (shown,) = (each for each in structlog.get_config()["processors"] if hasattr(each, "exception_formatter"))
    shown.exception_formatter = structlog.dev.plain_traceback
    if not os.environ.get("CI"):  # in CI, Hypothesis uses its own profile "ci": no deadline, no randomness
        settings.register_profile("wrapd", deadline=None)
        settings.load_profile("wrapd")


class _QuickDatabases:
    """In this process, empty databases are copies of one migrated before, commits do not wait for the disk, and a
    statement is compiled once for all engines: these took most of the tests' time. `on` is False in tests of these
    very things. Separate processes work as usual."""

    OFF = ("test_migration", "test_store_open", "test_upgrade")
    """Prefixes of the names of test files."""

    def __init__(self) -> None:
        self.on = True
        self._migrated: bytes | None = None
        self._run, self._ran_apart, self._connect = migrate._run, migrate._ran_apart, engine._connect
        self._first = create_engine("sqlite://", query_cache_size=5000)
        self._first.connect().close()  # that tells the dialect about the driver

    def run(self, path: Path, scripts: Path, steps: migrate._Steps | None = None) -> bool:
        """Replaces the run of all migrations."""
        if not self.on or scripts != migrate.scripts_folder() or path.stat().st_size:
            return self._run(path, scripts, steps)
        if self._migrated is None:
            self._run(path, scripts, steps)
            self._migrated = path.read_bytes()
        else:
            path.write_bytes(self._migrated)
        return True

    def ran_apart(self, path: Path) -> bool:
        """Replaces the run in a process of its own."""
        return not self.on and self._ran_apart(path)

    def connect(self, path: Path, **how: bool) -> Callable[[], sqlite3.Connection]:
        """Replaces the connect function."""
        connect, on = self._connect(path, **how), self.on

        def quickly() -> sqlite3.Connection:
            connection = connect()
            if on:
                connection.execute("PRAGMA synchronous = OFF")
            return connection

        return quickly

    def create_engine(self, url: URL, **how: Any) -> Engine:
        """Replaces the function: compiled statements are kept for one dialect, by its identity."""
        made = create_engine(url, **how)
        if self.on:
            made.dialect, made._compiled_cache = self._first.dialect, self._first._compiled_cache
        return made


_DATABASES = _QuickDatabases()
migrate._run, migrate._ran_apart = _DATABASES.run, _DATABASES.ran_apart
engine._connect = _DATABASES.connect
engine.create_engine = _DATABASES.create_engine  # type: ignore[assignment]

_configure = structlog.configure


def _configure_for_now(**how: Any) -> None:
    """Replaces structlog's: a cached logger would carry one test's set-up into all following ones."""
    _configure(**{**how, "cache_logger_on_first_use": False})


structlog.configure = _configure_for_now


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores: a third of the time tests wait, for processes and for answers."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """Spare the collector the thousands of collected tests, through which it would go again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    _DATABASES.on = not item.path.name.startswith(_QuickDatabases.OFF)


@pytest.fixture(autouse=True)
def _own_masks() -> Iterator[None]:
    """Keep a secret of one test ("password", for example) from being masked in the messages of the next."""
    before = dict(vars(MASKS))
    yield
    vars(MASKS).update(before)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Keep one test's logging set-up (`logs.set_up`, as commands call it) from the next."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root, own = logging.getLogger(), logging.getLogger("daemon")
        root.handlers[:] = [each for each in root.handlers if not isinstance(each, logs._Handler)]
        root.setLevel(logging.WARNING)
        own.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True, scope="session")
def _accepted_configs_fit_the_schema() -> Iterator[None]:
    """Check each config that a test has read without a fault against the JSON Schema: an editor must not mark what
    wrapd accepts."""
    schema, read = jsonschema_rs.Draft202012Validator(json_schema()), Config.read.__func__

    def checked(cls: type[Config], tree: Any, place: Place, parsing: Parsing) -> Config:
        config = read(cls, tree, place, parsing)
        if not parsing.wrong:
            schema.validate(tree)
        return config

    Config.read = classmethod(checked)
    yield
    Config.read = classmethod(read)


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With WRAPD_NO_SKIPS=1 a skip is a failure: a machine meant to run everything must do so."""
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
