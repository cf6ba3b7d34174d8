"""`wrapd explain`: why a job was asked about when it was, and when it will be next; in words and numbers.

Reads the database and the config, and asks nobody. What the daemon plans by is told again by the same functions.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import output, project_status
from daemon.cli.jobs import standing as state_of
from daemon.cli.notices import NO_LOOK, is_unknown, name_of, unknown_yet
from daemon.cli.outlook import Outlook, in_production, key_of, learned, outlook, why_orphaned
from daemon.cli.output import Facts
from daemon.cli.session import CLOCK, config_of, daemon_runs, job_ids, json_option, one_job, opened
from daemon.cli.show import ends
from daemon.cli.text import about, ago, clean, count, figure, moment, percent, stamp
from daemon.cli.zone import zone_option
from daemon.config import Config
from daemon.domain import planning
from daemon.domain.durations import Law
from daemon.domain.jobs import Tracking
from daemon.domain.planning import WORDS, Explanation, Reason
from daemon.domain.states import State
from daemon.errors import UsageFault

if TYPE_CHECKING:
    from daemon.domain.jobs import JobId
    from daemon.store import JobRow, Status, Transaction

_ASKED_BY = {
    "single": "asked by itself",
    "ids": "asked together with others, in a list of ids",
    "feed": "seen in the list of the jobs that ended last",
}
_PLANNED = frozenset({None, State.WAITING, State.PROCESSING})
"""States in which the learned plan rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """All that is known of one job's plan. `law` is that of jobs like it; `plan` is None where the learned plan
    does not rule, and holds for the moment `as_of`; `by_feed`: the feed carries the news of this job; `running`:
    a daemon works on the database; `orphaned`: why nobody asks about the job; after `grace` seconds one that the
    service does not know is lost."""

    job: "JobRow"
    law: Law
    finished: int
    outlook: Outlook
    plan: Explanation | None
    shared_by: int
    by_feed: bool
    pressure: float
    status: "Status | None"
    running: bool
    orphaned: str | None
    now: datetime
    as_of: datetime
    grace: float


@click.command("explain", short_help="Tell why a job was asked about, and when it will be next.")
@click.argument("job", metavar="JOB_ID")
@click.option("--project", metavar="NAME", help="The project of the job; needed where several have the id.")
@zone_option
@json_option
@click.pass_context
def command(ctx: click.Context, job: str, project: str | None, as_json: bool) -> None:
    """Tell why a job was last asked about when it was, and when it will be next: what jobs like it take, the
    chance that it has ended since, and the delay that is to be expected, held against the price of a request.

    Needs no running daemon. The daemon notes every 30 s when it asked and when it will: where that note is older
    than the look that it tells of, this is how it stood then.
    """
    if job == "-":
        raise UsageFault("`explain` takes one job id, no list; `wrapd stats` tells of all")
    config = config_of(ctx)
    (job_id,) = job_ids([job])
    with opened(config) as store:
        case = store.read(lambda transaction: _case(transaction, config, job_id, project))
    if as_json:
        output.document(json_of_explanation(case))
        return
    for text in _lines(case):
        click.echo(text)


def _case(transaction: "Transaction", config: Config, job_id: "JobId", project: str | None) -> JobPlan:
    row = views.kept(one_job(transaction, job_id, project), config.projects)
    running = daemon_runs(config)
    durations, now = learned(transaction), CLOCK.now()
    as_of = row.next_poll_at if running and row.next_poll_at is not None and row.next_poll_at < now else now
    law = durations.law(key_of(row), row.expected_length)
    status = transaction.statuses.all().get(row.project)
    told = {} if status is None else status.facts
    listed = _listed(row.kind)
    by_feed = listed and told.get("feed_carries_news") is True
    shared_by = _shared_by(told) if listed and not by_feed else 1
    pressure = project_status.number(told, "pressure") or 1.0
    return JobPlan(
        job=row,
        law=law,
        finished=durations.finished(key_of(row)),
        outlook=outlook(row, durations, now=now),
        plan=_plan(row, law, config, price=config.polling.price * pressure / shared_by, now=as_of),
        shared_by=shared_by,
        by_feed=by_feed,
        pressure=pressure,
        status=status,
        running=running,
        orphaned=why_orphaned(row, config),
        now=now,
        as_of=as_of,
        grace=config.polling.not_found_grace,
    )


