"""Callbacks on a real socket: which are accepted, what a genuine one does, and how fast it is answered."""

import asyncio
import hashlib
import hmac
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.domain.events import Event
from daemon.domain.jobs import KindSource, NamedBy, Tracking
from daemon.logs import LogEvent
from daemon.store import StoreBusy
from daemon.web import CallbackAuth, CallbackSettings, callback_url
from tests.support.recorder import Lines
from tests.support.store import BOTH
from tests.support.web import MAIN, NOW, OTHER, PUBLIC, Answer, Desk, desk

KEY = "k3y-of-the-project"
NONE = CallbackSettings(auth=CallbackAuth.NONE, key=KEY)
SIGNED = CallbackSettings(auth=CallbackAuth.MSS_A, key=KEY)
TRACKING = CallbackSettings(auth=CallbackAuth.NONE, key=KEY, track_unknown=True)
BODY = {"result": "SUCCEED", "asset_id": "a1", "job_id": "j-1"}


def path_of(settings: CallbackSettings, project: Any = MAIN) -> str:
    return callback_url(PUBLIC, project, settings).removeprefix(PUBLIC)


def signed_path(*, age: float = 0.0, key: str = KEY) -> str:
    stamp = round((NOW.timestamp() - age) * 1000)
    url = callback_url(PUBLIC, MAIN, SIGNED)
    secret = hmac.new(key.encode(), f"{url}{stamp}".encode(), hashlib.sha256).hexdigest()
    return f"/callbacks/main?secret={secret}&time_stamp={stamp:x}"


async def call(it: Desk, path: str, body: object = BODY) -> Answer:
    return await it.ask("POST", path, body=body)


@pytest.mark.parametrize("settings", [NONE, SIGNED])
async def test_a_genuine_callback_makes_its_job_due(tmp_path: Path, settings: CallbackSettings) -> None:
    async with desk(tmp_path, callbacks={MAIN: settings}) as it:
        it.watched.add(("main", "j-1"))
        path = signed_path() if settings is SIGNED else path_of(settings)
        told = await call(it, path)
        assert (told.status, told.json()) == (200, {"job_id": "j-1", "watched": True})
        assert it.hints == [("main", "j-1")]
        assert it.jobs() == {}


async def test_what_is_not_genuine_is_refused_before_its_body_is_read(tmp_path: Path) -> None:
    wrong = [
        ("/callbacks/main", SIGNED),
        ("/callbacks/main?secret=" + "0" * 64 + "&time_stamp=69a42b40", SIGNED),
        (signed_path(age=901), SIGNED),
        (signed_path(age=-901), SIGNED),
        (signed_path(key="another"), SIGNED),
        (path_of(NONE), SIGNED),
        (signed_path().replace("/main", "/main/x"), SIGNED),
        ("/callbacks/main", NONE),
        ("/callbacks/main/" + "0" * 40, NONE),
        ("/callbacks/main/%ff%00", NONE),
        (path_of(NONE) + "0", NONE),
        (path_of(NONE)[:-1], NONE),
        (path_of(NONE, OTHER).replace("other", "main"), NONE),
        (path_of(CallbackSettings(auth=CallbackAuth.NONE, key="another")), NONE),
    ]
    for number, (path, settings) in enumerate(wrong):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with desk(folder, callbacks={MAIN: settings}) as it:
            told = await call(it, path, b"x" * 100_000)
            assert told.status == 401, path
            assert "wrapd callback-url" in told.json()["error"]
            assert it.hints == []


async def test_strangers_learn_no_projects_name(tmp_path: Path) -> None:
    async with desk(tmp_path, projects=(MAIN, OTHER), callbacks={MAIN: NONE}) as it:
        paths = ("/callbacks/main/x", "/callbacks/other/x", "/callbacks/nobody/x", "/callbacks/nobody")
        told = [await call(it, path) for path in (*paths, path_of(NONE, OTHER))]
        assert {(each.status, each.body) for each in told} == {(401, told[0].body)}
        assert (await call(it, "/callbacks/")).status == 404
        assert (await it.ask("GET", path_of(NONE))).status == 405
        assert it.hints == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"j-1"', b'{"job_id": 7}', b"\xff"])
