"""What most commands share: the config, the store, options, the ids given as arguments or on standard input.

Owns no output. Never reads a secret.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from daemon.cli.numbers import Count
from daemon.cli.text import clean
from daemon.clock import SystemClock
from daemon.config import Config, load, locate
from daemon.config.values import shown
from daemon.domain.jobs import JobId, ProjectName, parse_job_id
from daemon.domain.text import words
from daemon.errors import DatabaseFault, UnknownName, UsageFault

if TYPE_CHECKING:  # SQLAlchemy is slow to import: only commands that open the store pay for it
    from daemon.store import JobRow, Store, Transaction

F = TypeVar("F", bound=Callable[..., Any])

CLOCK = SystemClock()
"""The clock of all commands."""
SHORTEST = 6
"""Characters of an id that stand for the whole."""
WHOLE = 32
"""Characters of the shortest ids that MetaStudio gives."""
_SHOWN_FAULTS = 20
_SHOWN_JOBS = 5


def json_option(command: F) -> F:
    """`--json` of the reading commands."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document, with stable keys.")(command)


def config_path(ctx: click.Context) -> Path:
    """The config file that this command line means."""
    return locate(ctx.find_root().obj, os.environ)


def config_of(ctx: click.Context) -> Config:
    """The config of this command line. Raises ConfigFault with all faults."""
    return load(config_path(ctx))


def list_options(command: F) -> F:
    """`--limit` and `--all` of the long lists; see `daemon.cli.pages`."""
    limit = click.option(
        "--limit", type=Count(), help="At most this many, the newest. [default: 50 on a terminal, else all]"
    )
    everything = click.option("--all", "everything", is_flag=True, help="All of them, on a terminal too.")
    return limit(everything(command))


@contextmanager
def opened(config: Config, *, create: bool = False) -> Iterator["Store"]:
    """The store, beside a running daemon or without one. It has to be there, at this program's schema: only what
    has something to put into it makes it, with `create`. Raises DatabaseFault."""
    from daemon.store import Store  # noqa: PLC0415 - SQLAlchemy: 0.3 s that `--help` need not pay

    if not create:
        existing_database(config)
    store = Store.open(config.database.url, clock=CLOCK, auto_migrate=create and config.database.auto_migrate)
    try:
        yield store
    finally:
        store.close()


def project_of(config: Config, name: str | None) -> ProjectName:
    """The project of that name, or the only one. Raises UnknownName or UsageFault."""
    if name is not None:
        config.project(name)
        return ProjectName(name)
    if len(config.projects) == 1:
        return ProjectName(next(iter(config.projects)))
    if not config.projects:
        raise UsageFault(f"{config.source}: there is no project; add a section [projects.NAME]")
    raise UsageFault(f"which project? Add --project with one of {', '.join(config.projects)}")


def job_ids(given: Sequence[str]) -> list[JobId]:
    """The ids given, each once; `-` stands for those of standard input, one a line (blank lines and lines that
    begin with # are skipped). Raises UsageFault that names every one that is no id."""
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
        raise UsageFault("no job ids were given; name some, or `-` to read them from standard input")
    return list(found)


def jobs_of(transaction: "Transaction", job_id: JobId, project: str | None) -> "list[JobRow]":
    """The job of that id, in each project that has it; else the one whose id begins so. Raises UnknownName where
    there is none, UsageFault where several ids begin so."""
    within = None if project is None else ProjectName(project)
    rows = transaction.jobs.find(job_id, within)
    if not rows and len(job_id) >= SHORTEST:
        rows = transaction.jobs.beginning(job_id, within, limit=_SHOWN_JOBS + 1)
    if not rows:
        raise UnknownName(_unknown(job_id, project))
    if len({row.job_id for row in rows}) > 1:
        named = "".join(f"\n  {row.job_id} of project {row.project}" for row in rows[:_SHOWN_JOBS])
        rest = "\n  and more" if len(rows) > _SHOWN_JOBS else ""
        raise UsageFault(f"several jobs begin with {job_id}; write more of the id:{named}{rest}")
    return rows


def one_job(transaction: "Transaction", job_id: JobId, project: str | None) -> "JobRow":
    """The job of that id, else the only one whose id begins so. Raises UnknownName where there is none, UsageFault
    where there are several."""
    rows = jobs_of(transaction, job_id, project)
    if len(rows) > 1:
        raise UsageFault(
            f"several projects have a job {rows[0].job_id}; add --project with one of "
            f"{', '.join(row.project for row in rows)}"
        )
    return rows[0]


def _unknown(job_id: JobId, project: str | None) -> str:
    """That there is no such job. Only of an id that may be whole it is said how to track it."""
    place = "" if project is None else f" in project {shown(project)}"
    if len(job_id) >= WHOLE:
        return f"no job {job_id} is known{place}; `wrapd jobs` lists all, `wrapd track {job_id}` adds it"
    if len(job_id) < SHORTEST:
        return f"no job {job_id} is known{place}; a short id takes {SHORTEST} characters, `wrapd jobs` lists all"
    return f"no job {job_id} is known{place}, and none whose id begins so; `wrapd jobs` lists all"


def given_words(option: str, given: Sequence[str]) -> tuple[str, ...]:
    """What an option gives, as the tags of a job. Raises UsageFault that names it."""
    try:
        return words(given)
    except ValueError as error:
        raise UsageFault(f"{option}: {error}") from None


def agreed(doing: str, more: str = "") -> bool:
    """Ask whether it is to be done, as in "give up 3 alerts"; `more` says what comes of it. Raises UsageFault
    where nobody can answer."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageFault(f"this would {doing}; add --yes to do it without being asked")
    return click.confirm(clean(f"{doing[:1].upper()}{doing[1:]}?{more and f' {more}'}"), err=True)


def existing_database(config: Config) -> Path:
    """The database file. Raises DatabaseFault where there is none."""
    path = config.database.path
    if not has_database(config):
        raise DatabaseFault(f"{path}: there is no database yet; `wrapd run` or `wrapd db upgrade` makes it")
    return path


def has_database(config: Config) -> bool:
    """Whether the database was made. Raises DatabaseFault where this user cannot see it."""
    from daemon.store import SchemaStatus, check  # noqa: PLC0415 - SQLAlchemy

    return check(config.database.url).status is not SchemaStatus.EMPTY


def daemon_runs(config: Config) -> bool:
    """Whether a daemon works on the config's database."""
    from daemon.store.health import holder  # noqa: PLC0415 - SQLAlchemy

    return holder(config.database.path.resolve()) is not None


def has_terminal() -> bool:
    """Whether a person started this from a terminal whose end is meant to be the command's end (without nohup)."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return False
    return any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _texts(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in given:
        if text != "-":
            yield "", text
            continue
        # Bytes: what the locale cannot read must come out as a wrong id, not as a traceback.
        lines = [] if sys.stdin is None else sys.stdin.buffer.read().decode("utf-8-sig", "replace").splitlines()
        for number, line in enumerate(lines, 1):
            stripped = line.strip()
            if stripped and not stripped.startswith("#"):
                yield f"line {number}: ", stripped


def is_terminal() -> bool:
    """Whether a person looks at the output."""
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
