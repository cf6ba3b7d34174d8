"""Jobs and deliveries whose project or channel is not in the config: counts them and alerts the operators once.

Owns these statements. Each time that a name goes missing causes one alert. Its row stands open until the name is
back or nothing of it is left; the next alert gets a key that contains the previous row's id. So restarts and
reloads repeat nothing, and no state is kept besides the deliveries. (Once retention has deleted the alert, a name
that is still missing is reported again.)
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Text, bindparam, func, select, update

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName, ProjectName, Tracking
from daemon.domain.orphans import Orphaned, What, orphaned_facts
from daemon.domain.routing import Routing, Subject
from daemon.store import alerts
from daemon.store.mapping import TransactionPart, plain
from daemon.store.ordering import open_
from daemon.store.rows import DeliveryStatus
from daemon.store.tables import DELIVERIES, JOBS

Name = tuple[What, str]

_C, _D = JOBS.c, DELIVERIES.c
_NAME = bindparam("name", type_=Text)
# Index steps from one name to the next: a table may hold a million rows of each.
_NEXT_PROJECT = select(_C.project).where(_C.project > _NAME).order_by(_C.project).limit(1)
_NEXT_CHANNEL = select(_D.channel).where(_D.channel > _NAME).order_by(_D.channel).limit(1)
_JOBS = select(func.count()).where(_C.project == _NAME, _C.tracking == plain(Tracking.ACTIVE))
_UNSENT = select(func.count()).where(_D.channel == _NAME, open_(DELIVERIES))
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
        steps: tuple[tuple[What, Select[Any], Select[Any]], ...] = (
            ("project", _NEXT_PROJECT, _JOBS),
            ("channel", _NEXT_CHANNEL, _UNSENT),
        )
        found = []
        for what, step, query in steps:
            name = ""  # sorts before all names: none is empty
            while (after := self._connection.execute(step, {"name": name}).scalar_one_or_none()) is not None:
                name = after
                if name not in known[what]:
                    number = self._connection.execute(query, {"name": name}).scalar_one()
                    found.append(Orphaned(what=what, name=name, count=number))
        return [each for each in found if each.count]

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
        return alerts.add(self._connection, alerts.of_operators(alert, targets), at=at, due_at=at)


def _name_of(facts: Mapping[str, Any]) -> Name:
    project = facts.get("project")
    return ("channel", str(facts.get("channel"))) if project is None else ("project", str(project))
