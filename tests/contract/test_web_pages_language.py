"""Every page, error and refusal is in the reader's language alone: what is left in the other one is a name, an
identifier, or what a service said."""

import re
from collections.abc import Iterator, Mapping
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from daemon.commands.shares import share_batch
from daemon.commands.tokens import create_token
from daemon.domain.durations import fit
from daemon.domain.jobs import JobId
from daemon.domain.shares import LEAST_SHARE
from daemon.domain.tokens import ApiScope
from daemon.store import TrackRequest
from daemon.tasks import Defects
from daemon.web.bodies import PROBLEM
from daemon.web.pages import overview
from daemon.web.pages.chinese import CHINESE
from daemon.web.scopes import PAGES
from tests.contract.test_web_pages_lists import FACTS
from tests.support.browsing import FORM, Browser, logged_in
from tests.support.everywhere import QUERIES, Names
from tests.support.scene import FULL, NAMES, WHO, whole_scene
from tests.support.store import A, B
from tests.support.visits import visits
from tests.support.web import MAIN, NOW, OTHER, TOKEN, Answer, Desk, desk

LANGUAGES = ("en", "zh-CN")
RECORDED = ("the avatar's licence has ended", "MSS.0042", "refused", "an end was missing")
"""What services said, as the scene has it: it is shown as it was recorded."""
NAMED = (
    *NAMES,
    *RECORDED,
    *("Autumn trailer, part ", "Lookbook, page ", "Anniversary speech", "Lookbook", FULL, "Winter lookbook"),
    *("Summer preview", "retake, wrong logo", "known, being fixed", "the account moves to another region"),
    *(
        "lost-",
        "stuck",
        "ended-",
        "spring",
        "retail",
        MAIN,
        OTHER,
        A,
        B,
        "cli:ann",
        "session:",
        "web.token",
        "token:",
        "reader",
        "waits",
        "web.public_url",
    ),
)
"""Names, labels, notes, reasons and ids of the scene."""
TERMS = {"wrapd", "MetaStudio", "HTTP", "UTC", "CSV", "JSON", "API", "POST", "English", "ssh", "https", "http"}
"""What is the same in both languages, and the button that changes the language."""
LATIN, CHINESE_CHARS = re.compile(r"[A-Za-z]{2,}"), re.compile("[\u3001-\u30ff\u4e00-\u9fff\uff00-\uffef]+")
SHOWN = {"alt", "title", "placeholder", "aria-label", "data-copied", "label"}
SAID_LATER = {"data-live", "data-reconnecting", "data-paused", "data-pause", "data-go", "data-changes"}
CODE = {"code", "pre", "script", "style"}


