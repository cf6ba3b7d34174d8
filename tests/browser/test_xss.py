"""Hostile names and links in every text field of the API document, as the service answers with them, and wherever
others can put a text: polled by a real daemon, then read on every page. Nothing of them runs or leads away."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Page

from daemon.web.scopes import PAGES
from tests.e2e.test_web_live import TOKEN, ask, free_port, web
from tests.support.chromium import active_content, chromium, log_in
from tests.support.everywhere import QUERIES, Names
from tests.support.hostile import names, whole
from tests.support.live import QUICK, LiveDaemon, LiveSim, to, until
from tests.support.scene import tag
from tests.support.webhook import Answer, Webhook, ok_json

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(600)]

TABLES = json.loads((Path(__file__).parents[1] / "data" / "document_tables.json").read_text())
TITLES = {table["title"]: number for number, table in TABLES.items()}
LINKS = (
    "javascript:alert(1)",
    "JaVaScRiPt://x/%0aalert(1)",
    "java\tscript:alert(1)",
    "\x01javascript:alert(1)",
    " javascript:alert(1)",
    "javascript&colon;alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+",
    "vbscript:msgbox(1)",
    "blob:null/x",
    "file:///etc/passwd",
    "http://evil.example/x",
    "//evil.example/x",
    "\\\\evil.example\\x",
    "https:alert(1)",
    "https:///evil.example",
    "https:\n//evil.example",
    "about:srcdoc",
)
INJECTIONS = (
    "'\"><img src=x onerror=alert(1)>",
    '<iframe srcdoc="<script>parent.alert(1)</script>"></iframe>',
    '<svg><a xlink:href="javascript:alert(1)"><text>x</text></a><animate attributeName=href values=javascript:x>',
    "<svg><script href=data:,alert(1) /></svg><svg onload=alert(1)>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "</title><script>alert(1)</script>",
    "</textarea></option></select><script>alert(1)</script>",
    "<details open ontoggle=alert(1)><summary>x</summary></details>",
    "<video><source onerror=alert(1)></video><audio src onerror=alert(1)>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "<template><script>alert(1)</script></template><object data=data:text/html,x></object>",
    "<embed src=//evil.example><base href=//evil.example>",
    "<link rel=stylesheet href=//evil.example><style>@import '//evil.example'</style>",
    "{{7*7}} {% include '/etc/passwd' %} {{ ''.__class__.__mro__ }} ${alert(1)} #{1} <%= 1 %> [[${1}]]",
    (
        "jaVasCript:/*-/*`/*\\`/*'/*\"/**"
        "/(/* */oNcliCk=alert() )//%0D%0A//</stYle/</titLe/</scRipt/--!>\\x3csVg/oNloAd=x//"
    ),
    "\u2028\u2029</script>\u202e<script>alert(1)//",
    "%3Cscript%3Ealert(1)%3C/script%3E &lt;script&gt;alert(1)&lt;/script&gt; &#x3c;script&#x3e;",
)
STATES = ("SUCCEED", "FAILED", "PROCESSING", "WAITING", "BLOCK")


def document(text: str, link: str, table: str = "5") -> dict[str, Any]:
    """An answer of the service with all fields of the document, each text `text`, and each address `link`."""

    def value(name: str, kind: str) -> object:
        if kind == "String":
            return link if "url" in name else text
        if kind in ("Integer", "Float", "Boolean"):
            return {"Integer": 1, "Float": 1.5, "Boolean": True}[kind]
        inner = document(text, link, TITLES[kind.removeprefix("Array of ").partition(" object")[0]])
        return [inner] if kind.startswith("Array") else inner

    return {name: value(name, kind) for name, kind in TABLES[table]["fields"].items()}


def answers() -> Iterator[tuple[str, str, bytes]]:
    """Job id, hostile text and the service's answer, of each job."""
    texts = [*map(whole, names()), *LINKS, *INJECTIONS]
    for number, text in enumerate(texts):
        job = f"{number:032x}"
        state = text if number % 7 == 6 and text.strip() else STATES[number % len(STATES)]
        body = document(text[:2000], LINKS[number % len(LINKS)]) | {"job_id": job, "state": state}
        yield job, text, json.dumps(body).encode("utf-8", "replace")


