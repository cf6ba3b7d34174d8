"""Batches: `/api/v1/batches`, with the expected end of their last job."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from litestar import Response, get
from litestar.params import FromPath

from daemon import views
from daemon.domain.jobs import ProjectName
from daemon.domain.states import State
from daemon.domain.text import clean
from daemon.store import BatchRow, Page, Transaction
from daemon.web.access import Context
from daemon.web.api.lists import USUAL, Cursor, Limit, page_answer, read_cursor, word
from daemon.web.api.shapes import answer, answers, listing, shape
from daemon.web.bodies import HttpError
from daemon.web.context import WebContext
from daemon.web.guard import SLASH

BATCH = "/api/v1/batches/{project:str}/{name:str}"
MOST_ESTIMATED = 500
"""Tracked jobs of batches from which a list makes estimates, so that it takes no longer for large batches."""
MOST_OF_ONE = 5000
"""Those of a single batch: that many take 0.2 s."""
_TOO_MANY_LISTED = f"the batches listed have more than {MOST_ESTIMATED} tracked jobs; ask for this batch alone"
_TOO_MANY = f"the batch has more than {MOST_OF_ONE} tracked jobs; `wrapd batches` has an estimate"
BatchItem = shape(views.Batch)


@get("/api/v1/batches", responses=answers(listing(BatchItem, "Batches"), "A page of batches."))
async def list_batches(
    context: Context,
    project: Annotated[str | None, word("Name of the project.")] = None,
    limit: Limit = USUAL,
    cursor: Cursor = None,
) -> Response[object]:
    """List batches, ended ones included, by when a job was last added."""
    only = None if project is None else ProjectName(project)
    given = {"project": only, "of": "batches"}
    after, now = read_cursor(cursor, given), context.clock.now()

    def read(tx: Transaction) -> tuple[Page[BatchRow], list[views.Batch]]:
        page = tx.batches.page(project=only, after=after, limit=limit)
        return page, shown_batches(tx, context, page.rows, now, most=MOST_ESTIMATED, beyond=_TOO_MANY_LISTED)

    page, items = await context.store.read_async(read)
    return page_answer(page, list(map(views.document, items)), given, now=now)


@get(BATCH, responses=answers(BatchItem, "The batch."))
async def get_batch(project: FromPath[str], name: FromPath[str], context: Context) -> Response[object]:
    """Return a batch."""
    now = context.clock.now()

    def read(tx: Transaction) -> list[views.Batch]:
        row = tx.batches.get(ProjectName(project), batch_named(name))
        return [] if row is None else shown_batches(tx, context, [row], now, most=MOST_OF_ONE, beyond=_TOO_MANY)

    found = await context.store.read_async(read)
    if not found:
        raise HttpError(404, "no job of the project belongs to such a batch")
    return answer(found[0])


def batch_named(part: str) -> str:
    """The name of a batch by the part of a path that stands for it."""
    return clean(part.replace(SLASH, "/"))


def shown_batches(
    tx: Transaction,
    context: WebContext,
    rows: Iterable[BatchRow],
    now: datetime,
    *,
    most: int = MOST_ESTIMATED,
    beyond: str = _TOO_MANY_LISTED,
    begun: bool = False,
) -> list[views.Batch]:
    """The views of these batches, with estimates for the first of them, up to `most` tracked jobs in all; with
    `begun` only if all of them are in production, since otherwise there is no expected end."""
    found, left = [], most
    for row in rows:
        tracked = row.jobs - row.ended
        expected = views.BatchOutlook(at=now, reason=beyond if tracked > left else None)
        if 0 < tracked <= left:
            unended = tx.batches.unended(row.project, row.batch)
            if not begun or all(each.state_text == State.PROCESSING for each in unended):
                left -= tracked
                expected = views.last_of(context.durations(), unended, now=now)
        found.append(views.batch(row, expected))
    return found


HANDLERS = (list_batches, get_batch)
