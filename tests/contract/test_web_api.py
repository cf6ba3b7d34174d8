"""The API's lists and changes, on a real socket and a real database."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from daemon import views
from daemon.domain.jobs import Asset, Tracking
from daemon.store import AttemptOutcome, Bookkeeping, Outcome, Transaction, to_stamp
from daemon.web.bodies import PROBLEM
from tests.contract.test_web_tracking import end
from tests.support.store import A, B
from tests.support.web import MAIN, NOW, OTHER, TOKEN, Answer, Desk, desk

SIGNED = "https://files.example.com/a.mp4?Signature=canary-of-a-signature"
LINKS = Asset(asset_name="Film", preview_url=SIGNED, download_url=SIGNED, cover_url=SIGNED)


async def ask(it: Desk, method: str, path: str, body: object = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await it.ask(method, f"/api/v1/{path}", body=body, token=TOKEN, headers=named)


async def got(it: Desk, path: str) -> Any:
    told = await ask(it, "GET", path)
    assert told.status == 200, told.body
    return told.json()


async def pages(it: Desk, path: str) -> list[Any]:
    """Every item of a list, page by page."""
    found: list[Any] = []
    more = ""
    while True:
        page = await got(it, path + more)
        assert set(page) == {"items", "next", "as_of"}
        assert page["as_of"] == "2026-03-01T12:00:00.000Z"
        found += page["items"]
        if page["next"] is None:
            return found
        more = f"&cursor={page['next']}"


async def test_jobs_are_listed_page_by_page_without_links(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for n in range(7):
            row = it.track(f"j-{n}", label=f"Film {n}", tags=("tv",) if n % 2 else ())
            if n < 4:
                end(it, row, "FAILED" if n else "SUCCEED", asset=LINKS)
        for sort, order in (("newest", range(6, -1, -1)), ("oldest", range(7))):
            found = await pages(it, f"jobs?sort={sort}&limit=2")
            assert [each["job_id"] for each in found] == [f"j-{n}" for n in order]
        shown = views.job(it.job("j-0"), now=NOW, eta=None)
        wanted = json.loads(json.dumps(views.document(shown)))
        missing = {"cover_url", "preview_url", "download_url"}
        assert found[0] == {key: value for key, value in wanted.items() if key not in missing}
        assert "canary" not in json.dumps(found)
        for query, numbers in {
            "project=main": range(6, -1, -1),
            "project=other": (),
            "state=FAILED": (3, 2, 1),
            "tracking=active": (6, 5, 4),
            "tag=tv": (5, 3, 1),
            "q=FILM%202": (2,),
            "tag=tv&state=FAILED": (3, 1),
            "since=2026-03-01T12:00:00Z": (3, 2, 1, 0),
            "since=2026-03-01T12:00:01%2B00:00": (),
        }.items():
            found = await pages(it, f"jobs?{query}&limit=2")
            assert [each["job_id"] for each in found] == [f"j-{n}" for n in numbers], query


WRONG_PARAMETERS = [
    ("limit=0", "limit"),
    ("limit=201", "limit"),
    ("limit=x", "limit"),
    ("tracking=gone", "tracking"),
    ("sort=best", "sort"),
    ("since=yesterday", "since"),
    ("since=0001-01-01T00:00:00%2B14:00", "since"),
    ("cursor=x", "cursor"),
    ("cursor=WyIwMDAwMDAwMDAwMDAiLDAsbnVsbCw0XQ==", "cursor"),
    ("cursor=" + base64.b64encode(b'["",0,0,0,' + b"[" * 9998).decode(), "cursor"),
    ("projct=main", "projct"),
    ("q=", "q"),
]


async def test_a_wrong_parameter_is_named(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for query, place in WRONG_PARAMETERS:
            told = await ask(it, "GET", f"jobs?{query}")
            assert (told.status, [each["place"] for each in told.json()["faults"]]) == (422, [place]), query


async def test_a_cursor_belongs_to_its_list(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for n in range(3):
            it.track(f"j-{n}", tags=("tv",))
        cursor = (await got(it, "jobs?limit=1"))["next"]
        assert (await ask(it, "GET", f"jobs?limit=2&cursor={cursor}")).status == 200
        for other in ("jobs?sort=oldest", "jobs?tag=tv", "deliveries?limit=1"):
            assert (await ask(it, "GET", f"{other}&cursor={cursor}")).status == 422


async def test_a_job_is_changed_and_each_change_leaves_a_row(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1", label="Old", tags=("a", "b"), batch="x")
        told = await ask(it, "PATCH", "jobs/main/j-1", {"label": "New", "tags": ["b", "c"], "batch": "y"})
        assert told.status == 200
        assert [told.json()[key] for key in ("label", "tags", "batch")] == ["New", ["b", "c"], "y"]
        assert [(each["what"], each["who"]) for each in told.json()["actions"]] == [
            ("label", "token:web.token"),
            ("tag", "token:web.token"),
            ("batch", "token:web.token"),
        ]
        assert told.json() == await got(it, "jobs/main/j-1")
        told = await ask(it, "PATCH", "jobs/main/j-1", {"label": None, "tags": []})
        assert [told.json()[key] for key in ("label", "tags", "batch")] == [None, [], "y"]
        assert len((await ask(it, "PATCH", "jobs/main/j-1", {"batch": "y"})).json()["actions"]) == 5, "no change"
        assert it.job("j-1").tracking is Tracking.ACTIVE
        told = await ask(it, "PATCH", "jobs/main/j-1", {"label": "\x00", "tags": [""], "batch": "x" * 65})
        assert [each["place"] for each in told.json()["faults"]] == ["label", "tags", "batch"]
        for body in ({"lable": "x"}, {"label": 5}, {"tags": "a"}, [], b""):
            assert (await ask(it, "PATCH", "jobs/main/j-1", body)).status == 422, body
        assert (await ask(it, "PATCH", "jobs/main/j-1", b"{")).status == 400
        assert (await ask(it, "PATCH", "jobs/main/none", {})).status == 404


NESTED = b"[" * 100_000


@pytest.mark.parametrize(
    "route",
    [
        "PATCH jobs/main/j-1",
        "POST jobs",
        "POST jobs/main/j-1/mute",
        "POST mutes",
        "POST tokens",
        "POST projects/main/pause",
        "POST deliveries/1/resend",
        "POST batches/main/b/share",
    ],
)
async def test_a_body_that_is_nested_too_deeply_is_a_wrong_body(tmp_path: Path, route: str) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1", batch="b")
        told = await ask(it, *route.split(), NESTED)
        assert (told.status, told.json()["status"]) == (400, 400), told.body


async def test_a_job_that_somebody_else_changed_is_changed_only_by_who_has_seen_that(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        row, path = it.track("j-1", label="Old"), "jobs/main/j-1"
        read = (await ask(it, "GET", path)).headers["etag"]
        look = Bookkeeping(
            job=row, last_polled_at=to_stamp(NOW), next_poll_at=to_stamp(NOW), polls=3, last_error=None
        )
        it.store.write_now(lambda tx: tx.jobs.checkpoint([look]))
        assert (await ask(it, "GET", path)).headers["etag"] == read, "a poll is no change"
        done = await ask(it, "PATCH", path, {"note": "mine"}, If_Match=read)
        assert (done.status, done.headers["etag"] != read) == (200, True)
        for method, body in (("PATCH", {"note": "theirs"}), ("DELETE", None)):
            told = await ask(it, method, path, body, If_Match=read)
            assert (told.status, told.headers["content-type"]) == (412, PROBLEM)
            assert told.headers["etag"] == done.headers["etag"]
        assert (it.job("j-1").note, it.job("j-1").tracking) == ("mine", Tracking.ACTIVE)
        weak = f'"other", W/{done.headers["etag"]}'
        assert (await ask(it, "PATCH", path, {"note": "seen"}, If_Match=weak)).status == 200
        assert (await ask(it, "PATCH", path, {"note": "any"}, If_Match="*")).status == 200
        seen = (await ask(it, "GET", path)).headers["etag"]
        end(it, row, "FAILED")
        assert (await ask(it, "PATCH", path, {"batch": "b"}, If_Match=seen)).status == 412, "it has ended since"
        assert (await ask(it, "PATCH", "jobs/main/none", {}, If_Match=seen)).status == 404
        seen = (await ask(it, "GET", path)).headers["etag"]
        assert (await ask(it, "DELETE", path, If_Match=seen)).status == 200


@pytest.mark.parametrize("change", [{"label": "x"}, {"tags": ["x"]}, {"batch": "x"}, {"note": "x"}])
async def test_every_change_of_a_job_gives_it_another_version(tmp_path: Path, change: dict[str, Any]) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1")
        read = (await ask(it, "GET", "jobs/main/j-1")).headers["etag"]
        assert (await ask(it, "PATCH", "jobs/main/j-1", change)).headers["etag"] != read


async def test_a_job_that_was_stopped_can_be_changed_and_stays_stopped(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1")
        told = await ask(it, "DELETE", "jobs/main/j-1")
        assert told.json() == {"project": "main", "job_id": "j-1", "tracking": "active", "stopped": True}
        await it.heard(lambda news: [row.name for row in news.rows] == ["track"] * 2)
        assert (await ask(it, "DELETE", "jobs/main/j-1")).json()["stopped"] is False
        assert (await ask(it, "PATCH", "jobs/main/j-1", {"batch": "b"})).json()["tracking"] == "stopped"


async def test_a_job_is_asked_about_now(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1")
        told = await ask(it, "POST", "jobs/main/j-1/ask")
        assert told.json() == {"project": "main", "job_id": "j-1", "watched": False}
        it.watched.add((MAIN, "j-1"))
        assert (await ask(it, "POST", "jobs/main/j-1/ask")).json()["watched"] is True
        assert it.hints == [(MAIN, "j-1")] * 2
        assert [each["what"] for each in (await got(it, "jobs/main/j-1"))["actions"]] == ["ask", "ask"]
        assert (await ask(it, "POST", "jobs/main/none/ask")).status == 404


async def test_transitions_are_listed_in_order(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        row = it.track("j-1")
        end(it, row, "PROCESSING")
        end(it, row, "SUCCEED")
        found = await pages(it, "jobs/main/j-1/transitions?")
        assert [(each["from"], each["to"]) for each in found] == [(None, "PROCESSING"), ("PROCESSING", "SUCCEED")]


def dead(it: Desk, row: int) -> list[int]:
    """End a job whose alerts cannot be sent; return their ids, those of channel A first."""
    end(it, row, "FAILED")

    def give_up(tx: Transaction) -> list[int]:
        ids = []
        for channel in (A, B):
            claimed = tx.outbox.claim(channel, now=NOW)
            assert claimed is not None
            tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.DEAD, reason="no", status_code=400), at=NOW)
            ids.append(claimed.delivery.id)
        return ids

    return it.store.write_now(give_up)


async def test_deliveries_are_listed_retried_canceled_and_sent_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        of_a, of_b = dead(it, it.track("j-1", batch="b"))
        [shown, _] = found = await pages(it, "deliveries?status=dead&sort=oldest&limit=1")
        assert [each["id"] for each in found] == [of_a, of_b]
        assert (shown["job_id"], shown["why"], shown["tries"][0]["status_code"]) == ("j-1", "no", 400)
        assert shown == await got(it, f"deliveries/{of_a}")
        assert len(await pages(it, f"deliveries?channel={A}&project=main&event=failed&batch=b&q=j-1&limit=9")) == 1
        assert await pages(it, "deliveries?batch=c&limit=9") == []
        assert (await ask(it, "POST", f"deliveries/{of_a}/retry")).json()["status"] == "pending"
        assert (await ask(it, "POST", f"deliveries/{of_b}/cancel")).json()["status"] == "canceled"
        await it.heard(lambda news: (news.rows[-1].row, news.rows[-1].name) == (of_a, A))
        told = await ask(it, "POST", f"deliveries/{of_a}/resend")
        assert (told.status, "not sent yet" in told.json()["detail"]) == (422, True)

        def send(tx: Transaction) -> None:
            claimed = tx.outbox.claim(A, now=NOW)
            assert claimed is not None
            tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.SENT, reason="ok", status_code=200), at=NOW)

        it.store.write_now(send)
        assert (await ask(it, "POST", f"deliveries/{of_a}/resend")).json() == {"count": 1}
        assert (await ask(it, "POST", f"deliveries/{of_a}/resend", {"channel": "none"})).status == 422
        assert (await ask(it, "POST", f"deliveries/{of_a}/resend", {"channel": str(A)})).status == 200
        for path in ("deliveries/99", "deliveries/0", "deliveries/x"):
            assert (await ask(it, "GET", path)).status in (404, 422)
        for what in ("retry", "cancel", "resend"):
            assert (await ask(it, "POST", f"deliveries/99/{what}")).status == 404
        rows = it.store.read(lambda tx: tx.actions.page(limit=9)).rows
        assert [row.what for row in rows] == ["resend", "resend", "cancel", "retry"]


async def test_what_fits_is_retried_only_if_it_is_as_many_as_expected(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for n in range(3):
            dead(it, it.track(f"j-{n}"))
        told = await ask(it, "POST", f"deliveries/retry?channel={A}&expect=2")
        assert (told.status, "3 deliveries fit, not 2" in told.json()["detail"]) == (409, True)
        assert len(await pages(it, "deliveries?status=dead&limit=9")) == 6
        assert (await ask(it, "POST", f"deliveries/retry?channel={A}&expect=3")).json() == {"count": 3}
        assert (await ask(it, "POST", "deliveries/retry?status=sent&expect=0")).json() == {"count": 0}
        assert (await ask(it, "POST", "deliveries/retry?expect=3")).json() == {"count": 3}
        assert (await ask(it, "POST", "deliveries/retry")).status == 422, "the number is required"


async def test_a_channel_is_tested_and_releases_what_it_holds(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1")
        end(it, it.job("j-1").id, "FAILED")

        def hold(tx: Transaction) -> None:
            claimed = tx.outbox.claim(A, now=NOW)
            assert claimed is not None
            held = Outcome(kind=AttemptOutcome.HELD, reason="revoked", status_code=401, due_at=NOW)
            tx.outbox.finish(claimed, held, at=NOW)

        it.store.write_now(hold)
        [shown, _] = await pages(it, "channels?")
        assert (shown["channel"], shown["held"], shown["held_since"]) == (A, 1, "2026-03-01T12:00:00.000Z")
        assert shown == await got(it, f"channels/{A}")
        it.refusing.add(A)
        told = (await ask(it, "POST", f"channels/{A}/test")).json()
        assert told == {"sent": False, "reason": "refused", "seconds": 0.5, "count": 0}
        it.refusing.clear()
        assert (await ask(it, "POST", f"channels/{A}/test")).json()["count"] == 1
        assert (await ask(it, "POST", f"channels/{A}/release")).json() == {"count": 0}
        assert it.tests == [A, A]
        for path in ("channels/none/test", "channels/none/release"):
            assert (await ask(it, "POST", path)).status == 404
        assert (await ask(it, "GET", "channels/none")).status == 404


async def test_batches_are_counted(tmp_path: Path) -> None:
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        for n in range(3):
            it.track(f"j-{n}", batch=f"b-{n % 2}")
        end(it, it.job("j-0").id, "FAILED")
        found = await pages(it, "batches?limit=1")
        assert [(each["batch"], each["jobs"], each["ended"]) for each in found] == [("b-0", 2, 1), ("b-1", 1, 0)]
        assert (await got(it, "batches/main/b-0"))["failed"] == 1
        assert (await ask(it, "GET", "batches/other/b-0")).status == 404
        assert await pages(it, "batches?project=other&limit=1") == []


async def test_tokens_are_managed_with_a_token(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        made = (await ask(it, "POST", "tokens", {"name": "cms", "expires_at": "2026-03-02T12:00:00Z"})).json()
        assert (await it.ask("GET", "/api/v1/jobs", token=made["token"])).status == 200
        [listed] = await pages(it, "tokens?")
        assert (listed["name"], listed["scope"], listed["created_by"]) == ("cms", "read", "token:web.token")
        assert made["token"][14:] not in json.dumps(listed)
        assert (await ask(it, "POST", "tokens", {"name": "cms"})).status == 422
        [gone] = (await ask(it, "DELETE", f"tokens/{made['id']}")).json()["items"]
        assert gone["status"] == "revoked"
        assert (await it.ask("GET", "/api/v1/jobs", token=made["token"])).status == 401
        assert (await ask(it, "DELETE", "tokens/cms")).status == 404
