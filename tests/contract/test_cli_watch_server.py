"""`wrapd watch --server`: reads jobs from the API, follows its events, and resumes where a connection ended."""

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.cli.choosing import Followable
from daemon.cli.watch_server import Events, ServerApi, ServerJobs
from daemon.domain.durations import Eta
from tests.contract.test_cli_setup import pages
from tests.support.api_server import TOKEN, ApiServer
from tests.support.cli_runner import Runner
from tests.support.hostile import names, whole
from tests.support.live import PATIENCE
from tests.support.process import COMMAND
from tests.support.store import NOW

NESTED = b"[" * 100_000
_STARTED: list[Events] = []


@pytest.fixture
def server() -> Iterator[ApiServer]:
    try:
        with ApiServer() as server:
            yield server
    finally:
        while _STARTED:  # with pauses that take no time, they would connect again as fast as they can
            events = _STARTED.pop()
            events.stop()
            events.join(PATIENCE)
            assert not events.is_alive()


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o600)
    return Runner(tmp_path, capsys)


class Watch:
    """A watched server, whose pauses between connections end when the test allows them."""

    def __init__(self, server: ApiServer, **which: object) -> None:
        api = ServerApi(server.url, TOKEN)
        none = {"ids": (), "batch": None, "tag": None, "everything": False, "project": None}
        self.pauses: list[float] = []
        events = Events(api, sleep=self.pauses.append, chance=lambda: 1.0)
        _STARTED.append(events)
        self.it = ServerJobs(api, Followable(**{**none, **which}), events=events, now=lambda: NOW)  # type: ignore[arg-type]
        server.wait_for_streams(1)

    def until(self, wanted: dict[str, str]) -> None:
        """Look after each event until the outcomes are these."""
        for _ in range(200):
            found = {view.job_id: view.outcome for view in self.it.look().values()}
            if found == wanted:
                return
            self.it.wait(1.0)
        raise AssertionError(found)


def test_a_batch_is_read_page_by_page_and_followed_by_events(server: ApiServer) -> None:
    for number in range(5):
        server.put(f"job-{number}", "PROCESSING")
    server.put("other", "PROCESSING", batch="c")
    watch = Watch(server, batch="b")
    running = {f"job-{number}": "running" for number in range(5)}
    watch.until(running)
    watch.it.wait(0.01)
    watch.until(running)
    before = len(server.asked)
    server.put("job-1", "FAILED")
    server.put("other", "FAILED")
    server.put("new", "WAITING")
    watch.until({**running, "job-1": "failed", "new": "running"})
    assert "/api/v1/jobs/main/job-1" in server.asked[before:]
    assert not any(path.startswith("/api/v1/jobs?") for path in server.asked[before:])


def test_a_connection_that_ends_is_resumed_where_it_ended(server: ApiServer) -> None:
    server.put("one", "PROCESSING")
    watch = Watch(server, batch="b")
    watch.until({"one": "running"})
    server.put("two", "PROCESSING")
    watch.until({"one": "running", "two": "running"})
    server.cut()
    server.put("one", "SUCCEED")
    server.wait_for_streams(2)
    watch.until({"one": "succeeded", "two": "running"})
    assert server.resumed == [None, "2"]
    assert watch.pauses == [1.0]
    server.cut()
    server.wait_for_streams(3)
    server.put("two", "FAILED", silent=True)
    server.say("resync", {})
    watch.until({"one": "succeeded", "two": "failed"})


def test_an_event_that_is_cut_off_comes_again(server: ApiServer) -> None:
    server.put("one", "PROCESSING")
    watch = Watch(server, batch="b")
    watch.until({"one": "running"})
    server.put("two", "PROCESSING")
    watch.until({"one": "running", "two": "running"})
    lists = sum(path.startswith("/api/v1/jobs?") for path in server.asked)
    server.cut_within("one", "SUCCEED")
    watch.until({"one": "succeeded", "two": "running"})
    assert server.resumed == [None, "2"]
    assert sum(path.startswith("/api/v1/jobs?") for path in server.asked) == lists


