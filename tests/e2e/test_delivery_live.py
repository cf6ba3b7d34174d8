"""Complete delivery with a real daemon: a job submitted over HTTP, a callback, wrapd's own link and its picture,
batches, quiet hours, digests, fallback."""

import http.client
import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, events, to, until
from tests.support.webhook import Answer, Webhook

pytestmark = pytest.mark.long

TOKEN = "a-bearer-token-of-tests"
KEY = "a-callback-key-of-tests"
SLOW = """
[polling]
strategy = "fixed"
min_interval = "10m"
max_interval = "10m"
feed = "off"
batch = "off"
[log]
format = "json"
"""
"""A first poll, and the next in ten minutes: anything sooner comes from a callback."""

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def web(port: int, more: str = "") -> str:
    return (
        f'[web]\nlisten = "127.0.0.1:{port}"\ntoken = {{ env = "TEST_TOKEN" }}\n'
        f'public_url = "http://127.0.0.1:{port}"\n{more}'
    )


def ask(method: str, url: str, body: object = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Send one request without following redirects; return status, headers (lower case), body."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    try:
        connection.request(
            method,
            parts.path + (f"?{parts.query}" if parts.query else ""),
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": "application/json", **headers},
        )
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def told(hook: Webhook, event: str) -> dict[str, Any]:
    (found,) = [each.json for each in list(hook.requests) if each.json["event"] == event]
    return found


def test_a_job_handed_over_by_http_whose_callback_comes_is_told_with_a_link_that_opens(tmp_path: Path) -> None:
    port = free_port()
    callback = '[projects.main.callback]\nkey = { env = "TEST_KEY" }\n'
    environ = {"TEST_TOKEN": TOKEN, "TEST_KEY": KEY}
    with LiveSim() as sim, Webhook() as hook:
        config = SLOW + web(port) + sim.project() + callback + to(hook)
        with LiveDaemon(tmp_path, config, environ=environ) as daemon:
            url = daemon.json("callback-url", "main")
            assert url["auth_type"] == "MSS_A"
            given = {"callback_url": url["callback_url"], "auth_type": "MSS_A", "key": KEY}
            [job] = sim.jobs(timeline=[("PROCESSING", None)], callback_config=given)
            api = f"http://127.0.0.1:{port}/api/v1/jobs"
            status, _, _ = ask("POST", api, {"job_id": job})
            assert status == 401
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            status, _, body = ask("POST", api, {"job_id": job, "label": "Episode 12", "batch": "night"}, **bearer)
            assert (status // 100, job in body.decode()) == (2, True)
            daemon.wait_for("job.moved", after="PROCESSING")
            asked = sim.asked()
            sim.do(lambda it: it.set_state(job, "SUCCEED"))
            daemon.wait_for("callback.taken")
            daemon.wait_for("delivery.sent", seconds=5)
            assert sim.asked() > asked
            alert = told(hook, "succeeded")
            assert alert["own_url"].startswith(f"http://127.0.0.1:{port}/v/")
            status, headers, _ = ask("GET", alert["own_url"], **{"User-Agent": BROWSER})
            assert status == 302
            status, _, body = ask("GET", headers["location"])
            assert (status, len(body) > 0) == (200, True)
            status, headers, picture = ask("GET", alert["own_url"] + "/cover")
            assert (status, headers["content-type"]) == (200, "image/png")
            assert picture.startswith(b"\x89PNG")
            [link] = daemon.json("links", "list")
            assert (link["job_id"], link["clicks"] >= 1) == (job, True)
            assert "revoked" in daemon.command("links", "revoke", job)
            assert ask("GET", alert["own_url"])[0] == 404
            # The batch is alerted ten seconds after its last job has ended, in case more jobs come.
            until("the batch is told", lambda: "batch_finished" in events(hook), seconds=30)
            assert told(hook, "batch_finished")["batch"] == "night"
            status, _, body = ask("GET", f"{api}/main/{job}", **bearer)
            assert (status, json.loads(body)["state"]) == (200, "SUCCEED")
        for secret in (TOKEN, KEY, alert["own_url"].rpartition("/")[2]):
            assert secret not in daemon.said


def test_quiet_hours_hold_an_alert_and_a_command_says_until_when(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    begin, end = now - timedelta(hours=2), now + timedelta(hours=2)
    quiet = f'quiet = {{ from = "{begin:%H:%M}", to = "{end:%H:%M}" }}\n'
    with LiveSim() as sim, Webhook() as hook:
        config = FAST + "[web]\nenabled = false\n" + sim.project() + to(hook) + quiet
        with LiveDaemon(tmp_path, config) as daemon:
            [done] = sim.jobs(timeline=[("SUCCEED", None)])
            [broken] = sim.jobs(timeline=[("FAILED", None)])
            daemon.command("track", done)
            daemon.wait_for("job.moved", job=done)
            daemon.command("track", broken)
            daemon.wait_for("delivery.sent")
            assert events(hook) == ["failed"]
            [row] = daemon.json("deliveries", "--status", "pending")
            assert row["event"] == "succeeded"
            until_ = datetime.fromisoformat(row["held_until"])
            assert abs(until_ - end) <= timedelta(minutes=1)
            assert "kept for quiet hours until" in daemon.command(
                "routes", "explain", done, "--event", "succeeded"
            )
            assert "kept for quiet hours until" in daemon.command("deliveries", "show", str(row["id"]))
            daemon.stop()
            daemon.config.write_text(config.replace(quiet, ""))
            daemon.start()  # without quiet hours nothing is held for them
            daemon.wait_for("delivery.sent")
            assert events(hook) == ["failed", "succeeded"]


def test_many_ends_come_in_one_message_and_a_refused_channel_has_its_fallback_told(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as people, Webhook(default=Answer(status=404)) as gone:
        channels = (
            to(people, "people")
            + 'digest_above = 3\ndigest_window = "2s"\n'
            + to(gone, "gone")
            + 'fallback = "people"\nfallback_after = "1s"\n'
            + '[[routes]]\nchannels = ["people"]\nevents = ["succeeded"]\n'
            + '[[routes]]\nchannels = ["gone"]\nevents = ["failed"]\n'
        )
        config = "operators = []\n" + FAST + "[web]\nenabled = false\n" + sim.project() + channels
        with LiveDaemon(tmp_path, config) as daemon:
            jobs = sim.jobs(12, timeline=[("SUCCEED", None)])
            daemon.command("track", *jobs)
            until("all are told", lambda: len(daemon.json("deliveries", "--status", "sent")) == 12)
            assert "digest" in events(people)
            assert len(people.requests) < 12
            shared = [each["tries"][0]["shared"] for each in daemon.json("deliveries")]
            assert max(shared) > 3
            [broken] = sim.jobs(timeline=[("FAILED", None)])
            daemon.command("track", broken)
            daemon.wait_for("channel.held")
            daemon.wait_for("delivery.diverted")
            until("it is told elsewhere", lambda: "failed" in events(people))
            assert told(people, "failed")["diverted_from"] == "gone"
