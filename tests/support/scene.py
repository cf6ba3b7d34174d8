"""Jobs of every state with covers, alerts and notes, for the pages to show."""

import io
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from PIL import Image, ImageDraw

from daemon.commands import set_note
from daemon.domain.actions import Actor
from daemon.domain.jobs import Asset, JobId, Observation
from daemon.domain.text import word
from daemon.domain.transitions import Moved
from daemon.store import AttemptOutcome, Outcome, PictureRow, ThumbnailRow, TrackRequest, Transaction
from tests.support.store import BOTH, A, B
from tests.support.web import MAIN, NOW, Desk, learned

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


def picture(number: int) -> bytes:
    """A small picture that looks like no other."""
    rng = random.Random(number)
    made = Image.new("RGB", (320, 180), tuple(rng.randrange(40, 200) for _ in range(3)))
    draw = ImageDraw.Draw(made)
    for _ in range(5):
        x, y, size = rng.randrange(320), rng.randrange(180), rng.randrange(20, 90)
        draw.ellipse(
            (x - size, y - size, x + size, y + size), fill=tuple(rng.randrange(40, 255) for _ in range(3))
        )
    into = io.BytesIO()
    made.save(into, "WEBP")
    return into.getvalue()


def fill(
    it: Desk, names: Sequence[str] = NAMES, *, foreign: Sequence[str] = (), url: str = "https://v.example/a.mp4"
) -> None:
    """Track a job of each name; wherever else people and the service can put a text, there is its
    `foreign` one, and `url` wherever there is a link."""
    it.durations = learned(seconds=600.0)
    it.store.write_now(lambda tx: _fill(tx, names, foreign, url))


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


def _fill(tx: Transaction, names: Sequence[str], texts: Sequence[str], url: str) -> None:
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
        _move(tx, job, None, "WAITING", at)
        state = STATES[number % len(STATES)]
        if state != "WAITING":
            _move(tx, job, "WAITING", "PROCESSING", at + timedelta(minutes=1))
        if state not in ("WAITING", "PROCESSING"):
            _move(
                tx,
                job,
                "PROCESSING",
                state,
                at + timedelta(minutes=7),
                name=foreign or name,
                foreign=foreign,
                url=url,
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
    name: str = "",
    foreign: str = "",
    url: str = "",
) -> None:
    failed = after == "FAILED"
    asset = Asset(
        asset_name=name or None, cover_url=url or None, preview_url=url or None, download_url=url or None
    )
    seen = Observation(
        state=after,
        asset=Asset() if failed else asset,
        created_at=at - timedelta(minutes=1),
        started_at=None if after == "WAITING" else at,
        duration=None if failed or not url else 93.0,
        error_code="MSS.0042" if failed else None,
        error_msg=(foreign or "the avatar's licence has ended") if failed else None,
    )
    moved = Moved(before=before, after=after, observed_at=at, reported_at=at - timedelta(seconds=20))
    tx.jobs.record_move(job, moved, seen, routing=BOTH, due_at=at)


def tag(foreign: str, usual: str) -> str:
    """A foreign text as a tag or batch, which are short."""
    try:
        return word(foreign[:60])
    except ValueError:
        return usual
