"""The pages of batches over a real socket: the list, the wall of one, its forms, and names of any characters."""

import gzip
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from daemon import views
from daemon.commands.tokens import create_token
from daemon.domain.jobs import JobId, ProjectName
from daemon.domain.production import Unended
from daemon.domain.tokens import ApiScope
from daemon.store import Batch, TrackRequest, Transaction
from daemon.web.api.batches import batch_outlooks
from daemon.web.pages.batches import ROWS, WALL
from daemon.web.pages.english import ENGLISH
from daemon.web.pages.wording import batch_path
from tests.contract.test_web_pages import Reader, check_inert
from tests.contract.test_web_tracking import end
from tests.support import many
from tests.support.browsing import logged_in
from tests.support.hostile import names, whole
from tests.support.scene import NAMES, WHO, fill, tag
from tests.support.web import MAIN, NOW, OTHER, TOKEN, Desk, desk, learned

SPRING = "/batches/main/Spring%20campaign"


def make(it: Desk, *batches: str, project: str = MAIN) -> None:
    """Track a job of each batch."""

    def work(tx: Transaction) -> None:
        for n, batch in enumerate(batches):
            job_id = JobId(f"{project}-{n}")
            wanted = TrackRequest(project=ProjectName(project), kind="avatar", job_id=job_id, batch=batch)
            tx.jobs.track(wanted, at=NOW - timedelta(minutes=n))

    it.store.write_now(work)


async def test_where_only_the_end_is_wanted_no_more_is_read_and_the_same_is_said(tmp_path: Path) -> None:
    many.make(tmp_path / "web.db", 600, now=NOW, tracked=0.3)
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        it.durations = learned()
        for n in range(3):
            end(it, it.track(f"begun-{n}", batch="begun"), "PROCESSING")

        def read(tx: Transaction) -> tuple[list[views.Batch], list[views.Batch], set[Batch]]:
            rows = tx.batches.page(limit=99).rows
            whole = list(map(views.batch, rows, batch_outlooks(tx, it.app.context, rows, NOW, most=500)))
            wanted: set[Batch] = set()
            unended = tx.batches.unended

            def noted(batches: Iterable[Batch], *, now: datetime) -> Mapping[Batch, list[Unended]]:
                wanted.update(some := list(batches))
                return unended(some, now=now)

            tx.batches.unended = noted
            ends = batch_outlooks(tx, it.app.context, rows, NOW, most=500, begun=True)
            return whole, list(map(views.batch, rows, ends)), wanted

        whole, ends, wanted = it.store.read(read)
    assert [replace(each, soonest_at=None) for each in whole if each.eta is None] == [
        each for each in ends if each.eta is None
    ]
    assert [each for each in whole if each.eta is not None] == [each for each in ends if each.eta is not None]
    unfinished = {(each.project, each.batch) for each in whole if each.ended < each.jobs}
    assert (MAIN, "begun") in wanted < unfinished
    assert {each.batch for each in ends if each.eta is not None} == {"begun"}
    assert "not in production yet" in str([each.eta_reason for each in ends])