async def test_a_genuine_callback_that_names_no_job_is_taken_and_does_nothing(tmp_path: Path, body: bytes) -> None:
    async with desk(tmp_path, callbacks={MAIN: TRACKING}) as it:
        told = await call(it, path_of(TRACKING), body)
        assert (told.status, told.json()) == (200, {"job_id": None, "watched": False})
        assert it.jobs() == {}
        assert (await call(it, path_of(TRACKING), b" " * (64 * 1024 + 1))).status == 413


async def test_an_unknown_job_is_tracked_where_that_is_wanted(tmp_path: Path) -> None:
    async with desk(tmp_path, callbacks={MAIN: NONE, OTHER: TRACKING}, projects=(MAIN, OTHER)) as it:
        told = await call(it, path_of(NONE))
        assert (told.status, told.json()["watched"]) == (200, False)
        assert it.jobs() == {}
        told = await call(it, path_of(TRACKING, OTHER))
        assert (told.status, told.json()["watched"]) == (200, True)
        assert it.job("j-1", OTHER).tracking is Tracking.ACTIVE
        await it.heard(lambda news: news.tracked)


async def test_a_signature_brings_in_one_job_and_no_second_one_after_a_restart_either(tmp_path: Path) -> None:
    settings = CallbackSettings(auth=CallbackAuth.MSS_A, key=KEY, track_unknown=True)
    path = signed_path()
    async with desk(tmp_path, callbacks={MAIN: settings}) as it:
        assert (await call(it, path)).json() == {"job_id": "j-1", "watched": True}
        assert (await call(it, path)).json() == {"job_id": "j-1", "watched": True}, "sent twice is no harm"
        for number in range(2, 30):
            told = await call(it, path, {"job_id": f"j-{number}"})
            assert told.status == 409
        assert set(it.jobs()) == {"j-1"}
        it.watched.add((MAIN, "known"))
        told = await call(it, path, {"job_id": "known"})
        assert told.json()["watched"] is True, "two jobs that are watched may end in the same second"
    async with desk(tmp_path, callbacks={MAIN: settings}) as it:
        secret, stamp = path.partition("?secret=")[2].split("&time_stamp=")
        for again in (path, f"/callbacks/main?secret={secret.upper()}&time_stamp={int(stamp, 16)}"):
            assert (await call(it, again, {"job_id": "j-2"})).status == 409
        assert set(it.jobs()) == {"j-1"}
        assert (await call(it, signed_path(age=1), {"job_id": "j-2"})).status == 200


async def test_a_callback_that_changes_nothing_does_not_use_its_signature_up(tmp_path: Path) -> None:
    settings = CallbackSettings(auth=CallbackAuth.MSS_A, key=KEY, track_unknown=True)
    async with desk(tmp_path, callbacks={MAIN: settings}) as it:
        it.track("stopped")
        it.store.write_now(lambda tx: tx.jobs.untrack(MAIN, it.job("stopped").job_id, at=NOW))
        assert (await call(it, signed_path(), {"job_id": "stopped"})).json()["watched"] is False
        assert (await call(it, signed_path())).json()["watched"] is True


async def test_jobs_that_only_callbacks_named_are_bounded_until_the_service_confirms_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.commands.tracking.MOST_UNCONFIRMED", 3)
    async with desk(tmp_path, callbacks={MAIN: TRACKING}) as it:
        answers = [(await call(it, path_of(TRACKING), {"job_id": f"made-up-{n}"})).status for n in range(5)]
        assert answers == [200, 200, 200, 503, 503]
        row = it.job("made-up-0")
        assert (row.named_by, row.kind_source, row.unconfirmed) == (NamedBy.CALLBACK, KindSource.GUESSED, True)
        it.store.write_now(lambda tx: tx.jobs.kinds_found({row.id: "photo"}))
        assert not it.job("made-up-0").unconfirmed
        assert (await call(it, path_of(TRACKING), {"job_id": "made-up-5"})).status == 200


