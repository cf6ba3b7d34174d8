"""Finds out of what kind a job is that somebody outside names. Never tracks it.

A callback names the job alone; a query needs its kind too, so this has the priority of news.
"""

import asyncio
from datetime import datetime, timedelta

from daemon.domain.jobs import JobId
from daemon.metastudio.budget import Priority
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.errors import ApiError
from daemon.metastudio.kinds import BUSINESS_CARD, Kind
from daemon.metastudio.listing import ListQuery

_SINCE = timedelta(days=366)
"""How old the job may be: without a bound the service lists the last month only."""
_PATIENCE = 5.0
"""Seconds for all queries, waiting for the budget included."""


async def kind_of(client: ProjectClient, job_id: JobId, *, now: datetime) -> Kind | None:
    """The job's kind by the service's list, or by a query for the one kind that is not listed and sends callbacks.

    None where the service does not say. Takes seconds at most, never raises.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            return await _listed(client, job_id, now) or await _shown(client, job_id)
    except (ApiError, TimeoutError):
        return None


async def _listed(client: ProjectClient, job_id: JobId, now: datetime) -> Kind | None:
    since = (now - _SINCE).replace(hour=0, minute=0, second=0, microsecond=0)
    query = ListQuery(job_ids=(job_id,), created_since=since)
    listed = await client.list(query, permit=await client.budget.take(Priority.NEWS))
    return next((entry.kind for entry in listed.entries if entry.job_id == job_id), None)


async def _shown(client: ProjectClient, job_id: JobId) -> Kind | None:
    try:
        await client.show(BUSINESS_CARD, job_id, permit=await client.budget.take(Priority.NEWS))
    except ApiError:
        return None
    return BUSINESS_CARD
