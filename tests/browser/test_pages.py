"""Every page of the router in Debian's Chromium: accessibility, widths, without JavaScript, silence; and pictures
of each for people to look at."""

import asyncio
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.tokens import ApiScope
from daemon.tasks import Defects
from daemon.web.pages import overview
from daemon.web.scopes import PAGES
from tests.support.browsing import logged_in
from tests.support.chromium import (
    LANGUAGES,
    SCHEMES,
    WIDTHS,
    Watched,
    active_content,
    browsing,
    chromium,
    log_in,
    violations,
    width_of,
)
from tests.support.hostile import names, whole
from tests.support.programs import ROOT
from tests.support.scene import whole_scene
from tests.support.visits import ERRORS, FIRST, visits
from tests.support.web import MAIN, OTHER, PUBLIC, TOKEN, desk

__all__ = ["LANGUAGES", "RUNNING", "SCHEMES", "WIDTHS", "Watched", "browsing", "log_in", "violations"]

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(900)]

RUNNING, FAILED = f"{0:032x}", f"{2:032x}"
SHOWN = (*(f"{number:032x}" for number in (0, 2, 4, 11)), "lost-0", "stuck")
"""Jobs whose pages are looked at besides that of the sample: one in each state."""
BOTH = (MAIN, OTHER)
_COVERS = """
async () => {
  for (const each of document.images) each.loading = "eager";
  await Promise.all([...document.images].map((each) => each.decode().catch(() => null)));
}
"""
"""Loads the covers below the window too: a picture shows the whole page."""
_FAILING = {
    403: "document.querySelector('.noting [name=csrf]').value = 'x'",
    422: "document.querySelector('#note').value = 'x'.repeat(501)",
}
"""What makes the form of a note be refused with this status."""
OUT = re.compile(rf"a href=({PUBLIC}/v/|https://v\.example/)")
"""Where pages lead out: to a video."""


async def test_every_page_is_silent_and_runs_nothing_of_its_own(tmp_path: Path) -> None:
    async with desk(tmp_path, projects=BOTH) as it:
        paths = await visits(await logged_in(it, TOKEN), await whole_scene(it), SHOWN)
        own = f"http://{it.web.address}"
        async with chromium(own) as (context, watched):
            page = await context.new_page()
            await log_in(page, own)
            for path in (path for each in paths.values() for path in each):
                await page.goto(own + path, wait_until="networkidle" if path.endswith("none") else "load")
                assert [each for each in await active_content(page) if not OUT.match(each)] == [], path
            watched.check()
            await page.evaluate("open('https://elsewhere.example')")
            await page.evaluate(
                "document.body.insertAdjacentHTML('beforeend', '<a href=\"javascript:x()\">x</a>')"
            )
            assert watched.said, "a planted call is told"
            assert await active_content(page), "a planted link is found"
            with pytest.raises(AssertionError):
                watched.check()


async def test_without_javascript(tmp_path: Path) -> None:
    async with desk(tmp_path, projects=BOTH) as it:
        sample = await whole_scene(it)
        paths = await visits(await logged_in(it, TOKEN), sample, SHOWN)
        own = f"http://{it.web.address}"
        async with chromium(own, java_script_enabled=False) as (context, watched):
            page = await context.new_page()
            await log_in(page, own)
            for path in (path for each in paths.values() for path in each):
                told = await page.goto(own + path)
                assert told is not None
                assert told.status == 200, path
            await page.goto(f"{own}/jobs/main/{FAILED}")
            await page.fill("#note", "seen")
            await page.click("text=Save")
            await page.goto(f"{own}/jobs")
            await page.click("text=As a wall of covers")
            await page.click("text=Price list, spoken")
            await page.click("summary.button")
            await page.fill("#why", "known")
            await page.click(".muting button")
            await page.click("text=End the mute")
            await page.goto(f"{own}/account")
            await page.click("text=Log out")
            watched.check()
        assert it.job(FAILED).note == "seen"


