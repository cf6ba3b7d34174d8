"""What an alert says, before it has a form: built purely from a delivery, its job and its transition.

Owns the words for job events. Must never know a channel's markup; values in here are raw but for `clean`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum

from daemon.domain.events import OPERATOR_EVENTS, Event, Json
from daemon.domain.jobs import DAY, link_expiry
from daemon.domain.states import State
from daemon.notify.facts import NOTHING
from daemon.notify.words import clean, kind_word, length, moment, product_word, rough, span, state_word
from daemon.store import Claimed, DeliveryRow, JobRow, TransitionRow

NAME_LIMIT = 120
"""Characters of a name in a message."""
TEXT_LIMIT = 600
"""Characters of an error message of the service."""
LATE = timedelta(minutes=10)
"""A message that comes this long after the end says so."""
_CLOCKS_APART = timedelta(minutes=10)
"""How far the service's times may lie off ours and still be believed."""
_LONGEST_WORK = timedelta(days=60)
_MOST_SECONDS = 3650 * 86400.0


class Severity(StrEnum):
    """How a message looks: its colour, and the `type` of a webhook."""

    GOOD = "good"
    BAD = "bad"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A named value."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link exactly as it came, and how long it works ('' where nobody knows)."""

    name: str
    url: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An alert, ready to be given a form. `subject` names what it is about, for lines that stand in for it."""

    event: str
    severity: Severity
    emoji: str
    title: str
    headline: str
    subject: str
    fields: tuple[Field, ...] = ()
    links: tuple[Link, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)


def compose(claimed: Claimed, *, zone: tzinfo, now: datetime) -> Message:
    """The message of a claimed delivery, in the channel's time zone, as told `now`."""
    from daemon.notify.operators import operator_message  # noqa: PLC0415 - it builds on this module

    delivery = claimed.delivery
    if claimed.job is None or delivery.event in OPERATOR_EVENTS:
        return operator_message(delivery, zone=zone, now=now)
    return _job_message(delivery, claimed.job, claimed.move, zone=zone, now=now)


