"""Each alert rule fires on its fault, and on no other: a real daemon beside the simulator with one fault at a
time, its real /metrics, and promtool's judgement of the rules on them.

The scrapes are taken as fast as the fault shows; for promtool they are a minute apart, and the last one holds.
"""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, to, until
from tests.support.programs import ROOT, need, run
from tests.support.promtool import RULES, check_metrics, fired, promtool, series
from tests.support.reloading import BASE, live, project
from tests.support.store import open_store, request
from tests.support.webhook import Answer, Webhook

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(600)]

WEB = '[web]\nlisten = "127.0.0.1:0"\n'
CONFIG = FAST + WEB
WEEKEND = 60 * 60
"""Minutes for which all was well, longer than a backup may be old."""


class Rig:
    """A simulator, a webhook and a daemon that has told of one finished video."""

    def __init__(self, folder: Path, sim: LiveSim, hook: Webhook, daemon: LiveDaemon) -> None:
        self.folder, self.sim, self.hook, self.daemon = folder, sim, hook, daemon
        self.scrapes: list[str] = []

    def scrape(self) -> dict[str, float]:
        """Keep what /metrics says now."""
        status, text = self.daemon.page("/metrics")
        assert status == 200
        self.scrapes.append(text)
        return series(text)

    def until(self, name: str, holds: Callable[[float], bool], *, seconds: float = 120) -> None:
        """Wait until a series has such a value, and keep a scrape of each value before."""
        kept: list[float | None] = []

        def found() -> bool:
            value = self.scrape().get(name)
            if kept[-1:] == [value]:
                self.scrapes.pop()
            kept.append(value)
            return value is not None and holds(value)

        until(f"{name} in /metrics", found, seconds=seconds, pace=1.0)

    def fired(self) -> set[str]:
        return fired(self.folder, self.scrapes)

    def end_one(self) -> None:
        [job] = self.sim.jobs(timeline=[("PROCESSING", None)])
        self.daemon.command("track", job)
        self.daemon.wait_for("job.moved", job=job)
        self.sim.do(lambda it: it.set_state(job, "SUCCEED"))


@contextlib.contextmanager
def rig(folder: Path, config: str = CONFIG, *, jobs: int = 3, more: str = "") -> Iterator[Rig]:
    with LiveSim() as sim, Webhook() as hook:
        with LiveDaemon(folder, config + sim.project(more=more) + to(hook)) as daemon:
            it = Rig(folder, sim, hook, daemon)
            daemon.command("track", *sim.jobs(count=jobs, timeline=[("PROCESSING", None)]))
            daemon.wait_for("job.moved", count=jobs)
            it.end_one()
            daemon.wait_for("delivery.sent")
            it.scrape()
            yield it


def test_the_file_is_sound() -> None:
    ended = run(promtool(), "check", "rules", RULES)
    assert ended.returncode == 0, ended.stdout


def test_no_rule_fires_while_all_is_well(tmp_path: Path) -> None:
    with rig(tmp_path) as it:
        for _ in range(3):
            it.end_one()
            it.scrape()
        it.daemon.wait_for("delivery.sent", count=4)
        it.scrape()
        assert it.fired() == set()


def test_an_api_that_fails(tmp_path: Path) -> None:
    with rig(tmp_path) as it:
        it.sim.do(lambda sim: sim.fault("server_error"))
        it.until('wrapd_project_up{project="main"}', lambda value: value == 0)
        assert it.fired() == {"WrapdProjectDown"}


def test_an_api_that_refuses_the_credentials(tmp_path: Path) -> None:
    with rig(tmp_path) as it:
        it.sim.do(lambda sim: sim.fault("unauthorized"))
        it.until('wrapd_project_authorized{project="main"}', lambda value: value == 0)
        assert it.fired() == {"WrapdCredentialsRefused"}


def test_a_channel_that_is_refused(tmp_path: Path) -> None:
    with rig(tmp_path) as it:
        it.hook.default = Answer(status=404)
        it.end_one()
        it.until('wrapd_deliveries{channel="hook", status="held"}', lambda value: value > 0)
        assert it.fired() == {"WrapdChannelHeld"}


def test_a_channel_that_cannot_be_reached(tmp_path: Path) -> None:
    with rig(tmp_path) as it:
        it.hook.default = Answer(status=503)
        it.end_one()
        it.until('wrapd_attempts_total{channel="hook", outcome="retry"}', lambda value: value >= 3)
        assert it.fired() == {"WrapdChannelFailing"}


def test_alerts_that_are_given_up(tmp_path: Path) -> None:
    with rig(tmp_path, f'operators = []\n{CONFIG}[notify]\ngive_up_after = "1s"\n') as it:
        it.hook.default = Answer(status=503)
        it.end_one()
        it.until('wrapd_deliveries{channel="hook", status="dead"}', lambda value: value > 0)
        assert it.fired() == {"WrapdAlertsDead"}