@pytest.mark.parametrize("width", [320, 360, 1600])
async def test_nothing_is_wider_than_the_screen_whatever_the_names(tmp_path: Path, width: int) -> None:
    corpus = [whole(name)[:200] for name in names()]
    async with desk(tmp_path, projects=BOTH) as it:
        sample = await whole_scene(it, [f"x{name}" for name in corpus], foreign=corpus, url="javascript:alert(1)")
        jobs = [f"{number:032x}" for number in range(0, len(corpus), 4)]
        paths = await visits(await logged_in(it, TOKEN), sample, (*jobs, *SHOWN))
        own = f"http://{it.web.address}"
        async with chromium(own, viewport={"width": width, "height": 800}) as (context, watched):
            page = await context.new_page()
            await log_in(page, own)
            wide = {}
            for path in (*(path for each in paths.values() for path in each), *ERRORS[:1]):
                await page.goto(own + path)
                if (found := await width_of(page)) > width:
                    wide[path] = found
            assert wide == {}
            errors = [
                text for text in watched.said if "404" not in text
            ]  # the console tells of that page's status
            assert (errors, watched.foreign) == ([], [])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_accessibility(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, scheme: Any, language: str
) -> None:
    """By axe-core, WCAG 2.2 AA. It needs a context that lets it in. A picture of each page is kept in
    build/screenshots, or in the folder that $SCREENSHOTS names; as most people see it, in a time zone that is not
    UTC."""
    source = await asyncio.to_thread((resources.files("axe_playwright_python") / "axe.min.js").read_text)
    folder = Path(os.environ.get("SCREENSHOTS") or ROOT / "build" / "screenshots")
    kinds = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "locale": language}
    async with desk(tmp_path, projects=BOTH) as it:
        own = f"http://{it.web.address}"
        async with chromium(own, bypass_csp=True, timezone_id="Asia/Shanghai", **kinds) as (context, _):
            page = await context.new_page()
            found = {}

            async def keep(name: str) -> None:
                await page.evaluate(_COVERS)
                await page.screenshot(path=folder / _file(name, width, scheme, language), full_page=True)
                found[name] = await violations(page, source)

            async def look(path: str, when: str = "") -> None:
                await page.goto(own + path)
                await keep(when + path)

            await log_in(page, own)
            for path in FIRST:
                await look(path, "first-use")
            paths = await visits(await logged_in(it, TOKEN), await whole_scene(it), SHOWN)
            for path in (*(path for each in paths.values() for path in each), *ERRORS):
                await look(path)
            for status, cause in _FAILING.items():
                await page.goto(f"{own}/jobs/main/{FAILED}")
                await page.evaluate(cause)
                async with page.expect_navigation() as told:
                    await page.evaluate("document.querySelector('.noting').submit()")
                assert (await told.value).status == status
                await keep(f"error-{status}")
            with monkeypatch.context() as patch:
                patch.setattr(Defects, "note", lambda *_, **__: None)
                patch.setattr(overview, "_today", lambda *_: 1 / 0)
                assert (await page.goto(f"{own}/")).status == 500
                await keep("error-500")
            assert not any(found.values()), {path: each for path, each in found.items() if each}
            await page.goto(f"{own}/login")
            await page.evaluate("document.querySelector('label').remove()")
            assert await violations(page, source), "a planted fault is found"
            await context.clear_cookies()
            await page.goto(f"{own}/login")
            await page.screenshot(path=folder / _file("/login-first", width, scheme, language))
            assert await violations(page, source) == []


def _file(path: str, width: int, scheme: str, language: str) -> str:
    """The name of a picture of a page."""
    path = "share" if path.startswith("/share/") and len(path) > 40 else path  # its token differs each time
    name = "".join(char if char.isalnum() else "-" for char in path.strip("/")[:60]).strip("-") or "overview"
    return f"{name}.{width}.{scheme}.{language}.png"


async def test_a_page_without_a_sample_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(tmp_path) as it:
        sample, browser = await whole_scene(it), await logged_in(it, TOKEN)
        for route, reason in (("/jobs/{other}", "new placeholder"), ("/new", "give QUERIES")):
            with monkeypatch.context() as patch:
                patch.setitem(PAGES, route, {"GET": ApiScope.READ})  # type: ignore[arg-type]
                with pytest.raises(pytest.fail.Exception, match=reason):
                    await visits(browser, sample)
