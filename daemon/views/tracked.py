"""What tracking a job came to. The comments are what docs/cli.md says of the keys. Pure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # SQLAlchemy is slow to import, and most commands show something
    from daemon import store


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """What became of a job, in `track --json` and the answer to `POST /api/v1/jobs` under `jobs`."""

    project: str  # name of the project in the config
    job_id: str  # as MetaStudio names it
    kind: str  # that it is asked about as
    # added, already (it is tracked), taken_up (it was lost, expired or stopped, or is to be looked at again) or
    result: str | None  # finished (it has ended: it is not asked about)
    state: str | None  # the last that the service said, null before its first answer
    # what else was done, a list: label_changed, tags_replaced, batch_changed, kind_corrected, link_restored, and
    # kind_kept: another kind was given, but the service has answered under this one
    changes: tuple[str, ...]  # and it stays
    kind_source: str  # how its kind is known: given, found or guessed


def tracked(project: str, job_id: str, came: "store.TrackOutcome") -> Tracked:
    """What became of a job."""
    return Tracked(
        project=project,
        job_id=job_id,
        kind=came.kind,
        result=None if came.result is None else str(came.result),
        state=came.state,
        changes=tuple(map(str, came.changes)),
        kind_source=str(came.kind_source),
    )