class Read(HTMLParser):
    """All that a page says to people: its texts, those that are heard, and those that come later. What is code is
    left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.language = ""
        self._code = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._code += tag in CODE
        if tag == "html":
            self.language = dict(attrs).get("lang") or ""
        self.said += [value or "" for name, value in attrs if name in SHOWN | SAID_LATER]

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in CODE

    def handle_data(self, data: str) -> None:
        if not self._code and data.strip():
            self.said.append(data.strip())


def left_in_the_other(page: str, language: str) -> list[str]:
    """What a page of this language says in the other one."""
    read = Read(page)
    assert read.language == language
    found = []
    for text in read.said:
        rest = re.sub(r"\b[0-9a-f]{8,}\b", " ", text)  # an id, before a name of one letter takes a part of it
        for name in sorted(NAMED, key=len, reverse=True):
            rest = re.sub(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])", " ", rest)
        rest = re.sub(r"\{n\}|/api/v1/\w+", " ", rest)
        if language == "en":
            foreign = [each for each in CHINESE_CHARS.findall(rest) if each != "中文"]
        else:
            foreign = [each for each in LATIN.findall(rest) if each not in TERMS]
        found += [text] if foreign else []
    return found


def wrong_addresses() -> Iterator[tuple[str, int]]:
    for query in ("cursor=x", "view=x", "since=x", "sort=x", "q=" + "x" * 201, "done=" + "x" * 30, "number=x"):
        yield f"/jobs?{query}", 422
    for path in ("/deliveries?status=x", "/deliveries?since=x", "/deliveries/retry?q=x", "/batches?cursor=x"):
        yield path, 422
    yield from (("/stats?days=5", 422), ("/jobs/bulk?what=x", 422), ("/stats?project=none", 404))
    for path in ("/jobs/main/none", "/static/none", f"/batches/{MAIN}/none", "/share/none", "/v/" + "a" * 32):
        yield path, 404


def wrong_forms(names: Names) -> Iterator[tuple[str, Mapping[str, str], int]]:
    job, batch = f"/jobs/{MAIN}/{names.job_id}", f"/batches/{MAIN}/Spring%20campaign"
    yield "/language", {"to": "x"}, 422
    yield f"{job}/note", {"note": "x" * 501}, 422
    for path in (f"{job}/mute", f"{batch}/mute"):
        yield path, {"hours": "5"}, 422
        yield path, {"hours": "1"}, 422
        yield path, {"hours": "1", "comment": "x" * 501}, 422
    yield f"{job}/retry", {"delivery": "x"}, 404
    yield f"/jobs/{MAIN}/none/ask", {}, 404
    yield f"/batches/{MAIN}/none/mute", {"hours": "1", "comment": "x"}, 404
    yield f"{batch}/share", {"days": "5"}, 422
    yield f"/batches/{MAIN}/none/share", {"days": "7"}, 404
    yield f"{batch}/unshare", {"share": "99"}, 404
    for act in ("retry", "release"):
        yield f"/needs/{act}", {"channel": "x"}, 404
    yield "/needs/resume", {"project": "x"}, 404
    yield "/needs/track", {"project": MAIN, "job_id": "x"}, 404
    yield "/needs/resend", {"project": MAIN, "job_id": "ended-2"}, 422
    yield "/jobs/bulk", {"what": "x"}, 422
    yield "/jobs/bulk", {"what": "mute", "of": "all", "hours": "5"}, 422
    for what in ("ask", "mute", "untrack", "retry"):
        yield "/jobs/bulk", {"what": what, "of": "all", "hours": "1", "expect": "77"}, 409
    yield "/deliveries/retry", {"expect": "x"}, 422
    yield "/deliveries/retry", {"expect": "77"}, 409
    for act in ("retry", "cancel", "resend"):
        yield f"/deliveries/99999/{act}", {}, 404
    yield f"/deliveries/{names.delivery}/resend", {}, 422
    for act in ("test", "release"):
        yield f"/channels/none/{act}", {}, 404
    for act in ("pause", "resume"):
        yield f"/projects/none/{act}", {}, 404
    yield f"/projects/{MAIN}/pause", {"comment": "x" * 501}, 422
    yield "/account/sessions/none/end", {}, 404
    yield "/account/token/revoke", {}, 404


async def the_scene(it: Desk) -> Names:
    """The scene with a batch that has not begun, and two shares: one that is over, one revoked."""
    names = await whole_scene(it)
    wanted = TrackRequest(project=MAIN, kind="avatar", job_id=JobId("waits"), batch="Summer preview")
    it.store.write_now(lambda tx: tx.jobs.track(wanted, at=NOW))
    report = {**FACTS, "up": False, "down_since": NOW.isoformat(), "refused_since": NOW.isoformat()}
    it.store.write_now(lambda tx: tx.statuses.set(MAIN, report, NOW))
    it.refusing.add(str(B))
    return names


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page(tmp_path: Path, language: str) -> None:
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        names = await the_scene(it)
        browser = await logged_in(it, TOKEN, **{"Accept-Language": language})
        paths = [path for each in (await visits(browser, names, list(it.jobs()))).values() for path in each]
        paths += [
            f"/batches/{MAIN}/Summer%20preview",
            "/deliveries?status=held",
            "/jobs?since=24h",
            "/stats?days=7",
        ]
        left = {}
        for durations in (it.durations, fit({}, {})):
            it.durations = durations
            for path in paths:
                told = await browser.get(path)
                assert told.status == 200, path
                left[path] = left_in_the_other(told.body.decode(), language)
        assert {path: said for path, said in left.items() if said} == {}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_without_anything_on_it(tmp_path: Path, language: str) -> None:
    async with desk(tmp_path, channels=()) as it:
        browser = await logged_in(it, TOKEN, **{"Accept-Language": language})
        for route in (route for route, methods in PAGES.items() if "GET" in methods and "{" not in route):
            path = route + QUERIES.get(route, ("",))[0]
            told = await browser.get(path)
            assert told.status == 200, path
            assert left_in_the_other(told.body.decode(), language) == [], path


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_error_and_refusal(tmp_path: Path, language: str) -> None:
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        names = await the_scene(it)
        text = it.store.write_now(
            lambda tx: create_token(tx, "reader", ApiScope.READ, random=bytes(25), who=WHO, at=NOW)
        ).text
        browser = await logged_in(it, TOKEN, **{"Accept-Language": language})
        reader = await logged_in(it, text, **{"Accept-Language": language})
        token = await browser.token()
        left = {}

        def look(what: str, told: Answer, status: int) -> None:
            assert (told.status, told.headers["content-type"]) == (status, "text/html; charset=utf-8"), what
            left[what] = left_in_the_other(told.body.decode(), language)

        for path, status in wrong_addresses():
            look(path, await browser.get(path), status)
        for path, form, status in wrong_forms(names):
            told = await browser.ask("POST", path, {"csrf": token, **form})
            look(f"{path} {form}", told, status)
            [after] = re.findall(r'name="next" value="([^"]*)"', told.body.decode())
            seen = await browser.get(unescape(after))
            assert seen.status == 200, (path, "the page after a change of the language", after)
        look("no scope", await reader.get("/jobs/bulk?what=ask&of=all"), 403)
        look("old form", await browser.ask("POST", "/logout", {"csrf": "x"}), 403)
        foreign = {**FORM, "Sec-Fetch-Site": "cross-site"}
        look("foreign form", await browser.ask("POST", "/logout", {}, **foreign), 403)
        look("no form", await browser.ask("POST", "/logout", {}, **{"Content-Type": "text/plain"}), 415)
        look("large form", await browser.ask("POST", "/logout", {"csrf": "x" * 200_000}), 413)
        guest = Browser(it, {"Accept-Language": language})
        for form in ({"token": "x"}, {"once": "x"}):
            look(str(form), await guest.ask("POST", "/login", form), 403)
        for channel in (A, B):
            look(f"test {channel}", await browser.send(f"/channels/{channel}/test"), 200)
        share = it.store.write_now(
            lambda tx: share_batch(tx, MAIN, FULL, lasts=LEAST_SHARE, random=bytes(32), who=WHO, at=NOW)
        )
        it.clock.advance(120)
        look("a share that is over", await guest.get(f"/share/{share.secret}"), 404)
        assert {what: said for what, said in left.items() if said} == {}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_address_where_nobody_can_log_in(tmp_path: Path, language: str) -> None:
    async with desk(tmp_path, hosts=("wrapd.lan",)) as it:
        guest = Browser(it, {"Accept-Language": language, "Host": "wrapd.lan"})
        told = await guest.get("/login")
        assert told.status == 403
        assert left_in_the_other(told.body.decode(), language) == []


def test_what_is_planted_is_found() -> None:
    page = '<html lang="{}"><p>{}</p><p title="{}">8</p></html>'
    assert left_in_the_other(page.format("zh-CN", "wrapd 没有", CHINESE.needs), "zh-CN") == []
    assert left_in_the_other(page.format("zh-CN", "没有", "not sent"), "zh-CN") == ["not sent"]
    assert left_in_the_other(page.format("en", "not sent: 春节祝福", "没有"), "en") == ["没有"]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_wrong_address_in_a_browser_and_an_error_of_wrapds_own_are_pages_too(
    tmp_path: Path, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as it:
        browser = Browser(it, {"Accept-Language": language, "Accept": "text/html,*/*;q=0.8"})
        for path, status in (("/nothing", 404), ("/v/a/b/c", 404), ("/logout", 405)):
            told = await browser.get(path)
            assert (told.status, told.headers["content-type"]) == (status, "text/html; charset=utf-8"), path
            assert left_in_the_other(told.body.decode(), language) == []
            assert (await it.ask("GET", path)).headers["content-type"] == PROBLEM, "to tools"
        for path in ("/api/v1/nothing", "/callbacks/x/y/z"):
            assert (await browser.get(path)).headers["content-type"] == PROBLEM, path
        browser = await logged_in(it, TOKEN, **{"Accept-Language": language})
        noted: list[BaseException] = []
        monkeypatch.setattr(Defects, "note", lambda _, __, error: noted.append(error))
        monkeypatch.setattr(overview, "_today", lambda *_: 1 / 0)
        told = await browser.get("/")
        assert (told.status, told.headers["content-type"]) == (500, "text/html; charset=utf-8")
        assert left_in_the_other(told.body.decode(), language) == []
        assert [type(each) for each in noted] == [ZeroDivisionError]
