"""Takes the pictures of README's pages, docs/images/*.webp, in Chromium: `make screenshots`.

The pages are served by wrapd's own server from a made-up database; nothing in them is drawn by hand. The card is
the payload that wrapd sends to a Feishu bot, drawn by this script as Feishu draws such cards, and says so.
"""

import asyncio
import io
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from PIL import Image
from playwright.async_api import BrowserContext, Page, async_playwright

from daemon.commands import set_note
from daemon.domain.jobs import ChannelName, JobId, Tracking
from daemon.domain.routing import routing
from daemon.notify.message.compose import MessageContext, compose_digest
from daemon.notify.services.feishu import card
from daemon.notify.templates.examples import example
from daemon.sim.files import cover_png
from daemon.store import AttemptOutcome, Outcome, Transaction
from tests.support.chromium import log_in
from tests.support.programs import need
from tests.support.scene import FULL, WHO, fill
from tests.support.web import MAIN, NOW, TOKEN, Desk, desk

IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT, SHARP = 1180, 820, 1.5
"""Of the window, in pixels of the page, and how many of the picture each is."""
ZONE = "Asia/Shanghai"
EDITORS, PRODUCERS = ChannelName("editors"), ChannelName("producers")
DONE, FAILED = f"{1:032x}", f"{2:032x}"
"""Jobs of the scene: one that has succeeded, and one that has failed."""
_COLOURS = {"green": "#34a853", "red": "#e0493d", "orange": "#e88a1a", "blue": "#3370ff"}
_CARD_STYLE = """
body { margin: 0; padding: 28px; background: #f2f3f5; font: 15px/1.55 system-ui, sans-serif; color: #1f2329; }
.card { width: 460px; background: #fff; border: 1px solid #dee0e3; border-radius: 8px; overflow: hidden; }
.head { padding: 12px 16px; font-weight: 600; color: #fff; }
.body { padding: 4px 16px 14px; }
.body > * { margin: 12px 0 0; }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 12px 16px; }
.fields .long { grid-column: 1 / -1; }
.buttons { display: flex; gap: 8px; }
.button { padding: 4px 14px; border: 1px solid #d0d3d6; border-radius: 6px; }
.button.primary { color: #3370ff; border-color: #3370ff; }
.note { font-size: 13px; color: #8f959e; }
.label { width: 460px; margin: 12px 0 0; font-size: 12px; color: #646a73; }
"""


async def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with desk(Path(folder), channels=(EDITORS, PRODUCERS)) as it, async_playwright() as playwright:
            seed(it)
            browser = await playwright.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
            context = await browser.new_context(
                locale="en",
                timezone_id=ZONE,
                viewport={"width": WIDTH, "height": HEIGHT},
                device_scale_factor=SHARP,
            )
            await pages(context, f"http://{it.web.address}")
            await chat(context)
            await browser.close()


async def pages(context: BrowserContext, own: str) -> None:
    page = await context.new_page()
    await log_in(page, own, TOKEN)  # from the next page on, the server knows the time zone
    batch = f"/batches/{MAIN}/{FULL.replace(' ', '%20')}"
    for name, path in (("overview", "/"), ("batch", batch), ("job", f"/jobs/{MAIN}/{DONE}")):
        await page.goto(own + path)
        await page.get_by_text("· live").wait_for()
        await save(page, name)


async def chat(context: BrowserContext) -> None:
    """The card of the built-in example of a finished video."""
    message = compose_digest(example("succeeded", now=NOW), MessageContext(now=NOW, zone=ZoneInfo(ZONE)))
    page = await context.new_page()
    await page.set_content(drawn(card(message)["card"]))
    data = await page.locator("body").screenshot()
    await keep("chat", data)


def drawn(of: Mapping[str, Any]) -> str:
    """A card of Feishu as a page."""
    colour, title = _COLOURS[of["header"]["template"]], escape(of["header"]["title"]["content"])
    body = "".join(map(_element, of["elements"]))
    label = "The card as wrapd sends it to a Feishu bot, drawn here. Feishu's own looks a little different."
    return (
        f'<!doctype html><meta charset="utf-8"><style>{_CARD_STYLE} body {{ width: 462px; }}</style>'
        f'<div class="card"><div class="head" style="background: {colour}">{title}</div>'
        f'<div class="body">{body}</div></div><p class="label">{label}</p>'
    )


def _element(of: Mapping[str, Any]) -> str:
    if of["tag"] == "action":
        buttons = (f'<span class="button {each["type"]}">{_words(each["text"])}</span>' for each in of["actions"])
        return f'<div class="buttons">{"".join(buttons)}</div>'
    if of["tag"] == "note":
        return f'<div class="note">{"<br>".join(map(_words, of["elements"]))}</div>'
    if "fields" in of:
        cells = (f"<div{'' if e['is_short'] else ' class=long'}>{_words(e['text'])}</div>" for e in of["fields"])
        return f'<div class="fields">{"".join(cells)}</div>'
    return f"<div>{_words(of['text'])}</div>"


def _words(of: Mapping[str, Any]) -> str:
    """A text; of its Markdown, what wrapd writes: bold and line breaks."""
    parts = escape(of["content"]).split("**") if of["tag"] == "lark_md" else [escape(of["content"])]
    bold = "".join(f"<b>{part}</b>" if place % 2 else part for place, part in enumerate(parts))
    return bold.replace("\n", "<br>")


async def save(page: Page, name: str) -> None:
    await keep(name, await page.screenshot())


async def keep(name: str, data: bytes) -> None:
    Image.open(io.BytesIO(data)).convert("RGB").save(IMAGES / f"{name}.webp", quality=88, method=6)


def seed(it: Desk) -> None:
    """A batch half-way, whose alerts arrived, and what the daemon reports of the project."""
    fill(it, routing=routing([], operators=None, channels=(EDITORS, PRODUCERS)))
    it.store.write_now(_seed)


def _seed(tx: Transaction) -> None:
    facts = {"up": True, "feed": "trusted", "usage": 0.18, "late_seconds": 1.4}
    tx.statuses.set(MAIN, facts, NOW)
    for channel in (EDITORS, PRODUCERS):
        while (claimed := tx.outbox.claim(channel, now=NOW)) is not None:
            at = claimed.delivery.due_at + timedelta(seconds=3)
            tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.SENT, reason="HTTP 200", status_code=200), at=at)
    for row in tx.jobs.list(tracking=Tracking.FINISHED):
        made = tx.links.of_job(row.id, token=f"Xk3vQ2m9Rt7LpA4c{row.id:02}HdWz8sYbNe", at=NOW, life=30 * 86400.0)
        assert made is not None
        tx.links.clicked(made.id, NOW)
    [failed] = tx.jobs.find(JobId(FAILED), MAIN)
    set_note(tx, [failed.id], None, who=WHO, at=NOW)
    [row] = tx.jobs.find(JobId(DONE), MAIN)
    full = tx.pictures.get(row.id)
    assert full is not None
    tx.pictures.put(replace(full, data=cover_png(1), content_type="image/png"))


if __name__ == "__main__":
    asyncio.run(main())
