"""Several jobs at once, the filters and the service's answer, in Debian's Chromium."""

import asyncio
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_pages import LANGUAGES, SCHEMES, WIDTHS, Watched, browsing, log_in, violations
from tests.contract.test_web_bulk import troubles
from tests.contract.test_web_tracking import end
from tests.support.hostile import names, whole
from tests.support.scene import fill
from tests.support.store import record
from tests.support.web import NOW, Desk, desk

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(600)]

RUNNING, OTHER, FROZEN = (f"{number:032x}" for number in (0, 6, 4))
ANSWERED = "j-answered"
TARGET = 44
ANSWER = '{"state":"PROCESSING","text":"' + "a-word-without-end-" * 20 + '","list":[{"a":1},null]}'


def prepare(it: Desk) -> None:
    fill(it)
    it.store.write_now(troubles)
    end(it, it.track(ANSWERED, batch="week 12"), "PROCESSING", answer=ANSWER)


async def test_two_are_chosen_and_muted_without_javascript(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        prepare(it)
        async with browsing(it, java_script_enabled=False, viewport={"width": 360, "height": 740}) as (
            context,
            url,
        ):
            watched, page = Watched(context, url), await context.new_page()
            await log_in(page, url)
            for path, rows in (("/jobs", "tr"), ("/jobs?view=wall", "li")):
                await page.goto(url + path)
                for job in (RUNNING, OTHER):
                    await page.locator(f'{rows}[data-key="job-main/{job}"] input').check()
                await page.select_option("#what", "mute")
                await page.click("button[value=chosen]")
                await expect(page.locator("main")).to_contain_text("Opening words")
                await expect(page.locator("main")).to_contain_text("Jobs to mute: 2.")
                await page.select_option("#hours", "24")
                await page.fill("#why", "retakes & more")
                await page.click("button.main")
                await expect(page.locator(".notice")).to_have_text("Jobs whose alerts are held back for now: 2.")
            watched.check()
        mutes = it.store.read(lambda tx: tx.mutes.list())
        assert [each.until for each in mutes] == [NOW + timedelta(days=1)] * 4
        assert {(each.subject, each.comment) for each in mutes} == {
            (RUNNING, "retakes & more"),
            (OTHER, "retakes & more"),
        }


async def test_all_that_fit_are_asked_about_unless_they_are_others_by_then(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        async with browsing(it) as (context, url):
            page = await context.new_page()
            await log_in(page, url)
            await page.goto(f"{url}/jobs")
            await page.click("#more-filters summary")
            await page.select_option("#kind", "avatar")
            await page.select_option("#since", "7d")
            await page.click(".filters .go button")
            await page.click(".chips >> text=In production")
            await expect(page.locator("button[value=all]")).to_have_text("All 3 that match")
            await page.click("button[value=all]")
            job = it.job(OTHER).id
            await it.store.write(lambda tx: record(tx, job, "FAILED", at=NOW))
            await page.click("button.main")
            await expect(page.locator(".notice")).to_contain_text("3 were expected, and now it is 2")
            assert it.hints == []
            await page.click("button.main")
            await expect(page.locator(".notice")).to_have_text("Jobs that are asked about now: 2.")
            assert "kind=avatar" in page.url
            assert "since=7d" in page.url
        assert len(it.hints) == 2


async def test_what_is_chosen_stays_chosen_when_its_row_changes(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        async with browsing(it) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            await log_in(page, url)
            await page.goto(f"{url}/jobs")
            row = page.locator(f'[data-key="job-main/{RUNNING}"]')
            await expect(page.locator("#stream")).to_have_text("· live")
            await row.locator("input").check()
            job = it.job(RUNNING).id
            await it.store.write(lambda tx: record(tx, job, "FAILED", at=NOW))
            await expect(row).to_contain_text("Failed")
            await expect(row.locator("input")).to_be_checked()
            await expect(row.locator("input")).to_be_focused()
            assert await page.locator("[name=job]:checked").count() == 1
            watched.check()


async def test_a_csv_is_a_file(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        async with browsing(it) as (context, url):
            page = await context.new_page()
            await log_in(page, url)
            await page.goto(f"{url}/jobs?show=failed")
            async with page.expect_download() as started:
                await page.click("text=CSV")
            found = await started.value
            assert found.suggested_filename == "wrapd-jobs.csv"
            text = await asyncio.to_thread(Path(await found.path()).read_bytes)
            assert text.startswith(b"\xef\xbb\xbfproject,")
            assert text.count(b"\r\n") == 2


@pytest.mark.parametrize("width", [320, 360, 1600])
async def test_nothing_is_wider_than_the_screen_and_targets_are_large(tmp_path: Path, width: int) -> None:
    corpus = [whole(name)[:200] for name in names()]
    async with desk(tmp_path) as it:
        fill(it, [f"x{name}" for name in corpus], foreign=corpus, url="javascript:alert(1)")
        prepare_answer(it, corpus)
        chosen = "&".join(f"job={it.job(f'{number:032x}').id}" for number in range(0, len(corpus), 9))
        async with browsing(it, viewport={"width": width, "height": 800}) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            page.on("dialog", lambda dialog: watched.said.append(dialog.message))
            await log_in(page, url)
            for path in (
                *("/jobs?since=7d", "/jobs?view=wall&kind=avatar", f"/jobs/bulk?what=mute&of=chosen&{chosen}"),
                *(f"/jobs/bulk?what={what}&of=all&since=7d" for what in ("ask", "untrack", "retry")),
                *("/jobs?done=mute&number=3", f"/jobs/main/{ANSWERED}", "/?done=resent"),
            ):
                await page.goto(url + path)
                for summary in await page.locator("main summary").all():
                    await summary.click()
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
                small = await page.evaluate(SMALL, TARGET)
                assert small == [], path
            watched.check()


SMALL = """least => [...document.querySelectorAll('label.pick, .bulk button, .bulk select, .bulk-page button, \
.bulk-page .button, .needs button, .needs .button')].map(node => [node.className, node.getBoundingClientRect()])
.filter(([, box]) => box.height < least || box.width < least).map(([name]) => name)"""
"""The targets of acts that are smaller than people can hit."""


def prepare_answer(it: Desk, corpus: list[str]) -> None:
    it.store.write_now(troubles)
    end(it, it.track(ANSWERED, label=corpus[0]), "PROCESSING", answer=ANSWER)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_accessibility(tmp_path: Path, width: int, scheme: Any, language: str) -> None:
    source = await asyncio.to_thread((resources.files("axe_playwright_python") / "axe.min.js").read_text)
    kinds = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "locale": language}
    async with desk(tmp_path) as it:
        prepare(it)
        ids = f"job={it.job(RUNNING).id}&job={it.job(FROZEN).id}"
        async with browsing(it, bypass_csp=True, **kinds) as (context, url):
            page = await context.new_page()
            found = {}
            await log_in(page, url)
            for path in (
                *("/", "/?done=tracked", "/jobs?kind=avatar&since=24h&sort=changed", "/jobs?view=wall"),
                *("/jobs?done=ask&number=2", f"/jobs/bulk?what=mute&of=chosen&{ids}", f"/jobs/main/{ANSWERED}"),
                *(f"/jobs/bulk?what={what}&of=all" for what in ("ask", "untrack", "retry")),
                "/jobs/bulk?what=retry&of=chosen",
            ):
                await page.goto(url + path)
                await opened(page)
                found[path] = await violations(page, source)
            assert not any(found.values()), {path: each for path, each in found.items() if each}


async def opened(page: Page) -> None:
    """Open what is folded."""
    await page.evaluate("document.querySelectorAll('details').forEach(node => { node.open = true })")
