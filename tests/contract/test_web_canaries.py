"""What must not be read over HTTP: signed URLs, tokens and wrapd's own links, in no answer of any route but where
the table below allows it. The routes are the router's, so a new one is asked too.
`e2e/test_canaries.py` does the same to a whole daemon, with the secrets of its config."""

import asyncio
from functools import partial
from pathlib import Path

from daemon.commands.shares import SharedBatch, share_batch
from daemon.commands.tokens import create_token
from daemon.domain.jobs import Asset
from daemon.domain.shares import USUAL_SHARE
from daemon.domain.tokens import ApiScope
from daemon.store import AttemptOutcome, Outcome, Transaction
from daemon.web.scopes import ROUTES
from tests.contract.test_web_docs import pictures
from tests.contract.test_web_tracking import end
from tests.support.everywhere import Names, changes, reads
from tests.support.store import WHO, A, B
from tests.support.web import MAIN, NOW, TOKEN, Desk, desk

STORY = "/api/v1/jobs/{project}/{job_id}"
LINKS = {"preview": "preview-signature", "download": "download-signature", "cover": "cover-signature"}
ALLOWED = {
    STORY: set(LINKS),
    "/v/{token}": {"preview"},
    "/v/{token}/download": {"download"},
    "/share/{token}": {"share"},
}
"""What a route is for: the links of one job, where wrapd's own link leads, and the covers of a share."""


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
    share = it.store.write_now(share_of_it).secret
    it.store.write_now(lambda tx: pictures(tx, row))
    names = Names(
        project="main", job_id="j-1", batch="b-1", channel=str(A), delivery=delivery, link=own, share=share
    )
    return names, {**LINKS, "own link": own, "token": token[14:], "web.token": TOKEN, "share": share}


def share_of_it(tx: Transaction) -> SharedBatch:
    random = b"canary-in-the-bytes-of-a-share!!"
    return share_batch(tx, MAIN, "b-1", lasts=USUAL_SHARE, random=random, who=WHO, at=NOW)


def spilt(text: str, secrets: dict[str, str], allowed: set[str]) -> set[str]:
    return {name for name, secret in secrets.items() if secret in text and name not in allowed}


async def test_no_answer_holds_a_secret_but_where_the_table_allows_it(tmp_path: Path) -> None:
    assert ALLOWED.keys() <= ROUTES.keys()
    seen: dict[str, set[str]] = {}
    async with desk(tmp_path) as it:
        names, secrets = await everything(it, "canary-of-an-own-link-32-chars-x")
        for route, path in reads(names):
            if route == "/api/v1/events":
                text = await streamed(it)
            else:
                told = await it.ask("GET", path, token=TOKEN)
                assert told.status < 400 or "/cover" in route, (path, told.body)
                text = f"{told.headers} {told.body.decode()}"
            assert not spilt(text, secrets, ALLOWED.get(route, set())), route
            seen[route] = spilt(text, secrets, set())
        assert {route: found for route, found in seen.items() if found} == ALLOWED, "the table allows too much"


async def test_no_error_and_no_change_tells_a_secret(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        names, secrets = await everything(it, "canary-of-an-own-link-32-chars-x")
        wrong = [(None, b""), (f"{TOKEN}x", b"{}"), (TOKEN, b'{"canary": 1}'), (TOKEN, b"{"), (TOKEN, b"")]
        for method, path in sorted(changes(names)):
            for token, body in wrong:
                told = await it.ask(method, path, token=token, body=body)
                allowed = set(LINKS) if method == "PATCH" and told.status == 200 else set()
                assert not spilt(f"{told.headers} {told.body.decode()}", secrets, allowed), (method, path, body)
        for _, path in reads(names):
            for asked in (f"{path}?canary=1", f"{path}/x", path + TOKEN):
                told = await it.ask("GET", asked, token=f"{TOKEN}x")
                sent = {"web.token", "own link", "share"}  # with the address
                assert not spilt(f"{told.headers} {told.body.decode()}", secrets, sent), asked


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
