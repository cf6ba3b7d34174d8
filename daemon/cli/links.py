"""`wrapd links`: list and revoke wrapd's own links to videos."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon.cli import output
from daemon.cli.notices import name_of
from daemon.cli.numbers import Count
from daemon.cli.output import Column, Facts
from daemon.cli.session import CLOCK, config_of, json_option, one_id, one_job, opened, who
from daemon.cli.text import ago, stamp

if TYPE_CHECKING:
    from daemon.store import JobRow, LinkRow, Transaction


@click.group("links")
def command() -> None:
    """Manage wrapd's own links to videos, which messages contain if web.public_url is set. Needs no running
    daemon."""


@command.command("list")
@click.option("--limit", type=Count(), help="At most this many, newest first. [default: all]")
@json_option
@click.pass_context
def list_links(ctx: click.Context, limit: int | None, as_json: bool) -> None:
    """List the links, newest first. Their URLs are not shown, because anyone who has one can open it."""
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
    hint = "; set web.public_url in the config to enable them." if config.public_url is None else "."
    empty = f"No message has contained one of wrapd's own links yet{hint}"
    output.table(columns, [_cells(link, job, now) for link, job in rows], empty=empty)


@command.command("revoke", short_help="Revoke the link to a job.")
@click.argument("job", metavar="JOB_ID")
@click.option("--project", metavar="NAME", help="The job's project; required if several have the id.")
@click.pass_context
def revoke(ctx: click.Context, job: str, project: str | None) -> None:
    """Revoke the link to a job: its page then says that the link no longer works.

    No new link is made for the job unless it is tracked again with `wrapd track`.
    """
    config, job_id = config_of(ctx), one_id(job, "links revoke")
    from daemon.commands import revoke_link  # noqa: PLC0415 - SQLAlchemy

    def work(transaction: "Transaction") -> tuple[str, str]:
        row = one_job(transaction, job_id, project)
        revoked = revoke_link(transaction, row, at=CLOCK.now(), who=who())
        if revoked is None:
            return row.job_id, "it has no link"
        return row.job_id, "revoked" if revoked else "already revoked"

    with opened(config) as store:
        found, result = store.write_now(work)
    output.line(f"{found}: {result}")


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
    """wrapd's own link to a video, in `links list --json`. Its URL is left out: anyone who has it can open it."""
    return {
        "project": job.project,  # name of the project in the config
        "job_id": job.job_id,  # MetaStudio's id of the job
        "label": job.label or None,  # the label given by `track --label`, or null
        "name": job.asset.asset_name,  # the service's name of the video
        "status": _status_of(link, now),  # open, expired or revoked
        "created_at": stamp(link.created_at),  # when it was created, for the first message that contained it
        "expires_at": stamp(link.expires_at),  # when it expires
        "revoked_at": stamp(link.revoked_at),  # when it was revoked, or null
        "clicks": link.clicks,  # how often people opened it, not counting robots
        "last_click_at": stamp(link.last_click_at),  # when it was last opened, or null
    }


def _status_of(link: "LinkRow", now: datetime) -> str:
    """The status of a link, in a word."""
    if link.revoked_at is not None:
        return "revoked"
    return "open" if link.expires_at > now else "expired"
