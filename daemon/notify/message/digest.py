"""Messages about many jobs. Pure.

A digest combines several alerts: counts, then a row for each, failures first, in order of time. A batch message
says how many jobs ended in which way and which ones did not succeed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.domain.events import Event, Json
from daemon.domain.jobs import DAY
from daemon.notify.message import Field, Link, Message, Row, Severity
from daemon.notify.message.escape import clean
from daemon.notify.message.facts import (
    NAME_LIMIT,
    NOTHING,
    TEXT_LIMIT,
    JobAlert,
    delivery_facts,
    expiry,
    iso,
    job_alert,
    moment,
    number,
    observed,
    text,
)
from daemon.notify.message.language import DIGEST, MARKS, MessageContext
from daemon.notify.message.lateness import diverted_from, is_resent, late, notes

if TYPE_CHECKING:
    from daemon.store import Claimed, DeliveryRow

_RANK = {Severity.BAD: 0, Severity.WARNING: 1, Severity.GOOD: 2, Severity.INFO: 3}
_DETAIL = 120
"""Characters of the detail in a row."""


class _Alert(Struct, frozen=True, kw_only=True):
    """An alert, the message it would be on its own, and when it happened. `about` is None unless it is about a
    job."""

    claimed: "Claimed"
    message: Message
    about: JobAlert | None
    at: datetime

    @property
    def way(self) -> str:
        """Key of this alert in `counts`."""
        partial = self.about is not None and self.about.partial
        return "partial" if partial else self.claimed.delivery.event.value

    @property
    def place(self) -> tuple[bool, datetime, int]:
        """Sort key of its row."""
        return self.message.severity is not Severity.BAD, self.at, self.claimed.delivery.id


def digest_message(alerts: Sequence[tuple["Claimed", Message]], context: MessageContext) -> Message:
    """The message for two or more alerts, each given with the message it would be on its own."""
    found = [_alert(claimed, message) for claimed, message in alerts]
    counts = _counts(found)
    title = context.voice.texts.title_digest.format(counts=_summary(counts, context))
    return Message(
        event="digest",
        severity=min((alert.message.severity for alert in found), key=_RANK.__getitem__),
        emoji=DIGEST,
        title=title,
        headline=_headline(found, context),
        subject=title,
        notes=_notes(found, context),
        rows=tuple(_row(alert, context) for alert in sorted(found, key=lambda alert: alert.place)),
        facts=_facts(found, counts),
        language=context.language,
    )


def _alert(claimed: "Claimed", message: Message) -> _Alert:
    delivery, job = claimed.delivery, claimed.job
    if job is None or delivery.event is Event.BATCH_FINISHED:
        at = moment(delivery.facts, "ended") or observed(delivery)
        return _Alert(claimed=claimed, message=message, about=None, at=at)
    about = job_alert(claimed, job)
    return _Alert(claimed=claimed, message=message, about=about, at=about.times.ended)


def _counts(alerts: Sequence[_Alert]) -> dict[str, int]:
    """Number of alerts for each event, in the order of events."""
    found = Counter(alert.way for alert in alerts)
    order = [way for event in Event for way in (event.value, *(("partial",) if event is Event.SUCCEEDED else ()))]
    return {way: found[way] for way in order if found[way]}


def _summary(counts: Mapping[str, int], context: MessageContext) -> str:
    """For example "12 finished, 2 failed". Events without a word of their own are counted together."""
    texts = context.voice.texts
    said = [texts.counts[way].say(n) for way, n in counts.items() if way in texts.counts]
    others = sum(n for way, n in counts.items() if way not in texts.counts)
    return texts.comma.join([*said, *([texts.other.say(others)] if others else [])])


def _headline(alerts: Sequence[_Alert], context: MessageContext) -> str:
    voice = context.voice
    first, last = min(alert.at for alert in alerts), max(alert.at for alert in alerts)
    span = voice.span(first, last) if voice.moment(first) != voice.moment(last) else voice.moment(first)
    rows = [alert.claimed.delivery for alert in alerts]
    text = voice.texts.digest_quiet if any(row.held_until for row in rows) else voice.texts.digest
    if any(row.unmuted_at for row in rows):
        text = voice.texts.digest_muted
    return text.format(n=len(alerts), span=span)


def _notes(alerts: Sequence[_Alert], context: MessageContext) -> tuple[str, ...]:
    texts = context.voice.texts
    first = min(alerts, key=lambda alert: alert.at)
    rows = [alert.claimed.delivery for alert in alerts]
    others = dict.fromkeys(name for row in rows if (name := diverted_from(row)))
    found = (
        texts.resent_some if any(map(is_resent, rows)) else "",
        texts.repeat_some if any(row.possible_repeat for row in rows) else "",
        *(texts.diverted.format(channel=name) for name in others),
        ""
        if is_resent(first.claimed.delivery)
        else late(first.claimed.delivery, texts.verb_first, first.at, context),
    )
    return tuple(filter(None, found))


def _row(alert: _Alert, context: MessageContext) -> Row:
    about, texts, event = alert.about, context.voice.texts, alert.claimed.delivery.event
    verb = texts.verb_partial if about is not None and about.partial else texts.verbs.get(event, texts.verb_other)
    when = verb.format(at=context.voice.clock(alert.at))
    detail = f"{_detail(about, context)}{_note(about, context)}" if about is not None else ""
    return Row(
        emoji=alert.message.emoji,
        name=about.name if about is not None else alert.message.title,
        text=f"{when}{detail}",
        link=_best(alert.message.links, about, context.now),
    )


def _detail(about: JobAlert, context: MessageContext) -> str:
    """What a row says after the time."""
    texts, job = context.voice.texts, about.job
    if about.event is Event.SUCCEEDED and job.duration is not None and job.duration > 0:
        return f"{texts.comma}{texts.row_length.format(length=context.voice.length(job.duration))}"
    if about.event is Event.FAILED:
        said = clean(job.error_msg or job.error_code or "", limit=_DETAIL)
        return f"{texts.colon}{said}" if said else ""
    return ""


def _note(about: JobAlert, context: MessageContext) -> str:
    """The person's line on the job, in brackets."""
    said = clean(about.job.note or "", limit=_DETAIL)
    return context.voice.texts.brackets.format(text=said) if said else ""


