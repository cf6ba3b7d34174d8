"""`wrapd track --from-api`: tracks jobs from the service's list. A running daemon does this within its request
budget; without one, this command queries the service itself.

Owns the request to the daemon, the wait for it, and the printed result. daemon/watch/wishes.py owns the filters.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon.cli import output
from daemon.cli.notices import paused
from daemon.cli.output import Column, Facts
from daemon.cli.session import CLOCK, is_terminal, opened
from daemon.cli.text import about, clean, count
from daemon.config import Config
from daemon.domain.events import Json
from daemon.domain.jobs import ProjectName
from daemon.errors import DatabaseFault, Exit, WrapdError

if TYPE_CHECKING:
    from daemon.store import DiscoveryRow, Store
    from daemon.watch.wishes import Tally, Wish

PATIENCE = 120.0
"""Seconds to wait for the daemon."""
_CHECK_EVERY = 0.25
"""Seconds between two checks whether the daemon is done."""

_COLUMNS = (
    Column(title="NAME", gives=True, least=24, free=True),
    Column(title="RESULT"),
    Column(title="STATE", coloured=True),
    Column(title="KIND"),
    Column(title="JOB", ids=True),
)


class NotDone(WrapdError):
    """The list was not read, or not completely. `str()` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The result. `jobs` are the first of the matching jobs; `error` says why the result is incomplete."""

    project: ProjectName
    dry_run: bool
    found: int
    added: int
    jobs: Sequence[Json]
    error: str | None = None


def discover(config: Config, project: ProjectName, wish: "Wish", *, as_json: bool) -> Exit:
    """Track the project's jobs that match the wish, and print the result. Raises NotDone if the list could not be
    read completely."""
    from daemon.store.health import holder  # noqa: PLC0415 - SQLAlchemy

    with opened(config, create=True) as store:
        pause = store.read(lambda tx: tx.pauses.all()).get(project)
        if pause is not None:
            raise NotDone(f"project {project} is paused {paused(pause)}; `wrapd resume {project}` ends that")
        pid = holder(config.database.path.resolve())
        account = (
            _by_daemon(store, project, wish, pid) if pid is not None else _by_itself(store, config, project, wish)
        )
    if as_json:
        output.document(json_of_account(account))
    else:
        _show(account)
    if account.error is not None:
        raise NotDone(f"project {clean(project)}: {account.error}")
    return Exit.OK


def _show(account: Account) -> None:
    jobs = [each for each in account.jobs if isinstance(each, dict)]
    rows = [
        [
            str(job.get("name") or "-"),
            _result(job),
            *(str(job.get(key) or "-") for key in ("state", "kind", "job_id")),
        ]
        for job in jobs
    ]
    output.table(
        _COLUMNS,
        rows,
        empty="No job in the service's list matches; try a longer --since or another --state.",
    )
    left_out = account.found - len(jobs)
    if left_out > 0:
        output.line(f"and {count(left_out, 'job')} more")
    if is_terminal() and account.found:
        done = "none added: this was a dry run" if account.dry_run else f"{account.added} added"
        output.line(f"{account.found} found, {done}")


def _result(job: "dict[str, Json]") -> str:
    """The result in a word; for a known job that is no longer tracked, why."""
    result, tracking = job.get("result"), job.get("tracking")
    if result == "added":
        return "tracked"
    return str(tracking) if tracking in ("stopped", "lost", "expired") else str(result)


def _by_itself(store: "Store", config: Config, project: ProjectName, wish: "Wish") -> Account:
    """Query the service from this process, within the project's budget."""
    from daemon.build import project_settings  # noqa: PLC0415 - the API client
    from daemon.watch.wishes import Tally  # noqa: PLC0415

    settings = project_settings(config, project, os.environ)
    tally = Tally()
    error = asyncio.run(_read_list(settings, store, wish, tally))
    return Account(
        project=project,
        dry_run=wish.dry_run,
        found=tally.found,
        added=tally.added,
        jobs=[each.facts() for each in tally.jobs],
        error=error,
    )