def test_what_the_server_forgot_is_read_again(server: ApiServer) -> None:
    server.put("one", "PROCESSING")
    watch = Watch(server, everything=True)
    watch.until({"one": "running"})
    server.put("two", "PROCESSING")
    watch.until({"one": "running", "two": "running"})
    server.cut()
    server.put("one", "CANCELED")
    server.put("two", "BLOCK")
    server.forget()
    server.wait_for_streams(2)
    watch.until({"one": "canceled", "two": "frozen"})


def test_events_that_are_not_understood_and_answers_that_fail_do_no_harm(server: ApiServer) -> None:
    server.put("one", "PROCESSING")
    watch = Watch(server, ids=("one",), project="main")
    watch.until({"one": "running"})
    for event, data in (("needs", {"count": 3}), ("job", [1]), ("job", None), ("later", "x"), ("job", {})):
        server.say(event, data)
    server.refuse = 503
    server.put("one", "SUCCEED")
    for _ in range(100):
        watch.it.wait(0.05)
        watch.it.look()
        if watch.it.note() is not None:
            break
    assert watch.it.note() == f"Connecting again: {server.url} answers with HTTP 503: refused by the test"
    server.refuse = None
    watch.until({"one": "succeeded"})
    assert watch.it.note() is None


def test_pauses_grow_while_the_server_is_away(server: ApiServer) -> None:
    server.put("one", "PROCESSING")
    watch = Watch(server, batch="b")
    watch.until({"one": "running"})
    server.refuse = 502
    server.cut()
    for _ in range(200):
        watch.it.wait(0.05)
        if len(watch.pauses) > 7:
            break
    assert watch.pauses[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_an_estimate_is_that_of_the_server(server: ApiServer) -> None:
    eta = {"low_seconds": 60.0, "median_seconds": 90, "high_seconds": 120.5, "ends_at": "x"}
    server.put("one", "PROCESSING", eta=eta)
    watch = Watch(server, batch="b")
    watch.until({"one": "running"})
    [outlook] = watch.it.outlooks(list(watch.it.look()), NOW)
    assert outlook.eta is not None
    assert (outlook.eta.low, outlook.eta.median, outlook.eta.high) == (60.0, 90.0, 120.5)
    assert watch.it.last_end(NOW).eta == outlook.eta
    for wrong in ({}, {"low_seconds": "x"}, [], {**eta, "median_seconds": None}):
        server.put("one", "PROCESSING", eta=wrong)
        watch.it.wait(1.0)
        [outlook] = watch.it.outlooks(list(watch.it.look()), NOW)


def test_when_all_of_a_batch_should_have_ended(server: ApiServer) -> None:
    """As the server estimates for the batch, which is asked for again once that is old."""
    eta = {"low_seconds": 60.0, "median_seconds": 90, "high_seconds": 120.5}
    for number in range(2):
        server.put(f"job-{number}", "PROCESSING")
    watch = Watch(server, batch="b")
    watch.until({"job-0": "running", "job-1": "running"})
    assert watch.it.last_end(NOW).eta is None, "the server has no such batch"
    later = NOW + timedelta(seconds=30)
    server.batches["b"] = {"eta": eta, "soonest_at": None}
    assert watch.it.last_end(NOW).eta is None, "it was asked just now"
    assert watch.it.last_end(later).eta == Eta(low=60.0, median=90.0, high=120.5)
    asked = len(server.asked)
    assert watch.it.last_end(later + timedelta(seconds=5)).eta == Eta(low=55.0, median=85.0, high=115.5)
    assert len(server.asked) == asked
    server.batches["b"] = {"eta": None, "soonest_at": (later + timedelta(seconds=100)).isoformat()}
    last = watch.it.last_end(later + timedelta(seconds=10))
    assert (last.eta, last.soonest) == (None, 90.0)
    for wrong in ({"soonest_at": "x"}, {"soonest_at": "2026-03-01T12:00:00"}, {"soonest_at": 5}, {}):
        server.batches["b"] = wrong
        later += timedelta(seconds=60)
        assert watch.it.last_end(later).soonest is None


@pytest.mark.parametrize(
    ("which", "asks"),
    [
        ({"tag": "t"}, "tag=t"),
        ({"everything": True}, ""),
        ({"everything": True, "project": "main"}, "project=main"),
        ({"tag": "t", "batch": "b"}, "batch=b&tag=t"),
        ({"ids": ("job-0", "job-1", "job-2")}, "job=main%2Fjob-0&job=main%2Fjob-1"),
    ],
)
def test_when_all_of_any_jobs_should_have_ended(server: ApiServer, which: dict[str, object], asks: str) -> None:
    """Of named jobs, those that run are asked about."""
    for number in range(2):
        server.put(f"job-{number}", "PROCESSING", tags=["t"])
    server.put("job-2", "SUCCEED", tags=["t"])
    server.ending = {"eta": {"low_seconds": 60.0, "median_seconds": 90, "high_seconds": 120.5}, "soonest_at": None}
    watch = Watch(server, **which)
    watch.it.look()
    assert watch.it.last_end(NOW).eta == Eta(low=60.0, median=90.0, high=120.5)
    assert server.asked[-1] == f"/api/v1/jobs/ending{'?' if asks else ''}{asks}"
    asked = len(server.asked)
    assert watch.it.last_end(NOW + timedelta(seconds=5)).eta == Eta(low=55.0, median=85.0, high=115.5)
    assert len(server.asked) == asked
    server.ending = None
    assert watch.it.last_end(NOW + timedelta(seconds=30)).eta is None, "a server of an earlier version"


def test_the_command_ends_with_the_same_status_and_never_shows_the_token(wrapd: Runner, server: ApiServer) -> None:
    server.put("one", "SUCCEED", label="Episode 1")
    server.put("two", "FAILED", error_msg="Video rendering failed")
    ended = wrapd("watch", "--batch", "b", "--server", server.url, "--token-file", "token", "--json")
    assert ended.status == 13
    *lines, last = map(json.loads, ended.out.splitlines())
    assert [(line["job_id"], line["name"], line["error"]) for line in lines] == [
        ("one", "Episode 1", None),
        ("two", None, "Video rendering failed"),
    ]
    assert last == {"jobs": 2, "outcomes": {"succeeded": 1, "failed": 1}, "reason": "ended", "status": 13}
    assert ended.err == ""
    (wrapd.folder / "token").chmod(0o644)
    server.put("two-and-more", "SUCCEED")
    assert wrapd("watch", "two-and", "--server", server.url, "--token-file", "token").status == 0
    ended = wrapd("watch", "one", "--project", "main", "--server", f"{server.url}/", "--token-file", "token")
    assert ended.status == 0
    assert ended.err == "token: others can read the token; run `chmod 600` on it\n"
    assert TOKEN not in ended.out + ended.err


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("one",), 6, "the server has no job one"),
        (("job-1", "--project", "other"), 6, "the server has no job job-1"),
        (("shared",), 2, "several jobs fit shared"),
        (("--batch", "none"), 6, "no job has the batch 'none'"),
    ],
)
def test_what_the_server_does_not_have_is_named(
    wrapd: Runner, server: ApiServer, args: tuple[str, ...], status: int, says: str
) -> None:
    server.put("job-1", "SUCCEED")
    server.put("shared-1", "SUCCEED")
    server.put("shared-2", "SUCCEED")
    ended = wrapd("watch", *args, "--server", server.url, "--token-file", "token")
    assert (ended.status, ended.out) == (status, "")
    assert says in ended.err


