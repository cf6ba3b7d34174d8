"""What operator events say: what is wrong with wrapd's surroundings, and what to do. Pure.

The facts are those that the raising parts put into an `OperatorAlert`: reason, state, job_id, channel,
late_seconds, jobs, observed_at; each may be absent.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo

from daemon.domain.events import Event, Json
from daemon.notify.facts import NOTHING
from daemon.notify.message import (
    LATE,
    NAME_LIMIT,
    TEXT_LIMIT,
    Field,
    Message,
    Severity,
    delivery_facts,
    iso,
    repeat_note,
)
from daemon.notify.words import clean, length, moment
from daemon.store import DeliveryRow

_TEXTS: Mapping[Event, tuple[str, Severity, str, str]] = {
    Event.PROJECT_DOWN: (
        "🔌",
        Severity.BAD,
        "Project {project} does not answer",
        (
            "Its jobs are asked again as soon as it does; nothing is lost. "
            "Check the network and the project's endpoint: `wrapd doctor` looks at both."
        ),
    ),
    Event.PROJECT_RECOVERED: (
        "🔋",
        Severity.GOOD,
        "Project {project} answers again",
        "Ends that were missed are told now. There is nothing to do.",
    ),
    Event.AUTH_FAILED: (
        "🔑",
        Severity.BAD,
        "Project {project}: MetaStudio refuses the credentials",
        (
            "Its jobs are not asked about until that is mended. "
            "Check the keys or the token in the config, then restart wrapd: `wrapd doctor` tries them."
        ),
    ),
    Event.CHANNEL_HELD: (
        "📪",
        Severity.BAD,
        "Channel {channel} takes no messages",
        (
            "Its messages wait and none is lost. Mend the channel, then run `wrapd channels test {channel}`: "
            "when that arrives, the rest follows."
        ),
    ),
    Event.UNKNOWN_STATE: (
        "🧩",
        Severity.WARNING,
        "Project {project}: a state that wrapd does not know",
        (
            "MetaStudio calls a job {state}. wrapd keeps asking until the job ends. "
            "If this goes on, look for an update."
        ),
    ),
    Event.OVERLOADED: (
        "🐢",
        Severity.WARNING,
        "Project {project}: jobs are asked too late",
        (
            "There are more jobs than the request budget allows for. Raise requests_per_second of the project "
            "(within the limit of its region) or max_interval."
        ),
    ),
}


def operator_message(delivery: DeliveryRow, *, zone: tzinfo, now: datetime) -> Message:
    """The message of an operator event, in the channel's time zone, as told `now`."""
    facts = delivery.facts
    emoji, severity, title, headline = _TEXTS.get(delivery.event, _OTHER)
    names = {
        "project": _text(facts, "project", NAME_LIMIT) or clean(delivery.project or "", limit=NAME_LIMIT),
        "channel": _text(facts, "channel", NAME_LIMIT),
        "state": _text(facts, "state", 64),
        "event": delivery.event.value,
    }
    at = _observed(delivery)
    late = now - at > LATE
    told = f"This comes late: it happened at {moment(at, zone)} and is told at {moment(now, zone)}."
    return Message(
        event=delivery.event,
        severity=severity,
        emoji=emoji,
        title=title.format(**names),
        headline=headline.format(**names),
        subject=names["channel"] or names["project"],
        fields=_fields(facts, at, zone),
        notes=(*repeat_note(delivery), *((told,) if late else ())),
        facts={
            **NOTHING,
            **delivery_facts(delivery),
            "project": delivery.project,
            "observed_at": iso(at),
            **{key: facts.get(key) for key in ("state", "job_id", "reason", "late_seconds", "jobs")},
            "held_channel": facts.get("channel"),
        },
    )


_OTHER = ("🔔", Severity.INFO, "{event}", "wrapd reports {event}.")


def _fields(facts: Mapping[str, Json], at: datetime, zone: tzinfo) -> tuple[Field, ...]:
    late, jobs = facts.get("late_seconds"), facts.get("jobs")
    pairs = (
        ("Reason", _text(facts, "reason", TEXT_LIMIT)),
        ("Job", _text(facts, "job_id", 128)),
        ("Late by", length(late) if isinstance(late, int | float) else ""),
        ("Jobs", str(jobs) if isinstance(jobs, int) else ""),
        ("Since", moment(at, zone)),
    )
    return tuple(Field(name=name, value=value) for name, value in pairs if value)


def _text(facts: Mapping[str, Json], key: str, limit: int) -> str:
    value = facts.get(key)
    return clean(value, limit=limit) if isinstance(value, str) else ""


def _observed(delivery: DeliveryRow) -> datetime:
    """When it happened: as the alert tells, else when it was written."""
    value = delivery.facts.get("observed_at")
    if not isinstance(value, str):
        return delivery.created_at
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return delivery.created_at
    return at if at.tzinfo else at.replace(tzinfo=UTC)
