"""The batches, `/batches`; one with its wall of covers, `/batches/{project}/{name}`, and what people do there."""

from datetime import datetime, timedelta
from typing import Annotated

from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from daemon import views
from daemon.commands import MuteWish, end_mutes, mute
from daemon.commands.shares import revoke_share
from daemon.domain.jobs import ProjectName
from daemon.domain.mutes import MuteScope
from daemon.domain.shares import BatchShare
from daemon.errors import UsageFault
from daemon.store import BatchRow, JobRow, JobSort, MuteRow, Page, Place, Transaction
from daemon.web.access import Context, form_of, who
from daemon.web.api.batches import MOST_ESTIMATED, batch_named, batch_outlooks
from daemon.web.api.lists import Cursor, cursor_after, read_cursor
from daemon.web.api.shares import shared
from daemon.web.bodies import ApiRequest, HttpError
from daemon.web.context import WebContext
from daemon.web.pages.filters import address
from daemon.web.pages.job import HOURS, mute_lasts
from daemon.web.pages.jobs import Item, items_of
from daemon.web.pages.login import go
from daemon.web.pages.rendering import page, read_live
from daemon.web.pages.wording import batch_path

BATCH = "/batches/{project:str}/{name:str}"
ROWS = 50
WALL = 100
"""Covers on one page of a wall."""
DAYS = (7, 1, 30, 90)
"""For how long a batch can be shared on its page; the first unless another is chosen."""
_TOO_MANY = f"the batch has more than {MOST_ESTIMATED} tracked jobs; `wrapd batches` has an estimate"
Text = Annotated[str | None, QueryParameter(max_length=200)]
Done = Annotated[str, QueryParameter(max_length=20)]


class ListedBatch(Struct, frozen=True, kw_only=True):
    """A batch on a page: its view, why it has no expected end and for how many jobs, since when it has jobs, and
    its address."""

    batch: views.Batch
    no_end: views.NoEnd | None
    number: int
    since: datetime | None
    path: str


@get("/batches")
async def get_batches(
    request: ApiRequest, context: Context, project: Text = None, cursor: Cursor = None
) -> Response[bytes]:
    """List batches, by when a job was last added."""
    now, only = context.clock.now(), ProjectName(project) if project else None
    given = {"project": only, "of": "batch page"}
    after = read_cursor(cursor, given)

    def read(tx: Transaction) -> tuple[Page[BatchRow], list[ListedBatch]]:
        found = tx.batches.page(project=only, after=after, limit=ROWS)
        return found, listed(tx, context, found.rows, now)

    changes, (found, batches) = await read_live(context, read)
    onward = cursor_after(found, given)
    return page(
        request,
        context,
        "batches.html",
        after=changes,
        batches=batches,
        project=only,
        projects=context.projects,
        following=None if onward is None else address("/batches", {"project": only, "cursor": onward}),
        first=None if cursor is None else address("/batches", {"project": only}),
    )


def listed(tx: Transaction, context: WebContext, rows: list[BatchRow], now: datetime) -> list[ListedBatch]:
    """These batches as the pages show them."""
    began = tx.batches.began(rows)
    outlooks = batch_outlooks(tx, context, rows, now, most=MOST_ESTIMATED, beyond=_TOO_MANY, begun=True)
    return [
        ListedBatch(
            batch=views.batch(row, expected),
            no_end=expected.no_end,
            number=expected.number,
            since=began.get((row.project, row.batch)),
            path=batch_path(row.project, row.batch),
        )
        for row, expected in zip(rows, outlooks, strict=True)
    ]


class BatchRows(Struct, frozen=True, kw_only=True):
    """What is read for a batch's page. `jobs` are those of this page of the wall."""

    listed: ListedBatch
    jobs: Page[JobRow]
    items: list[Item]
    mutes: list[MuteRow]
    shares: list[BatchShare]