def _plan(row: "JobRow", law: Law, config: Config, *, price: float, now: datetime) -> Explanation | None:
    from daemon.watch.learning import elapsed_of  # noqa: PLC0415 - SQLAlchemy

    looked = row.last_polled_at
    if row.tracking is not Tracking.ACTIVE or looked is None or row.state not in _PLANNED:
        return None
    return planning.explain(
        law=law,
        elapsed=elapsed_of(row, looked) or 0.0,
        ago=max(0.0, (now - looked).total_seconds()),
        price=price,
        rails=config.polling.rails,
    )


def _listed(kind: str) -> bool:
    from daemon.metastudio.kinds import KINDS  # noqa: PLC0415 - only some commands need the table

    return kind in KINDS and KINDS[kind].listed


def _shared_by(told: "Mapping[str, object]") -> int:
    """How many jobs a request is shared by, as the daemon last said."""
    size, jobs = project_status.number(told, "batch_size") or 1, project_status.number(told, "jobs") or 1
    return max(1, int(min(size, jobs)))


def _lines(case: JobPlan) -> Iterator[str]:
    row = case.job
    yield click.style(clean(name_of(row) or row.job_id), bold=True)
    for name, value in _facts(case):
        yield output.fact(name, value)
    yield ""
    yield click.style(f"Project {clean(row.project)}", bold=True)
    for name, value in project_status.told(case.status, running=case.running, now=case.now):
        yield output.fact(name, value)


def _facts(case: JobPlan) -> Iterator[tuple[str, str]]:
    row, now = case.job, case.now
    yield "job", f"{row.job_id} ({clean(row.kind)}) of project {clean(row.project)}"
    since = "" if row.state_since is None else f" for {about((now - row.state_since).total_seconds())}"
    word, _, rest = state_of(row).partition(" ")
    yield "state", f"{output.coloured(word)} {clean(rest)}".rstrip() + since
    if is_unknown(row):
        yield "", unknown_yet(case.grace)
    yield from _likes(case)
    if row.last_polled_at is not None:
        how = _ASKED_BY.get(row.asked_by or "", "")
        yield "last look", f"{ago(row.last_polled_at, now)}, {moment(row.last_polled_at)}{how and ', '}{how}"
    if row.last_error:
        yield "last query", clean(row.last_error)
    if row.tracking is Tracking.FINISHED and row.state_since and row.ended_at and row.ended_at <= row.state_since:
        late = (row.state_since - row.ended_at).total_seconds()
        yield "noticed", f"{figure(late)} s after its end, by the service's time of it"
    if case.plan is not None:
        yield from _weighed(case, case.plan)
    yield from _next(case)
    yield from ends(row, case.outlook)


def _likes(case: JobPlan) -> Iterator[tuple[str, str]]:
    row, law = case.job, case.law
    if row.expected_length is not None:
        yield "script", f"about {about(row.expected_length)} of speech"
    else:
        yield "script", "length not known"
    known = count(case.finished, "finished job") if case.finished else "no finished job"
    low, median, high = (law.quantile(share) for share in (0.1, 0.5, 0.9))
    yield "like it", f"{known} of this kind known: half take less than {about(median)}"
    yield (
        "",
        f"8 of 10 take {about(low)} to {about(high)}"
        + ("" if case.finished else "; that is a guess until some have finished"),
    )


def _weighed(case: JobPlan, plan: Explanation) -> Iterator[tuple[str, str]]:
    if in_production(case.job):
        yield "then", f"it had been in production for {about(plan.elapsed)}"
    else:
        yield "then", "it was not in production; it may have begun right after"
    since, had = ("since then", "has") if case.as_of == case.now else (f"{about(plan.ago)} later", "had")
    yield since, f"{percent(plan.ended)} chance that it {had} ended; expected delay {figure(plan.delay)} s"
    shared = f", shared by the {case.shared_by} jobs of a list" if case.shared_by > 1 else ""
    raised = f", raised {figure(case.pressure)} times for want of budget" if case.pressure > 1 else ""
    yield "price", f"{figure(plan.price)} s of delay{raised}{shared}"
    if case.by_feed:
        yield "", "the feed is asked instead, when all jobs together come to that"


