"""A real daemon with its web server: jobs submitted over HTTP, ended by callbacks, opened through own links."""

import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.jobs import ProjectName
from daemon.web import CallbackAuth, CallbackSettings, callback_url
from tests.support.live import FAST, LiveDaemon, LiveSim, to, until
from tests.support.webhook import Webhook

TOKEN, KEY = "a-token-of-24-characters", "a-key-of-24-characters-!"
SLOW = '\n[polling]\nstrategy = "fixed"\nfeed = "off"\nmin_interval = "60s"\nmax_interval = "60s"\n'
JSON_LOG = '[log]\nformat = "json"\n'


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def web(port: int) -> str:
    return f'[web]\nlisten = "127.0.0.1:{port}"\npublic_url = "http://127.0.0.1:{port}"\ntoken = "{TOKEN}"\n'


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {TOKEN}", "User-Agent": "Mozilla/5.0 Firefox/140.0"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def of(hook: Webhook, event: str) -> list[dict[str, Any]]:
    return [each.json for each in hook.requests if each.json.get("event") == event]


@pytest.mark.parametrize(
    "auth",
    [pytest.param(each, marks=[pytest.mark.long] * (each is not CallbackAuth.MSS_A)) for each in CallbackAuth],
)
def test_a_job_is_handed_over_and_its_end_is_told_long_before_any_look_is_due(
    tmp_path: Path, auth: CallbackAuth
) -> None:
    port = free_port()
    more = f'callback = {{ auth = "{auth}", key = "{KEY}" }}'
    with LiveSim() as sim, Webhook() as hook:
        config = sim.project(more=more) + to(hook) + web(port) + SLOW + JSON_LOG
        with LiveDaemon(tmp_path, config) as daemon:
            url = daemon.command("callback-url").splitlines()[0]
            settings = CallbackSettings(auth=auth, key=KEY)
            assert url == callback_url(f"http://127.0.0.1:{port}", ProjectName("main"), settings)
            given = {"callback_url": url, "auth_type": auth.name, "key": KEY}
            [job] = sim.jobs(kind="photo", timeline=[("PROCESSING", None)], callback_config=given)
            began = time.monotonic()
            status, _, body = ask(
                port, "POST", "/api/v1/jobs", {"job_id": job, "kind": "photo", "label": "Launch"}
            )
            assert (status, json.loads(body)["jobs"][0]["result"]) == (200, "added")
            daemon.wait_for("job.moved", job=job, after="PROCESSING")
            assert time.monotonic() - began < 5, "taken up at once"
            sim.do(lambda it: it.set_state(job, "SUCCEED"))
            until("the end is told", lambda: of(hook, "succeeded"))
            assert time.monotonic() - began < 20, "no look was due for a minute"
            [told] = daemon.wait_for("callback.taken", job=job)
            assert told["watched"] is True
            status, _, body = ask(port, "GET", f"/api/v1/jobs/main/{job}")
            found = json.loads(body)
            assert (status, found["state"], found["label"], found["tracking"]) == (
                200,
                "SUCCEED",
                "Launch",
                "finished",
            )
            _tests_its_channel(port, hook)
            assert KEY not in daemon.said
            assert TOKEN not in daemon.said
            assert url not in daemon.said or auth is CallbackAuth.MSS_A


def _tests_its_channel(port: int, hook: Webhook) -> None:
    [channel] = json.loads(ask(port, "GET", "/api/v1/channels")[2])["items"]
    assert (channel["language"], channel["held"], channel["dead"]) == ("en", 0, 0)
    assert channel["sent"] >= 1
    status, _, body = ask(port, "POST", f"/api/v1/channels/{channel['channel']}/test")
    told = json.loads(body)
    assert (status, told["sent"], told["reason"], told["count"]) == (200, True, None, 0)
    assert of(hook, "test")[0]["channel"] == channel["channel"]


@pytest.mark.long
def test_the_link_of_a_message_opens_the_video_until_it_is_taken_back(tmp_path: Path) -> None:
    port = free_port()
    with LiveSim() as sim, Webhook() as hook:
        with LiveDaemon(tmp_path, sim.project() + to(hook) + web(port) + FAST) as daemon:
            [job] = sim.jobs(kind="photo", timeline=[("SUCCEED", None)])
            assert ask(port, "POST", "/api/v1/jobs", {"job_id": job, "kind": "photo"})[0] == 200
            until("the end is told", lambda: of(hook, "succeeded"))
            own = of(hook, "succeeded")[0]["own_url"]
            path = own.removeprefix(f"http://127.0.0.1:{port}")
            assert path.startswith("/v/")
            status, headers, _ = ask(port, "GET", path)
            assert (status, headers["location"].startswith(sim.url)) == (302, True)
            status, headers, video = ask(
                int(sim.url.rpartition(":")[2]), "GET", headers["location"][len(sim.url) :]
            )
            assert (status, len(video) > 0) == (200, True)
            status, headers, picture = ask(port, "GET", f"{path}/cover")
            assert (status, headers["content-type"].startswith("image/"), len(picture) > 0) == (200, True, True)
            until("the click is counted", lambda: daemon.json("links", "list")[0]["clicks"] == 1)
            assert daemon.command("links", "revoke", job) == f"{job}: revoked\n"
            status, headers, page = ask(port, "GET", path)
            assert (status, headers["content-type"]) == (404, "text/html; charset=utf-8")
            assert b"does not work any more" in page
            assert path.rpartition("/")[2] not in daemon.said


def test_an_address_that_others_can_reach_needs_a_token(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        config = sim.project() + to(hook) + '[web]\nlisten = "0.0.0.0:0"\n'
        with LiveDaemon(tmp_path, config, started=False) as daemon:
            said = daemon.command("run", status=3)
            assert "web.listen" in said
            assert "token" in said
            assert not (tmp_path / "wrapd.db").exists()
