"""What each command loads: a library that it does not need costs CPU at every call.

Names of modules in a process of its own with a real database; `bench/start.py` has the times. A command without a
row fails.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import certifi
import click
import pytest

from daemon.cli import wrapd
from tests.support.programs import ROOT

WATCHED = {
    *("sqlalchemy", "alembic", "sqlite3", "pydantic", "msgspec", "structlog", "rich", "importlib.metadata"),
    *("apprise", "requests", "apscheduler", "litestar", "uvicorn", "httpx", "aiohttp"),
    *("prometheus_client", "jinja2", "asyncio", "logging", "charset_normalizer"),
    *("daemon.store.retention", "daemon.store.constraints"),
}
"""Libraries that are slow to import, and parts of the store that only one command needs, or none."""
CONFIG = """
[projects.main]
region = "cn-north-4"
auth = { method = "aksk", access_key = "AK", secret_key = "SECRET-KEY" }

[channels.hook]
url = "json://127.0.0.1:9/hook"
"""
PROGRAM = """
import sys
from daemon.cli import main
main(sys.argv[2:])
import json
print(json.dumps([each for each in sys.argv[1].split() if each in sys.modules]), file=sys.stderr)
"""
LOGS = {"logging"}
SERVER = LOGS | {"asyncio"}
STORE = SERVER | {"sqlalchemy", "sqlite3", "msgspec", "importlib.metadata"}
CHANNELS = SERVER | {"apprise", "requests", "msgspec", "importlib.metadata"}
QUICK = {"", "version", "completion", "jobs", "show", "track", "deliveries", "config check"}
"""The commands whose CPU is bounded; the others are tested where there is more time."""
ROWS: dict[str, tuple[str, set[str]]] = {
    "": ("--help", set()),
    "version": ("--version", set()),
    "web": ("web --help", LOGS),
    "web login": ("web login", STORE),
    "run": ("run --help", SERVER),
    "demo": ("demo --help", SERVER),
    "track": ("track job-1", STORE),
    "untrack": ("untrack job-2", STORE),
    "label": ("label job-1 text", STORE),
    "ask": ("ask job-1", STORE),
    "note": ("note job-1 text", STORE),
    "tag": ("tag job-1 --add word", STORE),
    "jobs": ("jobs", STORE),
    "jobs move": ("jobs move --project old main", STORE),
    "batches": ("batches", STORE),
    "needs": ("needs", STORE),
    "pause": ("pause main", STORE),
    "resume": ("resume main", STORE),
    "show": ("show job-1", STORE),
    "explain": ("explain job-1", STORE),
    "stats": ("stats", STORE),
    "watch": ("watch --all --once", STORE),
    "deliveries": ("deliveries", STORE),
    "deliveries cancel": ("deliveries cancel --dead", STORE),
    "deliveries move": ("deliveries move --channel old hook", STORE),
    "deliveries resend": ("deliveries resend --job job-1", STORE),
    "deliveries retry": ("deliveries retry --dead", STORE),
    "deliveries revive": ("deliveries revive --channel hook", STORE),
    "deliveries show": ("deliveries show 1", STORE),
    "channels": ("channels", STORE),
    "channels test": ("channels test --help", LOGS),
    "mute": ("mute --job job-1 --for 1h --comment why", STORE),
    "mute list": ("mute list", STORE),
    "mute end": ("mute end 1", STORE),
    "share": ("share --batch none", STORE),
    "share list": ("share list", STORE),
    "share revoke": ("share revoke 1", STORE),
    "routes": ("routes", LOGS),
    "routes explain": ("routes explain job-1", STORE),
    "templates": ("templates", LOGS),
    "templates preview": ("templates preview --channel hook --event failed", CHANNELS | {"jinja2"}),
    "links": ("links --help", LOGS),
    "links list": ("links list", STORE),
    "links revoke": ("links revoke job-1", STORE),
    "tokens": ("tokens --help", LOGS),
    "tokens create": ("tokens create tool", STORE),
    "tokens list": ("tokens list", STORE),
    "tokens revoke": ("tokens revoke tool", STORE),
    "callback-url": ("callback-url --help", LOGS),
    "config": ("config --help", LOGS),
    "config check": ("config check", CHANNELS),
    "config schema": ("config schema", LOGS),
    "config init": ("config init --stdout", LOGS),
    "reload": ("reload", STORE),
    "db": ("db --help", LOGS),
    "db backup": ("db backup copy.db", STORE),
    "db check": ("db check", STORE),
    "db restore": ("db restore --yes kept.db", STORE),
    "db prune": ("db prune --yes", STORE | {"daemon.store.retention"}),
    "db upgrade": ("db upgrade", STORE),
    "doctor": ("doctor", STORE | CHANNELS),
    "completion": ("completion bash", set()),
    "sim": ("sim --help", SERVER),
}
"""For each command the command line that is run, and what it may load."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config and a database of one job."""
    path = tmp_path_factory.mktemp("budget")
    (path / "wrapd.toml").write_text(CONFIG)
    (path / "wrapd.toml").chmod(0o600)
    loaded(path, "track job-1")
    loaded(path, "db backup kept.db")
    return path


