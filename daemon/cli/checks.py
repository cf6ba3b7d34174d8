"""The checks of `wrapd doctor`: each examines one thing and reports its state, with a remedy if something is
wrong.

Changes nothing and shows no secret.
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

_LIBRARIES = ("httpx", "aiohttp", "sqlalchemy", "apprise", "apscheduler", "litestar")
_MIN_SQLITE = (3, 35)
_MIN_FREE = 200 * 1024 * 1024
_NO_ROOM = 10 * 1024 * 1024
_MADE = datetime(2025, 1, 1, tzinfo=UTC)
_OLD_BACKUP = 2 * 86400.0
"""Seconds: of two daily backups, one is missing."""
_PATIENCE = 5.0
"""Seconds to wait for the daemon's own pages."""
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - matched, not listened on
"""The address to query for a daemon that listens on every address of this machine."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `text` includes the remedy unless the verdict is ok."""

    verdict: Verdict
    what: str
    text: str


def program() -> Iterator[Finding]:
    """Versions, and whether the imported package `daemon` is wrapd's own."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    yield Finding(
        "ok",
        "version",
        f"wrapd {daemon.__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
    )
    yield Finding("ok", "libraries", libraries)
    if sqlite3.sqlite_version_info < _MIN_SQLITE:
        yield Finding(
            "fail",
            "sqlite",
            f"SQLite {sqlite3.sqlite_version} is too old; use a Python built with SQLite 3.35 or newer",
        )
    folder = Path(daemon.__file__).parent
    try:
        other = distribution("python-daemon")
    except PackageNotFoundError:
        yield Finding("ok", "package", f"`daemon` is {folder}")
    else:
        yield Finding(
            "fail",
            "package",
            f"python-daemon {other.version} is installed alongside wrapd and has a package of the same name, "
            f"`daemon` ({folder}); install wrapd into its own environment",
        )


def clock(config: Config | None) -> Iterator[Finding]:
    """Whether the wall clock is plausible."""
    now = CLOCK.now()
    touched = _touched(config.database.path) if config else None
    ahead = (touched - now).total_seconds() if touched else 0.0
    if now < _MADE:
        yield Finding("fail", "clock", f"it shows {now:%Y-%m-%d}; set it (NTP), or signatures are refused")
    elif ahead > 60:
        yield Finding(
            "warn",
            "clock",
            f"the database was written {about(ahead)} in the future; check whether the clock was set back",
        )
    else:
        yield Finding("ok", "clock", moment(now))


def database(config: Config) -> Iterator[Finding]:
    """The database file, its schema and its folder."""
    from daemon.store import SchemaStatus, check  # noqa: PLC0415 - SQLAlchemy
    from daemon.store.migrate import require  # noqa: PLC0415

    path = config.database.path
    try:
        schema = check(config.database.url)
        if schema.status is not SchemaStatus.EMPTY:
            require(schema, upgradable=config.database.auto_migrate)
    except DatabaseFault as error:
        yield Finding("fail", "database", str(error))
        return
    folder = schema.path.parent
    if not folder.is_dir():
        yield Finding("fail", "database", f"{path}: no folder {folder}; create it")
        return
    if not os.access(folder, os.W_OK) or (schema.path.exists() and not os.access(schema.path, os.W_OK)):
        yield Finding(
            "fail",
            "database",
            f"{path}: not writable for this user, so a daemon run by this user cannot write it either",
        )
    elif schema.status is SchemaStatus.EMPTY and daemon_runs(config):
        text = f"{path}: the file is gone while a daemon uses it; `systemctl restart wrapd` creates a new one"
        yield Finding("fail", "database", text)
    elif schema.status is SchemaStatus.EMPTY:
        yield Finding("ok", "database", f"{path}: does not exist yet; `wrapd run` creates it")
    else:
        yield Finding("ok", "database", f"{path}: {schema.status}, schema {schema.revision}")
    free = shutil.disk_usage(folder).free
    if free < _MIN_FREE:
        verdict: Verdict = "fail" if free < _NO_ROOM else "warn"
        yield Finding(verdict, "disk", f"{folder}: only {free // 2**20} MiB free; free up space")


def backups(config: Config) -> Iterator[Finding]:
    """How old the newest backup is, of those that `wrapd db backup --keep` puts next to the database."""
    from daemon.store.backups import folder_of, newest  # noqa: PLC0415 - SQLAlchemy

    path = config.database.path.resolve()
    found, folder = newest(path), folder_of(path)
    if found is None:
        hidden = folder.exists() and not os.access(folder, os.R_OK | os.X_OK)
        if path.exists() and not hidden:
            text = f"there is none in {folder}; docs/install.md has a timer that makes one every night"
            yield Finding("warn", "backup", text)
        return
    made, number = found
    age = (CLOCK.now() - made).total_seconds()
    text = f"the newest of {number} is {about(age)} old"
    if age > _OLD_BACKUP:
        text += "; if they are made by the timer, `journalctl -u wrapd-backup` says why there is none since"
    yield Finding("warn" if age > _OLD_BACKUP else "ok", "backup", text)


def deliveries(config: Config) -> Iterator[Finding]:
    """Channels with held or dead alerts, and jobs or alerts whose project or channel is not in the config."""
    known: dict[What, Collection[str]] = {"project": config.projects, "channel": config.channels}
    found = _stored(config, lambda tx: (tx.deliveries.counts(), tx.orphans.count(known)))
    if found is None:
        return
    counts, orphaned = found
    waiting = Counter[str]()
    for (channel, status), number in counts.items():
        waiting[channel] += number if str(status) in {"pending", "sending", "held"} else 0
    for (channel, status), number in sorted(counts.items()):
        alerts = count(number, "alert")
        if str(status) == "held" and channel in config.channels:
            held = count(waiting[channel], "alert")
            text = f"the service refuses it, {held} waiting; fix it, then `wrapd channels test {channel}`"
            yield Finding("warn", f"channels.{channel}", text)
        elif str(status) == "dead":
            text = f"{alerts} could not be sent; `wrapd deliveries --dead` says why, `retry` or `cancel` them"
            yield Finding("warn", f"channels.{channel}", text)
    for each in orphaned:
        is_project = each.what == "project"
        rows, idle = ("active job", "not polled") if is_project else ("unsent alert", "not sent")
        command = move_command(each.what, each.name, known[each.what])
        text = f"not in the config, but has {count(each.count, rows)}, {idle}; put it back, or `{command}`"
        yield Finding("fail", f"{each.what}s.{each.name}", text)


def _undone(transaction: "Transaction") -> list[str]:
    """The work that waits for a daemon, in words."""
    jobs, alerts = transaction.jobs.counts().items(), transaction.deliveries.counts().items()
    tracked = sum(number for (_, tracking), number in jobs if tracking is Tracking.ACTIVE)
    waiting = sum(number for (_, status), number in alerts if str(status) in {"pending", "sending", "held"})
    return [
        *([f"{count(tracked, 'job')} {_are(tracked)} tracked"] if tracked else []),
        *([f"{count(waiting, 'alert')} {_are(waiting)} waiting"] if waiting else []),
    ]


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _stored(config: Config, read: "Callable[[Transaction], T]") -> T | None:
    """The result of `read`; None if the database has no schema of this program yet or cannot be read."""
    from daemon.store import SchemaStatus, Store, check  # noqa: PLC0415 - SQLAlchemy

    try:
        if check(config.database.url).status is not SchemaStatus.UP_TO_DATE:
            return None
        store = Store.open(config.database.url, clock=CLOCK, auto_migrate=False)
    except DatabaseFault:
        return None  # reported by the database check
    try:
        return store.read(read)
    finally:
        store.close()


def running(config: Config) -> Iterator[Finding]:
    """Whether a daemon uses the database, and whether it reports ready."""
    from daemon.store.engine import database_path  # noqa: PLC0415 - SQLAlchemy
    from daemon.store.health import holder  # noqa: PLC0415

    try:
        pid = holder(database_path(config.database.url))
    except DatabaseFault:
        return  # reported by the database check
    if pid is None:
        wanted = _stored(config, _undone) or []
        wanted += ["the systemd unit is enabled"] if is_expected(config.source) else []
        but = f", although {', '.join(wanted)}" if wanted else ""
        text = f"none uses this database{but}; start one with `wrapd run` or `systemctl start wrapd`"
        yield Finding("fail" if wanted else "warn", "daemon", text)
        return
    yield Finding("ok", "daemon", f"running with pid {pid}")
    if config.web.enabled and config.web.listen.port:
        yield probe(config, "/readyz")


def probe(config: Config, page: str) -> Finding:
    """The running daemon's answer on /healthz or /readyz."""
    what = page.strip("/")
    host, port = config.web.listen
    if not config.web.enabled:
        return Finding("fail", what, "web.enabled is false, so nothing answers; set it to true")
    if port == 0:
        return Finding("fail", what, "web.listen has port 0, a random port; set a fixed one")
    host = _ANY.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        body = answer.read(10_000)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return Finding("fail", what, f"no answer on {host}:{port} ({reason}); is wrapd running?")
    finally:
        connection.close()
    if answer.status == http.HTTPStatus.OK:
        return Finding("ok", what, f"{host}:{port} answers 200")
    return Finding("fail", what, f"{host}:{port} answers {answer.status}{_stalled(body)}; see the log")


