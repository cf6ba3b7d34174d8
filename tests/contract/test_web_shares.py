"""Shares of a batch: how one is made, what who has the address sees and what not, and how it ends."""

import re
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.jobs import ProjectName
from daemon.domain.sessions import is_secret, secret_digest
from daemon.domain.shares import MOST_OPEN, cover_number
from daemon.store import StoreError
from daemon.web.pages.batches import WALL
from daemon.web.pages.chinese import CHINESE
from daemon.web.pages.english import ENGLISH
from daemon.web.pages.rendering import HEADERS
from tests.contract.test_web_pages import LEADING, Reader
from tests.support.browsing import Browser, logged_in
from tests.support.hostile import names, whole
from tests.support.scene import NAMES, fill, picture
from tests.support.store import BOTH
from tests.support.web import MAIN, NOW, PUBLIC, TOKEN, Answer, Desk, desk

BATCH = "/batches/main/Spring%20campaign"
API = f"/api/v1{BATCH}/share"
DAY = 86400


async def made(it: Desk, body: object = None) -> dict[str, Any]:
    """Share the batch of the scene by the API."""
    told = await it.ask("POST", API, token=TOKEN, body={} if body is None else body)
    assert told.status == 200, told.body
    found: dict[str, Any] = told.json()
    return found


async def regroup(it: Desk, batch: str, *jobs: str) -> None:
    """Put jobs into another batch; all, if none are given."""
    for job in jobs or it.jobs():
        told = await it.ask("PATCH", f"/api/v1/jobs/main/{job}", token=TOKEN, body={"batch": batch})
        assert told.status == 200, told.body


def secret_of(share: dict[str, Any]) -> str:
    return str(share["url"]).rpartition("/")[2]


def texts(told: Answer) -> str:
    return " ".join(Reader(told.body.decode()).text.split())


def check_closed(told: Answer, why: str, *, status: int = 404) -> None:
    """The page says why, and nothing of the batch."""
    assert (told.status, why in told.body.decode()) == (status, True)
    assert "Spring" not in told.body.decode()
    assert "set-cookie" not in told.headers


