"""Covers: what is fetched, from where, how often, and what is stored."""

import asyncio
import dataclasses
import io
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from daemon.addresses import Reach
from daemon.clock import ManualClock
from daemon.domain.jobs import Asset, ProjectName
from daemon.notify.message import picture_size, picture_type
from daemon.notify.outbox.pictures import MOST_BYTES, MOST_DECODED, MOST_SIDE, Covers, PictureSource, thumbnail
from daemon.store import JobRow, PictureRow, Store, ThumbnailRow, Transaction
from tests.support import background
from tests.support.store import NOW, PROJECT, SILENT, later, open_store, record, track, url_of
from tests.support.webhook import Answer, Webhook

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 200
PATIENCE = 60.0


class Set:
    """A store, its pictures, and the server that has them."""

    def __init__(self, store: Store, clock: ManualClock, server: Webhook) -> None:
        self.store, self.clock, self.server = store, clock, server
        endpoint = f"http://{server.address}"
        self.pictures = self.having({PROJECT: PictureSource(endpoint=endpoint)})

    def having(self, sources: Mapping[ProjectName, PictureSource], **more: Any) -> Covers:
        self.tasks = background.tasks("pictures", self.clock)
        return Covers(sources, self.store, self.clock, tasks=self.tasks, **{"environ": {}} | more)

    def ended(self, cover: str | None, *, name: str = "job-1") -> JobRow:
        def work(tx: object) -> JobRow | None:
            row = track(tx, name)  # type: ignore[arg-type]
            record(tx, row, "SUCCEED", routes=SILENT, asset=Asset(cover_url=cover))  # type: ignore[arg-type]
            return tx.jobs.get(row)  # type: ignore[attr-defined, no-any-return]

        found = self.store.write_now(work)
        assert found is not None
        return found

    def url(self, query: str = "") -> str:
        return f"http://{self.server.address}/cover.png{query}"

    def thumbnail(self, job: JobRow) -> ThumbnailRow | None:
        return self.store.read(lambda tx: tx.pictures.thumbnail(job.id))

    def stored(self, job: JobRow) -> PictureRow | None:
        return self.store.read(lambda tx: tx.pictures.get(job.id))


@asynccontextmanager
async def a_set(folder: Path) -> AsyncIterator[Set]:
    clock = ManualClock(NOW)
    store = Store.open(url_of(folder / "wrapd.db"), clock=clock, daemon=True)
    with Webhook(default=Answer(body=PNG)) as server:
        one = Set(store, clock, server)
        try:
            yield one
        finally:
            await one.pictures.stop()
            store.close()