def _next(case: JobPlan) -> Iterator[tuple[str, str]]:
    row, now = case.job, case.now
    if row.tracking is not Tracking.ACTIVE:
        yield "next look", f"none: tracking ended ({row.tracking})"
        return
    if case.orphaned is not None:
        yield "next look", clean(case.orphaned)
        return
    if not case.running:
        yield "next look", NO_LOOK
        return
    if row.next_poll_at is None:
        yield "next look", "soon: the daemon has not noted its plan yet"
        return
    if case.as_of == now:
        yield "next look", f"{ago(row.next_poll_at, now)}, {moment(row.next_poll_at)}"
    else:
        yield "next look", f"was due {ago(row.next_poll_at, now)}; the daemon notes its looks every 30 s"
    reason = _reason_of(row)
    if reason is not None:
        yield "because", clean(reason)
    if case.plan is not None and case.as_of == now and case.plan.reached_in:
        reached = case.plan.reached_in
        yield "", f"the price is reached in {about(reached)}" if reached < 86400 else "the price is never reached"


def json_of_explanation(case: JobPlan) -> Facts:
    """Why a job is asked about when it is, as `explain --json` gives it."""
    row, plan, law = case.job, case.plan, case.law
    return {
        "project": row.project,  # name of the project in the config
        "kind": row.kind,  # as `track --kind` has it
        "job_id": row.job_id,  # as MetaStudio names it
        "state": row.state,  # null before the first answer
        "tracking": str(row.tracking),  # active, finished, lost, expired or stopped
        "expected_length": row.expected_length,  # seconds of speech by its script, or null
        "finished": case.finished,  # jobs of its project and kind that succeeded, of the last 200 that ended
        "typical_median": round(law.quantile(0.5), 1),  # seconds of production: half of the jobs like it take less
        "typical_low": round(law.quantile(0.1), 1),  # 1 of 10 takes less
        "typical_high": round(law.quantile(0.9), 1),  # 9 of 10 take less
        "last_polled_at": stamp(row.last_polled_at),  # noted every 30 s
        "asked_by": row.asked_by,  # how it was asked then: single, ids or feed
        "elapsed": None if plan is None else round(plan.elapsed, 1),  # seconds of production at that look
        # the moment for which the next keys hold: now, or, where a daemon runs and has not noted yet that it has
        "as_of": stamp(case.as_of),  # looked again, `next_poll_at`
        "ended": None if plan is None else round(plan.ended, 6),  # the chance, 0 to 1, that it had ended by then
        "delay": None if plan is None else round(plan.delay, 4),  # seconds of undetected delay to be expected then
        # seconds of delay at which a request is worth it: the config's price, raised for want of budget, shared
        "price": None if plan is None else round(plan.price, 6),  # by the jobs of a list
        # seconds from then until the delay comes to the price;
        "price_in": _reached(plan),  # null: never, or not known
        "next_poll_at": stamp(row.next_poll_at),  # noted every 30 s; null where nothing is planned
        "next_reason": row.next_reason,  # why then, in a word
        "next_reason_text": _reason_of(row),  # the same as a sentence
        "shared_by": case.shared_by,  # how many jobs share a request
        "by_feed": case.by_feed,  # whether the feed is asked instead, for all jobs at once
        "eta": _eta(case),  # as in a job
        "eta_reason": case.outlook.reason,  # as in a job
        "daemon_running": case.running,  # whether a daemon works on the database
        "watch": None if case.status is None else dict(case.status.facts),  # as in `stats`
        "watch_at": None if case.status is None else stamp(case.status.at),  # when the daemon said so
    }


def _eta(case: JobPlan) -> Facts | None:
    eta = views.remaining(case.outlook.eta, now=case.outlook.at)
    return None if eta is None else views.document(eta)


def _reached(plan: Explanation | None) -> float | None:
    return None if plan is None or math.isinf(plan.reached_in) else round(plan.reached_in, 1)


def _reason_of(row: "JobRow") -> str | None:
    """Why the job is asked about next, as a sentence; an unknown word as it is."""
    word = row.next_reason
    if word is None:
        return None
    return WORDS[Reason(word)] if word in set(Reason) else word
