"""`wrapd watch`: follow jobs until each has ended, with an exit status that says how."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

import click

from daemon import views
from daemon.cli import INTERRUPTED, output
from daemon.cli.choosing import Followable
from daemon.cli.filters import Word
from daemon.cli.numbers import Duration
from daemon.cli.session import CLOCK, config_of, is_terminal, opened
from daemon.cli.text import about
from daemon.cli.watch_screen import Jobs, JsonLines, Lines, LiveTable, Show, Source
from daemon.cli.zone import zone_option
from daemon.errors import UsageFault

_FRAME = 0.5
"""Seconds between two frames of a terminal, at least."""
_IDLE = 5.0
"""Seconds between two looks when nothing changed."""


@click.command("watch")
@click.argument("ids", nargs=-1, metavar="[JOB_ID... | -]")
@click.option("--batch", type=Word(), metavar="WORD", help="All jobs in this batch.")
@click.option("--tag", type=Word(), metavar="WORD", help="All jobs with this tag.")
@click.option("--all", "everything", is_flag=True, help="All tracked jobs.")
@click.option("--project", type=Word(), metavar="NAME", help="Only jobs of this project.")
@click.option("--timeout", type=Duration(least=1.0), help="Stop after this time, such as 2h.")
@click.option("--once", is_flag=True, help="Show the jobs as they are now, and end as with a timeout of 0.")
@click.option("--server", metavar="URL", help="Ask the daemon at this address, instead of reading the database.")
@click.option("--token-file", type=click.Path(path_type=Path), help="With --server: the file of the token.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each change.")
@zone_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    ids: tuple[str, ...],
    batch: str | None,
    tag: str | None,
    everything: bool,
    project: str | None,
    timeout: float | None,
    once: bool,
    server: str | None,
    token_file: Path | None,
    as_json: bool,
) -> int:
    """Follow jobs until each has ended or is frozen, lost, expired or no longer tracked. Jobs that are added to
    the batch or get the tag meanwhile are followed too.

    The exit status says how they ended, and the highest counts: 0 all succeeded, 10 one was canceled, 11 one
    succeeded in part, 12 one is frozen, lost, expired or no longer tracked, 13 one failed. It is 124 if some
    still run at the end of --timeout or with --once, and 130 after Ctrl-C. Jobs stay tracked whatever happens.

    On a terminal this is a live table, with what needs a person first; the last one stays. Elsewhere it is a line
    for each job and then for each change, and with --json one object a line, the last one a summary.
    """
    which = Followable(ids=ids, batch=batch, tag=tag, everything=everything, project=project)
    if (server is None) != (token_file is None):
        raise UsageFault("--server and --token-file go together: the API asks for a token")
    if once and timeout is not None:
        raise UsageFault("--once and --timeout exclude each other; leave one out")
    with _source(ctx, which, server, token_file) as source:
        live = is_terminal() and not as_json
        show: Show = JsonLines(source) if as_json else LiveTable(source) if live else Lines(source)
        patience = 0.0 if once else inf if timeout is None else timeout
        return _followed(source, show, patience=patience, live=live, once=once)


@contextmanager
def _source(
    ctx: click.Context, which: Followable, server: str | None, token_file: Path | None
) -> Iterator[Source]:
    if server is not None and token_file is not None:
        from daemon.cli.watch_server import connected  # noqa: PLC0415 - only this way needs HTTP

        with connected(server, token_file, which) as source:
            yield source
        return
    from daemon.cli.watch_database import DatabaseJobs  # noqa: PLC0415 - only this way needs the laws

    config = config_of(ctx)
    with opened(config) as store:
        yield DatabaseJobs(store, config, which, sleep=time.sleep)


def _followed(source: Source, show: Show, *, patience: float, live: bool, once: bool) -> int:
    """Show the jobs until none runs, or for `patience` seconds; returns the exit status."""
    jobs: Jobs = {}
    begun, reason = CLOCK.monotonic(), "ended"
    try:
        while True:
            jobs = source.look()
            show.update(jobs, CLOCK.now())
            if not views.ends_of(jobs.values())[views.JobEnd.RUNNING]:
                break
            left = patience - (CLOCK.monotonic() - begun)
            if left <= 0:
                reason = "once" if once else "timeout"
                break
            if live:
                time.sleep(min(left, _FRAME))
            source.wait(min(left, _FRAME if live else _IDLE))
    except KeyboardInterrupt:
        reason = "interrupted"
    status = INTERRUPTED if reason == "interrupted" else views.status_of(job.outcome for job in jobs.values())
    show.end(jobs, CLOCK.now(), reason, status)
    if reason == "timeout":
        output.hint(f"Some jobs still run after {about(patience)}. They stay tracked.")
    elif reason == "interrupted":
        output.hint("Interrupted. The jobs stay tracked; `wrapd watch` shows them again.")
    return int(status)
