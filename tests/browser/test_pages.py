"""The pages in Debian's Chromium: a day of a person, live updates on the same nodes, accessibility, widths."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, async_playwright, expect

from tests.support.hostile import names, whole
from tests.support.programs import need
from tests.support.scene import fill
from tests.support.store import record
from tests.support.web import TOKEN, Desk, desk

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(600)]

RUNNING, FAILED = f"{0:032x}", f"{2:032x}"
WIDTHS, SCHEMES, LANGUAGES = (360, 1600), ("light", "dark"), ("en", "zh-CN")


class Watched:
    """What a browser said and asked for; `foreign` are requests to other hosts."""

    def __init__(self, context: BrowserContext, own: str) -> None:
        self.said: list[str] = []
        self.foreign: list[str] = []
        context.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        context.on("weberror", lambda error: self.said.append(str(error.error)))
        context.on(
            "request", lambda request: None if request.url.startswith(own) else self.foreign.append(request.url)
        )

    def check(self) -> None:
        assert self.said == []
        assert self.foreign == []


@asynccontextmanager
async def browsing(it: Desk, **options: Any) -> AsyncIterator[tuple[BrowserContext, str]]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        context = await browser.new_context(**{"locale": "en", **options})
        yield context, f"http://{it.web.address}"
        await browser.close()


async def log_in(page: Page, url: str) -> None:
    await page.goto(f"{url}/login")
    await page.fill("#token", TOKEN)
    await page.click("button.main")
    await page.wait_for_url(f"{url}/")


async def test_a_day(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        async with browsing(it) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            await log_in(page, url)
            await page.click("nav >> text=Jobs")
            row = page.locator(f'[data-key="job-main/{RUNNING}"]')
            await expect(row).to_contain_text("In production")
            await expect(page.locator("#stream")).to_have_text("· live")
            node = await row.element_handle()
            assert node is not None
            await row.locator("a").focus()
            job, at = it.job(RUNNING).id, it.clock.now()
            await it.store.write(lambda tx: record(tx, job, "FAILED", at=at))
            await expect(row).to_contain_text("Failed")
            assert await node.evaluate("node => node.isConnected"), "the same node"
            assert await row.locator("a").evaluate("link => link === document.activeElement"), "with the focus"
            await row.locator("a").click()
            await page.fill("#note", "retake & <b>relight</b>")
            await page.click("text=Keep")
            await expect(page.locator(".notice")).to_have_text("The note is kept.")
            await expect(page.locator("#note")).to_have_value("retake & <b>relight</b>")
            await page.click("summary.button")
            await page.fill("#why", "known")
            await page.click(".muting button")
            await expect(page.locator(".actions")).to_contain_text("known")
            await page.click("text=中文")
            await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
            await expect(page.locator(".now")).to_contain_text("失败")
            await page.goto(f"{url}/account")
            await page.click("text=退出登录")
            await page.wait_for_url(f"{url}/login")
            await page.goto(f"{url}/jobs")
            assert page.url.startswith(f"{url}/login")
            watched.check()
        assert it.job(RUNNING).note == "retake & <b>relight</b>"


async def test_without_javascript(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        async with browsing(it, java_script_enabled=False) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            await log_in(page, url)
            await page.goto(f"{url}/jobs/main/{FAILED}")
            await page.fill("#note", "seen")
            await page.click("text=Keep")
            await page.goto(f"{url}/jobs")
            await page.click("text=As a wall of covers")
            await page.click("text=Price list, spoken")
            await page.click("summary.button")
            await page.fill("#why", "known")
            await page.click(".muting button")
            await page.click("text=End the mute")
            await page.goto(f"{url}/account")
            await page.click("text=Log out")
            watched.check()
        assert it.job(FAILED).note == "seen"


@pytest.mark.parametrize("width", [320, 360, 1600])
async def test_nothing_is_wider_than_the_screen_whatever_the_names(tmp_path: Path, width: int) -> None:
    corpus = [whole(name)[:200] for name in names()]
    async with desk(tmp_path) as it:
        fill(it, [f"x{name}" for name in corpus], foreign=corpus, url="javascript:alert(1)")
        async with browsing(it, viewport={"width": width, "height": 800}) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            page.on("dialog", lambda dialog: watched.said.append(dialog.message))
            await log_in(page, url)
            jobs = [f"/jobs/main/{number:032x}" for number in range(0, len(corpus), 4)]
            for path in ("/", "/jobs", "/jobs?view=wall", "/account", "/login", *jobs):
                await page.goto(url + path)
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
            watched.check()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_accessibility(tmp_path: Path, width: int, scheme: Any, language: str) -> None:
    """By axe-core, WCAG 2.2 AA. It needs a context that lets it in."""
    source = await asyncio.to_thread((resources.files("axe_playwright_python") / "axe.min.js").read_text)
    kinds = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "locale": language}
    async with desk(tmp_path) as it:
        fill(it)
        async with browsing(it, bypass_csp=True, **kinds) as (context, url):
            page = await context.new_page()
            found = {}
            await log_in(page, url)
            paths = ("/", "/jobs", "/jobs?view=wall", "/account", "/login", "/jobs/main/none")
            for path in (*paths, *(f"/jobs/main/{number:032x}" for number in (0, 1, 2, 4))):
                await page.goto(url + path)
                found[path] = await violations(page, source)
            assert not any(found.values()), found
            await page.evaluate("document.querySelector('label').remove()")
            assert await violations(page, source), "a planted fault is found"


async def violations(page: Page, source: str) -> list[str]:
    await page.evaluate(source)
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    result = await page.evaluate("options => axe.run(document, options)", options)
    return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in result["violations"]]
