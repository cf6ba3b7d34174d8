"""Live events of a real daemon: `wrapd watch --server` over them through a restart, and what ends a stream."""

import http.client
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.test_watch_live import OUTCOMES, SHORT, watch
from tests.e2e.test_web_live import TOKEN, free_port, web
from tests.support.live import FAST, PATIENCE, LiveDaemon, LiveSim

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.long


@contextmanager
def events(address: str, token: str) -> Iterator[http.client.HTTPResponse]:
    """An open stream."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        assert answer.status == 200
        yield answer
    finally:
        connection.close()


def told(stream: http.client.HTTPResponse, event: str) -> Any:
    """The data of the next event of that name."""
    found = None
    while line := stream.readline().decode():
        key, _, value = line.strip().partition(": ")
        if key == "event":
            found = value
        elif key == "data" and found == event:
            return json.loads(value)
    raise AssertionError("the stream ended")


def to_its_end(stream: http.client.HTTPResponse) -> None:
    while stream.readline():
        pass


def watch_over_http(daemon: LiveDaemon, *arguments: str) -> "subprocess.Popen[str]":
    token = daemon.folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    return watch(daemon, *arguments, "--server", f"http://{daemon.address}", "--token-file", str(token))


def test_watch_over_http_ends_with_the_status_of_each_outcome(tmp_path: Path) -> None:
    config = FAST.replace("[polling]", f"[polling]{SHORT}") + web(free_port())
    with LiveSim() as sim, LiveDaemon(tmp_path, config + sim.project()) as daemon:
        for outcome, (kind, state, status) in OUTCOMES.items():
            [job] = sim.jobs(kind=kind, timeline=[("PROCESSING", None)])
            daemon.command("track", "--kind", kind, "--batch", outcome, job)
            process = watch_over_http(daemon, "--batch", outcome, "--json")
            assert process.stdout is not None
            process.stdout.readline()  # it is followed while it runs
            sim.do(lambda it, job=job, state=state: it.set_state(job, state))  # type: ignore[misc]
            out, err = process.communicate(timeout=PATIENCE)
            last = json.loads(out.splitlines()[-1])
            assert (process.returncode, last["outcomes"], err) == (status, {outcome: 1}, ""), out
        daemon.command("track", "--batch", "lost", "0" * 32)
        process = watch_over_http(daemon, "--batch", "lost")
        out, _ = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out.splitlines()[-1]) == (12, "1 lost")
        process = watch_over_http(daemon, "--tag", "none", "--once")
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 6


@pytest.mark.parametrize("killed", [False, True])
def test_watch_over_http_goes_on_after_a_restart(tmp_path: Path, killed: bool) -> None:
    with LiveSim() as sim, LiveDaemon(tmp_path, FAST + web(free_port()) + sim.project()) as daemon:
        first, second = (sim.jobs(timeline=[("PROCESSING", None)])[0] for _ in range(2))
        for job in (first, second):
            daemon.command("track", "--batch", "b", job)
        process = watch_over_http(daemon, "--batch", "b", "--json")
        assert process.stdout is not None
        assert {json.loads(process.stdout.readline())["job_id"] for _ in range(2)} == {first, second}
        if killed:
            daemon.stop(signal.SIGKILL)
        else:
            assert daemon.stop().status == 0
        sim.do(lambda it: it.set_state(first, "SUCCEED"))
        daemon.start()
        line: dict[str, Any] = {}
        while (line.get("job_id"), line.get("outcome")) != (first, "succeeded"):
            line = json.loads(process.stdout.readline())
        sim.do(lambda it: it.set_state(second, "FAILED"))
        out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 13, out
        assert json.loads(out.splitlines()[-1])["outcomes"] == {"succeeded": 1, "failed": 1}


def test_a_stream_tells_what_needs_a_person_and_ends_with_its_token(tmp_path: Path) -> None:
    with LiveSim() as sim, LiveDaemon(tmp_path, FAST + web(free_port()) + sim.project()) as daemon:
        [job] = sim.jobs(timeline=[("PROCESSING", None)])
        token = daemon.command("tokens", "create", "screen", "--scope", "read").split()[0]
        with events(daemon.address, token) as stream, events(daemon.address, TOKEN) as other:
            assert told(stream, "needs") == {"count": 0}
            daemon.command("track", job)
            assert told(stream, "job")["job_id"] == job
            sim.do(lambda it: it.set_state(job, "FAILED"))
            while not (moved := told(stream, "job"))["ended"]:
                continue
            assert (moved["job_id"], moved["state"]) == (job, "FAILED")
            assert told(stream, "needs") == {"count": 1}
            daemon.command("tokens", "revoke", "screen")
            to_its_end(stream)
            daemon.command("note", job, "seen")
            assert told(other, "job")["job_id"] == job


def test_a_stream_ends_when_the_token_of_the_config_changes(tmp_path: Path) -> None:
    with LiveSim() as sim, LiveDaemon(tmp_path, FAST + web(free_port()) + sim.project()) as daemon:
        with events(daemon.address, TOKEN) as stream:
            daemon.config.write_text(daemon.config.read_text().replace(TOKEN, TOKEN[::-1]))
            daemon.command("reload")
            to_its_end(stream)
        with events(daemon.address, TOKEN[::-1]) as stream:
            assert told(stream, "needs") == {"count": 0}
        assert daemon.stop().status == 0
