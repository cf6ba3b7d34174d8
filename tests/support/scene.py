"""Jobs of every state with covers, alerts and notes, for the pages to show."""

import functools
import io
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import quote

from PIL import Image

from daemon.commands import MuteWish, mute, pause, set_note
from daemon.domain.actions import Actor
from daemon.domain.events import Event, Json
from daemon.domain.jobs import Asset, JobId, Observation
from daemon.domain.mutes import MuteScope
from daemon.domain.routing import Routing
from daemon.domain.text import clean, word
from daemon.domain.transitions import Moved
from daemon.sim.files import cover_png
from daemon.store import (
    AttemptOutcome,
    Outcome,
    PictureRow,
    ThumbnailRow,
    TrackRequest,
    Transaction,
)
from tests.support.everywhere import Names
from tests.support.store import BOTH, A, B
from tests.support.web import MAIN, NOW, OTHER, TOKEN, Desk, learned

WHO = Actor("cli:ann")
NAMES = (
    "Opening words",
    "Portrait of Ada",
    "Price list, spoken",
    "春节祝福",
    "The frozen one",
    "Safety briefing",
    "Greetings from Guiyang",
    "Quarterly figures",
    "How to return a parcel",
    "Interview, take 3",
    "产品介绍 第一集",
    "Product tour, chapter 2",
)
STATES = (
    "PROCESSING",
    "SUCCEED",
    "FAILED",
    "SUCCEED",
    "BLOCK",
    "SUCCEED",
    "PROCESSING",
    "WAITING",
    "SUCCEED",
    "CANCELED",
    "PROCESSING",
    "PARTIAL_SUCCEED",
)


@functools.cache
def picture(number: int) -> bytes:
    """A small cover that looks like no other."""
    into = io.BytesIO()
    Image.open(io.BytesIO(cover_png(number))).resize((320, 180)).save(into, "WEBP")
    return into.getvalue()


def fill(
    it: Desk,
    names: Sequence[str] = NAMES,
    *,
    foreign: Sequence[str] = (),
    url: str = "https://v.example/a.mp4",
    routing: Routing = BOTH,
) -> None:
    """Track a job of each name; wherever else people and the service can put a text, there is its
    `foreign` one, and `url` wherever there is a link."""
    it.durations = learned(seconds=600.0)
    it.store.write_now(lambda tx: _fill(tx, names, foreign, url, routing))


def deliver(it: Desk, *, reason: str = "HTTP 400: the address takes no JSON") -> None:
    """Try the alerts of the scene: channel A accepts two of them, refuses one for good and puts one off; the
    service of channel B refuses the channel. `reason` is what the services say."""
    it.store.write_now(lambda tx: _deliver(tx, reason))


def _deliver(tx: Transaction, reason: str) -> None:
    soon = NOW + timedelta(minutes=5)
    sent, retry, dead, held = (
        Outcome(kind=AttemptOutcome.SENT, reason="accepted", status_code=200),
        Outcome(kind=AttemptOutcome.RETRY, reason=reason, status_code=503, due_at=soon),
        Outcome(kind=AttemptOutcome.DEAD, reason=reason, status_code=400),
        Outcome(kind=AttemptOutcome.HELD, reason=reason, status_code=401, due_at=soon),
    )
    for channel, outcome in ((A, sent), (A, sent), (A, dead), (A, retry), (B, held)):
        claimed = tx.outbox.claim(channel, now=NOW)
        assert claimed is not None
        tx.outbox.finish(claimed, outcome, at=NOW)


def give_up(it: Desk, reasons: Sequence[str]) -> None:
    """Have the next alerts of channel A refused for good, each for one of these reasons."""
    it.store.write_now(lambda tx: _give_up(tx, reasons))


def _give_up(tx: Transaction, reasons: Sequence[str]) -> None:
    for reason in reasons:
        claimed = tx.outbox.claim(A, now=NOW)
        assert claimed is not None
        outcome = Outcome(kind=AttemptOutcome.DEAD, reason=reason or "x", status_code=400)
        tx.outbox.finish(claimed, outcome, at=NOW)


