"""Shares of batches: `/api/v1/shares`, and how one is made. The pages of `daemon/web/pages/share.py` show what a
share shows."""

import secrets
from datetime import timedelta
from typing import Annotated

import msgspec
from litestar import Response, delete, get, post
from litestar.params import FromPath, JSONBody, PathParameter

from daemon import views
from daemon.commands.shares import SharedBatch, revoke_share, share_batch
from daemon.domain.jobs import ProjectName
from daemon.domain.sessions import RANDOM_BYTES
from daemon.domain.shares import LEAST_SHARE, MOST_SHARE, USUAL_SHARE
from daemon.domain.text import stamp
from daemon.errors import UsageFault
from daemon.store import Transaction
from daemon.web.access import Context, who
from daemon.web.api.batches import BATCH, batch_named
from daemon.web.api.lists import USUAL, Cursor, Limit, page_answer, read_cursor
from daemon.web.api.shapes import answer, answers, listing, shape
from daemon.web.bodies import ApiRequest, machine_answer
from daemon.web.context import WebContext
from daemon.web.settings import share_url

ShareItem = shape(views.Share)
Seconds = Annotated[
    int,
    msgspec.Meta(
        ge=int(LEAST_SHARE.total_seconds()),
        le=int(MOST_SHARE.total_seconds()),
        description="How long its address works, in seconds.",
    ),
]


class NewShare(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How to share a batch."""

    for_: Seconds = msgspec.field(name="for", default=int(USUAL_SHARE.total_seconds()))


class CreatedShare(msgspec.Struct, kw_only=True):
    """A new share. `url` is shown this once."""

    id: int
    url: str
    expires_at: str


@get("/api/v1/shares", responses=answers(listing(ShareItem, "Shares"), "A page of shares, without addresses."))
async def list_shares(context: Context, limit: Limit = USUAL, cursor: Cursor = None) -> Response[object]:
    """List shares of batches, also expired and revoked ones, latest first."""
    given = {"of": "shares"}
    after, now = read_cursor(cursor, given), context.clock.now()
    page = await context.store.read_async(lambda tx: tx.shares.page(limit=limit, after=after))
    items = [views.document(views.share(each, now=now)) for each in page.rows]
    return page_answer(page, items, given, now=now)


@post(f"{BATCH}/share", status_code=200, responses=answers(CreatedShare, "The address, shown this once."))
async def post_share(
    request: ApiRequest, project: FromPath[str], name: FromPath[str], data: JSONBody[NewShare], context: Context
) -> Response[object]:
    """Share a batch: who has the address sees its names, states and covers."""
    made, url = await shared(request, context, project, name, lasts=timedelta(seconds=data.for_))
    return machine_answer({"id": made.share.id, "url": url, "expires_at": stamp(made.share.expires_at)})


@delete("/api/v1/shares/{id:int}", status_code=200, responses=answers(ShareItem, "The share as it is now."))
async def delete_share(
    request: ApiRequest,
    id: Annotated[int, PathParameter(ge=1, le=2**53, description="The share's number.")],  # noqa: A002
    context: Context,
) -> Response[object]:
    """Revoke a share: its address works no longer."""
    at, by = context.clock.now(), who(request)
    share = await context.store.write(lambda tx: revoke_share(tx, id, who=by, at=at))
    return answer(views.share(share, now=at))


async def shared(
    request: ApiRequest, context: WebContext, project: str, name: str, *, lasts: timedelta
) -> tuple[SharedBatch, str]:
    """Share a batch. Returns the share and its address. Raises UnknownName or UsageFault."""
    if not context.settings.pages:
        raise UsageFault("nothing was shared: the pages are off (web.pages = false), so nobody could open it")
    at, by, random = context.clock.now(), who(request), secrets.token_bytes(RANDOM_BYTES)

    def work(tx: Transaction) -> SharedBatch:
        return share_batch(tx, ProjectName(project), batch_named(name), lasts=lasts, random=random, who=by, at=at)

    made = await context.store.write(work)
    return made, share_url(context.settings.public_url or str(request.base_url), made.secret)


HANDLERS = (list_shares, post_share, delete_share)
