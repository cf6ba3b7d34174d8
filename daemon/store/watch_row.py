"""What the watch needs of jobs, as they are stored. Owns the conversions of the columns."""

from datetime import datetime
from sys import intern
from typing import NamedTuple

from daemon.domain.jobs import JobId, KindSource, NamedBy, ProjectName, Tracking
from daemon.store.rows import from_stamp

_SOURCES = {each.value: each for each in KindSource}
_NAMED = {each.value: each for each in NamedBy}


class _WatchColumns(NamedTuple):
    id: int
    project: ProjectName
    kind: str
    job_id: JobId
    state_text: str | None
    state_since_stamp: int | None
    tracked_stamp: int
    episode: int
    tracking_value: str
    created_stamp: int | None
    started_stamp: int | None
    reported_stamp: int | None
    expected_length: float | None
    source_value: str
    named_value: str
    kind_tries: int


class WatchRow(_WatchColumns):
    """What the watch needs of a job. `episode` counts its spans of tracking from 1, `kind_tries` the rounds of
    asking for its kind. `created_at`, `started_at` and `reported_at` are the service's own times as of the last
    transition. `expected_length` is seconds of speech, None if unknown.

    A tuple of the columns as stored, converted on access: the start reads every active job, and converting all
    columns at once would more than double its cost.
    """

    __slots__ = ()

    @property
    def state(self) -> str | None:
        """Its state; equal ones are the same object, since many are kept."""
        return None if self.state_text is None else intern(self.state_text)

    @property
    def state_since(self) -> datetime | None:
        """When wrapd saw the job come into its state."""
        return None if self.state_since_stamp is None else from_stamp(self.state_since_stamp)

    @property
    def tracked_at(self) -> datetime:
        """When this span of tracking began."""
        return from_stamp(self.tracked_stamp)

    @property
    def created_at(self) -> datetime | None:
        """When the service created the job."""
        return None if self.created_stamp is None else from_stamp(self.created_stamp)

    @property
    def started_at(self) -> datetime | None:
        """When its production began."""
        return None if self.started_stamp is None else from_stamp(self.started_stamp)

    @property
    def reported_at(self) -> datetime | None:
        """When the service last updated the job."""
        return None if self.reported_stamp is None else from_stamp(self.reported_stamp)

    @property
    def tracking(self) -> Tracking:
        """Whether the job is tracked."""
        return Tracking(self.tracking_value)

    @property
    def kind_source(self) -> KindSource:
        """How its kind is known."""
        return _SOURCES[self.source_value]

    @property
    def named_by(self) -> NamedBy:
        """Who named it."""
        return _NAMED[self.named_value]
