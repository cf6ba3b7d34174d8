"""The messages of events about wrapd itself: what is wrong, and what to do about it. Pure."""

from collections.abc import Mapping
from datetime import datetime

from daemon.domain.events import Event, Json
from daemon.notify.message.context import MARKS, OTHER, Look
from daemon.notify.message.lateness import late, notes
from daemon.notify.message.model import Field, Message
from daemon.notify.message.reading import (
    NAME_LIMIT,
    TEXT_LIMIT,
    delivery_facts,
    iso,
    number,
    observed,
    seconds,
    text,
)
from daemon.notify.text.clean import clean
from daemon.store import DeliveryRow

_TOLD = ("state", "job_id", "reason", "late_seconds", "jobs", "deliveries", "part", "command")


def operator_message(delivery: DeliveryRow, look: Look) -> Message:
    """The message of an operator event."""
    facts, voice, texts = delivery.facts, look.voice, look.voice.texts
    emoji, severity = MARKS.get(delivery.event, OTHER)
    words = texts.operators.get(delivery.event, texts.operator_other)
    if facts.get("partly") is True:
        words = texts.held_partly
    elif delivery.event is Event.ORPHANED and "channel" in facts:
        words = texts.orphaned_channel
    names = {
        "project": text(facts, "project", NAME_LIMIT) or clean(delivery.project or "", limit=NAME_LIMIT),
        "channel": text(facts, "channel", NAME_LIMIT),
        "state": text(facts, "state", 64),
        "command": text(facts, "command", TEXT_LIMIT),
        "event": delivery.event.value,
    }
    at = observed(delivery)
    return Message(
        event=delivery.event,
        severity=severity,
        emoji=emoji,
        title=words.title.format(**names),
        headline=words.headline.format(**names),
        subject=names["channel"] or names["project"],
        fields=_fields(facts, at, look),
        notes=notes(delivery, look, late(delivery, voice.texts.verb_other, at, look)),
        facts={
            **delivery_facts(delivery),
            "observed_at": iso(at),
            **{key: facts.get(key) for key in _TOLD},
            "held_channel": facts.get("channel"),
        },
        language=look.language,
    )


def _fields(facts: Mapping[str, Json], at: datetime, look: Look) -> tuple[Field, ...]:
    voice, delay, jobs = look.voice, seconds(facts, "late_seconds"), number(facts, "jobs")
    pairs = (
        ("reason", voice.reason(text(facts, "reason", TEXT_LIMIT))),
        ("job", text(facts, "job_id", 128)),
        ("late", voice.length(delay) if delay is not None else ""),
        ("jobs", str(jobs) if jobs else ""),
        ("deliveries", str(dead) if (dead := number(facts, "deliveries")) else ""),
        ("part", text(facts, "part", NAME_LIMIT)),
        ("since", voice.moment(at)),
    )
    return tuple(voice.field(name, value) for name, value in pairs if value)
