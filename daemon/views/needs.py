"""The view of what needs a person: worst first, each with a sentence and its one action. docs/cli.md is generated
from the comments. Pure.

Owns what counts. A failed, lost or expired job counts until it is old, or until a person writes a note on it. A
project counts as down only by a recent report of a running daemon. What a paused project does not do is not
counted, but a pause of more than a day is. Of what is muted somebody takes care until then: it is counted on its
own.
"""

import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from daemon.domain.mutes import MuteScope
from daemon.domain.text import clean, stamp

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from daemon.store import Found, JobRow, MuteRow, NeedRow

DYING_WITHIN = 86400.0
"""Seconds before its end from which on the link to a video that nobody has opened counts."""
FAILED_WITHIN = timedelta(days=1)
"""For how long a failed, lost or expired job counts, unless asked otherwise."""
PAUSED_FOR = timedelta(days=1)
"""How long a project may be paused before that counts."""
REPORTED_WITHIN = timedelta(seconds=120)
"""Age up to which the daemon's report on a project counts."""
KINDS = (
    *("no_daemon", "auth_failed", "project_down", "channel_refused", "dead_alerts", "failed", "frozen", "lost"),
    *("expired", "overdue", "link_dying", "paused"),
)
"""What can need a person, worst first."""
_REASON = 300
"""Characters of a reason in a sentence."""


class Need(Struct, frozen=True, kw_only=True):
    """Something that needs a person, in `needs --json` under `items`."""

    # no_daemon, auth_failed, project_down, channel_refused, dead_alerts, failed, frozen, lost, expired, overdue,
    kind: str  # link_dying or paused; in this order, the longest-standing of a kind first
    project: str | None  # name of the project, if it is about one or about a job
    job_id: str | None  # MetaStudio's id of the job, if it is about one
    channel: str | None  # name of the channel, if it is about one
    name: str | None  # the job's label, else the name of its video
    since: str | None  # since when; null if it is not known
    until: str | None  # of `link_dying`: when the last link expires
    text: str  # a sentence for people
    # what the service says about the failure or refusal, or the person who paused the project, as in `text`;
    reason: str | None  # null if nothing
    action: str  # the command that deals with it


class Needs(Struct, frozen=True, kw_only=True):
    """What needs a person, in `needs --json`."""

    items: tuple[Need, ...]  # the worst ones, worst first; see below
    count: int  # number of all of them
    muted: int  # number of those left out because a mute covers them; `wrapd mute list` shows more
    complete: bool  # false if so many jobs were found that there may be more than `count`
    as_of: str | None  # when the list was made


class Around(Struct, frozen=True, kw_only=True):
    """What the rows do not say: the time, the projects of the config, whether a daemon runs, and how many seconds
    after tracking began a job expires. Jobs that failed, were lost or expired before `since` do not count."""

    now: datetime
    since: datetime
    projects: Collection[str]
    running: bool
    give_up_after: float


Since = datetime | None
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_Job = tuple["NeedRow", Since]


def needed(found: "Found", overdue: Sequence[_Job], around: Around, *, limit: int) -> Needs:
    """The view of what was found, with at most `limit` items; `overdue` are the jobs whose production takes too
    long, each with the time since which it does."""
    muted = _Muted(each for each in found.mutes if each.until > around.now)
    others = [*_of_wrapd(found, around), *_of_channels(found)]
    loud = [each for each in others if each.channel not in muted.channels]
    every = list(_jobs(found, overdue, around))
    jobs = [each for each in every if not muted.covers(each.row)]
    jobs.sort(key=lambda each: (KINDS.index(each.kind), each.until or each.since or _LONG_AGO))
    # Most are only counted: a sentence takes longer than all else.
    loud_jobs = [_of_job(each, several=len(around.projects) > 1) for each in jobs[:limit]]
    items = sorted(
        [*loud, *loud_jobs], key=lambda each: (KINDS.index(each.kind), each.until or each.since or "", each.text)
    )
    return Needs(
        items=tuple(items[:limit]),
        count=len(loud) + len(jobs),
        muted=len(others) - len(loud) + len(every) - len(jobs),
        complete=found.whole,
        as_of=stamp(around.now),
    )


class _Muted:
    """What these mutes cover."""

    def __init__(self, mutes: "Iterable[MuteRow]") -> None:
        self._of: dict[MuteScope, set[tuple[str | None, str]]] = defaultdict(set)
        for each in mutes:
            self._of[each.scope].add((each.project, each.subject))

    @property
    def channels(self) -> set[str]:
        """The channels that are muted for all projects."""
        return {subject for project, subject in self._of[MuteScope.CHANNEL] if project is None}

    def covers(self, row: "JobRow | NeedRow") -> bool:
        """Whether one of them covers all alerts about the job."""
        of, project = self._of, row.project
        return (
            self._has(MuteScope.JOB, project, row.job_id)
            or (row.batch is not None and self._has(MuteScope.BATCH, project, row.batch))
            or (bool(of[MuteScope.TAG]) and any(self._has(MuteScope.TAG, project, tag) for tag in row.tags))
        )

    def _has(self, scope: MuteScope, project: str, subject: str) -> bool:
        found = self._of[scope]
        return bool(found) and ((project, subject) in found or (None, subject) in found)


def is_muted(row: "JobRow", mutes: "Iterable[MuteRow]") -> bool:
    """Whether one of these mutes covers all alerts about the job, as `tx.mutes.of_job` reads it."""
    return _Muted(mutes).covers(row)


