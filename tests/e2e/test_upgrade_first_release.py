"""An installation of the first release is upgraded: 10,000 jobs, with unsent, held and dead alerts and open
batches.

`tests/data/make_first_release.py` made the database with the released program, which was killed during a send.
"""

import asyncio
import contextlib
import json
import lzma
import random
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.app.run import Daemon
from daemon.build import load_spec
from daemon.clock import ManualClock
from daemon.sim import SimSettings, Simulator
from daemon.store import upgrade
from tests.support.process import COMMAND
from tests.support.virtual import Busy, VirtualLoop, stand_in
from tests.support.webhook import Webhook

RELEASED = Path(__file__).parents[1] / "data" / "first_release.db.xz"
CHANNELS = ("team", "refused", "night")
UNSENT = ("pending", "sending", "held")
MORNING = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
"""The end of the quiet hours; the first release was killed seven hours before."""


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """Return the database as the first release left it."""
    path = tmp_path / "wrapd.db"
    path.write_bytes(lzma.decompress(RELEASED.read_bytes()))
    return path


def rows(path: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, values).fetchall()


def columns(path: Path) -> dict[str, list[str]]:
    """Return the columns of each table."""
    names = [name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        name: [f'"{column}"' for _, column, *_ in rows(path, f"PRAGMA table_info({name})")]
        for name in names
        if name not in ("alembic_version", "sqlite_sequence")
    }


def content(path: Path, wanted: dict[str, list[str]]) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table: rows(path, f"SELECT {', '.join(names)} FROM {table} ORDER BY 1") for table, names in wanted.items()
    }


def config_of(folder: Path, sims: dict[str, Simulator], hooks: dict[str, Webhook]) -> Path:
    """Return a config of the first release."""
    projects = "".join(
        f'[projects.{name}]\nendpoint = "{sim.url}"\nproject_id = "{sim.settings.project_id}"\n'
        f"requests_per_second = 20\nauth = {{ method = 'aksk', access_key = '{sim.settings.access_key}', "
        f"secret_key = '{sim.settings.secret_key}' }}\n"
        for name, sim in sims.items()
    )
    channels = "".join(f'[channels.{name}]\nurl = "{hook.url()}"\n' for name, hook in hooks.items())
    quiet = '[channels.night.quiet]\nfrom = "22:00"\nto = "08:00"\nurgent = []\n'
    path = folder / "wrapd.toml"
    path.write_text(
        'operators = ["team"]\n[polling]\nmax_interval = "10m"\n[web]\nenabled = false\n'
        f'{projects}{channels}{quiet}[[routes]]\nchannels = ["team"]\n'
    )
    path.chmod(0o600)
    return path


def test_no_row_is_changed_by_the_migrations(released: Path) -> None:
    before, wanted = columns(released), columns(released)
    assert rows(released, "SELECT version_num FROM alembic_version") == [("0003",)]
    told = content(released, wanted)
    assert {"jobs": len(told["jobs"])} == {"jobs": 10_000}
    upgrade(f"sqlite:///{released}")
    for table, names in columns(released).items():
        assert set(before.get(table, ())) <= set(names), f"{table} lost a column"
    assert content(released, wanted) == told
    tags = rows(released, "SELECT j.id, t.value FROM jobs j, json_each(j.tags) t")
    assert sorted(rows(released, "SELECT job, tag FROM job_tags")) == sorted(tags)
    assert tags


@pytest.mark.long
def test_commands_read_it(released: Path, tmp_path: Path) -> None:
    with Webhook() as hook:
        config = tmp_path / "wrapd.toml"
        config.write_text(
            "[projects.main]\nregion = 'cn-north-4'\nproject_id = 'p'\n"
            "auth = { method = 'aksk', access_key = 'AK', secret_key = 'SK-of-tests' }\n"
            f"[channels.team]\nurl = '{hook.url()}'\n"
        )
        config.chmod(0o600)

        def said(*arguments: str) -> Any:
            ended = subprocess.run(
                [*COMMAND, "--config", config, *arguments, "--json"], capture_output=True, text=True, check=False
            )
            assert ended.returncode == 0, ended.stderr
            return json.loads(ended.stdout)

        subprocess.run([*COMMAND, "--config", config, "db", "upgrade"], check=True, capture_output=True)
        jobs = said("jobs", "--limit", "10000")
        assert len(jobs) == 10_000
        [job] = [each for each in jobs if each["batch"] == "told"][:1]
        assert said("show", job["job_id"])["state"] == "SUCCEED"
        dead = said("deliveries", "--dead")
        assert len(dead) == 40
        assert {each["status"] for each in dead} == {"dead"}
        said("stats")


