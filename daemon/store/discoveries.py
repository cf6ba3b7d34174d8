"""Requests to take up jobs from a project's job list: a command writes them, a running daemon carries them out.

Owns the discoveries. This way one process sends all requests to the service and keeps to the budget. The filters
are opaque here: the command and the daemon agree on them.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import bindparam, delete, insert, select, update

from daemon.domain.events import Json
from daemon.domain.jobs import ProjectName
from daemon.store.mapping import TransactionPart, plain_row
from daemon.store.rows import DiscoveryRow
from daemon.store.tables import DISCOVERIES

KEPT = timedelta(days=7)
"""How long a discovery is kept, finished or not."""

_D = DISCOVERIES.c
_WAITING = select(DISCOVERIES).where(_D.ended_at.is_(None)).order_by(_D.id)
_DONE = (
    select(DISCOVERIES)
    .where(_D.project == bindparam("of_project"), _D.ended_at.is_not(None))
    .order_by(_D.id.desc())
    .limit(bindparam("most"))
)
_BY_ID = select(DISCOVERIES).where(_D.id == bindparam("id"))
_FORGET = delete(DISCOVERIES).where(_D.asked_at < bindparam("before", type_=_D.asked_at.type))
_END = update(DISCOVERIES).where(_D.id == bindparam("row"), _D.ended_at.is_(None))


class Discoveries(TransactionPart):
    """The discoveries, seen through one transaction."""

    def ask(self, project: ProjectName, filters: Mapping[str, Json], at: datetime) -> int:
        """Add a request made `at`, and delete those older than `KEPT`. Returns its id, which is never reused."""
        self._connection.execute(_FORGET, {"before": at - KEPT})
        row = {"project": project, "filters": filters, "asked_at": at}
        return cast("tuple[int]", self._connection.execute(insert(DISCOVERIES), row).inserted_primary_key)[0]

    def waiting(self, project: ProjectName | None = None) -> list[DiscoveryRow]:
        """Return unfinished requests of one project or of all, oldest first."""
        query = _WAITING if project is None else _WAITING.where(_D.project == project)
        return [plain_row(DiscoveryRow, row) for row in self._connection.execute(query)]

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
        """Record the result. False, and nothing is changed, if the request is no longer waiting."""
        values = {"ended_at": at, "found": found, "added": added, "error": error, "result": result}
        return self._connection.execute(_END, {"row": id, **values}).rowcount == 1

    def done(self, project: ProjectName, *, limit: int) -> list[DiscoveryRow]:
        """Return the project's latest finished requests, newest first."""
        values = {"of_project": project, "most": limit}
        return [plain_row(DiscoveryRow, row) for row in self._connection.execute(_DONE, values).all()]

    def get(self, id: int) -> DiscoveryRow | None:  # noqa: A002
        """Return a discovery by its id; None if it was deleted."""
        row = self._connection.execute(_BY_ID, {"id": id}).one_or_none()
        return None if row is None else plain_row(DiscoveryRow, row)
