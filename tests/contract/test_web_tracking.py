"""Tracking over HTTP, with a real socket and a real database."""

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from daemon import views
from daemon.domain.durations import eta
from daemon.domain.jobs import Asset, JobId, Observation, ProjectName, Tracking
from daemon.domain.transitions import Moved, judge
from daemon.store import AttemptOutcome, Bookkeeping, Outcome, TrackRequest, Transaction, to_stamp
from daemon.web.bodies import HttpError
from daemon.web.tracking import read_wanted
from tests.support.store import BOTH, A
from tests.support.web import MAIN, NOW, OTHER, TOKEN, Desk, desk, learned


async def post(it: Desk, body: object, *, token: str | None = TOKEN) -> Any:
    return await it.ask("POST", "/api/v1/jobs", body=body, token=token)


def faults(answer: Any) -> dict[str, str]:
    assert answer.status == 422, answer.body
    return {each["place"]: each["text"] for each in answer.json()["faults"]}


async def test_a_job_is_handed_over_and_taken_up_at_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        told = await post(
            it, {"job_id": "j-1", "label": " Promo\x1b[31m\n1 ", "tags": ["spring", "spring", "tv"], "batch": "b1"}
        )
        assert told.status == 200
        assert told.headers["cache-control"] == "no-store"
        assert told.json() == {
            "jobs": [
                {
                    "project": "main",
                    "job_id": "j-1",
                    "kind": "avatar",
                    "result": "added",
                    "state": None,
                    "changes": [],
                    "kind_source": "guessed",
                }
            ]
        }
        row = it.job("j-1")
        assert (row.label, row.tags, row.batch, row.kind) == ("Promo[31m 1", ("spring", "tv"), "b1", "avatar")
        assert row.tracking is Tracking.ACTIVE
        await it.heard(lambda news: news.tracked)
        again = await post(it, {"job_id": "j-1"})
        assert [each["result"] for each in again.json()["jobs"]] == ["already"]
        assert it.job("j-1").label == "Promo[31m 1", "what is not said stays"
        assert it.job("j-1").episode == 1


async def test_many_are_stored_together_and_a_repeated_one_is_no_harm(tmp_path: Path) -> None:
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        jobs = [{"project": "main", "job_id": f"j-{n}"} for n in range(998)]
        jobs += [{"project": "other", "job_id": "j-1", "kind": "photo"}, {"project": "main", "job_id": "j-0"}]
        told = await post(it, {"jobs": jobs})
        assert told.status == 200
        results = [each["result"] for each in told.json()["jobs"]]
        assert results == ["added"] * 999 + ["already"]
        assert it.job("j-1", OTHER).kind == "photo"
        assert len(it.jobs()) == 998
        told = await post(it, {"jobs": jobs})
        assert {each["result"] for each in told.json()["jobs"]} == {"already"}


