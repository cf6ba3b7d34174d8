"""The CSV of a list of jobs: `GET /api/v1/jobs?format=csv`. It is read page by page, and at most so long that one
answer can be kept in memory; the header Link then leads to the rest."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from urllib.parse import urlencode

from litestar import Response

from daemon import views
from daemon.store import JobFilter, JobRow, JobSort, Page, Place, Transaction
from daemon.views.sheets import BOM, head, lines
from daemon.web.api.lists import cursor_after
from daemon.web.bodies import ApiRequest
from daemon.web.context import WebContext

MOST_ROWS = 10_000
MOST_BYTES = 8 * 1024 * 1024
"""A CSV ends with the page that reaches one of these bounds."""
_AT_ONCE = 100
"""Jobs read at a time: other requests are answered in between."""
_PAGES = 200
"""Pages read at most: with a filter that is checked row by row they may be empty."""


class JobsFormat(StrEnum):
    """How a list of jobs is answered."""

    JSON = "json"
    CSV = "csv"
    EXCEL = "excel"  # the same CSV after a byte order mark, without which Excel does not take it for UTF-8


async def sheet_answer(
    request: ApiRequest,
    context: WebContext,
    fit: JobFilter,
    *,
    sort: JobSort,
    search: str | None,
    after: Place | None,
    given: Mapping[str, object],
    view: Callable[[JobRow], views.Job],
    as_: JobsFormat,
) -> Response[bytes]:
    """All jobs that fit, up to the bounds, beyond the place `after`; `given` are the filters of its cursor."""
    parts = [((BOM if as_ is JobsFormat.EXCEL else "") + head()).encode()]
    rows = size = 0
    place = after

    def read(tx: Transaction) -> Page[JobRow]:
        return tx.jobs.page(limit=_AT_ONCE, after=place, sort=sort, search=search, **fit)

    async with context.sheets:
        for _ in range(_PAGES):
            page = await context.store.read_async(read)
            parts.append(lines(map(view, page.rows)).encode())
            rows, size, place = rows + len(page.rows), size + len(parts[-1]), page.after
            if place is None or rows >= MOST_ROWS or size >= MOST_BYTES:
                break
    cursor = cursor_after(page, given)
    name = "wrapd-jobs.csv" if after is None and cursor is None else f"wrapd-jobs-part-of-{rows}.csv"
    headers = {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    if cursor is not None:
        query = urlencode({**dict(request.query_params.items()), "cursor": cursor})
        headers["Link"] = f'<{request.scope["path"]}?{query}>; rel="next"'
    return Response(b"".join(parts), media_type="text/csv", headers=headers)
