"""Batches: `/api/v1/batches`."""

from datetime import UTC, datetime
from typing import Annotated

from litestar import Response, get
from litestar.params import FromPath

from daemon import views
from daemon.domain.jobs import ProjectName
from daemon.store import BatchRow
from daemon.web.access import Context
from daemon.web.api.lists import USUAL, Cursor, Limit, page_answer, read_cursor, word
from daemon.web.api.shapes import answers, listing, shape
from daemon.web.bodies import HttpError, machine_answer

_LATER = ("eta", "eta_reason", "soonest_at")
"""Keys of `--json` that the API does not have: the commands learn them from the whole database."""
_EPOCH = datetime.fromtimestamp(0, UTC)
BatchItem = shape(views.Batch, without=_LATER)


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
    after = read_cursor(cursor, given)
    page = await context.store.read_async(lambda tx: tx.batches.page(project=only, after=after, limit=limit))
    return page_answer(page, list(map(_document, page.rows)), given, now=context.clock.now())


@get("/api/v1/batches/{project:str}/{name:str}", responses=answers(BatchItem, "The batch."))
async def get_batch(project: FromPath[str], name: FromPath[str], context: Context) -> Response[object]:
    """Return a batch."""
    row = await context.store.read_async(lambda tx: tx.batches.get(ProjectName(project), name))
    if row is None:
        raise HttpError(404, "no job of the project belongs to such a batch")
    return machine_answer(_document(row))


def _document(row: BatchRow) -> dict[str, object]:
    shown = views.batch(row, now=_EPOCH, eta=None, eta_reason=None, soonest=None)
    return views.document(shown, without=_LATER)


HANDLERS = (list_batches, get_batch)
