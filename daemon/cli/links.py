"""`wrapd links`: wrapd's own links to videos: who opened them, and taking one back."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon.cli import output
from daemon.cli.notices import name_of
from daemon.cli.numbers import Count
from daemon.cli.output import Column, Facts
from daemon.cli.session import CLOCK, config_of, job_ids, json_option, one_job, opened
from daemon.cli.text import ago, stamp
from daemon.errors import UsageFault

if TYPE_CHECKING:
    from daemon.store import JobRow, LinkRow, Transaction


@click.group("links", short_help="List or close wrapd's own links to videos.")
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
        output.document([json_of_link(link, job, now) for link, job in rows])
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


@command.command("revoke", short_help="Take a job's link back.")
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
        _status_of(link, now),
        ago(link.expires_at, now),
        str(link.clicks),
        ago(link.last_click_at, now),
        job.project,
        job.job_id,
    ]


def json_of_link(link: "LinkRow", job: "JobRow", now: datetime) -> Facts:
    """wrapd's own link to a video, in `links list --json`. Its address is not told: whoever has it may open it."""
    return {
        "project": job.project,  # name of the project in the config
        "job_id": job.job_id,  # as MetaStudio names it
        "label": job.label or None,  # what `track --label` said, or null
        "name": job.asset.asset_name,  # the service's name of the video
        "status": _status_of(link, now),  # open, expired or revoked
        "created_at": stamp(link.created_at),  # when it was made, for the first message that carried it
        "expires_at": stamp(link.expires_at),  # until when it opens
        "revoked_at": stamp(link.revoked_at),  # when it was taken back, or null
        "clicks": link.clicks,  # how often people opened it; robots are not counted
        "last_click_at": stamp(link.last_click_at),  # when somebody last did, or null
    }


def _status_of(link: "LinkRow", now: datetime) -> str:
    """How it stands with a link, in a word."""
    if link.revoked_at is not None:
        return "revoked"
    return "open" if link.expires_at > now else "expired"
