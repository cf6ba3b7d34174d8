"""wrapd's own links on a real socket: where they lead, when they are refused, and what they reveal."""

import asyncio
import dataclasses
import logging
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from daemon.domain.jobs import Asset
from daemon.logs import LogEvent
from daemon.store import JobRow, LinkRow, PictureRow, StoreBusy
from daemon.web.links import HEADERS
from tests.contract.test_web_tracking import end
from tests.support.recorder import Lines
from tests.support.web import NOW, Answer, Desk, desk

TOKEN = "token-of-the-link-_32-characters"
PREVIEW = "https://files.example.com/a/p.mp4?Expires=1772370000&Signature=a%2Bb%3D&x=1;2"
DOWNLOAD = "https://files.example.com/a/d.mp4?Expires=1772370000&Signature=c"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100
CHROME = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0 Safari/537.36"}


def finished(it: Desk, *, preview: str | None = PREVIEW, download: str | None = DOWNLOAD) -> int:
    """Return the row id of a finished job with a link of wrapd's own."""
    row = it.track("j-1", label="Secret name")
    end(it, row, "SUCCEED", asset=Asset(asset_name="Secret name", preview_url=preview, download_url=download))
    it.store.write_now(lambda tx: tx.links.of_job(row, token=TOKEN, at=NOW, life=30 * 86400.0))
    return row


def finished_as(it: Desk, name: str, token: str) -> str:
    """Return the token of another finished job's link."""
    row = it.track(name)
    end(it, row, "SUCCEED", asset=Asset(preview_url=PREVIEW))
    it.store.write_now(lambda tx: tx.links.of_job(row, token=token, at=NOW, life=30 * 86400.0))
    return token


async def get(it: Desk, path: str = f"/v/{TOKEN}", **headers: str) -> Answer:
    return await it.ask("GET", path, headers=CHROME | {k.replace("_", "-"): v for k, v in headers.items()})


async def link(it: Desk) -> LinkRow:
    """Return the link once the clicks under way are counted."""
    await it.web.stop()
    row = it.store.read(lambda tx: tx.links.by_token(TOKEN))
    assert row is not None
    return row


def renewed(row: JobRow, preview: str) -> JobRow:
    return row._replace(asset=dataclasses.replace(row.asset, preview_url=preview))


