"""`wrapd explain`: why a job was polled when it was, and when it will be polled next, in words and numbers.

Reads only the database and the config. The plan is recomputed with the functions that the daemon uses.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import output, project_status
from daemon.cli.notices import NOT_POLLED, is_unknown, name_of, paused, unknown_yet
from daemon.cli.outlook import learned, why_orphaned
from daemon.cli.output import Facts
from daemon.cli.session import CLOCK, config_of, daemon_runs, json_option, one_id, one_job, opened
from daemon.cli.show import ends
from daemon.cli.standings import job_standing
from daemon.cli.text import about, ago, clean, count, figure, moment, percent, stamp
from daemon.cli.zone import zone_option
from daemon.config import Config
from daemon.domain import planning
from daemon.domain.durations import Law
from daemon.domain.jobs import Tracking
from daemon.domain.planning import WORDS, Explanation, Reason
from daemon.domain.production import elapsed_of
from daemon.domain.states import State
from daemon.views.outlooks import Outlook, in_production, key_of, outlook

if TYPE_CHECKING:
    from daemon.domain.jobs import JobId
    from daemon.store import JobRow, PauseRow, Status, Transaction

_ASKED_BY = {
    "single": "by a query of its own",
    "ids": "together with others, in a list by ids",
    "feed": "in the list of recently ended jobs",
}
_PLANNED = frozenset({None, State.WAITING, State.PROCESSING})
"""States in which the learned plan applies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """Everything known about one job's plan. `law`: the production times of similar jobs; `plan`: valid at
    `as_of`, None where the learned plan does not apply; `by_feed`: the feed reports this job's end; `running`: a
    daemon uses the database; `orphaned`: why the job is not polled; `paused`: the pause of its project; after
    `grace` seconds a job that the service does not know counts as lost."""

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
    paused: "PauseRow | None"
    now: datetime
    as_of: datetime
    grace: float


@click.command("explain")
@click.argument("job", metavar="JOB_ID")
@click.option("--project", metavar="NAME", help="The job's project; required if several have the id.")
@zone_option
@json_option
@click.pass_context
def command(ctx: click.Context, job: str, project: str | None, as_json: bool) -> None:
    """Explain why a job was last polled when it was, and when it will be next: how long similar jobs take, the
    probability that it has ended since, and the expected delay compared with the price of a request.

    Needs no running daemon. The daemon records every 30 s when it polled and when it will next. If a planned poll
    is past but not yet recorded, the numbers are those of the planned time.
    """
    config, job_id = config_of(ctx), one_id(job, "explain")
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
    law, polling = durations.law(key_of(row), row.expected_length), config.polling
    status = transaction.statuses.all().get(row.project)
    facts = {} if status is None else status.facts
    listed = _listed(row.kind)
    by_feed = listed and facts.get("feed_carries_news") is True
    shared_by = _shared_by(facts) if listed and not by_feed else 1
    pressure = project_status.number(facts, "pressure") or 1.0
    return JobPlan(
        job=row,
        law=law,
        finished=durations.finished(key_of(row)),
        outlook=outlook(row, durations, now=now),
        plan=_plan(row, law, polling.rails, price=polling.price * pressure / shared_by, now=as_of),
        shared_by=shared_by,
        by_feed=by_feed,
        pressure=pressure,
        status=status,
        running=running,
        orphaned=why_orphaned(row, config),
        paused=transaction.pauses.all().get(row.project),
        now=now,
        as_of=as_of,
        grace=config.polling.not_found_grace,
    )


def _plan(row: "JobRow", law: Law, rails: planning.Rails, *, price: float, now: datetime) -> Explanation | None:
    looked = row.last_polled_at
    if row.tracking is not Tracking.ACTIVE or looked is None or row.state not in _PLANNED:
        return None
    return planning.explain(
        law=law,
        elapsed=elapsed_of(row, looked) or 0.0,
        ago=max(0.0, (now - looked).total_seconds()),
        price=price,
        rails=rails,
    )