def _of_wrapd(found: "Found", around: Around) -> Iterator[Need]:
    if not around.running and found.tracked:
        reports = [status.at for status in found.statuses.values()]
        yield _need(
            "no_daemon",
            "no daemon uses this database: tracked jobs are not polled, and nothing is sent",
            "wrapd run",
            since=max(reports, default=None),
        )
    for project, status in found.statuses.items():
        fresh = around.running and around.now - status.at <= REPORTED_WITHIN
        if not fresh or project not in around.projects or project in found.pauses:
            continue
        for kind, key, text in _TROUBLE:
            since = status.facts.get(key)
            if isinstance(since, str):
                yield _need(kind, text, "wrapd doctor", project=project, since=_moment(since))
    for project, pause in found.pauses.items():
        if project in around.projects and around.now - pause.at > PAUSED_FOR:
            reason = _cut(pause.comment)
            text = f"{pause.who} has paused the project{f' ({reason})' if reason else ''}: its jobs are not polled"
            action = f"wrapd resume {_quoted(project)}"
            yield _need("paused", text, action, project=project, since=pause.at, reason=reason)


_TROUBLE = (
    ("auth_failed", "refused_since", "the service refuses the project's credentials: its jobs are not polled"),
    ("project_down", "down_since", "the service does not answer: the project's jobs are not polled"),
)


def _of_channels(found: "Found") -> Iterator[Need]:
    for channel, refusal in found.refused.items():
        reason = _cut(refusal.reason)
        text = f"its service refuses the channel: {reason or 'it gives no reason'}"
        action = f"wrapd channels test {_quoted(channel)}"
        yield _need("channel_refused", text, action, channel=channel, since=refusal.since, reason=reason)
    for dead in found.dead:
        number = "1 alert was" if dead.count == 1 else f"{dead.count} alerts were"
        reason = _cut(dead.reason)
        text = f"{number} given up{f': {reason}' if reason else ''}"
        action = f"wrapd deliveries retry --dead --channel {_quoted(dead.channel)}"
        yield _need("dead_alerts", text, action, channel=dead.channel, since=dead.since, reason=reason)


class _NeededJob(NamedTuple):
    """A job that needs a person, before anything is written about it."""

    kind: str
    row: "NeedRow"
    since: Since
    until: datetime | None = None


def _jobs(found: "Found", overdue: Sequence[_Job], around: Around) -> Iterator[_NeededJob]:
    life = timedelta(seconds=around.give_up_after)
    ended: tuple[tuple[str, Iterable[_Job]], ...] = (
        ("failed", ((row, row.state_since) for row in found.failed)),
        ("lost", ((row, _last_seen(row)) for row in found.lost)),
        ("expired", ((row, row.tracked_at + life) for row in found.expired)),
    )
    for kind, jobs in ended:
        for row, since in _open(found, jobs, around):
            yield _NeededJob(kind, row, since)
    for row in found.frozen:
        yield _NeededJob("frozen", row, row.state_since)
    for row, since in overdue:
        if row.project not in found.pauses:
            yield _NeededJob("overdue", row, since)
    for row in found.links:
        yield _NeededJob("link_dying", row, row.state_since, row.link_until)


def _of_job(needed: _NeededJob, *, several: bool) -> Need:
    """The view of a job that needs a person; `several`: there is more than one project."""
    row = needed.row
    reason = _cut(" ".join(filter(None, (row.error_code, row.error_msg)))) if needed.kind == "failed" else ""
    text, action = _DO[needed.kind]
    named = f"{_quoted(row.job_id)}{f' --project {_quoted(row.project)}' if several else ''}"
    return _need(
        needed.kind,
        text.format(reason=reason or "the service gives no reason"),
        action.format(job=named),
        row=row,
        since=needed.since,
        until=needed.until,
        reason=reason,
    )


_NOTE = "wrapd note {job} seen"
_ASK = "wrapd ask {job}"
_DO = {
    "failed": ("{reason}; make it again, or note what became of it", _NOTE),
    "frozen": ("the service has frozen it (BLOCK): release it in MetaStudio, then have it asked about", _ASK),
    "lost": ("the service does not know it: make it again, or note what became of it", _NOTE),
    "expired": (
        "it did not end in time and is no longer polled: track it again, or note what became of it",
        "wrapd track {job}",
    ),
    "overdue": ("its production takes far longer than that of jobs like it: look at it in MetaStudio", _ASK),
    "link_dying": (
        "nobody has opened the video, and its last link expires: send the message again with fresh links",
        "wrapd deliveries resend --job {job}",
    ),
}
"""What is the matter with a job, by kind, and the command that deals with it."""


def _open(found: "Found", jobs: Iterable[_Job], around: Around) -> Iterator[_Job]:
    """Those that ended recently and on which nobody has written a note since."""
    for row, since in jobs:
        noted = found.noted.get((row.project, row.job_id))
        recent = since is None or since >= around.since
        if recent and not (noted is not None and (since is None or noted >= since)):
            yield row, since


def _last_seen(row: "NeedRow") -> datetime:
    return max(row.tracked_at, row.last_polled_at or row.tracked_at)


def _need(
    kind: str,
    text: str,
    action: str,
    *,
    row: "NeedRow | None" = None,
    project: str | None = None,
    channel: str | None = None,
    since: Since = None,
    until: datetime | None = None,
    reason: str = "",
) -> Need:
    return Need(
        kind=kind,
        project=project if row is None else row.project,
        job_id=None if row is None else row.job_id,
        channel=channel,
        name=None if row is None else row.label or row.asset_name,
        since=stamp(since),
        until=stamp(until),
        text=clean(text),
        reason=reason or None,
        action=action,
    )


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _cut(text: str | None) -> str:
    """At most `_REASON` characters, on one line."""
    said = " ".join(clean((text or "")[: 8 * _REASON]).split())
    return said if len(said) <= _REASON else f"{said[: _REASON - 1]}…"


def _quoted(text: str) -> str:
    return shlex.quote(clean(text))
