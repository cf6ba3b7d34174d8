"""`wrapd track --from-api`: alone, and through a daemon that holds the database."""

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli import discover
from daemon.clock import SystemClock
from daemon.domain.jobs import ProjectName
from daemon.errors import Exit
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.gate import AuthGates
from daemon.metastudio.settings import AkSk, ProjectSettings
from daemon.metrics import Metrics
from daemon.store import Store
from daemon.tasks import Defects
from daemon.watch.discovery import Discovery
from tests.support.cli_runner import Runner
from tests.support.live import LiveSim, until

LONG = [("PROCESSING", 1e6), ("SUCCEED", None)]
PROJECT = ProjectName("main")


@pytest.fixture
def sim() -> Iterator[LiveSim]:
    with LiveSim(show_rate=None) as live:
        yield live


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str], sim: LiveSim) -> Runner:
    runner = Runner(tmp_path, capsys)
    runner.config.write_text(sim.project())
    return runner


@contextlib.contextmanager
def daemon_on(runner: Runner, sim: LiveSim, *, serves: bool = True) -> Iterator[Store]:
    """Hold the database as a daemon does; with `serves`, also carry out commands' requests, as the service
    would."""
    clock = SystemClock()
    store = Store.open(f"sqlite:///{runner.database}", clock=clock, daemon=True)
    ended = threading.Event()

    async def serve() -> None:
        keys = AkSk(access_key=sim.settings.access_key, secret_key=sim.settings.secret_key)
        settings = ProjectSettings(
            name=PROJECT, endpoint=sim.url, project_id=sim.settings.project_id, rate=20, auth=keys
        )
        rng = random.Random(1)
        client = ProjectClient(settings, clock=clock, gates=AuthGates(clock), rng=rng, environ={})
        looks = Discovery(
            project=PROJECT,
            client=client,
            store=store,
            clock=clock,
            rng=rng,
            settings=None,
            defects=Defects(clock=clock, metrics=Metrics()),
        )
        while not ended.is_set():
            looks.notice()  # as the service does when another program has written
            await looks.tick()
            await asyncio.to_thread(ended.wait, 0.05)
        await looks.stop()
        await client.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    if serves:
        thread.start()
    try:
        yield store
    finally:
        ended.set()
        if serves:
            thread.join()
        store.close()


def test_without_a_daemon_the_command_asks_itself(wrapd: Runner, sim: LiveSim) -> None:
    [known] = sim.jobs(timeline=LONG, name="Known")
    assert wrapd("track", known).status == 0
    [new] = sim.jobs(kind="photo", timeline=LONG, name="New\x1b[31m")
    sim.jobs(timeline=[("SUCCEED", None)])
    dry = wrapd("track", "--from-api", "--dry-run")
    assert (dry.status, dry.err) == (0, "")
    lines = [line.split() for line in dry.out.splitlines()]
    assert lines[0] == ["RESULT", "STATE", "KIND", "JOB", "NAME"]
    assert ["known", "PROCESSING", "avatar", known, "Known"] in lines
    assert ["new", "PROCESSING", "photo", new, "New[31m"] in lines
    assert len(json.loads(wrapd("jobs", "--json").out)) == 1
    real = wrapd("track", "--from-api", "--tag", "t", "--batch", "b", "--json")
    document = json.loads(real.out)
    assert (document["found"], document["added"], document["dry_run"], document["error"]) == (2, 1, False, None)
    assert {job["job_id"]: job["result"] for job in document["jobs"]} == {known: "known", new: "added"}
    rows = {row["job_id"]: row for row in json.loads(wrapd("jobs", "--json").out)}
    assert (rows[new]["kind"], rows[new]["tags"], rows[new]["batch"]) == ("photo", ["t"], "b")
    assert rows[known]["batch"] is None


def test_filters_of_the_command(wrapd: Runner, sim: LiveSim) -> None:
    [right] = sim.jobs(kind="photo", timeline=[("FAILED", None)], name="promo 1")
    sim.jobs(kind="photo", timeline=LONG, name="promo 2")
    sim.jobs(kind="avatar", timeline=[("FAILED", None)], name="promo 3")
    sim.jobs(kind="photo", timeline=[("FAILED", None)], name="other")
    sim.jobs(kind="photo", timeline=[("FAILED", None)], name="promo 4", created_ago=7300)
    args = ("--kind", "photo", "--state", "FAILED", "--state", "CANCELED", "--name", "promo *", "--since", "2h")
    result = wrapd("track", "--from-api", "--json", *args)
    assert [job["job_id"] for job in json.loads(result.out)["jobs"]] == [right]


