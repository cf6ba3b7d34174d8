"""What discovery is requested to find, and what it found: plain data.

Owns which jobs of a list are wanted, and how a request and its result are stored. Neither queries nor tracks jobs.
"""

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from msgspec import Struct

from daemon.domain.events import Json
from daemon.domain.jobs import JobId, Tracking
from daemon.domain.states import TERMINAL, State
from daemon.metastudio.kinds import KINDS, Kind
from daemon.metastudio.listing import Summary

RUNNING = tuple(str(state) for state in State if state not in TERMINAL)
"""The states of a job that has not ended."""
KEPT = 1000
"""Most jobs that a request's result lists one by one."""


class Filters(Struct, frozen=True, kw_only=True):
    """Which jobs to take: of these kinds and states, created within the last `since` seconds, with a matching
    name.

    `name` is a pattern for the video's entire name (`*`, `?`, `[ab]`). None matches any name, and no name.
    """

    kinds: tuple[str, ...] = tuple(kind.name for kind in KINDS.values() if kind.listed)
    states: tuple[str, ...] = RUNNING
    since: float = 86400.0
    name: str | None = None

    def wanted(self, summary: Summary, *, earliest: datetime, any_state: bool = False) -> bool:
        """Whether to take a job of the list; one created before `earliest` is not taken."""
        if summary.kind is None or summary.kind.name not in self.kinds:
            return False
        if not any_state and summary.state not in self.states:
            return False
        seen = summary.observation()
        if seen.created_at is not None and seen.created_at < earliest - _WHOLE_SECOND:
            return False
        return self.name is None or _pattern(self.name).fullmatch(seen.asset.asset_name or "") is not None

    @property
    def kind(self) -> Kind | None:
        """The kind that is wanted; None where there are several."""
        return KINDS[self.kinds[0]] if len(self.kinds) == 1 else None


_WHOLE_SECOND = timedelta(seconds=1)
"""The service truncates times to whole seconds."""


@lru_cache(maxsize=64)
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(name))


class DiscoverySettings(Struct, frozen=True, kw_only=True):
    """One project's regular discovery: which jobs, the interval in seconds, and the tags and batch they get."""

    filters: Filters = Filters()
    interval: float = 60.0
    tags: tuple[str, ...] = ()
    batch: str | None = None


class Wish(Struct, frozen=True, kw_only=True):
    """One discovery that a command requests. `dry_run`: nothing is tracked."""

    filters: Filters = Filters()
    tags: tuple[str, ...] = ()
    batch: str | None = None
    dry_run: bool = False

    def facts(self) -> dict[str, Json]:
        """Return the form in which the store keeps it."""
        return {
            "kinds": list(self.filters.kinds),
            "states": list(self.filters.states),
            "since": self.filters.since,
            "name": self.filters.name,
            "tags": list(self.tags),
            "batch": self.batch,
            "dry_run": self.dry_run,
        }


def read_wish(facts: Mapping[str, Any]) -> Wish:
    """Parse what `Wish.facts` wrote. Raises ValueError where another version of wrapd wrote something else."""
    try:
        states, tags = (tuple(map(str, facts[name])) for name in ("states", "tags"))
        kinds = tuple(KINDS[kind].name for kind in facts["kinds"])
        return Wish(
            filters=Filters(kinds=kinds, states=states, since=float(facts["since"]), name=facts["name"]),
            tags=tags,
            batch=facts["batch"],
            dry_run=facts["dry_run"] is True,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "another version of wrapd requested it; run the command from the daemon's version"
        ) from error


class FoundJob(Struct, frozen=True, kw_only=True):
    """A job that matches. `result`: "added", "known" (already in the store) or "new" (would be added)."""

    job_id: JobId
    kind: str
    state: str
    name: str | None
    result: str
    tracking: Tracking | None = None
    """The tracking of a known job."""

    def facts(self) -> dict[str, Json]:
        """Return the form in which the store keeps it and `--json` shows it."""
        return {
            "job_id": self.job_id,
            "kind": self.kind,
            "state": self.state,
            "name": self.name,
            "result": self.result,
            "tracking": None if self.tracking is None else str(self.tracking),
        }


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one discovery found: how many jobs match, how many were added, and the first of them."""

    found: int = 0
    added: int = 0
    jobs: list[FoundJob] = field(default_factory=list)
    server_time: datetime | None = None
    """The service's clock at the first page."""

    def add(self, found: FoundJob) -> None:
        self.found += 1
        self.added += found.result == "added"
        if len(self.jobs) < KEPT:
            self.jobs.append(found)

    def facts(self) -> dict[str, Json]:
        """Return the form in which the store keeps it for the command that requested it."""
        return {"jobs": [each.facts() for each in self.jobs], "left_out": self.found - len(self.jobs)}
