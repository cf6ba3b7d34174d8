"""Who may use which route: every route with every kind of token, under every kind of Host, on a real socket."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from daemon.commands.tokens import create_token, revoke_token
from daemon.domain.actions import Actor
from daemon.domain.tokens import RANDOM_BYTES, ApiScope
from daemon.store import StoreBusy
from daemon.web.access import USE_NOTED
from daemon.web.bodies import PROBLEM
from daemon.web.scopes import PAGES, ROUTES
from tests.support.browsing import FORM, Browser, logged_in
from tests.support.web import NOW, TOKEN, Answer, Desk, desk

WHO = Actor("cli:ann")
SCOPES = list(ApiScope)


def made(it: Desk, scope: ApiScope, *, number: int = 0, days: float | None = None, name: str = "") -> str:
    """Create a token; return its text."""
    random = bytes([number, SCOPES.index(scope)]) * 12 + b"x"
    assert len(random) == RANDOM_BYTES
    until = None if days is None else it.clock.now() + timedelta(days=days)
    created = it.store.write_now(
        lambda tx: create_token(
            tx, name or f"{scope}-{number}", scope, random=random, who=WHO, at=it.clock.now(), expires_at=until
        )
    )
    return created.text


def routes(it: Desk) -> list[tuple[str, str]]:
    """Every (method, path) of the router, with HEAD and OPTIONS as the server gives them."""
    app = it.app.asgi
    assert isinstance(app, Litestar)
    return [
        (method, route.path_format)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in sorted(route.methods - {"OPTIONS"})
    ]


async def test_every_route_is_in_the_table_and_the_table_has_no_others(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        listed = [(method, path) for path, methods in ROUTES.items() for method in methods]
        assert sorted(routes(it)) == sorted(listed)


async def test_the_matrix_of_routes_and_tokens(tmp_path: Path) -> None:
    """Refused before anything else of the request is looked at, or admitted; whatever the answer then is."""
    async with desk(tmp_path) as it:
        texts = {scope: made(it, scope) for scope in SCOPES}
        expired = made(it, ApiScope.ADMIN, number=1, days=1)
        revoked = made(it, ApiScope.ADMIN, number=2)
        it.store.write_now(lambda tx: revoke_token(tx, "admin-2", who=WHO, at=NOW))
        it.clock.advance(86400.0)
        wrong = [f"{texts[ApiScope.ADMIN][:-1]}x", "wrapd_" + "a" * 40, "x", TOKEN + "x", "wrapd_", "\xfc"]
        for method, path in routes(it):
            needed = ROUTES[path][method]
            filled = filled_in(path)
            if path in PAGES:
                for text in (None, *wrong, expired, *texts.values(), TOKEN):
                    sent = b"" if method == "POST" else None
                    told = await it.ask(method, filled, token=text, headers=FORM, body=sent)
                    assert to_login(told) == isinstance(needed, ApiScope), (method, path, text)
                continue
            for text in (None, *wrong, expired, revoked):
                told = await it.ask(method, filled, token=text)
                if isinstance(needed, ApiScope):
                    assert told.status == 401, (method, path, text)
                    assert told.headers["www-authenticate"] == 'Bearer realm="wrapd"'
                    assert told.headers["content-type"] == PROBLEM
                else:
                    assert "www-authenticate" not in told.headers, (method, path, text)
            for scope, text in (*texts.items(), (ApiScope.ADMIN, TOKEN)):
                told = await it.ask(method, filled, token=text)
                if isinstance(needed, ApiScope):
                    assert (told.status == 403) == (not scope.includes(needed)), (method, path, scope)
                    assert told.status != 401, (method, path, scope)


def filled_in(path: str) -> str:
    """A path of the router with names of what does not exist."""
    filled = path.replace("{project}", "main").replace("{id}", "1").replace("{n}", "1")
    for part in ("{job_id}", "{name}", "{token}", "{secret}"):
        filled = filled.replace(part, "none")
    return filled


def to_login(told: Answer) -> bool:
    """Whether the answer sends a browser without a session to the form."""
    return told.status == 303 and told.headers["location"].startswith("/login")


async def test_the_matrix_of_routes_and_sessions(tmp_path: Path) -> None:
    """A session reads the API and the pages by its scope, and changes something only by a form with its own token.
    One that has ended, by hand, idleness, its token's end or revocation, does nothing."""
    async with desk(tmp_path) as it:
        browsers = {scope: await logged_in(it, made(it, scope)) for scope in SCOPES}
        stranger = await logged_in(it, made(it, ApiScope.ADMIN, number=3))
        ended, idle = await logged_in(it, TOKEN), await logged_in(it, TOKEN)
        revoked = await logged_in(it, made(it, ApiScope.ADMIN, number=1))
        expired = await logged_in(it, made(it, ApiScope.ADMIN, number=2, days=0.25))
        kept = dict(ended.cookies)
        await ended.send("/logout")
        ended.cookies.update(kept)
        it.store.write_now(lambda tx: revoke_token(tx, "admin-1", who=WHO, at=NOW))
        for _ in range(2):
            it.clock.advance(0.25 * 86400.0)
            for browser in (*browsers.values(), stranger):
                assert (await browser.get("/account")).status == 200
            await it.tasks.end(patience=10)
        for method, path in routes(it):
            needed = ROUTES[path][method]
            if not isinstance(needed, ApiScope) or path == "/logout":
                continue
            of_another = await stranger.token()
            for browser in (ended, idle, revoked, expired, Browser(it)):
                told = await browser.ask(method, filled_in(path), {"csrf": of_another})
                assert to_login(told) if path in PAGES else told.status == 401, (method, path)
            for scope, browser in browsers.items():
                for form in ({}, {"csrf": ""}, {"csrf": "x"}, {"csrf": of_another}) if method != "GET" else ():
                    unsigned = await browser.ask(method, filled_in(path), form)
                    assert unsigned.status == (403 if path in PAGES else 401), (path, scope, form)
                if method != "GET" and path not in PAGES:
                    continue
                signed = await browser.ask(method, filled_in(path), {"csrf": await browser.token()})
                assert (signed.status == 403) == (not scope.includes(needed)), (method, path, scope)
                assert not to_login(signed) or "revoke" in path, (method, path, scope)
                if "revoke" in path:
                    browsers[scope] = await logged_in(it, made(it, scope, number=9))


