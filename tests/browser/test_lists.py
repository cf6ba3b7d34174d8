"""Alerts, channels and projects in Debian's Chromium: a given-up alert that arrives after all, live rows, widths,
accessibility."""

import asyncio
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from daemon.store import AttemptOutcome, DeliveryStatus, Outcome, Transaction
from tests.browser.test_pages import (
    LANGUAGES,
    RUNNING,
    SCHEMES,
    WIDTHS,
    Watched,
    browsing,
    log_in,
    violations,
)
from tests.support.dispatching import Rig
from tests.support.hostile import names, whole
from tests.support.scene import NAMES, WHO, deliver, fill, give_up
from tests.support.store import A, B, record
from tests.support.web import MAIN, NOW, Desk, desk
from tests.support.webhook import OK, Answer, Webhook

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(600)]

LISTS = ("/deliveries", "/channels", "/projects")
FACTS = {
    "up": True,
    "rate": 10.0,
    "usage": 0.25,
    "requests": {"news": 20, "feed": 3},
    "late_seconds": 75.0,
    "feed": "distrusted",
    "feed_reason": "an end was missing from it",
}


def report(it: Desk) -> None:
    it.store.write_now(lambda tx: tx.statuses.set(MAIN, FACTS, NOW))


async def test_a_given_up_alert_is_sent_by_its_button_and_arrives(tmp_path: Path) -> None:
    with Webhook(default=Answer(status=400)) as hook:
        async with desk(tmp_path) as it:
            fill(it, NAMES[:2])
            team = Rig(it.store, it.clock, {A: hook.url()})
            await team.start()
            await team.turn()
            [dead] = it.store.read(lambda tx: tx.deliveries.list(channel=A, status=DeliveryStatus.DEAD))
            refused = len(hook.requests)
            async with browsing(it) as (context, url):
                watched, page = Watched(context, url), await context.new_page()
                await log_in(page, url)
                await page.click('.needs a[href^="/deliveries"]')
                row = page.locator(f"#delivery-{dead.id}")
                await expect(row).to_contain_text("Given up")
                await row.locator("summary").click()
                await expect(row.locator("ol")).to_contain_text("HTTP 400")
                hook.default = OK
                await row.locator("text=Send now").click()
                await expect(page.locator(".notice")).to_have_text("The alert is sent now.")
                await page.goto(f"{url}/deliveries?channel={A}")
                await expect(page.locator("#stream")).to_have_text("· live")
                await expect(row).to_contain_text("Waiting")
                node = await row.element_handle()
                assert node is not None
                await row.locator("th a").focus()
                await team.turn()
                await expect(row).to_contain_text("Sent")
                assert await node.evaluate("node => node.isConnected"), "the same node"
                assert await row.locator("th a").evaluate("link => link === document.activeElement"), (
                    "with the focus"
                )
                watched.check()
            await team.dispatcher.stop()
        assert len(hook.requests) == refused + 1
        assert hook.requests[-1].json["delivery_id"] == dead.id


async def test_a_new_alert_and_a_refused_channel_appear(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it, NAMES[:3])
        async with browsing(it) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            await log_in(page, url)
            other = await context.new_page()
            for tab, path in ((page, "/deliveries"), (other, "/channels")):
                await tab.goto(url + path)
                await expect(tab.locator("#stream")).to_have_text("· live")
            before = await page.locator("tbody tr").count()
            node = await page.locator("tbody tr").first.element_handle()
            assert node is not None
            await it.store.write(lambda tx: record(tx, it.job(RUNNING).id, "FAILED", at=NOW))
            await expect(page.locator("tbody tr")).to_have_count(before + 4)  # of the job, and of its batch
            assert await node.evaluate("node => node.isConnected"), "the others stay"
            await page.bring_to_front()
            await other.bring_to_front()
            await expect(other.locator("tbody")).not_to_contain_text("refused")
            await it.store.write(refuse)
            await expect(other.locator("tbody")).to_contain_text("the webhook was revoked")
            watched.check()


def refuse(tx: Transaction) -> None:
    claimed = tx.outbox.claim(B, now=NOW)
    assert claimed is not None
    reason = "the webhook was revoked"
    tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.HELD, reason=reason, due_at=NOW), at=NOW)