def loaded(folder: Path, command: str) -> set[str]:
    """The watched libraries that a command loads."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, " ".join(WATCHED), *command.split()],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(json.loads(ended.stderr.splitlines()[-1]))


def commands(group: click.Group, *before: str) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield " ".join([*before, name])
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)


def test_every_command_has_a_row() -> None:
    assert {"", "version", *commands(wrapd)} == set(ROWS)


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=() if each in QUICK else pytest.mark.long) for each in ROWS]
)
def test_a_command_loads_what_it_needs(folder: Path, name: str) -> None:
    command, budget = ROWS[name]
    assert loaded(folder, command) <= budget


def test_a_daemon_loads_the_whole_store_when_it_opens_it(tmp_path: Path) -> None:
    """Later the files may be those of another version. What migrated the database is not kept."""
    code = (
        "import sys; from daemon.clock import SystemClock; from daemon.store import Store\n"
        f"Store.open('sqlite:///{tmp_path}/x.db', clock=SystemClock(), daemon=True).close()\n"
        "print(*(each for each in sys.modules if each.startswith(('daemon.store.', 'alembic'))))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    parts = {f"daemon.store.{each}" for each in ("moves", "retention", "pictures", "history", "resend", "outbox")}
    loaded = set(ended.stdout.split())
    assert parts <= loaded
    assert "alembic" not in loaded


def test_the_tab_key_loads_no_command(folder: Path) -> None:
    """What a shell runs for `wrapd <Tab>`."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "daemon.cli"],
        cwd=folder,
        env={
            "PYTHONPATH": str(ROOT),
            "_WRAPD_COMPLETE": "bash_complete",
            "COMP_WORDS": "wrapd ",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "plain,jobs" in ended.stdout
    modules = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert {each for each in modules if each.startswith("daemon")} <= {
        *("daemon", "daemon.errors", "daemon.cli", "daemon.cli.__main__")
    }


def test_the_templates_of_the_pages_come_with_the_first_page() -> None:
    """They take 10 MiB, and many a daemon is never looked at."""
    program = "import sys, daemon.web.app; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_the_rows_of_the_store_bring_no_laws_of_production() -> None:
    """Few commands estimate, and all of those that open the store would pay for it."""
    program = "import sys, daemon.store.mapping; print('daemon.domain.samples' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_no_library_holds_public_cas_of_its_own() -> None:
    """aiohttp would load them twice, 2 MiB. Where they come from stays as it was."""
    program = (
        "import gc, os, ssl, daemon.app.run, daemon.build, daemon.transport\n"
        "contexts = [each for each in gc.get_objects() if isinstance(each, ssl.SSLContext)]\n"
        "print(len(contexts) > 0, sum(each.cert_store_stats()['x509_ca'] for each in contexts))\n"
        "print({name: os.environ.get(name) for name in ('SSL_CERT_FILE', 'SSL_CERT_DIR')})\n"
        "print(daemon.transport._wide_trust(None).cert_store_stats()['x509_ca'] > 20)"
    )
    environ = {**os.environ, "SSL_CERT_FILE": certifi.where()}
    environ.pop("SSL_CERT_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT, env=environ
    )
    assert done.stdout.splitlines() == [
        "True 0",
        str({"SSL_CERT_FILE": certifi.where(), "SSL_CERT_DIR": None}),
        "True",
    ]