async def test_a_job_that_is_known_keeps_its_kind_and_tells_how_it_stands(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        row = it.track("j-1", kind="photo")
        end(it, row, "SUCCEED")
        it.track("j-2", kind="photo")
        it.store.write_now(lambda tx: tx.jobs.untrack(MAIN, it.job("j-2").job_id, at=NOW))
        told = await post(it, {"jobs": [{"job_id": "j-1"}, {"job_id": "j-2"}]})
        assert [(each["kind"], each["result"], each["state"]) for each in told.json()["jobs"]] == [
            ("photo", "finished", "SUCCEED"),
            ("photo", "taken_up", None),
        ]
        assert it.job("j-2").tracking is Tracking.ACTIVE


async def test_every_fault_is_named_with_place_and_mend_and_nothing_is_stored(tmp_path: Path) -> None:
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        good = {"project": "main", "job_id": "good"}
        told = faults(
            await post(
                it,
                {
                    "jobs": [
                        good,
                        {"job_id": "j-1"},
                        {"project": "mian", "job_id": "j-1"},
                        {"project": "main"},
                        {"project": "main", "job_id": "../etc"},
                        {"project": "main", "job_id": 7, "kind": "avatr", "label": 5, "tags": "tv", "batch": ""},
                        {"project": ["main"], "job_id": "j-1", "tags": ["\u200f", 5], "lable": "x"},
                        {"project": "main", "job_id": "j-1", "tags": [str(n) for n in range(21)]},
                        {"project": "main", "job_id": "j-1", "batch": "x" * 65},
                    ]
                },
            )
        )
        assert told["jobs[1].project"] == "it is missing; give one of main, other"
        assert told["jobs[2].project"] == "no project is called 'mian'; did you mean 'main'?"
        assert "MetaStudio" in told["jobs[3].job_id"]
        assert "is not a job id" in told["jobs[4].job_id"]
        assert told["jobs[5].job_id"] == "it must be a text"
        assert "did you mean 'avatar'?" in told["jobs[5].kind"]
        assert {"jobs[5].label", "jobs[5].tags", "jobs[5].batch", "jobs[6].project", "jobs[6].tags"} <= set(told)
        assert told["jobs[6].lable"] == "there is no such key; did you mean 'label'?"
        assert "at most 20" in told["jobs[7].tags"]
        assert "not 65" in told["jobs[8].batch"]
        assert it.jobs() == {}


UNREADABLE: list[tuple[object, int, str | None]] = [
    (b"", 400, None),
    (b"{", 400, None),
    (b"\xff", 400, None),
    (b"[" * 100_000, 400, None),
    ([{"job_id": "j-1"}], 400, None),
    ({"jobs": []}, 422, "jobs"),
    ({"jobs": {"job_id": "j"}}, 422, "jobs"),
    ({"jobs": ["j-1"]}, 422, "jobs[0]"),
    ({"jobs": [{"job_id": "j"}], "tags": ["a"]}, 422, "jobs"),
    ({"jobs": [{"job_id": "j"}] * 1001}, 422, "jobs"),
    ({}, 422, "job_id"),
]


async def test_what_cannot_be_read_is_refused_whole(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for body, status, place in UNREADABLE:
            case, told = repr(body)[:60], await post(it, body)
            assert told.status == status, case
            assert told.json()["error"], case
            assert place is None or [each["place"] for each in told.json()["faults"]] == [place], case
            assert it.jobs() == {}, case


async def test_very_many_faults_are_counted_not_listed(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        told = await post(it, {"jobs": [{"job_id": ""}] * 1000})
        assert len(told.json()["faults"]) == 51
        assert told.json()["faults"][-1]["text"] == "and 950 more"


@pytest.mark.parametrize(
    "body",
    [
        {"job_id": "j-1"} | {f"key-{n}": n for n in range(90_000)},
        {"jobs": [{"job_id": "j-1"} | {f"key-{n}": n for n in range(900)} for _ in range(90)]},
        {"job_id": "j-1", "tags": ["x"] * 200_000},
        {"job_id": "j-1", "tags": [[]] * 200_000},
        {"job_id": "j-1", "batch": "\u200f" * 150_000},
        {"job_id": "j-1", "project": "m" * 900_000, "kind": "k" * 100_000},
        {"job_id": "j" * 1_000_000},
        {"k" * 1_000_000: 1},
        {"jobs": [{"job_id": "x/y", "kind": "avatr", "project": "mian"}] * 1000},
        {"jobs": [[]] * 200_000},
    ],
    ids=lambda body: next(iter(body))[:10],
)
async def test_no_body_holds_the_others_up(tmp_path: Path, body: dict[str, Any]) -> None:
    """The work of a request is bounded, whatever its faults."""
    raw = json.dumps(body).encode()
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)  # calls and returns, of C too
    try:
        with pytest.raises(HttpError) as refused:
            read_wanted(raw, [MAIN, OTHER])
    finally:
        sys.setprofile(None)
    assert steps < 2_000_000  # 10 for each of 90,000 keys; comparing all pairs takes 100 times as many
    assert len(refused.value.faults) <= 51
    assert len(json.dumps(refused.value.faults)) < 20_000


async def test_one_job_a_thousand_times_is_one_request(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        jobs = [{"job_id": "j-1", "label": f"L{n}"} for n in range(999)] + [{"job_id": "j-1", "batch": "b"}]
        told = (await post(it, {"jobs": jobs})).json()["jobs"]
        assert [each["result"] for each in told] == ["added"] + ["already"] * 999
        assert (it.job("j-1").label, it.job("j-1").batch, it.job("j-1").kind) == ("L998", "b", "avatar")


async def test_what_was_changed_of_a_known_job_is_told(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        row = it.track("ended", label="A", tags=("x",), batch="b")
        end(it, row, "FAILED")
        same = {"job_id": "ended", "label": "A", "tags": ["x"], "batch": "b"}
        [told] = (await post(it, same)).json()["jobs"]
        assert (told["result"], told["state"], told["changes"]) == ("finished", "FAILED", [])
        other = {"job_id": "ended", "label": "B", "tags": ["y"], "batch": "c", "kind": "photo"}
        [told] = (await post(it, other)).json()["jobs"]
        assert told["changes"] == ["label_changed", "tags_replaced", "batch_changed", "kind_kept"]
        assert (told["result"], told["kind"]) == ("finished", "avatar")
        [told] = (await post(it, {"job_id": "ended", "retrack": True})).json()["jobs"]
        assert (told["result"], told["state"]) == ("taken_up", "FAILED")
        assert it.job("ended").tracking is Tracking.ACTIVE
        assert (await post(it, {"job_id": "ended", "retrack": "yes"})).status == 422


async def test_a_batch_of_jobs_that_have_ended_is_told_too(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for name in ("one", "two"):
            end(it, it.track(name), "SUCCEED")
        await post(it, {"jobs": [{"job_id": "one", "batch": "late"}, {"job_id": "two", "batch": "late"}]})
        rows = it.store.read(lambda tx: tx.outbox.list(channel=A))
        assert [row.facts["jobs"] for row in rows if row.event == "batch_finished"] == [2]


async def test_a_name_with_lone_surrogates_is_stored_readably(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        told = await post(it, b'{"job_id": "j-1", "label": "a\\ud800\\u202eb", "tags": ["\\udfff"]}')
        assert told.status == 200
        assert (it.job("j-1").label, it.job("j-1").tags) == ("a\ufffdb", ("\ufffd",))


async def test_without_the_right_token_nothing_is_said(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1")
        for headers in (
            {},
            {"Authorization": "Bearer"},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": "Bearer \xfc\xff"},
        ):
            for method, path in (("POST", "/api/v1/jobs"), ("GET", "/api/v1/jobs/main/j-1")):
                told = await it.ask(method, path, headers=headers, body=None if method == "GET" else b"{}")
                assert told.status == 401
                assert told.headers["www-authenticate"] == 'Bearer realm="wrapd"'
                assert b"j-1" not in told.body
        assert (
            await it.ask("GET", "/api/v1/jobs/main/j-1", headers={"Authorization": f"bearer {TOKEN}"})
        ).status == 200


async def test_without_a_token_in_the_config_the_api_is_off_and_says_how_to_have_it(tmp_path: Path) -> None:
    async with desk(tmp_path, token=None) as it:
        told = await post(it, {"job_id": "j-1"}, token="whatever-it-is-it-is-off")
        assert told.status == 403
        assert "web.token" in told.json()["error"]
        assert (await it.ask("GET", "/healthz")).status == 200


async def test_a_body_over_a_mebibyte_is_refused_whether_it_says_so_or_not(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        big = b'{"job_id": "j-1", "label": "' + b"x" * (1024 * 1024) + b'"}'
        assert (await post(it, big)).status == 413
        sent = await asyncio.to_thread(_chunked, it, big)
        assert sent.startswith(b"HTTP/1.1 413")
        assert it.jobs() == {}


def _chunked(it: Desk, body: bytes) -> bytes:
    host, _, port = it.web.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            + f"Authorization: Bearer {TOKEN}\r\n\r\n{len(body):x}\r\n".encode()
        )
        wire.sendall(body)
        return wire.recv(65536)


async def test_a_database_that_takes_nothing_is_a_matter_of_trying_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1")
        it.store.close()
        told = await post(it, {"job_id": "j-2"})
        assert (told.status, told.headers["retry-after"]) == (503, "5")
        assert (await it.ask("GET", "/api/v1/jobs/main/j-1", token=TOKEN)).status == 503


async def test_a_job_is_told_as_show_tells_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        row = it.track("j-1", label="One", tags=("a",), batch="b")
        asset = Asset(
            asset_name="One", preview_url="https://h/p.mp4", cover_url="https://h/c.png?Expires=1771241457"
        )
        end(it, row, "SUCCEED", asset=asset)
        it.store.write_now(_send_first)
        told = await it.ask("GET", "/api/v1/jobs/main/j-1", token=TOKEN)
        assert told.status == 200
        found = told.json()
        wanted = json.loads(json.dumps(views.document(views.job(it.job("j-1"), now=NOW, eta=None))))
        assert {key: found[key] for key in wanted if key in found} == {
            k: v for k, v in wanted.items() if k in found
        }
        assert set(wanted) <= set(found)
        [delivery, _] = found["deliveries"]
        [stored, _] = sorted(it.store.read(lambda tx: tx.outbox.list(job=row)), key=lambda each: each.id)
        [attempt] = it.store.read(lambda tx: tx.outbox.attempts(stored.id))
        assert (delivery["event"], delivery["status"]) == ("succeeded", "sent")
        assert delivery == json.loads(json.dumps(views.document(views.delivery(stored, [attempt], "j-1"))))
        assert [(each["from"], each["to"]) for each in found["transitions"]] == [(None, "SUCCEED")]


async def test_what_remains_of_a_production_is_told(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        row = it.track("j-1")
        told = (await it.ask("GET", "/api/v1/jobs/main/j-1", token=TOKEN)).json()
        assert (told["eta"], told["eta_reason"]) == (None, "the service has not answered for it yet")
        end(it, row, "PROCESSING")
        told = (await it.ask("GET", "/api/v1/jobs/main/j-1", token=TOKEN)).json()
        assert (told["eta"], told["eta_reason"][:23]) == (None, "fewer than 10 finished ")
        it.durations = learned()
        told = (await it.ask("GET", "/api/v1/jobs/main/j-1", token=TOKEN)).json()
        left = eta(it.durations, ("main", "avatar"), None, 0.0)
        assert told["eta"] == views.document(views.remaining(left, now=NOW))
        assert told["eta_reason"] is None


@pytest.mark.parametrize("path", ["main/j-2", "other/j-1", "main/j%2F1", "main/" + "x" * 200, "nobody/j-1"])
async def test_a_job_that_is_not_known_is_not_found(tmp_path: Path, path: str) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1")
        assert (await it.ask("GET", f"/api/v1/jobs/{path}", token=TOKEN)).status == 404


def _send_first(tx: Transaction) -> None:
    claimed = tx.outbox.claim(A, now=NOW)
    assert claimed is not None
    tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.SENT, reason="ok", status_code=200), at=NOW)


def end(it: Desk, row: int, state: str, *, asset: Asset | None = None, answer: str | None = None) -> None:
    def work(tx: Any) -> None:
        seen = Observation(state=state, asset=asset or Asset())
        move = judge(tx.jobs.get(row).state, seen, at=NOW)
        assert isinstance(move, Moved)
        tx.jobs.record_move(row, move, seen, routing=BOTH, due_at=NOW, answer=answer)

    it.store.write_now(work)


@pytest.mark.parametrize("label", ["", "  \n", "\x00\x01\x1b", "\u202e"])
async def test_a_label_that_shows_nothing_says_nothing(tmp_path: Path, label: str) -> None:
    async with desk(tmp_path) as it:
        told = await post(it, {"jobs": [{"job_id": "j-1", "label": label}, {"job_id": "j-2", "label": "B"}]})
        assert [each["result"] for each in told.json()["jobs"]] == ["added", "added"]
        assert it.job("j-1").label is None
        assert (await post(it, {"job_id": "j-2", "label": label})).status == 200
        assert it.job("j-2").label == "B"


async def test_a_value_of_any_depth_is_a_fault_like_others(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for depth in range(900, 1001):  # as deep as JSON can be parsed; formatting has less depth available
            value = "[" * depth + "]" * depth
            told = await post(it, f'{{"job_id": "j-1", "kind": {value}}}'.encode())
            assert told.status in (400, 422), depth
            if told.status == 422:
                assert faults(told) == {"kind": "it must be a text"}


async def test_a_job_that_stands_twice_in_a_request_keeps_the_kind_that_was_given(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        told = await post(it, {"jobs": [{"job_id": "j-1", "kind": "photo"}, {"job_id": "j-1", "batch": "b"}]})
        assert [each["kind"] for each in told.json()["jobs"]] == ["photo", "photo"]
        assert (it.job("j-1").kind, it.job("j-1").batch) == ("photo", "b")


async def test_a_body_that_ends_early_is_no_error_of_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk(tmp_path) as it:
        reader, writer = await asyncio.open_connection(*it.web.address.split(":"))
        head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        writer.write(f"{head}Expect: 100-continue\r\nContent-Length: 20\r\n\r\n".encode())
        assert b"100" in await reader.readline()  # it now waits for the body
        writer.close()
        await writer.wait_closed()
        await it.web.stop()
        assert [line.getMessage() for line in caplog.records if line.levelname == "ERROR"] == []
        assert it.jobs() == {}


async def test_a_batch_whose_last_job_moves_to_another_is_told(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        await post(it, {"jobs": [{"job_id": "j-1", "batch": "b1"}, {"job_id": "j-2", "batch": "b1"}]})

        def end(tx: Transaction) -> None:
            seen = Observation(state="SUCCEED")
            move = judge(None, seen, at=NOW)
            assert isinstance(move, Moved)
            tx.jobs.record_move(it.job("j-1").id, move, seen, routing=BOTH, due_at=NOW)

        it.store.write_now(end)
        await post(it, {"job_id": "j-2", "batch": "b2"})
        rows = it.store.read(lambda tx: tx.outbox.list(channel=A))
        assert [row.facts["batch"] for row in rows if row.event == "batch_finished"] == ["b1"]


async def test_a_job_of_a_project_that_the_config_does_not_have_has_no_next_look(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for project, planned in ((MAIN, True), ("old", False)):
            request = TrackRequest(project=ProjectName(project), kind="avatar", job_id=JobId("j-1"))
            it.store.write_now(lambda tx, request=request: tx.jobs.track(request, at=NOW))
            [row] = it.store.read(lambda tx, project=project: tx.jobs.find(JobId("j-1"), ProjectName(project)))
            look = Bookkeeping(
                job=row.id,
                last_polled_at=to_stamp(NOW),
                next_poll_at=to_stamp(NOW),
                polls=1,
                last_error=None,
                next_reason="price",
            )
            it.store.write_now(lambda tx, look=look: tx.jobs.checkpoint([look]))
            told = (await it.ask("GET", f"/api/v1/jobs/{project}/j-1", token=TOKEN)).json()
            assert (told["next_poll_at"] is not None, told["next_reason"] is not None) == (planned, planned)
