"""What must not be read over HTTP: signed URLs, tokens, sessions and wrapd's own links, in no answer of any route
but where the table below allows it. The routes are the router's, so a new one is asked too: the API by a token,
the pages by a session, in each language.
`e2e/test_canaries.py` does the same to a whole daemon, with the secrets of its config."""

import asyncio
from functools import partial
from pathlib import Path

from daemon.commands.tokens import create_token
from daemon.domain.jobs import Asset
from daemon.domain.tokens import ApiScope
from daemon.store import AttemptOutcome, Outcome, PictureRow, ThumbnailRow, Transaction
from daemon.web.pages.rendering import LANGUAGES
from daemon.web.scopes import PAGES, ROUTES
from tests.contract.test_web_tracking import end
from tests.support.browsing import Browser, logged_in
from tests.support.everywhere import Names, changes, reads
from tests.support.scene import share_of
from tests.support.store import WHO, A, B
from tests.support.visits import paths_of
from tests.support.web import NOW, TOKEN, Desk, desk

STORY = "/api/v1/jobs/{project}/{job_id}"
LINKS = {"preview": "preview-signature", "download": "download-signature", "cover": "cover-signature"}
ALLOWED = {
    STORY: set(LINKS),
    "/v/{token}": {"preview"},
    "/v/{token}/download": {"download"},
    "/jobs/{project}/{job_id}": {"own link"},
    "/share/{token}": {"share"},
}
"""What a route is for: the links of one job, where wrapd's own link leads, and a share's own covers."""


def url(signature: str) -> str:
    return f"https://files.example.com/a.mp4?AccessKeyId=x&Expires=1900000000&Signature={signature}"


async def everything(it: Desk, own: str) -> tuple[Names, dict[str, str]]:
    """A job with links, alerts in each state, an own link and a token; what must stay secret, by its name."""
    asset = Asset(**{f"{kind}_url": url(LINKS[kind]) for kind in LINKS}, asset_name="Film")  # type: ignore[arg-type]
    row = it.track("j-1", label="Film", tags=("tv",), batch="b-1")
    end(it, row, "PROCESSING", asset=asset, answer='{"state":"PROCESSING"}')
    end(it, row, "SUCCEED", asset=asset)

    def send(tx: Transaction) -> int:
        tx.links.of_job(row, token=own, at=NOW, life=86400.0)
        claimed = tx.outbox.claim(A, now=NOW)
        assert claimed is not None
        tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.DEAD, reason="no", status_code=400), at=NOW)
        held = tx.outbox.claim(B, now=NOW)
        assert held is not None
        refused = Outcome(kind=AttemptOutcome.HELD, reason="revoked", status_code=401, due_at=NOW)
        tx.outbox.finish(held, refused, at=NOW)
        return claimed.delivery.id

    made = partial(create_token, name="cms", scope=ApiScope.ADMIN, random=b"canary-in-a-token-bytes!!", who=WHO)
    token = it.store.write_now(lambda tx: made(tx, at=NOW, expires_at=None)).text
    delivery = it.store.write_now(send)
    kept = PictureRow(job=row, url=url("cover"), content_type="image/webp", data=b"x", fetched_at=NOW, error=None)
    it.store.write_now(lambda tx: tx.pictures.put(kept))
    it.store.write_now(
        lambda tx: tx.pictures.put_thumbnail(ThumbnailRow(job=row, data=b"x", width=320, height=180))
    )
    share, cover = await share_of(it, "b-1")
    names = Names(
        project="main",
        job_id="j-1",
        batch="b-1",
        channel=str(A),
        delivery=delivery,
        link=own,
        share=share,
        cover=cover,
    )
    return names, {**LINKS, "own link": own, "token": token[14:], "web.token": TOKEN, "share": share}


def spilt(text: str, secrets: dict[str, str], allowed: set[str]) -> set[str]:
    return {name for name, secret in secrets.items() if secret in text and name not in allowed}


