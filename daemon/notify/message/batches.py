"""The message of a batch's end: how many jobs ended in which way, and which did not succeed. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from daemon.domain.events import Event, Json
from daemon.notify.message.context import MARKS, Look
from daemon.notify.message.lateness import late, notes
from daemon.notify.message.model import Field, Message, Row, Severity
from daemon.notify.message.reading import (
    NAME_LIMIT,
    TEXT_LIMIT,
    delivery_facts,
    iso,
    moment,
    number,
    observed,
    text,
)
from daemon.notify.text.clean import clean
from daemon.store import DeliveryRow

WAYS = ("succeeded", "partial", "failed", "canceled", "lost", "expired", "stopped")
"""The ways in which a job of a batch ends, as `counts` names them."""
_NAMED = 5
"""Failures that the headline names."""
_SIGNS = {
    "failed": MARKS[Event.FAILED][0],
    "canceled": MARKS[Event.CANCELED][0],
    "lost": MARKS[Event.LOST][0],
    "expired": MARKS[Event.EXPIRED][0],
    "partial": "🌗",
}


def batch_message(delivery: DeliveryRow, look: Look) -> Message:
    """The message of a batch's end."""
    facts, texts = delivery.facts, look.voice.texts
    counts = {way: number(facts, way) for way in WAYS}
    jobs = number(facts, "jobs") or sum(counts.values())
    name = text(facts, "batch", NAME_LIMIT) or "?"
    ended = moment(facts, "ended") or observed(delivery)
    rows = tuple(_row(each, look) for each in _failures(facts))
    severity = _severity(counts, jobs)
    return Message(
        event=delivery.event,
        severity=severity,
        emoji=MARKS[Event.BATCH_FINISHED][0],
        title=texts.titles[Event.BATCH_FINISHED].format(name=name, counts=_summary(counts, jobs, look)),
        headline=_headline(counts, jobs, rows, look),
        subject=f"batch {name}",
        fields=_fields(delivery, ended, look),
        rows=rows,
        notes=notes(delivery, look, late(delivery, texts.verbs[Event.BATCH_FINISHED], ended, look)),
        facts=_facts(delivery, name, counts, jobs, ended),
        language=look.language,
    )


def _severity(counts: Mapping[str, int], jobs: int) -> Severity:
    if counts["failed"]:
        return Severity.BAD
    return Severity.GOOD if counts["succeeded"] >= jobs else Severity.WARNING


def _summary(counts: Mapping[str, int], jobs: int, look: Look) -> str:
    """ "48 of 50 done, 2 failed"."""
    texts = look.voice.texts
    done = texts.batch_done.format(done=counts["succeeded"], n=jobs)
    return texts.comma.join([done, *_others(counts, look)])


def _others(counts: Mapping[str, int], look: Look) -> list[str]:
    """What did not succeed, each way by its number."""
    said = look.voice.texts.counts
    return [said[way].say(counts[way]) for way in WAYS if way != "succeeded" and counts[way]]


def _headline(counts: Mapping[str, int], jobs: int, rows: Sequence[Row], look: Look) -> str:
    texts, others = look.voice.texts, _others(counts, look)
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


def _row(facts: Mapping[str, Json], look: Look) -> Row:
    """A job that did not succeed: what the service said of it, else how it ended."""
    voice = look.voice
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


def _fields(delivery: DeliveryRow, ended: datetime, look: Look) -> tuple[Field, ...]:
    voice, began = look.voice, moment(delivery.facts, "began")
    took = (ended - began).total_seconds() if began is not None else 0.0
    pairs = (
        ("began", voice.moment(began) if began is not None else ""),
        ("batch_ended", voice.moment(ended)),
        ("took", voice.length(took) if took > 0 else ""),
        ("project", clean(delivery.project or "", limit=64)),
    )
    return tuple(voice.field(name, value) for name, value in pairs if value)


def _facts(
    delivery: DeliveryRow, name: str, counts: Mapping[str, int], jobs: int, ended: datetime
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
