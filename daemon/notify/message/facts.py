"""What a delivery, its job and its transition say, as far as it is plausible. Pure; the same in all languages.

Owns the reading of an alert's stored facts, which an older wrapd may have written, and the facts that machines
receive. Contains no words for people.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.domain.events import Event, Json
from daemon.domain.jobs import DAY, link_expiry
from daemon.domain.states import State
from daemon.notify.message.escape import clean
from daemon.notify.message.language import MessageContext

if TYPE_CHECKING:
    from daemon.store import Claimed, DeliveryRow, JobRow, TransitionRow

FACTS: Mapping[str, str] = {
    "event": "see [events.md](events.md); `digest` for several alerts in one message, `test` for a test message",
    "delivery_id": "id of this alert for this channel; the same on every attempt, so that repeats can be dropped",
    "possible_repeat": "true if an earlier attempt may have arrived",
    "attempt": "number of the attempt, from 1",
    "channel": "name of the channel in the config",
    "project": "name of the project in the config, or null",
    "kind": "avatar, photo, business_card, photo_detection or picture_modeling",
    "job_id": "MetaStudio's id of the job",
    "label": "from `track --label`, or null",
    "name": "the job's name in the message: the video's name, else the label, else the id",
    "tags": "list of the tags from `track --tag`",
    "batch": "from `track --batch`, or null",
    "note": "a person's line on the job from `wrapd note`, or null",
    "state": "WAITING, PROCESSING, SUCCEED, PARTIAL_SUCCEED, FAILED, CANCELED or BLOCK; others as received",
    "state_before": "the previous state, null for the first answer",
    "own_url": "wrapd's own link to the video if `web.public_url` is set: it outlives the others",
    "cover_url": "exactly as received",
    "cover_valid_until": "null if the link does not say",
    "preview_url": "exactly as received",
    "preview_valid_until": "as stated in the link, else 24 hours after it was fetched",
    "download_url": "the finished file of an avatar video",
    "download_valid_until": "as stated in the link, else 24 hours after it was fetched",
    "link_until": "of `succeeded` and `link_expiring`: when the last link to the video expires",
    "asset_id": "MetaStudio's id of the video",
    "error_code": "of a failed job",
    "error_msg": "of a failed job",
    "duration": "length of the video in seconds",
    "took": "seconds of production, null if unknown",
    "eta_median": "of `started`: expected seconds of production from `observed_at`: half of similar jobs take "
    "less. Null if too few have finished",
    "eta_low": "of `started`: the same; 1 in 10 jobs takes less",
    "eta_high": "of `started`: the same; 9 in 10 jobs take less",
    "elapsed": "of `stuck`: seconds of production so far",
    "normal_median": "of `stuck`: half of similar jobs take less than this many seconds",
    "normal_high": "of `stuck`: 99 of 100 similar jobs take less than this many seconds",
    "ended_at": "when a job succeeded, failed or was canceled (the service's time if plausible), or the last job "
    "of a batch ended",
    "observed_at": "when wrapd saw it",
    "reported_at": "MetaStudio's own time of the update, or null",
    "reason": "why tracking stopped before the job ended (`lost`, `expired`), or what is wrong (operator events)",
    "late_seconds": "of `overloaded`: how long the most overdue job has waited",
    "jobs": "of `overloaded`: number of tracked jobs; of `batch_finished`: of jobs in the batch; of "
    "`unconfirmed`: of jobs that MetaStudio does not know; of `orphaned`: of jobs that are no longer polled",
    "held_channel": "of `channel_held`, `delivery_dead` and `orphaned`: name of the channel concerned",
    "deliveries": "of `delivery_dead`: number of alerts given up; of `orphaned`: of alerts that are not sent",
    "command": "of `orphaned`: the command that moves them",
    "part": "of `defect`: the part of wrapd that failed",
    "diverted_from": "the channel that this alert was written for, if that takes no messages; else null",
    "resent_from": "`delivery_id` of the alert that this one repeats on request; else null",
    "began_at": "of `batch_finished`: when the first of its jobs was created",
    "counts": "of `batch_finished`: number of jobs by outcome (`succeeded`, `partial`, `failed`, `canceled`, "
    "`lost`, `expired`, `stopped`); of `digest`: number of alerts by event",
    "failures": "of `batch_finished`: the first jobs that did not succeed, a list of objects with `job_id`, "
    "`name`, `event` and `error`",
    "shared": "number of alerts in this message: 1, more for a `digest`",
    "alerts": "of `digest`: the facts of each alert, a list of objects with the keys of this table",
}
"""Meaning of each key."""

NOTHING: Mapping[str, Json] = dict.fromkeys(FACTS)
"""Every key with null, so that every alert has the same keys."""


NAME_LIMIT = 120
"""Maximum characters of a name in a message."""
TEXT_LIMIT = 600
"""Maximum characters of the service's error message."""
_CLOCKS_APART = timedelta(minutes=10)
"""Largest difference from our clock at which the service's times are trusted."""
_LONGEST_WORK = timedelta(days=60)
_MOST_SECONDS = 3650 * 86400.0
_ENDS = frozenset({Event.SUCCEEDED, Event.FAILED, Event.CANCELED})


