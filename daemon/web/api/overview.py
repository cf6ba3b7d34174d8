"""What concerns several resources: what needs a person (`/api/v1/needs`), and who did what (`/api/v1/actions`)."""

from collections.abc import Mapping, Set
from datetime import datetime
from typing import Annotated, NamedTuple

from litestar import Response, get
from litestar.params import QueryParameter

from daemon import views
from daemon.domain.jobs import ProjectName
from daemon.domain.production import Unended
from daemon.store import Transaction
from daemon.views.needs import DYING_WITHIN, FAILED_WITHIN, Around
from daemon.web.access import Context
from daemon.web.api.lists import USUAL, Cursor, Limit, Since, page_answer, read_cursor, read_since, word
from daemon.web.api.shapes import answer, answers, listing, shape
from daemon.web.context import WebContext


async def needs_of(context: WebContext, *, since: datetime | None = None, limit: int = 0) -> views.Needs:
    """Read what needs a person; of jobs that failed, were lost or expired those since `since`, by default a day
    ago. Raises StoreError."""
    now = context.clock.now()
    return await context.store.read_async(
        lambda tx: needs_found(tx, context, now=now, since=since, limit=limit).needs
    )


class NeedsFound(NamedTuple):
    """What needs a person, the jobs in production that were looked at for it, and the ids of those that take too
    long."""

    needs: views.Needs
    running: Mapping[int, Unended]
    overdue: Set[int]


def needs_found(
    tx: Transaction, context: WebContext, *, now: datetime, since: datetime | None = None, limit: int = 0
) -> NeedsFound:
    """Read the same in a transaction."""
    around = Around(
        now=now,
        since=since or now - FAILED_WITHIN,
        projects=context.projects,
        running=True,
        give_up_after=context.give_up_after,
    )
    dying = DYING_WITHIN if context.settings.public_url is not None else 0.0
    found = tx.needs.read(now=now, since=around.since, channels=[*context.channels], links_within=dying)
    late = views.overdue(found.running, context.durations(), now)
    needs = views.needed(found, tx.needs.late(late), around, limit=limit)
    return NeedsFound(needs, found.running, late.keys())


@get("/api/v1/needs", responses=answers(shape(views.Needs), "What needs a person."))
async def get_needs(
    context: Context,
    since: Since = None,
    limit: Annotated[int, QueryParameter(ge=1, le=200, description="At most this many items.")] = 20,
) -> Response[object]:
    """List what needs a person, worst first; of jobs that failed, were lost or expired those since `since`, by
    default a day ago."""
    return answer(await needs_of(context, since=read_since(since), limit=limit))


@get("/api/v1/actions", responses=answers(listing(shape(views.Act), "Actions"), "A page of actions."))
async def list_actions(
    context: Context,
    project: Annotated[str | None, word("Name of the project.")] = None,
    subject: Annotated[str | None, word("A job's id, or the name of a batch, tag, channel or project.")] = None,
    limit: Limit = USUAL,
    cursor: Cursor = None,
) -> Response[object]:
    """List what people and tools did, latest first."""
    only = None if project is None else ProjectName(project)
    given = {"project": only, "subject": subject, "of": "actions"}
    after = read_cursor(cursor, given)
    page = await context.store.read_async(
        lambda tx: tx.actions.page(limit=limit, project=only, subject=subject, after=after)
    )
    items = [views.document(views.act(row)) for row in page.rows]
    return page_answer(page, items, given, now=context.clock.now())


HANDLERS = (get_needs, list_actions)
