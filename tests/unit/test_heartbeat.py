"""The heartbeat: a real receiver, a real database and a clock that the test moves."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daemon.addresses import Timeouts
from daemon.app.heartbeat import AGAIN, FIRST, HEARTBEAT_TICK, HeartbeatSender, down_url
from daemon.clock import ManualClock
from daemon.logs import LogEvent
from daemon.metrics import Metrics
from daemon.spec import HeartbeatSettings
from daemon.store import Store
from daemon.web import Health
from tests.support.store import open_store
from tests.support.webhook import Answer, Webhook

UUID = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"
MINUTE = 60.0


@pytest.mark.parametrize(
    ("url", "down"),
    [
        (f"https://hc-ping.com/{UUID}", f"https://hc-ping.com/{UUID}/fail"),
        ("https://hc-ping.com/key/wrapd", "https://hc-ping.com/key/wrapd/fail"),
        (f"http://checks.lan:8000/ping/{UUID}", f"http://checks.lan:8000/ping/{UUID}/fail"),
        (
            "http://kuma.lan:3001/api/push/tOkEn12345?status=up&msg=OK&ping=",
            "http://kuma.lan:3001/api/push/tOkEn12345?status=down&msg=no+progress&ping=",
        ),
        ("https://kuma.lan/api/push/tOkEn", "https://kuma.lan/api/push/tOkEn?status=down&msg=no+progress"),
        ("https://nosnch.in/c2354d53d2", None),
        (f"https://example.com/{UUID}/more", None),
    ],
)
def test_only_known_services_are_told_of_no_progress(url: str, down: str | None) -> None:
    assert down_url(url, "no progress") == down


@dataclass
class Rig:
    """A heartbeat once a minute."""

    hook: Webhook
    store: Store
    clock: ManualClock = field(default_factory=ManualClock)
    metrics: Metrics = field(default_factory=Metrics)
    stalled: dict[str, float | None] = field(default_factory=dict)
    path: str = f"/{UUID}"

    def __post_init__(self) -> None:
        self.sender = HeartbeatSender(
            self.settings(),
            store=self.store,
            ready=lambda: Health(stalled=self.stalled),
            clock=self.clock,
            metrics=self.metrics,
            environ={},
        )

    def settings(self, interval: float = MINUTE) -> HeartbeatSettings:
        return HeartbeatSettings(url=f"http://{self.hook.address}{self.path}", interval=interval)

    async def later(self, seconds: float) -> list[str]:
        """The paths requested when so much time has passed."""
        before = len(self.hook.requests)
        self.clock.advance(seconds)
        await self.sender.tick()
        return [each.path for each in self.hook.requests[before:]]

    def counted(self) -> dict[str, float | None]:
        return {
            outcome: self.metrics.registry.get_sample_value("wrapd_heartbeats_total", {"outcome": outcome})
            for outcome in ("sent", "failed", "withheld")
        }


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr("daemon.store.engine.BUSY_SECONDS", 0.2)
    with Webhook() as hook:
        store = open_store(tmp_path, daemon=True)
        yield Rig(hook, store)
        store.close()


async def test_it_pings_at_each_interval_and_first_after_a_while(rig: Rig) -> None:
    assert rig.counted() == {"sent": 0, "failed": 0, "withheld": 0}
    assert await rig.later(FIRST - HEARTBEAT_TICK) == []
    assert await rig.later(HEARTBEAT_TICK) == [rig.path]
    assert await rig.later(MINUTE - HEARTBEAT_TICK) == []
    assert await rig.later(HEARTBEAT_TICK) == [rig.path]
    assert rig.counted() == {"sent": 2, "failed": 0, "withheld": 0}


async def test_no_progress_is_reported_once_and_not_pinged(rig: Rig) -> None:
    rig.stalled = {"poll": 31.0, "channels.editors": 60.0}
    assert await rig.later(FIRST) == [f"{rig.path}/fail"]
    assert await rig.later(MINUTE) == []
    rig.stalled = {}
    assert await rig.later(MINUTE) == [rig.path]
    assert rig.counted() == {"sent": 1, "failed": 0, "withheld": 2}


async def test_a_database_that_takes_no_commit_is_no_progress(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(tmp_path / "wrapd.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await rig.later(FIRST) == [f"{rig.path}/fail"]
        other.execute("ROLLBACK")
    assert await rig.later(MINUTE) == [rig.path]
    monkeypatch.setattr("daemon.app.heartbeat.PROOF", 0.05)
    with rig.store._writer._turn:  # type: ignore[union-attr] # the thread that writes hangs
        assert await rig.later(MINUTE) == [f"{rig.path}/fail"]


@pytest.mark.parametrize(
    "answer", [Answer(status=404), Answer(body=b"OK (not found)"), Answer(status=302), Answer(reset=True)]
)
async def test_a_ping_without_success_is_repeated_soon(rig: Rig, answer: Answer) -> None:
    rig.hook.program(answer)
    assert await rig.later(FIRST) == [rig.path]
    assert await rig.later(AGAIN - HEARTBEAT_TICK) == []
    assert await rig.later(HEARTBEAT_TICK) == [rig.path]
    assert rig.counted() == {"sent": 1, "failed": 1, "withheld": 0}


async def test_a_failure_is_logged_once_and_without_the_address(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[LogEvent, str]] = []

    class Log:
        def info(self, event: LogEvent, **fields: object) -> None:
            lines.append((event, str(fields)))

        error = info

    monkeypatch.setattr("daemon.app.heartbeat.log", Log())
    rig.hook.program(Answer(status=500), Answer(cut=True), Answer(), Answer(), Answer(reset=True))
    for _ in range(5):
        await rig.later(MINUTE)
    failed, sent = LogEvent.HEARTBEAT_FAILED, LogEvent.HEARTBEAT_SENT
    assert [event for event, _ in lines] == [failed, sent, failed]
    assert UUID not in str(lines)


async def test_a_service_that_hangs_holds_it_for_a_bounded_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.app.heartbeat.TIMEOUTS", Timeouts(connect=0.2, read=0.2, total=0.2))
    rig.hook.program(Answer(hang=True))
    assert await rig.later(FIRST) == [rig.path]
    assert rig.counted()["failed"] == 1
    rig.hook.let_go()


async def test_other_settings_apply_at_once(rig: Rig) -> None:
    await rig.later(FIRST)
    rig.sender.adopt(rig.settings(interval=10))
    assert await rig.later(10) == [rig.path]
    rig.sender.adopt(rig.settings(interval=10))
    assert await rig.later(5) == []
    assert await rig.later(HEARTBEAT_TICK) == [rig.path]
    rig.sender.adopt(None)
    assert await rig.later(3600) == []
