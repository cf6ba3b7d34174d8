"""The examples in docs/api.md and docs/callbacks.md work as described."""

import asyncio
import json
import re
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest

from daemon.build import web_settings
from daemon.config import load
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.text import MAX_TAGS, MAX_WORD
from daemon.store import AttemptOutcome, Outcome, PictureRow, ThumbnailRow, TrackResult, Transaction
from daemon.web import CallbackAuth, callback_url, connections
from daemon.web.links import RATE, Wanted
from daemon.web.tracking import MOST_JOBS
from docs.paper import ROOT
from tests.contract.test_docs_examples import blocks, commands
from tests.contract.test_web_tracking import end
from tests.support.store import A, B
from tests.support.web import NOW, TOKEN, Desk, desk

API = (ROOT / "docs/api.md").read_text(encoding="utf-8")
CALLBACKS = (ROOT / "docs/callbacks.md").read_text(encoding="utf-8")
HERE = "http://127.0.0.1:8787"
DEAD, SENT = AttemptOutcome.DEAD, AttemptOutcome.SENT
ENVIRON = {"WRAPD_WEB_TOKEN": TOKEN, "WRAPD_CALLBACK_KEY": "a-key-of-24-characters-!"}
PROJECT = '[projects.main]\nregion = "cn-north-4"\nauth = { method = "token", token = "a-token-of-tests" }\n'


@pytest.mark.parametrize("page", [API, CALLBACKS])
def test_the_configs_are_right(tmp_path: Path, page: str) -> None:
    [section] = blocks(page, "toml")
    path = tmp_path / "wrapd.toml"
    path.write_text(PROJECT + section)
    settings = web_settings(load(path), ENVIRON)
    assert settings.public_url == "https://wrapd.example.com"
    if page is CALLBACKS:
        callback = settings.callbacks[ProjectName("main")]
        assert (callback.auth, callback.track_unknown) == (CallbackAuth.MSS_A, True)
        given = json.loads(blocks(page, "json")[0])["callback_config"]
        assert given["callback_url"] == callback_url(settings.public_url, ProjectName("main"), callback)


def requests(page: str) -> list[tuple[str, str, bytes | None]]:
    """Method, path and body of each curl command of the page."""
    found = []
    for words in commands(page):
        if words[0] == "curl":
            [url] = [word for word in words if word.startswith(HERE)]
            method = words[words.index("-X") + 1] if "-X" in words else "GET"
            body = words[words.index("-d") + 1].replace("\n", "").encode() if "-d" in words else None
            assert "Authorization: Bearer TOKEN" in words
            found.append((method, url.removeprefix(HERE).replace("editors", A), body))
    return found


def alerts(it: Desk) -> None:
    """Give the page's job two alerts that are dead, and another job one that was sent and one that waits."""
    for job, outcome, channels in ((it.job("launch").id, DEAD, (A, B)), (it.track("other"), SENT, (A,))):
        end(it, job, "FAILED", answer='{"state":"FAILED"}')
        for channel in channels:
            it.store.write_now(partial(_send, channel=channel, outcome=outcome))
    it.store.write_now(lambda tx: pictures(tx, it.job("other").id))


def pictures(tx: Transaction, job: int) -> None:
    """Keep a cover and its small copy."""
    cover = {"url": "https://h/c.png", "content_type": "image/png", "data": b"large"}
    tx.pictures.put(PictureRow(job=job, fetched_at=NOW, error=None, **cover))  # type: ignore[arg-type]
    tx.pictures.put_thumbnail(ThumbnailRow(job=job, data=b"small", width=320, height=180))


def _send(tx: Transaction, *, channel: ChannelName, outcome: AttemptOutcome) -> None:
    claimed = tx.outbox.claim(channel, now=NOW)
    assert claimed is not None
    tx.outbox.finish(claimed, Outcome(kind=outcome, reason="", status_code=200), at=NOW)


async def test_the_requests_are_answered_as_the_page_says(tmp_path: Path) -> None:
    """Every route of the API has an example, and each works."""
    first, *others = requests(API)
    async with desk(tmp_path) as it:
        told = await it.ask(first[0], first[1], body=first[2], token=TOKEN)
        assert told.json() == json.loads(blocks(API, "json")[0])
        alerts(it)
        described = (await it.ask("GET", "/api/v1/openapi.json")).json()["paths"]
        tried = {("post", "/api/v1/jobs"), ("get", "/api/v1/openapi.json")}
        for method, path, body in others:
            sent = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}  # as curl does
            told = await it.ask(method, path, body=body, headers=sent, token=TOKEN)
            assert told.status == 200, (method, path, told.body)
            tried.add((method.lower(), route_of(described, method, path)))
        api = {(m, path) for path, each in described.items() for m in each if path.startswith("/api/")}
        assert tried == api
        wrong = json.dumps({"jobs": [{"job_id": "a"}, {"job_id": "b"}, {"job_id": "c", "kind": "avatr"}]})
        told = await it.ask("POST", "/api/v1/jobs", body=wrong.encode(), token=TOKEN)
        assert told.json() == json.loads(blocks(API, "json")[1])


def route_of(described: dict[str, Any], method: str, path: str) -> str:
    """The route that serves a request: the one with the fewest parameters."""
    path = path.partition("?")[0]
    fits = [each for each, of in described.items() if method.lower() in of and re.fullmatch(_pattern(each), path)]
    return min(fits, key=lambda each: each.count("{"))


def _pattern(route: str) -> str:
    return re.sub(r"\{\w+\}", "[^/]+", route)


async def test_the_python_of_the_page_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "".join(blocks(API, "python")).replace("editors", A)
    post = requests(API)[0]
    async with desk(tmp_path) as it:
        await it.ask(post[0], post[1], body=post[2], token=TOKEN)
        alerts(it)
        code = code.replace(HERE, f"http://{it.web.address}").replace("TOKEN", TOKEN)
        names: dict[str, Any] = {}
        await asyncio.to_thread(exec, compile(code, "docs/api.md", "exec"), names)
        names["api"].close()
        assert [each["job_id"] for each in names["jobs"]] == ["launch"]
        assert (names["job"]["label"], names["expect"]) == ("Launch film", 1)
        said = capsys.readouterr().out
        assert "1 of 1" in said
        assert "image/png 5 bytes" in said
        assert names["made"]["token"] in said


def test_the_numbers_and_words_are_those_of_the_program() -> None:
    assert f"up to {MOST_JOBS} as" in API
    assert f"up to {MAX_TAGS} words, 1 to {MAX_WORD} characters" in API
    assert f"at most {RATE:g} times a second" in API
    text = " ".join(API.split())
    assert f"limited: {connections.MOST} at a time" in text
    assert f"{connections.PATIENCE:g} s for a request's head" in text
    assert f"{connections.LIFE:g} s and {connections.MOST_REQUESTS} requests for a connection" in text
    assert set(re.findall(r"^\| `(\w+)` \| it ", API, re.MULTILINE)) == {each.value for each in TrackResult}
    assert set(get_args(Wanted)) == {"preview", "download"}