async def test_a_job_that_was_given_up_comes_back_and_one_that_a_person_stopped_does_not(tmp_path: Path) -> None:
    async with desk(tmp_path, callbacks={MAIN: TRACKING}) as it:
        row = it.track("j-1", kind="photo")
        it.store.write_now(lambda tx: tx.jobs.record_end(row, Event.LOST, at=NOW, routing=BOTH, reason="gone"))
        assert (await call(it, path_of(TRACKING))).json()["watched"] is True
        assert (it.job("j-1").tracking, it.job("j-1").kind) == (Tracking.ACTIVE, "photo")
        it.store.write_now(lambda tx: tx.jobs.untrack(MAIN, it.job("j-1").job_id, at=NOW))
        assert (await call(it, path_of(TRACKING))).json()["watched"] is False
        assert it.job("j-1").tracking is Tracking.STOPPED


async def test_a_database_that_takes_nothing_has_the_service_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path, callbacks={MAIN: TRACKING}) as it:

        async def busy(_work: object) -> None:
            raise StoreBusy("busy")

        monkeypatch.setattr(it.store, "write", busy)
        told = await call(it, path_of(TRACKING))
        assert (told.status, told.headers["retry-after"]) == (503, "5")
        it.watched.add(("main", "j-1"))
        assert (await call(it, path_of(TRACKING))).status == 200, "a job that is watched needs no database"


async def test_many_wrong_ones_make_one_log_line_in_ten_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines(monkeypatch, "daemon.web.callbacks")
    async with desk(tmp_path, callbacks={MAIN: NONE}) as it:
        for _ in range(5):
            await call(it, "/callbacks/main/wrong-secret")
        it.clock.advance(11)
        await call(it, "/callbacks/main/wrong-secret")
        assert lines.of(LogEvent.CALLBACK_REFUSED) == [
            {"project": "main", "times": 1},
            {"project": "main", "times": 5},
        ]
        it.clock.advance(11)
        await call(it, "/callbacks/made-up-name/wrong-secret")
        assert lines.of(LogEvent.CALLBACK_REFUSED)[2:] == [{"project": None, "times": 1}]
        assert "wrong-secret" not in json.dumps(lines.all)


async def test_a_late_genuine_callback_is_believed_within_the_quarter_of_an_hour(tmp_path: Path) -> None:
    async with desk(tmp_path, callbacks={MAIN: SIGNED}) as it:
        it.clock.step_wall(timedelta(minutes=14).total_seconds())
        assert (await call(it, signed_path())).status == 200
        it.clock.step_wall(120)
        assert (await call(it, signed_path())).status == 401


async def test_a_callback_is_answered_within_50_ms(tmp_path: Path) -> None:
    """The slowest as seen by a client, each of which stores an unknown job; most take far less."""
    async with desk(tmp_path, callbacks={MAIN: TRACKING}) as it:
        took = []
        for number in range(30):
            began = time.perf_counter()
            assert (await call(it, path_of(TRACKING), {"job_id": f"j-{number}"})).status == 200
            took.append(time.perf_counter() - began)
        assert sorted(took)[len(took) // 2] < 0.05, took
        assert len(it.jobs()) == 30


async def test_a_body_that_never_ends_is_given_up_and_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.web.bodies._PATIENCE", 0.2)
    async with desk(tmp_path, callbacks={MAIN: NONE}) as it:
        host, _, port = it.web.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST {path_of(NONE)} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
        assert (await call(it, path_of(NONE))).status == 200
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()


async def test_of_a_long_result_the_log_keeps_the_beginning(tmp_path: Path) -> None:
    async with desk(tmp_path, callbacks={MAIN: NONE}) as it:
        it.watched.add((MAIN, "j-1"))
        body = json.dumps({"job_id": "j-1", "result": "\x1b[31m" + "A" * 10_000})
        with capture_logs() as lines:
            told = await call(it, path_of(NONE), body.encode())
        assert told.status == 200
        [line] = [each for each in lines if each["event"] == "callback.taken"]
        assert line["result"] == "[31m" + "A" * 59
