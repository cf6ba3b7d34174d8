"""Jobs and deliveries whose project or channel is not in the config: counts them and alerts the operators once.

Owns these statements. Each time that a name goes missing causes one alert. Its row stands open until the name is
back or nothing of it is left; the next alert gets a key that contains the previous row's id. So restarts and
reloads repeat nothing, and no state is kept besides the deliveries. (Once retention has deleted the alert, a name
that is still missing is reported again.)
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, func, select, update

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName, ProjectName, Tracking
from daemon.domain.orphans import Orphaned, What, orphaned_facts
from daemon.domain.routing import Routing, Subject
from daemon.store import alerts, damped
from daemon.store.mapping import TransactionPart, plain
from daemon.store.ordering import open_
from daemon.store.rows import DeliveryStatus
from daemon.store.tables import DELIVERIES, DELIVERY_COUNTS, JOB_COUNTS

Name = tuple[What, str]

_D, _J, _N = DELIVERIES.c, JOB_COUNTS.c, DELIVERY_COUNTS.c
_ACTIVE_JOBS = select(_J.project, func.sum(_J.n)).where(_J.batch == "", _J.tracking == plain(Tracking.ACTIVE))
_UNSENT = select(_N.channel, func.sum(_N.n)).where(open_(DELIVERY_COUNTS))
_COUNTS: Mapping[What, Select[Any]] = {
    "project": _ACTIVE_JOBS.group_by(_J.project).order_by(_J.project),
    "channel": _UNSENT.group_by(_N.channel).order_by(_N.channel),
}
_KEY = f"{Event.ORPHANED}/"
_ALERTS = (
    select(_D.id, _D.key, _D.facts, _D.status, _D.attempts)
    .where(_D.key >= _KEY, _D.key < f"{Event.ORPHANED}0")  # "0" sorts after "/"
    .order_by(_D.id)
)
_END = update(DELIVERIES).where(_D.id == bindparam("row"))
_OVER = "over"
"""The fact that marks an alert as closed."""


class Orphans(TransactionPart):
    """What is not in the config, seen through one transaction."""

    def count(self, known: Mapping[What, Collection[str]]) -> list[Orphaned]:
        """Return the projects with active jobs and the channels with unsent alerts that are not in `known`."""
        return [
            Orphaned(what=what, name=name, count=number)
            for what, query in _COUNTS.items()
            for name, number in self._connection.execute(query)
            if number and name not in known[what]
        ]

    def are_told(self) -> bool:
        """Return whether any alert stands open."""
        return any(_OVER not in row.facts for row in self._connection.execute(_ALERTS))

    def tell(
        self,
        found: Iterable[Orphaned],
        known: Mapping[What, Collection[str]],
        *,
        back: Collection[Name],
        routing: Routing,
        at: datetime,
    ) -> list[ChannelName]:
        """Write the alerts about what was `found`, due `at`, unless one stands open. Closes alerts about names
        that are no longer found, or that are in `back` because the config had them meanwhile, and cancels them if
        untried. Returns the channel of each alert written."""
        found = list(found)
        here = {(each.what, each.name) for each in found}
        last: dict[Name, Any] = {}
        open_: dict[Name, str] = {}
        for row in self._connection.execute(_ALERTS).all():
            name = _name_of(row.facts)
            last[name] = row
            if _OVER in row.facts:
                continue
            if name in back or name not in here:
                self._end(row, at=at)
            else:
                open_[name] = row.key
        alerted: list[ChannelName] = []
        for each in found:
            name = (each.what, each.name)
            key = open_.get(name) or f"{_KEY}{each.what}/{each.name}/{last[name].id if name in last else 0}"
            alerted += self._write(each, key, known[each.what], routing=routing, at=at)
        return alerted

    def _end(self, row: Any, *, at: datetime) -> None:
        values: dict[str, object] = {"facts": {**row.facts, _OVER: True}}
        if row.status == DeliveryStatus.PENDING and row.attempts == 0:
            values |= {"status": DeliveryStatus.CANCELED, "due_at": at}
        self._connection.execute(_END, {"row": row.id, **values})

    def _write(
        self, found: Orphaned, key: str, known: Collection[str], *, routing: Routing, at: datetime
    ) -> list[ChannelName]:
        facts = {**orphaned_facts(found, known), "observed_at": at.isoformat()}
        project = ProjectName(found.name) if found.what == "project" else None
        alert = OperatorAlert(event=Event.ORPHANED, key=key, project=project, facts=facts)
        targets = routing.targets(Subject(event=alert.event, project=project), at=at)
        return damped.add(self._connection, alerts.of_operators(alert, targets), at=at, due_at=at)


def _name_of(facts: Mapping[str, Any]) -> Name:
    project = facts.get("project")
    return ("channel", str(facts.get("channel"))) if project is None else ("project", str(project))
