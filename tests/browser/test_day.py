"""A day of a person at the pages of a real daemon, in Debian's Chromium: everything by the page's own links and
forms, and every alert at a real webhook."""

from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, ElementHandle, Locator, Page, expect

from tests.e2e.test_web_live import free_port, of, web
from tests.support.chromium import Watched, active_content, chromium
from tests.support.live import FAST, LiveDaemon, LiveSim, to, until
from tests.support.webhook import Webhook, ok_json

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(300)]

BATCH = "Spring campaign"
NOTE = "retake & <b>relight</b>"
PRODUCED = [("WAITING", 0.2), ("PROCESSING", None)]


async def test_a_day(tmp_path: Path) -> None:
    port = free_port()
    own = f"http://127.0.0.1:{port}"
    # The service refuses the first alert, also in its plainest form.
    refused = ok_json({"error": "no such thread"}, status=400)
    with LiveSim() as sim, Webhook() as hook:
        hook.program(refused, refused)
        with LiveDaemon(tmp_path, sim.project() + to(hook) + web(port) + FAST) as daemon:
            async with chromium(own) as (context, watched):
                page = await context.new_page()
                await log_in_once(page, daemon, own)
                jobs = sim.jobs(12, timeline=PRODUCED)
                daemon.command("track", *jobs, "--batch", BATCH)
                rows = await see_them_change(page, own, sim, jobs)
                assert len(rows) == 3
                until("an alert is given up", lambda: bool(daemon.json("deliveries", "--status", "dead")))
                [given_up] = daemon.json("deliveries", "--status", "dead")
                await retry_on_the_job_page(page, hook, own, given_up["job_id"], given_up["event"])
                await note_it(page, daemon, given_up["job_id"])
                await filter_jobs(page, own, jobs)
                await mute_the_batch(page, own)
                await share_the_batch(context, page, own)
                await leave_in_chinese(page, own)
                watched.check()


async def log_in_once(page: Page, daemon: LiveDaemon, own: str) -> None:
    """By the address of `wrapd web login`, which works once."""
    address = daemon.command("web", "login").strip()
    assert address.startswith(f"{own}/login?once=")
    await page.goto(address)
    await page.click("button.main")
    await page.wait_for_url(f"{own}/")
    await expect(page.locator("h1")).to_have_text("Overview")


async def see_them_change(page: Page, own: str, sim: LiveSim, jobs: list[str]) -> list[ElementHandle]:
    """Three jobs end while the list is open: their rows change in place, and the focus stays."""
    await page.click("nav >> text=Jobs")
    await expect(page.locator("#stream")).to_have_text("· live")
    nodes = []
    for job in jobs:
        await expect(row_of(page, job)).to_contain_text("In production", timeout=30_000)
    for job in jobs[:3]:
        node = await row_of(page, job).element_handle()
        assert node is not None
        nodes.append(node)
    await row_of(page, jobs[0]).locator("th a").focus()
    for job, state, shown in zip(
        jobs[:3], ("FAILED", "SUCCEED", "CANCELED"), ("Failed", "Finished", "Canceled"), strict=True
    ):
        sim.do(lambda it, job=job, state=state: it.set_state(job, state))  # type: ignore[misc]
        await expect(row_of(page, job)).to_contain_text(shown, timeout=30_000)
    for node in nodes:
        assert await node.evaluate("node => node.isConnected"), "the same node"
    focused = await row_of(page, jobs[0]).locator("th a").evaluate("link => link === document.activeElement")
    assert focused, "with the focus"
    return nodes


def row_of(page: Page, job: str) -> Locator:
    return page.locator(f'[data-key="job-main/{job}"]')


async def retry_on_the_job_page(page: Page, hook: Webhook, own: str, job: str, event: str) -> None:
    """Open the job by its row, send its alert again, and see it arrive."""
    before = len(of(hook, event))
    await row_of(page, job).locator("th a").click()
    await page.wait_for_url(f"{own}/jobs/main/{job}")
    alerts = page.locator('[data-key="alerts"]')
    await expect(alerts).to_contain_text("no such thread")
    await alerts.locator("form button").click()
    await expect(page.locator(".notice")).to_be_visible()
    until("the webhook has it", lambda: len(of(hook, event)) > before)
    assert of(hook, event)[-1]["job_id"] == job
    await expect(alerts.locator("li").first).to_contain_text("· sent", timeout=30_000)


async def note_it(page: Page, daemon: LiveDaemon, job: str) -> None:
    await page.fill("#note", NOTE)
    await page.click("text=Save")
    await expect(page.locator(".notice")).to_have_text("The note is saved.")
    await expect(page.locator("#note")).to_have_value(NOTE)
    [found] = [each for each in daemon.json("jobs") if each["job_id"] == job]
    assert found["note"] == NOTE


async def filter_jobs(page: Page, own: str, jobs: list[str]) -> None:
    """By a state, and by a search."""
    await page.goto(f"{own}/jobs")
    await page.locator(".chips a", has_text="Failed").click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(row_of(page, jobs[0])).to_be_visible()
    await page.goto(f"{own}/jobs")
    await page.fill("#q", jobs[5])
    await page.keyboard.press("Enter")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(row_of(page, jobs[5])).to_be_visible()
    assert "q=" in page.url


async def mute_the_batch(page: Page, own: str) -> None:
    await page.goto(f"{own}/batches")
    await page.locator("tbody a", has_text=BATCH).click()
    await expect(page.locator("h1")).to_have_text(BATCH)
    await page.locator("#muting summary").click()
    await page.fill("#why", "the client looks at it first")
    await page.locator("#muting button").click()
    await expect(page.locator(".notice")).to_be_visible()
    await expect(page.locator(".actions")).to_contain_text("the client looks at it first")


async def share_the_batch(context: BrowserContext, page: Page, own: str) -> None:
    """Share it, and open the address in a browser that is not logged in."""
    await page.locator("#sharing summary").click()
    await page.locator("#sharing form.muting button").click()
    address = await page.locator("#link").input_value()
    browser = context.browser
    assert browser is not None
    other = await browser.new_context(locale="en")
    seen = Watched(other, own)
    await seen.hook(other)
    client = await other.new_page()
    await client.goto(address)
    await expect(client.locator("h1")).to_have_text(BATCH)
    await expect(client.locator(".wall li")).to_have_count(12)
    assert await active_content(client) == []
    assert await client.locator("form").count() == 0
    await client.goto(f"{own}/jobs")
    assert "/login" in client.url, "it opens nothing else"
    seen.check()
    await other.close()


async def leave_in_chinese(page: Page, own: str) -> None:
    await page.goto(f"{own}/")
    await page.click("text=中文")
    await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    await expect(page.locator("h1")).to_have_text("总览")
    await page.goto(f"{own}/account")
    await page.click("text=退出登录")
    await page.wait_for_url(f"{own}/login")
    await page.goto(f"{own}/jobs")
    assert page.url.startswith(f"{own}/login")