def track(port: int, cast: list[tuple[str, str, bytes]]) -> None:
    """Track them with their texts as label, tag and batch, note every fifth, and mute ten."""
    jobs = [
        {"job_id": job, "label": text[:190], "tags": [tag(text, "t")], "batch": tag(text, "b")}
        for job, text, _ in cast
    ]
    for first in range(0, len(jobs), 50):
        status, _, body = ask(port, "POST", "/api/v1/jobs", {"jobs": jobs[first : first + 50]})
        assert status == 200, body
    for number, (job, text, _) in enumerate(cast):
        if number % 5 == 0 and text.strip():
            assert ask(port, "PATCH", f"/api/v1/jobs/main/{job}", {"note": f"x{text}"[:400]})[0] == 200
        if number % 10 == 0:
            wish = {"scope": "job", "subject": job, "project": "main", "for": 3600, "comment": f"x{text}"[:400]}
            assert ask(port, "POST", "/api/v1/mutes", wish)[0] in (200, 201), wish


async def check(page: Page, own: str, path: str) -> None:
    told = await page.goto(own + path)
    assert told is not None
    assert told.status == 200, path
    assert await active_content(page) == [], path


async def test_no_text_and_no_link_of_others_runs_or_leads_away(tmp_path: Path) -> None:
    port, cast = free_port(), list(answers())
    refusal = ok_json({"message": INJECTIONS[0], "error": INJECTIONS[1]}, status=400)
    with LiveSim(show_rate=100.0) as sim, Webhook() as hook:
        hook.program(*[refusal, refusal, Answer()] * 20)  # a channel that refuses everything is held instead
        sim.do(lambda it: [it.answer(job, body) for job, _, body in cast])
        polling = QUICK + 'feed = "off"\n[log]\nformat = "json"\n'
        with LiveDaemon(tmp_path, sim.project() + to(hook) + web(port) + polling) as daemon:
            track(port, cast)
            known = {job for job, text, _ in cast}
            until(
                "each was polled", lambda: known <= {job for job, (state, _) in daemon.states().items() if state}
            )
            until("an alert was given up", lambda: bool(daemon.json("deliveries", "--status", "dead")))
            own = f"http://127.0.0.1:{port}"
            async with chromium(own) as (context, watched):
                page = await context.new_page()
                await log_in(page, own, TOKEN)
                sample = Names(
                    project="main",
                    job_id=cast[0][0],
                    batch=tag(cast[0][1], "b"),
                    channel="hook",
                    delivery=1,
                    link="none",
                    share=shared(port, tag(cast[0][1], "b")),
                )
                await check_all(page, own, sample)
                await follow(page, own)
                for job, _, _ in cast:
                    await check(page, own, f"/jobs/main/{job}")
                await page.click(".language button")
                await check_all(page, own, sample)
                watched.check()


def shared(port: int, batch: str) -> str:
    """The token of a share of a batch."""
    status, _, body = ask(port, "POST", f"/api/v1/batches/main/{quote(batch, safe='')}/share", {})
    assert status == 200, body
    return str(json.loads(body)["url"]).rpartition("/")[2]


async def check_all(page: Page, own: str, sample: Names) -> None:
    """Read all pages but those of single jobs."""
    for route, methods in PAGES.items():
        if "GET" not in methods or route == "/jobs/{project}/{job_id}" or route.endswith("/cover/{n}"):
            continue
        for path in (sample.filled(route) + query for query in QUERIES.get(route, ("",))):
            told = await page.request.get(own + path)
            if told.headers["content-type"].startswith("text/html"):
                await check(page, own, path)


async def follow(page: Page, own: str) -> None:
    """Read all pages of the list of jobs, as a table and as a wall."""
    for view in ("table", "wall"):
        seen, path = 0, f"/jobs?view={view}"
        while True:
            await check(page, own, path)
            seen += 1
            onward = page.locator("a[rel=next]")
            if not await onward.count():
                break
            path = (await onward.get_attribute("href")) or ""
        assert seen > 1