@pytest.mark.parametrize("projects", [["main", "other"], ["main"], []])
def test_a_job_is_found_however_many_there_are(wrapd: Runner, server: ApiServer, projects: list[str]) -> None:
    server.projects = projects
    for number in range(9):
        server.put(f"new-{number}", "PROCESSING")
    server.put("oldest-job", "FAILED")
    for job in ("oldest-job", "oldest"):
        for of in ((), ("--project", "main")):
            ended = wrapd("watch", job, *of, "--server", server.url, "--token-file", "token")
            assert (ended.status, "oldest-job" in ended.out) == (13, True), ended.err


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, NESTED, "answers with no JSON object"),
        (503, NESTED, "answers with HTTP 503"),
        (500, b'{"detail": ' + NESTED, "answers with HTTP 500"),
    ],
)
def test_no_answer_of_a_server_is_an_error_of_ours(wrapd: Runner, status: int, body: bytes, says: str) -> None:
    with pages(status, body) as port:
        ended = wrapd(
            "watch", "job-1", "--project", "main", "--server", f"http://127.0.0.1:{port}", "--token-file", "token"
        )
    assert (ended.status, says in ended.err) == (1, True), ended.err


@pytest.mark.parametrize(
    "url", ["wrapd.example.com", "ftp://h/", "http://", "https://h/?x=1", "file:///etc/passwd"]
)
def test_a_wrong_address_is_refused(wrapd: Runner, url: str) -> None:
    ended = wrapd("watch", "--all", "--server", url, "--token-file", "token")
    assert ended.status == 2
    assert "--server" in ended.err