class Upgraded:
    """Today's daemon on the released database, in time that jumps."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self.path, self.clock = path, clock
        self.unsent = self._told_by(UNSENT)
        self.sending = self._told_by(("sending",))
        self.dead = self._told_by(("dead",))
        self.watched = rows(path, "SELECT job_id, project, kind, state, id FROM jobs WHERE tracking = 'active'")
        self.over = dict(rows(path, "SELECT id, polls FROM jobs WHERE tracking <> 'active'"))

    def _told_by(self, statuses: tuple[str, ...]) -> Counter[tuple[str, str, str]]:
        """Return (channel, event, job id or batch) of the deliveries in these statuses."""
        marks = ", ".join("?" * len(statuses))
        found = rows(
            self.path,
            "SELECT d.channel, d.event, coalesce(j.job_id, json_extract(d.facts, '$.batch')) FROM deliveries d "
            f"LEFT JOIN jobs j ON j.id = d.job WHERE d.status IN ({marks})",
            *statuses,
        )
        return Counter(found)

    def jobs_of(self, project: str) -> Iterator[dict[str, Any]]:
        """Create the watched jobs in the simulators: most stay unchanged."""
        for job_id, of, kind, state, _ in self.watched:
            if of == project:
                yield {"job_id": job_id, "kind": kind, "timeline": [(state or "WAITING", None)]}


def told(hooks: dict[str, Webhook]) -> Counter[tuple[str, str, str]]:
    """Return (channel, event, job id or batch) of all messages."""
    return Counter(
        (name, facts["event"], facts.get("job_id") or facts.get("batch"))
        for name, hook in hooks.items()
        for facts in (received.json for received in hook.requests)
    )


@pytest.mark.long
@pytest.mark.timeout(300)
def test_nothing_is_lost_or_told_twice(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy, clock = Busy(), ManualClock(MORNING - timedelta(hours=1))
    stand_in(monkeypatch.setattr, busy)
    it = Upgraded(released, clock)
    assert sum(it.unsent.values()) > 350
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock, busy)) as runner:
        runner.run(_upgraded(it))


async def _upgraded(it: Upgraded) -> None:
    async with contextlib.AsyncExitStack() as stack:
        settings = {"show_rate": None, "write_rate": None, "clock": it.clock}
        sims = {
            name: await stack.enter_async_context(Simulator(SimSettings(seed=seed, **settings)))  # type: ignore[arg-type]
            for name, seed in (("main", 1), ("other", 2))
        }
        hooks = {name: stack.enter_context(Webhook()) for name in CHANNELS}
        for name, sim in sims.items():
            sim.create_many(list(it.jobs_of(name)))
        plan = load_spec(config_of(it.path.parent, sims, hooks))[0]
        service = Daemon(spec=plan, clock=it.clock, rng=random.Random(1))
        await service.start()
        try:
            await asyncio.sleep(1200)
            _check_the_first_minutes(it, hooks)
            await _end_some(it, sims, hooks)
            await asyncio.sleep((MORNING - it.clock.now()).total_seconds() + 60)
            _check_the_morning(it, hooks)
            _check_who_was_asked(it, sims)
            await _revive_the_dead(it, service, hooks)
        finally:
            await service.stop()
        left = rows(
            it.path,
            "SELECT status, count(*) FROM deliveries WHERE status IN ('pending', 'sending', 'held', 'dead')",
        )
        assert left == [(None, 0)]


def _check_the_first_minutes(it: Upgraded, hooks: dict[str, Webhook]) -> None:
    """Waiting alerts are sent, each once; those of a refused channel after its probe; none at night."""
    came = told(hooks)
    expected = Counter({key: count for key, count in it.unsent.items() if key[0] != "night"})
    assert came == expected
    assert ("team", "batch_finished", "settling") in came
    repeats = {
        ("team", facts["event"], facts.get("job_id"))
        for facts in (received.json for received in hooks["team"].requests)
        if facts["possible_repeat"]
    }
    assert set(it.sending) <= repeats, "what the kill left open says that it may be a repeat"
    assert len(repeats) == len(it.sending) + 30, "and so do those whose fate nobody knew"


async def _end_some(it: Upgraded, sims: dict[str, Simulator], hooks: dict[str, Webhook]) -> None:
    """The open batch and others end: each is alerted once."""
    before = told(hooks)
    under_way = [
        job
        for (job,) in rows(it.path, "SELECT job_id FROM jobs WHERE batch = 'under way' AND tracking = 'active'")
    ]
    frozen = [job for job, _, _, state, _ in it.watched if state == "BLOCK"][:5]
    assert len(under_way) == 2
    for job in under_way + frozen:
        sims["main"].set_state(job, "SUCCEED")
    await asyncio.sleep(900)
    news = told(hooks) - before
    ended = {("team", "succeeded", job): 1 for job in under_way + frozen}
    unblocked = {key: count for key, count in news.items() if key[1] == "unblocked"}
    assert news - Counter(unblocked) == Counter(ended | {("team", "batch_finished", "under way"): 1})


def _check_the_morning(it: Upgraded, hooks: dict[str, Webhook]) -> None:
    at_night = Counter({key: count for key, count in it.unsent.items() if key[0] == "night"})
    assert Counter({key: count for key, count in told(hooks).items() if key[0] == "night"}) == at_night


def _check_who_was_asked(it: Upgraded, sims: dict[str, Simulator]) -> None:
    """Every watched job was polled; no others."""
    polls = dict(rows(it.path, "SELECT id, polls FROM jobs"))
    asked = dict(
        rows(
            it.path,
            "SELECT id, coalesce(looks.last_polled_at, jobs.last_polled_at) FROM jobs "
            "LEFT JOIN looks ON looks.job = jobs.id WHERE tracking = 'active'",
        )
    )
    late = (it.clock.now() - timedelta(minutes=30)).timestamp() * 1e6
    assert [job for job, at in asked.items() if at is None or at < late] == []
    assert {job: polls[job] for job in it.over} == it.over
    assert len(asked) == len(it.watched) - 7, "none was lost, none was given up"


async def _revive_the_dead(it: Upgraded, service: Daemon, hooks: dict[str, Webhook]) -> None:
    """Dead deliveries stay dead until a person sends them again."""
    before = told(hooks)
    assert not set(it.dead) & set(before)
    at = it.clock.now()
    await service.store.write(lambda tx: tx.outbox.retry(ids=None, at=at))
    await asyncio.sleep(60)
    assert told(hooks) - before == it.dead