async def test_without_javascript(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        deliver(it)
        async with browsing(it, java_script_enabled=False) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            await log_in(page, url)
            await page.click("nav >> text=Deliveries")
            await page.click(".chips >> text=Given up")
            await page.select_option("#channel", str(A))
            await page.click("text=Show")
            await page.click("text=Send the 1 that failed")
            it.store.write_now(lambda tx: tx.outbox.retry(ids=None, at=NOW))
            await page.click("text=Send 1 now")
            await expect(page.locator(".bad")).to_contain_text("0 match now, not 1")
            assert [each for each in watched.said if "409" not in each] == []
            watched.said.clear()
            await page.click("text=Back to the list")
            await page.click("text=Clear filters")
            await page.click(".chips >> text=Held")
            await page.click("text=Send the 1 that failed")
            await page.click("text=Send 1 now")
            await expect(page.locator(".notice")).to_have_text("Alerts that are sent now: 1.")
            await page.click(".chips >> text=Waiting")
            await page.locator("tbody button").first.click()
            await expect(page.locator(".notice")).to_contain_text("canceled")
            await page.click("nav >> text=Channels")
            await page.locator("text=Send a test").first.click()
            await expect(page.locator(".card")).to_contain_text("The message arrived")
            await page.click("text=Back to the channels")
            await page.click("nav >> text=Projects")
            await page.click("summary.button")
            await page.fill(".muting input[name=comment]", "the budget is short")
            await page.click(".muting button")
            await expect(page.locator("tbody")).to_contain_text("the budget is short")
            await page.click("tbody >> text=Resume")
            await expect(page.locator(".notice")).to_contain_text("polled again")
            watched.check()
        assert it.tests == [A]
        assert it.store.read(lambda tx: tx.pauses.all()) == {}


@pytest.mark.parametrize("width", [320, 360, 1600])
async def test_nothing_is_wider_than_the_screen_whatever_the_names(tmp_path: Path, width: int) -> None:
    corpus = [whole(name)[:200] for name in names()]
    async with desk(tmp_path) as it:
        fill(it, [f"x{name}" for name in corpus], foreign=corpus, url="javascript:alert(1)")
        report(it)
        async with browsing(it, viewport={"width": width, "height": 800}) as (context, url):
            watched, page = Watched(context, url), await context.new_page()
            page.on("dialog", lambda dialog: watched.said.append(dialog.message))
            await log_in(page, url)
            deliver(it, reason=50 * "no-space")
            give_up(it, corpus)
            filters = [f"/deliveries?{name}={150 * 'x'}" for name in ("q", "job", "channel", "project")]
            paths: list[str] = [*LISTS, "/deliveries/retry", f"/deliveries/retry?job={150 * 'x'}", *filters]
            while paths:
                path = paths.pop()
                await page.goto(url + path)
                await open_all(page)
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
                older = page.locator('a[rel="next"]')
                if await older.count():
                    paths.append(str(await older.get_attribute("href")))
            for text in corpus:
                await it.store.write(lambda tx, text=text: pause(tx, text))
                await page.goto(f"{url}/projects")
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, text
            watched.check()


def pause(tx: Transaction, text: str) -> None:
    tx.pauses.end(MAIN)
    tx.pauses.begin(MAIN, at=NOW, who=WHO, comment=text[:500] or "x")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_accessibility(tmp_path: Path, width: int, scheme: Any, language: str) -> None:
    source = await asyncio.to_thread((resources.files("axe_playwright_python") / "axe.min.js").read_text)
    kinds = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "locale": language}
    async with desk(tmp_path) as it:
        fill(it)
        deliver(it)
        report(it)
        async with browsing(it, bypass_csp=True, **kinds) as (context, url):
            page = await context.new_page()
            await log_in(page, url)
            found = {}
            more = ("/deliveries?status=dead", "/deliveries?q=none", "/deliveries/retry", "/projects?done=x")
            for path in (*LISTS, *more):
                await page.goto(url + path)
                await open_all(page)
                found[path] = await violations(page, source)
            await page.goto(f"{url}/channels")
            await page.locator(".does button").first.click()
            found["test"] = await violations(page, source)
            await it.store.write(lambda tx: tx.pauses.begin(MAIN, at=NOW, who=WHO, comment="the budget"))
            await page.goto(f"{url}/projects")
            found["paused"] = await violations(page, source)
            assert not any(found.values()), found


async def open_all(page: Page) -> None:
    """Open what is folded."""
    await page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