async def test_the_list_says_how_far_each_is_and_until_when(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        browser = await logged_in(it, TOKEN)
        assert "No batches yet" in (await browser.get("/batches")).body.decode()
        fill(it)
        end(it, it.track("j-1", batch="Autumn"), "PROCESSING")
        page = (await browser.get("/batches")).body.decode()
        check_inert(page)
        rows = page.split("<tr role")[2:]
        assert [re.findall(r'href="([^"]+)"', row)[0] for row in rows] == ["/batches/main/Autumn", SPRING]
        seen = [" ".join(Reader(row).text.split()) for row in rows]
        assert re.search(r"Autumn 0 of 1 ended all by 12:\d\d-12:\d\d Since 12:00", seen[0]), seen
        assert "7 of 12 ended 1 failed 1 canceled" in seen[1]
        assert " Since 11:51" in seen[1], "since its first job was tracked"
        for path in ("/", f"/jobs/main/{0:032x}"):
            assert f'href="{SPRING}"' in (await browser.get(path)).body.decode(), path
        assert '<a href="/batches">' in (await browser.get("/jobs")).body.decode()


async def test_the_list_is_paged_and_filtered_by_project(tmp_path: Path) -> None:
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        make(it, *(f"b-{n}" for n in range(120)))
        make(it, "b-0", "alone", project=OTHER)
        browser = await logged_in(it, TOKEN)
        seen: list[str] = []
        path: str | None = "/batches?project=main"
        while path is not None:
            page = (await browser.get(path)).body.decode()
            seen.append(page)
            found = re.search(r'rel="next" href="([^"]+)"', page)
            path = None if found is None else found[1].replace("&amp;", "&")
        listed = [re.findall(r'data-key="batch-main/(b-\d+)"', page) for page in seen]
        assert [len(each) for each in listed] == [ROWS, ROWS, 20]
        assert [batch for each in listed for batch in each] == [f"b-{n}" for n in reversed(range(120))]
        assert "<option selected>main" in seen[2]
        page = (await browser.get("/batches?project=other")).body.decode()
        assert re.findall(r'data-key="batch-([^"]+)"', page) == ["other/alone", "other/b-0"]
        for wrong in ("/batches?cursor=x", f"/batches?project=other&cursor={quote('W10=')}"):
            assert (await browser.get(wrong)).status == 422


async def test_the_wall_has_covers_and_frames_that_name_what_is_missing(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        end(it, it.track("j-1", label="Without a cover", batch="Spring campaign"), "SUCCEED")
        browser = await logged_in(it, TOKEN)
        page = (await browser.get(SPRING)).body.decode()
        check_inert(page)
        tiles = [Reader(each) for each in page.partition('data-list="wall"')[2].split("<li ")[1:]]
        assert len(tiles) == 13
        words = [
            re.sub(r"\s+", " ", tile.text.split(f" {name}")[0]) for tile, name in zip(tiles, NAMES, strict=False)
        ]
        covered = [any(tag == "img" for tag in tile.tags) for tile in tiles]
        assert covered == [n in (1, 3, 5, 8, 11) for n in range(13)], "those that fill() gives a cover"
        for tile, state in ((0, "In production"), (2, "Failed"), (4, "Frozen"), (7, "Waiting"), (9, "Canceled")):
            assert state in tiles[tile].text, words
        assert ENGLISH.no_cover in tiles[12].text
        assert "Finished" in tiles[12].text
        assert "the avatar's licence has ended" in tiles[2].text
        head = " ".join(Reader(page.partition('data-key="head"')[2].partition("</div>")[0]).text.split())
        assert "8 of 13 ended" in head
        assert "1 failed" in head
        assert '<progress id="progress" max="13" value="8">' in page
        assert "/jobs?project=main&amp;batch=Spring+campaign" in page
        jobs = await browser.get("/jobs?project=main&batch=Spring+campaign")
        assert jobs.body.count(b"<tr role") == 14


async def test_a_long_wall_is_paged_and_light(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it, [f"{NAMES[n % 12]} {n}" for n in range(WALL + 30)])
        browser = await logged_in(it, TOKEN)
        told = await browser.ask("GET", SPRING, **{"Accept-Encoding": "gzip"})
        assert len(told.body) <= 15_000
        page = gzip.decompress(told.body).decode()
        found = re.search(r'rel="next" href="([^"]+)"', page)
        assert found is not None
        rest = (await browser.get(found[1].replace("&amp;", "&"))).body.decode()
        assert f'href="{SPRING}">{ENGLISH.first_of_wall}' in rest
        keys = [re.findall(r'data-key="job-main/(\w+)"', each) for each in (page, rest)]
        assert keys == [[f"{n:032x}" for n in range(WALL)], [f"{n:032x}" for n in range(WALL, WALL + 30)]]


@pytest.mark.parametrize("name", ["a/b", "/", "//x/", "100%", "%2F", "..", ".", "?#&;=+", "春节 ☃", "a'\"<b>"])
async def test_every_name_leads_to_its_batch(tmp_path: Path, name: str) -> None:
    async with desk(tmp_path) as it:
        make(it, name, "other")
        browser, path = await logged_in(it, TOKEN), batch_path("main", name)
        assert re.fullmatch(r"/batches/main/[\w.%~-]+", path)
        page = (await browser.get(path)).body.decode()
        assert Reader(page.partition("<h1>")[2].partition("</h1>")[0]).text == name
        links = [value for _, attribute, value in Reader((await browser.get("/batches")).body.decode()).attributes]
        assert path in links
        told = await browser.send(f"{path}/mute", hours="1", comment="later")
        assert (told.status, told.headers["location"]) == (303, f"{path}?done=muted")
        [row] = it.store.read(lambda tx: tx.mutes.list())
        assert row.subject == name
        assert (await it.ask("GET", f"/api/v1{path}", token=TOKEN)).json()["batch"] == name
        assert (await browser.send(f"{path}/share", days="7")).status == 200
        to_login = await it.ask("GET", path)
        assert to_login.headers["location"] == f"/login?next={quote(path, safe='')}"
        told = await browser.ask("POST", "/language", {"to": "zh-CN", "next": path})
        assert told.headers["location"] == path
        assert f'name="next" value="{path}"' in page, "what the form sends"


async def test_hostile_names_stay_text(tmp_path: Path) -> None:
    corpus = [whole(name)[:200] for name in names()]
    async with desk(tmp_path) as it:
        fill(it, [f"x{text}" for text in corpus], foreign=corpus, url="javascript:alert(1)")
        browser = await logged_in(it, TOKEN)
        page = (await browser.get("/batches")).body.decode()
        check_inert(page)
        paths = {
            path for _, name, path in Reader(page).attributes if name == "href" and path.startswith("/batches/")
        }
        assert len(paths) >= min(ROWS, len({tag(text, "Spring campaign") for text in corpus}))
        for path in sorted(paths):
            told = await browser.get(path)
            assert told.status == 200, path
            check_inert(told.body.decode())


async def test_what_people_do_to_a_batch(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        browser = await logged_in(it, TOKEN)
        for form in ({"hours": "5", "comment": "x"}, {"hours": "1"}, {}):
            assert (await browser.send(f"{SPRING}/mute", **form)).status == 422, form
        await browser.send(f"{SPRING}/mute", hours="4", comment="on set")
        page = (await browser.get(f"{SPRING}?done=muted")).body.decode()
        assert "on set (session:web.token)" in page
        assert ENGLISH.done["muted"] in page
        assert f">{ENGLISH.unmute}<" in page
        told = await browser.send(f"{SPRING}/unmute")
        assert told.headers["location"] == f"{SPRING}?done=unmuted"
        assert it.store.read(lambda tx: tx.mutes.of_batch(MAIN, "Spring campaign")) == []
        for path in ("mute", "unmute", "share", "unshare"):
            form = {"hours": "1", "days": "1", "comment": "x"}
            assert (await browser.send(f"/batches/main/none/{path}", **form)).status == 404, path
        assert (await browser.get("/batches/main/none")).status == 404
        acts = it.store.read(lambda tx: tx.actions.page(limit=9, subject="Spring campaign")).rows
        assert [(row.what, row.who) for row in acts] == [
            ("unmute", "session:web.token"),
            ("mute", "session:web.token"),
        ]


async def test_who_only_reads_sees_no_forms(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        text = it.store.write_now(
            lambda tx: create_token(tx, "ann", ApiScope.READ, random=bytes(25), who=WHO, at=NOW)
        ).text
        reader, writer = await logged_in(it, text), await logged_in(it, TOKEN)
        assert (await reader.get(SPRING)).body.count(b'name="csrf"') == 0
        assert (await writer.get(SPRING)).body.count(b'name="csrf"') == 2