def _fill(tx: Transaction, names: Sequence[str], texts: Sequence[str], url: str, routing: Routing) -> None:
    for number, name in enumerate(names):
        foreign = texts[number] if texts else ""
        job_id = JobId(f"{number:032x}")
        tags = (tag(foreign, f"t{number}"),) if foreign else ("spring", "retail")[: number % 3]
        wanted = TrackRequest(
            project=MAIN,
            kind="avatar",
            job_id=job_id,
            label=name or None,
            tags=tags,
            batch=tag(foreign, "Spring campaign"),
        )
        at = NOW - timedelta(minutes=9 + number)
        tx.jobs.track(wanted, at=at)
        job = tx.jobs.find(job_id, MAIN)[0].id
        _move(tx, job, None, "WAITING", at, born=at, routing=routing)
        state = STATES[number % len(STATES)]
        if state != "WAITING":
            _move(tx, job, "WAITING", "PROCESSING", at + timedelta(minutes=1), born=at, routing=routing)
        if state not in ("WAITING", "PROCESSING"):
            _move(
                tx,
                job,
                "PROCESSING",
                state,
                at + timedelta(minutes=7),
                born=at,
                name=foreign or name,
                foreign=foreign,
                url=url,
                routing=routing,
            )
        if state in ("SUCCEED", "PARTIAL_SUCCEED"):
            data = picture(number)
            tx.pictures.put(
                PictureRow(job=job, url=url, content_type="image/webp", data=data, fetched_at=at, error=None)
            )
            tx.pictures.put_thumbnail(ThumbnailRow(job=job, data=data, width=320, height=180))
        if foreign or number in (2, 7):
            set_note(tx, [job], (foreign or "retake, wrong logo")[:400].strip() or "x", who=WHO, at=NOW)


def _move(
    tx: Transaction,
    job: int,
    before: str | None,
    after: str,
    at: datetime,
    *,
    born: datetime | None = None,
    name: str = "",
    foreign: str = "",
    url: str = "",
    routing: Routing = BOTH,
) -> None:
    failed, born = after == "FAILED", born or at
    asset = Asset(
        asset_name=name or None, cover_url=url or None, preview_url=url or None, download_url=url or None
    )
    seen = Observation(
        state=after,
        asset=Asset() if failed else asset,
        created_at=born - timedelta(seconds=30),
        started_at=None if after == "WAITING" else born + timedelta(seconds=40),
        duration=None if failed or not url else 93.0,
        error_code="MSS.0042" if failed else None,
        error_msg=(foreign or "the avatar's licence has ended") if failed else None,
    )
    moved = Moved(before=before, after=after, observed_at=at, reported_at=at - timedelta(seconds=20))
    tx.jobs.record_move(job, moved, seen, routing=routing, due_at=at)


def tag(foreign: str, usual: str) -> str:
    """A foreign text as a tag or batch, which are short."""
    try:
        return word(foreign[:60])
    except ValueError:
        return usual


OWN_LINK = "a-link-of-wrapd-itself-32-chars-x"
FULL, SECOND = "Spring campaign", "Winter lookbook"
"""A batch of `fill`, and one of `trouble` that has ended."""


async def whole_scene(
    it: Desk, names: Sequence[str] = NAMES, *, foreign: Sequence[str] = (), url: str = "https://v.example/a.mp4"
) -> Names:
    """`fill`, and all that goes wrong besides: alerts given up, a refused channel, mutes, a paused project, jobs
    lost, expired and overdue, and a batch that ended. Returns samples of what there is."""
    fill(it, names, foreign=foreign, url=url)
    text = clean(" ".join(foreign))[:400].strip() if foreign else ""
    delivery = it.store.write_now(lambda tx: _trouble(tx, text))
    job = it.job(f"{1:032x}")
    share, cover = await share_of(it, job.batch or FULL)
    return Names(
        project=MAIN,
        job_id=job.job_id,
        batch=job.batch or FULL,
        channel=A,
        delivery=delivery,
        link=OWN_LINK,
        share=share,
        cover=cover,
    )


async def share_of(it: Desk, batch: str) -> tuple[str, str]:
    """The token of a share of a batch, and the number of a cover on its page."""
    path = f"/api/v1/batches/{MAIN}/{quote(batch, safe='')}/share"
    told = await it.ask("POST", path, token=TOKEN, body={})
    assert told.status == 200, told
    token = str(told.json()["url"]).rpartition("/")[2]
    page = (await it.ask("GET", f"/share/{token}")).body.decode()
    return token, re.findall(r'/cover/(\d+)"', page)[0]


