"""Wishes to take a project's jobs from the service's list: a command asks, a running daemon does it.

Owns the discoveries. So all requests to the service come from one process, which keeps to the budget. Must never
read a filter: who asks and who does it agree on them.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from daemon.domain.events import Json
from daemon.domain.jobs import ProjectName
from daemon.store.mapping import discovery_row
from daemon.store.rows import DiscoveryRow
from daemon.store.tables import DISCOVERIES

KEPT = timedelta(days=7)
"""How long a discovery is kept, done or not."""

_D = DISCOVERIES.c
_WAITING = select(DISCOVERIES).where(_D.ended_at.is_(None)).order_by(_D.id)
_BY_ID = select(DISCOVERIES).where(_D.id == bindparam("id"))
_FORGET = delete(DISCOVERIES).where(_D.asked_at < bindparam("before", type_=_D.asked_at.type))
_END = update(DISCOVERIES).where(_D.id == bindparam("row"), _D.ended_at.is_(None))


class Discoveries:
    """The discoveries, seen through one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, project: ProjectName, filters: Mapping[str, Json], at: datetime) -> int:
        """Ask for one at `at`, and forget those older than `KEPT`. Returns its id, never that of another."""
        self._connection.execute(_FORGET, {"before": at - KEPT})
        row = {"project": project, "filters": filters, "asked_at": at}
        return cast("tuple[int]", self._connection.execute(insert(DISCOVERIES), row).inserted_primary_key)[0]

    def waiting(self, project: ProjectName | None = None) -> list[DiscoveryRow]:
        """Those that are not done, the first one first; of one project, or of all."""
        query = _WAITING if project is None else _WAITING.where(_D.project == project)
        return [discovery_row(row) for row in self._connection.execute(query)]

    def finish(
        self,
        id: int,  # noqa: A002 - as the row calls it
        *,
        at: datetime,
        found: int,
        added: int,
        error: str | None = None,
        result: Mapping[str, Json] | None = None,
    ) -> bool:
        """Say how it went. False, and nothing is changed: it does not wait any more."""
        values = {"ended_at": at, "found": found, "added": added, "error": error, "result": result}
        return self._connection.execute(_END, {"row": id, **values}).rowcount == 1

    def done(self, project: ProjectName, *, limit: int) -> list[DiscoveryRow]:
        """The project's last ones that are done, the latest first."""
        query = select(DISCOVERIES).where(_D.project == project, _D.ended_at.is_not(None))
        return [discovery_row(row) for row in self._connection.execute(query.order_by(_D.id.desc()).limit(limit))]

    def get(self, id: int) -> DiscoveryRow | None:  # noqa: A002
        """A discovery by its id; None where it is forgotten."""
        row = self._connection.execute(_BY_ID, {"id": id}).one_or_none()
        return None if row is None else discovery_row(row)
