"""Sessions of the pages: how one begins and ends, its cookie, what a form must prove, and `wrapd web login`."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from daemon.clock import ManualClock
from daemon.commands.sessions import make_login
from daemon.commands.tokens import create_token
from daemon.domain.actions import Actor
from daemon.domain.sessions import IDLE, LOGIN_WITHIN, LONGEST, secret_digest
from daemon.domain.tokens import ApiScope
from daemon.errors import Exit
from daemon.store import Store
from daemon.web.access import USE_NOTED
from tests.support.browsing import FORM, Browser, logged_in
from tests.support.cli_runner import Runner
from tests.support.store import url_of
from tests.support.web import NOW, TOKEN, desk

WHO = Actor("cli:ann")
RANDOM = bytes(range(25))
PLAIN, SECURE = "wrapd_session", "__Host-wrapd"


@pytest.mark.parametrize(
    ("headers", "cookie"),
    [
        ({}, PLAIN),
        ({"Host": "localhost:8787"}, PLAIN),
        ({"X-Forwarded-Proto": "https"}, SECURE),
        ({"Host": "wrapd.example.com"}, SECURE),
    ],
)
async def test_the_cookie_of_a_session(tmp_path: Path, headers: dict[str, str], cookie: str) -> None:
    """`Secure` wherever people come by https: browsers drop such a cookie on http."""
    async with desk(tmp_path) as it:
        browser = Browser(it, headers)
        told = await browser.ask("POST", "/login", {"token": TOKEN, "next": "/account?a=%C3%BC&b"})
        name, _, rest = told.headers["set-cookie"].partition("=")
        value, _, given = rest.partition("; ")
        assert (told.status, told.headers["location"], name) == (303, "/account?a=%C3%BC&b", cookie)
        wanted = {"HttpOnly", "Max-Age=1209600", "Path=/", "SameSite=lax"} | (
            {"Secure"} if cookie == SECURE else set()
        )
        assert set(given.split("; ")) == wanted
        [row] = it.store.read(lambda tx: tx.sessions.open("web.token", now=NOW))
        assert value not in repr(row), "only its digest is kept"
        assert value not in {row.digest, row.id, row.proof}
        assert (await browser.get("/account")).status == 200
        assert (await browser.get("/api/v1/jobs")).status == 200
        other = Browser(it, headers, {SECURE if cookie == PLAIN else PLAIN: value})
        assert (await other.get("/account")).status == 303, "the cookie of another kind of address"


async def test_plain_http_from_elsewhere_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with desk(tmp_path, host="0.0.0.0", public_url=None) as it:
        browser = Browser(it, {"Host": "192.0.2.7:8787"})
        told = await browser.get("/login")
        assert (told.status, "plain http" in told.body.decode()) == (403, True)
        assert b'name="token"' not in told.body
        refused = await browser.ask("POST", "/login", {"token": TOKEN})
        assert (refused.status, "set-cookie" in refused.headers) == (403, False)
        assert "plain http" in refused.body.decode()


async def test_a_wrong_token_begins_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        text = it.store.write_now(
            lambda tx: create_token(
                tx, "cms", ApiScope.READ, random=RANDOM, who=WHO, at=NOW, expires_at=NOW + timedelta(hours=1)
            )
        ).text
        for wrong in ("", "x", text[:-1] + "x", TOKEN + "x"):
            told = await Browser(it).ask("POST", "/login", {"token": wrong, "next": "/jobs"})
            assert (told.status, "set-cookie" in told.headers) == (403, False), wrong
            assert 'name="next" value="/jobs"' in told.body.decode()
        browser = await logged_in(it, f" {text}\n")
        it.clock.advance(3600.0)
        assert (await browser.get("/account")).status == 303, "it ends with its token"
        assert (await Browser(it).ask("POST", "/login", {"token": text})).status == 403


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/\nx", "x"]
)
async def test_a_login_leads_nowhere_else(tmp_path: Path, elsewhere: str) -> None:
    async with desk(tmp_path) as it:
        told = await Browser(it).ask("POST", "/login", {"token": TOKEN, "next": elsewhere})
        assert (told.status, told.headers["location"]) == (303, "/")


async def test_a_session_ends_by_idleness_by_age_and_at_a_new_login(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        idle = await logged_in(it, TOKEN)
        it.clock.advance(IDLE.total_seconds() - 1)
        assert (await idle.get("/account")).status == 200
        await it.tasks.end(patience=10)
        it.clock.advance(IDLE.total_seconds())
        assert (await idle.get("/account")).status == 303
        begun, old = it.clock.now(), await logged_in(it, TOKEN)
        while it.clock.now() + IDLE < begun + LONGEST:
            it.clock.advance(IDLE.total_seconds() - USE_NOTED)
            assert (await old.get("/account")).status == 200, it.clock.now()
            await it.tasks.end(patience=10)
        it.clock.advance((begun + LONGEST - it.clock.now()).total_seconds())
        assert (await old.get("/account")).status == 303
        again = await logged_in(it, TOKEN)
        before = dict(again.cookies)
        await again.ask("POST", "/login", {"token": TOKEN})
        assert again.cookies != before
        assert (await Browser(it, {}, before).get("/account")).status == 303, "the one before has ended"


async def test_a_session_ends_with_the_token_of_the_config(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        browser = await logged_in(it, TOKEN)
        context = it.app.context
        assert context is not None
        for token, status in (("another-token-of-24-chars", 303), (None, 303), (TOKEN, 200)):
            context.settings = type(context.settings)(host="127.0.0.1", port=0, token=token)
            assert (await browser.get("/account")).status == status, token


async def test_logging_out_and_ending_other_sessions_and_the_own_token(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        text = it.store.write_now(
            lambda tx: create_token(tx, "ann", ApiScope.READ, random=RANDOM, who=WHO, at=NOW)
        ).text
        mine, phone, bob = await logged_in(it, text), await logged_in(it, text), await logged_in(it, TOKEN)
        rows = it.store.read(lambda tx: tx.sessions.open("ann", now=NOW))
        assert len(rows) == 2
        [theirs] = it.store.read(lambda tx: tx.sessions.open("web.token", now=NOW))
        assert (await mine.send(f"/account/sessions/{theirs.id}/end")).status == 404
        told = await mine.get("/account")
        assert all(row.id in told.body.decode() for row in rows)
        await phone.send("/logout")
        assert PLAIN not in phone.cookies
        assert (await mine.get("/account")).status == 200
        assert (await bob.send("/account/token/revoke")).status == 404
        assert (await mine.send("/account/token/revoke")).headers["location"] == "/login"
        assert (await logged_in(it, TOKEN)).cookies
        assert (await Browser(it).ask("POST", "/login", {"token": text})).status == 403
        done = [(row.what, row.who) for row in it.store.read(lambda tx: tx.actions.page(limit=3)).rows]
        assert done[1:] == [("revoke_token", "session:ann"), ("logout", "session:ann")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 303),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
        ({"Origin": "http://127.0.0.1:8787", "Host": "127.0.0.1:8787"}, 303),
        ({"Origin": "http://127.0.0.1:8788", "Host": "127.0.0.1:8787"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"}, 415),
    ],
)
async def test_a_form_comes_from_a_page_of_this_server(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async with desk(tmp_path) as it:
        browser = await logged_in(it, TOKEN)
        body = f"csrf={await browser.token()}".encode()
        cookie = f"{PLAIN}={browser.cookies[PLAIN]}"
        sent = {"Content-Type": FORM["Content-Type"], "Cookie": cookie, **headers}
        assert (await it.ask("POST", "/logout", headers=sent, body=body)).status == status
        assert (await browser.get("/account")).status == (303 if status == 303 else 200)
        login = await it.ask("POST", "/login", headers={**sent, "Cookie": ""}, body=f"token={TOKEN}".encode())
        assert login.status == status


async def test_the_token_of_a_form_differs_each_time_and_is_of_its_session(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        browser, other = await logged_in(it, TOKEN), await logged_in(it, TOKEN)
        first, second = await browser.token(), await browser.token()
        assert first != second
        for wrong in ("", "x", first[:-1] + "x", await other.token(), first.replace(".", "")):
            assert (await browser.ask("POST", "/logout", {"csrf": wrong})).status == 403, wrong
        assert (await browser.ask("POST", "/logout", {"csrf": first})).status == 303


async def test_events_end_with_their_session(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        browser = await logged_in(it, TOKEN)
        [row] = it.store.read(lambda tx: tx.sessions.open("web.token", now=NOW))
        stream = await it.live.open(row.id)
        assert not stream.ended
        await browser.send("/logout")
        await it.heard(lambda news: any(each.kind == "token" for each in news.rows))
        assert stream.ended
        assert (await it.live.open(row.id)).ended, "one that is opened a moment later, too"


async def test_a_one_time_login_works_once_within_ten_minutes(tmp_path: Path) -> None:
    async with desk(tmp_path, token=None) as it:

        def make(scope: ApiScope, number: int) -> str:
            random = bytes([number]) * 32
            return it.store.write_now(lambda tx: make_login(tx, "ann", scope, random=random, at=it.clock.now()))

        secret = make(ApiScope.READ, 1)
        browser = Browser(it)
        asked = await browser.get(f"/login?once={secret}")
        assert (asked.status, f'value="{secret}"' in asked.body.decode()) == (200, True)
        assert asked.headers["referrer-policy"] == "no-referrer"
        assert (await browser.ask("POST", "/login", {"once": secret})).status == 303
        assert b"ann" in (await browser.get("/account")).body
        assert (await browser.get("/api/v1/tokens")).status == 403, "its scope"
        for used in (secret, "x", make(ApiScope.READ, 2)):
            if used not in (secret, "x"):
                it.clock.advance(LOGIN_WITHIN.total_seconds())
            assert (await Browser(it).ask("POST", "/login", {"once": used})).status == 403


async def test_the_pages_can_be_off(tmp_path: Path) -> None:
    async with desk(tmp_path, pages=False) as it:
        for path in ("/login", "/account"):
            assert (await Browser(it).get(path)).status == 404
        assert (await Browser(it).get("/static/wrapd.css")).status == 200, "for the page of a link that is over"


def test_web_login_prints_an_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrapd = Runner(tmp_path, capsys)
    assert wrapd("web", "login").status == Exit.DATABASE
    assert wrapd("db", "upgrade").status == 0
    told = wrapd("web", "login", "--scope", "read")
    assert "works once `wrapd run` is started" in told.err, "nothing answers there yet"
    printed = told.out.strip()
    parts = urlsplit(printed)
    assert (parts.scheme, parts.netloc, parts.path) == ("http", "127.0.0.1:8787", "/login")
    store = Store.open(url_of(wrapd.database), clock=ManualClock(NOW))
    digest = secret_digest(parts.query.removeprefix("once="))
    taken = store.write_now(lambda tx: tx.sessions.take_login(digest, at=NOW))
    store.close()
    assert taken is not None
    assert taken.scope is ApiScope.READ
    plain = wrapd.config.read_text()
    for public, begins in (("", "https://wrapd.example.com"), ("/under/a/path", "http://127.0.0.1:8787")):
        wrapd.config.write_text(f'{plain}\n[web]\npublic_url = "https://wrapd.example.com{public}"\n')
        assert wrapd("web", "login").out.startswith(f"{begins}/login?once="), "pages are not served under a path"
    wrapd.config.write_text(f"{plain}\n[web]\npages = false\n")
    assert "no pages" in wrapd("web", "login").err
