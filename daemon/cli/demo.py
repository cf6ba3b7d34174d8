"""`wrapd demo`: simulator, daemon and a console channel in one process, to see within a minute what wrapd does.

Owns the scenes and the final summary. The daemon is the real one; only its config is built here.
"""

import asyncio
import random
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.numbers import Count, Factor
from daemon.cli.session import CLOCK, collect, has_terminal, who
from daemon.cli.sim import Address
from daemon.config.values import Listen
from daemon.domain.events import DEFAULT_EVENTS, events_of
from daemon.domain.jobs import ChannelName, ProjectName, Tracking, parse_job_id
from daemon.domain.sessions import RANDOM_BYTES
from daemon.domain.tokens import ApiScope
from daemon.domain.transitions import Moved
from daemon.errors import Exit

if TYPE_CHECKING:  # slow to import
    from daemon.app.run import Daemon
    from daemon.metastudio.settings import ProjectSettings
    from daemon.sim import Simulator
    from daemon.store import Transaction, TransitionRow

Timeline = list[tuple[str, float | None]]

_PROJECT = ProjectName("demo")
_CHANNEL = ChannelName("console")
_BATCH = "Spring campaign"
_RATE = 10.0
"""Requests per second: the budget of a real project in cn-north-4."""
_MANY = 20
"""Above this many alerts within five seconds, they are sent as a digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One video: its name, kind and timeline, in seconds at speed 1."""

    name: str
    kind: str
    timeline: Timeline


def _video(name: str, waiting: float, production: float, *, kind: str = "avatar", end: str = "SUCCEED") -> Scene:
    return Scene(name=name, kind=kind, timeline=[("WAITING", waiting), ("PROCESSING", production), (end, None)])


SCENES = (
    _video("Opening words", 30, 60),
    _video("Portrait of Ada", 30, 110, kind="photo"),
    _video("Price list, spoken", 40, 160, end="FAILED"),
    Scene(name="Wrong script, withdrawn", kind="avatar", timeline=[("WAITING", 140), ("CANCELED", None)]),
    Scene(
        name="The frozen one",
        kind="avatar",
        timeline=[
            ("WAITING", 40),
            ("PROCESSING", 100),
            ("BLOCK", 220),
            ("PROCESSING", 90),
            ("SUCCEED", None),
        ],
    ),
    _video("Safety briefing", 60, 230),
    _video("Greetings from Guiyang", 60, 270, kind="photo"),
    _video("Quarterly figures", 80, 330),
    _video("How to return a parcel", 90, 380),
    _video("Interview, take 3", 100, 420, kind="photo"),
    _video("Product tour, chapter 1", 120, 480),
    _video("Product tour, chapter 2", 120, 560),
)
"""All final states, both kinds, and a job that freezes and thaws, within 35 s at the default speed."""


@click.command("demo")
@click.option("--jobs", type=Count(most=500), default=len(SCENES), show_default=True, help="Video count.")
@click.option("--speed", type=Factor(), default=20.0, show_default=True, help="A multiple of real time.")
@click.option("--seed", default=1, show_default=True, help="Varies the lengths; the same seed repeats the demo.")
@click.option("--exit-when-done", is_flag=True, help="Exit after the last alert instead of waiting for Ctrl-C.")
@click.option(
    "--listen",
    type=Address(),
    default="127.0.0.1:0",
    show_default=True,
    help="Address of the daemon's pages.",
)
def command(*, jobs: int, speed: float, seed: int, exit_when_done: bool, listen: Listen) -> int:
    """Watch a simulated MetaStudio produce videos, and see every alert as your team would."""
    from daemon import logs  # noqa: PLC0415 - only this command and `run` log

    collect()
    logs.set_up(level="warning")
    with tempfile.TemporaryDirectory(prefix="wrapd-demo-") as folder:
        demo = Demo(jobs=jobs, speed=speed, seed=seed, listen=listen, folder=Path(folder))
        return int(asyncio.run(demo.play(stay=not exit_when_done)))


