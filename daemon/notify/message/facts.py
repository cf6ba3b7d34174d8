"""What a delivery, its job and its transition say, as far as it can be believed. Pure; the same in all languages.

Owns the reading of an alert's stored facts, which an older wrapd may have written, and the facts that machines are
told. Must never hold a word for people.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from daemon.domain.events import Event, Json
from daemon.domain.jobs import DAY, link_expiry
from daemon.domain.states import State
from daemon.notify.message.escape import clean
from daemon.notify.message.language import MessageContext
from daemon.store import Claimed, DeliveryRow, JobRow, TransitionRow

FACTS: Mapping[str, str] = {
    "event": "see [events.md](events.md); `digest` for many alerts in one message, `test` for a test message",
    "delivery_id": "number of this alert for this channel; the same at each try, so that repeats can be dropped",
    "possible_repeat": "true where an earlier try may have arrived",
    "attempt": "counts the tries of this alert from 1",
    "channel": "name of the channel in the config",
    "project": "name of the project in the config, or null",
    "kind": "avatar, photo, business_card, photo_detection or picture_modeling",
    "job_id": "as MetaStudio names it",
    "label": "what `track --label` said, or null",
    "name": "what the message calls the job: the video's name, else the label, else the id",
    "tags": "list of what `track --tag` said",
    "batch": "what `track --batch` said, or null",
    "state": "WAITING, PROCESSING, SUCCEED, PARTIAL_SUCCEED, FAILED, CANCELED or BLOCK, an unknown one as it came",
    "state_before": "the state before, null for the first answer",
    "own_url": "wrapd's own link to the video, where `web.public_url` is set: it outlives the others",
    "cover_url": "exactly as it came",
    "cover_valid_until": "null where the link does not say",
    "preview_url": "exactly as it came",
    "preview_valid_until": "as the link says, else 24 hours after it was fetched",
    "download_url": "the finished file of an avatar video",
    "download_valid_until": "as the link says, else 24 hours after it was fetched",
    "link_until": "of `succeeded` and `link_expiring`: when the last of the links to the video expires",
    "asset_id": "the service's id of the video",
    "error_code": "of a failed job",
    "error_msg": "of a failed job",
    "duration": "length of the video in seconds",
    "took": "seconds of production, as far as is known",
    "eta_median": "of `started`: seconds that production is expected to take from `observed_at` on: half of the "
    "jobs like it take less. Null where too few have finished",
    "eta_low": "of `started`: the same; 1 of 10 jobs takes less",
    "eta_high": "of `started`: the same; 9 of 10 jobs take less",
    "elapsed": "of `stuck`: seconds of production so far",
    "normal_median": "of `stuck`: half of the jobs like it take less than these seconds",
    "normal_high": "of `stuck`: 99 of 100 jobs like it take less than these seconds",
    "ended_at": "when a job succeeded, failed or was canceled (the service's time where it can be believed), or "
    "the last job of a batch ended",
    "observed_at": "when wrapd saw it",
    "reported_at": "the service's own time of the update, or null",
    "reason": "why tracking ended without an end (`lost`, `expired`), or what is wrong (events for operators)",
    "late_seconds": "of `overloaded`: how long the most overdue job has waited",
    "jobs": "of `overloaded`: how many jobs are tracked; of `batch_finished`: how many the batch has; of "
    "`unconfirmed`: how many jobs the service does not know; of `orphaned`: how many nobody asks about",
    "held_channel": "of `channel_held`, `delivery_dead` and `orphaned`: which one",
    "deliveries": "of `delivery_dead`: how many alerts were given up; of `orphaned`: how many nobody sends",
    "command": "of `orphaned`: the command that moves them",
    "part": "of `defect`: the part of wrapd that failed",
    "diverted_from": "the channel that this alert was written for, where it takes no messages; else null",
    "resent_from": "`delivery_id` of the alert that this one repeats, because somebody asked for it; else null",
    "began_at": "of `batch_finished`: when the first of its jobs was created",
    "counts": "of `batch_finished`: how many jobs ended in which way (`succeeded`, `partial`, `failed`, "
    "`canceled`, `lost`, `expired`, `stopped`); of `digest`: how many alerts of which event it holds",
    "failures": "of `batch_finished`: the first jobs that did not succeed, a list of objects with `job_id`, "
    "`name`, `event` and `error`",
    "shared": "how many alerts this message tells of: 1, more for a `digest`",
    "alerts": "of `digest`: the facts of each alert, a list of objects with the keys of this table",
}
"""What each key means."""

NOTHING: Mapping[str, Json] = dict.fromkeys(FACTS)
"""Every key with null, so that a reader finds the same keys in every alert."""


NAME_LIMIT = 120
"""Characters of a name in a message."""
TEXT_LIMIT = 600
"""Characters of an error message of the service."""
_CLOCKS_APART = timedelta(minutes=10)
"""How far the service's times may lie off ours and still be believed."""
_LONGEST_WORK = timedelta(days=60)
_MOST_SECONDS = 3650 * 86400.0
_ENDS = frozenset({Event.SUCCEEDED, Event.FAILED, Event.CANCELED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The times of a job, as far as they can be believed."""

    ended: datetime
    """When it happened that is told: the end, or what wrapd saw."""
    seen: datetime
    """When wrapd saw it."""
    took: float | None
    """Seconds of production; None where nobody knows."""
    reported: bool
    """Whether the service told these times; else they are when wrapd looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Seconds that production was expected to take from the start on: half of the jobs take less than `median`, 8
    of 10 between `low` and `high`."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """A job's alert: its rows and what they say."""

    delivery: DeliveryRow
    job: JobRow
    move: TransitionRow | None
    times: Times
    name: str

    @property
    def event(self) -> Event:
        return self.delivery.event

    @property
    def state(self) -> str | None:
        """The state that the alert tells: as of when it was written."""
        state = self.delivery.facts.get("state", self.job.state)
        return state if isinstance(state, str) else None

    @property
    def partial(self) -> bool:
        """Whether a success is none of all that was ordered."""
        return self.event is Event.SUCCEEDED and self.state == State.PARTIAL_SUCCEED

    @property
    def reason(self) -> str:
        return text(self.delivery.facts, "reason", TEXT_LIMIT)

    @property
    def eta(self) -> Forecast | None:
        """What remained at the start, if the alert tells all of it."""
        median, low, high = (self.number(f"eta_{each}") for each in ("median", "low", "high"))
        return (
            None if median is None or low is None or high is None else Forecast(median=median, low=low, high=high)
        )

    def number(self, name: str) -> float | None:
        """A number of seconds that the alert tells; None where it does not. `eta_low` is `low` inside `eta`."""
        facts = self.delivery.facts
        outer, _, inner = name.partition("_")
        held = facts.get(outer) if outer == "eta" else None
        return seconds(held, inner) if isinstance(held, Mapping) else seconds(facts, name)

    @property
    def link_until(self) -> datetime | None:
        """When the last link to the video dies: as of now, else as the alert tells."""
        return self.job.link_until or moment(self.delivery.facts, "link_until")


def telling(claimed: Claimed, job: JobRow) -> Telling:
    """What a claimed delivery about `job` says."""
    delivery, move = claimed.delivery, claimed.move
    return Telling(delivery=delivery, job=job, move=move, times=_times(delivery, job, move), name=job_name(job))


def job_name(job: JobRow) -> str:
    """What people call a job: its video's name, else its label, else its id."""
    for name in (job.asset.asset_name, job.label):
        shown = clean(name or "", limit=NAME_LIMIT)
        if shown:
            return shown
    return job.job_id


def text(facts: Mapping[str, Json], key: str, limit: int) -> str:
    """A text that an alert tells, cleaned; '' where it does not."""
    value = facts.get(key)
    return clean(value, limit=limit) if isinstance(value, str) else ""


def number(facts: Mapping[str, Json], key: str) -> int:
    """How many, as an alert tells; 0 where it does not."""
    value = facts.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def seconds(facts: Mapping[str, Json], key: str) -> float | None:
    """A length of time that an alert tells; None where it does not, or where it cannot be one."""
    value = facts.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_SECONDS:
        return None
    return float(value)


def moment(facts: Mapping[str, Json], key: str) -> datetime | None:
    """A moment that an alert tells in ISO 8601; None where it does not."""
    value = facts.get(key)
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def observed(delivery: DeliveryRow) -> datetime:
    """When it happened: as the alert tells, else when it was written."""
    return moment(delivery.facts, "observed_at") or delivery.created_at


def _times(delivery: DeliveryRow, job: JobRow, move: TransitionRow | None) -> Times:
    seen = move.observed_at if move is not None else observed(delivery)
    if delivery.event is Event.LINK_EXPIRING:
        return Times(ended=seen, seen=seen, took=None, reported=False)
    if delivery.event is Event.STARTED:
        return Times(ended=seen, seen=seen, took=None, reported=False)
    ended, started, created = job.ended_at, job.started_at, job.created_at
    if (
        delivery.event in _ENDS
        and ended is not None
        and ended <= seen + _CLOCKS_APART
        and (created is None or ended >= created - _CLOCKS_APART)
    ):
        sane = started is not None and (created is None or started >= created - _CLOCKS_APART)
        took = ended - started if sane and started is not None else None
        if took is None or timedelta() <= took <= _LONGEST_WORK:
            seconds = took.total_seconds() if took is not None else None
            return Times(ended=ended, seen=seen, took=seconds, reported=True)
    watched = move is not None and move.before is not None and seen >= job.tracked_at
    seconds = (seen - job.tracked_at).total_seconds() if watched else None
    return Times(ended=seen, seen=seen, took=seconds, reported=False)


# ---------------------------------------------------------------------------------------- what machines are told


def delivery_facts(delivery: DeliveryRow) -> dict[str, Json]:
    """Every key, with the facts that every alert has."""
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


def job_facts(of: Telling, context: MessageContext) -> dict[str, Json]:
    """The facts of a job's alert."""
    delivery, job, move, asset = of.delivery, of.job, of.move, of.job.asset
    fetched = job.links_at or of.times.ended
    until = of.link_until if of.event in {Event.SUCCEEDED, Event.LINK_EXPIRING} else None
    return {
        **delivery_facts(delivery),
        "project": job.project,
        "kind": job.kind,
        "job_id": job.job_id,
        "label": job.label,
        "name": of.name,
        "tags": list(job.tags),
        "batch": job.batch,
        "state": of.state,
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
        "took": of.times.took,
        **{name: of.number(name) for name in _ESTIMATES},
        "ended_at": iso(of.times.ended) if of.event in _ENDS else None,
        "observed_at": iso(of.times.seen),
        "reported_at": iso(move.reported_at) if move is not None and move.reported_at else None,
        "reason": delivery.facts.get("reason"),
    }


_ESTIMATES = ("eta_median", "eta_low", "eta_high", "elapsed", "normal_median", "normal_high")


def _until(url: str | None, fetched: datetime, life: timedelta | None) -> str | None:
    until = expiry(url, fetched, life) if url else None
    return iso(until) if until is not None else None


@lru_cache(maxsize=256)  # a message asks for each of its links two or three times
def expiry(url: str, fetched: datetime, life: timedelta | None) -> datetime | None:
    """When `url` stops working, as `domain.jobs.link_expiry` says."""
    return link_expiry(url, fetched_at=fetched, unsigned_life=life)


def iso(at: datetime) -> str:
    """ISO 8601 in UTC, as all of wrapd's JSON has it."""
    at = at.astimezone(UTC)
    return at.isoformat(timespec="seconds" if not at.microsecond else "milliseconds").replace("+00:00", "Z")