async def test_no_answer_holds_a_secret_but_where_the_table_allows_it(tmp_path: Path) -> None:
    assert ALLOWED.keys() <= ROUTES.keys()
    seen: dict[str, set[str]] = {}
    async with desk(tmp_path) as it:
        names, secrets = await everything(it, "canary-of-an-own-link-32-chars-x")
        browser = await logged_in(it, TOKEN)
        secrets["session"] = browser.cookies["wrapd_session"]
        for route, path in reads(names):
            if route == "/api/v1/events":
                text = await streamed(it)
            elif route in PAGES:
                text = await read_page(browser, route, names)
            else:
                told = await it.ask("GET", path, token=TOKEN)
                assert told.status < 400, (path, told.body)
                text = f"{told.headers} {told.body.decode(errors='replace')}"
            assert not spilt(text, secrets, ALLOWED.get(route, set())), route
            seen[route] = spilt(text, secrets, set())
        assert {route: found for route, found in seen.items() if found} == ALLOWED, "the table allows too much"


async def read_page(browser: Browser, route: str, names: Names) -> str:
    """A page as all who are logged in can read it."""
    text = ""
    for language in LANGUAGES:
        browser.cookies["wrapd_language"] = language
        for path in paths_of(route, names):
            told = await browser.get(path)
            assert told.status == 200, (path, told.status)
            text += f"{told.headers} {told.body.decode(errors='replace')}"
    return text


async def test_no_error_and_no_change_tells_a_secret(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        names, secrets = await everything(it, "canary-of-an-own-link-32-chars-x")
        wrong = [(None, b""), (f"{TOKEN}x", b"{}"), (TOKEN, b'{"canary": 1}'), (TOKEN, b"{"), (TOKEN, b"")]
        for method, path in sorted(changes(names)):
            for token, body in wrong:
                told = await it.ask(method, path, token=token, body=body)
                allowed = set(LINKS) if method == "PATCH" and told.status == 200 else set()
                assert not spilt(f"{told.headers} {told.body.decode()}", secrets, allowed), (method, path, body)
        sent = {"web.token", "own link", "share"}  # with the address
        browser = await logged_in(it, TOKEN)
        secrets["session"] = browser.cookies["wrapd_session"]
        for _, path in reads(names):
            for asked in (f"{path}?canary=1", f"{path}/x", path + TOKEN):
                for told in (await it.ask("GET", asked, token=f"{TOKEN}x"), await browser.get(asked)):
                    text = f"{told.headers} {told.body.decode(errors='replace')}"
                    assert told.status != 200 or not spilt(text, secrets, {*sent, *LINKS}), asked
                    assert told.status == 200 or not spilt(text, secrets, sent), asked


async def test_no_form_tells_a_secret(tmp_path: Path) -> None:
    """Sent as a page would, and wrongly."""
    async with desk(tmp_path) as it:
        names, secrets = await everything(it, "canary-of-an-own-link-32-chars-x")
        for route, methods in PAGES.items():
            for form in ({}, {"csrf": "x"}, {"canary": "1"}):
                if "POST" not in methods:
                    continue
                browser = await logged_in(it, TOKEN)
                secrets["session"] = browser.cookies["wrapd_session"]
                signed = {"csrf": await browser.token()} if "csrf" not in form and form else {}
                told = await browser.ask("POST", names.filled(route), {**form, **signed})
                allowed = {"own link", "share"} & ALLOWED.get(route, set())
                assert not spilt(f"{told.headers} {told.body.decode()}", secrets, allowed), (route, form)


async def streamed(it: Desk) -> str:
    """What the event stream says of everything that happened."""
    host, _, port = it.web.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = ("GET /api/v1/events HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {TOKEN}", "Last-Event-ID: 0")
    writer.write("\r\n".join((*head, "", "")).encode())
    text = ""
    async with asyncio.timeout(60):
        while not all(f"event: {name}" in text for name in ("job", "delivery", "channel")):
            text += (await reader.read(65536)).decode()
    writer.close()
    return text
