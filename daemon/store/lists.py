"""What the lists of jobs and deliveries are narrowed by, and how many fit."""

from typing import Any, TypedDict

from sqlalchemy import Connection, Select, func, select

from daemon.domain.jobs import ChannelName, ProjectName, Tracking
from daemon.store.lines import is_
from daemon.store.mapping import plain
from daemon.store.rows import DeliveryStatus
from daemon.store.tables import DELIVERIES, JOBS, to_json

_J = JOBS.c
_D = DELIVERIES.c


class JobFilter(TypedDict, total=False):
    """What a job must be; None stands for anything."""

    project: ProjectName | None
    tracking: Tracking | None
    state: str | None
    tag: str | None
    batch: str | None


class DeliveryFilter(TypedDict, total=False):
    """What a delivery must be; None stands for anything. `job` is a row id."""

    status: DeliveryStatus | None
    channel: ChannelName | None
    job: int | None


def fitting_jobs(
    query: Select[Any],
    *,
    project: ProjectName | None = None,
    tracking: Tracking | None = None,
    state: str | None = None,
    tag: str | None = None,
    batch: str | None = None,
) -> Select[Any]:
    """`query` for the jobs that fit all that is given."""
    for column, value in ((_J.project, project), (_J.state, state), (_J.batch, batch)):
        query = query if value is None else query.where(column == value)
    if tracking is not None:
        query = query.where(_J.tracking == plain(tracking))
    if tag is not None:
        # Inside a text of JSON a quotation mark never follows a bracket or a comma without a backslash.
        text = to_json(tag)
        query = query.where((func.instr(_J.tags, f"[{text}") == 1) | (func.instr(_J.tags, f",{text}") > 0))
    return query


def fitting_deliveries(
    query: Select[Any],
    *,
    status: DeliveryStatus | None = None,
    channel: ChannelName | None = None,
    job: int | None = None,
) -> Select[Any]:
    """`query` for the deliveries that fit all that is given."""
    if status is not None:
        query = query.where(is_(DELIVERIES, status))
    if channel is not None:
        query = query.where(_D.channel == channel)
    return query if job is None else query.where(_D.job == job)


def counted(connection: Connection, ids: Select[Any], *, most: int) -> int:
    """How many rows `ids` gives, counted up to `most`."""
    some = ids.limit(most).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()
