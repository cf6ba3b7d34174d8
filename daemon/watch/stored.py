"""Jobs as they are stored, turned into jobs as the watch holds them. Hot: a start does this for each."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from sys import intern
from typing import NamedTuple

from daemon.clock import Clock
from daemon.domain.jobs import JobId, KindSource, ProjectName
from daemon.domain.production import is_credible
from daemon.domain.states import State
from daemon.metastudio.kinds import KINDS, Kind
from daemon.store import ActivePage, WatchRow, parts_of
from daemon.watch.job import Watched, flags_of, rounded

_PROCESSING = State.PROCESSING.value


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
    seen, started = row.state_since_stamp, row.started_stamp
    since = moment.now if seen is None else moment.after(seen, 0.0)
    start = since if row.state == _PROCESSING else None
    if start is not None and started not in (None, seen) and is_credible(started, row.created_stamp, seen):
        start = started / 1e6 - moment.ahead
    watched = Watched(
        *(row.id, row.job_id, kind, row.state, since, moment.now, moment.after(row.tracked_stamp, life)),
        *(rounded(row.expected_length), start, None if row.reported_stamp is None else row.reported_stamp / 1e6),
        flags_of(kind, guessed=row.kind_source is KindSource.GUESSED),
    )
    watched.set_episode(row.episode)
    return watched


class _Group(NamedTuple):
    """What jobs of one project, kind and state share."""

    project: ProjectName
    kind_name: str
    kind: Kind | None
    """None: no job of it can be taken up."""
    state: str
    producing: bool
    flags: int
    life: float
    add: Callable[[Watched], None]


def watched_of_all(
    page: ActivePage,
    moment: Instant,
    lives: Mapping[ProjectName, float],
    strays: Counter[tuple[str, str]],
    broken: Callable[[ProjectName, JobId, Exception], None],
) -> Mapping[tuple[ProjectName, bool], Sequence[Watched]]:
    """Return the ordinary jobs of the projects in `lives` by the project and whether lists hold them. `strays`
    counts those of another project or kind; one that cannot be turned is reported to `broken`, and costs no other
    anything. Neighbours that were tracked together share the moment at which they expire."""
    found: defaultdict[tuple[ProjectName, bool], list[Watched]] = defaultdict(list)
    groups: dict[str | None, _Group] = {}
    now, same_tracked, same_life, expires = moment.now, -1, 0.0, moment.now
    for job, job_id, name, since, tracked, start, reported, length in page.rows:
        group = groups.get(name)
        if group is None:
            group = groups[name] = _group(page.usual if name is None else name, lives, found)
        project, kind_name, kind, state, producing, flags, life, add = group
        if kind is None:
            strays[project, kind_name] += 1
            continue
        try:
            if tracked != same_tracked or life != same_life:
                expires = moment.after(tracked, life)
                same_tracked, same_life = tracked, life
            at = since if since < now else now
            # One number, 24 bytes less, for both: most begin to be produced as they enter the state.
            begin = at if start is None and producing else start
            add(Watched(job, job_id, kind, state, at, now, expires, rounded(length), begin, reported, flags))
        except Exception as error:  # noqa: BLE001 - costs this job only
            broken(project, job_id, error)
    return found


def _group(
    name: str,
    lives: Mapping[ProjectName, float],
    found: defaultdict[tuple[ProjectName, bool], list[Watched]],
) -> _Group:
    project, kind_name, state = parts_of(name)
    kind, life = KINDS.get(kind_name), lives.get(ProjectName(project))
    if kind is None or life is None:
        return _Group(ProjectName(project), kind_name, None, "", False, 0, 0.0, list[Watched]().append)
    add = found[ProjectName(project), kind.listed].append
    return _Group(
        *(ProjectName(project), kind_name, kind, intern(state), state == _PROCESSING, flags_of(kind), life, add)
    )
