"""The list operation: what of a project's jobs is asked for, how that is written, and what comes back.

Owns the query's form on the wire and the shapes of an answer; `wire_list` reads it. It must never send: the client
does, within its budget.
Source: the list operation's page and the official SDK's request class; the tests compare with what the SDK sends.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

import msgspec

from daemon.domain.jobs import JobId, Observation
from daemon.metastudio.kinds import Kind
from daemon.metastudio.wire import PolledTask, observation_of

MAX_LIMIT = 100
"""Most entries of one answer. (The service's default is 10: the limit is always sent.)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """A page of a project's videos: what is empty or None filters nothing. All filters hold together.

    `states` are the API's names. `job_ids` are at most 100 ids that `parse_job_id` gave. Without `created_since`
    the service lists only jobs that were created within the last month. `newest_update_first` sorts by the last
    update, else the service's own order holds. `offset` counts entries; `limit` is 1 to 100. Raises ValueError for
    what the service would refuse: another kind than those it lists, too many ids, a bad page.
    """

    states: tuple[str, ...] = ()
    job_ids: tuple[JobId, ...] = ()
    kind: Kind | None = None
    created_since: datetime | None = None
    newest_update_first: bool = False
    offset: int = 0
    limit: int = MAX_LIMIT

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT or self.offset < 0:
            raise ValueError(f"no page of the list: offset {self.offset}, limit {self.limit}")
        if len(self.job_ids) > MAX_LIMIT:
            raise ValueError(f"{len(self.job_ids)} job ids in one list; at most {MAX_LIMIT} fit")
        if self.kind is not None and (not self.kind.listed or self.kind.job_type is None):
            raise ValueError(f"the list does not hold jobs of the kind {self.kind.name}")

    def wire(self) -> str:
        """The query as it is signed and sent: in the order of the keys, each value quoted, a key once for each
        value. (Ids are plain and need no quoting: with 100 of them that would take most of a request's time.)"""
        parts = []
        if self.created_since is not None:
            parts.append(f"create_since={wire_time(self.created_since).replace(':', '%3A')}")
        if self.job_ids:
            parts.append("job_ids=" + "&job_ids=".join(sorted(self.job_ids)))
        if self.kind is not None:
            parts.append(f"job_type={self.kind.job_type}")
        parts.append(f"limit={self.limit}&offset={self.offset}")
        if self.newest_update_first:
            parts.append("sort_dir=desc&sort_key=update_time")
        if self.states:
            parts.append(f"state={_quoted_states(self.states)}")
        return "&".join(parts)


class Summary(msgspec.Struct, gc=False, eq=False):
    """What a list says of one job. `reported_at`: epoch seconds of the service's last update, None where it does
    not tell; `kind`: None where its type is absent or unknown. `state` is as `read_state` gives it."""

    job_id: JobId
    state: str
    reported_at: float | None
    kind: Kind | None
    task: PolledTask

    def observation(self) -> Observation:
        """All that the entry says, as a single query's answer would say it; made anew at each call."""
        return observation_of(self.task)

    def __repr__(self) -> str:  # without the links: they carry secrets
        return f"Summary({self.job_id!r}, {self.state!r}, reported_at={self.reported_at!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A page of the list, in the service's order.

    `count`: how many jobs fit the query in all, as the service says (None: it does not). `server_time`: the
    service's clock (UTC) when it answered. `skipped`: entries that could not be used.
    """

    entries: list[Summary]
    count: int | None = None
    server_time: datetime | None = None
    skipped: int = 0


def list_path(project_id: str) -> str:
    """The path of the list operation."""
    return f"/v1/{project_id}/digital-human-videos"


def wire_time(moment: datetime) -> str:
    """`moment` as the service writes times: 2021-01-10T10:43:17Z, whole seconds, cut off."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=64)
def _quoted_states(states: tuple[str, ...]) -> str:
    return quote(",".join(states), safe="~")
