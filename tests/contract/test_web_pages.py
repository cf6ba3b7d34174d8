"""The pages over a real socket, without a browser: what they show, escape, allow and weigh, and what their forms
do."""

import gzip
import re
import string
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec.structs import fields

from daemon.commands.tokens import create_token
from daemon.domain.events import Event
from daemon.domain.tokens import ApiScope
from daemon.store import Bookkeeping, DeliveryStatus, to_stamp
from daemon.web.pages.chinese import CHINESE
from daemon.web.pages.english import ENGLISH
from daemon.web.pages.jobs import ROWS
from daemon.web.pages.rendering import HEADERS
from daemon.web.pages.texts import Texts
from tests.contract.test_web_api import dead
from tests.support.browsing import Browser, logged_in
from tests.support.hostile import names, whole
from tests.support.scene import NAMES, WHO, fill
from tests.support.store import BOTH, record
from tests.support.web import NOW, TOKEN, Desk, desk

PAGES = Path(__file__).parents[2] / "daemon/web/pages"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
JOB = "/jobs/main/" + "0" * 31
LEADING = {"href", "src", "action", "formaction", "cite", "data", "poster", "ping", "srcset", "background"}


class Reader(HTMLParser):
    """What a browser would make of a page: its elements, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def check_inert(page: str) -> Reader:
    """The page runs nothing of its own and leads out only by https."""
    seen = Reader(page)
    for tag, name, value in seen.attributes:
        assert not name.startswith("on"), (tag, name, value)
        assert name not in ("style", "srcdoc"), (tag, name, value)
        if name in LEADING:
            assert re.match(r"/(?!/)|https://|#", value), (tag, name, value)
    assert page.count("<script") == 1
    assert '<script type="module" src="/static/wrapd.js?v=' in page
    assert not seen.tags & {"style", "iframe", "object", "embed", "base", "link rel"}, seen.tags
    return seen


def paths(it: Desk) -> Iterator[str]:
    yield from ("/", "/jobs", "/jobs?view=wall", "/account", "/login")
    yield from ("/deliveries", "/deliveries/retry", "/channels", "/projects")
    yield from (f"/jobs/main/{job_id}" for job_id in it.jobs())


async def test_every_page_has_the_headers_and_nothing_inline(tmp_path: Path) -> None:
    assert HEADERS["Content-Security-Policy"] == CSP
    async with desk(tmp_path) as it:
        fill(it)
        browser = await logged_in(it, TOKEN)
        for path in (*paths(it), "/jobs/main/none", "/static/none"):
            told = await browser.get(path)
            assert told.status == (404 if "none" in path else 200), path
            assert {name: told.headers.get(name.lower()) for name in HEADERS} == dict(HEADERS), path
            assert told.headers["cache-control"] == "no-store"
            assert told.headers["content-type"] == "text/html; charset=utf-8"
            check_inert(told.body.decode())
        for name in ("wrapd.css", "wrapd.js", "icon.svg"):
            told = await Browser(it).get(f"/static/{name}")
            assert "immutable" in told.headers["cache-control"]
            assert told.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "https:\n//x", "http://v.example/a"])
async def test_hostile_names_and_links_stay_text(tmp_path: Path, url: str) -> None:
    """Each name is in every field of its job that people or the service fill."""
    corpus = [whole(name)[:200] for name in names()]
    jobs = corpus if url.startswith("javascript") else corpus[:12]
    async with desk(tmp_path) as it:
        fill(it, [f"x{text}" for text in jobs], foreign=jobs, url=url)
        browser = await logged_in(it, TOKEN)
        texts = [(PAGES / f"templates/{name}.html").read_text() for name in ("job", "muting")]
        tags = Reader("".join(texts)).tags
        for path in paths(it):
            page = (await browser.get(path)).body.decode()
            seen = check_inert(page)
            if path.startswith("/jobs/"):
                own = {"html", "head", "body", "meta", "link", "script", "header", "nav", "main", "footer", "div"}
                assert seen.tags <= tags | own | {"title", "bdi", "img", "form", "input", "button", "option"}, path
            links = [value for _, name, value in seen.attributes if name in LEADING]
            assert not [link for link in links if not link.startswith(("/", "#"))], path


async def test_names_are_shown_whole(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        browser = await logged_in(it, TOKEN)
        seen = Reader((await browser.get("/jobs")).body.decode()).text
        assert all(name in seen for name in NAMES)
        for language, text in (("en", "Nobody"), ("zh-CN", "视频尚未有人观看")):
            browser.cookies["wrapd_language"] = language
            page = (await browser.get("/")).body.decode()
            assert f'<html lang="{language}">' in page
            assert (text.lower() in page.lower()) or language == "en"


async def test_weights(tmp_path: Path) -> None:
    """A page of 50 jobs and the files next to it."""
    static = [path.read_bytes() for path in (PAGES / "static").iterdir() if path.suffix in (".css", ".js")]
    assert sum(map(len, static)) <= 25_000
    async with desk(tmp_path) as it:
        fill(it, [f"{NAMES[n % 12]} {n}" for n in range(60)])
        browser = await logged_in(it, TOKEN)
        told = await browser.ask("GET", "/jobs", **{"Accept-Encoding": "gzip"})
        assert told.headers["content-encoding"] == "gzip"
        page = gzip.decompress(told.body).decode()
        assert page.count("<tr role") == ROWS + 1
        assert len(told.body) <= 15_000
        assert len((await browser.ask("GET", "/jobs?view=wall", **{"Accept-Encoding": "gzip"})).body) <= 15_000
        plain = await browser.get("/jobs")
        assert "content-encoding" not in plain.headers


async def test_filters_and_paging(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it, [f"{NAMES[n % 12]} {n}" for n in range(120)])
        browser = await logged_in(it, TOKEN)
        seen: list[str] = []
        path: str | None = "/jobs?view=wall"
        while path is not None:
            page = (await browser.get(path)).body.decode()
            seen += re.findall(r'data-key="job-main/(\w+)"', page)
            found = re.search(r'rel="next" href="([^"]+)"', page)
            path = None if found is None else found[1].replace("&amp;", "&")
        assert len(seen) == len(set(seen)) == 120
        page = (await browser.get("/jobs?show=failed")).body.decode()
        assert page.count('class="state bad"') == 11, "10 rows and the chip"
        assert re.search(r'show=failed"[^>]*aria-current="true".*?<b>10</b>', page)
        page = (await browser.get("/jobs?q=parcel+8&batch=Spring+campaign")).body.decode()
        assert page.count("<tr role") == 3, "parcels 8 and 80"
        assert 'value="parcel 8"' in page
        assert "No jobs match" in (await browser.get("/jobs?tag=none")).body.decode()
        for wrong in ("/jobs?cursor=x", "/jobs?view=x", "/jobs?show=failed&cursor=x"):
            told = await browser.get(wrong)
            assert (told.status, told.headers["content-type"][:9]) == (422, "text/html"), wrong


async def test_what_people_do_to_a_job(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        it.watched.add(("main", "0" * 32))
        browser = await logged_in(it, TOKEN)
        running = "/jobs/main/" + "0" * 32
        for path, form, done in (
            ("ask", {}, "asked"),
            ("note", {"note": "  see <b>me</b>  "}, "noted"),
            ("mute", {"hours": "4", "comment": "later"}, "muted"),
            ("unmute", {}, "unmuted"),
        ):
            told = await browser.send(f"{running}/{path}", **form)
            assert (told.status, told.headers["location"]) == (303, f"{running}?done={done}")
            page = (await browser.get(told.headers["location"])).body.decode()
            assert ENGLISH.done[done] in page
            assert (">End the mute<" in page) == (done == "muted")
        assert it.hints == [("main", "0" * 32)]
        assert 'value="see &lt;b&gt;me&lt;/b&gt;"' in page
        assert (await browser.send(f"{JOB}7/ask")).headers["location"].endswith("unwatched")
        for path, form in (
            ("note", {"note": "x" * 501}),
            ("mute", {"hours": "5", "comment": "x"}),
            ("mute", {"hours": "1"}),
        ):
            assert (await browser.send(f"{running}/{path}", **form)).status == 422, (path, form)
        acts = it.store.read(lambda tx: tx.actions.page(limit=9, subject="0" * 32)).rows
        assert {(row.what, row.who) for row in acts} == {
            (what, "session:web.token") for what in ("ask", "note", "mute", "unmute")
        }


async def test_an_alert_that_was_given_up_is_sent_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it, NAMES[:2])
        browser = await logged_in(it, TOKEN)
        assert ENGLISH.retry not in (await browser.get(f"{JOB}1")).body.decode()
        given_up, _ = dead(it, it.job(f"{1:032x}").id)
        page = (await browser.get(f"{JOB}1")).body.decode()
        assert page.count(ENGLISH.retry) == 2, "one for each channel"
        assert (await browser.send(f"{JOB}0/retry", delivery=str(given_up))).status == 404, "that of another job"
        assert (await browser.send(f"{JOB}1/retry", delivery=str(given_up))).status == 303
        row = it.store.read(lambda tx: tx.deliveries.get(given_up))
        assert row is not None
        assert row.status is DeliveryStatus.PENDING


async def test_who_only_reads_sees_no_forms(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        text = it.store.write_now(
            lambda tx: create_token(tx, "ann", ApiScope.READ, random=bytes(25), who=WHO, at=NOW)
        ).text
        reader, writer = await logged_in(it, text), await logged_in(it, TOKEN)
        for path in ("/", f"{JOB}4"):
            assert (await reader.get(path)).body.count(b'name="csrf"') == 0, path
            assert (await writer.get(path)).body.count(b'name="csrf"') > 0, path


async def test_the_overview_says_what_needs_a_person_and_what_runs(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        browser = await logged_in(it, TOKEN)
        empty = (await browser.get("/")).body.decode()
        for text in (ENGLISH.needs_none, ENGLISH.batches_none, "<code>wrapd track JOB_ID</code>"):
            assert text in empty, "what to do first"
        it.track("first")
        assert ENGLISH.running_none in (await browser.get("/")).body.decode()
        fill(it)
        page = (await browser.get("/")).body.decode()
        count = (await browser.get("/api/v1/needs")).json()["count"]
        assert count > 0
        assert f"<title>({count}) Overview · wrapd</title>" in page
        seen = Reader(page).text
        assert "7 of 12 ended" in seen
        assert re.search(r"5\s*</dd>", page), "finished today"
        assert page.count("<rect ") == 3, "a range of each job in production"


async def test_the_days_of_utc_are_told_by_the_readers_clock(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        browser = await logged_in(it, TOKEN)
        for zone, hour, began in (
            ("Asia/Shanghai", "08:00", "08:00"),
            ("America/New_York", "19:00", "28 Feb 19:00"),
            ("UTC", "00:00", "00:00"),
        ):
            browser.cookies["wrapd_zone"] = zone
            assert ENGLISH.today_hint.format(time=began) in (await browser.get("/")).body.decode(), zone
            assert ENGLISH.stats_ends_hint.format(time=hour) in (await browser.get("/stats")).body.decode(), zone


async def test_a_job_that_is_lost_is_not_so_since_its_last_state(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        browser = await logged_in(it, TOKEN)
        row = it.track("gone")
        asked = NOW - timedelta(minutes=20)
        it.store.write_now(lambda tx: record(tx, row, "PROCESSING", at=NOW - timedelta(hours=3)))
        assert "since 09:00" in Reader((await browser.get("/jobs/main/gone")).body.decode()).text
        kept = Bookkeeping(
            job=row, polls=9, last_polled_at=to_stamp(asked), next_poll_at=None, last_error="HTTP 404"
        )
        it.store.write_now(lambda tx: tx.jobs.checkpoint([kept]))
        it.store.write_now(lambda tx: tx.jobs.record_end(row, Event.LOST, at=NOW, routing=BOTH, reason="HTTP 404"))
        for path in ("/jobs/main/gone", "/jobs"):
            seen = Reader((await browser.get(path)).body.decode()).text
            assert "Lost" in seen
            assert ("11:40" in seen, "09:00" in seen.partition(ENGLISH.timeline)[0]) == (True, False), path


@pytest.mark.parametrize(
    ("headers", "cookie", "language"),
    [
        ({}, "", "en"),
        ({"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}, "", "zh-CN"),
        ({"Accept-Language": "zh-CN"}, "en", "en"),
        ({}, "zh-CN", "zh-CN"),
        ({}, "../x", "en"),
    ],
)
async def test_the_language_and_the_zone(
    tmp_path: Path, headers: dict[str, str], cookie: str, language: str
) -> None:
    async with desk(tmp_path) as it:
        browser = Browser(it, headers, {"wrapd_language": cookie} if cookie else {})
        told = await browser.get("/login")
        assert (told.headers["content-language"], f'<html lang="{language}">' in told.body.decode()) == (
            language,
            True,
        )
        other = "en" if language == "zh-CN" else "zh-CN"
        switched = await browser.ask("POST", "/language", {"to": other, "next": "/login?next=/jobs"})
        assert (switched.status, switched.headers["location"]) == (303, "/login?next=/jobs")
        assert (await browser.get("/login")).headers["content-language"] == other
        for zone, shown in (
            ("Asia%2FShanghai", "Asia/Shanghai, UTC+8"),
            ("../../etc/passwd", "UTC"),
            ("x\xe9", "UTC"),
        ):
            browser.cookies["wrapd_zone"] = zone.encode("ascii", "replace").decode()
            assert shown in (await browser.get("/login")).body.decode(), zone


IN_ENGLISH_AS_THEY_ARE = {"need_texts", "errors", "no_ends", "recorded", "phrases"}


def placeholders(texts: Texts) -> dict[str, set[str]]:
    """The names in braces of each text, by its key."""

    def of(value: object) -> Iterator[tuple[str, str]]:
        if isinstance(value, str):
            yield "", value
        elif isinstance(value, dict):
            yield from ((str(key), text) for key, text in value.items())

    return {
        f"{field.name} {key}".strip(): {name for _, name, _, _ in string.Formatter().parse(text) if name}
        for field in fields(Texts)
        for key, text in of(getattr(texts, field.name))
        if field.name
        not in ("need_texts", "errors", "no_ends", "recorded", "phrases")  # English has those as they are
    }


def test_both_languages_say_the_same_and_every_text_is_used() -> None:
    assert placeholders(ENGLISH) == placeholders(CHINESE)
    sources = "".join(path.read_text() for path in PAGES.parent.rglob("*") if path.suffix in (".html", ".py"))
    unused = [
        field.name for field in fields(Texts) if not re.search(rf"\b(?:t|texts|texts\.)\.?{field.name}\b", sources)
    ]
    assert unused == []
