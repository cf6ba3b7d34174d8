"""The pages of batches and shares in Debian's Chromium: live, without JavaScript, accessible, narrow, printed."""

import asyncio
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from daemon.commands.shares import share_batch
from daemon.domain.actions import Actor
from daemon.domain.shares import USUAL_SHARE
from daemon.web.pages.wording import batch_path
from tests.browser.test_pages import RUNNING
from tests.support.chromium import LANGUAGES, SCHEMES, WIDTHS, Watched, browsing, log_in, violations
from tests.support.hostile import names, whole
from tests.support.scene import NAMES, fill
from tests.support.store import record
from tests.support.web import MAIN, NOW, Desk, desk

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(600)]

BATCH = "/batches/main/Spring%20campaign"


def shared(it: Desk, batch: str = "Spring campaign", *, number: int = 1) -> str:
    """Share a batch; return the path of the share."""
    made = it.store.write_now(
        lambda tx: share_batch(
            tx, MAIN, batch, lasts=USUAL_SHARE, random=bytes([number] * 32), who=Actor("cli:ann"), at=NOW
        )
    )
    return f"/share/{made.secret}"


async def test_a_batch_is_followed_muted_shared_and_seen_by_a_guest(tmp_path: Path) -> None:
    async with desk(tmp_path, public_url=None) as it:
        fill(it)
        async with browsing(it) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            await log_in(page, url)
            await page.click("nav >> text=Batches")
            row = page.locator('[data-key="batch-main/Spring campaign"]')
            await expect(row).to_contain_text("7 of 12 ended")
            await row.locator("a").click()
            await expect(page.locator("#stream")).to_have_text("· live")
            tile = page.locator(f'[data-key="job-main/{RUNNING}"]')
            await expect(tile.locator(".frame")).to_have_text("In production")
            node = await tile.element_handle()
            assert node is not None
            job, at = it.job(RUNNING).id, it.clock.now()
            await it.store.write(lambda tx: record(tx, job, "FAILED", at=at))
            await expect(tile.locator(".frame")).to_have_text("Failed")
            await expect(page.locator(".now")).to_contain_text("8 of 12 ended")
            assert await node.evaluate("node => node.isConnected"), "the same node"
            await page.click("#muting summary")
            await page.fill("#why", "on set")
            await page.click("#muting button")
            await expect(page.locator(".actions")).to_contain_text("on set")
            await page.click("#sharing summary")
            await page.click("text=Make an address")
            address = await page.input_value("#link")
            assert address.startswith(f"{url}/share/")
            await page.click("text=中文")
            await expect(page).to_have_url(f"{url}{BATCH}")
            guest = await (await context.browser.new_context()).new_page()  # type: ignore[union-attr]
            await guest.goto(address)
            await expect(guest.locator("h1")).to_have_text("Spring campaign")
            covers = guest.locator(".frame img")
            await expect(covers).to_have_count(5)
            assert await covers.evaluate_all("all => all.every(each => each.complete && each.naturalWidth > 0)")
            assert await guest.context.cookies() == []
            await page.click("#sharing summary")
            await page.click("#sharing li button")
            await expect(page.locator(".notice")).to_have_text("此地址已失效。")
            told = await guest.goto(address)
            assert told is not None
            assert told.status == 404
            watched.check()


async def test_without_javascript(tmp_path: Path) -> None:
    async with desk(tmp_path, public_url=None) as it:
        fill(it)
        async with browsing(it, java_script_enabled=False) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            await log_in(page, url)
            await page.click("nav >> text=Batches")
            await page.click("text=Spring campaign")
            await page.click("#muting summary")
            await page.fill("#why", "known")
            await page.click("#muting button")
            await page.click("text=End the mute")
            await page.click("#sharing summary")
            await page.select_option("#days", "30")
            await page.click("text=Make an address")
            address = await page.input_value("#link")
            await page.goto(address)
            await page.click("text=Load again")
            await page.click("text=中文")
            await expect(page.locator(".now")).to_have_text("7 / 12 已结束")
            await page.goto(f"{url}{BATCH}")
            await page.click("text=Its jobs as a list")
            await expect(page.locator("tbody tr")).to_have_count(12)
            watched.check()


@pytest.mark.parametrize("width", [320, 360, 1600])
async def test_nothing_is_wider_than_the_screen_whatever_the_names(tmp_path: Path, width: int) -> None:
    corpus = [whole(name)[:200] for name in names()]
    async with desk(tmp_path) as it:
        fill(it, [f"x{name}" for name in corpus], foreign=corpus, url="javascript:alert(1)")
        batches = list(dict.fromkeys(row.batch or "" for row in it.jobs().values()))[::3]
        shares = [shared(it, batch, number=n) for n, batch in enumerate(batches)]
        async with browsing(it, viewport={"width": width, "height": 800}) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            page.on("dialog", lambda dialog: watched.said.append(dialog.message))
            await log_in(page, url)
            for path in ("/batches", *(batch_path("main", batch) for batch in batches), *shares):
                told = await page.goto(url + path)
                assert told is not None
                assert told.status == 200, path
                for summary in await page.locator("summary.button").all():
                    await summary.click()
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
            watched.check()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_accessibility(tmp_path: Path, width: int, scheme: Any, language: str) -> None:
    source = await asyncio.to_thread((resources.files("axe_playwright_python") / "axe.min.js").read_text)
    kinds = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "locale": language}
    async with desk(tmp_path) as it:
        fill(it)
        share = shared(it)
        async with browsing(it, bypass_csp=True, **kinds) as (context, url):
            page = await context.new_page()
            found = {}
            await log_in(page, url)
            for path in ("/batches", BATCH, share, "/share/none"):
                await page.goto(url + path)
                for summary in await page.locator("summary.button").all():
                    await summary.click()
                found[path] = await violations(page, source)
            await page.goto(f"{url}{BATCH}")
            await page.click("#sharing summary")
            await page.click("#sharing .muting button")
            found["the address"] = await violations(page, source)
            assert not any(found.values()), found


async def test_on_paper(tmp_path: Path) -> None:
    """A wall in a grid under the batch's name and the time; no navigation, no buttons."""
    async with desk(tmp_path) as it:
        fill(it, [f"{NAMES[n % 12]} {n}" for n in range(50)])
        share = shared(it)
        async with browsing(it, color_scheme="dark") as (context, url):
            page = await context.new_page()
            await log_in(page, url)
            for path in (BATCH, share):
                await page.goto(url + path)
                await page.emulate_media(media="print")
                seen = await page.inner_text("body")
                assert "Spring campaign" in seen
                assert re.search(r"As of 1 Mar 2026 12:00", seen)
                assert all(f"{NAMES[n % 12]} {n}" in seen for n in range(50))
                for gone in ("Overview", "Mute", "Share", "Pause", "中文", "live", "Its jobs"):
                    assert gone not in seen, (path, gone)
                assert await page.locator("button:visible, nav:visible, input:visible").count() == 0
                columns = await page.evaluate(
                    "getComputedStyle(document.querySelector('.wall')).gridTemplateColumns.split(' ').length"
                )
                assert columns == 4
                paint = "(name) => getComputedStyle(document.body).getPropertyValue(name)"
                colours = [await page.evaluate(paint, name) for name in ("color", "background-color")]
                assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
                pdf = await page.pdf(format="A4", print_background=False)
                assert pdf.count(b"/Subtype /Image") >= 21, "the covers are in it"
                await page.emulate_media(media="screen")