def _listed(kind: str) -> bool:
    from daemon.metastudio.kinds import KINDS  # noqa: PLC0415 - only some commands need the table

    return kind in KINDS and KINDS[kind].listed


def _shared_by(facts: "Mapping[str, object]") -> int:
    """The number of jobs that share a request, as last reported by the daemon."""
    size, jobs = project_status.number(facts, "batch_size") or 1, project_status.number(facts, "jobs") or 1
    return max(1, int(min(size, jobs)))


def _lines(case: JobPlan) -> Iterator[str]:
    row = case.job
    yield click.style(clean(name_of(row) or row.job_id), bold=True)
    for name, value in _facts(case):
        yield output.fact(name, value)
    yield ""
    yield click.style(f"Project {clean(row.project)}", bold=True)
    for name, value in project_status.lines(case.status, running=case.running, now=case.now):
        yield output.fact(name, value)


def _facts(case: JobPlan) -> Iterator[tuple[str, str]]:
    row, now = case.job, case.now
    yield "job", f"{row.job_id} ({clean(row.kind)}) of project {clean(row.project)}"
    since = "" if row.state_since is None else f" for {about((now - row.state_since).total_seconds())}"
    word, _, rest = job_standing(row).partition(" ")
    yield "state", f"{output.coloured(word)} {clean(rest)}".rstrip() + since
    if is_unknown(row):
        yield "", unknown_yet(case.grace)
    yield from _similar(case)
    if row.last_polled_at is not None:
        how = _ASKED_BY.get(row.asked_by or "", "")
        yield "last poll", f"{ago(row.last_polled_at, now)}, {moment(row.last_polled_at)}{how and ', '}{how}"
    if row.last_error:
        yield "last query", clean(row.last_error)
    if row.tracking is Tracking.FINISHED and row.state_since and row.ended_at and row.ended_at <= row.state_since:
        late = (row.state_since - row.ended_at).total_seconds()
        yield "noticed", f"{figure(late)} s after its end, by the service's clock"
    if case.plan is not None:
        yield from _weighed(case, case.plan)
    yield from _next(case)
    yield from ends(row, case.outlook)


def _similar(case: JobPlan) -> Iterator[tuple[str, str]]:
    row, law = case.job, case.law
    if row.expected_length is not None:
        yield "script", f"about {about(row.expected_length)} of speech"
    else:
        yield "script", "length not known"
    known = count(case.finished, "finished job") if case.finished else "no finished job"
    low, median, high = (law.quantile(share) for share in (0.1, 0.5, 0.9))
    yield "similar", f"{known} of this kind known: half take less than {about(median)}"
    guess = "" if case.finished else "; a guess until some have finished"
    yield "", f"8 of 10 take {about(low)} to {about(high)}{guess}"


def _weighed(case: JobPlan, plan: Explanation) -> Iterator[tuple[str, str]]:
    if in_production(case.job):
        yield "then", f"it had been in production for {about(plan.elapsed)}"
    else:
        yield "then", "it was not in production; production may have begun right after"
    since, had = ("since then", "has") if case.as_of == case.now else (f"{about(plan.ago)} later", "had")
    yield since, f"{percent(plan.ended)} probability that it {had} ended; expected delay {figure(plan.delay)} s"
    shared = f", shared by the {case.shared_by} jobs of a list" if case.shared_by > 1 else ""
    raised = f", raised {figure(case.pressure)} times because the budget is short" if case.pressure > 1 else ""
    yield "price", f"{figure(plan.price)} s of delay{raised}{shared}"
    if case.by_feed:
        yield "", "the feed is polled instead, when all jobs together reach the price"