def projects(config: Config) -> Iterator[Finding]:
    """Send one authenticated request for each project, about a job that cannot exist."""
    from daemon.build import project_settings  # noqa: PLC0415 - the API client

    for name in config.projects:
        try:
            settings = project_settings(config, name, os.environ)
        except ConfigFault:
            text = "not tried: its secrets cannot be read here; run this as the service does (docs/install.md)"
            yield Finding("warn", f"projects.{name}", text)
            continue
        yield asyncio.run(_ask(name, settings))


async def _ask(name: str, settings: "object") -> Finding:
    from daemon.domain.jobs import JobId  # noqa: PLC0415
    from daemon.metastudio.budget import Priority  # noqa: PLC0415 - the API client
    from daemon.metastudio.client import ProjectClient  # noqa: PLC0415
    from daemon.metastudio.errors import (  # noqa: PLC0415
        ApiError,
        AuthRefused,
        JobNotFound,
        ProjectFault,
        Unavailable,
    )
    from daemon.metastudio.gate import AuthGates  # noqa: PLC0415
    from daemon.metastudio.kinds import AVATAR  # noqa: PLC0415
    from daemon.metastudio.settings import ProjectSettings  # noqa: PLC0415

    what = f"projects.{name}"
    assert isinstance(settings, ProjectSettings)
    try:
        client = ProjectClient(settings, clock=CLOCK, gates=AuthGates(CLOCK), rng=random.Random())  # noqa: S311 - jitter
    except ConfigFault as error:
        return Finding("fail", what, str(error))
    try:
        permit = await client.budget.take(Priority.NEWS)
        await client.show(AVATAR, JobId("wrapd-doctor"), permit=permit)
    except JobNotFound:
        return Finding("ok", what, f"{settings.api_url} answers and accepts the credentials")
    except ApiError as error:
        remedies = {
            AuthRefused: "check the key, that it belongs to this site, and the clock",
            ProjectFault: "check region, endpoint and project_id, and that the user may read MetaStudio",
            Unavailable: "check region or endpoint, the network and its firewall, proxy and ca_file",
        }
        remedy = next((text for kind, text in remedies.items() if isinstance(error, kind)), None)
        return Finding("fail", what, "; ".join(filter(None, (f"{settings.api_url}: {error}", remedy))))
    finally:
        await client.aclose()
    return Finding("ok", what, f"{settings.api_url} answers")


def _touched(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return None


def _stalled(body: bytes) -> str:
    try:
        stalled = json.loads(body).get("stalled")
    except (ValueError, AttributeError, RecursionError):
        return ""
    return f": no progress in {', '.join(map(str, stalled))}" if isinstance(stalled, dict) and stalled else ""
