"""Config changes while the daemon runs: what is applied at once, what goes on undisturbed, and how a faulty config
is handled."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.domain.jobs import JobId, ProjectName
from daemon.sim import SimSettings, Simulator
from tests.support.live import to
from tests.support.reloading import BASE, live, project
from tests.support.webhook import Answer, Webhook

MAIN = ProjectName("main")
WRONG = "a-secret-key-that-is-wrong"


@pytest.fixture
async def sim():
    async with Simulator(SimSettings(seed=1, show_rate=None, write_rate=None)) as sim:
        yield sim


async def test_a_config_with_a_fault_changes_nothing_and_is_told_once(tmp_path: Path, sim: Simulator) -> None:
    with Webhook() as hook:
        good = BASE + project(sim) + to(hook)
        async with live(tmp_path, good) as it:
            plan, poller, lane = it.service.spec, it.service.scope.pollers[MAIN], it.lane()
            for _ in range(3):
                refused = await it.reload(good + 'digest_abov = 3\nurl_ = "x"\n')
            assert not refused.ok
            assert any(
                "channels.hook.digest_abov" in fault and "digest_above" in fault for fault in refused.faults
            )
            assert (it.service.spec, it.service.scope.pollers[MAIN], it.lane()) == (plan, poller, lane)
            assert it.metric("wrapd_config_last_reload_successful") == 0
            assert it.metric("wrapd_config_reloads_total", result="refused") == 3
            [told] = await it.came(hook, 1)
            assert told.json["event"] == "config_refused"
            assert "channels.hook.digest_abov" in told.json["reason"]
            await it.reload("not = [toml")
            assert "TOML" in (await it.came(hook, 2))[1].json["reason"]
            assert (await it.reload(good)).ok
            assert it.metric("wrapd_config_last_reload_successful") == 1
            await it.reload("not = [toml")  # after a good config it is reported again
            await it.came(hook, 3)
            await it.reload(good)
            assert [each.json["event"] for each in hook.requests] == ["config_refused"] * 3


@pytest.mark.long
async def test_a_fault_that_shows_as_a_client_is_made_changes_nothing(tmp_path: Path, sim: Simulator) -> None:
    with Webhook() as hook:
        good = BASE + project(sim, rate=20) + to(hook)
        async with live(tmp_path, good) as it:

            async def broken(plan: object) -> None:
                raise RuntimeError("nobody foresaw this")

            make, it.service.scope.make = it.service.scope.make, broken  # type: ignore[method-assign,assignment]
            refused = await it.reload(BASE + project(sim, rate=40) + to(hook))
            assert "an error of its own" in refused.faults[0]
            assert it.service.scope.pollers[MAIN].context.client.budget.rate == 20
            it.service.scope.make = make  # type: ignore[method-assign]
            assert (await it.reload(BASE + project(sim, rate=40) + to(hook))).ok
            assert it.service.scope.pollers[MAIN].context.client.budget.rate == 40


async def test_a_secret_is_in_no_fault(tmp_path: Path, sim: Simulator) -> None:
    with Webhook() as hook:
        good = BASE + project(sim) + to(hook)
        async with live(tmp_path, good) as it:
            bad = BASE + project(sim) + '[channels.hook]\nurl = "slack://a-token-of-tests-that-is-secret"\n'
            refused = await it.reload(bad)
            await it.came(hook, 1)
            assert not refused.ok
            assert "a-token-of-tests" not in "".join(refused.faults) + hook.requests[0].body.decode()


async def test_the_same_config_leaves_everything_as_it_is(tmp_path: Path, sim: Simulator) -> None:
    [job] = sim.create_jobs(timeline=[("PROCESSING", None)])
    with Webhook() as hook:
        config = BASE + project(sim) + to(hook)
        async with live(tmp_path, config) as it:
            await it.track(job)
            await it.until("it is asked", lambda: it.polled(job))
            poller, lane = it.service.scope.pollers[MAIN], it.lane()
            watched = poller.agenda.get(JobId(job))
            reloaded = await it.reload(config + "\n# a comment\n")
            assert (reloaded.ok, reloaded.changed, reloaded.needs_restart) == (True, (), ())
            assert it.service.scope.pollers[MAIN] is poller
            assert poller.agenda.get(JobId(job)) is watched
            assert it.lane() is lane


async def test_reloads_that_are_asked_for_meanwhile_are_one_and_see_the_last_file(
    tmp_path: Path, sim: Simulator
) -> None:
    with Webhook() as hook:
        configs = [BASE + project(sim, rate=rate) + to(hook) for rate in (20, 30, 40)]
        async with live(tmp_path, configs[0]) as it:
            reloader = it.service.reloader
            assert reloader is not None
            begun, gate, read = threading.Event(), threading.Event(), reloader._read

            def gated() -> object:
                found = read()
                begun.set()
                gate.wait(30)
                return found

            reloader._read = gated  # type: ignore[assignment]
            it.path.write_text(configs[1])
            first = asyncio.create_task(reloader.reload())
            await asyncio.to_thread(begun.wait, 30)
            it.path.write_text(configs[2])
            others = [asyncio.create_task(reloader.reload()) for _ in range(20)]
            gate.set()
            later = await asyncio.gather(*others)
            await first
            assert len({id(each) for each in later}) == 1
            assert it.service.scope.pollers[MAIN].context.client.budget.rate == 40
            assert it.metric("wrapd_config_reloads_total", result="ok") == 2


@pytest.mark.long
async def test_a_project_keeps_its_jobs_and_its_pace_when_its_rate_changes(tmp_path: Path, sim: Simulator) -> None:
    jobs = sim.create_jobs(count=30, timeline=[("PROCESSING", None)])
    with Webhook() as hook:
        more = '[polling]\nstrategy = "fixed"\nbatch = "off"\nmin_interval = "100ms"\nmax_interval = "100ms"\n'
        config = BASE.replace("[polling]\n", "").partition("[web]")
        rest = more + config[1] + config[2]
        async with live(tmp_path, rest + project(sim, rate=20) + to(hook)) as it:
            await it.track(*jobs)
            await it.until("all are asked", lambda: all(it.polled(job) for job in jobs))
            poller = it.service.scope.pollers[MAIN]
            for rate in (5, 20):
                asked = sim.stats()["total"]
                assert (await it.reload(rest + project(sim, rate=rate) + to(hook))).ok
                await it.until("more is asked", lambda asked=asked: sim.stats()["total"] >= asked + 6)
            assert it.service.scope.pollers[MAIN] is poller
            assert len(poller.agenda) == 30
        assert sim.stats()["max_in_any_second"] <= 21


@pytest.mark.long
async def test_a_longest_interval_that_is_made_shorter_holds_at_once(tmp_path: Path, sim: Simulator) -> None:
    [job] = sim.create_jobs(timeline=[("PROCESSING", None)])
    with Webhook() as hook:
        slow = BASE.replace('"500ms"', '"1h"').replace('min_interval = "100ms"', 'min_interval = "1h"')
        async with live(tmp_path, slow + project(sim) + to(hook)) as it:
            await it.track(job)
            await it.until("it is asked", lambda: it.polled(job))
            sim.set_state(job, "SUCCEED")
            assert (await it.reload(BASE + project(sim) + to(hook))).ok
            assert (await it.came(hook, 1))[0].json["event"] == "succeeded"


async def test_corrected_keys_are_tried_at_once(tmp_path: Path, sim: Simulator) -> None:
    [job] = sim.create_jobs(timeline=[("SUCCEED", None)])
    with Webhook() as hook:
        async with live(tmp_path, BASE + project(sim, secret=WRONG) + to(hook)) as it:
            await it.track(job)
            client = it.service.scope.pollers[MAIN].context.client
            await it.until("it is refused", lambda: len(client._session._gate._failures))
            gate, failures = client._session._gate, len(client._session._gate._failures)
            more = 'app_user_id = "somebody"\n'
            assert (await it.reload(BASE + project(sim, secret=WRONG) + more + to(hook))).ok
            assert client._session._gate is gate
            assert len(gate._failures) >= failures, "a refusal is not forgotten"
            assert (await it.reload(BASE + project(sim) + to(hook))).ok
            await it.until("it is told", lambda: it.statuses()["sent"], seconds=20)
            assert client is it.service.scope.pollers[MAIN].context.client
            assert len(client._uses) == 1, "the session with the wrong keys is closed"


async def test_projects_come_and_go_with_their_jobs(tmp_path: Path, sim: Simulator) -> None:
    [first, second] = (sim.create_jobs(timeline=[("PROCESSING", None)])[0] for _ in range(2))
    with Webhook() as hook:
        one, other = f"operators = []\n{BASE}{project(sim)}", project(sim, "other")
        async with live(tmp_path, one + to(hook)) as it:
            await it.track(first)
            await it.track(second, project="other")
            await it.until("the first is asked", lambda: it.polled(first))
            reloaded = await it.reload(one + other + to(hook))
            assert "projects.other: added" in reloaded.changed
            await it.until("the other's is asked", lambda: it.polled(second))
            removed = it.service.scope.pollers[ProjectName("other")]
            budget = removed.context.client.budget
            assert "projects.other: removed" in (await it.reload(one + to(hook))).changed
            assert set(it.service.scope.pollers) == {MAIN}
            assert len(removed.agenda) == 0, "its jobs do not stay in memory until the collector runs"
            assert it.metric("wrapd_project_up", project="other") is None
            sim.set_state(second, "SUCCEED")
            sim.set_state(first, "SUCCEED")
            await it.until("the first is told", lambda: it.statuses()["sent"] == 1)
            assert (await it.reload(one + other + to(hook))).ok
            await it.until("the other's is told", lambda: it.statuses()["sent"] == 2)
            assert it.service.scope.pollers[ProjectName("other")].context.client.budget is budget
            assert {each.json["job_id"] for each in hook.requests} == {first, second}


@pytest.mark.long
async def test_a_project_that_moves_to_another_service_is_asked_there(tmp_path: Path, sim: Simulator) -> None:
    async with Simulator(SimSettings(seed=2, show_rate=None)) as elsewhere:
        [job] = sim.create_jobs(timeline=[("PROCESSING", None)])
        [twin] = elsewhere.create_jobs(timeline=[("SUCCEED", None)])
        with Webhook() as hook:
            async with live(tmp_path, BASE + project(sim) + to(hook)) as it:
                await it.track(job, twin)
                await it.until("it is asked", lambda: it.polled(job))
                assert (await it.reload(BASE + project(elsewhere) + to(hook))).ok
                asked = sim.stats()["total"]
                await it.until("it is told", lambda: it.statuses()["sent"] == 1)
                assert sim.stats()["total"] == asked


async def test_a_channel_that_is_taken_out_keeps_its_alerts_until_it_is_back(
    tmp_path: Path, sim: Simulator
) -> None:
    jobs = sim.create_jobs(count=2, timeline=[("SUCCEED", None)])
    with Webhook() as hook, Webhook(default=Answer(status=503)) as busy:
        one = f"operators = []\n{BASE}{project(sim)}{to(hook)}"
        both = one + to(busy, "busy")
        async with live(tmp_path, both) as it:
            await it.track(*jobs)
            await it.until("one has all", lambda: it.statuses()["sent"] == 2)
            await it.came(busy, 1)
            assert (await it.reload(one)).ok
            await it.until("its lane has ended", lambda: len(it.service.delivery.dispatcher._lanes) == 1)
            asked = len(busy.requests)
            busy.default = Answer()
            sim.create_jobs(timeline=[("SUCCEED", None)])
            assert it.statuses() == {"sent": 2, "pending": 2}
            assert (await it.reload(both)).ok
            assert len(busy.requests) == asked
            it.service.store.write_now(lambda tx: tx.outbox.resume("busy"))
            it.lane("busy").wake()
            await it.until("it has them", lambda: it.statuses()["sent"] == 4)


async def test_a_corrected_url_of_a_held_channel_is_tried_at_once(tmp_path: Path, sim: Simulator) -> None:
    jobs = sim.create_jobs(count=3, timeline=[("SUCCEED", None)])
    with Webhook() as hook, Webhook(default=Answer(status=404)) as gone:
        async with live(tmp_path, "operators = []\n" + BASE + project(sim) + to(gone)) as it:
            await it.track(*jobs)
            await it.until("it is held", lambda: it.statuses()["held"])
            assert (await it.reload("operators = []\n" + BASE + project(sim) + to(hook))).ok
            await it.until("all are sent", lambda: it.statuses() == {"sent": 3}, seconds=20)
            assert not it.lane().condition.held


async def test_a_changed_channel_keeps_its_pace_and_stays_held(tmp_path: Path, sim: Simulator) -> None:
    jobs = sim.create_jobs(count=2, timeline=[("SUCCEED", None)])
    with Webhook() as hook, Webhook(default=Answer(status=404)) as gone:
        slow = "max_per_minute = 2\ndigest_above = 0\n"
        config = "operators = []\n" + BASE + project(sim)
        async with live(tmp_path, config + to(hook, "hook", slow) + to(gone, "gone")) as it:
            await it.track(*jobs)
            await it.until("both have theirs", lambda: it.statuses()["held"] and it.statuses()["sent"] == 2)
            old = it.lane(), it.lane("gone")
            chinese = 'language = "zh"\n'
            changed = to(hook, "hook", slow + chinese) + to(gone, "gone", chinese)
            assert len((await it.reload(config + changed)).changed) == 2
            await it.until(
                "the lanes are others", lambda: it.lane() is not old[0] and it.lane("gone") is not old[1]
            )
            await it.until("they have begun", lambda: it.lane().arrived and it.lane("gone").arrived)
            assert it.lane()._pace.wait(it.service.clock.monotonic()) > 30
            assert it.lane("gone").condition.held
            assert it.lane("gone").condition.pause == old[1].condition.pause
        assert [len(hook.requests), len(gone.requests)] == [2, 1]


@pytest.mark.long
async def test_a_message_under_way_is_sent_once_when_its_channel_changes(tmp_path: Path, sim: Simulator) -> None:
    jobs = sim.create_jobs(count=2, timeline=[("SUCCEED", None)])
    with Webhook() as hook, Webhook() as other:
        hook.program(Answer(hang=True))
        more = "digest_above = 0\n"
        async with live(tmp_path, BASE + project(sim) + to(hook, "hook", more)) as it:
            await it.track(*jobs)
            await it.came(hook, 1)
            assert (await it.reload(BASE + project(sim) + to(other, "hook", more))).ok
            hook.let_go()
            await it.until("all are sent", lambda: it.statuses() == {"sent": 2})
        told = [each.json["delivery_id"] for each in (*hook.requests, *other.requests)]
        assert len(other.requests) >= 1
        assert len(set(told)) == 2


async def test_quiet_hours_that_end_by_the_new_config_free_what_is_kept(tmp_path: Path, sim: Simulator) -> None:
    now = datetime.now(UTC)
    quiet = f'quiet = {{ from = "{now - timedelta(hours=2):%H:%M}", to = "{now + timedelta(hours=2):%H:%M}" }}\n'
    [job] = sim.create_jobs(timeline=[("SUCCEED", None)])
    with Webhook() as hook:
        async with live(tmp_path, BASE + project(sim) + to(hook, "hook", quiet)) as it:
            await it.track(job)
            await it.until("it is kept", lambda: any(row.held_until for row in it.deliveries()))
            assert (await it.reload(BASE + project(sim) + to(hook))).ok
            await it.until("it is told", lambda: it.statuses()["sent"])


@pytest.mark.long
async def test_new_routes_and_operators_hold_for_what_comes(tmp_path: Path, sim: Simulator) -> None:
    [one] = sim.create_jobs(timeline=[("PROCESSING", None)])
    with Webhook() as hook, Webhook() as other:
        channels = to(hook) + to(other, "other")
        route = '[[routes]]\nevents = ["succeeded"]\nchannels = ["{}"]\n'
        before = 'operators = ["hook"]\n' + BASE + project(sim) + channels + route.format("hook")
        async with live(tmp_path, before) as it:
            await it.track(one)
            await it.until("it is asked", lambda: it.polled(one))
            after = 'operators = ["other"]\n' + BASE + project(sim) + channels + route.format("other")
            assert (await it.reload(after)).ok
            sim.set_state(one, "SUCCEED")
            assert (await it.came(other, 1))[0].json["event"] == "succeeded"
            await it.reload("not = [toml")
            assert (await it.came(other, 2))[1].json["event"] == "config_refused"
        assert not hook.requests


@pytest.mark.long
async def test_discovery_that_is_turned_on_looks_at_once(tmp_path: Path, sim: Simulator) -> None:
    [job] = sim.create_jobs(timeline=[("PROCESSING", None)])
    with Webhook() as hook:
        rest = BASE + to(hook) + project(sim)
        async with live(tmp_path, rest) as it:
            assert (await it.reload(rest + "[projects.main.discovery]\nenabled = true\n")).ok
            await it.until("it is found", lambda: it.polled(job), seconds=20)
            assert (await it.reload(rest)).ok
            assert it.service.scope.discoveries[MAIN]._settings is None


async def test_what_needs_a_restart_is_said_and_the_rest_is_used(tmp_path: Path, sim: Simulator) -> None:
    web = '[web]\nlisten = "127.0.0.1:0"\ntoken = "{}"\n'
    base = BASE.partition("[web]")[0]
    with Webhook() as hook:
        rest = project(sim) + to(hook)
        async with live(tmp_path, base + web.format("a-token-of-tests-1") + rest) as it:
            assert it.service.web is not None
            address = it.service.web.address
            changed = (
                base
                + web.format("a-token-of-tests-2").replace(":0", ":1")
                + '[database]\nurl = "sqlite:///other.db"\n[log]\nformat = "json"\nlevel = "error"\n'
                + rest
            )
            reloaded = await it.reload(changed)
            assert set(reloaded.needs_restart) == {"web.listen", "database.url", "log.format"}
            assert await _status(address, "a-token-of-tests-2") == 404
            assert await _status(address, "a-token-of-tests-1") == 401
            assert "other.db" not in it.service.spec.database_url
            again = await it.reload(changed)
            assert set(again.needs_restart) == {"web.listen", "database.url", "log.format"}
            assert await _status(address, "", path="/healthz", host="wrapd.example.com") == 421
            public = changed.replace("[web]\n", '[web]\npublic_url = "https://wrapd.example.com"\n')
            assert (await it.reload(public)).ok
            assert await _status(address, "", path="/healthz", host="wrapd.example.com") == 200
            off = await it.reload(base + "[web]\nenabled = false\n" + rest)
            assert off.needs_restart == ("web.enabled",)
            assert await _status(address, "a-token-of-tests-2") == 404


async def _status(address: str, token: str, *, path: str = "/api/v1/jobs/main/x1", host: str = "") -> int:
    ip, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(ip, int(port))
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host or address}\r\nAuthorization: Bearer {token}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        answer = await reader.read()
    finally:
        writer.close()
    return int(answer.split(b" ", 2)[1])