async def test_what_who_has_the_address_sees(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        share = await made(it)
        assert share["url"].startswith(f"{PUBLIC}/share/")
        assert is_secret(secret_of(share))
        assert share["expires_at"] == "2026-03-08T12:00:00.000Z", "a week, unless it is said otherwise"
        told = await it.ask("GET", f"/share/{secret_of(share)}")
        assert told.status == 200
        assert {name: told.headers.get(name.lower()) for name in HEADERS} == dict(HEADERS)
        assert told.headers["x-robots-tag"] == "noindex, nofollow"
        assert told.headers["cache-control"] == "no-store"
        assert "set-cookie" not in told.headers
        page, seen = told.body.decode(), texts(told)
        assert '<meta name="robots" content="noindex, nofollow">' in page
        assert all(name in seen for name in NAMES)
        assert "Spring campaign" in seen
        assert "7 of 12 ended" in seen
        for state in ("In production", "Finished", "Failed", "Frozen", "Canceled", "Partly finished", "Waiting"):
            assert state in seen
        assert "As of 1 Mar 2026 12:00 UTC" in seen
        assert seen.count("Failed") == 1


async def test_it_tells_names_states_and_covers_only(tmp_path: Path) -> None:
    """Every field of each job has a mark; of these the page has the name alone. No address leads elsewhere."""
    async with desk(tmp_path) as it:
        fill(it, [*NAMES[:3], ""], foreign=[f"canary-{n}" for n in range(4)], url="https://v.example/canary.mp4")
        await regroup(it, "Spring campaign")
        secret = secret_of(await made(it))
        told = await it.ask("GET", f"/share/{secret}")
        page = told.body.decode()
        assert re.findall(r"canary[\w.-]*", page.replace("canary-3", "", 1)) == [], (
            "an unlabelled job has its name"
        )
        for text in (
            "licence",
            "0" * 31,
            ">main<",
            "MSS",
            "retake",
            "cli:ann",
            "/jobs",
            "/api",
            "<script",
            "<form",
        ):
            assert text not in page, text
        reader = Reader(page)
        links = [value for _, name, value in reader.attributes if name in LEADING]
        own = re.compile(rf"\.\./static/[\w.]+\?v=\w+|{re.escape(secret)}(\?[\w=&-]+|/cover/\d+)?")
        assert [link for link in links if own.fullmatch(link) is None] == []
        assert not reader.tags & {"nav", "form", "input", "script", "iframe"}


async def test_its_covers_are_those_of_the_batch_alone(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        secret = secret_of(await made(it))
        page = (await it.ask("GET", f"/share/{secret}")).body.decode()
        numbers = re.findall(rf'src="{secret}/cover/(\d+)"', page)
        assert len(numbers) == 5
        told = await it.ask("GET", f"/share/{secret}/cover/{numbers[0]}")
        assert (told.status, told.headers["content-type"], told.body) == (200, "image/webp", picture(1))
        assert "set-cookie" not in told.headers
        again = await it.ask(
            "GET", f"/share/{secret}/cover/{numbers[0]}", headers={"If-None-Match": told.headers["etag"]}
        )
        assert again.status == 304
        first = it.job(f"{1:032x}").id
        assert cover_number(secret, first) == int(numbers[0])
        await regroup(it, "Another", f"{1:032x}")
        running = it.job(f"{0:032x}").id
        for number in (
            *(numbers[0], cover_number(secret, running), cover_number(secret, 10**6), first, 2**62, 2**70, 0),
            *("x", "-1", ""),
        ):
            told = await it.ask("GET", f"/share/{secret}/cover/{number}")
            assert told.status == 404, number


async def test_a_wrong_address_is_unknown_and_an_expired_one_says_so(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        share = await made(it, {"for": DAY})
        secret = secret_of(share)
        for wrong in ("none", "A" * 43, secret[:-1], f"{secret}x", secret.swapcase()):
            check_closed(await it.ask("GET", f"/share/{wrong}"), ENGLISH.share_gone)
        number = re.findall(r"/cover/(\d+)", (await it.ask("GET", f"/share/{secret}")).body.decode())[0]
        it.clock.advance(DAY - 1)
        assert (await it.ask("GET", f"/share/{secret}")).status == 200
        it.clock.advance(1)
        check_closed(await it.ask("GET", f"/share/{secret}"), ENGLISH.share_over)
        assert (await it.ask("GET", f"/share/{secret}/cover/{number}")).status == 404


async def test_a_revoked_address_is_as_unknown_as_a_wrong_one(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        share, other = await made(it), await made(it)
        told = await it.ask("DELETE", f"/api/v1/shares/{share['id']}", token=TOKEN)
        assert (told.status, told.json()["status"], told.json()["revoked_at"]) == (
            200,
            "revoked",
            "2026-03-01T12:00:00.000Z",
        )
        check_closed(await it.ask("GET", f"/share/{secret_of(share)}"), ENGLISH.share_gone)
        assert (await it.ask("GET", f"/share/{secret_of(other)}")).status == 200
        for again in (share["id"], 99):
            assert (await it.ask("DELETE", f"/api/v1/shares/{again}", token=TOKEN)).status == 404
        acts = it.store.read(lambda tx: tx.actions.page(limit=9, subject="Spring campaign")).rows
        assert [(row.what, row.who, row.project) for row in acts] == [
            ("unshare", "token:web.token", "main"),
            ("share", "token:web.token", "main"),
            ("share", "token:web.token", "main"),
        ]
        assert secret_of(share) not in repr(acts)


async def test_the_list_of_shares(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        shares = [await made(it, {"for": 60 + n}) for n in range(5)]
        await it.ask("GET", f"/share/{secret_of(shares[4])}")
        await it.tasks.end(patience=10)
        it.clock.advance(61.0)
        told = await it.ask("GET", "/api/v1/shares?limit=2", token=TOKEN)
        first = told.json()
        assert [each["id"] for each in first["items"]] == [5, 4]
        assert first["items"][0] == {
            "id": 5,
            "project": "main",
            "batch": "Spring campaign",
            "status": "open",
            "created_at": "2026-03-01T12:00:00.000Z",
            "created_by": "token:web.token",
            "expires_at": "2026-03-01T12:01:04.000Z",
            "revoked_at": None,
            "used_at": "2026-03-01T12:00:00.000Z",
        }
        rest = (await it.ask("GET", f"/api/v1/shares?cursor={first['next']}", token=TOKEN)).json()
        assert [(each["id"], each["status"]) for each in rest["items"]] == [
            (3, "open"),
            (2, "expired"),
            (1, "expired"),
        ]
        assert rest["next"] is None
        assert not any(secret_of(share) in told.body.decode() for share in shares)
        [kept] = it.store.read(lambda tx: [tx.shares.find(secret_digest(secret_of(shares[0])))])
        assert kept is not None
        assert secret_of(shares[0]) not in repr(kept), "only its digest is kept"


@pytest.mark.parametrize("body", [{"for": 59}, {"for": 90 * DAY + 1}, {"for": "7d"}, {"days": 7}, [], None])
async def test_a_wrong_wish_makes_nothing(tmp_path: Path, body: object) -> None:
    async with desk(tmp_path) as it:
        fill(it, NAMES[:1])
        sent = b"" if body is None else body
        told = await it.ask("POST", API, token=TOKEN, body=sent)
        assert told.status in (400, 422), told.body
        assert it.store.read(lambda tx: tx.shares.page(limit=9)).rows == []


async def test_bounds(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it, NAMES[:1])
        assert (await it.ask("POST", "/api/v1/batches/main/none/share", token=TOKEN, body={})).status == 404
        for _ in range(MOST_OPEN):
            await made(it, {"for": 60})
        told = await it.ask("POST", API, token=TOKEN, body={})
        assert (told.status, "revoke one" in told.json()["detail"]) == (422, True)
        it.clock.advance(60.0)
        assert (await made(it, {"for": 90 * DAY}))["expires_at"] == "2026-05-30T12:01:00.000Z"


async def test_without_a_public_address_or_without_pages(tmp_path: Path) -> None:
    (tmp_path / "no").mkdir()
    async with desk(tmp_path, public_url=None) as it:
        fill(it, NAMES[:1])
        assert (await made(it))["url"].startswith(f"http://{it.web.address}/share/")
    async with desk(tmp_path / "no", pages=False) as it:
        fill(it, NAMES[:1])
        told = await it.ask("POST", API, token=TOKEN, body={})
        assert (told.status, "web.pages" in told.json()["detail"]) == (422, True)
        assert (await it.ask("GET", "/share/" + "A" * 43)).status == 404


async def test_a_long_batch_and_hostile_names(tmp_path: Path) -> None:
    corpus = [whole(name)[:200] for name in names()]
    async with desk(tmp_path) as it:
        fill(it, [f"x{corpus[n % len(corpus)]} {n}" for n in range(WALL + 20)])
        secret = secret_of(await made(it))
        told = await it.ask("GET", f"/share/{secret}?lang=zh-CN")
        found = re.search(r'rel="next" href="([^"]+)"', told.body.decode())
        assert found is not None
        onward = found[1].replace("&amp;", "&")
        assert re.fullmatch(rf"{secret}\?lang=zh-CN&after=\d+", onward)
        rest = await it.ask("GET", f"/share/{onward}")
        assert [each.body.decode().count("<li>") for each in (told, rest)] == [WALL, 20]
        for each in (told, rest):
            assert "<script" not in each.body.decode()
            assert not Reader(each.body.decode()).tags & {"b", "i", "svg", "a x", "iframe", "form"}
        for wrong in ("after=x", "after=-1", f"after={2**70}"):
            assert (await it.ask("GET", f"/share/{secret}?{wrong}")).status == 422, wrong
        assert (await it.ask("GET", f"/share/{secret}?after={2**62}")).status == 200


@pytest.mark.parametrize(
    ("accepted", "query", "language"),
    [
        ("", "", "en"),
        ("zh-CN", "", "zh-CN"),
        ("zh-CN", "?lang=en", "en"),
        ("", "?lang=zh-CN", "zh-CN"),
        ("", "?lang=x", "en"),
    ],
)
async def test_the_language(tmp_path: Path, accepted: str, query: str, language: str) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        secret = secret_of(await made(it))
        headers = {"Accept-Language": accepted, "Cookie": "wrapd_language=zh-CN; wrapd_zone=Asia%2FShanghai"}
        texts_of = CHINESE if language == "zh-CN" else ENGLISH
        for path, text in ((secret, texts_of.states["FAILED"]), ("x", texts_of.share_gone)):
            told = await it.ask("GET", f"/share/{path}{query}", headers=headers)
            assert told.headers["content-language"] == language
            assert f'<html lang="{language}">' in told.body.decode()
            assert text in told.body.decode()
            assert "UTC+8" not in told.body.decode()


async def test_it_follows_the_batch_and_ends_with_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it, NAMES[:2])
        secret = secret_of(await made(it))
        it.track("j-3", label="A later one", batch="Spring campaign")
        assert "A later one" in texts(await it.ask("GET", f"/share/{secret}"))
        await regroup(it, "Other")
        check_closed(await it.ask("GET", f"/share/{secret}"), ENGLISH.share_gone)


async def test_a_busy_database_is_no_wrong_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(tmp_path) as it:
        fill(it, NAMES[:2])
        secret = secret_of(await made(it))

        async def busy(work: object) -> None:
            raise StoreError("busy")

        monkeypatch.setattr(it.store, "read_async", busy)
        check_closed(await it.ask("GET", f"/share/{secret}"), ENGLISH.share_away, status=503)


async def test_it_is_made_and_revoked_on_the_page_of_the_batch(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        browser = await logged_in(it, TOKEN)
        assert (await browser.send(f"{BATCH}/share", days="5")).status == 422
        told = await browser.send(f"{BATCH}/share", days="30")
        assert (told.status, told.headers["cache-control"]) == (200, "no-store")
        found = re.search(rf'value="{PUBLIC}(/share/[\w-]+)"', told.body.decode())
        assert found is not None
        assert f'name="next" value="{BATCH}"' in told.body.decode(), "where another language leads"
        assert (await Browser(it).get(found[1])).status == 200
        page = (await browser.get(BATCH)).body.decode()
        assert found[1] not in page
        assert "31 Mar 12:00 by session:web.token" in page
        other = await browser.send("/batches/main/none/unshare", share="1")
        assert (other.status, (await browser.send(f"{BATCH}/unshare", share="2")).status) == (404, 404)
        told = await browser.send(f"{BATCH}/unshare", share="1")
        assert told.headers["location"] == f"{BATCH}?done=unshared"
        assert ENGLISH.done["unshared"] in (await browser.get(f"{BATCH}?done=unshared")).body.decode()
        check_closed(await Browser(it).get(found[1]), ENGLISH.share_gone)


async def test_shares_follow_jobs_that_move_to_another_project(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it, NAMES[:2])
        secret = secret_of(await made(it))
        new = ProjectName("moved")
        it.store.write_now(lambda tx: tx.moves.jobs(MAIN, new, at=NOW, routing=BOTH))
        assert NAMES[0] in texts(await it.ask("GET", f"/share/{secret}"))
