"""Changes of all jobs or deliveries that fit a filter, if they are as many as the caller expects (else 409)."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated

import msgspec
from litestar import Response, post
from litestar.params import QueryParameter

from daemon.commands import cancel, note_asked, retry, untrack
from daemon.domain.actions import Actor
from daemon.domain.jobs import JobId, ProjectName, Tracking
from daemon.store import DeliveryFilter, DeliveryStatus, JobFilter, Transaction
from daemon.web.access import Context, who
from daemon.web.api.deliveries import (
    BatchFilter,
    Changed,
    ChannelFilter,
    EventFilter,
    ProjectFilter,
    StatusFilter,
    TagFilter,
    delivery_filter,
)
from daemon.web.api.lists import word
from daemon.web.api.shapes import answers
from daemon.web.bodies import ApiRequest, HttpError, machine_answer
from daemon.web.context import WebContext

MOST_AT_ONCE = 1000
"""Maximum number of jobs or deliveries changed by one request."""
_AGAIN = (DeliveryStatus.DEAD, DeliveryStatus.HELD)
"""The statuses of what can be retried."""
_UNSENT = (DeliveryStatus.PENDING, DeliveryStatus.HELD, DeliveryStatus.DEAD)
"""The statuses of what can be canceled."""
Expect = Annotated[int, QueryParameter(ge=0, le=MOST_AT_ONCE, description="How many fit; if not, 409.")]
StateFilter = Annotated[str | None, QueryParameter(name="state", max_length=200, description="State.")]
JobTag = Annotated[str | None, word("One of its tags.")]
JobBatch = Annotated[str | None, word("Its batch.")]


class AskedMany(msgspec.Struct, kw_only=True):
    """How many jobs are queried, and how many of them wrapd watches already."""

    count: int
    watched: int


@post("/api/v1/jobs/untrack", status_code=200, responses=answers(Changed, "How many are no longer watched."))
async def untrack_jobs(
    *,
    request: ApiRequest,
    context: Context,
    expect: Expect,
    project: ProjectFilter = None,
    job_state: StateFilter = None,
    tag: JobTag = None,
    batch: JobBatch = None,
) -> Response[object]:
    """Stop watching all watched jobs that fit, and revoke wrapd's own links to them, if they are as many as
    expected."""
    fit, at, by = _fit(project, job_state, tag, batch), context.clock.now(), who(request)

    def work(tx: Transaction) -> int:
        jobs = _expected(tx.jobs.ids(limit=MOST_AT_ONCE + 1, **fit), expect, "watched jobs")
        return (
            sum(each.stopped for each in untrack(tx, jobs, at=at, who=by, routing=context.routing)) if jobs else 0
        )

    return machine_answer({"count": await context.store.write(work)})


@post("/api/v1/jobs/ask", status_code=200, responses=answers(AskedMany, "How many are queried."))
async def ask_jobs(
    *,
    request: ApiRequest,
    context: Context,
    expect: Expect,
    project: ProjectFilter = None,
    job_state: StateFilter = None,
    tag: JobTag = None,
    batch: JobBatch = None,
) -> Response[object]:
    """Query the service now for all watched jobs that fit, if they are as many as expected."""
    fit, at, by = _fit(project, job_state, tag, batch), context.clock.now(), who(request)

    def work(tx: Transaction) -> list[tuple[ProjectName, JobId]]:
        jobs = _expected(tx.jobs.ids(limit=MOST_AT_ONCE + 1, **fit), expect, "watched jobs")
        note_asked(tx, jobs, who=by, at=at)
        return [(each.project, each.job_id) for each in tx.labels.of(jobs)]

    jobs = await context.store.write(work)
    watched = [context.hint(project, job_id) for project, job_id in jobs]
    return machine_answer({"count": len(jobs), "watched": sum(watched)})


@post("/api/v1/deliveries/retry", status_code=200, responses=answers(Changed, "How many are sent."))
async def retry_deliveries(
    *,
    request: ApiRequest,
    context: Context,
    expect: Expect,
    status: StatusFilter = None,
    channel: ChannelFilter = None,
    event: EventFilter = None,
    project: ProjectFilter = None,
    batch: BatchFilter = None,
    tag: TagFilter = None,
) -> Response[object]:
    """Send all dead and held deliveries that fit now, if they are as many as expected."""
    fit = delivery_filter(status=status, channel=channel, event=event, project=project, batch=batch, tag=tag)
    return machine_answer({"count": await retry_fitting(context, fit, expect, by=who(request))})


@post("/api/v1/deliveries/cancel", status_code=200, responses=answers(Changed, "How many are given up."))
async def cancel_deliveries(
    *,
    request: ApiRequest,
    context: Context,
    expect: Expect,
    status: StatusFilter = None,
    channel: ChannelFilter = None,
    event: EventFilter = None,
    project: ProjectFilter = None,
    batch: BatchFilter = None,
    tag: TagFilter = None,
) -> Response[object]:
    """Give up all pending, held and dead deliveries that fit, if they are as many as expected."""
    fit = delivery_filter(status=status, channel=channel, event=event, project=project, batch=batch, tag=tag)
    change = partial(cancel, at=context.clock.now(), who=who(request))
    return machine_answer({"count": await _change_fitting(context, fit, _UNSENT, expect, change)})


async def retry_fitting(context: WebContext, fit: DeliveryFilter, expect: int, *, by: Actor) -> int:
    """Send all dead and held deliveries that fit now. Returns their number. Raises HttpError 409 if they are not
    as many as expected."""
    change = partial(retry, at=context.clock.now(), who=by)
    return await _change_fitting(context, fit, _AGAIN, expect, change)


def count_again(tx: Transaction, fit: DeliveryFilter) -> int:
    """How many deliveries `retry_fitting` would send; more than `MOST_AT_ONCE` if they are too many."""
    count = 0
    for each in _wanted(fit, _AGAIN):
        number = tx.deliveries.count(most=MOST_AT_ONCE + 1 - count, **each)
        count += number.rows
        if count > MOST_AT_ONCE:
            return count
        if not number.whole:  # not all were examined
            return len(_ids(tx, fit, _AGAIN))
    return count


def _fit(project: str | None, state: str | None, tag: str | None, batch: str | None) -> JobFilter:
    return {
        "project": None if project is None else ProjectName(project),
        "tracking": Tracking.ACTIVE,
        "state": state,
        "tag": tag,
        "batch": batch,
    }


async def _change_fitting(
    context: WebContext,
    fit: DeliveryFilter,
    statuses: tuple[DeliveryStatus, ...],
    expect: int,
    change: Callable[[Transaction, list[int]], int],
) -> int:
    """Change the deliveries with one of these statuses that fit. Returns how many were changed."""

    def work(tx: Transaction) -> int:
        ids = _expected(_ids(tx, fit, statuses), expect, "deliveries")
        return change(tx, ids) if ids else 0

    return await context.store.write(work)


def _ids(tx: Transaction, fit: DeliveryFilter, statuses: tuple[DeliveryStatus, ...]) -> list[int]:
    return [
        row.id for each in _wanted(fit, statuses) for row in tx.deliveries.list(limit=MOST_AT_ONCE + 1, **each)
    ]


def _wanted(fit: DeliveryFilter, statuses: tuple[DeliveryStatus, ...]) -> Iterator[DeliveryFilter]:
    """The filter with each of these statuses that it lets through."""
    for status in statuses:
        if fit["status"] in (None, status):
            wanted = fit.copy()
            wanted["status"] = status
            yield wanted


def _expected(ids: list[int], expect: int, what: str) -> list[int]:
    """These, if they are as many. Raises HttpError 409."""
    if len(ids) != expect:
        many = f"more than {MOST_AT_ONCE}" if len(ids) > MOST_AT_ONCE else str(len(ids))
        raise HttpError(409, f"nothing was changed: {many} {what} fit, not {expect}; list them again")
    return ids


HANDLERS = (untrack_jobs, ask_jobs, retry_deliveries, cancel_deliveries)
