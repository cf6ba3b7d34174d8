"""Live events on real sockets: what clients get, when they miss something, and how a stream ends."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from daemon.app import hub
from daemon.commands.tokens import revoke_token
from daemon.store import Store, Transaction
from daemon.web import connections, live, server
from daemon.web.bodies import PROBLEM
from tests.support.store import NOW, PROJECT, SILENT, WHO, record, track
from tests.support.streams import PATH, Stage, connect, stage
from tests.support.web import TOKEN


def sql(store: Store, *statements: str) -> None:
    def work(tx: Transaction) -> None:
        for statement in statements:
            tx._connection.exec_driver_sql(statement)

    store.write_here(work)


def moved(tx: Transaction, job: int, state: str) -> None:
    record(tx, job, state, routes=SILENT)


async def test_a_job_is_told_with_its_version_and_nothing_else(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = await it.client()
        assert client.status == 200
        assert await client.begun() == 0
        assert client.retry is not None
        assert 3000 <= client.retry <= 4000
        await it.store.write(lambda tx: track(tx, label="secret plan", tags=("x",)))
        [added] = await client.until("job")
        assert added.data == {
            "project": PROJECT,
            "job_id": "job-1",
            "version": 0,
            "state": None,
            "ended": False,
        }
        await it.store.write(lambda tx: [moved(tx, 1, "PROCESSING"), moved(tx, 1, "SUCCEED")])
        [ended] = await client.until("job")
        assert (ended.data["version"], ended.data["state"], ended.data["ended"]) == (2, "SUCCEED", True)
        assert ended.id == it.store.read(lambda tx: tx.changes.latest())


async def test_other_kinds_of_events(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = await it.client()
        await client.begun()
        sql(
            it.store,
            "INSERT INTO addresses VALUES ('a', 's', 'f')",
            "INSERT INTO project_status VALUES ('p', '{}', 1)",
            "INSERT INTO pauses (project, at, who) VALUES ('p', 1, 'x')",
            "INSERT INTO deliveries (key, channel, event, facts, status, due_at, created_at) "
            "VALUES ('k', 'a', 'lost', '{}', 'pending', 1, 1)",
            "INSERT INTO mutes (scope, subject, started_at, until, who) VALUES ('job', 'j', 1, 2, 'x')",
        )
        found = [(each.name, each.data) for each in await client.until("mute")]
        assert found == [
            ("channel", {"name": "a"}),
            ("project", {"name": "p"}),
            ("delivery", {"id": 1, "status": "pending"}),
            ("mute", {"id": 1}),
        ]


async def test_what_other_programs_change_is_told_too(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = await it.client()
        await client.begun()
        other = Store.open(f"sqlite:///{it.store.path}", clock=it.store._writer._clock)  # type: ignore[union-attr]
        other.write_now(track)
        other.close()
        it.hub.look()
        [event] = await client.until("job")
        assert event.data["job_id"] == "job-1"


async def test_a_client_resumes_where_it_was(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = await it.client()
        await client.begun()
        await it.store.write(lambda tx: [track(tx, "a"), track(tx, "b")])
        first = await client.next()
        assert first is not None
        await it.store.write(lambda tx: [track(tx, "c"), moved(tx, 1, "PROCESSING")])
        last = (await client.until("job"))[-1].id
        client.close()
        again = await it.client(last=last)
        rest = [await again.next(), await again.next()]
        assert [each and each.data["job_id"] for each in rest] == ["c", "a"]
        await it.store.write(lambda tx: track(tx, "d"))
        assert [each.data["job_id"] for each in await again.until("job")] == ["d"]


@pytest.mark.parametrize("last", [7, 999_999, 99999999999999999999])
async def test_who_missed_too_much_reads_all_again(
    tmp_path: Path, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "REPLAYED", 20)
    async with stage(tmp_path) as it:
        await it.store.write(lambda tx: [track(tx, f"job-{i}") for i in range(30)])
        client = await it.client(last=last)
        [event] = await client.until("resync")
        assert (event.id, event.data) == (30, {})
        near = await it.client(last=12)
        assert [event.id for event in [await near.next() for _ in range(18)] if event] == list(range(13, 31))


@pytest.mark.parametrize(
    ("after", "last", "names"),
    [(0, None, "abc"), (1, None, "bc"), (3, None, ""), (1, 2, "c"), (2, 0, "abc")],
)
async def test_the_address_can_say_where_to_begin_and_the_header_goes_before_it(
    tmp_path: Path, after: int, last: int | None, names: str
) -> None:
    async with stage(tmp_path) as it:
        await it.store.write(lambda tx: [track(tx, name) for name in "abc"])
        client = await it.client(path=f"{PATH}?after={after}", last=last)
        if not names:
            assert await client.begun() == 3
        await it.store.write(lambda tx: track(tx, "d"))
        got = [await client.next() for _ in f"{names}d"]
        assert [each and each.data["job_id"] for each in got] == [*names, "d"]


async def test_an_address_that_says_nonsense_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        for after in ("x", "-1", "1.5", "", str(2**53 + 1), "1" * 400):
            told = await it.desk.ask("GET", f"{PATH}?after={after}", token=TOKEN)
            assert told.status == 422, after
            assert told.headers["content-type"] == PROBLEM
            assert told.json()["faults"][0]["place"] == "after"
        ahead = await it.client(path=f"{PATH}?after={2**53}")
        assert [each.name for each in await ahead.until("resync")] == ["resync"]


async def test_a_burst_is_one_resync_and_then_calm(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = await it.client()
        await client.begun()
        await it.store.write(lambda tx: [track(tx, f"job-{i}") for i in range(1000)])
        events = await client.until("resync")
        assert len(events) == 1
        assert events[0].id == 1000
        await it.store.write(lambda tx: [moved(tx, 1, "PROCESSING"), moved(tx, 1, "SUCCEED")])
        [event] = await client.until("job")
        assert event.data["version"] == 2, "one event for both"


def test_no_second_has_more_events_than_allowed() -> None:
    pace, sent = live._Pace(), []
    for tick in range(500):
        now = tick / 100
        free = pace.free(now)
        assert (pace.wait(now) == 0) == (free > 0)
        pace.note(now, min(free, 5))
        sent += [now] * min(free, 5)
    assert max(sum(1 for at in sent if now <= at < now + 1.0) for now in sent) == live.MOST_A_SECOND
    pace.rest(5.0)
    assert pace.free(5.9) == 0
    assert pace.wait(5.9) == pytest.approx(0.1)


async def test_more_streams_than_allowed_are_refused(tmp_path: Path) -> None:
    async with stage(tmp_path, most=5, most_each=2) as it:
        clients = [await it.client(key=key) for key in "aabbc"]
        assert [each.status for each in clients] == [200] * 5
        for each in clients:
            await each.begun()
        assert (await it.client(key="d")).status == 503
        clients[4].close()
        await gone(it, 4)
        own = await it.desk.ask("GET", PATH, token=it.tokens["a"])
        assert (own.status, own.json()["status"], own.headers["retry-after"]) == (429, 429, "5")
        assert (await it.client(key="d")).status == 200
        full = await it.desk.ask("GET", PATH, token=TOKEN)
        assert (full.status, full.headers["content-type"], full.headers["retry-after"]) == (503, PROBLEM, "5")


async def test_the_head_of_a_stream_opens_none(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        told = await it.desk.ask("HEAD", PATH, token=TOKEN)
        assert told.status == 200
        assert told.headers["content-type"].startswith("text/event-stream")
        assert told.headers["x-accel-buffering"] == "no"
        await it.web.stop()
        assert (len(it.live._streams), it.live._sent) == (0, 0)


async def gone(it: Stage, left: int) -> None:
    """Wait until the server has noticed who left."""
    async with asyncio.timeout(30):
        while len(it.live._streams) > left:
            await asyncio.sleep(0)


async def test_a_revoked_token_ends_its_streams(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        mine, other = await it.client(key="t1"), await it.client(key="t2")
        await mine.begun()
        await other.begun()
        sql(it.store, "UPDATE tokens SET revoked_at = 2 WHERE name = 't1'")
        assert await mine.ended() == []
        await it.store.write(track)
        assert [each.name for each in await other.until("job")] == ["job"]


@pytest.mark.long
async def test_a_token_revoked_while_its_stream_opens_or_among_much_else_is_not_overlooked(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        mine = await it.client(key="t1")
        await mine.begun()

        def much(tx: Transaction) -> None:
            revoke_token(tx, "t1", who=WHO, at=NOW)
            for number in range(hub.MOST):
                track(tx, f"job-{number}")

        await it.store.write(much)
        assert await mine.ended() == []
        token, opened = it.token("t2"), it.live.open

        async def late(key: str, *options: Any, **more: Any) -> Any:
            await it.store.write(lambda tx: revoke_token(tx, "t2", who=WHO, at=NOW))
            return await opened(key, *options, **more)

        it.live.open = late  # type: ignore[method-assign]
        assert await (await it.client(token=token)).ended() == []


async def test_an_expired_token_ends_its_stream(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = await it.client(key="t", expires=0.2)
        await client.begun()
        assert await client.ended() == []


async def test_a_reader_that_stops_reading_is_cut_with_resync(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = await it.client(limit=1024)
        await client.begun()
        [stream] = it.live._streams
        big = b'event: big\ndata: {"x": "' + b"1" * 100_000 + b'"}\n\n'
        while it.live._sent - stream.place <= live._KEPT:  # the sockets take the first ones
            it.live._send(big)
            await asyncio.sleep(0)
        events = await client.ended()
        assert [each.name for each in events[-2:]] == ["big", "resync"]
        assert len(it.live._streams) == 0


async def test_a_stream_is_over_once_its_client_is_gone_whatever_it_was_doing(tmp_path: Path) -> None:
    gc.collect()
    gc.disable()  # a stream that waits for the collector would count as an open one for long
    try:
        async with stage(tmp_path) as it:
            for _ in range(4):
                client = await it.client(limit=1024)
                await client.begun()
                [stream] = it.live._streams
                while it.live._sent - stream.place <= 1:
                    it.live._send(b": " + b"1" * 1_000_000 + b"\n\n")
                    await asyncio.sleep(0)
                del stream
                client.close()
                await gone(it, 0)
    finally:
        gc.enable()


async def test_a_stream_outlives_other_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIFE", "PATIENCE"):
        monkeypatch.setattr(connections, name, 0.2)
    monkeypatch.setattr(connections, "_SWEEP", 0.05)
    monkeypatch.setattr(live, "_BEAT", 0.1)
    async with stage(tmp_path) as it:
        client = await it.client()
        await client.begun()
        while client.comments < 10:
            block = await client._block()
            assert block is not None
            client.comments += block == b":"
        await it.store.write(track)
        assert await client.until("job")


async def test_a_reader_that_stops_reading_does_not_delay_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_STOP_PATIENCE", 60)
    async with stage(tmp_path) as it:
        client = await it.client(limit=1024)
        await client.begun()
        [stream] = it.live._streams
        while it.live._sent - stream.place <= 1:
            it.live._send(b": " + b"1" * 1_000_000 + b"\n\n")
            await asyncio.sleep(0)
        async with asyncio.timeout(10):  # sooner than it would be dropped for not reading
            await it.web.stop()


async def test_a_stop_ends_all_streams_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_STOP_PATIENCE", 60)
    async with stage(tmp_path, most_each=60) as it:
        clients = [await it.client() for _ in range(60)]
        for each in clients:
            await each.begun()
        async with asyncio.timeout(30):
            await it.web.stop()
        assert "ERROR" not in caplog.text
        assert [await each.ended() for each in clients] == [[]] * 60


async def test_probes_answer_beside_held_connections_and_streams(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        streams = [await it.client(key=f"k{i // 8}") for i in range(70)]
        assert [each.status for each in streams] == [200] * 64 + [503] * 6
        host, _, port = it.web.address.rpartition(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(300)]
        async with asyncio.timeout(10):  # sooner than any held connection is closed for its age
            probe = await connect(it.web.address, path="/healthz")
        assert probe.status == 200
        await it.store.write(track)
        for each in streams[:64]:
            assert await each.until("job"), "no stream made room for the held connections"
        for _, writer in held:
            writer.transport.abort()
        probe.close()


async def test_needs_are_counted_when_something_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_NEEDS_EVERY", 0.05)
    counts = iter([3, 3, 1])

    async def needs() -> int:
        return next(counts, 1)

    async with stage(tmp_path, needs=needs) as it:
        client = await it.client()
        await client.begun()
        await it.store.write(track)
        assert (await client.until("needs"))[-1].data == {"count": 3}
        await it.store.write(lambda tx: track(tx, "job-2"))
        await client.until("job")
        await it.store.write(lambda tx: track(tx, "job-3"))
        assert (await client.until("needs"))[-1].data == {"count": 1}
        again = await it.client(last=client.last)
        assert (await again.until("needs"))[0].data == {"count": 1}, "it is told to who was not there"


async def test_needs_are_counted_as_time_goes_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_NEEDS_EVERY", 0.01)
    monkeypatch.setattr(live, "_BEAT", 0.05)
    counts = iter([0, 1])

    async def needs() -> int:
        return next(counts, 1)

    async with stage(tmp_path, needs=needs) as it:
        client = await it.client()
        assert [(await client.until("needs"))[-1].data["count"] for _ in range(2)] == [0, 1]


async def test_without_streams_nothing_is_read(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = await it.client()
        await client.begun()
        client.close()
        await gone(it, 0)
        await it.live._tasks.wait()
        read: list[Any] = []
        it.store.read_async = read.append  # type: ignore[assignment,method-assign]
        await it.store.write(track)
        await asyncio.sleep(0)
        await it.live._tasks.wait()
        assert read == []
