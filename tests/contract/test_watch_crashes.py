"""A defect of wrapd's own while polling: when a token is fetched, a project looked up, or links renewed. Nothing
waits forever, the defect is logged, and work resumes once it is over."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.events import Event
from daemon.domain.planning import Rails
from daemon.metastudio import iam
from daemon.metastudio.settings import Password
from daemon.store import DeliveryStatus
from daemon.tasks import Tasks
from daemon.watch.links import FreshLinks
from tests.support.rig import PROJECT, Rig, rig

USER = Password(domain="studio", user="wrapd", password="crash-test-password")
SIM = {"iam_password": USER.password}
NUL_AND_MORE = "a\0b\ud800c\u202e\x1b[31m"


class Bug(RuntimeError):
    """An unforeseen error."""


def broken(patch: pytest.MonkeyPatch, place: object, name: str) -> None:
    def raising(*_: Any, **__: Any) -> Any:
        raise Bug(name)

    patch.setattr(place, name, raising)


def tracked(it: Rig, count: int = 3) -> list[str]:
    jobs: list[str] = it.sim.create_jobs(count=count, timeline=[("PROCESSING", 1e6), ("SUCCEED", None)])
    for job in jobs:
        it.track(job)
    return jobs


def nobody_waits(it: Rig) -> None:
    assert it.poller.context.tasks.idle
    assert not [watched for watched in it.poller.agenda if watched.in_flight or watched.recording]


@pytest.mark.parametrize("where", ["read_token", "token_request"])
async def test_a_crash_while_the_first_token_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    async with rig(tmp_path, auth=USER, sim=SIM) as it:
        jobs = tracked(it)
        with monkeypatch.context() as patch:
            broken(patch, iam, where)
            await it.run(45)
            nobody_waits(it)
            assert it.requests() == 0
            assert it.requests("token") <= 1, "IAM is not asked again by each who waits"
        assert Event.DEFECT in it.events()
        await it.run(120)
        assert [it.job(job).state for job in jobs] == ["PROCESSING"] * 3


@pytest.mark.parametrize("where", ["read_token", "token_request"])
async def test_a_crash_while_a_token_is_renewed_leaves_the_one_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    rails = Rails(min_interval=30, max_interval=60, blocked_interval=60)
    async with rig(tmp_path, auth=USER, sim=SIM, rails=rails) as it:
        read = iam.read_token
        with monkeypatch.context() as patch:
            patch.setattr(iam, "read_token", lambda answer, now: replace(read(answer, now=now), life=900.0))
            jobs = tracked(it)
            await it.run(300, step=5)
        with monkeypatch.context() as patch:
            broken(patch, iam, where)
            await it.run(520, step=5)  # due for renewal 5 minutes before it expires
            nobody_waits(it)
            assert Event.DEFECT in it.events()
            assert Event.PROJECT_DOWN not in it.events()
            assert all(watched.looked is not None for watched in it.poller.agenda)
            since = min(watched.looked or 0.0 for watched in it.poller.agenda)
            assert it.clock.monotonic() - since <= 3 * 60, "they are asked with the one that works"
        await it.run(600, step=5)
        assert [it.job(job).state for job in jobs] == ["PROCESSING"] * 3
        assert Event.PROJECT_DOWN not in it.events()


@pytest.mark.parametrize("where", ["read_project_id", "projects_query"])
async def test_a_crash_while_the_project_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    async with rig(tmp_path, looked_up=True) as it:
        jobs = tracked(it)
        with monkeypatch.context() as patch:
            broken(patch, iam, where)
            await it.run(45)
            nobody_waits(it)
            assert it.requests() == 0
        assert Event.DEFECT in it.events()
        await it.run(150)
        assert [it.job(job).state for job in jobs] == ["PROCESSING"] * 3


@pytest.mark.parametrize("where", ["show", "set_links"])
async def test_a_crash_while_links_are_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(kind="photo", timeline=[("SUCCEED", None)])
        it.track(job, kind="photo")
        await it.run(20)
        client = it.poller.context.client
        links = FreshLinks({PROJECT: client}, it.store, it.clock, tasks=Tasks("links", it.poller.context.defects))
        with monkeypatch.context() as patch:
            if where == "show":
                broken(patch, client, "show")
            else:
                broken(patch, type(it.store.read(lambda tx: tx.jobs)), "set_links")
            row = it.job(job)
            renewed = await asyncio.gather(*(links.renew(row, patience=10) for _ in range(5)))
        assert [each.id for each in renewed] == [row.id] * 5
        assert it.metrics.defects.labels("links")._value.get() == 1
        it.clock.advance(200)
        assert (await links.renew(row, patience=10)).links_at == it.clock.now()
        await links.stop()


def answers() -> Iterator[dict[str, Any]]:
    for code, text in enumerate((NUL_AND_MORE, NUL_AND_MORE * 20_000, "\0")):
        yield {"state": "FAILED", "error_info": {"error_code": f"{code}{text}", "error_msg": text}}
        asset = {"asset_id": text, "asset_name": text, "cover_url": f"https://h/{text}"}
        yield {"state": "SUCCEED", "output_asset_config": asset | {"preview_video_url": f"https://h/{text}"}}
        yield {"state": f"ODD{text}", "error_info": {"error_msg": text}}
        yield {"error_code": f"X.{text}", "error_msg": text}


@pytest.mark.parametrize("said", list(answers()), ids=range(12))
async def test_whatever_stands_in_an_answers_texts_it_is_stored_whole_and_short(
    tmp_path: Path, said: dict[str, Any]
) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=[("PROCESSING", 1e6), ("SUCCEED", None)])
        it.track(job)
        it.sim.answer(job, json.dumps({"job_id": job} | said).encode())
        await it.run(30)
        await it.watcher.checkpoint()
        row = it.job(job)
        if "state" in said:
            assert row.state is not None
        stored = [repr(row), *(repr(each) for each in it.transitions(job)), *map(repr, it.deliveries())]
        assert not [text for text in stored if "\\x00" in text or "\\ud800" in text]
        assert max(map(len, stored)) < 25_000
        assert Event.DEFECT not in it.events()


ABSURD = (
    -1,
    -1e300,
    1e308,
    10**30,
    2**63,
    2**31,
    "1e999",
    "9" * 5000,
    "-0",
    "NaN",
    "Infinity",
    [],
    {},
    None,
    True,
)


@pytest.mark.parametrize("duration", ABSURD, ids=lambda value: str(value)[:12])
async def test_absurd_durations_and_times_cost_no_end(tmp_path: Path, duration: Any) -> None:
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=[("PROCESSING", 1e6), ("SUCCEED", None)])
        it.track(job)
        times = dict.fromkeys(("start_time", "end_time", "create_time", "lastupdate_time"), duration)
        for state in ("PROCESSING", "SUCCEED"):
            body = json.dumps({"job_id": job, "state": state, "duration": duration} | times)
            it.sim.answer(job, body.encode())
            await it.run(15)
        row = it.job(job)
        assert row.state == "SUCCEED"
        assert row.duration is None or 0 <= row.duration < 2**31
        assert it.events().count(Event.SUCCEEDED) == 1
        assert Event.DEFECT not in it.events()
        assert all(row.status is not DeliveryStatus.CANCELED for row in it.deliveries())
