"""Deliveries: `/api/v1/deliveries`, the alerts with their attempts."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from daemon import views
from daemon.commands import cancel, cancelable, resend, resendable, retry
from daemon.domain.actions import Actor
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.store import DeliveryFilter, DeliveryRow, DeliverySort, DeliveryStatus, JobName, Page, Transaction
from daemon.web.access import Context, who
from daemon.web.api.lists import USUAL, Cursor, Limit, Since, page_answer, read_cursor, read_since, word
from daemon.web.api.shapes import answer, answers, listing, shape
from daemon.web.bodies import ApiRequest, HttpError, machine_answer
from daemon.web.context import WebContext

DeliveryItem = shape(views.Delivery)
Id = Annotated[int, PathParameter(ge=1, le=2**53, description="The delivery's number.")]
StatusFilter = Annotated[
    DeliveryStatus | None, QueryParameter(name="status", description="Whether it is sent, or why not.")
]
ChannelFilter = Annotated[str | None, word("Its channel.")]
EventFilter = Annotated[str | None, word("Its event.")]
ProjectFilter = Annotated[str | None, word("Name of its project.")]
BatchFilter = Annotated[str | None, word("The batch of its job.")]
TagFilter = Annotated[str | None, word("A tag of its job.")]


class Changed(msgspec.Struct, kw_only=True):
    """How many were changed."""

    count: int


class Resend(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where to send an alert again; null: to its own channel."""

    channel: str | None = None


@get("/api/v1/deliveries", responses=answers(listing(DeliveryItem, "Deliveries"), "A page of deliveries."))
async def list_deliveries(
    *,
    context: Context,
    status: StatusFilter = None,
    channel: ChannelFilter = None,
    event: EventFilter = None,
    project: ProjectFilter = None,
    batch: BatchFilter = None,
    tag: TagFilter = None,
    q: Annotated[str | None, word("Part of the last error, or of its job's id, label, name or batch.")] = None,
    since: Since = None,
    sort: Annotated[DeliverySort, QueryParameter(description="The order.")] = DeliverySort.NEWEST,
    limit: Limit = USUAL,
    cursor: Cursor = None,
) -> Response[object]:
    """List deliveries with their attempts."""
    fit = delivery_filter(status=status, channel=channel, event=event, project=project, batch=batch, tag=tag)
    fit["since"] = read_since(since)
    given = {**fit, "q": q, "sort": sort, "of": "deliveries"}
    after = read_cursor(cursor, given)

    def read(tx: Transaction) -> tuple[Page[DeliveryRow], list[views.Delivery]]:
        page = tx.deliveries.page(limit=limit, after=after, sort=sort, search=q, **fit)
        return page, shown_deliveries(tx, context, page.rows)

    page, items = await context.store.read_async(read)
    return page_answer(page, list(map(views.document, items)), given, now=context.clock.now())


@get("/api/v1/deliveries/{id:int}", responses=answers(DeliveryItem, "The delivery."))
async def get_delivery(id: Id, context: Context) -> Response[object]:  # noqa: A002 - as the path calls it
    """Return a delivery with its attempts."""
    return await _one(context, id)


@post("/api/v1/deliveries/{id:int}/retry", status_code=200, responses=answers(DeliveryItem, "As it is now."))
async def retry_delivery(
    request: ApiRequest,
    id: Id,  # noqa: A002 - as the path calls it
    context: Context,
) -> Response[object]:
    """Send a dead or held delivery now; any other stays as it is."""
    await retry_one(context, id, by=who(request))
    return await _one(context, id)


@post("/api/v1/deliveries/{id:int}/cancel", status_code=200, responses=answers(DeliveryItem, "As it is now."))
async def cancel_delivery(
    request: ApiRequest,
    id: Id,  # noqa: A002 - as the path calls it
    context: Context,
) -> Response[object]:
    """Give up a delivery unless it is sent."""
    await cancel_one(context, id, by=who(request))
    return await _one(context, id)


@post("/api/v1/deliveries/{id:int}/resend", status_code=200, responses=answers(Changed, "How many are sent."))
async def resend_delivery(
    request: ApiRequest,
    id: Id,  # noqa: A002 - as the path calls it
    context: Context,
    data: JSONBody[Resend | None] = None,
) -> Response[object]:
    """Send an alert again, to its own channel or another."""
    to = None if data is None or data.channel is None else ChannelName(data.channel)
    if to is not None and to not in context.channels:
        raise HttpError(422, "channel: the config has no such channel")
    return machine_answer({"count": await resend_one(context, id, by=who(request), to=to)})


async def retry_one(context: WebContext, delivery: int, *, by: Actor) -> int:
    """Send a dead, held or muted delivery now. Returns how many are. Raises UnknownName."""
    at = context.clock.now()
    return await context.store.write(lambda tx: retry(tx, [delivery], at=at, who=by))


async def cancel_one(context: WebContext, delivery: int, *, by: Actor) -> int:
    """Give up a delivery unless it is sent. Returns how many are. Raises UnknownName."""
    at = context.clock.now()
    return await context.store.write(lambda tx: cancel(tx, cancelable(tx, [delivery]), at=at, who=by))


async def resend_one(context: WebContext, delivery: int, *, by: Actor, to: ChannelName | None = None) -> int:
    """Send a sent alert again, to its own channel or `to` another. Returns how many are. Raises UnknownName and
    UsageFault."""
    at, channels = context.clock.now(), context.channels
    return await context.store.write(
        lambda tx: resend(tx, resendable(tx, [delivery]), channels=channels, to=to, at=at, who=by)
    )


def delivery_filter(
    *,
    status: DeliveryStatus | None,
    channel: str | None,
    event: str | None,
    project: str | None,
    batch: str | None,
    tag: str | None,
) -> DeliveryFilter:
    """The filters of a request for the store."""
    return {
        "status": status,
        "channel": None if channel is None else ChannelName(channel),
        "event": event,
        "project": None if project is None else ProjectName(project),
        "batch": batch,
        "tag": tag,
    }


async def _one(context: WebContext, delivery: int) -> Response[object]:
    def read(tx: Transaction) -> list[views.Delivery]:
        row = tx.deliveries.get(delivery)
        return [] if row is None else shown_deliveries(tx, context, [row])

    found = await context.store.read_async(read)
    if not found:
        raise HttpError(404, "there is no such delivery")
    return answer(found[0])


def shown_deliveries(
    tx: Transaction,
    context: WebContext,
    rows: Sequence[DeliveryRow],
    *,
    telling: views.Telling | None = None,
    names: Mapping[int, JobName] | None = None,
) -> list[views.Delivery]:
    """The views of these rows, each with its attempts; `telling` is how their reader is told why they wait, by
    default a program. `names` are those of the jobs, if they were read before."""
    now = context.clock.now()
    at = views.Situation(
        standing=tx.queue.standing(rows, now=now),
        now=now,
        telling=telling or views.Telling(),
        channels=context.channels,
    )
    jobs = tx.jobs.names(row.job for row in rows if row.job is not None) if names is None else names
    tries = tx.deliveries.attempts_of([row.id for row in rows])
    ids = {row.id: jobs[row.job].job_id for row in rows if row.job is not None and row.job in jobs}
    return [views.delivery(row, tries.get(row.id, []), ids.get(row.id), why=views.why(row, at)) for row in rows]


HANDLERS = (
    list_deliveries,
    get_delivery,
    retry_delivery,
    cancel_delivery,
    resend_delivery,
)