_LONG_AGO = NOW - timedelta(hours=4)
WATCH: dict[str, Json] = {
    "up": True,
    "rate": 10.0,
    "usage": 0.18,
    "late_seconds": 1.4,
    "requests": {"feed": 2, "news": 14, "detail": 1},
    "feed": "trusted",
}
"""What the daemon reported last of the project."""


def _trouble(tx: Transaction, text: str) -> int:
    """Returns a delivery that was given up."""
    row = tx.jobs.find(JobId(f"{1:032x}"), MAIN)[0]
    tx.links.of_job(row.id, token=OWN_LINK, at=NOW, life=86400.0)
    for number, event in enumerate((Event.LOST, Event.EXPIRED)):
        tracked = NOW - timedelta(hours=25 if event is Event.EXPIRED else 4)
        job = _track(tx, f"lost-{number}", text or f"Autumn trailer, part {number + 1}", at=tracked)
        tx.jobs.record_end(job, event, at=NOW - timedelta(hours=1), routing=BOTH, reason=text or "HTTP 404")
    stuck = _track(tx, "stuck", text or "Anniversary speech")
    _move(tx, stuck, None, "PROCESSING", NOW - timedelta(hours=3))
    tx.jobs.record_stuck(stuck, at=NOW - timedelta(hours=1), routing=BOTH)
    for number in range(3):
        job = _track(tx, f"ended-{number}", text or f"Lookbook, page {number + 1}", batch=tag(text, SECOND))
        _move(tx, job, None, "SUCCEED" if number else "FAILED", NOW - timedelta(hours=2), name=text or "Lookbook")
    given_up = [
        _attempt(tx, kind, text)
        for kind in (AttemptOutcome.SENT, AttemptOutcome.DEAD, AttemptOutcome.RETRY, AttemptOutcome.DEAD)
    ][-1]
    for scope, subject in (
        (MuteScope.JOB, f"{4:032x}"),
        (MuteScope.BATCH, tag(text, SECOND)),
        (MuteScope.TAG, "retail"),
    ):
        wish = MuteWish(
            scope=scope, subject=subject, lasts=timedelta(hours=4), comment=text or "known, being fixed"
        )
        mute(tx, wish, at=NOW, who=WHO)
    _attempt(tx, AttemptOutcome.HELD, text)  # now, since an alert that is muted does not hold its channel
    tx.statuses.set(MAIN, WATCH, NOW)
    pause(tx, OTHER, who=WHO, at=NOW, comment=text or "the account moves to another region")
    return given_up


def _track(tx: Transaction, name: str, label: str, *, batch: str | None = None, at: datetime = _LONG_AGO) -> int:
    job_id = JobId(name)
    wanted = TrackRequest(project=MAIN, kind="avatar", job_id=job_id, label=label[:200] or None, batch=batch)
    tx.jobs.track(wanted, at=at)
    return tx.jobs.find(job_id, MAIN)[0].id


def _attempt(tx: Transaction, kind: AttemptOutcome, text: str) -> int:
    """Send the next alert with this outcome: to channel B if it holds alerts from then on, else to A."""
    claimed = tx.outbox.claim(B if kind is AttemptOutcome.HELD else A, now=NOW)
    assert claimed is not None
    status, why = {
        AttemptOutcome.SENT: (200, "HTTP 200"),
        AttemptOutcome.RETRY: (503, "HTTP 503: the service is overloaded or down"),
        AttemptOutcome.DEAD: (400, "HTTP 400: the service does not understand the message"),
        AttemptOutcome.HELD: (401, "HTTP 401: the service refuses the channel's token or key"),
    }[kind]
    due = NOW + timedelta(minutes=5) if kind in (AttemptOutcome.RETRY, AttemptOutcome.HELD) else None
    outcome = Outcome(kind=kind, reason=text or why, status_code=status, due_at=due)
    tx.outbox.finish(claimed, outcome, at=NOW)
    return claimed.delivery.id