class Times(Struct, frozen=True, kw_only=True):
    """The times of a job, as far as they are plausible."""

    ended: datetime
    """When the reported event happened: the end as the service states it, or when wrapd saw it."""
    seen: datetime
    """When wrapd saw it."""
    took: float | None
    """Seconds of production, None if unknown."""
    reported: bool
    """True if the times come from the service, False if they are when wrapd polled."""


class Forecast(Struct, frozen=True, kw_only=True):
    """Seconds of production expected from the start: half of the jobs take less than `median`, 8 of 10 between
    `low` and `high`."""

    median: float
    low: float
    high: float


class JobAlert(Struct, frozen=True, kw_only=True):
    """A job's alert: its rows and what they say."""

    delivery: "DeliveryRow"
    job: "JobRow"
    move: "TransitionRow | None"
    times: Times
    name: str

    @property
    def event(self) -> Event:
        return self.delivery.event

    @property
    def state(self) -> str | None:
        """The state when the alert was written."""
        state = self.delivery.facts.get("state", self.job.state)
        return state if isinstance(state, str) else None

    @property
    def partial(self) -> bool:
        """Whether only part of what was ordered succeeded."""
        return self.event is Event.SUCCEEDED and self.state == State.PARTIAL_SUCCEED

    @property
    def reason(self) -> str:
        return text(self.delivery.facts, "reason", TEXT_LIMIT)

    @property
    def eta(self) -> Forecast | None:
        """Expected production time from the start, if the alert has all three figures."""
        median, low, high = (self.number(f"eta_{each}") for each in ("median", "low", "high"))
        return (
            None if median is None or low is None or high is None else Forecast(median=median, low=low, high=high)
        )

    def number(self, name: str) -> float | None:
        """A number of seconds from the alert's facts, None if absent. `eta_low` is `low` inside `eta`."""
        facts = self.delivery.facts
        outer, _, inner = name.partition("_")
        held = facts.get(outer) if outer == "eta" else None
        return seconds(held, inner) if isinstance(held, Mapping) else seconds(facts, name)

    @property
    def link_until(self) -> datetime | None:
        """When the last link to the video expires: the current value, else the one stored with the alert."""
        return self.job.link_until or moment(self.delivery.facts, "link_until")


def job_alert(claimed: "Claimed", job: "JobRow") -> JobAlert:
    """Read what a claimed delivery about `job` says."""
    delivery, move = claimed.delivery, claimed.move
    return JobAlert(delivery=delivery, job=job, move=move, times=_times(delivery, job, move), name=job_name(job))


def job_name(job: "JobRow") -> str:
    """Display name of a job: its video's name, else its label, else its id."""
    for name in (job.asset.asset_name, job.label):
        shown = clean(name or "", limit=NAME_LIMIT)
        if shown:
            return shown
    return job.job_id


def text(facts: Mapping[str, Json], key: str, limit: int) -> str:
    """A text from the facts, cleaned; '' if absent."""
    value = facts.get(key)
    return clean(value, limit=limit) if isinstance(value, str) else ""


def number(facts: Mapping[str, Json], key: str) -> int:
    """A positive count from the facts; 0 if absent."""
    value = facts.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def seconds(facts: Mapping[str, Json], key: str) -> float | None:
    """A length of time from the facts; None if absent or implausible."""
    value = facts.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_SECONDS:
        return None
    return float(value)


