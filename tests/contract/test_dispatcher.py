"""The dispatcher with a real database and real HTTP: what is sent when, and what remains."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import Clock
from daemon.domain.jobs import Asset, ChannelName
from daemon.notify import NotifySettings
from daemon.notify.outbox.prepare import OwnLinks, Preparer
from daemon.notify.outbox.sender import OVERLAP
from daemon.store import AttemptOutcome, DeliveryStatus, JobRow, Store
from tests.support.background import defects
from tests.support.dispatching import NOW, rig
from tests.support.store import url_of
from tests.support.webhook import Answer, Webhook

SENT, PENDING, HELD, DEAD = (
    DeliveryStatus.SENT,
    DeliveryStatus.PENDING,
    DeliveryStatus.HELD,
    DeliveryStatus.DEAD,
)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as stand_in:
        yield stand_in


@pytest.fixture
def other() -> Iterator[Webhook]:
    with Webhook() as stand_in:
        yield stand_in


def jobs(hook: Webhook) -> list[str]:
    return [request.json["job_id"] for request in hook.requests]


async def test_an_alert_is_sent_and_recorded(tmp_path: Path, hook: Webhook) -> None:
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await one.job_ends()
        await one.turn()
        row = one.row("a")
        assert (row.status, row.sent_at, row.attempts) == (SENT, NOW, 1)
        assert one.outcomes("a") == [AttemptOutcome.SENT]
        assert one.results == [("a", AttemptOutcome.SENT)]
    (request,) = hook.requests
    got = request.json
    assert (got["event"], got["job_id"], got["delivery_id"]) == ("succeeded", "job-1", row.id)
    assert got["possible_repeat"] is False


async def test_a_wake_alone_makes_an_alert_go_at_once(tmp_path: Path, hook: Webhook, other: Webhook) -> None:
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}) as one:
        await one.job_ends(channels=["b"])
        one.dispatcher.wake([ChannelName("b"), ChannelName("unknown")])
        await asyncio.to_thread(other.wait_for, 1)
    assert hook.requests == []


async def test_a_failure_is_tried_again_ever_later(tmp_path: Path, hook: Webhook) -> None:
    hook.program(Answer(status=500), Answer(status=502))
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await one.job_ends()
        await one.turn()
        assert one.row("a").last_error == "HTTP 500: the service has a fault"
        await one.later(3)
        assert len(hook.requests) == 1
        await one.later(2)
        assert len(hook.requests) == 2
        await one.later(5)
        assert len(hook.requests) == 2
        await one.later(5)
        assert one.outcomes("a") == [AttemptOutcome.RETRY, AttemptOutcome.RETRY, AttemptOutcome.SENT]
    assert [request.json["possible_repeat"] for request in hook.requests] == [False] * 3


async def test_a_throttled_channel_rests_as_long_as_it_is_told(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    hook.program(Answer(status=429, headers={"Retry-After": "120"}))
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}) as one:
        await one.job_ends("job-1")
        await one.turn()
        await one.later(60)
        await one.job_ends("job-2")
        await one.turn()
        assert len(hook.requests) == 1
        assert jobs(other) == ["job-1", "job-2"]
        await one.later(59)
        assert len(hook.requests) == 1
        await one.later(2)
        assert sorted(jobs(hook)) == ["job-1", "job-1", "job-2"]
        assert one.statuses("a") == [SENT, SENT]


async def test_a_dead_service_is_asked_with_one_delivery_not_with_all(tmp_path: Path, hook: Webhook) -> None:
    hook.default = Answer(status=503)
    async with rig(tmp_path, {"a": hook.url()}) as one:
        for number in range(20):
            await one.job_ends(f"job-{number}")
        await one.turn()
        assert len(hook.requests) == 1
        for _ in range(10):
            await one.later(900)
        assert len(hook.requests) == 11
        hook.default = Answer()
        await one.later(900)
        assert one.statuses("a") == [SENT] * 20


async def test_a_new_alert_is_tried_though_the_channel_rests(tmp_path: Path, hook: Webhook) -> None:
    hook.program(*[Answer(status=500)] * 3)
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await one.job_ends("job-1")
        for _ in range(3):
            await one.later(30)
        assert len(hook.requests) == 3
        await one.later(1)
        await one.job_ends("job-2")
        await one.turn()
        assert jobs(hook)[3:] == ["job-2", "job-1"]  # together with the postponed ones


async def test_three_days_away_and_nothing_is_lost_nor_out_of_order(tmp_path: Path) -> None:
    with Webhook() as before:
        url, port = before.url(), before.port
    async with rig(tmp_path, {"a": url}) as one:
        for day in range(3):
            for hour in range(24):
                await one.job_ends(f"job-{day}-{hour}")
                await one.later(3600)
        assert set(one.statuses("a")) == {PENDING}
        with Webhook(port=port) as back:
            await one.later(900)
            await one.later(900)
            assert one.statuses("a") == [SENT] * 72
    written = [f"job-{day}-{hour}" for day in range(3) for hour in range(24)]
    arrived = jobs(back)
    assert sorted(arrived) == sorted(written)
    assert all(abs(arrived.index(job) - place) < OVERLAP for place, job in enumerate(written))
    assert (
        "Late: finished 1 Mar 12:00, reported 4 Mar 12:15: chat was unreachable."
        in back.requests[0].json["message"]
    )
    assert "chat was unreachable" in back.requests[-1].json["message"]


async def test_a_service_that_never_comes_back_leaves_a_dead_letter_that_can_be_sent(
    tmp_path: Path, hook: Webhook
) -> None:
    hook.default = Answer(status=500)
    settings = NotifySettings(give_up_after=7200)
    async with rig(tmp_path, {"a": hook.url()}, settings=settings) as one:
        await one.job_ends()
        for _ in range(12):
            await one.later(900)
        assert one.row("a").status is DEAD
        assert one.row("a").last_error == "given up: HTTP 500: the service has a fault"
        count = len(hook.requests)
        await one.later(9000)
        assert len(hook.requests) == count
        hook.default = Answer()
        other_process = Store.open(url_of(tmp_path / "wrapd.db"), clock=one.clock)
        assert other_process.write_now(lambda tx: tx.outbox.retry(ids=None, at=one.clock.now())) == 1
        other_process.close()
        await one.turn()
        assert one.row("a").status is SENT


async def test_a_message_that_is_refused_is_dead_after_the_plainest_try(tmp_path: Path, hook: Webhook) -> None:
    hook.program(Answer(status=400), Answer(status=400))
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await one.job_ends("job-1")
        await one.job_ends("job-2")
        await one.turn()
        assert one.statuses("a") == [DEAD, SENT]
    assert jobs(hook) == ["job-1", "job-1", "job-2"]


async def test_an_answer_that_never_came_makes_a_possible_repeat(tmp_path: Path, hook: Webhook) -> None:
    hook.program(Answer(reset=True))
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await one.job_ends()
        await one.turn()
        assert one.row("a").possible_repeat
        await one.later(22)
        assert len(hook.requests) == 1
        await one.later(9)
        assert one.outcomes("a") == [AttemptOutcome.UNKNOWN, AttemptOutcome.SENT]
    assert hook.requests[1].json["possible_repeat"] is True
    assert "This may be a repeat" in hook.requests[1].json["message"]


async def test_a_refused_channel_is_held_told_once_probed_slowly_and_released(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    hook.default = Answer(status=401)
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, operators=["a", "b"]) as one:
        await one.job_ends("job-1", channels=["a"])
        await one.job_ends("job-2", channels=["a"])
        await one.turn()
        assert one.statuses("a") == [HELD, PENDING]
        assert len(hook.requests) == 1
        (alert,) = [request.json for request in other.requests]
        assert alert["event"] == "channel_held"
        assert alert["held_channel"] == "a"
        assert "`wrapd channels test a`" in alert["message"]
        assert "HTTP 401" in alert["reason"]
        await one.later(220)
        assert len(hook.requests) == 1
        await one.later(81)
        assert len(hook.requests) == 2
        await one.later(440)
        assert len(hook.requests) == 2
        hook.default = Answer()
        await one.later(161)
        assert one.statuses("a") == [SENT, SENT]
        assert len(other.requests) == 1
        hook.default = Answer(status=403)
        await one.job_ends("job-3", channels=["a"])
        await one.turn()
        assert len(other.requests) == 2


async def test_what_waits_for_a_channel_is_tried_at_once_when_its_url_was_corrected(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    refuses, fails = Answer(status=404), Answer(status=503)
    for number, (answer, first) in enumerate(((refuses, HELD), (fails, PENDING))):
        folder = tmp_path / str(number)
        folder.mkdir()
        hook.default = answer
        async with rig(folder, {"a": hook.url()}) as one:
            await one.job_ends("job-1")
            await one.job_ends("job-2")
            await one.turn()
            assert one.statuses("a") == [first, PENDING]
            clock = one.clock
        asked, told = len(hook.requests), len(other.requests)
        async with rig(folder, {"a": hook.url()}, clock=clock) as one:
            await one.turn()
            again = [each.json["job_id"] for each in hook.requests[asked:]]
            assert "job-1" not in again  # the same URL: it keeps waiting
        async with rig(folder, {"a": other.url()}, clock=clock) as one:
            await one.turn()
            assert one.statuses("a") == [SENT, SENT]
        assert [each.json["job_id"] for each in other.requests[told:]] == ["job-1", "job-2"]


async def test_of_a_channels_url_the_database_has_only_a_short_fingerprint(tmp_path: Path, hook: Webhook) -> None:
    url = hook.url("/hook/a-secret-of-the-channel")
    async with rig(tmp_path, {"a": url}) as one:
        salts = set()
        for salt in ("1", "2", "3"):
            channel = one.dispatcher._channels[ChannelName("a")]
            assert len(channel.fingerprint(salt)) == 4
            salts.add(channel.fingerprint(salt))
        assert len(salts) == 3
    for file in tmp_path.glob("wrapd.db*"):
        assert b"a-secret-of-the-channel" not in file.read_bytes()


async def test_a_held_channel_keeps_its_rows_for_ever(tmp_path: Path, hook: Webhook) -> None:
    hook.default = Answer(status=404)
    async with rig(tmp_path, {"a": hook.url()}, operators=["a"]) as one:
        await one.job_ends()
        for _ in range(40):
            await one.later(86400)
        assert one.statuses("a") == [HELD]


async def test_a_release_by_another_process_is_noticed(tmp_path: Path, hook: Webhook) -> None:
    hook.program(Answer(status=401))
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await one.job_ends()
        await one.turn()
        assert one.statuses("a") == [HELD]
        other_process = Store.open(url_of(tmp_path / "wrapd.db"), clock=one.clock)
        other_process.write_now(lambda tx: tx.outbox.release(ChannelName("a"), at=one.clock.now()))
        other_process.close()
        await one.turn()
        assert one.statuses("a") == [SENT]


async def test_a_restart_does_not_tell_of_the_same_hold_again(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    hook.default = Answer(status=401)
    urls = {"a": hook.url(), "b": other.url()}
    async with rig(tmp_path, urls, operators=["b"]) as one:
        await one.job_ends(channels=["a"])
        await one.turn()
        clock = one.clock
    clock.advance(400)
    async with rig(tmp_path, urls, operators=["b"], clock=clock) as one:
        await one.turn()
        assert len(hook.requests) == 2
        assert one.statuses("a") == [HELD]
    assert len(other.requests) == 1


async def test_what_was_being_sent_at_a_crash_is_sent_again_and_marked(tmp_path: Path, hook: Webhook) -> None:
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await one.job_ends()
        claimed = one.store.write_now(lambda tx: tx.outbox.claim(ChannelName("a"), now=NOW))
        assert claimed is not None
    assert hook.requests == []
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await one.turn()
        assert one.outcomes("a") == [AttemptOutcome.UNKNOWN, AttemptOutcome.SENT]
    assert hook.requests[0].json["possible_repeat"] is True


async def test_a_hanging_channel_delays_no_other(tmp_path: Path, hook: Webhook, other: Webhook) -> None:
    hook.default = Answer(hang=True)
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}) as one:
        for number in range(5):
            await one.job_ends(f"job-{number}")
        one.dispatcher.wake_all()
        await asyncio.to_thread(other.wait_for, 5)
        await asyncio.to_thread(hook.wait_for, 1)
        assert len(hook.requests) == 1
        hook.let_go()


async def test_a_stop_waits_for_the_send_and_records_it(tmp_path: Path, hook: Webhook) -> None:
    hook.program(Answer(hang=True))
    async with rig(tmp_path, {"a": hook.url()}, settings=NotifySettings(send_timeout=0.3)) as one:
        await one.job_ends()
        one.dispatcher.wake_all()
        await asyncio.to_thread(hook.wait_for, 1)
        await one.dispatcher.stop()
        assert one.outcomes("a") == [AttemptOutcome.UNKNOWN]
        assert one.row("a").status is PENDING


async def test_alerts_of_one_job_keep_their_order(tmp_path: Path, hook: Webhook) -> None:
    hook.program(Answer(status=500))
    async with rig(tmp_path, {"a": hook.url()}) as one:
        for state in ("BLOCK", "PROCESSING", "SUCCEED"):
            await one.job_ends(state=state)
        await one.turn()
        await one.later(10)
        assert [request.json["event"] for request in hook.requests] == [
            "blocked",
            "blocked",
            "unblocked",
            "succeeded",
        ]


@pytest.mark.parametrize("step", [-86400.0, -600.0, 86400.0])
async def test_a_step_of_the_wall_clock_stalls_nothing(tmp_path: Path, hook: Webhook, step: float) -> None:
    hook.program(Answer(status=500))
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await one.job_ends("job-1")
        await one.turn()
        one.clock.step_wall(step)
        for _ in range(3):
            await one.later(300)
        assert one.statuses("a") == [SENT]


async def test_an_alert_written_after_a_step_is_sent_at_once_on_a_busy_machine(
    tmp_path: Path, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, {"a": hook.url()}) as one:
        one.clock.step_wall(3000)
        await one.job_ends("job-1")
        write = Store.write

        def late(store: Store, work: Any) -> Any:
            """As if the writer had been busy for so long."""
            one.clock.advance(5)
            return write(store, work)

        monkeypatch.setattr(Store, "write", late)
        await one.turn()
        assert one.statuses("a") == [SENT]


async def test_no_wait_is_longer_than_the_look_interval(tmp_path: Path, hook: Webhook) -> None:
    hook.default = Answer(status=429, headers={"Retry-After": "3000"})
    async with rig(tmp_path, {"a": hook.url()}) as one:
        assert one.quiet.waits == [NotifySettings().idle_interval]  # nothing waits in the outbox
        await one.job_ends()
        for _ in range(5):
            await one.later(1000)
        assert max(one.quiet.waits[1:]) == NotifySettings().look_interval


async def test_a_channel_that_the_config_no_longer_has_keeps_its_rows(tmp_path: Path, hook: Webhook) -> None:
    async with rig(tmp_path, {"a": hook.url()}) as one:
        await one.job_ends(channels=["a", "gone"])
        await one.turn()
        assert one.statuses("gone") == [PENDING]
        assert one.rows("gone")[0].created_at <= NOW + timedelta(seconds=1)


async def test_a_success_carries_a_link_of_our_own_made_once_for_all_channels(
    tmp_path: Path, hook: Webhook, other: Webhook
) -> None:
    tokens = iter(("first", "second", "third"))
    own = OwnLinks(public_url="https://w.example.com", life=1000.0, token=lambda: next(tokens))

    def preparer(_store: Store, clock: Clock) -> Preparer:
        return Preparer(settings=NotifySettings(), clock=clock, defects=defects(clock), own_links=own)

    asset = Asset(preview_url="https://h.example.com/p.mp4")
    async with rig(tmp_path, {"a": hook.url(), "b": other.url()}, preparer=preparer) as one:
        await one.job_ends("job-1", asset=asset)
        await one.job_ends("job-2", state="FAILED")
        await one.turn()
        link = one.store.read(lambda tx: tx.links.of_job(one.rows("a")[0].job or 0, token="", at=NOW, life=1.0))
    assert link is not None
    url = f"https://w.example.com/v/{link.token}"
    for each in (hook, other):
        facts = {request.json["job_id"]: request.json for request in each.requests}
        assert facts["job-1"]["own_url"] == url
        assert facts["job-2"]["own_url"] is None


async def test_dead_links_are_renewed_before_a_send_and_once(tmp_path: Path, hook: Webhook) -> None:
    asked: list[str] = []

    async def renew(job: JobRow, *, patience: float) -> JobRow:
        asked.append(job.job_id)
        return job._replace(asset=Asset(preview_url="https://h.example.com/fresh.mp4"))

    def preparer(_store: Store, clock: Clock) -> Preparer:
        return Preparer(settings=NotifySettings(), clock=clock, defects=defects(clock), renew=renew)

    dead = Asset(preview_url="https://h.example.com/dead.mp4?Expires=1600000000")
    async with rig(tmp_path, {"a": hook.url()}, preparer=preparer) as one:
        for number in range(3):
            await one.job_ends(f"job-{number}", asset=dead)
            await one.job_ends(f"live-{number}", asset=Asset(preview_url="https://h.example.com/live.mp4"))
        await one.turn()
        assert one.statuses("a") == [SENT] * 6
    urls = {request.json["job_id"]: request.json["preview_url"] for request in hook.requests}
    assert {urls[f"job-{number}"] for number in range(3)} == {"https://h.example.com/fresh.mp4"}
    assert {urls[f"live-{number}"] for number in range(3)} == {"https://h.example.com/live.mp4"}
    assert asked == ["job-0", "job-1", "job-2"]


async def test_a_stop_in_the_middle_of_a_series_leaves_nothing_half_sent(tmp_path: Path, hook: Webhook) -> None:
    async with rig(tmp_path, {"a": hook.url()}) as one:
        for number in range(200):
            await one.job_ends(f"job-{number}")
        one.dispatcher.wake_all()
        await asyncio.to_thread(hook.wait_for, 20)
        await one.dispatcher.stop()
        arrived = len(hook.requests)
        assert 20 <= arrived < 200
        assert one.statuses("a") == [SENT] * arrived + [PENDING] * (200 - arrived)
        assert len(one.results) == arrived
