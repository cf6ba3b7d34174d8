"""`wrapd show`: everything recorded about one job."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import output
from daemon.cli.notices import NOT_POLLED, is_unknown, name_of, paused, unknown_yet
from daemon.cli.outlook import Outlooks, why_orphaned
from daemon.cli.output import coloured
from daemon.cli.session import CLOCK, config_of, daemon_runs, json_option, one_id, one_job, opened
from daemon.cli.standings import attempt_line, batch_standing, job_standing, situation, view_of
from daemon.cli.text import about, ago, clean, moment
from daemon.cli.zone import zone_option
from daemon.config import Config
from daemon.domain.jobs import Tracking
from daemon.views.outlooks import Outlook, in_production

if TYPE_CHECKING:
    from daemon.domain.jobs import JobId
    from daemon.store import (
        ActionRow,
        AttemptRow,
        DeliveryRow,
        JobRow,
        MuteRow,
        PauseRow,
        Transaction,
        TransitionRow,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything recorded about one job: deliveries with their attempts and what they wait for, the latest
    actions, and the mutes that cover all its alerts. `orphaned`: why the job is not polled; after `grace` seconds
    a job that the service does not know counts as lost."""

    job: "JobRow"
    transitions: "list[TransitionRow]"
    deliveries: "list[tuple[DeliveryRow, list[AttemptRow]]]"
    actions: "list[ActionRow]"
    mutes: "list[MuteRow]"
    waiting: views.Situation
    outlook: Outlook
    orphaned: str | None
    paused: "PauseRow | None"
    batch: str | None
    grace: float


@click.command("show")
@click.argument("job", metavar="JOB_ID")
@click.option("--project", metavar="NAME", help="The job's project; required if several have the id.")
@zone_option
@json_option
@click.pass_context
def command(ctx: click.Context, job: str, project: str | None, as_json: bool) -> None:
    """Show everything known about one job: its details and links, every change of state, every alert. Needs no
    running daemon."""
    config, job_id = config_of(ctx), one_id(job, "show")
    with opened(config) as store:
        now = CLOCK.now()
        story = store.read(lambda tx: _read(tx, config, job_id, project, now, as_json=as_json))
    if as_json:
        output.document(_document(story))
        return
    for text in _lines(story, now):
        click.echo(text)


def _read(
    transaction: "Transaction",
    config: Config,
    job_id: "JobId",
    project: str | None,
    now: datetime,
    *,
    as_json: bool,
) -> Story:
    row = views.kept(one_job(transaction, job_id, project), config.projects)
    deliveries, expected = transaction.deliveries.list(job=row.id), Outlooks(now)
    actions = transaction.actions.page(limit=views.MOST_ACTIONS, project=row.project, subject=row.job_id)
    return Story(
        job=row,
        transitions=transaction.history.transitions(row.id),
        deliveries=[
            (each, transaction.deliveries.attempts(each.id)) for each in sorted(deliveries, key=lambda d: d.id)
        ],
        actions=actions.rows[::-1],
        mutes=transaction.mutes.of_job(row.id),
        waiting=situation(transaction, config, deliveries, running=daemon_runs(config), as_json=as_json),
        outlook=expected.of(transaction, [row])[0],
        orphaned=why_orphaned(row, config),
        paused=transaction.pauses.all().get(row.project),
        batch=None if as_json else _batch(transaction, row, expected),
        grace=config.polling.not_found_grace,
    )


def _batch(transaction: "Transaction", row: "JobRow", expected: Outlooks) -> str | None:
    """The job's batch and how it stands, as in "film: 48 of 50, all 50 by 16:40-17:15"."""
    batch = None if row.batch is None else transaction.batches.get(row.project, row.batch)
    if batch is None:
        return row.batch
    return f"{batch.batch}: {batch_standing(batch, expected.of_batch(transaction, batch))}"


def _document(story: Story) -> dict[str, object]:
    told = views.story(story.job.job_id, story.transitions, story.deliveries, story.actions, story.waiting)
    return views.document(view_of(story.job, story.outlook)) | views.document(told)


def _lines(story: Story, now: datetime) -> Iterator[str]:
    row = story.job
    yield click.style(output.hanging("", clean(name_of(row) or row.job_id)), bold=True)
    for name, value in _facts(story, now):
        yield output.fact(name, value)
    yield ""
    yield click.style("Changes of state", bold=True)
    if not story.transitions:
        yield output.hanging("  ", "none yet: the service has not answered for this job")
    for move in story.transitions:
        reported = f"  (reported {moment(move.reported_at)})" if move.reported_at else ""
        before = clean(move.before) if move.before else "(first answer)"
        changed = f"{before} -> {coloured(move.after)}{reported}"
        yield output.hanging("  ", f"{moment(move.observed_at)}  {changed}", indent=6)
    yield ""
    yield click.style("Alerts", bold=True)
    if not story.deliveries:
        yield "  none yet"
    for delivery, tries in story.deliveries:
        yield from _delivery(delivery, tries, views.why(delivery, story.waiting))
    if story.actions:
        yield ""
        yield click.style("Actions", bold=True)
    for action in story.actions:
        yield output.hanging("  ", f"{moment(action.at)}  {action.what} by {clean(action.who)}", indent=6)