def cast(jobs: int, seed: int) -> list[Scene]:
    """The scenes of a demo with so many jobs: the list repeated, with lengths varied by the seed (seed 1 plays the
    first round as written)."""
    rng = random.Random(f"demo/{seed}")  # noqa: S311 - a demo must repeat
    scenes = []
    for number in range(jobs):
        round_, scene = number // len(SCENES), SCENES[number % len(SCENES)]
        stretch = 1.0 if round_ == 0 and seed == 1 else rng.uniform(0.8, 1.2)
        scenes.append(
            Scene(
                name=scene.name if round_ == 0 else f"{scene.name} ({round_ + 1})",
                kind=scene.kind,
                timeline=[(state, length and length * stretch) for state, length in scene.timeline],
            )
        )
    return scenes


@dataclass(slots=True, kw_only=True)
class Demo:
    """One run of the demo."""

    jobs: int
    speed: float
    seed: int
    listen: Listen
    folder: Path

    async def play(self, *, stay: bool) -> Exit:
        """Play all scenes; the status says whether every alert arrived."""
        from daemon.sim import SimSettings, Simulator  # noqa: PLC0415 - slow to import

        async with Simulator(SimSettings(seed=self.seed, speed=self.speed)) as sim:
            attempted = asyncio.Event()
            service = self._service(sim, on_attempt=attempted.set)
            ended = asyncio.Event()
            async with service.running(ended):
                await self._begin(service, sim)
                await _until(ended, lambda: _all_sent(service), attempted)
                status = self._summarize(service, sim)
                if stay and not ended.is_set():
                    click.echo(f"\nThe pages stay until Ctrl-C ends the demo.{await self._link(service)}")
                    await ended.wait()
        return status

    def _service(self, sim: "Simulator", *, on_attempt: Callable[[], None]) -> "Daemon":
        """The daemon with a demo config: short intervals, alerts on this terminal."""
        from daemon.app.run import Daemon  # noqa: PLC0415
        from daemon.domain.planning import Rails, Strategy  # noqa: PLC0415
        from daemon.domain.routing import Route, routing  # noqa: PLC0415
        from daemon.notify import NotifySettings  # noqa: PLC0415
        from daemon.notify.outbox import ChannelPlan  # noqa: PLC0415
        from daemon.notify.transport import ChannelSettings, open_channel  # noqa: PLC0415
        from daemon.spec import Spec  # noqa: PLC0415
        from daemon.watch.settings import PollingPlan  # noqa: PLC0415
        from daemon.web import WebSettings  # noqa: PLC0415

        # One message for each alert, as long as people can read along.
        plain = ChannelPlan(digest_above=_MANY, digest_window=5.0)
        spec = Spec(
            database_url=f"sqlite:///{self.folder / 'wrapd.db'}",
            projects=(_project(sim),),
            max_in_flight={_PROJECT: 16},
            # Production is unrealistically fast here, so durations learned from real jobs would not apply.
            polling=PollingPlan(
                rails=Rails(min_interval=0.3, max_interval=1.0, blocked_interval=0.5), strategy=Strategy.FIXED
            ),
            not_found_grace=10.0,
            give_up_after=3600.0,
            channels={
                _CHANNEL: open_channel(
                    ChannelSettings(name=_CHANNEL, url="console://", timezone="UTC", plan=plain)
                )
            },
            routing=routing(
                [Route(events=frozenset(DEFAULT_EVENTS), channels=(_CHANNEL,))],
                operators=None,
                channels=[_CHANNEL],
            ),
            notify=NotifySettings(),
            web=WebSettings(host=self.listen.host, port=self.listen.port),
        )
        return Daemon(spec=spec, clock=CLOCK, on_attempt=on_attempt, foreground=has_terminal())

    async def _begin(self, service: "Daemon", sim: "Simulator") -> None:
        """Create the videos at the service and track them, as the tool that creates them would."""
        from daemon.commands import JobEntry, track  # noqa: PLC0415

        for scene in cast(self.jobs, self.seed):
            [job_id] = sim.create_jobs(kind=scene.kind, name=scene.name, timeline=scene.timeline)
            entry = JobEntry(project=_PROJECT, kind=scene.kind, job_id=parse_job_id(job_id), batch=_BATCH)
            await service.store.write(partial(track, wanted=[entry], at=CLOCK.now(), who=who()))
        click.echo(await self._greeting(service, sim))

    async def _greeting(self, service: "Daemon", sim: "Simulator") -> str:
        """What runs where, and where to see it."""
        return (
            f"A simulated MetaStudio at {sim.url} produces {self.jobs} videos, {self.speed:g} times as fast as a "
            f"real one.\nwrapd polls it and shows each alert below.{await self._link(service)}\n"
        )

    async def _link(self, service: "Daemon") -> str:
        """An address that logs in to the pages, once."""
        from daemon.commands.sessions import make_login  # noqa: PLC0415

        if not service.web:
            return ""
        random, name = secrets.token_bytes(RANDOM_BYTES), who().partition(":")[2]
        secret = await service.store.write(
            lambda tx: make_login(tx, name, ApiScope.ADMIN, random=random, at=CLOCK.now())
        )
        return f"\nSee it at http://{service.web.address}/login?once={secret}"

    def _summarize(self, service: "Daemon", sim: "Simulator") -> Exit:
        """Print what happened, compared with the simulator's own record."""
        from daemon.store import DeliveryStatus  # noqa: PLC0415

        jobs = service.store.read(lambda tx: tx.jobs.list())
        transitions = sum(len(service.store.read(partial(_history, job=job.id))) for job in jobs)
        deliveries = service.store.read(lambda tx: tx.deliveries.list())
        names: dict[int | None, str] = {job.id: job.job_id for job in jobs}
        sent = Counter(
            (names.get(each.job, ""), str(each.event)) for each in deliveries if each.status == DeliveryStatus.SENT
        )
        missing = expected_alerts(sim.jobs()) - sent
        ends = Counter(job.state or "not polled yet" for job in jobs)
        stats = sim.stats()
        click.echo(
            "\n".join(
                [
                    "",
                    f"Jobs         {len(jobs)}: " + ", ".join(f"{n} {end}" for end, n in sorted(ends.items())),
                    f"Transitions  {transitions}",
                    f"Deliveries   {sent.total()} sent, {missing.total()} missing",
                    f"Requests     {stats['total']} ({stats['total'] / max(1, len(jobs)):.1f} for each job)",
                ]
            )
        )
        for (job_id, event), number in missing.items():
            click.echo(f"  missing: {event} of {job_id}" + (f" ({number} times)" if number > 1 else ""))
        return Exit.FAILED if missing else Exit.OK


