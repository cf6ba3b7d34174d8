"""What changes between the making of a page and the opening of its stream is seen at once, on each page that is
live; and so is what changes while a stream is cut, or the page is in the browser's cache."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

from daemon.commands import pause
from daemon.store import AttemptOutcome, Outcome, Transaction
from tests.browser.test_pages import RUNNING
from tests.support.chromium import Watched, browsing, log_in
from tests.support.scene import WHO, fill
from tests.support.store import B, record
from tests.support.web import MAIN, NOW, Desk, desk

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(300)]

TEMPLATES = Path(__file__).parents[2] / "daemon/web/pages/templates"
ROW = f'[data-key="job-{MAIN}/{RUNNING}"]'
SEEN = {
    "/": ("[data-key=needs]", "Opening words"),
    "/jobs": (ROW, "Failed"),
    f"/jobs/{MAIN}/{RUNNING}": ("[data-key=now]", "Failed"),
    "/batches": ("[data-list=batches]", "8 of 12 ended"),
    f"/batches/{MAIN}/Spring%20campaign": (ROW, "Failed"),
    "/deliveries": ("[data-list=deliveries]", "refused"),
    "/channels": ("[data-list=channels]", "the webhook was revoked"),
    "/projects": ("[data-list=projects]", "moves to another region"),
}
"""Where each live page shows a change of `happen`, and how."""
EVENTS = "**/api/v1/events*"


def happen(tx: Transaction, job: int) -> None:
    """Something that each live page shows."""
    record(tx, job, "FAILED", at=NOW)
    claimed = tx.outbox.claim(B, now=NOW)
    assert claimed is not None
    refused = Outcome(kind=AttemptOutcome.HELD, reason="the webhook was revoked", due_at=NOW)
    tx.outbox.finish(claimed, refused, at=NOW)
    pause(tx, MAIN, who=WHO, at=NOW, comment="the account moves to another region")


async def before_the_stream(page: Page, act: Callable[[], None], *, number: int = 1) -> None:
    """Act when the page opens its stream for the time that `number` says, before the server hears of it."""
    opened = 0

    async def hold(route: Route) -> None:
        nonlocal opened
        opened += 1
        if opened == number:
            act()
        await route.continue_()

    await page.route(EVENTS, hold)


def change(it: Desk, *, forgotten: bool = False) -> Callable[[], None]:
    """Changes the job, and everything that `happen` does. `forgotten`: the stream does not reach back to it."""
    job = it.job(RUNNING).id

    def work(tx: Transaction) -> None:
        happen(tx, job)
        if forgotten:
            tx.changes.prune(keep=1)

    return lambda: it.store.write_now(work)


def test_each_live_page_is_here() -> None:
    live = [path.name for path in TEMPLATES.iterdir() if " data-events=" in path.read_text()]
    assert len(live) == len(SEEN)
    assert all('{% include "live.html" %}' in (TEMPLATES / name).read_text() for name in live)


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize("path", SEEN)
async def test_what_happens_before_the_stream_is_open(tmp_path: Path, path: str, forgotten: bool) -> None:
    place, text = SEEN[path]
    async with desk(tmp_path) as it:
        fill(it)
        async with browsing(it) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            await log_in(page, url)
            await before_the_stream(page, change(it, forgotten=forgotten))
            await page.goto(url + path)
            await expect(page.locator(place).first).to_contain_text(text)
            watched.check()


async def test_what_happens_while_the_stream_is_cut(tmp_path: Path) -> None:
    """As by a restart of the daemon: the browser connects again by itself, and says where it was."""
    async with desk(tmp_path) as it:
        fill(it)
        async with browsing(it) as (context, url):
            page = await context.new_page()
            await log_in(page, url)
            await before_the_stream(page, change(it), number=2)
            await page.goto(f"{url}/jobs")
            await expect(page.locator("#stream")).to_have_text("· live")
            it.live.end()
            await expect(page.locator(ROW)).to_contain_text("Failed", timeout=15_000)


async def test_what_happens_while_the_page_is_in_the_browsers_cache(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        async with browsing(it) as (context, url):
            page = await context.new_page()
            await log_in(page, url)
            await page.goto(f"{url}/jobs")
            await expect(page.locator("#stream")).to_have_text("· live")
            await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
            await before_the_stream(page, change(it))
            await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
            await expect(page.locator(ROW)).to_contain_text("Failed")