def _best(links: Sequence[Link], about: JobAlert | None, now: datetime) -> Link | None:
    """The first link that still works, else the first one: a row has room for one."""
    if about is None or not links:
        return None
    fetched = about.job.links_at or about.times.ended
    for link in links:
        until = expiry(link.url, fetched, DAY)
        if until is None or until > now:
            return link
    return links[0]


def _facts(alerts: Sequence[_Alert], counts: Mapping[str, int]) -> dict[str, Json]:
    rows = [alert.claimed.delivery for alert in alerts]
    return {
        **NOTHING,
        "event": "digest",
        "possible_repeat": any(row.possible_repeat for row in rows),
        "attempt": max(row.attempts for row in rows),
        "channel": rows[0].channel,
        "counts": dict(counts),
        "shared": len(rows),
        "alerts": [dict(alert.message.facts) for alert in alerts],
    }


WAYS = ("succeeded", "partial", "failed", "canceled", "lost", "expired", "stopped")
"""How a job of a batch can end, as keys of `counts`."""
_NAMED = 5
"""Maximum number of failures named in the headline."""
_SIGNS = {
    "failed": MARKS[Event.FAILED][0],
    "canceled": MARKS[Event.CANCELED][0],
    "lost": MARKS[Event.LOST][0],
    "expired": MARKS[Event.EXPIRED][0],
    "partial": "🌗",
}


