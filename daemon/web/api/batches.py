"""Batches: `/api/v1/batches`, with the expected end of their last job; and that of any other tracked jobs."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from litestar import Response, get
from litestar.params import FromPath, QueryParameter

from daemon import views
from daemon.domain.jobs import ProjectName, Tracking, parse_job_id
from daemon.domain.states import State
from daemon.domain.text import clean
from daemon.store import BatchRow, JobFilter, Page, Transaction
from daemon.web.access import Context
from daemon.web.api.lists import USUAL, Cursor, Limit, page_answer, read_cursor, word, wrong
from daemon.web.api.shapes import answer, answers, listing, shape
from daemon.web.bodies import HttpError
from daemon.web.context import WebContext
from daemon.web.guard import SLASH

BATCH = "/api/v1/batches/{project:str}/{name:str}"
MOST_ESTIMATED = 500
"""Tracked jobs of batches from which a list makes estimates, so that it takes no longer for large batches."""
MOST_OF_ONE = 5000
"""Those of a single batch: that many take 0.2 s."""
MOST_TOGETHER = 2000
"""Those of any other selection, whose whole rows are read."""
MOST_NAMED = 100
"""Jobs named in one request."""
_TOO_MANY_LISTED = f"the batches listed have more than {MOST_ESTIMATED} tracked jobs; ask for this batch alone"
_TOO_MANY = f"the batch has more than {MOST_OF_ONE} tracked jobs; `wrapd batches` has an estimate"
_TOO_MANY_TOGETHER = f"more than {MOST_TOGETHER} tracked jobs fit"
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


@get("/api/v1/jobs/ending", responses=answers(shape(views.Ending), "When the last of them ends."))
async def get_ending(
    context: Context,
    project: Annotated[str | None, word("Name of the project.")] = None,
    tag: Annotated[str | None, word("One of its tags.")] = None,
    batch: Annotated[str | None, word("Its batch.")] = None,
    jobs: Annotated[
        list[str] | None,
        QueryParameter(name="job", max_items=MOST_NAMED, description="Only these, each as PROJECT/JOB_ID."),
    ] = None,
) -> Response[object]:
    """Estimate when the last of the tracked jobs that fit ends; frozen ones are left out."""
    if jobs is not None and any((project, tag, batch)):
        raise wrong("job", "jobs are either named or found by filters; leave one out")
    now = context.clock.now()
    fit: JobFilter = {
        "project": None if project is None else ProjectName(project),
        "tracking": Tracking.ACTIVE,
        "tag": tag,
        "batch": batch,
    }

    def read(tx: Transaction) -> views.Ending:
        ids = tx.jobs.ids(limit=MOST_TOGETHER + 1, **fit) if jobs is None else _named(tx, jobs)
        if len(ids) > MOST_TOGETHER:
            return views.ending(len(ids), views.BatchOutlook(at=now, reason=_TOO_MANY_TOGETHER))
        running = [
            row for row in tx.following.rows(ids) if row.tracking is Tracking.ACTIVE and row.state != State.BLOCK
        ]
        return views.ending(len(running), views.last_of(context.durations(), running, now=now))

    return answer(await context.store.read_async(read))


def _named(tx: Transaction, jobs: Iterable[str]) -> list[int]:
    """The row ids of those of these jobs that are known."""
    found = []
    for each in jobs:
        project, _, job_id = each.partition("/")
        try:
            found += [row.id for row in tx.jobs.find(parse_job_id(job_id), ProjectName(project))]
        except ValueError:
            continue
    return found


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


HANDLERS = (list_batches, get_batch, get_ending)