def ends(row: "JobRow", expected: Outlook) -> Iterator[tuple[str, str]]:
    """When a job in production should end, or why there is no estimate."""
    eta = expected.eta
    if eta is not None:
        yield "ends", f"in about {about(eta.median)}, {moment(expected.ends_at(eta.median))}"
        yield "", f"8 of 10 similar jobs: in {about(eta.low)} to {about(eta.high)}"
    elif in_production(row):
        yield "ends", f"no estimate: {expected.reason}"


def _facts(story: Story, now: datetime) -> Iterator[tuple[str, str]]:
    row, asset = story.job, story.job.asset
    kind = clean(row.kind) + (", a guess so far" if row.kind_source == "guessed" else "")
    yield "job", f"{row.job_id} ({kind}) of project {clean(row.project)}"
    yield "state", _state(story)
    yield "tracking", f"{row.tracking}, since {moment(row.tracked_at)}"
    for mute in story.mutes:
        yield "muted", clean(views.muted(mute, moment(mute.until)))
    yield from ends(row, story.outlook)
    yield from _polls(story, now)
    if row.error_code or row.error_msg:
        yield "error", clean(" ".join(filter(None, (row.error_code, row.error_msg))))
    if row.last_error:
        yield "last query", clean(row.last_error)
    named = (("note", row.note), ("name", asset.asset_name), ("asset", asset.asset_id), ("batch", story.batch))
    for name, value in named:
        if value:
            yield name, clean(value)
    if row.tags:
        yield "tags", clean(", ".join(row.tags))
    if row.duration is not None:
        yield "length", f"{row.duration:g} s"
    if row.started_at is not None and row.ended_at is not None and row.ended_at >= row.started_at:
        yield "took", about((row.ended_at - row.started_at).total_seconds())
    yield from _links(row, now)


def _state(story: Story) -> str:
    row = story.job
    word, _, rest = job_standing(row).partition(" ")
    since = f", since {moment(row.state_since)}" if row.state_since else ": the service has not answered yet"
    if is_unknown(row):
        since = f": {unknown_yet(story.grace)}"
    return f"{coloured(word)} {clean(rest)}".rstrip() + since


def _polls(story: Story, now: datetime) -> Iterator[tuple[str, str]]:
    row = story.job
    if story.orphaned is not None:
        yield "next poll", clean(story.orphaned)
    elif row.tracking is Tracking.ACTIVE and story.paused is not None:
        yield "next poll", clean(f"none: the project is paused {paused(story.paused)}")
    elif row.tracking is Tracking.ACTIVE and not story.waiting.running:
        yield "next poll", NOT_POLLED
    elif row.next_poll_at is not None:
        yield "next poll", f"{moment(row.next_poll_at)} ({ago(row.next_poll_at, now)})"
    if row.polls:
        yield "polls", f"{row.polls}, the last {moment(row.last_polled_at)}"


def _links(row: "JobRow", now: datetime) -> Iterator[tuple[str, str]]:
    asset = row.asset
    links = (
        ("cover", asset.cover_url, True),
        ("preview", asset.preview_url, False),
        ("file", asset.download_url, False),
    )
    for name, url, signed_only in links:
        if url is None:
            continue
        end = views.link_end(url, row.links_at, signed_only=signed_only)
        yield name, clean(url)
        if end is not None:
            yield "", f"{'was valid until' if end <= now else 'valid until'} {moment(end)} ({ago(end, now)})"


def _delivery(row: "DeliveryRow", tries: "list[AttemptRow]", why: str | None) -> Iterator[str]:
    original = views.resent_from(row)
    again = "" if original is None else f", #{original} sent again on request"
    repeat = ", perhaps sent twice" if row.possible_repeat else ""
    sent = f" {moment(row.sent_at)}" if row.sent_at else ""
    status = f"{coloured(row.status)}{sent}{repeat}{again}"
    yield output.hanging("  ", f"#{row.id} {row.event} to {clean(row.channel)}: {status}", indent=6)
    if why is not None:
        yield output.hanging(" " * 6, clean(why))
    if len(tries) > 1 or (tries and (row.sent_at is None or tries[0].shared > 1)):
        for each in tries:
            yield attempt_line(each, indent=4)
