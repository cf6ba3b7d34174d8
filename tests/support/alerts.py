"""Rows and messages for tests of alerts, built in memory with defaults for everything a test does not set."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from daemon.domain.events import Event, Json
from daemon.domain.jobs import Asset, ChannelName, JobId, ProjectName, Tracking
from daemon.notify.message import Field, Link, Message, Severity
from daemon.store import Claimed, DeliveryRow, DeliveryStatus, JobRow, TransitionRow

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""When the job's move was observed."""
COVER = (
    "https://{endpoint}/0d697589d98091f12f92c0073501cd79/942e65a5fd219a2e01fb08d881cfadb9/"
    "20d367508e62d3d4ad608cedbe81bd35.png?AccessKeyId=XCQKTA8IWQPCAUQS4SDA&Expires=1671241457"
    "&Signature=zVGMVbI5ji9rr8epD1Cir5OGIRk%3D"
)
"""The cover link of the API document's example answer."""

_JOB = JobRow(
    id=1,
    project=ProjectName("main"),
    kind="avatar",
    job_id=JobId("job-1"),
    label=None,
    tags=(),
    batch=None,
    tracking=Tracking.FINISHED,
    state="SUCCEED",
    state_since=AT,
    tracked_at=AT - timedelta(minutes=5),
    episode=1,
    created_at=None,
    started_at=None,
    ended_at=None,
    reported_at=None,
    duration=None,
    asset=Asset(),
    links_at=AT,
    error_code=None,
    error_msg=None,
    polls=3,
    last_polled_at=AT,
    next_poll_at=None,
    last_error=None,
)
_DELIVERY = DeliveryRow(
    id=7,
    key="job/1/succeeded",
    channel=ChannelName("editors"),
    event=Event.SUCCEEDED,
    job=1,
    project=ProjectName("main"),
    transition=3,
    facts={},
    status=DeliveryStatus.SENDING,
    due_at=AT,
    created_at=AT,
    sent_at=None,
    attempts=1,
    possible_repeat=False,
    last_error=None,
)
_MOVE = TransitionRow(id=3, job=1, seq=2, before="PROCESSING", after="SUCCEED", observed_at=AT, reported_at=None)


def job(**values: Any) -> JobRow:
    return _JOB._replace(**values)


def delivery(event: Event = Event.SUCCEEDED, **values: Any) -> DeliveryRow:
    return replace(_DELIVERY, event=event, **values)


def move(**values: Any) -> TransitionRow:
    return replace(_MOVE, **values)


def claimed(event: Event = Event.SUCCEEDED, *, of: JobRow | None = None, **values: Any) -> Claimed:
    """Return a claimed delivery about a job; `values` are the delivery's."""
    row = delivery(event, **values)
    return Claimed(delivery=row, job=of or job(), move=move(), attempt=row.attempts)


def operator(event: Event, facts: dict[str, Json], **values: Any) -> Claimed:
    row = delivery(event, job=None, transition=None, facts=facts, **values)
    return Claimed(delivery=row, job=None, move=None, attempt=row.attempts)


def message(name: str = "Launch film", **values: Any) -> Message:
    """Return the message of a finished job; `name` may be hostile."""
    whole = Message(
        event="succeeded",
        severity=Severity.GOOD,
        emoji="✅",
        title=f"Ready: {name}",
        headline=f"1 min 5 s of video, made for {name}.",
        subject="job job-1",
        fields=(Field(name="Batch", value=name), Field(name="Job", value="job-1")),
        links=(
            Link(name="Preview", url="https://h.example.com/a_b.mp4?Expires=1&Signature=x%3D", note="valid"),
            Link(name="Cover", url=COVER, note="was valid until 2022-12-17 01:44:17 UTC"),
        ),
        notes=("This may be a repeat.",),
    )
    return replace(whole, **values)


HOSTILE = (
    "*b* _i_ [x](http://evil.example) ![p](http://evil.example/p.png)",
    "<!channel> <!here> <@U123> <#C1>",
    "@everyone @here @all @channel",
    '<at user_id="all">all</at> <at id="all"></at>',
    '<a href="http://evil.example">k</a><script>x()</script><img src=x onerror=y>',
    "www.evil.example http://evil.example https://evil.example/a@everyone",
    "line\r\nBcc: victim@example.com\r\n\r\nbody",
    "\u202egnp.exe\u2066 \u200e\ufeff zero\u200bwidth",
    "lone \ud800 surrogate \udfff",
    "nul \x00 bell \x07 escape \x1b[31m red",
    "{{7*7}} ${PATH} %s {0} {endpoint}",
    "`code` ```block``` ~~s~~ ||spoiler|| # head\n> quote",
    "z" + "\u0301" * 300,
    "x" * 10_000,
    "视频 🎬 مرحبا",
)
"""Names that try to break out of a message."""