def _project(sim: "Simulator") -> "ProjectSettings":
    """Where the jobs are."""
    from daemon.metastudio.settings import AkSk, ProjectSettings  # noqa: PLC0415

    keys = sim.settings
    return ProjectSettings(
        name=_PROJECT,
        endpoint=sim.url,
        project_id=keys.project_id,
        rate=_RATE,
        auth=AkSk(access_key=keys.access_key, secret_key=keys.secret_key),
    )


def expected_alerts(truth: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """The alerts that the jobs' true histories call for, by job id and event."""
    expected: Counter[tuple[str, str]] = Counter()
    for job in truth:
        before: str | None = None
        for step in job["history"]:
            move = Moved(before=before, after=step["state"], observed_at=CLOCK.now(), reported_at=None)
            expected.update((job["job_id"], str(event)) for event in events_of(move) if event in DEFAULT_EVENTS)
            before = step["state"]
    return expected


def _all_sent(service: "Daemon") -> bool:
    """Whether every job has ended and nothing waits in the outbox."""
    from daemon.store import DeliveryStatus  # noqa: PLC0415

    def read(tx: "Transaction") -> bool:
        active = any(tracking == Tracking.ACTIVE for _, tracking in tx.jobs.counts())
        unsent = {DeliveryStatus.PENDING, DeliveryStatus.SENDING}
        return not active and not any(status in unsent for _, status in tx.deliveries.counts())

    return service.store.read(read)


async def _until(ended: asyncio.Event, done: Callable[[], bool], news: asyncio.Event) -> None:
    """Wait until `done()` holds, checked after each `news`, or until `ended` is set."""
    ending = asyncio.create_task(ended.wait())
    while not ended.is_set() and not done():
        news.clear()
        waiting = asyncio.create_task(news.wait())
        await asyncio.wait({ending, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=1.0)
        waiting.cancel()
    ending.cancel()


def _history(tx: "Transaction", *, job: int) -> "list[TransitionRow]":
    return tx.history.transitions(job)
