"""Batches: `/api/v1/batches`, with the expected end of their last job; and that of any other tracked jobs."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated

from litestar import Response, get
from litestar.params import FromPath, QueryParameter

from daemon import views
from daemon.domain.jobs import ProjectName, Tracking, parse_job_id
from daemon.domain.text import clean
from daemon.store import Batch, BatchRow, JobFilter, Page, Transaction
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
"""Those of any other selection, whose row ids are read first."""
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
        expected = batch_outlooks(tx, context, page.rows, now, most=MOST_ESTIMATED)
        return page, list(map(views.batch, page.rows, expected))

    page, items = await context.store.read_async(read)
    return page_answer(page, list(map(views.document, items)), given, now=now)


@get(BATCH, responses=answers(BatchItem, "The batch."))
async def get_batch(project: FromPath[str], name: FromPath[str], context: Context) -> Response[object]:
    """Return a batch."""
    now = context.clock.now()

    def read(tx: Transaction) -> list[views.Batch]:
        row = tx.batches.get(ProjectName(project), batch_named(name))
        if row is None:
            return []
        [expected] = batch_outlooks(tx, context, [row], now, most=MOST_OF_ONE, beyond=_TOO_MANY)
        return [views.batch(row, expected)]

    found = await context.store.read_async(read)
    if not found:
        raise HttpError(404, "no job of the project belongs to such a batch", key="no_batch")
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
        unended = tx.batches.unfrozen(ids, now=now)
        return views.ending(len(unended), views.last_of(context.durations(), unended, now=now))

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


def batch_outlooks(
    tx: Transaction,
    context: WebContext,
    rows: Sequence[BatchRow],
    now: datetime,
    *,
    most: int,
    beyond: str = _TOO_MANY_LISTED,
    begun: bool = False,
) -> list[views.BatchOutlook]:
    """The outlooks of these batches, with estimates for the first of them, up to `most` tracked jobs in all. With
    `begun` no more than the expected end is wanted, which a batch has only once all its jobs are in production."""
    left = most
    found: dict[Batch, views.BatchOutlook] = {}
    estimated: list[Batch] = []
    for row in rows:
        tracked = row.jobs - row.ended
        if begun and row.unbegun:
            found[row.project, row.batch] = views.not_begun(row.unbegun, now=now)
        elif tracked > left:
            found[row.project, row.batch] = views.BatchOutlook(
                at=now, reason=beyond, no_end=views.NoEnd.TOO_MANY, number=tracked
            )
        elif tracked:
            left -= tracked
            estimated.append((row.project, row.batch))
    for of, unended in tx.batches.unended(estimated, now=now).items():
        found[of] = views.last_of(context.durations(), unended, now=now)
    ended = views.BatchOutlook(at=now)
    return [found.get((row.project, row.batch), ended) for row in rows]


HANDLERS = (list_batches, get_batch, get_ending)
