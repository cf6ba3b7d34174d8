"""The list operation: its query and the types of its answer.

Owns the wire format of the query; `wire_list` reads answers and the client sends, within its budget. Source: the
list operation's page and the official SDK's request class; tests compare with the SDK's requests.
"""

from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

import msgspec
from msgspec import Struct

from daemon.domain.jobs import JobId, Observation
from daemon.metastudio.kinds import Kind
from daemon.metastudio.wire import PolledTask, observation_of

MAX_LIMIT = 100
"""Maximum number of entries in one answer. The limit is always sent, because the service's default is 10."""


class ListQuery(Struct, frozen=True, kw_only=True):
    """A page of a project's videos that match all filters; empty ones and None do not filter.

    `states` are the API's names. `job_ids` are at most 100 ids from `parse_job_id`. Without `created_since` the
    service lists only jobs created within the last month. `newest_update_first` sorts by the last update;
    otherwise the order is the service's. `offset` counts entries; `limit` is 1 to 100. Raises ValueError for
    anything that the service would refuse: a kind that it does not list, too many ids, an invalid page.
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
            raise ValueError(f"invalid page of the list: offset {self.offset}, limit {self.limit}")
        if len(self.job_ids) > MAX_LIMIT:
            raise ValueError(f"{len(self.job_ids)} job ids in one list query; the maximum is {MAX_LIMIT}")
        if self.kind is not None and (not self.kind.listed or self.kind.job_type is None):
            raise ValueError(f"the list does not include jobs of the kind {self.kind.name}")

    def wire(self) -> str:
        """The query for signing and sending: sorted by key, values quoted, with repeated keys. Ids need no
        quoting, and with 100 of them it would take most of a request's time."""
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
    """A list's entry for one job. `state` is from `read_state`. `reported_at` is the service's last update in
    epoch seconds, if given; `kind` is None if the type is absent or unknown."""

    job_id: JobId
    state: str
    reported_at: float | None
    kind: Kind | None
    task: PolledTask

    def observation(self) -> Observation:
        """Convert the entry to the observation that a single query would give."""
        return observation_of(self.task)

    def __repr__(self) -> str:  # without the links, which contain secrets
        return f"Summary({self.job_id!r}, {self.state!r}, reported_at={self.reported_at!r})"


class Listed(Struct, frozen=True, kw_only=True):
    """A page of the list, in the service's order.

    `count`: total number of matching jobs, if the service gives it. `server_time`: the service's clock (UTC) when
    it answered. `skipped`: number of unusable entries.
    """

    entries: list[Summary]
    count: int | None = None
    server_time: datetime | None = None
    skipped: int = 0


def list_path(project_id: str) -> str:
    """The path of the list operation."""
    return f"/v1/{project_id}/digital-human-videos"


def wire_time(moment: datetime) -> str:
    """Format `moment` like the service: 2021-01-10T10:43:17Z, truncated to seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=64)
def _quoted_states(states: tuple[str, ...]) -> str:
    return quote(",".join(states), safe="~")
