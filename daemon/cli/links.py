"""`wrapd links`: wrapd's own links to videos: who opened them, and taking one back."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon.cli import facts, output
from daemon.cli.notices import name_of
from daemon.cli.numbers import Count
from daemon.cli.output import Column
from daemon.cli.session import CLOCK, config_of, job_ids, json_option, one_job, opened
from daemon.cli.text import ago
from daemon.errors import UsageFault

if TYPE_CHECKING:
    from daemon.store import JobRow, LinkRow, Transaction


@click.group("links")
def command() -> None:
    """wrapd's own links to videos, which messages carry where web.public_url is set. Needs no running daemon."""


@command.command("list")
@click.option("--limit", type=Count(), help="At most this many, the newest. [default: all]")
@json_option
@click.pass_context
def list_links(ctx: click.Context, limit: int | None, as_json: bool) -> None:
    """List the links, the newest first. Their addresses are not shown: whoever has one may open it."""
    config = config_of(ctx)
    with opened(config) as store:
        rows = store.read(lambda transaction: _read(transaction, limit))
    now = CLOCK.now()
    if as_json:
        output.document([facts.of_link(link, job, now) for link, job in rows])
        return
    columns = [
        Column(title="NAME", gives=True, least=24, free=True),
        Column(title="STATUS", coloured=True),
        Column(title="ENDS"),
        Column(title="CLICKS"),
        Column(title="LAST CLICK", spare=1),
        Column(title="PROJECT", gives=True, least=12, alike=len(config.projects) < 2),
        Column(title="JOB", ids=True),
    ]
    empty = "No message has carried a link of wrapd's own yet" + (
        "; set web.public_url in the config for it." if config.web.public_url is None else "."
    )
    output.table(columns, [_cells(link, job, now) for link, job in rows], empty=empty)


@command.command("revoke")
@click.argument("job", metavar="JOB_ID")
@click.option("--project", metavar="NAME", help="The project of the job; needed where several have the id.")
@click.pass_context
def revoke(ctx: click.Context, job: str, project: str | None) -> None:
    """Take a job's link back: whoever opens it is told that it does not work any more.

    No other is made for the job, unless `wrapd track` takes it up again.
    """
    if job == "-":
        raise UsageFault("`links revoke` takes one job id")
    config = config_of(ctx)
    (job_id,) = job_ids([job])

    def work(transaction: "Transaction") -> tuple[str, str]:
        row = one_job(transaction, job_id, project)
        if transaction.links.get(row.id) is None:
            return row.job_id, "there is no link to it"
        revoked = transaction.links.revoke(row.id, CLOCK.now())
        return row.job_id, "revoked" if revoked else "was revoked before"

    with opened(config) as store:
        found, told = store.write_now(work)
    output.line(f"{found}: {told}")


def _read(transaction: "Transaction", limit: int | None) -> "list[tuple[LinkRow, JobRow]]":
    found = [(link, transaction.jobs.get(link.job)) for link in transaction.links.list(limit=limit)]
    return [(link, job) for link, job in found if job is not None]


def _cells(link: "LinkRow", job: "JobRow", now: datetime) -> list[str]:
    return [
        name_of(job) or "-",
        facts.link_status(link, now),
        ago(link.expires_at, now),
        str(link.clicks),
        ago(link.last_click_at, now),
        job.project,
        job.job_id,
    ]