async def test_a_route_without_an_entry_is_open_to_no_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(tmp_path) as it:
        monkeypatch.delitem(ROUTES, "/healthz")  # type: ignore[arg-type]
        assert (await it.ask("GET", "/healthz", token=TOKEN)).status == 403


async def test_why_a_token_is_refused_is_told_to_who_has_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        text = made(it, ApiScope.READ, days=1)
        path = "/api/v1/jobs/main/none"
        assert (await it.ask("GET", path, token=text)).status == 404
        it.clock.advance(86400.0)
        assert "it has expired" in (await it.ask("GET", path, token=text)).json()["detail"]
        assert "it is wrong" in (await it.ask("GET", path, token=f"{text[:-1]}7")).json()["detail"]
        assert made(it, ApiScope.READ, number=1, name="read-0")


async def test_tokens_work_without_one_in_the_config(tmp_path: Path) -> None:
    async with desk(tmp_path, token=None) as it:
        text = made(it, ApiScope.WRITE)
        assert (await it.ask("POST", "/api/v1/jobs", body={"job_id": "j-1"}, token=text)).status == 200
        [row] = it.store.read(lambda tx: tx.actions.page(limit=1, subject="j-1")).rows
        assert row.who == "token:write-0"
        assert (await it.ask("GET", "/api/v1/jobs/main/j-1")).status == 403


async def test_a_use_is_noted_once_a_minute_and_never_holds_a_read_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as it:
        text, writes, write = made(it, ApiScope.READ), 0, it.store.write

        async def counted(work: object) -> object:
            nonlocal writes
            writes += 1
            return await write(work)  # type: ignore[arg-type]

        monkeypatch.setattr(it.store, "write", counted)
        for _ in range(3):
            assert (await it.ask("GET", "/api/v1/jobs/main/none", token=text)).status == 404
        it.clock.advance(USE_NOTED)
        await it.ask("GET", "/api/v1/jobs/main/none", token=text)
        await it.tasks.end(patience=10)
        assert writes == 2
        [known] = it.store.read(lambda tx: tx.tokens.list())
        assert known.used_at == NOW + timedelta(seconds=USE_NOTED)

        async def busy(_work: object) -> None:
            raise StoreBusy("busy")

        monkeypatch.setattr(it.store, "write", busy)
        it.clock.advance(USE_NOTED)
        assert (await it.ask("GET", "/api/v1/jobs/main/none", token=text)).status == 404


