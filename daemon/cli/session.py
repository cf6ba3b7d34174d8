"""Shared by most commands: the config, the store, options, and job ids from arguments or standard input.

Writes no output and never reads a secret.
"""

import gc
import getpass
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from daemon.cli.layout import wrapped
from daemon.cli.numbers import Count
from daemon.cli.text import clean
from daemon.clock import SystemClock
from daemon.config import Config, load
from daemon.config.file import locate
from daemon.config.values import shown
from daemon.domain.actions import Actor, actor
from daemon.domain.jobs import JobId, ProjectName, parse_job_id
from daemon.domain.text import words
from daemon.errors import DatabaseFault, UnknownName, UsageFault

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from daemon.store import JobRow, Store, Transaction

F = TypeVar("F", bound=Callable[..., Any])

CLOCK = SystemClock()
"""The clock of all commands."""
SHORTEST = 6
"""Minimum length of an id prefix."""
WHOLE = 32
"""Length of the shortest ids that MetaStudio assigns."""
_SHOWN_FAULTS = 20
_SHOWN_JOBS = 5


def who() -> Actor:
    """The user who runs this command, by name, or by number if it has none."""
    try:
        name = getpass.getuser()  # by the environment first: a directory service may not answer
    except (KeyError, OSError):
        name = str(os.getuid())
    return actor("cli", clean(name.encode("utf-8", "replace").decode()))


def json_option(command: F) -> F:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document with stable keys.")(
        command
    )


def config_path(ctx: click.Context) -> Path:
    """The config file of this command line."""
    return locate(ctx.find_root().obj, os.environ)


def config_of(ctx: click.Context) -> Config:
    """The config of this command line. Raises ConfigFault with all faults."""
    return load(config_path(ctx))


def list_options(command: F) -> F:
    """Add `--limit` and `--all` of long lists; see `daemon.cli.pages`."""
    limit = click.option("--limit", type=Count(), help="At most this many. [default: 50 on a terminal, else all]")
    everything = click.option("--all", "everything", is_flag=True, help="List all, even on a terminal.")
    return limit(everything(command))


@contextmanager
def opened(config: Config, *, create: bool = False) -> Iterator["Store"]:
    """Open the store, alongside a running daemon or without one. The database must exist at this program's schema;
    with `create`, for commands that write new rows, it is created. Raises DatabaseFault."""
    from daemon.store import Store  # noqa: PLC0415 - SQLAlchemy

    if not create:
        existing_database(config)
    store = Store.open(config.database.url, clock=CLOCK, auto_migrate=create and config.database.auto_migrate)
    collect()
    try:
        yield store
    finally:
        store.close()


def collect() -> None:
    """Collect garbage from now on, all that is imported aside. For commands that may make much of it."""
    gc.freeze()
    gc.enable()


def project_of(config: Config, name: str | None) -> ProjectName:
    """The named project, or the only one. Raises UnknownName or UsageFault."""
    if name is not None:
        config.project(name)
        return ProjectName(name)
    if len(config.projects) == 1:
        return ProjectName(next(iter(config.projects)))
    if not config.projects:
        raise UsageFault(f"{config.source}: no projects; add a section [projects.NAME]")
    raise UsageFault(f"which project? Add --project with one of {', '.join(config.projects)}")


def job_ids(given: Sequence[str]) -> list[JobId]:
    """The given ids without duplicates. `-` reads them from standard input, one per line, skipping blank lines and
    lines that begin with #. Raises UsageFault that names every invalid one."""
    found: dict[JobId, None] = {}
    faults: list[str] = []
    for where, text in _texts(given):
        try:
            found[parse_job_id(text)] = None
        except ValueError as error:
            faults.append(f"{where}{error}")
    if faults:
        rest = len(faults) - _SHOWN_FAULTS
        listed = [*faults[:_SHOWN_FAULTS], *([f"and {rest} more"] if rest > 0 else [])]
        text = f" {faults[0]}" if len(faults) == 1 else "".join(f"\n  {line}" for line in listed)
        raise UsageFault(f"nothing was changed:{text}")
    if not found:
        raise UsageFault("no job ids; give some, or `-` to read them from standard input")
    return list(found)


def one_id(given: str, command: str) -> JobId:
    """The id given to `command`, which takes only one. Raises UsageFault."""
    if given == "-":
        raise UsageFault(f"`{command}` takes one job id, not a list; `wrapd jobs` lists all")
    try:
        return parse_job_id(given)
    except ValueError as error:
        raise UsageFault(str(error)) from None