async def _read_list(settings: object, store: "Store", wish: "Wish", tally: "Tally") -> str | None:
    import random  # noqa: PLC0415

    from daemon.metastudio.client import ProjectClient  # noqa: PLC0415 - the API client
    from daemon.metastudio.errors import ApiError  # noqa: PLC0415
    from daemon.metastudio.gate import AuthGates  # noqa: PLC0415
    from daemon.metastudio.settings import ProjectSettings  # noqa: PLC0415
    from daemon.watch.discovery import Cut, Looker, in_words  # noqa: PLC0415

    assert isinstance(settings, ProjectSettings)
    client = ProjectClient(settings, clock=CLOCK, gates=AuthGates(CLOCK), rng=random.Random())  # noqa: S311 - jitter
    looker = Looker(project=settings.name, client=client, store=store, clock=CLOCK)
    try:
        await looker.look(wish, tally=tally)
    except (ApiError, Cut) as error:
        return in_words(error)
    finally:
        await client.aclose()
    return None


def _by_daemon(store: "Store", project: ProjectName, wish: "Wish", pid: int) -> Account:
    """Have the daemon do it, and wait until it is done."""
    filters = wish.facts()
    row = store.write_now(lambda transaction: transaction.discoveries.ask(project, filters, CLOCK.now()))
    try:
        done = _wait(store, row, pid)
    except KeyboardInterrupt:
        _withdraw(store, row)
        with suppress(OSError):
            output.hint("withdrawn; jobs that the daemon has added by now stay tracked")
        raise
    result = done.result or {}
    jobs = result.get("jobs")
    return Account(
        project=project,
        dry_run=wish.dry_run,
        found=done.found or 0,
        added=done.added or 0,
        jobs=jobs if isinstance(jobs, list) else [],
        error=done.error,
    )


def _wait(store: "Store", row: int, pid: int) -> "DiscoveryRow":
    from daemon.store.health import holder  # noqa: PLC0415 - SQLAlchemy

    until = CLOCK.monotonic() + PATIENCE
    while True:
        found = store.read(lambda transaction: transaction.discoveries.get(row))
        if found is None:
            raise DatabaseFault(
                f"{store.path}: the request is gone; was the database replaced? Run the command again"
            )
        if found.ended_at is not None:
            return found
        if holder(store.path.resolve()) is None:
            _withdraw(store, row)
            raise NotDone(f"the daemon (pid {pid}) stopped before it was done; run the command again")
        if CLOCK.monotonic() >= until:
            raise NotDone(
                f"the daemon (pid {pid}) was not done within {about(PATIENCE)} but continues; `wrapd jobs` shows "
                "what it adds. If nothing is added, `wrapd doctor --online` says whether MetaStudio answers; if "
                "the daemon was started before this project was in the config, restart it"
            )
        time.sleep(_CHECK_EVERY)


def _withdraw(store: "Store", row: int) -> None:
    store.write_now(
        lambda transaction: transaction.discoveries.finish(
            row, at=CLOCK.now(), found=0, added=0, error="withdrawn by the command"
        )
    )


def json_of_account(account: Account) -> Facts:
    """The result of `track --from-api --json`."""
    return {
        "project": account.project,  # name of the project in the config
        "dry_run": account.dry_run,  # whether this was a dry run, which tracks nothing
        "found": account.found,  # number of matching jobs
        "added": account.added,  # number of them that were not known before and are tracked now
        # the first 1000 matches: `job_id`, `kind`, `state`, `name` of the video or null, `result` (added, known,
        # or new: a dry run would add it), and `tracking` of a known one (active, finished, lost, expired or
        "jobs": list(account.jobs),  # stopped)
        "error": account.error,  # why the result is incomplete, or null
    }