def test_nothing_that_fits_is_no_fault(wrapd: Runner) -> None:
    result = wrapd("track", "--from-api")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == ["RESULT  STATE  KIND  JOB  NAME"]


@pytest.mark.long
def test_a_daemon_does_it_within_its_budget(wrapd: Runner, sim: LiveSim) -> None:
    ids = sim.jobs(count=120, timeline=LONG, name="Film")
    with daemon_on(wrapd, sim):
        asked = sim.asked("list")
        result = wrapd("track", "--from-api", "--batch", "b")
        assert (result.status, result.err) == (0, "")
        assert sim.asked("list") == asked + 2
        assert {line.split()[3] for line in result.out.splitlines()[1:]} == set(ids)
        assert all(line.startswith("tracked  PROCESSING") for line in result.out.splitlines()[1:])
        again = json.loads(wrapd("track", "--from-api", "--json").out)
        assert (again["found"], again["added"]) == (120, 0)
    assert len(json.loads(wrapd("jobs", "--json", "--batch", "b").out)) == 120


@pytest.mark.parametrize("by_daemon", [True, False])
def test_a_service_that_fails_is_told_with_what_was_found(wrapd: Runner, sim: LiveSim, by_daemon: bool) -> None:
    sim.jobs(count=120, timeline=LONG)
    sim.do(lambda it: it.fault("server_error", operation="list", seconds=3600))
    with daemon_on(wrapd, sim) if by_daemon else contextlib.nullcontext():
        result = wrapd("track", "--from-api", "--json")
    assert result.status == Exit.FAILED
    assert "project main: " in result.err
    assert "HTTP 500" in result.err
    document = json.loads(result.out)
    assert document["found"] == 0
    assert "HTTP 500" in document["error"]


def test_a_daemon_that_takes_too_long_is_left_to_it(
    wrapd: Runner, sim: LiveSim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discover, "PATIENCE", 0.3)
    with daemon_on(wrapd, sim, serves=False) as store:
        result = wrapd("track", "--from-api")
        assert result.status == Exit.FAILED
        assert "was not done within" in result.err
        assert "`wrapd jobs`" in result.err
        assert "`wrapd doctor --online`" in result.err
        assert len(store.read(lambda tx: tx.discoveries.waiting())) == 1


def test_a_daemon_that_ends_meanwhile_is_told(wrapd: Runner, sim: LiveSim) -> None:
    with daemon_on(wrapd, sim, serves=False) as store:
        closing = threading.Thread(target=lambda: (until("it asks", lambda: _waits(store)), store.close()))
        closing.start()
        result = wrapd("track", "--from-api")
        closing.join()
    assert result.status == Exit.FAILED
    assert "stopped before it was done; run the command again" in result.err
    with daemon_on(wrapd, sim, serves=False) as store:
        assert not _waits(store), "the wish is withdrawn"


def test_ctrl_c_withdraws_the_wish(wrapd: Runner, sim: LiveSim, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    with daemon_on(wrapd, sim, serves=False) as store:
        result = wrapd("track", "--from-api")
        assert result.status == 130
        assert "withdrawn" in result.err
        assert not _waits(store)


def _waits(store: Store) -> bool:
    return bool(store.read(lambda tx: tx.discoveries.waiting()))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--from-api", "a"), "takes no job ids"),
        (("--from-api", "--label", "x"), "no --label"),
        (("--from-api", "--kind", "business_card"), "does not list jobs of kind business_card"),
        (("--from-api", "--name", ""), "write 1 to 200 characters"),
        (("--from-api", "--since", "5"), 'write a number and unit (ms, s, m, h, d), as in "5s"'),
        (("--from-api", "--since", "1s"), "write at least 1m"),
        (("--from-api", "--state", "NEW"), "--state"),
        (("--since", "2h", "a"), "--since needs --from-api"),
        (("--dry-run", "a"), "--dry-run needs --from-api"),
        (("--from-api", "--retrack"), "no --retrack"),
        (("--from-api", "--file", "x"), "no --file"),
        ((), "which jobs? Give ids"),
    ],
)
def test_what_does_not_go_together_is_told(wrapd: Runner, sim: LiveSim, args: tuple[str, ...], says: str) -> None:
    result = wrapd("track", *args)
    assert result.status == Exit.USAGE
    assert says in result.err
    assert sim.asked() == 0