def moment(facts: Mapping[str, Json], key: str) -> datetime | None:
    """An ISO 8601 time from the facts; None if absent or invalid."""
    value = facts.get(key)
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def observed(delivery: "DeliveryRow") -> datetime:
    """When it was observed, or else when the alert was written."""
    return moment(delivery.facts, "observed_at") or delivery.created_at


def _times(delivery: "DeliveryRow", job: "JobRow", move: "TransitionRow | None") -> Times:
    seen = move.observed_at if move is not None else observed(delivery)
    if delivery.event in {Event.LINK_EXPIRING, Event.STARTED}:
        return Times(ended=seen, seen=seen, took=None, reported=False)
    ended, started, created = job.ended_at, job.started_at, job.created_at
    if (
        delivery.event in _ENDS
        and ended is not None
        and ended <= seen + _CLOCKS_APART
        and (created is None or ended >= created - _CLOCKS_APART)
    ):
        plausible = started is not None and (created is None or started >= created - _CLOCKS_APART)
        took = ended - started if plausible and started is not None else None
        if took is None or timedelta() <= took <= _LONGEST_WORK:
            seconds = took.total_seconds() if took is not None else None
            return Times(ended=ended, seen=seen, took=seconds, reported=True)
    watched = move is not None and move.before is not None and seen >= job.tracked_at
    seconds = (seen - job.tracked_at).total_seconds() if watched else None
    return Times(ended=seen, seen=seen, took=seconds, reported=False)


def delivery_facts(delivery: "DeliveryRow") -> dict[str, Json]:
    """All keys, with the facts that every alert has."""
    return {
        **NOTHING,
        "event": delivery.event.value,
        "delivery_id": delivery.id,
        "possible_repeat": delivery.possible_repeat,
        "attempt": delivery.attempts,
        "channel": delivery.channel,
        "project": delivery.project,
        "diverted_from": delivery.facts.get("diverted_from"),
        "resent_from": number(delivery.facts, "resent_from") or None,
        "shared": 1,
    }


def job_facts(alert: JobAlert, context: MessageContext) -> dict[str, Json]:
    """The facts of a job's alert."""
    delivery, job, move, asset = alert.delivery, alert.job, alert.move, alert.job.asset
    fetched = job.links_at or alert.times.ended
    until = alert.link_until if alert.event in {Event.SUCCEEDED, Event.LINK_EXPIRING} else None
    return {
        **delivery_facts(delivery),
        "project": job.project,
        "kind": job.kind,
        "job_id": job.job_id,
        "label": job.label,
        "name": alert.name,
        "tags": list(job.tags),
        "batch": job.batch,
        "note": job.note,
        "state": alert.state,
        "state_before": move.before if move is not None else None,
        "own_url": context.links.get(job.id) or None,
        "cover_url": asset.cover_url,
        "cover_valid_until": _until(asset.cover_url, fetched, None),
        "preview_url": asset.preview_url,
        "preview_valid_until": _until(asset.preview_url, fetched, DAY),
        "download_url": asset.download_url,
        "download_valid_until": _until(asset.download_url, fetched, DAY),
        "link_until": iso(until) if until is not None else None,
        "asset_id": asset.asset_id,
        "error_code": job.error_code,
        "error_msg": job.error_msg,
        "duration": job.duration,
        "took": alert.times.took,
        **{name: alert.number(name) for name in _ESTIMATES},
        "ended_at": iso(alert.times.ended) if alert.event in _ENDS else None,
        "observed_at": iso(alert.times.seen),
        "reported_at": iso(move.reported_at) if move is not None and move.reported_at else None,
        "reason": delivery.facts.get("reason"),
    }


_ESTIMATES = ("eta_median", "eta_low", "eta_high", "elapsed", "normal_median", "normal_high")


def _until(url: str | None, fetched: datetime, life: timedelta | None) -> str | None:
    until = expiry(url, fetched, life) if url else None
    return iso(until) if until is not None else None


@lru_cache(maxsize=256)  # called two or three times for each link of a message
def expiry(url: str, fetched: datetime, life: timedelta | None) -> datetime | None:
    """When `url` stops working; see `domain.jobs.link_expiry`."""
    return link_expiry(url, fetched_at=fetched, unsigned_life=life)


def iso(at: datetime) -> str:
    """ISO 8601 in UTC, as in all of wrapd's JSON."""
    at = at.astimezone(UTC)
    return at.isoformat(timespec="seconds" if not at.microsecond else "milliseconds").replace("+00:00", "Z")
