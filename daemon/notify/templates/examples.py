"""A built-in example of every message, as the rows it would be built from, for previews and tests. Never sent
or stored.

There is one for each event and for each special case: late, repeat, diverted, digest, and a name that tries to
break out.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from daemon.domain.events import OPERATOR_EVENTS, Event, Json
from daemon.domain.jobs import Asset, ChannelName, JobId, ProjectName, Tracking
from daemon.domain.orphans import move_command
from daemon.domain.states import State
from daemon.notify.message.compose import MessageContext, compose_digest
from daemon.notify.templates import TemplateFault
from daemon.notify.transport import Channel
from daemon.store import Claimed, DeliveryRow, DeliveryStatus, JobRow, TransitionRow

HOSTILE_NAME = (
    '@everyone <!channel> <at user_id="all"></at> **free** [here](https://example.com/x) <b>www.example.com</b> '
    "{{ 7 * 7 }}"
)
"""A name that tries to mention, link and format."""
_CHANNEL = ChannelName("editors")
_PROJECT = ProjectName("main")
_HOUR = timedelta(hours=1)
_STATES: Mapping[Event, State] = {
    Event.FAILED: State.FAILED,
    Event.CANCELED: State.CANCELED,
    Event.BLOCKED: State.BLOCK,
    Event.UNBLOCKED: State.PROCESSING,
    Event.STARTED: State.PROCESSING,
    Event.STUCK: State.PROCESSING,
    Event.LOST: State.PROCESSING,
    Event.EXPIRED: State.PROCESSING,
}

Made = Callable[[datetime], tuple[Claimed, ...]]


def example(name: str, *, now: datetime) -> tuple[Claimed, ...]:
    """The deliveries of an example (a key of `EXAMPLES`), as sent at `now`; several make one digest.

    Raises KeyError for an unknown name.
    """
    return EXAMPLES[name](now)


def _single(event: Event) -> Made:
    return lambda now: (_of_event(event, now),)


def _of_event(event: Event, now: datetime, *, number: int = 1) -> Claimed:
    if event is Event.BATCH_FINISHED:
        return _batch(now)
    if event in OPERATOR_EVENTS:
        return _operator(event, now)
    return _of_job(event, now, number=number)


def _of_job(event: Event, now: datetime, *, number: int = 1, **of_job: object) -> Claimed:
    at = now - timedelta(seconds=3)
    job = _job(event, at, number)._replace(**of_job)  # type: ignore[arg-type]  # fields of the row by name
    delivery = _delivery(event, at, facts={"state": job.state, **_FACTS.get(event, {})}, job=job, number=number)
    if event is Event.LINK_EXPIRING:
        return Claimed(delivery=delivery, job=job, move=None, attempt=1)
    move = TransitionRow(
        id=number,
        job=job.id,
        seq=2,
        before=State.BLOCK if event is Event.UNBLOCKED else State.PROCESSING,
        after=job.state or State.PROCESSING,
        observed_at=at,
        reported_at=at - timedelta(seconds=2),
    )
    return Claimed(delivery=delivery, job=job, move=move, attempt=delivery.attempts)


_FACTS: Mapping[Event, Mapping[str, Json]] = {
    Event.STARTED: {"eta": {"median": 192.0, "low": 101.0, "high": 400.0}},
    Event.STUCK: {"elapsed": 2520.0, "normal_median": 180.0, "normal_high": 540.0},
    Event.LOST: {"reason": "the service does not know the job; HTTP 404; MSS.00000002"},
    Event.EXPIRED: {"reason": "it did not end in time"},
}


def _job(event: Event, at: datetime, number: int) -> JobRow:
    """A job as it is when `event` happens at `at`."""
    ended = event in {Event.SUCCEEDED, Event.LINK_EXPIRING, Event.FAILED, Event.CANCELED}
    has_video = event in {Event.SUCCEEDED, Event.LINK_EXPIRING}
    end = at - (20 * _HOUR if event is Event.LINK_EXPIRING else timedelta(seconds=2))
    until = end + 24 * _HOUR
    return JobRow(
        id=number,
        project=_PROJECT,
        kind="avatar",
        job_id=JobId(f"26f06524-4f75-4b3a-a853-b649a21aae{number:02}"),
        label="Spring campaign",
        tags=("spring", "de"),
        batch="spring-launch",
        tracking=Tracking.FINISHED if ended else Tracking.ACTIVE,
        state=_STATES.get(event, State.SUCCEED),
        state_since=at,
        tracked_at=end - timedelta(minutes=6),
        episode=1,
        created_at=end - timedelta(minutes=6),
        started_at=end - timedelta(minutes=3, seconds=12),
        ended_at=end if ended else None,
        reported_at=end,
        duration=65.0 if has_video else None,
        asset=Asset(
            asset_id="a1b2c3" if has_video else None,
            asset_name=f"Interview, take {number}",
            preview_url=_signed(f"take{number}.mp4", until) if has_video else None,
            cover_url=_signed(f"take{number}.png", until) if has_video else None,
        ),
        links_at=end,
        error_code="MSS.10031004" if event is Event.FAILED else None,
        error_msg="The script is longer than the voice allows." if event is Event.FAILED else None,
        polls=9,
        last_polled_at=at,
        next_poll_at=None,
        last_error=None,
        link_until=until if has_video else None,
    )


def _signed(file: str, until: datetime) -> str:
    """A link as signed by object storage (see the API document's example answer)."""
    return (
        f"https://metastudio.example.com/videos/{file}?AccessKeyId=EXAMPLE&Expires={int(until.timestamp())}"
        "&Signature=zVGMVbI5ji9rr8epD1Cir5OGIRk%3D"
    )


def _delivery(
    event: Event, at: datetime, *, facts: Mapping[str, Json], job: JobRow | None = None, number: int = 1
) -> DeliveryRow:
    return DeliveryRow(
        id=100 + number,
        key=f"example/{number}/{event}",
        channel=_CHANNEL,
        event=event,
        job=job.id if job is not None else None,
        project=_PROJECT if event is not Event.CHANNEL_HELD else None,
        transition=None,
        facts=facts,
        status=DeliveryStatus.SENDING,
        due_at=at,
        created_at=at,
        sent_at=None,
        attempts=1,
        possible_repeat=False,
        last_error=None,
    )


def _batch(now: datetime) -> Claimed:
    at = now - timedelta(seconds=10)
    failed = "The script is longer than the voice allows."
    facts: dict[str, Json] = {
        "batch": "spring-launch",
        "jobs": 50,
        "succeeded": 48,
        "partial": 0,
        "failed": 2,
        "canceled": 0,
        "lost": 0,
        "expired": 0,
        "stopped": 0,
        "failures": [
            {"job_id": f"job-{number}", "name": f"Interview, take {number}", "event": "failed", "error": failed}
            for number in (7, 31)
        ],
        "began": (at - 2 * _HOUR).isoformat(),
        "ended": at.isoformat(),
        "observed_at": at.isoformat(),
    }
    delivery = _delivery(Event.BATCH_FINISHED, at, facts=facts)
    return Claimed(delivery=delivery, job=None, move=None, attempt=1)


_OPERATORS: Mapping[Event, Mapping[str, Json]] = {
    Event.PROJECT_DOWN: {"reason": "no whole answer within 15 s"},
    Event.PROJECT_RECOVERED: {},
    Event.AUTH_FAILED: {"reason": "the service refuses the credentials; HTTP 401; APIG.0301"},
    Event.CHANNEL_HELD: {
        "channel": "studio",
        "reason": "HTTP 401: the service refuses the channel's token or key",
    },
    Event.UNKNOWN_STATE: {"state": "THAWING", "job_id": "26f06524-4f75-4b3a-a853-b649a21aae01"},
    Event.OVERLOADED: {"late_seconds": 75.0, "jobs": 90000},
    Event.DELIVERY_DEAD: {
        "channel": "studio",
        "reason": "HTTP 413: the message is too long",
        "deliveries": 3,
    },
    Event.UNCONFIRMED: {"jobs": 3, "job_id": "26f06524-4f75-4b3a-a853-b649a21aae01"},
    Event.CONFIG_REFUSED: {
        "reason": "/etc/wrapd/config.toml: channels.studio.digest_abov: there is no such key; did you mean "
        "'digest_above'?",
    },
    Event.ORPHANED: {
        "project": "studio-2025",
        "jobs": 12,
        "command": move_command("project", "studio-2025", ["main"]),
    },
    Event.DEFECT: {
        "part": "watch",
        "reason": "KeyError (daemon/watch/answers.py:120)",
        "job_id": "26f06524-4f75-4b3a-a853-b649a21aae01",
    },
}


def _operator(event: Event, now: datetime) -> Claimed:
    at = now - timedelta(seconds=3)
    delivery = _delivery(event, at, facts={**_OPERATORS[event], "observed_at": at.isoformat()})
    return Claimed(delivery=delivery, job=None, move=None, attempt=1)


def _partial(now: datetime) -> tuple[Claimed, ...]:
    return (_of_job(Event.SUCCEEDED, now, kind="picture_modeling", state=State.PARTIAL_SUCCEED),)


def _late(now: datetime) -> tuple[Claimed, ...]:
    """A video that finished four and a half hours ago, while the chat was unreachable."""
    claimed = _of_job(Event.SUCCEEDED, now - timedelta(hours=4, minutes=28))
    return (replace(claimed, delivery=replace(claimed.delivery, attempts=9), attempt=9),)


def _quiet(now: datetime) -> tuple[Claimed, ...]:
    claimed = _of_job(Event.SUCCEEDED, now - 5 * _HOUR)
    return (replace(claimed, delivery=replace(claimed.delivery, held_until=now)),)


def _muted(now: datetime) -> tuple[Claimed, ...]:
    claimed = _of_job(Event.SUCCEEDED, now - 2 * _HOUR)
    return (replace(claimed, delivery=replace(claimed.delivery, unmuted_at=now)),)


def _repeat(now: datetime) -> tuple[Claimed, ...]:
    claimed = _of_job(Event.SUCCEEDED, now)
    return (replace(claimed, delivery=replace(claimed.delivery, possible_repeat=True)),)


def _diverted(now: datetime) -> tuple[Claimed, ...]:
    claimed = _of_job(Event.SUCCEEDED, now)
    facts = {**claimed.delivery.facts, "diverted_from": "studio"}
    return (replace(claimed, delivery=replace(claimed.delivery, facts=facts)),)


def _resent(now: datetime) -> tuple[Claimed, ...]:
    """A video that finished and was reported two hours ago."""
    claimed = _of_job(Event.SUCCEEDED, now - 2 * _HOUR)
    facts = {**claimed.delivery.facts, "resent_from": 1, "first_sent_at": (now - 2 * _HOUR).isoformat()}
    return (replace(claimed, delivery=replace(claimed.delivery, created_at=now, facts=facts)),)


def _hostile(now: datetime) -> tuple[Claimed, ...]:
    claimed = _of_job(Event.FAILED, now, label=HOSTILE_NAME, batch=HOSTILE_NAME, error_msg=HOSTILE_NAME)
    assert claimed.job is not None
    asset = dataclasses.replace(claimed.job.asset, asset_name=HOSTILE_NAME)
    return (replace(claimed, job=claimed.job._replace(asset=asset)),)


def _digest(now: datetime) -> tuple[Claimed, ...]:
    """Twelve that finished and two that failed within a minute."""
    found = []
    for number in range(1, 15):
        event = Event.FAILED if number in {5, 9} else Event.SUCCEEDED
        found.append(_of_job(event, now - timedelta(seconds=60 - 4 * number), number=number))
    return tuple(found)


EXAMPLES: Mapping[str, Made] = {
    **{event.value: _single(event) for event in Event},
    "partial": _partial,
    "late": _late,
    "quiet": _quiet,
    "muted": _muted,
    "repeat": _repeat,
    "diverted": _diverted,
    "resent": _resent,
    "hostile": _hostile,
    "digest": _digest,
}
"""Every example by name: each event, then the special cases. Called with the time of sending."""


class Preview(Struct, frozen=True, kw_only=True):
    """What a channel would get for one example, in plain JSON values.

    `template` is the operator's file, `fault` why it is not used; `title`, `body` and `markup` are the plain
    form; `card` is what is posted instead; `facts` are the additional fields for programs.
    """

    example: str
    event: str
    template: str | None
    fault: str | None
    title: str
    body: str
    markup: str
    card: Mapping[str, Any] | None
    facts: Mapping[str, Any] | None


def previews(
    channel: Channel, names: Sequence[str], *, now: datetime, link: Callable[[str], str] | None
) -> list[Preview]:
    """One preview for each example. `link` turns a token into wrapd's own link; None: messages carry the
    service's links."""
    return [_preview(channel, name, now=now, link=link) for name in names]


def _preview(channel: Channel, name: str, *, now: datetime, link: Callable[[str], str] | None) -> Preview:
    claimed = example(name, now=now)
    links = (
        {}
        if link is None
        else {each.job.id: link(f"EXAMPLE-{each.job.id}") for each in claimed if each.job is not None}
    )
    message = compose_digest(
        claimed, MessageContext(zone=channel.zone, now=now, language=channel.language, links=links)
    )
    fault, template = None, None
    if channel.templates is not None:
        made = channel.templates.attempt(message, channel.service)
        fault = made.reason if isinstance(made, TemplateFault) else None
        path = channel.templates.path(message.event)
        template = None if path is None else str(path)
    written = channel.write(message)
    return Preview(
        example=name,
        event=message.event,
        template=template,
        fault=fault,
        title=written.text.title,
        body=written.text.body,
        markup=str(written.text.markup),
        card=written.card,
        facts=dict(message.facts) if channel.service.machine else None,
    )