def batch_message(delivery: "DeliveryRow", context: MessageContext) -> Message:
    """The message for the end of a batch."""
    facts, texts = delivery.facts, context.voice.texts
    counts = {way: number(facts, way) for way in WAYS}
    jobs = number(facts, "jobs") or sum(counts.values())
    name = text(facts, "batch", NAME_LIMIT) or "?"
    ended = moment(facts, "ended") or observed(delivery)
    rows = tuple(_batch_row(each, context) for each in _failures(facts))
    severity = _severity(counts, jobs)
    return Message(
        event=delivery.event,
        severity=severity,
        emoji=MARKS[Event.BATCH_FINISHED][0],
        title=texts.titles[Event.BATCH_FINISHED].format(name=name, counts=_batch_summary(counts, jobs, context)),
        headline=_batch_headline(counts, jobs, rows, context),
        subject=f"batch {name}",
        fields=_fields(delivery, ended, context),
        rows=rows,
        notes=notes(delivery, context, late(delivery, texts.verbs[Event.BATCH_FINISHED], ended, context)),
        facts=_batch_facts(delivery, name, counts, jobs, ended),
        language=context.language,
    )


def _severity(counts: Mapping[str, int], jobs: int) -> Severity:
    if counts["failed"]:
        return Severity.BAD
    return Severity.GOOD if counts["succeeded"] >= jobs else Severity.WARNING


def _batch_summary(counts: Mapping[str, int], jobs: int, context: MessageContext) -> str:
    """For example "48 of 50 done, 2 failed"."""
    texts = context.voice.texts
    done = texts.batch_done.format(done=counts["succeeded"], n=jobs)
    return texts.comma.join([done, *_others(counts, context)])


def _others(counts: Mapping[str, int], context: MessageContext) -> list[str]:
    """Counts of the outcomes other than success."""
    said = context.voice.texts.counts
    return [said[way].say(counts[way]) for way in WAYS if way != "succeeded" and counts[way]]


def _batch_headline(counts: Mapping[str, int], jobs: int, rows: Sequence[Row], context: MessageContext) -> str:
    texts, others = context.voice.texts, _others(counts, context)
    if not others:
        return texts.batch_all.format(n=jobs)
    names = [clean(row.name, limit=40) for row in rows[:_NAMED]]
    unnamed = sum(counts[way] for way in WAYS if way != "succeeded") - len(names)
    if names and unnamed > 0:
        names.append(texts.batch_more.format(n=unnamed))
    said = texts.comma.join(others)
    if not names:
        return f"{said}{texts.stop}"
    return texts.batch_names.format(counts=said, names=texts.listed.join(names))


def _failures(facts: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    found = facts.get("failures")
    if not isinstance(found, Sequence) or isinstance(found, str):
        return []
    return [each for each in found if isinstance(each, Mapping)]


def _batch_row(facts: Mapping[str, Json], context: MessageContext) -> Row:
    """A job that did not succeed: how it ended, and the service's error."""
    voice = context.voice
    way = text(facts, "event", 64)
    state = text(facts, "state", 64)
    counted = voice.texts.counts.get(way)
    said = voice.reason(text(facts, "error", TEXT_LIMIT))
    how = voice.texts.ways.get(way) if counted is not None else None
    return Row(
        emoji=_SIGNS.get(way, "❌" if state == "FAILED" else "⚠️"),
        name=text(facts, "name", NAME_LIMIT) or text(facts, "job_id", 128),
        text=voice.texts.colon.join(filter(None, (how or voice.state(state or None), said))),
    )


def _fields(delivery: "DeliveryRow", ended: datetime, context: MessageContext) -> tuple[Field, ...]:
    voice, began = context.voice, moment(delivery.facts, "began")
    took = (ended - began).total_seconds() if began is not None else 0.0
    pairs = (
        ("began", voice.moment(began) if began is not None else ""),
        ("batch_ended", voice.moment(ended)),
        ("took", voice.length(took) if took > 0 else ""),
        ("project", clean(delivery.project or "", limit=64)),
    )
    return tuple(voice.field(name, value) for name, value in pairs if value)


def _batch_facts(
    delivery: "DeliveryRow", name: str, counts: Mapping[str, int], jobs: int, ended: datetime
) -> dict[str, Json]:
    began = moment(delivery.facts, "began")
    return {
        **delivery_facts(delivery),
        "name": name,
        "batch": delivery.facts.get("batch"),
        "jobs": jobs,
        "counts": dict(counts),
        "failures": [dict(each) for each in _failures(delivery.facts)],
        "began_at": iso(began) if began is not None else None,
        "ended_at": iso(ended),
        "observed_at": iso(observed(delivery)),
    }
