"""The statistics in Debian's Chromium: accessibility, widths, and without JavaScript."""

import asyncio
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_pages import LANGUAGES, SCHEMES, WIDTHS, Watched, browsing, log_in, violations
from tests.support.ended import fill_days
from tests.support.web import MAIN, OTHER, desk

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(600)]

PATHS = ("/stats", "/stats?days=7", "/stats?days=90&project=other", "/stats?days=8")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_accessibility(tmp_path: Path, width: int, scheme: Any, language: str) -> None:
    source = await asyncio.to_thread((resources.files("axe_playwright_python") / "axe.min.js").read_text)
    kinds = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "locale": language}
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        async with browsing(it, bypass_csp=True, **kinds) as (context, url):
            page = await context.new_page()
            await log_in(page, url)
            found = {}
            await page.goto(f"{url}/stats")
            found["empty"] = await violations(page, source)
            fill_days(it)
            for path in PATHS:
                await page.goto(url + path)
                await page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
                found[path] = await violations(page, source)
            assert not any(found.values()), found
            await page.goto(f"{url}/stats")
            await page.evaluate(
                "for (const id of ['ends-title', 'ends-desc']) document.getElementById(id).remove()"
            )
            assert await violations(page, source), "a planted fault is found"


@pytest.mark.parametrize("width", [320, 1600])
async def test_without_javascript_nothing_is_wider_than_the_screen(tmp_path: Path, width: int) -> None:
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        fill_days(it, days=100)
        kinds = {"viewport": {"width": width, "height": 800}, "java_script_enabled": False}
        async with browsing(it, **kinds) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            await log_in(page, url)
            await page.click("nav >> text=Stats")
            await page.click("text=90 days")
            await page.click(".chips >> text=other")
            assert page.url == f"{url}/stats?days=90&project=other"
            await page.click("summary")
            assert await page.locator("#ends-numbers table").is_visible()
            await page.set_viewport_size({"width": width, "height": 800})
            box = await page.locator("html").bounding_box()
            assert box is not None
            assert box["width"] <= width
            for plot in await page.locator("svg[role], .spreads svg, .delays svg").all():
                box = await plot.bounding_box()
                assert box is not None
                assert 0 <= box["x"] <= box["x"] + box["width"] <= width
            watched.check()
        async with browsing(it, viewport={"width": width, "height": 800}) as (context, url):
            page = await context.new_page()
            await log_in(page, url)
            for path in PATHS:
                await page.goto(url + path)
                await page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
