"""The examples in docs/api.md and docs/callbacks.md work as described."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from daemon.build import web_settings
from daemon.config import load
from daemon.domain.jobs import ProjectName
from daemon.domain.text import MAX_TAGS, MAX_WORD
from daemon.store import TrackResult
from daemon.web import CallbackAuth, callback_url, connections
from daemon.web.links import RATE, Wanted
from daemon.web.tracking import MOST_JOBS
from docs.paper import ROOT
from tests.contract.test_docs_examples import blocks, commands
from tests.support.web import desk

API = (ROOT / "docs/api.md").read_text(encoding="utf-8")
CALLBACKS = (ROOT / "docs/callbacks.md").read_text(encoding="utf-8")
ENVIRON = {"WRAPD_WEB_TOKEN": "a-token-of-24-characters", "WRAPD_CALLBACK_KEY": "a-key-of-24-characters-!"}
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


async def test_the_requests_are_answered_as_the_page_says(tmp_path: Path) -> None:
    post, get = [words for words in commands(API) if words[0] == "curl"]
    body = post[post.index("-d") + 1].replace("\n", "")
    async with desk(tmp_path) as it:
        path = post[3].removeprefix("http://127.0.0.1:8787")
        told = await it.ask("POST", path, body=body.encode(), token=ENVIRON["WRAPD_WEB_TOKEN"])
        assert told.json() == json.loads(blocks(API, "json")[0])
        told = await it.ask("GET", get[1].removeprefix("http://127.0.0.1:8787"), token=ENVIRON["WRAPD_WEB_TOKEN"])
        assert (told.status, told.json()["label"], told.json()["batch"]) == (200, "Launch film", "week-12")
        wrong = json.dumps({"jobs": [{"job_id": "a"}, {"job_id": "b"}, {"job_id": "c", "kind": "avatr"}]})
        told = await it.ask("POST", path, body=wrong.encode(), token=ENVIRON["WRAPD_WEB_TOKEN"])
        assert told.json() == json.loads(blocks(API, "json")[1])


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
