"""A real daemon among strangers: its memory, probes, alerts and log are not affected."""

import http.client
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daemon.domain.jobs import ProjectName
from daemon.web import CallbackAuth, CallbackSettings, callback_url
from tests.support.live import FAST, LiveDaemon, LiveSim, until
from tests.support.strangers import HELD
from tests.support.webhook import Webhook

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

TOKEN, KEY = "a-token-of-24-characters", "a-key-of-24-characters-!"
NEWS = 8
"""Jobs in each part whose alerts are timed."""
PROBES = ("/healthz", "/readyz", "/metrics")
NOISE = 1.0
"""Seconds by which alerts may be later on a busy machine."""


@dataclass
class House:
    """The daemon, the jobs it watches, and its output."""

    sim: LiveSim
    hook: Webhook
    daemon: LiveDaemon
    port: int
    jobs: list[str] = field(default_factory=list)

    @property
    def memory(self) -> float:
        """Return the MiB in use."""
        status = Path(f"/proc/{self.daemon.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return int(found[1]) / 1024

    def news(self) -> list[float]:
        """End some jobs, one after another; return the seconds until each alert."""
        took = []
        for _ in range(NEWS):
            job = self.jobs.pop()
            began = self.moment
            self.sim.do(lambda it, job=job: it.set_state(job, "SUCCEED"))  # type: ignore[misc]
            until(f"{job} is told", lambda job=job: self._is_told(job), pace=0.01, seconds=60)  # type: ignore[misc]
            took.append(self.moment - began)
        return took

    @property
    def moment(self) -> float:
        """Seconds on a clock that stands while the daemon's loop or this thread waits for a core: what other
        processes take of a busy machine is not the daemon's."""
        tasks = (f"{self.daemon.pid}/task/{self.daemon.pid}", f"self/task/{threading.get_native_id()}")
        waited = sum(int(Path(f"/proc/{each}/schedstat").read_text().split()[1]) for each in tasks)
        return time.monotonic() - waited / 1e9

    def _is_told(self, job: str) -> bool:
        return any(each.json.get("job_id") == job for each in list(self.hook.requests))

    @contextmanager
    def strangers(self, *what: object) -> Iterator[None]:
        """Run strangers during the block, and wait until they are done."""
        command = [sys.executable, "-m", "tests.support.strangers", str(self.port), *map(str, what)]
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        try:
            yield
            assert process.wait(240) == 0
        finally:
            process.kill()
            process.wait()

    def lines_about_strangers(self) -> list[object]:
        """Return the log lines that are not about the daemon's or a job's usual course."""
        about = [each for each in self.daemon.lines if each["level"] not in ("info", "debug")]
        return [*about, *(raw for raw in self.daemon.raw if not raw.startswith("{"))]


class Prober:
    """Requests the health probes again and again in a thread, as a context manager."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)
        self.took: list[float] = []
        self.wrong: list[str] = []

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Check that every probe succeeded within a second, except for one in 200 to allow for a busy machine."""
        assert not self.wrong
        late = [took for took in self.took if took >= 1]
        assert len(late) <= len(self.took) / 200, late
        assert max(self.took) < 3

    def _ask_on(self) -> None:
        while not self._ended.wait(0.1):
            for method, path in [("GET", path) for path in PROBES] + [("HEAD", "/healthz")]:
                began = self._house.moment
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", self._house.port, timeout=10)
                    connection.request(method, path)
                    answer = connection.getresponse()
                    answer.read()
                    connection.close()
                    said = "" if answer.status == 200 else f"{method} {path}: {answer.status}"
                except OSError as error:
                    said = f"{method} {path}: {type(error).__name__}"
                self.took.append(self._house.moment - began)
                self.wrong += [said] if said else []


@contextmanager
def a_house(folder: Path, *, jobs: int, more: str = "", limited: bool = False) -> Iterator[House]:
    """Start the daemon. `limited`: the service allows ten requests a second, and the project keeps to it."""
    with LiveSim(show_rate="documented" if limited else None) as sim, Webhook() as hook:
        config = (
            sim.project(more=more).replace(
                "requests_per_second = 20\n", "" if limited else "requests_per_second = 20\n"
            )
            + f'[channels.hook]\nurl = "{hook.url()}"\n'
            + f'[web]\nlisten = "127.0.0.1:0"\npublic_url = "https://wrapd.example.com"\ntoken = "{TOKEN}"\n'
            + FAST
        )
        with LiveDaemon(folder, config) as daemon:
            house = House(sim, hook, daemon, int(daemon.address.rpartition(":")[2]))
            house.jobs = sim.jobs(jobs, timeline=[("PROCESSING", None)])
            daemon.command("track", *house.jobs)
            daemon.wait_for("job.moved", count=jobs, after="PROCESSING")
            yield house


def middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def test_strangers_cost_nobody_anything(tmp_path: Path) -> None:
    kinds = list(HELD)
    with a_house(tmp_path, jobs=NEWS * 6) as house:
        held = [("held", 300, kind, 1) for kind in kinds]
        for warming in (("closed", 400), *held, ("tokens", 180, 1), ("fuzzed", 1000)):
            with house.strangers(*warming):
                pass
        quiet = house.news()
        before, said = house.memory, len(house.lines_about_strangers())
        with Prober(house) as prober:
            news: list[float] = []
            with house.strangers("closed", 4000):
                news += house.news()
            for number, kind in enumerate(kinds):
                with house.strangers("held", 300, kind, 3):
                    news += house.news() if number == 0 else []
            with house.strangers("tokens", 180, 5):
                news += house.news()
            with house.strangers("fuzzed", 10_000):
                news += house.news()
            with house.strangers("callbacks", 400, "/callbacks/main/no-secret"):
                news += house.news()
        prober.check()
        assert middle(news) <= max(1.2 * middle(quiet), middle(quiet) + NOISE), (quiet, news)
        assert max(news) <= max(1.2 * max(quiet), max(quiet) + 3 * NOISE), (quiet, news)
        until(f"memory is as before ({before:.0f} MiB)", lambda: house.memory <= 1.1 * before)
        about = house.lines_about_strangers()[said:]
        assert len(about) <= 100, about[:20]
        assert not [each for each in about if isinstance(each, str) or each.get("event") == "defect"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("auth", list(CallbackAuth))
def test_made_up_callbacks_hold_up_no_real_job(tmp_path: Path, auth: CallbackAuth) -> None:
    """A stranger who knows one genuine callback URL can name any ids: they are queried with the remaining
    budget."""
    more = f'callback = {{ auth = "{auth}", key = "{KEY}", track_unknown = true }}'
    with a_house(tmp_path, jobs=NEWS * 4, more=more, limited=True) as house:
        quiet = house.news()
        settings = CallbackSettings(auth=auth, key=KEY, track_unknown=True)
        url = callback_url("https://wrapd.example.com", ProjectName("main"), settings)
        path = url.removeprefix("https://wrapd.example.com")
        with Prober(house) as prober:
            with house.strangers("callbacks", 400, path):
                news = house.news()
            news += house.news()
            news += house.news()
        prober.check()
        assert middle(news) <= max(1.2 * middle(quiet), middle(quiet) + NOISE), (quiet, news)
        told = [str(each.json.get("job_id")) for each in house.hook.requests]
        assert not [each for each in told if each.startswith("made-up")]
