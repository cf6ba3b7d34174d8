"""The checks of `wrapd doctor`: each looks at one thing and says how it stands, with the mend where it does not.

Changes nothing. Shows no secret.
"""

import asyncio
import http.client
import json
import os
import platform
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import daemon
from daemon.cli.session import CLOCK, daemon_runs
from daemon.cli.text import about, count, moment
from daemon.cli.units import is_expected
from daemon.config import Config
from daemon.domain.jobs import Tracking
from daemon.domain.orphans import What, move_command
from daemon.errors import ConfigFault, DatabaseFault

if TYPE_CHECKING:
    from daemon.store import Transaction

T = TypeVar("T")
Verdict = Literal["ok", "warn", "fail"]

_LIBRARIES = ("httpx", "aiohttp", "sqlalchemy", "apprise", "apscheduler", "fastapi", "pydantic")
_MIN_SQLITE = (3, 35)
_MIN_FREE = 200 * 1024 * 1024
_NO_ROOM = 10 * 1024 * 1024
_MADE = datetime(2025, 1, 1, tzinfo=UTC)
_PATIENCE = 5.0
"""Seconds that the daemon's own pages may take to answer."""
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened on, not what is asked
"""Where to ask a daemon that listens on every address of this machine."""


_ALERTS = ("unsent alert", "nobody sends them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How it stands with one thing; `text` says the mend where it is not well."""

    verdict: Verdict
    what: str
    text: str


def program() -> Iterator[Finding]:
    """Versions, and whether the imported package is wrapd's own."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    yield Finding(
        verdict="ok",
        what="version",
        text=f"wrapd {daemon.__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
    )
    yield Finding(verdict="ok", what="libraries", text=libraries)
    if sqlite3.sqlite_version_info < _MIN_SQLITE:
        yield Finding(
            verdict="fail",
            what="sqlite",
            text=f"SQLite {sqlite3.sqlite_version} is too old; use a Python with 3.35 or newer",
        )
    folder = Path(daemon.__file__).parent
    try:
        other = distribution("python-daemon")
    except PackageNotFoundError:
        yield Finding(verdict="ok", what="package", text=f"`daemon` is {folder}")
    else:
        yield Finding(
            verdict="fail",
            what="package",
            text=f"python-daemon {other.version} is installed beside wrapd and owns a package of the same name, "
            f"`daemon` ({folder}); install wrapd into an environment of its own",
        )


def clock(config: Config | None) -> Iterator[Finding]:
    """Whether the wall clock can be right."""
    now = CLOCK.now()
    touched = _touched(config.database.path) if config else None
    ahead = (touched - now).total_seconds() if touched else 0.0
    if now < _MADE:
        yield Finding(
            verdict="fail", what="clock", text=f"it says {now:%Y-%m-%d}; set it (NTP): signatures would be refused"
        )
    elif ahead > 60:
        yield Finding(
            verdict="warn",
            what="clock",
            text=f"the database was written {about(ahead)} in the future; was the clock set back? Check it",
        )
    else:
        yield Finding(verdict="ok", what="clock", text=moment(now))


def database(config: Config) -> Iterator[Finding]:
    """The file, its schema, its folder."""
    from daemon.store import SchemaStatus, check  # noqa: PLC0415 - SQLAlchemy
    from daemon.store.migrate import require  # noqa: PLC0415

    path = config.database.path
    try:
        schema = check(config.database.url)
        if schema.status is not SchemaStatus.EMPTY:
            require(schema, upgradable=config.database.auto_migrate)
    except DatabaseFault as error:
        yield Finding(verdict="fail", what="database", text=str(error))
        return
    folder = schema.path.parent
    if not folder.is_dir():
        yield Finding(verdict="fail", what="database", text=f"{path}: there is no folder {folder}; make it")
        return
    if not os.access(folder, os.W_OK) or (schema.path.exists() and not os.access(schema.path, os.W_OK)):
        yield Finding(
            verdict="fail",
            what="database",
            text=f"{path}: not writable for this user; nor is it for a daemon of this user",
        )
    elif schema.status is SchemaStatus.EMPTY and daemon_runs(config):
        text = f"{path}: it is gone, though a daemon works on it; `systemctl restart wrapd` makes a new one"
        yield Finding(verdict="fail", what="database", text=text)
    elif schema.status is SchemaStatus.EMPTY:
        yield Finding(verdict="ok", what="database", text=f"{path}: not there yet; `wrapd run` makes it")
    else:
        yield Finding(verdict="ok", what="database", text=f"{path}: {schema.status}, schema {schema.revision}")
    free = shutil.disk_usage(folder).free
    if free < _MIN_FREE:
        verdict: Verdict = "fail" if free < _NO_ROOM else "warn"
        yield Finding(verdict=verdict, what="disk", text=f"{folder}: {free // 2**20} MiB free; make room")


def deliveries(config: Config) -> Iterator[Finding]:
    """Whether alerts of some channel are held or dead, and whether anything is of a project or channel that the
    config does not have."""
    known: dict[What, Collection[str]] = {"project": config.projects, "channel": config.channels}
    found = _stored(config, lambda tx: (tx.outbox.counts(), tx.orphans.count(known)))
    if found is None:
        return
    counts, orphaned = found
    waiting = Counter[str]()
    for (channel, status), number in counts.items():
        waiting[channel] += number if str(status) in {"pending", "sending", "held"} else 0
    for (channel, status), number in sorted(counts.items()):
        alerts = count(number, "alert")
        if str(status) == "held" and channel in config.channels:
            all_of_them = count(waiting[channel], "alert")
            text = (
                f"the service refuses it, with {all_of_them} waiting; fix it, then `wrapd channels test {channel}`"
            )
            yield Finding(verdict="warn", what=f"channels.{channel}", text=text)
        elif str(status) == "dead":
            text = f"{alerts} could not be sent; `wrapd deliveries --dead` says why, `retry` or `cancel` them"
            yield Finding(verdict="warn", what=f"channels.{channel}", text=text)
    for each in orphaned:
        rows, idle = ("active job", "nobody asks about them") if each.what == "project" else _ALERTS
        command = move_command(each.what, each.name, known[each.what])
        text = f"the config does not have it, but {count(each.count, rows)}: {idle}; put it back, or `{command}`"
        yield Finding(verdict="fail", what=f"{each.what}s.{each.name}", text=text)


def _undone(transaction: "Transaction") -> list[str]:
    """What waits for a daemon."""
    jobs, alerts = transaction.jobs.counts().items(), transaction.outbox.counts().items()
    tracked = sum(number for (_, tracking), number in jobs if tracking is Tracking.ACTIVE)
    waiting = sum(number for (_, status), number in alerts if str(status) in {"pending", "sending", "held"})
    return [
        *([f"{count(tracked, 'job')} {_are(tracked)} tracked"] if tracked else []),
        *([f"{count(waiting, 'alert')} {_are(waiting)} waiting"] if waiting else []),
    ]


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _stored(config: Config, read: "Callable[[Transaction], T]") -> T | None:
    """What the database holds, None where it has nothing to be read yet, or cannot be read."""
    from daemon.store import SchemaStatus, Store, check  # noqa: PLC0415 - SQLAlchemy

    try:
        if check(config.database.url).status is not SchemaStatus.UP_TO_DATE:
            return None
        store = Store.open(config.database.url, clock=CLOCK, auto_migrate=False)
    except DatabaseFault:
        return None  # the check of the database has said why
    try:
        return store.read(read)
    finally:
        store.close()


def running(config: Config) -> Iterator[Finding]:
    """Whether a daemon works on the database, and whether it says that it is ready."""
    from daemon.store.engine import database_path  # noqa: PLC0415 - SQLAlchemy
    from daemon.store.health import holder  # noqa: PLC0415

    try:
        pid = holder(database_path(config.database.url))
    except DatabaseFault:
        return  # told by the check of the database
    if pid is None:
        wanted = _stored(config, _undone) or []
        wanted += ["the systemd unit is enabled"] if is_expected(config.source) else []
        but = f", though {', '.join(wanted)}" if wanted else ""
        text = f"none works on this database{but}; start it with `wrapd run` or `systemctl start wrapd`"
        yield Finding(verdict="fail" if wanted else "warn", what="daemon", text=text)
        return
    yield Finding(verdict="ok", what="daemon", text=f"runs with pid {pid}")
    if config.web.enabled and config.web.listen.port:
        yield probe(config, "/readyz")


def probe(config: Config, page: str) -> Finding:
    """What the running daemon answers on /healthz or /readyz."""
    what = page.strip("/")
    host, port = config.web.listen
    if not config.web.enabled:
        return Finding(verdict="fail", what=what, text="web.enabled is false, so nobody can ask; set it to true")
    if port == 0:
        return Finding(
            verdict="fail", what=what, text="web.listen has port 0, so nobody knows where to ask; name a port"
        )
    host = _ANY.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        body = answer.read(10_000)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return Finding(
            verdict="fail", what=what, text=f"nobody answers on {host}:{port} ({reason}); is wrapd running?"
        )
    finally:
        connection.close()
    if answer.status == http.HTTPStatus.OK:
        return Finding(verdict="ok", what=what, text=f"{host}:{port} answers 200")
    return Finding(
        verdict="fail", what=what, text=f"{host}:{port} answers {answer.status}{_stalled(body)}; see its log"
    )


def projects(config: Config) -> Iterator[Finding]:
    """One authenticated request for each project: about a job that cannot exist."""
    from daemon.build import project_settings  # noqa: PLC0415 - the API client

    for name in config.projects:
        try:
            settings = project_settings(config, name, os.environ)
        except ConfigFault:
            text = "not asked: its secrets cannot be read here; run this as the service runs (docs/install.md)"
            yield Finding(verdict="warn", what=f"projects.{name}", text=text)
            continue
        yield asyncio.run(_ask(name, settings))


async def _ask(name: str, settings: "object") -> Finding:
    from daemon.domain.jobs import JobId  # noqa: PLC0415
    from daemon.metastudio.budget import Priority  # noqa: PLC0415 - the API client
    from daemon.metastudio.client import ProjectClient  # noqa: PLC0415
    from daemon.metastudio.errors import ApiError, JobNotFound  # noqa: PLC0415
    from daemon.metastudio.gate import AuthGates  # noqa: PLC0415
    from daemon.metastudio.kinds import AVATAR  # noqa: PLC0415
    from daemon.metastudio.settings import ProjectSettings  # noqa: PLC0415

    what = f"projects.{name}"
    assert isinstance(settings, ProjectSettings)
    try:
        client = ProjectClient(settings, clock=CLOCK, gates=AuthGates(CLOCK), rng=random.Random())  # noqa: S311 - jitter
    except ConfigFault as error:
        return Finding(verdict="fail", what=what, text=str(error))
    try:
        permit = await client.budget.take(Priority.NEWS)
        await client.show(AVATAR, JobId("wrapd-doctor"), permit=permit)
    except JobNotFound:
        return Finding(verdict="ok", what=what, text=f"{settings.api_url} answers and takes the credentials")
    except ApiError as error:
        return Finding(verdict="fail", what=what, text=f"{settings.api_url}: {error}")
    finally:
        await client.aclose()
    return Finding(verdict="ok", what=what, text=f"{settings.api_url} answers")


def _touched(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return None


def _stalled(body: bytes) -> str:
    try:
        stalled = json.loads(body).get("stalled")
    except (ValueError, AttributeError):
        return ""
    return f": no progress in {', '.join(map(str, stalled))}" if isinstance(stalled, dict) and stalled else ""
