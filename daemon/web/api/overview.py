"""What is the matter over all resources: `/api/v1/needs`."""

from datetime import timedelta
from typing import Annotated

from litestar import Response, get
from litestar.params import QueryParameter

from daemon import views
from daemon.store import Transaction
from daemon.views.needs import DYING_WITHIN, Around
from daemon.web.access import Context
from daemon.web.api.lists import Since, read_since
from daemon.web.api.shapes import answer, answers, shape

_DAY = timedelta(days=1)


@get("/api/v1/needs", responses=answers(shape(views.Needs), "What needs a person."))
async def get_needs(
    context: Context,
    since: Since = None,
    limit: Annotated[int, QueryParameter(ge=1, le=200, description="At most this many items.")] = 20,
) -> Response[object]:
    """List what needs a person, worst first; of jobs that failed, were lost or expired those since `since`, by
    default a day ago."""
    now = context.clock.now()
    around = Around(
        now=now,
        since=read_since(since) or now - _DAY,
        projects=context.projects,
        running=True,
        give_up_after=context.give_up_after,
    )
    dying = DYING_WITHIN if context.settings.public_url is not None else 0.0

    def read(tx: Transaction) -> views.Needs:
        found = tx.needs.read(now=now, since=around.since, channels=[*context.channels], links_within=dying)
        return views.needs(found, views.overdue(found.running, context.durations(), now), around, limit=limit)

    return answer(await context.store.read_async(read))


HANDLERS = (get_needs,)
