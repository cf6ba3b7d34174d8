"""Covers, previews and downloads: real files under signed URLs that really expire."""

import struct
import zlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from daemon.clock import ManualClock
from daemon.sim import SimSettings, Simulator
from tests.support.sim import Raw, exchange, show, token_of


@pytest.fixture
async def sim():
    clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    async with Simulator(SimSettings(clock=clock, show_rate=None, link_life=600)) as sim:
        yield sim


def clock_of(sim: Simulator) -> ManualClock:
    assert isinstance(sim.settings.clock, ManualClock)
    return sim.settings.clock


async def fetch(sim: Simulator, url: str, *, method: str = "GET", **headers: str) -> Raw:
    parts = urlsplit(url)
    return await exchange(sim, method, f"{parts.path}?{parts.query}", headers=headers)


async def output(sim: Simulator, kind: str = "photo") -> dict[str, Any]:
    [job_id] = sim.create_jobs(kind=kind, timeline=[("SUCCEED", None)])
    segment = "2d" if kind == "avatar" else "photo"
    config = (await show(sim, job_id, kind=segment)).json()["output_asset_config"]
    assert isinstance(config, dict)
    return config


def pixels(png: bytes) -> tuple[int, int, bytes]:
    """Return width, height and the inflated rows of a PNG with valid checksums."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        data = png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    return width, height, zlib.decompress(chunks[b"IDAT"])


async def test_a_cover_is_a_real_picture_of_its_own(sim: Simulator) -> None:
    first, second = await output(sim), await output(sim)
    one, two = await fetch(sim, first["cover_url"]), await fetch(sim, second["cover_url"])
    assert (one.status, one.headers["content-type"]) == (200, "image/png")
    width, height, rows = pixels(one.body)
    assert len(rows) == height * (1 + 3 * width)
    assert one.body != two.body


async def test_preview_and_download_are_videos(sim: Simulator) -> None:
    config = await output(sim)
    preview = await fetch(sim, config["preview_video_url"])
    assert (preview.status, preview.headers["content-type"]) == (200, "video/mp4")
    kinds, at = [], 0
    while at < len(preview.body):
        length, kind = struct.unpack(">I4s", preview.body[at : at + 8])
        kinds.append(kind)
        at += length
    assert kinds == [b"ftyp", b"moov", b"mdat"]
    assert at == len(preview.body)
    asset = await exchange(
        sim, "GET", f"/v1/{sim.settings.project_id}/digital-assets/{config['asset_id']}", headers=token_of(sim)
    )
    [main] = [file for file in asset.json()["files"] if file["asset_file_category"] == "MAIN"]
    download = await fetch(sim, main["download_url"])
    assert len(download.body) == main["file_size"]
    part = await fetch(sim, main["download_url"], Range="bytes=4-7")
    assert (part.status, part.body) == (206, b"ftyp")
    assert part.headers["content-range"] == f"bytes 4-7/{main['file_size']}"


async def test_links_expire_and_a_new_answer_has_new_ones(sim: Simulator) -> None:
    [job_id] = sim.create_jobs(timeline=[("SUCCEED", None)])
    first = (await show(sim, job_id)).json()["output_asset_config"]["cover_url"]
    clock_of(sim).advance(599)
    assert (await fetch(sim, first)).status == 200
    clock_of(sim).advance(1)
    raw = await fetch(sim, first)
    assert (raw.status, raw.headers["content-type"]) == (403, "application/xml")
    assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in raw.body
    second = (await show(sim, job_id)).json()["output_asset_config"]["cover_url"]
    assert (await fetch(sim, second)).status == 200


async def test_speed_does_not_shorten_links() -> None:
    clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    async with Simulator(SimSettings(clock=clock, speed=1000)) as sim:
        url = (await output(sim))["preview_video_url"]
        clock.advance(86_399)
        assert (await fetch(sim, url)).status == 200
        clock.advance(1)
        assert (await fetch(sim, url)).status == 403


async def test_a_changed_link_is_refused(sim: Simulator) -> None:
    url = (await output(sim))["cover_url"]
    base, _, query = url.partition("?")
    expires = query.partition("Expires=")[2].partition("&")[0]
    for changed, code in (
        (url.replace(expires, str(int(expires) + 1)), b"SignatureDoesNotMatch"),
        (url.replace("cover.png", "video.mp4"), b"SignatureDoesNotMatch"),
        (url[:-4], b"SignatureDoesNotMatch"),
        (url.replace("AccessKeyId=", "AccessKeyId=X"), b"SignatureDoesNotMatch"),
        (base + "?Expires=" + expires, b"AccessDenied"),
    ):
        raw = await fetch(sim, changed)
        assert raw.status == 403
        assert code in raw.body
    assert (await fetch(sim, url, method="HEAD")).status == 403  # a link is signed for GET


async def test_files_go_with_their_job(sim: Simulator) -> None:
    [job_id] = sim.create_jobs(timeline=[("SUCCEED", None)])
    config = (await show(sim, job_id)).json()["output_asset_config"]
    sim.remove_job(job_id)
    raw = await fetch(sim, config["cover_url"])
    assert (raw.status, b"NoSuchKey" in raw.body) == (404, True)
    path = f"/v1/{sim.settings.project_id}/digital-assets/{config['asset_id']}"
    assert (await exchange(sim, "GET", path, headers=token_of(sim))).status == 404


async def test_a_job_under_way_has_no_asset(sim: Simulator) -> None:
    [job_id] = sim.create_jobs(timeline=[("PROCESSING", 60), ("SUCCEED", None)])
    assert "cover_url" not in (await show(sim, job_id)).json()["output_asset_config"]
    clock_of(sim).advance(60)
    assert "cover_url" in (await show(sim, job_id)).json()["output_asset_config"]