async def test_a_cover_is_fetched_once_and_kept(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        job = one.ended(one.url("?Expires=1900000000&Signature=s"))
        covers = await asyncio.gather(*(one.pictures.cover_of(job, patience=PATIENCE) for _ in range(5)))
        assert {cover.data for cover in covers if cover is not None} == {PNG}
        assert covers[0] is not None
        assert (covers[0].content_type, covers[0].url) == ("image/png", None)  # loopback cannot be shared
        afresh = one.having({})
        assert await afresh.cover_of(job, patience=PATIENCE) == covers[0]
        (request,) = one.server.requests
        assert (request.method, request.path) == ("GET", "/cover.png?Expires=1900000000&Signature=s")
        assert request.headers["host"] == one.server.address


async def test_it_begins_with_the_end(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        job = one.ended(one.url())
        one.pictures.begin(job.id)
        one.pictures.begin(one.ended(None, name="job-2").id)
        await asyncio.to_thread(one.server.wait_for, 1)
        assert await one.pictures.cover_of(job, patience=PATIENCE) is not None
        assert len(one.server.requests) == 1


async def test_a_job_without_a_cover_asks_nobody(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        assert await one.pictures.cover_of(one.ended(None), patience=PATIENCE) is None
        assert one.server.requests == []


async def test_a_dead_link_is_not_followed_and_a_fresh_one_is(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        dead = int((NOW - timedelta(seconds=1)).timestamp())
        job = one.ended(one.url(f"?Expires={dead}"))
        assert await one.pictures.cover_of(job, patience=PATIENCE) is None
        assert one.server.requests == []
        assert one.stored(job) is None
        one.store.write_now(lambda tx: tx.jobs.set_links(job.id, Asset(cover_url=one.url("?n=2")), at=NOW))
        fresh = one.store.read(lambda tx: tx.jobs.get(job.id))
        assert fresh is not None
        assert await one.pictures.cover_of(fresh, patience=PATIENCE) is not None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(status=403), "403"),
        (Answer(body=b"<html>sign in</html>", headers={"Content-Type": "image/png"}), "not a JPEG"),
        (Answer(body=b""), "not a JPEG"),
        (Answer(body=b"\x89PNG\r\n\x1a\n" + b"x" * MOST_BYTES), "over 2097152 bytes"),
        (Answer(status=302, headers={"Location": "http://127.0.0.1:9/elsewhere.png"}), "another server"),
        (Answer(status=302, headers={"Location": "//h.example.com/x.png"}), "another server"),
        (Answer(status=302, headers={"Location": "/cover.png"}), "more than 3"),
        (Answer(reset=True), "broke"),
        (Answer(body=PNG, cut=True), "broke"),
    ],
)
async def test_what_is_no_picture_is_kept_as_none_and_not_asked_for_again(
    tmp_path: Path, answer: Answer, why: str
) -> None:
    async with a_set(tmp_path) as one:
        one.server.default = answer
        job = one.ended(one.url())
        assert await one.pictures.cover_of(job, patience=PATIENCE) is None
        row = one.stored(job)
        assert row is not None
        assert row.data is None
        assert why in (row.error or "")
        asked = len(one.server.requests)
        one.server.default = Answer(body=PNG)
        assert await one.pictures.cover_of(job, patience=PATIENCE) is None
        assert len(one.server.requests) == asked


async def test_a_redirect_on_the_same_server_is_followed(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        one.server.program(Answer(status=302, headers={"Location": "/b.png?Signature=t"}))
        cover = await one.pictures.cover_of(one.ended(one.url()), patience=PATIENCE)
        assert cover is not None
        assert one.server.requests[1].path == "/b.png?Signature=t"


async def test_a_failure_is_tried_again_by_another_link_after_a_while(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        one.server.program(Answer(status=500))
        job = one.ended(one.url("?n=1"))
        assert await one.pictures.cover_of(job, patience=PATIENCE) is None
        one.store.write_now(lambda tx: tx.jobs.set_links(job.id, Asset(cover_url=one.url("?n=2")), at=NOW))
        fresh = one.store.read(lambda tx: tx.jobs.get(job.id))
        assert fresh is not None
        assert await one.pictures.cover_of(fresh, patience=PATIENCE) is None
        one.clock.advance(601)
        assert await one.pictures.cover_of(fresh, patience=PATIENCE) is not None
        assert one.stored(job) is not None


async def test_a_picture_that_hangs_is_not_waited_for_and_is_there_later(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        one.server.program(Answer(body=PNG, drip=0.002))
        job = one.ended(one.url())
        assert await one.pictures.cover_of(job, patience=0.01) is None
        assert await one.pictures.cover_of(job, patience=PATIENCE) is not None
        assert len(one.server.requests) == 1


async def test_a_job_that_is_gone_meanwhile_is_no_fault(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        job = one.ended(one.url())
        gone = job._replace(id=999)
        assert await one.pictures.cover_of(gone, patience=PATIENCE) is not None


@pytest.mark.parametrize(
    ("url", "endpoint", "may"),
    [
        ("https://bucket.obs.example.com/c.png", "https://metastudio.example.com", True),
        ("http://bucket.obs.example.com/c.png", "https://metastudio.example.com", False),
        ("https://{endpoint}/c.png", "https://metastudio.example.com", True),  # as the document writes it
        ("https://10.0.0.7/c.png", "https://metastudio.example.com", False),
        ("https://169.254.169.254/latest", "https://metastudio.example.com", False),
        ("https://[::1]/c.png", "https://metastudio.example.com", False),
        ("https://localhost/c.png", "https://metastudio.example.com", False),
        ("https://user:word@bucket.example.com/c.png", "https://metastudio.example.com", False),
        ("https://10.0.0.7:8443/c.png", "https://10.0.0.7:8443", True),
        ("https://10.0.0.8:8443/c.png", "https://10.0.0.7:8443", False),
        ("http://127.0.0.1:81/c.png", "http://127.0.0.1:80", True),
        ("http://127.0.0.1:81/c.png", "https://metastudio.example.com", False),
        ("ftp://bucket.example.com/c.png", "https://metastudio.example.com", False),
        ("file:///etc/passwd", "http://127.0.0.1:80", False),
        ("https://bücket.example.com/c.png", "https://metastudio.example.com", False),
        ("https://host:99999/c.png", "https://metastudio.example.com", False),
        ("", "https://metastudio.example.com", False),
    ],
)
def test_who_may_be_asked(url: str, endpoint: str, may: bool) -> None:
    assert (PictureSource(endpoint=endpoint).reach(url) is not None) is may


async def test_an_address_that_may_not_be_asked_is_not(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        one.pictures = one.having({PROJECT: PictureSource(endpoint="https://metastudio.example.com")})
        job = one.ended(one.url())
        assert await one.pictures.cover_of(job, patience=PATIENCE) is None
        assert one.server.requests == []
        row = one.stored(job)
        assert row is not None
        assert "its link is not https" in (row.error or "")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xff\xd8\xff\xe0abc", "image/jpeg"),
        (PNG, "image/png"),
        (b"GIF87a..", "image/gif"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"XXXX\x10\x00\x00\x00WEBPVP8 ", None),
        (b"<svg onload=x()>", None),
        (b"BM......", None),
        (b"", None),
    ],
)
def test_a_picture_is_known_by_its_content(data: bytes, kind: str | None) -> None:
    assert picture_type(data) == kind


HUGE = (60_000).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("data", "pixels"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + HUGE + HUGE, 3_600_000_000),
        (b"GIF89a\xff\xff\xff\xff", 65535 * 65535),
        (b"RIFF\x10\x00\x00\x00WEBPVP8X" + b"\n\x00\x00\x00" + bytes(4) + b"\xff" * 6, 2**48),
        (b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08\x04\x38\x07\x80", 1080 * 1920),
        (b"\xff\xd8\xff\xe0\xff\xff", None),
        (b"\xff\xd8\xff\xe0\x00\x00", None),
        (PNG, None),
        (b"", None),
    ],
)
def test_how_many_pixels_a_picture_says_it_has(data: bytes, pixels: int | None) -> None:
    size = picture_size(data)
    assert (None if size is None else size[0] * size[1]) == pixels


async def test_a_small_file_with_very_many_pixels_is_no_cover(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        one.server.default = Answer(body=b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + HUGE + HUGE)
        job = one.ended(one.url())
        assert await one.pictures.cover_of(job, patience=PATIENCE) is None
        row = one.stored(job)
        assert row is not None
        assert "3600000000 pixels" in (row.error or "")


@pytest.mark.parametrize(
    "url",
    [
        "https://[::1",
        "https://[x]/c.png",
        "http://h:99999/",
        "//",
        "https://",
        "https://a b/",
        "https://xn--\ud800/",
    ],
)
async def test_no_link_costs_a_message(tmp_path: Path, url: str) -> None:
    """`cover_of` is called while an alert waits: whatever the link, the alert is sent."""
    async with a_set(tmp_path) as one:
        job = one.ended("https://cover.invalid/c.png")
        job = job._replace(asset=dataclasses.replace(job.asset, cover_url=url))
        assert await one.pictures.cover_of(job, patience=PATIENCE) is None


async def test_an_error_that_nobody_foresaw_costs_no_message_and_is_counted(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:

        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError("a bug")

        pictures = one.having({PROJECT: PictureSource(endpoint=f"http://{one.server.address}")}, fetch=broken)
        job = one.ended(one.url())
        assert await pictures.cover_of(job, patience=PATIENCE) is None
        pictures.begin(job.id)
        await pictures.stop()


async def test_a_proxy_that_cannot_be_used_costs_no_message(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        source = PictureSource(endpoint="https://metastudio.example.com")
        pictures = one.having({PROJECT: source}, environ={"https_proxy": "socks5://127.0.0.1:1"})
        job = one.ended("https://cover.invalid/c.png")
        assert await pictures.cover_of(job, patience=PATIENCE) is None
        row = one.stored(job)
        assert row is not None
        assert "socks5" in (row.error or "")


def names_of_this_machine() -> list[str]:
    return ["0x7f000001", "127.1", "0177.0.0.1", "2130706433", "localhost.", "LOCALHOST", socket.gethostname()]


@pytest.mark.parametrize("host", names_of_this_machine())
@pytest.mark.parametrize("behind_a_proxy", [False, True])
async def test_no_name_leads_a_fetch_to_this_machine(tmp_path: Path, host: str, *, behind_a_proxy: bool) -> None:
    async with a_set(tmp_path) as one:
        source = PictureSource(
            endpoint="https://metastudio.example.com",
            proxy=f"http://{one.server.address}" if behind_a_proxy else None,
        )
        one.pictures = one.having({PROJECT: source})
        job = one.ended(f"https://{host}:{one.server.port}/c.png")
        assert await one.pictures.cover_of(job, patience=PATIENCE) is None
        assert one.server.connections == 0
        row = one.stored(job)
        assert row is not None
        said = row.error or ""
        unknown = "cannot be used" in said or "cannot be resolved" in said  # some systems know fewer forms
        assert "this machine or its network" in said or (unknown and host not in ("LOCALHOST", "0x7f000001"))


async def test_a_name_that_leads_elsewhere_at_the_next_look_is_judged_where_it_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the address judged is the one connected to."""
    async with a_set(tmp_path) as one:
        asked: list[str] = []
        loop = asyncio.get_running_loop()
        original = loop.getaddrinfo

        async def rebinding(host: str, port: int, **more: Any) -> Any:
            asked.append(host)
            return await original("127.0.0.1", port, **more)

        monkeypatch.setattr(loop, "getaddrinfo", rebinding)
        one.pictures = one.having({PROJECT: PictureSource(endpoint="https://metastudio.example.com")})
        job = one.ended(f"https://cover.example.com:{one.server.port}/c.png")
        assert await one.pictures.cover_of(job, patience=PATIENCE) is None
        assert asked == ["cover.example.com"]
        assert one.server.connections == 0


@pytest.mark.parametrize(
    ("url", "endpoint", "reach"),
    [
        (
            "https://b.obs.cn-north-4.myhuaweicloud.com/c",
            "https://m.cn-north-4.myhuaweicloud.com",
            Reach.CLOUD,
        ),
        ("https://b.obs.example.com/c", "https://m.cn-north-4.myhuaweicloud.com", Reach.OUTSIDE),
        ("https://myhuaweicloud.com.example.com/c", "https://m.myhuaweicloud.com", Reach.OUTSIDE),
        ("https://b.myhuaweicloud.com/c", "https://api.example.com", Reach.OUTSIDE),
        ("http://127.0.0.1:80/c", "http://127.0.0.1:9", Reach.ANY),
        ("https://10.0.0.7/c", "https://10.0.0.7", Reach.ANY),
    ],
)
def test_how_far_a_link_may_lead(url: str, endpoint: str, reach: Reach) -> None:
    assert PictureSource(endpoint=endpoint).reach(url) is reach


_TURNED = (
    b"Exif\0\0MM\0*\0\0\0\x08\0\x01"  # one entry:
    b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"  # orientation 6
    b"\0\0\0\0"
)


def a_picture(kind: str, size: tuple[int, int], mode: str = "RGB", **more: Any) -> bytes:
    written = io.BytesIO()
    Image.new(mode, size).save(written, kind, **more)
    return written.getvalue()


@pytest.mark.parametrize(
    ("picture", "size"),
    [
        (("JPEG", (1920, 1080)), (320, 180)),
        (("PNG", (1080, 1920)), (180, 320)),
        (("PNG", (64, 64), "P"), (64, 64)),
        (("PNG", (640, 640), "RGBA"), (320, 320)),
        (("GIF", (640, 10)), (320, 5)),
        (("WEBP", (640, 320)), (320, 160)),
        (("JPEG", (640, 320), "CMYK"), (320, 160)),
        (("JPEG", (8000, 4000)), (320, 160)),  # decoded at an eighth
    ],
)
def test_a_thumbnail_is_small_and_upright(picture: tuple[Any, ...], size: tuple[int, int]) -> None:
    _has_a_thumbnail(a_picture(*picture), size)


def test_a_thumbnail_is_turned_as_the_picture_says() -> None:
    _has_a_thumbnail(a_picture("JPEG", (640, 320), exif=_TURNED), (160, 320))


def _has_a_thumbnail(data: bytes, size: tuple[int, int]) -> None:
    small = thumbnail(data)
    assert small is not None
    assert (small.width, small.height) == size
    with Image.open(io.BytesIO(small.data)) as read:
        assert (read.format, read.size) == ("WEBP", size)
    assert max(size) <= MOST_SIDE


@pytest.mark.parametrize("data", [PNG, b""])
def test_what_is_no_picture_has_no_thumbnail(data: bytes) -> None:
    assert thumbnail(data) is None


def test_what_cannot_be_scaled_has_no_thumbnail() -> None:
    assert thumbnail(a_picture("JPEG", (640, 320))[:700]) is None
    assert thumbnail(a_picture("BMP", (64, 64))) is None
    assert thumbnail(a_picture("PNG", (4001, MOST_DECODED // 4000), "1")) is None


async def test_a_cover_has_its_thumbnail(tmp_path: Path) -> None:
    async with a_set(tmp_path) as one:
        one.server.default = Answer(body=a_picture("JPEG", (1920, 1080)))
        job = one.ended(one.url())
        assert await one.pictures.cover_of(job, patience=PATIENCE) is not None
        await one.tasks.wait()
        small = one.thumbnail(job)
        assert small is not None
        assert (small.width, small.height) == (320, 180)


def test_the_oldest_covers_make_room_and_leave_their_thumbnails(tmp_path: Path) -> None:
    store = open_store(tmp_path)

    def fill(tx: Transaction) -> list[int]:
        jobs = [track(tx, f"job-{number}") for number in range(5)]
        for number, job in enumerate(jobs):
            tx.pictures.put(
                PictureRow(
                    job=job,
                    url="u",
                    content_type="image/png",
                    data=b"x" * 100,
                    fetched_at=later(number),
                    error=None,
                )
            )
            tx.pictures.put_thumbnail(ThumbnailRow(job=job, data=b"y", width=1, height=1))
        return jobs

    jobs = store.write_now(fill)
    assert store.write_now(lambda tx: tx.pictures.make_room(most=250, limit=2)) == 2
    assert store.write_now(lambda tx: tx.pictures.make_room(most=250, limit=2)) == 1
    assert store.write_now(lambda tx: tx.pictures.make_room(most=250, limit=2)) == 0
    left = [store.read(lambda tx, job=job: tx.pictures.get(job)) for job in jobs]  # type: ignore[misc]
    assert [row is not None and row.data is not None for row in left] == [False, False, False, True, True]
    assert left[0].error == "removed to make room for later covers"
    assert all(store.read(lambda tx, job=job: tx.pictures.thumbnail(job)) for job in jobs)  # type: ignore[misc]
    store.close()