@get(BATCH)
async def get_batch(
    request: ApiRequest,
    *,
    project: FromPath[str],
    name: FromPath[str],
    context: Context,
    done: Done = "",
    cursor: Cursor = None,
) -> Response[bytes]:
    """Show a batch."""
    now, owner, batch = context.clock.now(), ProjectName(project), batch_named(name)
    given = {"project": owner, "batch": batch, "of": "wall"}
    after = read_cursor(cursor, given)

    changes, found = await read_live(context, lambda tx: _read(tx, context, owner, batch, after=after, now=now))
    path, onward = found.listed.path, cursor_after(found.jobs, given)
    return page(
        request,
        context,
        "batch.html",
        after=changes,
        it=found.listed,
        batch=found.listed.batch,
        items=found.items,
        mutes=[views.mute(each, kept=0, now=now) for each in found.mutes],
        shares=[views.share(each, now=now) for each in found.shares],
        path=path,
        jobs_path=address("/jobs", {"project": owner, "batch": batch}),
        following=None if onward is None else address(path, {"cursor": onward}),
        first=None if cursor is None else path,
        hours=HOURS,
        days=DAYS,
        done=done if done in ("muted", "unmuted", "unshared") else "",
    )


def _read(
    tx: Transaction, context: WebContext, project: ProjectName, batch: str, *, after: Place | None, now: datetime
) -> BatchRows:
    row = known_batch(tx, project, batch)
    jobs = tx.jobs.page(limit=WALL, after=after, sort=JobSort.OLDEST, project=project, batch=batch)
    return BatchRows(
        listed=listed(tx, context, [row], now)[0],
        jobs=jobs,
        items=items_of(tx, context, jobs.rows, now),
        mutes=tx.mutes.of_batch(project, batch),
        shares=list(tx.shares.open(project, batch, now=now)),
    )


def known_batch(tx: Transaction, project: ProjectName, batch: str) -> BatchRow:
    """A batch. Raises HttpError 404."""
    row = tx.batches.get(project, batch)
    if row is None:
        raise HttpError(404, "no job of the project belongs to such a batch", key="no_batch")
    return row


@post(f"{BATCH}/mute", status_code=303)
async def mute_batch(
    request: ApiRequest, project: FromPath[str], name: FromPath[str], context: Context
) -> Response[bytes]:
    """Keep the alerts of a batch and its jobs for some hours."""
    at, by, form = context.clock.now(), who(request), form_of(request)
    owner, batch = ProjectName(project), batch_named(name)
    lasts, comment = mute_lasts(form), form.get("comment", "")

    def work(tx: Transaction) -> None:
        known_batch(tx, owner, batch)
        wish = MuteWish(scope=MuteScope.BATCH, subject=batch, project=owner, lasts=lasts, comment=comment)
        mute(tx, wish, at=at, who=by)

    await context.store.write(work)
    return go(f"{batch_path(owner, batch)}?done=muted")


@post(f"{BATCH}/unmute", status_code=303)
async def unmute_batch(
    request: ApiRequest, project: FromPath[str], name: FromPath[str], context: Context
) -> Response[bytes]:
    """End the mutes of this batch; those of its jobs, tags or channels stay."""
    at, by, owner, batch = context.clock.now(), who(request), ProjectName(project), batch_named(name)

    def work(tx: Transaction) -> None:
        known_batch(tx, owner, batch)
        end_mutes(tx, [each.id for each in tx.mutes.of_batch(owner, batch)], at=at, who=by)

    await context.store.write(work)
    return go(f"{batch_path(owner, batch)}?done=unmuted")


@post(f"{BATCH}/share")
async def share_it(
    request: ApiRequest, project: FromPath[str], name: FromPath[str], context: Context
) -> Response[bytes]:
    """Share a batch, and show the address this once."""
    days, batch = form_of(request).get("days", ""), batch_named(name)
    if days not in map(str, DAYS):
        raise UsageFault("nothing was shared: choose for how long", key="share")
    made, url = await shared(request, context, project, name, lasts=timedelta(days=int(days)))
    path = batch_path(project, batch)
    return page(request, context, "shared.html", here=path, path=path, share=made.share, url=url)


@post(f"{BATCH}/unshare", status_code=303)
async def unshare_it(
    request: ApiRequest, project: FromPath[str], name: FromPath[str], context: Context
) -> Response[bytes]:
    """Revoke a share of a batch."""
    at, by, given = context.clock.now(), who(request), form_of(request).get("share", "")
    owner, batch = ProjectName(project), batch_named(name)

    def work(tx: Transaction) -> None:
        wanted = [each.id for each in tx.shares.open(owner, batch, now=at) if str(each.id) == given]
        if not wanted:
            raise HttpError(404, "nothing was changed: the batch has no such share that is open", key="no_share")
        revoke_share(tx, wanted[0], who=by, at=at)

    await context.store.write(work)
    return go(f"{batch_path(owner, batch)}?done=unshared")


HANDLERS = (get_batches, get_batch, mute_batch, unmute_batch, share_it, unshare_it)
