"""The hub tells each change once, in order, whoever committed it."""

import asyncio
from pathlib import Path

import pytest

from daemon.app import hub as hubs
from daemon.app.hub import Hub, News
from daemon.clock import ManualClock
from daemon.metrics import Metrics
from daemon.store import AttemptOutcome, Outcome, Store
from daemon.tasks import Defects
from tests.support.store import NOW, SILENT, A, open_store, record, track

SENT = Outcome(kind=AttemptOutcome.SENT, reason="HTTP 200", status_code=200)


class Ears:
    def __init__(self) -> None:
        self.heard: list[News] = []
        self.came = asyncio.Event()
        self.all = False

    def hear(self, news: News) -> None:
        self.heard.append(news)
        self.came.set()

    async def next(self) -> News:
        async with asyncio.timeout(30):
            await self.came.wait()
        self.came.clear()
        return self.heard[-1]


def hub_of(store: Store) -> tuple[Hub, Ears, Metrics]:
    metrics, ears = Metrics(), Ears()
    hub = Hub(store, defects=Defects(clock=ManualClock(NOW), metrics=metrics))
    hub.listen(ears.hear, wants_all=lambda: ears.all)
    hub.start()
    return hub, ears, metrics


async def test_own_commits_are_told_and_say_what_to_wake(tmp_path: Path) -> None:
    store = open_store(tmp_path, daemon=True)
    _, ears, _ = hub_of(store)
    try:
        await store.write(track)
        news = await ears.next()
        assert (news.tracked, news.channels, news.missed) == (True, set(), False)
        await store.write(lambda tx: [tx.jobs.take_changes(), record(tx, 1, "SUCCEED")])
        news = await ears.next()
        assert (news.tracked, news.channels) == (False, {"a", "b"})
        claimed = await store.write(lambda tx: tx.outbox.claim(A, now=NOW))
        assert claimed is not None
        assert len(ears.heard) == 2, "nothing waits for a lane's own work"
        ears.all = True
        await store.write(lambda tx: tx.outbox.finish(claimed, SENT, at=NOW))
        news = await ears.next()
        assert [row.kind for row in news.rows] == ["delivery"]
        assert news.channels == set()
    finally:
        store.close()


async def test_commits_of_others_are_told_at_a_look_and_once(tmp_path: Path) -> None:
    store = open_store(tmp_path, daemon=True)
    hub, ears, _ = hub_of(store)
    other = open_store(tmp_path)
    try:
        other.write_now(track)
        assert ears.heard == []
        hub.look()
        hub.look()
        await store.write(lambda tx: [tx.jobs.take_changes(), record(tx, 1, "PROCESSING", routes=SILENT)])
        await store.write(lambda tx: record(tx, 1, "SUCCEED", routes=SILENT))  # passed over
        other.write_now(lambda tx: track(tx, "job-2"))
        await store.write(lambda tx: track(tx, "job-3"))
        hub.look()
        hub.look()
        assert [[row.row for row in news.rows] for news in ears.heard] == [[1], [1], [2, 3]]
    finally:
        other.close()
        store.close()


async def test_of_too_many_changes_all_have_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "MOST", 5)
    store = open_store(tmp_path, daemon=True)
    hub, ears, _ = hub_of(store)
    try:
        await store.write(lambda tx: [track(tx, f"job-{i}") for i in range(9)])
        news = await ears.next()
        assert (news.missed, news.rows, news.tracked, news.of("mute")) == (True, (), True, True)
        hub.look()
        assert len(ears.heard) == 1
        await store.write(lambda tx: track(tx, "one-more"))
        assert len((await ears.next()).rows) == 1
    finally:
        store.close()


async def test_a_listener_that_fails_costs_no_other_one_its_news(tmp_path: Path) -> None:
    store = open_store(tmp_path, daemon=True)
    metrics, ears = Metrics(), Ears()
    hub = Hub(store, defects=Defects(clock=ManualClock(NOW), metrics=metrics))

    def fail(news: News) -> None:
        raise KeyError

    hub.listen(fail)
    hub.listen(ears.hear)
    hub.start()
    try:
        await store.write(track)
        await ears.next()
        assert metrics.registry.get_sample_value("wrapd_defects_total", {"part": "hub"}) == 1
    finally:
        store.close()


async def test_old_changes_are_pruned_only_if_there_are_new_ones(tmp_path: Path) -> None:
    store = open_store(tmp_path, daemon=True)
    hub, ears, _ = hub_of(store)
    try:
        await hub.prune()
        assert store.writer_health().last_commit_at is None
        await store.write(track)
        await ears.next()
        await hub.prune()
        assert store.read(lambda tx: tx.changes.latest()) == 1
    finally:
        store.close()