async def test_a_database_that_cannot_be_read_is_no_refusal(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        text = made(it, ApiScope.READ)
        it.store.close()
        told = await it.ask("GET", "/api/v1/jobs/main/none", token=text)
        assert (told.status, told.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/healthz/", 404),
        ("GET", "//healthz", 404),
        ("GET", "/v/" + "a" * 1100, 414),
        ("GET", "/api/v1/jobs/main/j-1", 401),
        ("DELETE", "/healthz", 405),
        ("OPTIONS", "/api/v1/jobs", 405),
    ],
)
async def test_every_error_is_a_problem(tmp_path: Path, method: str, path: str, status: int) -> None:
    async with desk(tmp_path) as it:
        told = await it.ask(method, path)
        assert (told.status, told.headers["content-type"]) == (status, PROBLEM)
        found = told.json()
        assert (found["status"], found["type"]) == (status, "about:blank")
        assert found["title"]
        assert found["detail"] == found["error"], "the old key stays for a version"
        assert ("allow" in told.headers) == (status == 405)


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:8787", True),
        ("localhost", True),
        ("WRAPD.example.com", True),
        ("wrapd.lan:80", True),
        ("evil.example", False),
        ("10.0.0.7", False),
    ],
)
async def test_the_api_is_answered_under_names_of_this_server_only(
    tmp_path: Path, host: str, answered: bool
) -> None:
    async with desk(tmp_path, hosts=("wrapd.lan",)) as it:
        headers = {"Host": host}
        for path in ("/api/v1/jobs/main/none", "/nothing"):
            told = await it.ask("GET", path, headers=headers, token=TOKEN)
            assert told.status == (404 if answered else 421), path
        assert (await it.ask("GET", "/v/" + "a" * 32, headers=headers)).status == 404
        assert (await it.ask("POST", "/callbacks/main", headers=headers)).status == 401


@pytest.mark.parametrize(("hosts", "status"), [((), 404), (("wrapd.lan",), 421)])
async def test_who_lets_others_reach_it_may_limit_its_names(
    tmp_path: Path, hosts: tuple[str, ...], status: int
) -> None:
    async with desk(tmp_path, host="0.0.0.0", hosts=hosts) as it:
        told = await it.ask("GET", "/api/v1/jobs/main/none", headers={"Host": "wrapd:8787"}, token=TOKEN)
        assert told.status == status
        assert (await it.ask("GET", "/healthz", headers={"Host": "wrapd:8787"})).status == 200
        for mine in ("wrapd.example.com", *hosts):
            told = await it.ask("GET", "/api/v1/jobs/main/none", headers={"Host": mine}, token=TOKEN)
            assert told.status == 404


async def test_metrics_are_for_this_machine_and_for_tokens(tmp_path: Path) -> None:
    """Behind a proxy on this machine, uvicorn names the proxy's client."""
    async with desk(tmp_path) as it:
        far = {"X-Forwarded-For": "203.0.113.7"}
        assert (await it.ask("GET", "/metrics")).status == 200
        assert (await it.ask("GET", "/metrics", headers=far)).status == 401
        assert (await it.ask("GET", "/metrics", headers=far, token=made(it, ApiScope.READ))).status == 200
        assert (await it.ask("GET", "/healthz", headers=far)).status == 200


async def test_many_made_up_tokens_look_little_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(tmp_path) as it:
        now = most = 0
        read = it.store.read_async

        async def counted(work: object) -> object:
            nonlocal now, most
            now += 1
            most = max(most, now)
            try:
                return await read(work)  # type: ignore[arg-type]
            finally:
                now -= 1

        monkeypatch.setattr(it.store, "read_async", counted)
        asked = [it.ask("GET", "/api/v1/jobs/main/none", token="wrapd_" + "a" * 40) for _ in range(20)]
        assert {each.status for each in await asyncio.gather(*asked)} == {401}
        assert most <= 2