def test_a_writer_that_is_blocked(tmp_path: Path) -> None:
    with rig(tmp_path) as it:
        with contextlib.closing(sqlite3.connect(tmp_path / "wrapd.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            it.until("wrapd_ready{}", lambda value: value == 0)
        assert it.fired() == {"WrapdNotReady"}


def full(folder: Path) -> None:
    """The same with a full disk; `folder` is a small file system."""
    with rig(folder) as it:
        ballast = folder / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        for job in it.sim.jobs(count=3, timeline=[("PROCESSING", None)]):
            it.daemon.command("track", job, status=4)
        it.until("wrapd_ready{}", lambda value: value == 0)
        ballast.unlink()
        assert it.fired() == {"WrapdNotReady"}


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    promtool()
    unshare = need("unshare")
    if subprocess.run([unshare, "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount in a namespace of its own")
    code = "import sys, pathlib; from tests.e2e.test_alert_rules import full; full(pathlib.Path(sys.argv[1]))"
    mount = 'mount -t tmpfs -o size=2m tmpfs "$1" && exec "$0" -c "$2" "$1"'
    done = run(
        *(unshare, "-rm", "sh", "-c", mount, sys.executable, tmp_path, code),
        timeout=300,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout


def test_more_jobs_than_the_budget_allows_for(tmp_path: Path) -> None:
    polling = 'strategy = "fixed"\nfeed = "off"\nbatch = "off"\n[log]'
    with rig(tmp_path, CONFIG.replace("[log]", polling)) as it:
        it.sim.do(lambda sim: sim.fault("slow", delay=3.0))
        it.daemon.command("track", *it.sim.jobs(count=1000, timeline=[("PROCESSING", None)]))
        it.until('wrapd_poll_lateness_seconds{project="main"}', lambda value: value > 60, seconds=300)
        assert it.fired() == {"WrapdJobsLate"}


def test_a_list_of_ended_jobs_that_lies(tmp_path: Path) -> None:
    with rig(tmp_path, jobs=40) as it:
        it.until('wrapd_feed_trusted{project="main"}', lambda value: value == 1)
        it.sim.do(lambda sim: sim.fault("feed_filter_ignored"))
        it.until('wrapd_feed_trusted{project="main"}', lambda value: value == 0)
        assert it.fired() == {"WrapdFeedLost"}


def test_a_config_with_a_fault(tmp_path: Path) -> None:
    with rig(tmp_path) as it:
        it.daemon.config.write_text(it.daemon.config.read_text() + "\n[retention]\nkeeep = '1d'\n")
        os.kill(it.daemon.pid, signal.SIGHUP)
        it.daemon.wait_for("config.refused")
        it.scrape()
        assert it.fired() == {"WrapdConfigRefused"}


def test_a_heartbeat_that_nobody_hears(tmp_path: Path) -> None:
    with Webhook(default=Answer(status=404)) as switch:
        url = f"http://{switch.address}/ping/5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"
        with rig(tmp_path, CONFIG + f'[heartbeat]\nurl = "{url}"\ninterval = "10s"\n') as it:
            it.until('wrapd_heartbeats_total{outcome="failed"}', lambda value: value >= 2)
            assert it.fired() == {"WrapdHeartbeatFailing"}


def test_a_daemon_that_is_gone(tmp_path: Path) -> None:
    with rig(tmp_path) as it:
        it.daemon.stop()
        it.scrapes.append("")
        assert it.fired() == {"WrapdDown"}


def test_a_backup_that_is_missing(tmp_path: Path) -> None:
    """Silent where none was ever made, and while the newest is of these days."""
    with rig(tmp_path) as it:
        it.daemon.command("db", "backup", "--keep", "3")
        it.until("wrapd_backup_timestamp_seconds{}", lambda value: value > 0)
        assert fired(tmp_path, it.scrapes, quiet=WEEKEND) == set()
        [backup] = (tmp_path / "backups").glob("wrapd-*Z.db")
        made = datetime.now(UTC) - timedelta(hours=49)
        backup.rename(backup.with_name(f"wrapd-{made:%Y%m%dT%H%M%SZ}.db"))
        it.until("wrapd_backup_timestamp_seconds{}", lambda value: value <= made.timestamp())
        assert fired(tmp_path, it.scrapes, quiet=WEEKEND) == {"WrapdBackupMissing"}


async def test_an_internal_error(tmp_path: Path) -> None:
    async def broken() -> None:
        raise RuntimeError("planted")

    with LiveSim() as sim, Webhook() as hook:
        async with live(tmp_path, BASE + project(sim.simulator) + to(hook)) as it:
            before = await it.service._metrics_text()
            it.service._schedule._ticks["mutes"].work = broken
            await it.until("it is counted", lambda: it.metric("wrapd_defects_total", part="schedule"))
            after = await it.service._metrics_text()
    assert fired(tmp_path, [before.decode(), after.decode()]) == {"WrapdDefect"}


def test_metrics_of_ten_thousand_jobs(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        jobs = sim.jobs(count=10_000, timeline=[("PROCESSING", None)])
        store = open_store(tmp_path)
        requests = [request(job, tags=("a", "b"), batch=f"batch-{job[:3]}") for job in jobs]
        store.write_now(lambda tx: tx.jobs.track_many(requests, at=datetime.now(UTC)))
        store.close()
        with LiveDaemon(tmp_path, '[log]\nformat = "json"\n' + WEB + sim.project() + to(hook)) as daemon:
            it = Rig(tmp_path, sim, hook, daemon)
            looked = 'wrapd_looks_total{by="ids", project="main"}'
            it.until(looked, lambda value: value >= 10_000, seconds=200)
            sim.do(lambda that: that.set_state(jobs[0], "SUCCEED"))
            daemon.wait_for("delivery.sent", seconds=200)
            # On a busy machine, recording ten thousand first states takes longer than a part may pause.
            it.until("wrapd_ready{}", lambda value: value == 1, seconds=200)
            it.scrapes[:] = []
            shown = it.scrape()
            assert shown['wrapd_jobs_active{project="main"}'] >= 9_999, "but the one that ended"
            assert len(shown) <= 500
            assert check_metrics(it.scrapes[-1]) == ""
            assert it.fired() == set()