def jobs_of(transaction: "Transaction", job_id: JobId, project: str | None) -> "list[JobRow]":
    """The job with that id, one row for each project that has it; else the only job whose id has that prefix.
    Raises UnknownName if there is none, UsageFault if the prefix is ambiguous."""
    within = None if project is None else ProjectName(project)
    rows = transaction.jobs.find(job_id, within)
    if not rows and len(job_id) >= SHORTEST:
        rows = transaction.jobs.beginning(job_id, within, limit=_SHOWN_JOBS + 1)
    if not rows:
        raise UnknownName(_unknown(job_id, project))
    if len({row.job_id for row in rows}) > 1:
        named = "".join(f"\n  {row.job_id} of project {row.project}" for row in rows[:_SHOWN_JOBS])
        rest = "\n  and more" if len(rows) > _SHOWN_JOBS else ""
        raise UsageFault(f"several job ids begin with {job_id}; give more of the id:{named}{rest}")
    return rows


def one_job(transaction: "Transaction", job_id: JobId, project: str | None) -> "JobRow":
    """The only job with that id or id prefix. Raises UnknownName if there is none, UsageFault if there are
    several."""
    rows = jobs_of(transaction, job_id, project)
    if len(rows) > 1:
        raise UsageFault(
            f"several projects have a job {rows[0].job_id}; add --project with one of "
            f"{', '.join(row.project for row in rows)}"
        )
    return rows[0]


def _unknown(job_id: JobId, project: str | None) -> str:
    """The message for an unknown id. Suggests tracking it only if it can be a complete id."""
    place = "" if project is None else f" in project {shown(project)}"
    if len(job_id) >= WHOLE:
        return f"no job {job_id} is known{place}; `wrapd jobs` lists all, `wrapd track {job_id}` adds it"
    if len(job_id) < SHORTEST:
        return f"no job {job_id} is known{place}; a prefix needs {SHORTEST} characters, `wrapd jobs` lists all"
    return f"no job {job_id} is known{place}, nor one with that prefix; `wrapd jobs` lists all"


def given_words(option: str, given: Sequence[str]) -> tuple[str, ...]:
    """The option's values as tags. Raises UsageFault that names the option."""
    try:
        return words(given)
    except ValueError as error:
        raise UsageFault(f"{option}: {error}") from None


def agreed(doing: str, more: str = "") -> bool:
    """Ask for confirmation of `doing`, as in "give up 3 alerts"; `more` adds the consequence. Raises UsageFault if
    standard input is not a terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageFault(f"this would {doing}; add --yes to confirm")
    question = clean(f"{doing[:1].upper()}{doing[1:]}?{more and f' {more}'}")
    if is_screen(sys.stderr):  # with room for the answer
        question = "\n".join(wrapped(question, columns_of(sys.stderr) - len(" [y/N]: y")))
    return click.confirm(question, err=True)


def existing_database(config: Config) -> Path:
    """The database file. Raises DatabaseFault if there is none."""
    path = config.database.path
    if not has_database(config):
        raise DatabaseFault(f"{path}: no database yet; `wrapd run` or `wrapd db upgrade` creates it")
    return path


def has_database(config: Config) -> bool:
    """Whether the database exists. Raises DatabaseFault if this user cannot access it."""
    from daemon.store import SchemaStatus, check  # noqa: PLC0415 - SQLAlchemy

    return check(config.database.url).status is not SchemaStatus.EMPTY


def daemon_runs(config: Config) -> bool:
    """Whether a daemon uses the config's database."""
    from daemon.store.health import holder  # noqa: PLC0415 - SQLAlchemy

    return holder(config.database.path.resolve()) is not None


def has_terminal() -> bool:
    """Whether the command was started from a terminal and should end with it (no nohup)."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return False
    return any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _texts(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in given:
        if text != "-":
            yield "", text
            continue
        # Read as bytes, so that undecodable input becomes an invalid id, not a traceback.
        lines = [] if sys.stdin is None else sys.stdin.buffer.read().decode("utf-8-sig", "replace").splitlines()
        for number, line in enumerate(lines, 1):
            stripped = line.strip()
            if stripped and not stripped.startswith("#"):
                yield f"line {number}: ", stripped


def is_terminal() -> bool:
    """Whether the output goes to a terminal."""
    return sys.stdout is not None and is_screen(sys.stdout)


def is_screen(stream: TextIO) -> bool:
    """Whether the stream goes to a terminal that understands control sequences."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def columns_of(stream: TextIO) -> int:
    """The width of the terminal of `stream` in cells, unless COLUMNS says otherwise; of other streams 80."""
    size = os.terminal_size((80, 24))
    with suppress(OSError, ValueError):
        size = os.get_terminal_size(stream.fileno())
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdecimal() and int(given) else size.columns or 80