def _next(case: JobPlan) -> Iterator[tuple[str, str]]:
    row, now = case.job, case.now
    if row.tracking is not Tracking.ACTIVE:
        yield "next poll", f"none: tracking ended ({row.tracking})"
        return
    if case.orphaned is not None:
        yield "next poll", clean(case.orphaned)
        return
    if case.paused is not None:
        yield "next poll", clean(f"none: the project is paused {paused(case.paused)}")
        return
    if not case.running:
        yield "next poll", NOT_POLLED
        return
    if row.next_poll_at is None:
        yield "next poll", "soon: the daemon has not recorded its plan yet"
        return
    if case.as_of == now:
        yield "next poll", f"{ago(row.next_poll_at, now)}, {moment(row.next_poll_at)}"
    else:
        yield "next poll", f"was due {ago(row.next_poll_at, now)}; the daemon records its polls every 30 s"
    reason = _reason_of(row)
    if reason is not None:
        yield "because", clean(reason)
    if case.plan is not None and case.as_of == now and case.plan.reached_in:
        reached = case.plan.reached_in
        yield "", f"the price is reached in {about(reached)}" if reached < 86400 else "the price is never reached"


def json_of_explanation(case: JobPlan) -> Facts:
    """A job's plan and the numbers behind it, in `explain --json`."""
    row, plan, law = case.job, case.plan, case.law
    return {
        "project": row.project,  # name of the project in the config
        "kind": row.kind,  # as in `track --kind`
        "job_id": row.job_id,  # MetaStudio's id of the job
        "state": row.state,  # null before the first answer
        "tracking": str(row.tracking),  # active, finished, lost, expired or stopped
        "expected_length": row.expected_length,  # seconds of speech estimated from its script, or null
        "finished": case.finished,  # successful jobs of its project and kind, out of the last 200 that ended
        "typical_median": round(law.quantile(0.5), 1),  # seconds of production: half of the similar jobs take less
        "typical_low": round(law.quantile(0.1), 1),  # 1 of 10 takes less
        "typical_high": round(law.quantile(0.9), 1),  # 9 of 10 take less
        "last_polled_at": stamp(row.last_polled_at),  # recorded every 30 s
        "asked_by": row.asked_by,  # how it was polled then: single, ids or feed
        "elapsed": None if plan is None else round(plan.elapsed, 1),  # seconds in production at that poll
        # the time for which the next keys hold: now, or `next_poll_at` while a running daemon has not yet recorded
        "as_of": stamp(case.as_of),  # that poll
        "ended": None if plan is None else round(plan.ended, 6),  # probability, 0 to 1, that it had ended by then
        "delay": None if plan is None else round(plan.delay, 4),  # expected undetected delay then, in seconds
        # seconds of delay at which a request is worth it: the configured price, raised when the budget is short,
        "price": None if plan is None else round(plan.price, 6),  # divided by the jobs that share a list request
        # seconds from then until the delay reaches the price;
        "price_in": _reached(plan),  # null: never, or not known
        "next_poll_at": stamp(row.next_poll_at),  # recorded every 30 s; null if nothing is planned
        "next_reason": row.next_reason,  # the reason for that time, in a word
        "next_reason_text": _reason_of(row),  # the same as a sentence
        "shared_by": case.shared_by,  # number of jobs that share a request
        "by_feed": case.by_feed,  # whether the feed is polled instead, for all jobs at once
        "eta": _eta(case),  # as in a job
        "eta_reason": case.outlook.reason,  # as in a job
        "daemon_running": case.running,  # whether a daemon uses the database
        "watch": None if case.status is None else dict(case.status.facts),  # as in `stats`
        "watch_at": None if case.status is None else stamp(case.status.at),  # when the daemon reported it
    }


def _eta(case: JobPlan) -> Facts | None:
    eta = views.remaining(case.outlook.eta, now=case.outlook.at)
    return None if eta is None else views.document(eta)


def _reached(plan: Explanation | None) -> float | None:
    return None if plan is None or math.isinf(plan.reached_in) else round(plan.reached_in, 1)


def _reason_of(row: "JobRow") -> str | None:
    """The reason for the next poll as a sentence; an unknown word unchanged."""
    word = row.next_reason
    if word is None:
        return None
    return WORDS[Reason(word)] if word in set(Reason) else word
