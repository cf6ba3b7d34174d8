"""Jobs as they are stored, turned into jobs as the watch holds them. Hot: a start does this for each."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from sys import intern

from daemon.clock import Clock
from daemon.domain.jobs import JobId, KindSource, ProjectName
from daemon.domain.production import is_credible
from daemon.domain.states import State
from daemon.metastudio.kinds import KINDS, Kind
from daemon.store import OrdinaryRow, WatchRow
from daemon.watch.job import Watched

_PROCESSING = State.PROCESSING.value
_new, _init = Watched.__new__, Watched.__init__
"""Called one after the other, these take half as long as `Watched(...)`."""


class Instant:
    """One instant as of which the store's stamps are turned into monotonic moments. What jobs have in common, as
    those that were tracked together have, is one number for all of them: 24 bytes less for each."""

    def __init__(self, clock: Clock) -> None:
        self.now = clock.monotonic()
        self.ahead = clock.now().timestamp() - self.now
        self.after = lru_cache(maxsize=64)(self._after)
        """Returns the moment so many seconds after a stamp. One that lies ahead, since the clock was set back,
        counts as now."""

    def _after(self, stamp: int, seconds: float) -> float:
        return min(self.now, stamp / 1e6 - self.ahead) + seconds


def watched_of(row: WatchRow, kind: Kind, moment: Instant, life: float) -> Watched:
    """Return the job, due now. wrapd gives up on it `life` seconds after it was tracked."""
    return _watched(
        *(row.id, row.job_id, kind, row.state, row.state_since_stamp),
        *(row.created_stamp, row.started_stamp, row.reported_stamp, row.expected_length),
        *(moment.after(row.tracked_stamp, life), moment.now, moment.ahead),
        *(row.episode, row.kind_source is KindSource.GUESSED),
    )


def watched_of_all(
    rows: Iterable[OrdinaryRow],
    moment: Instant,
    lives: Mapping[ProjectName, float],
    strays: Counter[tuple[str, str]],
    broken: Callable[[ProjectName, JobId, Exception], None],
) -> Mapping[tuple[ProjectName, bool], Sequence[Watched]]:
    """Return the jobs of the projects in `lives` by the project and whether lists hold them. `strays` counts those
    of another project or kind; one that cannot be turned is reported to `broken`, and costs no other anything.

    Neighbours often have the same project, kind, state, and start of tracking: those are looked up when they
    differ.
    """
    found: defaultdict[tuple[ProjectName, bool], list[Watched]] = defaultdict(list)
    now, ahead, after = moment.now, moment.ahead, moment.after
    project, kind_name, state, tracked = ProjectName(""), "", "", -1
    kind, life, expires = None, None, now
    for row in rows:
        job, its_project, its_kind, job_id, its_state, since, its_tracked, created, started, reported, length = row
        try:
            if its_project != project or its_kind != kind_name:
                project, kind_name, tracked = its_project, its_kind, -1
                kind, life = KINDS.get(kind_name), lives.get(project)
                if kind is not None and life is not None:
                    add = found[project, kind.listed].append
            if kind is None or life is None:
                strays[project, kind_name] += 1
                continue
            if its_state != state:
                state = intern(its_state)
            if its_tracked != tracked:
                tracked, expires = its_tracked, after(its_tracked, life)
            add(_watched(job, job_id, kind, state, since, created, started, reported, length, expires, now, ahead))
        except Exception as error:  # noqa: BLE001 - costs this job only
            broken(its_project, job_id, error)
    return found


def _watched(  # noqa: PLR0917 - by position, which is faster
    job: int,
    job_id: JobId,
    kind: Kind,
    state: str | None,
    in_state: int | None,
    created: int | None,
    started: int | None,
    reported: int | None,
    length: float | None,
    expires: float,
    now: float,
    ahead: float,
    episode: int = 1,
    guessed: bool = False,
) -> Watched:
    since = now
    if in_state is not None and (at := in_state / 1e6 - ahead) < now:
        since = at
    start = None
    if state == _PROCESSING:
        start = since  # one number, 24 bytes less: most begin to be produced as they enter the state
        if started is not None and started != in_state and is_credible(started, created, in_state):
            start = started / 1e6 - ahead
    watched = _new(Watched)
    reported_at = None if reported is None else reported / 1e6
    _init(watched, job, job_id, kind, state, since, now, expires, episode, guessed, length, start, reported_at)
    return watched
