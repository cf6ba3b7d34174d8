"""The list of alerts with their attempts, `/deliveries`, and what people do to one, or to all that fit its
filters. These are those of the API, and one job."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

from litestar import Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import PathParameter, QueryParameter, SkipValidation
from msgspec import Struct

from daemon import views
from daemon.domain.events import Event
from daemon.domain.jobs import JobId, ProjectName
from daemon.domain.tokens import ApiScope
from daemon.store import DeliveryFilter, DeliveryRow, DeliverySort, DeliveryStatus, Page, Transaction
from daemon.web.access import Context, form_of, who
from daemon.web.api.bulk import MOST_AT_ONCE, count_again, retry_fitting
from daemon.web.api.deliveries import cancel_one, delivery_filter, resend_one, retry_one, shown_deliveries
from daemon.web.api.lists import Cursor, cursor_after, read_cursor, read_since, wrong
from daemon.web.bodies import ApiRequest, HttpError
from daemon.web.context import WebContext
from daemon.web.pages.login import go, own_session
from daemon.web.pages.rendering import page, read_live, wording_of
from daemon.web.pages.wording import Wording, batch_path, deliveries_path, job_path, status_tone

ROWS = 50
DONE = ("retried", "canceled", "resent", "retried_many", "unchanged")
"""What a form did, for the parameter `done`."""
_AGAIN = (DeliveryStatus.DEAD, DeliveryStatus.HELD)
Text = Annotated[str | None, QueryParameter(max_length=200)]
Number = Annotated[int, PathParameter(ge=1, le=2**53)]
FILTERS = ("status", "channel", "event", "project", "batch", "tag", "job", "since", "q")
Choice = Mapping[str, str]
"""The filters of the address that have a value."""


def read_choice(
    *,
    status: Text = None,
    channel: Text = None,
    event: Text = None,
    project: Text = None,
    batch: Text = None,
    tag: Text = None,
    job: Text = None,
    since: Text = None,
    q: Text = None,
) -> Choice:
    """The filters of the address. Raises HttpError 422 for one that it does not understand, which must not fit
    everything."""
    given = (status, channel, event, project, batch, tag, job, since, q)
    if status and status not in set(DeliveryStatus):
        raise wrong("status", f"there is no such status; there are {', '.join(DeliveryStatus)}")
    read_since(since or None)
    return {name: value for name, value in zip(FILTERS, given, strict=True) if value}


CHOICE = {"choice": Provide(read_choice, sync_to_thread=False)}
Chosen = NamedDependency[SkipValidation[Choice]]


class DeliveryItem(Struct, frozen=True, kw_only=True):
    """A delivery on the page: its view, the job, batch or project that it is about with the address of its page,
    since when it is as it is, and what can be done to it."""

    delivery: views.Delivery
    about: str | None
    path: str | None
    at: str | None
    tone: str
    acts: tuple[str, ...]


@get("/deliveries", dependencies=CHOICE)
async def get_deliveries(
    request: ApiRequest,
    *,
    context: Context,
    choice: Chosen,
    cursor: Cursor = None,
    done: Annotated[str, QueryParameter(max_length=20)] = "",
    n: Annotated[int, QueryParameter(ge=0, le=MOST_AT_ONCE)] = 0,
) -> Response[bytes]:
    """List alerts, latest first."""
    marked = {**choice, "of": "page of deliveries"}
    after, w = read_cursor(cursor, marked), wording_of(request, context)
    may_retry = own_session(request).scope.includes(ApiScope.WRITE) and "q" not in choice

    def read(tx: Transaction) -> tuple[Page[DeliveryRow], list[DeliveryItem], int | None]:
        fit = _fit(tx, choice)
        found = tx.deliveries.page(
            limit=ROWS, after=after, sort=DeliverySort.NEWEST, search=choice.get("q"), **fit
        )
        return found, items_of(tx, context, found.rows, w), _again(tx, choice, fit) if may_retry else 0

    changes, (found, items, again) = await read_live(context, read)
    onward = cursor_after(found, marked)
    own = {**choice, "cursor": cursor} if cursor else choice
    return page(
        request,
        context,
        "deliveries.html",
        after=changes,
        items=items,
        given={name: choice.get(name) for name in FILTERS},
        filtered=bool(choice),
        statuses=[(each.value, status_tone(each), _without(choice, status=each)) for each in DeliveryStatus],
        everything=_without(choice, status=None),
        again=again,
        most=MOST_AT_ONCE,
        retry_path=f"/deliveries/retry?{urlencode(choice)}",
        query=f"?{urlencode(own)}" if own else "",
        following=None if onward is None else deliveries_path(**choice, cursor=onward),
        first=None if cursor is None else deliveries_path(**choice),
        channels=_with(context.channels, choice.get("channel")),
        projects=_with(context.projects, choice.get("project")),
        goes_on=onward is not None and not items,
        done=done if done in DONE else "",
        n=n,
    )


@get("/deliveries/retry", dependencies=CHOICE)
async def get_retry(request: ApiRequest, context: Context, choice: Chosen) -> Response[bytes]:
    """Ask whether all that fit are to be sent now, with their number."""
    return await _confirm(request, context, choice)


@post("/deliveries/retry", status_code=303, dependencies=CHOICE)
async def post_retry(request: ApiRequest, context: Context, choice: Chosen) -> Response[bytes]:
    """Send all that fit now, if they are as many as the page said."""
    given = form_of(request).get("expect", "")
    if "q" in choice or not (given.isdecimal() and len(given) <= 4 and int(given) <= MOST_AT_ONCE):
        raise wrong("expect", "confirm the number on the page before")
    fit = await context.store.read_async(lambda tx: _fit(tx, choice))
    try:
        count = await retry_fitting(context, fit, int(given), by=who(request))
    except HttpError as error:
        if error.status != 409:
            raise
        return await _confirm(request, context, choice, expected=int(given))
    return go(deliveries_path(**choice, done="retried_many", n=str(count)))


@post("/deliveries/{id:int}/retry", status_code=303)
async def post_retry_one(request: ApiRequest, id: Number, context: Context) -> Response[bytes]:  # noqa: A002
    """Send an alert now that was given up, is held or muted."""
    return _back(request, "retried", await retry_one(context, id, by=who(request)))


@post("/deliveries/{id:int}/cancel", status_code=303)
async def post_cancel_one(request: ApiRequest, id: Number, context: Context) -> Response[bytes]:  # noqa: A002
    """Give up an alert unless it is sent."""
    return _back(request, "canceled", await cancel_one(context, id, by=who(request)))


@post("/deliveries/{id:int}/resend", status_code=303)
async def post_resend_one(request: ApiRequest, id: Number, context: Context) -> Response[bytes]:  # noqa: A002
    """Send a sent alert again to its channel."""
    return _back(request, "resent", await resend_one(context, id, by=who(request)))


def items_of(tx: Transaction, context: WebContext, rows: Sequence[DeliveryRow], w: Wording) -> list[DeliveryItem]:
    """The items of these rows, for a reader."""
    names = tx.jobs.names(row.job for row in rows if row.job is not None)
    found = []
    shown = shown_deliveries(tx, context, rows, telling=w.telling(), names=names)
    for row, each in zip(rows, shown, strict=True):
        about, path = _about(row, None if row.job is None else names.get(row.job))
        tone, acts = status_tone(each.status), _acts(each, context)
        found.append(DeliveryItem(delivery=each, about=about, path=path, at=_since(each), tone=tone, acts=acts))
    return found


def _about(row: DeliveryRow, job: tuple[str, str | None] | None) -> tuple[str | None, str | None]:
    """What an alert is about, and the address of its page; `job` is the id of its job with its name."""
    if row.project is None:
        return None, None
    if job is not None:
        job_id, name = job
        return name or job_id, job_path(row.project, job_id)
    batch = row.facts.get("batch")
    if row.event is Event.BATCH_FINISHED and isinstance(batch, str):
        return batch, batch_path(row.project, batch)
    return row.project, "/projects"


async def _confirm(
    request: ApiRequest, context: WebContext, choice: Choice, *, expected: int | None = None
) -> Response[bytes]:
    """The page that asks; with the number that was `expected`, if it is another now."""
    if "q" in choice:
        raise wrong("q", "what a search finds is not sent together; filter by something else")
    count = await context.store.read_async(lambda tx: count_again(tx, _fit(tx, choice)))
    return page(
        request,
        context,
        "deliveries_retry.html",
        status=200 if expected is None else 409,
        count=count,
        expected=expected,
        most=MOST_AT_ONCE,
        given=choice,
        action=f"/deliveries/retry?{urlencode(choice)}",
        back=deliveries_path(**choice),
    )


def _again(tx: Transaction, choice: Choice, fit: DeliveryFilter) -> int | None:
    """How many of those that fit can be sent again; None if they are not counted for the list, as that can take
    longer than the list itself."""
    if "job" in choice:
        return count_again(tx, fit)
    wanted = [each for each in _AGAIN if choice.get("status") in (None, each)]
    if not wanted or not choice.keys() <= {"status", "channel"}:
        return None if wanted else 0
    counts = tx.deliveries.counts().items()
    return sum(n for (name, each), n in counts if each in wanted and choice.get("channel") in (None, name))


def _fit(tx: Transaction, choice: Choice) -> DeliveryFilter:
    status, project, job = (choice.get(name) for name in ("status", "project", "job"))
    fit = delivery_filter(
        status=None if status is None else DeliveryStatus(status),
        channel=choice.get("channel"),
        event=choice.get("event"),
        project=project,
        batch=choice.get("batch"),
        tag=choice.get("tag"),
    )
    fit["since"] = read_since(choice.get("since"))
    if job is not None:
        fit["jobs"] = [
            row.id for row in tx.jobs.find(JobId(job), None if project is None else ProjectName(project))
        ]
    return fit


def _since(delivery: views.Delivery) -> str | None:
    """Since when a delivery has its status, as far as known; else when it was written."""
    if delivery.status == DeliveryStatus.DEAD and delivery.tries:
        return delivery.tries[-1].ended_at
    if delivery.status == DeliveryStatus.SENDING and delivery.tries:
        return delivery.tries[-1].started_at
    if delivery.status == DeliveryStatus.CANCELED:
        return delivery.due_at
    return delivery.sent_at or delivery.created_at


def _acts(delivery: views.Delivery, context: WebContext) -> tuple[str, ...]:
    if delivery.status == DeliveryStatus.SENT:
        return ("resend",) if delivery.channel in context.channels else ()
    if delivery.status in _AGAIN or (delivery.status == DeliveryStatus.PENDING and delivery.mute is not None):
        return ("retry", "cancel")
    return ("cancel",) if delivery.status == DeliveryStatus.PENDING else ()


def _back(request: ApiRequest, done: str, count: int) -> Response[bytes]:
    """Go back to the list, whose filters the form's address keeps."""
    query = request.scope["query_string"].decode("latin-1")
    return go(f"/deliveries?{query}{'&' if query else ''}done={done if count else 'unchanged'}")


def _without(choice: Choice, *, status: str | None) -> str:
    """The address of the list with another status."""
    others = {name: value for name, value in choice.items() if name != "status"}
    return deliveries_path(**others) if status is None else deliveries_path(**others, status=status)


def _with(names: Iterable[str], given: str | None) -> list[str]:
    """The names to choose from, with the one that is given."""
    found = list(names)
    return found if given is None or given in found else [*found, given]


HANDLERS = (get_deliveries, get_retry, post_retry, post_retry_one, post_cancel_one, post_resend_one)
