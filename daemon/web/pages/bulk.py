"""What people do to several jobs at once, `/jobs/bulk`: first a page that says how many and which they are, then
its form, which changes nothing if their number is another one by then."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from litestar import Response, get, post
from msgspec import Struct, field

from daemon.commands import MuteWish, mute, note_asked, retry, untrack
from daemon.domain.actions import Action, Actor
from daemon.domain.jobs import Tracking
from daemon.domain.mutes import MuteScope
from daemon.errors import UsageFault
from daemon.store import DeliveryStatus, JobFilter, JobRow, Transaction
from daemon.web.access import Context, form_of, who
from daemon.web.api.bulk import MOST_AT_ONCE
from daemon.web.bodies import ApiRequest
from daemon.web.context import WebContext
from daemon.web.pages.filters import JobFilters, read_filters
from daemon.web.pages.job import HOURS, mute_lasts
from daemon.web.pages.jobs import BULK, ROWS
from daemon.web.pages.login import go
from daemon.web.pages.rendering import page, wording_of

MOST_MUTED = 200
"""Maximum number of jobs muted at once: each gets a mute of its own. More are muted by their batch or tag."""
_NAMED = 8
"""Jobs named on the page."""
_AT_ONCE, _PAGES = 500, 10
"""Jobs read at a time, and how often: with a filter that is checked row by row a page may be empty."""
_MOST_DIGITS = 18


class BulkWish(Struct, frozen=True, kw_only=True):
    """What is to be done, and to which jobs: those of these row ids, or None: all that fit the filters."""

    what: Action
    jobs: tuple[int, ...] | None
    filters: JobFilters
    view: str | None


class Affected(Struct, frozen=True, kw_only=True):
    """The jobs that a wish is about, and the alerts (row ids) that it would send."""

    jobs: list[JobRow]
    alerts: list[int] = field(default_factory=list)
    of_alerts: bool = False

    @property
    def count(self) -> int:
        """What people are asked to confirm: how many jobs, or how many alerts."""
        return len(self.alerts if self.of_alerts else self.jobs)


@get("/jobs/bulk")
async def get_bulk(request: ApiRequest, context: Context) -> Response[bytes]:
    """Show what would be done, to how many jobs, and to which."""
    wish = _wish(request.query_params, request.query_params.getall("job", []))
    fit = _fit(request, context, wish)
    found = await context.store.read_async(lambda tx: affected(tx, wish, fit))
    return _confirm(request, context, wish, found)


@post("/jobs/bulk", status_code=303)
async def post_bulk(request: ApiRequest, context: Context) -> Response[bytes]:
    """Do it, if as many fit as the page said; else show the page again."""
    form, at, by = form_of(request), context.clock.now(), who(request)
    wish = _wish(form, form.get("jobs", "").split() if form.get("of") == "chosen" else ())
    fit, expect = _fit(request, context, wish), form.get("expect", "")
    lasts = mute_lasts(form) if wish.what is Action.MUTE else timedelta()

    def work(tx: Transaction) -> tuple[Affected, bool]:
        found = affected(tx, wish, fit)
        if str(found.count) != expect:
            return found, False
        match wish.what:
            case Action.MUTE:
                _mute(tx, found.jobs, lasts, form.get("comment", ""), at=at, by=by)
            case Action.RETRY if found.alerts:
                retry(tx, found.alerts, at=at, who=by)
            case Action.ASK:
                note_asked(tx, [job.id for job in found.jobs], who=by, at=at)
            case Action.UNTRACK if found.jobs:
                untrack(tx, [job.id for job in found.jobs], at=at, who=by, routing=context.routing)
        return found, True

    found, done = await context.store.write(work)
    if not done:
        return _confirm(request, context, wish, found, expected=expect)
    if wish.what is Action.ASK:
        for job in found.jobs:
            context.hint(job.project, job.job_id)
    return go(wish.filters.url(view=wish.view, done=wish.what.value, number=str(found.count)))


def affected(tx: Transaction, wish: BulkWish, fit: JobFilter) -> Affected:
    """The jobs and alerts that the wish concerns now. Raises UsageFault if they are too many."""
    active = wish.what in (Action.ASK, Action.UNTRACK)
    if wish.jobs is not None:
        jobs = [job for each in wish.jobs if (job := tx.jobs.get(each)) is not None]
    elif active and fit.get("tracking") not in (None, Tracking.ACTIVE):
        jobs = []
    else:
        wanted = fit.copy()
        if active:
            wanted["tracking"] = Tracking.ACTIVE
        jobs = _all(tx, wanted, wish.filters.q, MOST_MUTED if wish.what is Action.MUTE else MOST_AT_ONCE)
    if active:
        jobs = [job for job in jobs if job.tracking is Tracking.ACTIVE]
    if wish.what is not Action.RETRY:
        return Affected(jobs=jobs)
    ids = [job.id for job in jobs]
    alerts = [
        row
        for status in (DeliveryStatus.DEAD, DeliveryStatus.HELD)
        for row in (tx.deliveries.list(jobs=ids, status=status) if ids else ())
    ]
    having = {row.job for row in alerts}
    of = [job for job in jobs if job.id in having]
    return Affected(jobs=of, alerts=[row.id for row in alerts], of_alerts=True)


def _all(tx: Transaction, fit: JobFilter, search: str | None, most: int) -> list[JobRow]:
    found: list[JobRow] = []
    after = None
    for _ in range(_PAGES):
        rows = tx.jobs.page(limit=_AT_ONCE, after=after, search=search, **fit)
        found += rows.rows
        after = rows.after
        if after is None or len(found) > most:
            break
    if len(found) > most:
        raise UsageFault(
            f"nothing was changed: more than {most} jobs fit these filters; narrow them", key="too_many"
        )
    if after is not None:
        raise UsageFault(
            "nothing was changed: too many jobs would have to be looked through; narrow the filters",
            key="too_many",
        )
    return found


def _mute(
    tx: Transaction, jobs: Sequence[JobRow], lasts: timedelta, comment: str, *, at: datetime, by: Actor
) -> None:
    for job in jobs:
        wish = MuteWish(scope=MuteScope.JOB, subject=job.job_id, project=job.project, lasts=lasts, comment=comment)
        mute(tx, wish, at=at, who=by)


def _wish(given: Mapping[str, str], jobs: Sequence[str]) -> BulkWish:
    """What an address or a form asks for. Raises UsageFault and HttpError."""
    if given.get("what", "") not in list(BULK):
        raise UsageFault(f"nothing was changed: choose what to do, one of {', '.join(BULK)}", key="bulk")
    of_all = given.get("of") == "all"
    ids = [int(each) for each in jobs if each.isdecimal() and len(each) <= _MOST_DIGITS]
    return BulkWish(
        what=Action(given["what"]),
        jobs=None if of_all else tuple(dict.fromkeys(ids))[:ROWS],
        filters=read_filters(given),
        view="wall" if given.get("view") == "wall" else None,
    )


def _fit(request: ApiRequest, context: WebContext, wish: BulkWish) -> JobFilter:
    return wish.filters.fit(context.clock.now(), wording_of(request, context).zone)


def _confirm(
    request: ApiRequest, context: WebContext, wish: BulkWish, found: Affected, *, expected: str | None = None
) -> Response[bytes]:
    """The page to confirm; `expected` is the number of a page that is out of date."""
    back = wish.filters.url(view=wish.view)
    return page(
        request,
        context,
        "bulk.html",
        status=200 if expected is None else 409,
        wish=wish,
        found=found,
        named=found.jobs[:_NAMED],
        expected=expected,
        hours=HOURS,
        given=wish.filters.given(),
        back=back,
        here=None if expected is None else back,
    )


HANDLERS = (get_bulk, post_bulk)