@pytest.mark.parametrize(
    ("url", "readable"),
    [
        ("http://wrapd.example.com", True),
        ("http://10.0.0.1:8080/", True),
        ("https://wrapd.example.com", False),
        ("http://127.0.0.1:8080", False),
        ("http://[::1]:8080", False),
        ("http://localhost", False),
    ],
)
def test_a_token_that_others_can_read_on_the_way_is_known(url: str, readable: bool) -> None:
    assert ServerApi(url, TOKEN).is_readable is readable


def test_a_proxy_does_not_get_what_is_for_this_machine(
    wrapd: Runner, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.put("one", "SUCCEED")
    assert wrapd("watch", "--batch", "b", "--server", server.url, "--token-file", "token").status == 0


def test_a_refused_token_and_a_server_that_is_not_there_end_it(wrapd: Runner, server: ApiServer) -> None:
    ended = wrapd("watch", "--all", "--server", server.url, "--token-file", "nothing")
    assert (ended.status, "--token-file: cannot read nothing" in ended.err) == (3, True)
    (wrapd.folder / "token").write_text("wrong-token-of-the-test")
    ended = wrapd("watch", "--all", "--server", server.url, "--token-file", "token")
    assert ended.status == 1
    assert "refuses the token of --token-file: the token is not known" in ended.err
    assert "wrong-token" not in ended.err
    server.refuse = 302
    assert wrapd("watch", "--all", "--server", server.url, "--token-file", "token").status == 1
    ended = wrapd("watch", "--all", "--server", "http://127.0.0.1:9", "--token-file", "token")
    assert ended.status == 1
    assert "http://127.0.0.1:9 cannot be reached: Connection refused" in ended.err


def test_names_from_a_server_cannot_write_over_the_lines(wrapd: Runner, server: ApiServer) -> None:
    for number, name in enumerate(names()):
        text = whole(name)
        server.put(f"job-{number}", "FAILED", label=text, error_msg=text, error_code=text, state_since=None)
    ended = wrapd("watch", "--batch", "b", "--server", server.url, "--token-file", "token")
    assert ended.status == 13
    assert len(ended.out.split("\n")) == len(names()) + 2
    assert not any(char in ended.out for char in ("\x1b", "\r", "\x07", "\u202e", "\x9b"))


@pytest.mark.long
def test_a_process_follows_a_server_through_a_cut(tmp_path: Path, server: ApiServer) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    server.put("one", "PROCESSING")
    process = subprocess.Popen(
        [*COMMAND, "watch", "--batch", "b", "--server", server.url, "--token-file", tmp_path / "token"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    server.wait_for_streams(1)
    server.cut()
    server.put("one", "CANCELED")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 10
    assert out.splitlines()[-1] == "1 canceled"
    assert "Connecting again" in err or err == ""
