"""The view of what needs a person: worst first, each with a sentence and its one action. docs/cli.md is generated
from the comments. Pure.

Owns what counts. A failed, lost or expired job counts until it is old, or until a person writes a note on it. A
project counts as down only by a recent report of a running daemon. What a paused project does not do is not
counted, but a pause of more than a day is. Of what is muted somebody takes care until then: it is counted on its
own.
"""

import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from daemon.domain.mutes import MuteScope
from daemon.domain.text import clean, stamp

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from daemon.store import Found, JobRow, MuteRow

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
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
    action: str  # the command that deals with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What needs a person, in `needs --json`."""

    items: tuple[Need, ...]  # the worst ones, worst first; see below
    count: int  # number of all of them
    muted: int  # number of those left out because a mute covers them; `wrapd mute list` shows more
    complete: bool  # false if so many jobs were found that there may be more than `count`
    as_of: str | None  # when the list was made


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the rows do not say: the time, the projects of the config, whether a daemon runs, and how many seconds
    after tracking began a job expires. Jobs that failed, were lost or expired before `since` do not count."""

    now: datetime
    since: datetime
    projects: Collection[str]
    running: bool
    give_up_after: float


Since = datetime | None
_Job = tuple["JobRow", Since]


def needed(found: "Found", overdue: Sequence[_Job], around: Around, *, limit: int) -> Needs:
    """The view of what was found, with at most `limit` items; `overdue` are the jobs whose production takes too
    long, each with the time since which it does."""
    mutes = [each for each in found.mutes if each.until > around.now]
    channels = {each.subject for each in mutes if each.scope is MuteScope.CHANNEL and each.project is None}
    items = [*_of_wrapd(found, around), *_of_channels(found), *_of_jobs(found, overdue, around, mutes)]
    muted = [each for each in items if each is None or each.channel in channels]
    loud = [each for each in items if each is not None and each.channel not in channels]
    loud.sort(key=lambda each: (KINDS.index(each.kind), each.until or each.since or "", each.text))
    return Needs(
        items=tuple(loud[:limit]),
        count=len(loud),
        muted=len(muted),
        complete=found.whole,
        as_of=stamp(around.now),
    )


def is_muted(row: "JobRow", mutes: "Iterable[MuteRow]") -> bool:
    """Whether one of these mutes covers all alerts about the job, as `tx.mutes.of_job` reads it."""
    return any(
        each.project in (None, row.project)
        and (
            (each.scope is MuteScope.JOB and each.subject == row.job_id)
            or (each.scope is MuteScope.BATCH and each.subject == row.batch)
            or (each.scope is MuteScope.TAG and each.subject in row.tags)
        )
        for each in mutes
    )


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
            why = f" ({_cut(pause.comment)})" if pause.comment else ""
            text = f"{pause.who} has paused the project{why}: its jobs are not polled"
            yield _need("paused", text, f"wrapd resume {_quoted(project)}", project=project, since=pause.at)


_TROUBLE = (
    ("auth_failed", "refused_since", "the service refuses the project's credentials: its jobs are not polled"),
    ("project_down", "down_since", "the service does not answer: the project's jobs are not polled"),
)


def _of_channels(found: "Found") -> Iterator[Need]:
    for channel, refusal in found.refused.items():
        text = f"its service refuses the channel: {_cut(refusal.reason) or 'it gives no reason'}"
        action = f"wrapd channels test {_quoted(channel)}"
        yield _need("channel_refused", text, action, channel=channel, since=refusal.since)
    for dead in found.dead:
        number = "1 alert was" if dead.count == 1 else f"{dead.count} alerts were"
        text = f"{number} given up{f': {_cut(dead.reason)}' if dead.reason else ''}"
        action = f"wrapd deliveries retry --dead --channel {_quoted(dead.channel)}"
        yield _need("dead_alerts", text, action, channel=dead.channel, since=dead.since)


def _of_jobs(
    found: "Found", overdue: Sequence[_Job], around: Around, mutes: "Sequence[MuteRow]"
) -> Iterator[Need | None]:
    """None for each that is muted."""
    several = len(around.projects) > 1
    life = timedelta(seconds=around.give_up_after)
    kinds: tuple[tuple[str, Iterable[_Job], str, str], ...] = (
        ("failed", _open(found, ((row, row.state_since) for row in found.failed), around), "", _NOTE),
        ("frozen", ((row, row.state_since) for row in found.frozen), _FROZEN, "wrapd ask {job}"),
        ("lost", _open(found, ((row, _last_seen(row)) for row in found.lost), around), _LOST, _NOTE),
        (
            "expired",
            _open(found, ((row, row.tracked_at + life) for row in found.expired), around),
            _EXPIRED,
            _TRACK,
        ),
        (
            "overdue",
            (each for each in overdue if each[0].project not in found.pauses),
            _OVERDUE,
            "wrapd ask {job}",
        ),
        (
            "link_dying",
            ((row, row.state_since) for row in found.links),
            _DYING,
            "wrapd deliveries resend --job {job}",
        ),
    )
    for kind, jobs, text, action in kinds:
        for row, since in jobs:
            if is_muted(row, mutes):
                yield None
                continue
            named = f"{_quoted(row.job_id)}{f' --project {_quoted(row.project)}' if several else ''}"
            yield _need(
                kind,
                text or _failure(row),
                action.format(job=named),
                row=row,
                since=since,
                until=row.link_until if kind == "link_dying" else None,
            )


_NOTE = "wrapd note {job} seen"
_TRACK = "wrapd track {job}"
_FROZEN = "the service has frozen it (BLOCK): release it in MetaStudio, then have it asked about"
_LOST = "the service does not know it: make it again, or note what became of it"
_EXPIRED = "it did not end in time and is no longer polled: track it again, or note what became of it"
_OVERDUE = "its production takes far longer than that of jobs like it: look at it in MetaStudio"
_DYING = "nobody has opened the video, and its last link expires: send the message again with fresh links"


def _open(found: "Found", jobs: Iterable[_Job], around: Around) -> Iterator[_Job]:
    """Those that ended recently and on which nobody has written a note since."""
    for row, since in jobs:
        noted = found.noted.get((row.project, row.job_id))
        recent = since is None or since >= around.since
        if recent and not (noted is not None and (since is None or noted >= since)):
            yield row, since


def _last_seen(row: "JobRow") -> datetime:
    return max(row.tracked_at, row.last_polled_at or row.tracked_at)


def _failure(row: "JobRow") -> str:
    said = _cut(" ".join(filter(None, (row.error_code, row.error_msg))))
    return f"{said or 'the service gives no reason'}; make it again, or note what became of it"


def _need(
    kind: str,
    text: str,
    action: str,
    *,
    row: "JobRow | None" = None,
    project: str | None = None,
    channel: str | None = None,
    since: Since = None,
    until: datetime | None = None,
) -> Need:
    return Need(
        kind=kind,
        project=project if row is None else row.project,
        job_id=None if row is None else row.job_id,
        channel=channel,
        name=None if row is None else row.label or row.asset.asset_name,
        since=stamp(since),
        until=stamp(until),
        text=clean(text),
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