def repeat_note(delivery: DeliveryRow) -> tuple[str, ...]:
    """What to say where an earlier try may have arrived."""
    if not delivery.possible_repeat:
        return ()
    return ("This may be a repeat: nobody can say whether an earlier try arrived.",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times:
    """The times of a job, as far as they can be believed."""

    ended: datetime
    took: float | None
    """Seconds of production; None where nobody knows."""
    reported: bool
    """Whether the service told these times; else they are when wrapd looked."""


def _job_message(
    delivery: DeliveryRow, job: JobRow, move: TransitionRow | None, *, zone: tzinfo, now: datetime
) -> Message:
    times = _times(delivery, job, move)
    name = job_name(job)
    emoji, severity, title = _PARTIAL if _partial(delivery, job) else _TITLES[delivery.event]
    return Message(
        event=delivery.event,
        severity=severity,
        emoji=emoji,
        title=title.format(name=name),
        headline=_headline(delivery, job, times, zone),
        subject=f"job {job.job_id}",
        fields=_fields(delivery, job, times, zone, name),
        links=_links(job, times, zone, now) if delivery.event is Event.SUCCEEDED else (),
        notes=(*repeat_note(delivery), *_lateness(delivery, job, times, zone, now)),
        facts=_facts(delivery, job, move, times, name),
    )


_TITLES: Mapping[Event, tuple[str, Severity, str]] = {
    Event.SUCCEEDED: ("✅", Severity.GOOD, "Ready: {name}"),
    Event.FAILED: ("❌", Severity.BAD, "Failed: {name}"),
    Event.CANCELED: ("🚫", Severity.WARNING, "Canceled: {name}"),
    Event.BLOCKED: ("🧊", Severity.WARNING, "Frozen: {name}"),
    Event.UNBLOCKED: ("▶️", Severity.INFO, "Moving again: {name}"),
    Event.STARTED: ("🎬", Severity.INFO, "In production: {name}"),
    Event.STUCK: ("⏳", Severity.WARNING, "Takes too long: {name}"),
    Event.LOST: ("❓", Severity.WARNING, "Not found: {name}"),
    Event.EXPIRED: ("⌛", Severity.WARNING, "Not ended: {name}"),
}
_PART = "Only a part of what was ordered is there. "
_PARTIAL = ("🌗", Severity.WARNING, "Ready in part: {name}")


def _partial(delivery: DeliveryRow, job: JobRow) -> bool:
    """Whether a success is none of all that was ordered."""
    return delivery.event is Event.SUCCEEDED and _state(delivery, job) == State.PARTIAL_SUCCEED


def job_name(job: JobRow) -> str:
    """What people call a job: its video's name, else its label, else its id."""
    for name in (job.asset.asset_name, job.label):
        shown = clean(name or "", limit=NAME_LIMIT)
        if shown:
            return shown
    return job.job_id


def _headline(  # noqa: PLR0911 - one sentence for each event
    delivery: DeliveryRow, job: JobRow, times: _Times, zone: tzinfo
) -> str:
    match delivery.event:
        case Event.SUCCEEDED:
            return f"{_PART}{_made(job, times)}" if _partial(delivery, job) else _made(job, times)
        case Event.FAILED:
            return _failure(job)
        case Event.CANCELED:
            return f"Somebody canceled it, so there is no {product_word(job.kind)}."
        case Event.BLOCKED:
            return "MetaStudio has frozen it. You will hear when it moves again."
        case Event.UNBLOCKED:
            return f"It was frozen and is now {state_word(_state(delivery, job))}."
        case Event.STARTED:
            return _begun(delivery)
        case Event.STUCK:
            return _overdue(delivery)
        case Event.LOST:
            return _missing(job)
        case Event.EXPIRED:
            since = moment(job.tracked_at, zone)
            return f"Watched since {since} without an end, so wrapd stopped. Track it again to go on."
        case _:
            return clean(str(delivery.facts.get("reason") or ""), limit=TEXT_LIMIT)


def _failure(job: JobRow) -> str:
    said = clean(job.error_msg or "", limit=TEXT_LIMIT)
    return f"MetaStudio says: {said}" if said else "MetaStudio gave no reason."


def _missing(job: JobRow) -> str:
    if job.state is not None:
        return "MetaStudio no longer knows it, so wrapd stopped asking. If the id is right, track it again."
    return (
        f"MetaStudio knows no {kind_word(job.kind)} with this id, so wrapd stopped asking. "
        "Check the id; if it is of another kind, track it again with --kind."
    )


def _made(job: JobRow, times: _Times) -> str:
    long = f"{length(job.duration)} of video" if job.duration is not None and job.duration > 0 else ""
    about = "" if times.reported else "about "
    took = f"made in {about}{length(times.took)}" if times.took is not None else ""
    both = ", ".join(part for part in (long, took) if part)
    return f"{both[0].upper()}{both[1:]}." if both else f"The {product_word(job.kind)} is finished."


def _begun(delivery: DeliveryRow) -> str:
    said = "MetaStudio works on it now."
    eta = _eta(delivery)
    if eta is None:
        return said
    median, low, high = eta
    return f"{said} It should take about {rough(median)} more, in 8 of 10 cases {rough(low)} to {rough(high)}."


def _eta(delivery: DeliveryRow) -> tuple[float, float, float] | None:
    """Median, low and high of what remained, if the alert tells all three."""
    median, low, high = (_number(delivery, f"eta_{each}") for each in ("median", "low", "high"))
    return None if median is None or low is None or high is None else (median, low, high)


def _overdue(delivery: DeliveryRow) -> str:
    elapsed, median, high = (_number(delivery, each) for each in ("elapsed", "normal_median", "normal_high"))
    if elapsed is None or median is None or high is None:
        return "It has been in production for much longer than jobs like it. You will hear when it ends."
    return (
        f"It has been in production for {length(elapsed)}. Jobs like it take {rough(median)}, 99 of 100 less than "
        f"{rough(high)}. You will hear when it ends."
    )


def _number(delivery: DeliveryRow, name: str) -> float | None:
    """A number of seconds that the alert tells; None where it does not. `eta_low` is `low` inside `eta`."""
    facts = delivery.facts
    outer, _, inner = name.partition("_")
    held = facts.get(outer) if outer == "eta" else None
    value = held.get(inner) if isinstance(held, dict) else facts.get(name)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST_SECONDS
    return float(value) if fits and isinstance(value, int | float) else None


def _fields(delivery: DeliveryRow, job: JobRow, times: _Times, zone: tzinfo, name: str) -> tuple[Field, ...]:
    label = clean(job.label or "", limit=NAME_LIMIT)
    when = _WHEN.get(delivery.event, "Seen")
    pairs = (
        ("Error", clean(job.error_code or "", limit=64) if delivery.event is Event.FAILED else ""),
        ("Reason", clean(str(delivery.facts.get("reason") or ""), limit=200)),
        ("State", state_word(_state(delivery, job)) if delivery.event in {Event.LOST, Event.EXPIRED} else ""),
        (when, moment(times.ended, zone)),
        ("Expected", _expected(delivery, times, zone)),
        ("Label", label if label != name else ""),
        ("Batch", clean(job.batch or "", limit=NAME_LIMIT)),
        ("Tags", clean(", ".join(job.tags), limit=200)),
        ("Project", f"{clean(job.project, limit=64)} ({kind_word(job.kind)})"),
        ("Job", job.job_id),
        ("Asset", clean(job.asset.asset_id or "", limit=128) if delivery.event is Event.SUCCEEDED else ""),
    )
    return tuple(Field(name=label, value=value) for label, value in pairs if value)


def _expected(delivery: DeliveryRow, times: _Times, zone: tzinfo) -> str:
    """When a job that has begun should end."""
    eta = _eta(delivery)
    if delivery.event is not Event.STARTED or eta is None:
        return ""
    _, low, high = eta
    return span(times.ended + timedelta(seconds=low), times.ended + timedelta(seconds=high), zone)


_WHEN = {Event.SUCCEEDED: "Finished", Event.FAILED: "Failed", Event.CANCELED: "Canceled", Event.STARTED: "Started"}


def _state(delivery: DeliveryRow, job: JobRow) -> str | None:
    """The state that the alert tells: as of when it was written."""
    state = delivery.facts.get("state", job.state)
    return state if isinstance(state, str) else None


def _times(delivery: DeliveryRow, job: JobRow, move: TransitionRow | None) -> _Times:
    observed = move.observed_at if move is not None else delivery.created_at
    if delivery.event is Event.STARTED:
        return _Times(ended=observed, took=None, reported=False)
    ended, started, created = job.ended_at, job.started_at, job.created_at
    if (
        delivery.event in {Event.SUCCEEDED, Event.FAILED, Event.CANCELED}
        and ended is not None
        and ended <= observed + _CLOCKS_APART
        and (created is None or ended >= created - _CLOCKS_APART)
    ):
        sane = started is not None and (created is None or started >= created - _CLOCKS_APART)
        took = ended - started if sane and started is not None else None
        if took is None or timedelta() <= took <= _LONGEST_WORK:
            return _Times(ended=ended, took=took.total_seconds() if took is not None else None, reported=True)
    watched = move is not None and move.before is not None and observed >= job.tracked_at
    seconds = (observed - job.tracked_at).total_seconds() if watched else None
    return _Times(ended=observed, took=seconds, reported=False)


def _lateness(delivery: DeliveryRow, job: JobRow, times: _Times, zone: tzinfo, now: datetime) -> tuple[str, ...]:
    """A note where the message comes late, seen from the end or from when the job was tracked."""
    if now - max(times.ended, job.tracked_at) <= LATE:
        return ()
    why = " This channel could not be reached before." if delivery.attempts > 1 else ""
    return (
        f"This comes late: it happened at {moment(times.ended, zone)} and is told at {moment(now, zone)}.{why}",
    )


def _links(job: JobRow, times: _Times, zone: tzinfo, now: datetime) -> tuple[Link, ...]:
    fetched = job.links_at or times.ended
    found = (
        ("Preview", job.asset.preview_url, DAY),
        ("Download", job.asset.download_url, DAY),
        ("Cover", job.asset.cover_url, None),
    )
    return tuple(
        Link(name=name, url=url, note=_validity(url, fetched, life, zone, now)) for name, url, life in found if url
    )


def _validity(url: str, fetched: datetime, life: timedelta | None, zone: tzinfo, now: datetime) -> str:
    until = link_expiry(url, fetched_at=fetched, unsigned_life=life)
    if until is None:
        return ""
    if until <= now:
        return f"was valid until {moment(until, zone, seconds=True)}"
    return f"valid until {moment(until, zone)}"


def _facts(
    delivery: DeliveryRow, job: JobRow, move: TransitionRow | None, times: _Times, name: str
) -> dict[str, Json]:
    fetched = job.links_at or times.ended
    asset = job.asset
    observed = move.observed_at if move is not None else delivery.created_at
    return {
        **NOTHING,
        **delivery_facts(delivery),
        "project": job.project,
        "kind": job.kind,
        "job_id": job.job_id,
        "label": job.label,
        "name": name,
        "tags": list(job.tags),
        "batch": job.batch,
        "state": _state(delivery, job),
        "state_before": move.before if move is not None else None,
        "cover_url": asset.cover_url,
        "cover_valid_until": _until(asset.cover_url, fetched, None),
        "preview_url": asset.preview_url,
        "preview_valid_until": _until(asset.preview_url, fetched, DAY),
        "download_url": asset.download_url,
        "download_valid_until": _until(asset.download_url, fetched, DAY),
        "asset_id": asset.asset_id,
        "error_code": job.error_code,
        "error_msg": job.error_msg,
        "duration": job.duration,
        "took": times.took,
        **{name: _number(delivery, name) for name in _ESTIMATES},
        "ended_at": iso(times.ended) if delivery.event in _ENDS else None,
        "observed_at": iso(observed),
        "reported_at": iso(move.reported_at) if move is not None and move.reported_at else None,
        "reason": delivery.facts.get("reason"),
    }


_ESTIMATES = ("eta_median", "eta_low", "eta_high", "elapsed", "normal_median", "normal_high")
_ENDS = frozenset({Event.SUCCEEDED, Event.FAILED, Event.CANCELED})


def delivery_facts(delivery: DeliveryRow) -> dict[str, Json]:
    """The facts that every alert has."""
    return {
        "event": delivery.event.value,
        "delivery_id": delivery.id,
        "possible_repeat": delivery.possible_repeat,
        "attempt": delivery.attempts,
        "channel": delivery.channel,
    }


def _until(url: str | None, fetched: datetime, life: timedelta | None) -> str | None:
    until = link_expiry(url, fetched_at=fetched, unsigned_life=life) if url else None
    return iso(until) if until is not None else None


def iso(at: datetime) -> str:
    """ISO 8601 in UTC, as all of wrapd's JSON has it."""
    return at.isoformat(timespec="seconds" if not at.microsecond else "milliseconds").replace("+00:00", "Z")