async def test_a_click_leads_to_a_link_that_was_asked_for_now(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        finished(it)
        fresh = PREVIEW.replace("p.mp4", "fresh.mp4")
        it.fresh["j-1"] = renewed(it.job("j-1"), fresh)
        told = await get(it)
        assert (told.status, told.headers["location"], told.body) == (302, fresh, b"")
        assert it.renewed == ["j-1"]
        assert told.headers["cache-control"] == "no-store"
        assert told.headers["referrer-policy"] == "no-referrer"
        assert told.headers["x-robots-tag"] == "noindex, nofollow"
        told = await get(it, f"/v/{TOKEN}/download")
        assert (told.status, told.headers["location"]) == (302, DOWNLOAD)
        row = await link(it)
        assert (row.clicks, row.last_click_at) == (2, NOW)
        assert it.job("j-1").seen_at == NOW


async def test_what_there_is_not_is_replaced_by_the_other(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        finished(it, preview=None)
        assert (await get(it)).headers["location"] == DOWNLOAD
    (tmp_path / "2").mkdir()
    async with desk(tmp_path / "2") as it:
        finished(it, download=None)
        assert (await get(it, f"/v/{TOKEN}/download")).headers["location"] == PREVIEW


async def test_robots_and_head_are_led_there_but_nothing_is_asked_and_nothing_counts(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        finished(it)
        for agent in ("Slackbot-LinkExpanding 1.0", "TelegramBot (like TwitterBot)", "facebookexternalhit/1.1"):
            assert (await get(it, User_Agent=agent)).status == 302
        head = await it.ask("HEAD", f"/v/{TOKEN}", headers=CHROME)
        assert (head.status, head.headers["location"]) == (302, PREVIEW)
        assert it.renewed == []
        assert (await link(it)).clicks == 0
        assert it.job("j-1").seen_at is None


@pytest.mark.parametrize(
    "headers",
    [
        {"User-Agent": ""},
        {"User-Agent": " "},
        {"User-Agent": "curl/8.5"},
        {"User-Agent": "python-requests/2.32"},
        {"User-Agent": "Mozilla/5.0"},
        {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"},
        {"User-Agent": "Mozilla/4.0 (compatible; ms-office; MSOffice 16)"},
        {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/140.0 Safari/537.36"},
        {"User-Agent": "Mozilla/5.0 (compatible; Some-Gateway/1.0) Chrome/140.0"},
        CHROME | {"Purpose": "prefetch"},
        CHROME | {"Sec-Purpose": "prefetch;prerender"},
        CHROME | {"X-Purpose": "preview"},
        CHROME | {"X-Moz": "prefetch"},
        CHROME | {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        CHROME | {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        CHROME | {"From": "bot(at)example.com"},
    ],
)
async def test_without_evidence_of_a_person_nothing_counts_as_seen(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with desk(tmp_path) as it:
        finished(it)
        for path in ("", "/download"):
            told = await it.ask("GET", f"/v/{TOKEN}{path}", headers=headers)
            assert told.status == 302, path
        assert (await link(it)).clicks == 0
        assert it.job("j-1").seen_at is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "video", "Range": "bytes=0-"},
        {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) MicroMessenger/8.0 wxwork/4.1"},
        {"User-Agent": "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)"},
    ],
)
async def test_a_browser_that_follows_the_link_is_a_person(tmp_path: Path, headers: dict[str, str]) -> None:
    async with desk(tmp_path) as it:
        finished(it)
        await it.ask("GET", f"/v/{TOKEN}", headers=CHROME | headers)
        assert (await link(it)).clicks == 1
        assert it.job("j-1").seen_at == NOW


async def test_browsers_that_come_in_numbers_are_scanners_and_their_clicks_are_taken_back(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        finished(it)
        await get(it)
        await it.tasks.wait()
        assert it.job("j-1").seen_at == NOW
        it.clock.advance(1)
        await get(it, User_Agent=CHROME["User-Agent"].replace("140", "139"))
        await get(it, X_Forwarded_For="198.51.100.7")
        await get(it)
        await it.tasks.wait()
        assert it.job("j-1").seen_at is None
        it.clock.advance(60)
        await get(it)
        row = await link(it)
        assert (row.clicks, row.last_click_at) == (1, NOW + timedelta(seconds=61))
        assert it.job("j-1").seen_at == NOW + timedelta(seconds=61)


async def test_a_scan_takes_back_nothing_but_its_own(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        finished(it)
        await get(it)
        it.clock.advance(60)
        await get(it)
        it.clock.advance(1)
        await get(it, X_Forwarded_For="198.51.100.7")
        row = await link(it)
        assert (row.clicks, row.last_click_at) == (1, NOW + timedelta(seconds=60))
        assert it.job("j-1").seen_at == NOW


@pytest.mark.parametrize("how", ["unknown", "expired", "revoked", "untracked", "short", "odd"])
async def test_a_link_that_does_not_work_any_more_is_a_friendly_page(tmp_path: Path, how: str) -> None:
    async with desk(tmp_path) as it:
        row = finished(it)
        token = {"unknown": "x" * 32, "short": "x", "odd": "%3Cscript%3Ealert(1)%3C"}.get(how, TOKEN)
        if how == "expired":
            it.clock.advance(30 * 86400)
        elif how == "revoked":
            assert it.store.write_now(lambda tx: tx.links.revoke(row, NOW))
        elif how == "untracked":
            it.store.write_now(lambda tx: tx.jobs.untrack(None, it.job("j-1").job_id, at=NOW))
        for path in (f"/v/{token}", f"/v/{token}/download", f"/v/{token}/cover"):
            told = await get(it, path)
            assert told.status == 404, path
            assert told.headers["content-type"] == "text/html; charset=utf-8"
            assert "This link does not work any more" in told.body.decode()
            assert b"Secret name" not in told.body
            assert b"script" not in told.body
            assert {name: told.headers[name.lower()] for name in HEADERS} == dict(HEADERS)
            [style] = re.findall(r'stylesheet" href="([^"]+)"', told.body.decode())
            found = await it.ask("GET", urljoin(path, style), headers={"Host": "elsewhere.example"})
            assert (found.status, found.headers["content-type"]) == (200, "text/css; charset=utf-8")
            assert told.headers["cache-control"] == "no-store"
        assert it.renewed == []


async def test_pages_speak_the_readers_language(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        told = await get(it, "/v/" + "x" * 32, Accept_Language="zh-CN,zh;q=0.9,en;q=0.8")
        assert "此链接已失效" in told.body.decode()
        assert told.headers["content-language"] == "zh-CN"
        told = await get(it, "/v/" + "x" * 32, Accept_Language="en-GB,zh;q=0.5")
        assert told.headers["content-language"] == "en"


async def test_a_service_that_does_not_answer_leaves_the_old_link_while_it_lives(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        finished(it)
        assert (await get(it)).headers["location"] == PREVIEW
        it.clock.advance(12 * 3600)
        told = await get(it)
        assert (told.status, told.headers["retry-after"]) == (503, "60")
        assert "try again in a few minutes" in told.body.decode()
        assert (await link(it)).clicks == 1, "who saw nothing is not counted"


async def test_a_video_without_any_link_cannot_be_reached(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        finished(it, preview=None, download="ftp://files.example.com/x")
        assert (await get(it)).status == 503


async def test_a_url_of_the_service_never_breaks_the_header(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        finished(it, preview="https://files.example.com/视频 1.mp4?a=b\r\nSet-Cookie: x=1")
        told = await get(it)
        assert told.status == 302
        assert "set-cookie" not in told.headers
        assert told.headers["location"].startswith(
            "https://files.example.com/%E8%A7%86%E9%A2%91%201.mp4?a=b%0D%0A"
        )


async def test_the_cover_is_the_picture_that_was_kept(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        row = finished(it)
        assert (await get(it, f"/v/{TOKEN}/cover")).status == 404
        keep(it, row, data=PNG, content_type="image/png", error=None)
        told = await get(it, f"/v/{TOKEN}/cover")
        assert (told.status, told.headers["content-type"], told.body) == (200, "image/png", PNG)
        assert told.headers["x-content-type-options"] == "nosniff"
        assert it.renewed == []
        keep(it, row, data=None, content_type=None, error="too large")
        assert (await get(it, f"/v/{TOKEN}/cover")).status == 404
        assert (await link(it)).clicks == 0


async def test_only_pictures_are_served_as_covers(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        row = finished(it)
        keep(it, row, data=b"<script>", content_type="text/html", error=None)
        assert (await get(it, f"/v/{TOKEN}/cover")).status == 404


def keep(it: Desk, row: int, **values: Any) -> None:
    picture = PictureRow(job=row, url="https://h/c.png", fetched_at=NOW, **values)
    it.store.write_now(lambda tx: tx.pictures.put(picture))


async def test_too_many_clicks_at_once_are_led_to_the_known_link_while_it_lives(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        tokens = [finished_as(it, f"j-{number}", f"token-{number:020}") for number in range(25)]
        told = [await get(it, f"/v/{token}") for token in tokens]
        assert {(each.status, each.headers["location"]) for each in told} == {(302, PREVIEW)}
        assert len(it.renewed) == 20
        it.clock.advance(12 * 3600)  # the known links have expired
        told = [await get(it, f"/v/{token}") for token in tokens]
        assert [each.status for each in told] == [503] * 20 + [429] * 5
        assert told[-1].headers["retry-after"]
        it.clock.advance(0.5)
        assert len(it.renewed) == 40
        await get(it, f"/v/{tokens[-1]}")
        assert len(it.renewed) == 41


async def test_one_link_opened_again_and_again_takes_nobodys_turn(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        finished(it)
        other = finished_as(it, "j-2", "token-of-another-job")
        for _ in range(40):
            assert (await get(it)).status == 302
        assert it.renewed == ["j-1"]
        await get(it, f"/v/{other}")
        assert it.renewed == ["j-1", "j-2"]
        it.clock.advance(10)
        await get(it)
        assert it.renewed == ["j-1", "j-2", "j-1"]


async def test_made_up_tokens_take_nobodys_turn(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        finished(it)
        made_up = [get(it, f"/v/{number:032}") for number in range(200)]
        honest = [get(it) for _ in range(20)]
        told = await asyncio.gather(*made_up, *honest)
        assert [each.status for each in told] == [404] * 200 + [302] * 20


async def test_what_is_no_token_takes_nobodys_turn(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for path in ("/v/wp-login.php", "/v/short", "/v/%2e%2e", "/v/a%00b") * 10:
            assert (await it.ask("GET", path)).status == 404
        assert (await it.ask("GET", "/v/" + "a" * 32)).status == 404, "and not 429"


async def test_a_database_that_does_not_answer_is_no_dead_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as it:
        finished(it)

        async def busy(_work: object) -> None:
            raise StoreBusy("busy")

        monkeypatch.setattr(it.store, "write", busy)
        assert (await get(it)).status == 302, "a click that cannot be counted leads there all the same"
        monkeypatch.setattr(it.store, "read_async", busy)
        assert (await get(it)).status == 503


async def test_no_log_line_shows_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    lines = [Lines(monkeypatch, f"daemon.{each}") for each in ("tasks", "web.server", "web.callbacks")]
    caplog.set_level(logging.DEBUG)
    async with desk(tmp_path) as it:
        finished(it)

        async def bug(_work: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(it.store, "write", bug)
        await get(it)
        await get(it, f"/v/{TOKEN}/nothing")
        await it.web.stop()
        assert lines[0].of(LogEvent.DEFECT), "a bug after the answer is told"
        said = str([each.all for each in lines]) + "".join(record.getMessage() for record in caplog.records)
        assert TOKEN not in said


async def test_other_methods_and_paths_lead_nowhere(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        finished(it)
        assert (await it.ask("POST", f"/v/{TOKEN}")).status == 405
        assert (await get(it, f"/v/{TOKEN}/")).status == 404
        assert (await get(it, f"/v/{TOKEN}/../healthz")).status == 404


async def test_clicks_at_the_same_moment_are_all_counted(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        finished(it)
        told = await asyncio.gather(*(get(it) for _ in range(12)))
        assert {each.status for each in told} == {302}
        assert (await link(it)).clicks == 12
        it.clock.advance(timedelta(hours=1).total_seconds())
        assert it.job("j-1").seen_at == NOW


async def test_the_page_has_its_style_where_the_others_are_off(tmp_path: Path) -> None:
    async with desk(tmp_path, pages=False) as it:
        told = await get(it, "/v/" + "x" * 32)
        assert (told.status, told.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert (await get(it, "/login")).status == 404
        assert (await get(it, "/static/wrapd.css")).status == 200
