"""The pages of alerts, channels and projects over a real socket, without a browser."""

import gzip
import re
from pathlib import Path

import pytest

from daemon.commands.tokens import create_token
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import JobId
from daemon.domain.tokens import ApiScope
from daemon.store import DeliveryStatus, lists
from daemon.web.pages.chinese import CHINESE
from daemon.web.pages.deliveries import ROWS
from daemon.web.pages.english import ENGLISH
from tests.contract.test_web_pages import LEADING, Reader, check_inert
from tests.contract.test_web_tracking import end
from tests.support.browsing import Browser, logged_in
from tests.support.hostile import names, whole
from tests.support.scene import NAMES, WHO, deliver, fill, give_up
from tests.support.store import A, B
from tests.support.web import MAIN, NOW, OTHER, TOKEN, Desk, desk

LISTS = ("/deliveries", "/channels", "/projects")
FACTS = {
    "up": True,
    "rate": 10.0,
    "usage": 0.25,
    "requests": {"news": 20, "feed": 3},
    "late_seconds": 75.0,
    "feed": "distrusted",
    "feed_reason": "an end was missing",
}


def status(it: Desk, delivery: int) -> DeliveryStatus:
    row = it.store.read(lambda tx: tx.deliveries.get(delivery))
    assert row is not None
    return row.status


def rows(page: str) -> dict[int, str]:
    """The text of each row, by the id of its alert."""
    found = re.findall(r'<tr role="row" id="delivery-(\d+)".*?</tr>', page, re.DOTALL)
    parts = re.split(r'<tr role="row" id="delivery-\d+"', page)[1:]
    return {int(each): Reader(f"<tr {part}").text for each, part in zip(found, parts, strict=True)}


def only(it: Desk, wanted: DeliveryStatus, channel: str = A) -> int:
    """The one alert of this status."""
    [row] = it.store.read(
        lambda tx: [each for each in tx.deliveries.list(status=wanted) if each.channel == channel]
    )
    return row.id


async def text_of(browser: Browser, path: str) -> str:
    told = await browser.get(path)
    assert told.status == 200, (path, told.body)
    return told.body.decode()


async def reader_of(it: Desk, scope: ApiScope) -> Browser:
    """A browser with a token of this scope."""
    random = bytes([list(ApiScope).index(scope)]) * 25
    text = it.store.write_now(
        lambda tx: create_token(tx, f"t-{scope}", scope, random=random, who=WHO, at=NOW)
    ).text
    return await logged_in(it, text)


async def test_each_page_says_that_it_has_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path, projects=()) as it:
        context = it.app.context
        assert context is not None
        context.channels = {}
        browser = await logged_in(it, TOKEN)
        for path, said in zip(LISTS, ("deliveries_none", "channels_none", "projects_none"), strict=True):
            page = await text_of(browser, path)
            assert getattr(ENGLISH, said).partition("`")[0] in page, path
            assert "<table" not in page, path
        assert ENGLISH.deliveries_none_fit in await text_of(browser, "/deliveries?status=dead")


async def test_an_empty_page_that_is_not_the_last_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "EXAMINED", 1)
    monkeypatch.setattr("daemon.web.pages.jobs.ROWS", 1)
    monkeypatch.setattr("daemon.web.pages.deliveries.ROWS", 1)
    async with desk(tmp_path) as it:
        end(it, it.track("j-1", tags=("tv",), batch="b"), "SUCCEED")
        end(it, it.track("j-2"), "SUCCEED")
        browser = await logged_in(it, TOKEN)
        for path, so_far, none in (
            ("/jobs?q=j-1", ENGLISH.none_so_far, ENGLISH.none_fit),
            ("/jobs?tag=tv&kind=photo", ENGLISH.none_so_far, ENGLISH.none_fit),
            ("/jobs?kind=photo&sort=oldest", ENGLISH.none_so_far, ENGLISH.none_fit),
            ("/deliveries?q=j-1", ENGLISH.deliveries_none_so_far, ENGLISH.deliveries_none_fit),
        ):
            page = await text_of(browser, path)
            assert ('rel="next"' in page, so_far in page, none in page) == (True, True, False), path


async def test_a_row_says_what_became_of_its_alert(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        deliver(it)
        browser = await logged_in(it, TOKEN)
        page = await text_of(browser, "/deliveries")
        check_inert(page)
        seen = rows(page)
        assert list(seen) == sorted(seen, reverse=True), "newest first"
        dead, held = seen[only(it, DeliveryStatus.DEAD)], seen[only(it, DeliveryStatus.HELD, B)]
        assert "Given up" in dead
        assert "HTTP 400: the address takes no JSON" in dead
        assert re.search(r"Attempts \(1\)\s*12:00:00 given up · HTTP 400 · HTTP 400: the address", dead)
        assert re.search(r"Held\s+channel refused: HTTP 400", held)
        assert re.search(r"Next try\s+12:05:00", held)
        [job] = [each for each in it.jobs().values() if each.label == "The frozen one"]
        assert f'href="/jobs/main/{job.job_id}"><bdi>The frozen one</bdi>' in page
        for text, path in (
            ("Frozen", f"/deliveries?job={job.job_id}"),
            ("Finished", "/deliveries?event=succeeded"),
        ):
            assert set(re.findall(r"<b>([^<]+)</b>", await text_of(browser, path))) == {text}, path


async def test_filters_and_paging(tmp_path: Path) -> None:
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        fill(it, [f"{NAMES[n % 12]} {n}" for n in range(80)])
        deliver(it)
        browser = await logged_in(it, TOKEN)
        alerts = {row.id: row for row in it.store.read(lambda tx: tx.deliveries.list())}
        for query, fit in (
            ("", lambda row: True),
            ("?channel=a", lambda row: row.channel == A),
            ("?status=pending&project=main", lambda row: row.status is DeliveryStatus.PENDING),
            ("?project=other", lambda row: False),
            ("?tag=retail", lambda row: row.job is not None and (row.job - 1) % 3 == 2),
        ):
            seen: list[int] = []
            path: str | None = f"/deliveries{query}"
            while path is not None:
                page = await text_of(browser, path)
                seen += rows(page)
                found = re.search(r'rel="next" href="([^"]+)"', page)
                path = None if found is None else found[1].replace("&amp;", "&")
            assert sorted(seen) == sorted(each for each, row in alerts.items() if fit(row)), query
            assert len(seen) == len(set(seen)), query
        page = await text_of(browser, "/deliveries?status=dead&channel=a&q=parcel")
        assert 'value="parcel"' in page
        assert "<option selected>a</option>" in page
        assert re.search(r'status=dead[^>]*aria-current="true"', page)
        for wrong in ("status=x", "cursor=x", "since=x", "status=dead&cursor=x"):
            told = await browser.get(f"/deliveries?{wrong}")
            assert (told.status, told.headers["content-type"][:9]) == (422, "text/html"), wrong


async def test_one_alert_is_retried_canceled_and_sent_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        deliver(it)
        browser = await logged_in(it, TOKEN)
        dead, held = only(it, DeliveryStatus.DEAD), only(it, DeliveryStatus.HELD, B)
        sent = it.store.read(lambda tx: tx.deliveries.list(status=DeliveryStatus.SENT))[0].id
        for act, delivery, done, now in (
            ("retry", dead, "retried", DeliveryStatus.PENDING),
            ("retry", sent, "unchanged", DeliveryStatus.SENT),
            ("cancel", held, "canceled", DeliveryStatus.CANCELED),
            ("cancel", held, "unchanged", DeliveryStatus.CANCELED),
            ("resend", sent, "resent", DeliveryStatus.SENT),
        ):
            told = await browser.send(f"/deliveries/{delivery}/{act}?channel=a&job=%22x%26")
            where = f"/deliveries?channel=a&job=%22x%26&done={done}"
            assert (told.status, told.headers["location"]) == (303, where), act
            assert ENGLISH.done[done] in await text_of(browser, where)
            assert status(it, delivery) is now, act
        again = it.store.read(lambda tx: tx.deliveries.list())[0]
        assert again.facts["resent_from"] == sent
        for act in ("retry", "cancel", "resend"):
            assert (await browser.send(f"/deliveries/4711/{act}")).status == 404
        assert (await browser.send(f"/deliveries/{dead}/resend")).status == 422
        acts = it.store.read(lambda tx: tx.actions.page(limit=9)).rows
        assert {(row.what, row.who) for row in acts} >= {
            (what, "session:web.token") for what in ("retry", "cancel", "resend")
        }


async def test_all_that_fit_are_retried_if_they_are_as_many_as_the_page_said(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        deliver(it)
        browser = await logged_in(it, TOKEN)
        assert "Send the 2 that failed" in await text_of(browser, "/deliveries")
        assert "that failed" not in await text_of(browser, "/deliveries?status=sent")
        assert "that failed" not in await text_of(browser, "/deliveries?q=parcel"), "a search is not retried"
        listed = await text_of(browser, "/deliveries?channel=a")
        assert 'href="/deliveries/retry?channel=a">Send the 1 that failed' in listed
        assert 'project=main">Send those that failed' in await text_of(browser, "/deliveries?project=main")
        assert "Alerts to send: 2" in await text_of(browser, "/deliveries/retry?project=main")
        asked = await text_of(browser, "/deliveries/retry?channel=a")
        check_inert(asked)
        assert re.search(r'action="/deliveries/retry\?channel=a">.*name="expect" value="1"', asked)
        dead = only(it, DeliveryStatus.DEAD)
        told = await browser.send("/deliveries/retry?channel=a", expect="2")
        assert told.status == 409
        assert "Nothing was sent: 1 match now, not 2" in told.body.decode()
        assert status(it, dead) is DeliveryStatus.DEAD
        for wrong in ({"expect": "x"}, {"expect": "-1"}, {"expect": "1001"}, {"expect": "²"}, {}):
            assert (await browser.send("/deliveries/retry?channel=a", **wrong)).status == 422, wrong
        assert (await browser.send("/deliveries/retry?q=a", expect="1")).status == 422
        told = await browser.send("/deliveries/retry?channel=a", expect="1")
        assert (told.status, told.headers["location"]) == (303, "/deliveries?channel=a&done=retried_many&n=1")
        assert ENGLISH.retried_many.format(n=1) in await text_of(browser, told.headers["location"])
        assert status(it, dead) is DeliveryStatus.PENDING
        assert status(it, only(it, DeliveryStatus.HELD, B)) is DeliveryStatus.HELD
        assert ENGLISH.retry_none in await text_of(browser, "/deliveries/retry?channel=a")


async def test_more_than_can_be_retried_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        deliver(it)
        monkeypatch.setattr("daemon.web.api.bulk.MOST_AT_ONCE", 1)
        monkeypatch.setattr("daemon.web.pages.deliveries.MOST_AT_ONCE", 1)
        browser = await logged_in(it, TOKEN)
        assert "Send the 1+ that failed" in await text_of(browser, "/deliveries")
        asked = await text_of(browser, "/deliveries/retry")
        assert "More than 1 match" in asked
        assert 'name="expect"' not in asked


async def test_channels_say_how_they_are_and_are_tested_and_released(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        deliver(it)
        browser, writer = await logged_in(it, TOKEN), await reader_of(it, ApiScope.WRITE)
        page = await text_of(browser, "/channels")
        check_inert(page)
        of_a, of_b = (Reader(f"<tr{part}").text for part in page.split('<tr role="row" data-key')[1:])
        assert re.search(r"Accepts alerts\s+Sent\s+2 Sent", of_a)
        assert re.search(r"Given up\s+1 Given up\s+Last success\s+12:00", of_a)
        assert re.search(r"Refused since 12:00 HTTP 400: the address takes no JSON", of_b)
        assert re.search(r"Last success\s+Never\s+Next try\s+12:05:00", of_b)
        assert "/channels/b/release" in page
        assert "/channels/a/release" not in page
        assert b'name="csrf"' not in (await writer.get("/channels")).body
        assert (await writer.send("/channels/a/test")).status == 403
        it.refusing.add("b")
        told = await browser.send("/channels/b/test")
        assert told.status == 200
        assert ENGLISH.test_refused in told.body.decode()
        assert ">refused<" in told.body.decode()
        assert only(it, DeliveryStatus.HELD, B)
        assert 'name="next" value="/channels"' in told.body.decode()
        it.refusing.clear()
        told = await browser.send("/channels/b/test")
        assert it.tests == ["b", "b"]
        assert "The message arrived, in under 1 s." in told.body.decode()
        assert re.search(r"that are sent now: \d+\.", told.body.decode())
        assert it.store.read(lambda tx: tx.deliveries.list(status=DeliveryStatus.HELD)) == []
        told = await browser.send("/channels/b/release")
        assert (told.status, told.headers["location"]) == (303, "/channels?released=b")
        assert "What b held is sent now." in await text_of(browser, "/channels?released=b")
        assert "What x held" not in await text_of(browser, "/channels?released=x")
        for act in ("test", "release"):
            assert (await browser.send(f"/channels/none/{act}")).status == 404


async def test_projects_say_how_they_are_and_are_paused_and_resumed(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        browser, reader = await logged_in(it, TOKEN), await reader_of(it, ApiScope.READ)
        unknown = Reader(await text_of(browser, "/projects")).text
        assert re.search(r"Not known\s+Credentials\s+Not known", unknown)
        it.store.write_now(lambda tx: tx.statuses.set(MAIN, FACTS, NOW))
        page = await text_of(browser, "/projects")
        check_inert(page)
        seen = " ".join(Reader(page).text.split())
        for said in (
            "Running Credentials Accepted Tracked 5",
            "Latest answer late by 1 min 15 s",
            "At most 10 a second, 25% used",
            "In the last 10 seconds: feed of ends 3, jobs 20",
            "Not trusted an end was missing",
        ):
            assert said in seen, (said, seen)
        assert b'name="csrf"' not in (await reader.get("/projects")).body
        told = await browser.send("/projects/main/pause", comment=" the <b>budget</b>\nis short ")
        assert told.headers["location"] == "/projects?done=project_paused"
        page = await text_of(browser, told.headers["location"])
        assert ENGLISH.done["project_paused"] in page
        assert "since 12:00 by session:web.token" in page
        assert "the &lt;b&gt;budget&lt;/b&gt; is short" in page
        assert "/projects/main/pause" not in page
        told = await browser.send("/projects/main/resume")
        assert told.headers["location"] == "/projects?done=project_resumed"
        assert "/projects/main/pause" in await text_of(browser, "/projects")
        assert (await browser.send("/projects/main/pause", comment="x" * 501)).status == 422
        for act in ("pause", "resume"):
            assert (await browser.send(f"/projects/none/{act}")).status == 404
        refused = {"up": True, "refused_since": "2026-03-01T11:00:00Z", "down_since": 5, "requests": ["x"]}
        it.store.write_now(lambda tx: tx.statuses.set(MAIN, refused, NOW))
        assert re.search(r"Credentials refused\s+Credentials\s+Refused since 11:00", await text_of_all(browser))


async def text_of_all(browser: Browser) -> str:
    return Reader(await text_of(browser, "/projects")).text


async def test_who_only_reads_sees_no_forms(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        deliver(it)
        reader = await reader_of(it, ApiScope.READ)
        for path in LISTS:
            page = await text_of(reader, path)
            assert 'name="csrf"' not in page, path
            assert "formaction" not in page, path
            assert "that failed" not in page, path
        assert (await reader.get("/deliveries/retry")).status == 403


async def test_other_pages_lead_to_what_they_name(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        deliver(it)
        browser = await logged_in(it, TOKEN)
        page = await text_of(browser, "/")
        for path, name in (
            ("/deliveries?status=dead&amp;channel=a", "Channel <bdi>a</bdi>"),
            ("/channels", "Channel <bdi>b</bdi>"),
            ("/projects", "<bdi>main</bdi>"),
        ):
            assert f'<a href="{path}">{name}</a>' in page, path
        row = it.store.read(lambda tx: tx.deliveries.get(only(it, DeliveryStatus.DEAD)))
        assert row is not None
        assert row.job is not None
        job = it.store.read(lambda tx: tx.jobs.names([row.job or 0]))[row.job]
        page = await text_of(browser, f"/jobs/main/{job.job_id}")
        found = re.search(r'href="(/deliveries\?[^"#]+)#delivery-(\d+)"', page)
        assert found is not None
        listed = await text_of(browser, found[1].replace("&amp;", "&"))
        assert f'id="delivery-{found[2]}"' in listed
        assert len(rows(listed)) == len(it.store.read(lambda tx: tx.deliveries.list(job=row.job)))


async def test_alerts_about_projects_and_batches_lead_there(tmp_path: Path) -> None:
    assert ENGLISH.events.keys() == CHINESE.events.keys() == set(Event)
    async with desk(tmp_path) as it:
        alert = OperatorAlert(event=Event.PROJECT_DOWN, key="down/1", project=MAIN, facts={"reason": "x"})
        it.store.write_now(lambda tx: tx.outbox.add_operator(alert, channels=[A], at=NOW))
        end(it, it.track("j-1", batch="b & c"), "SUCCEED")
        page = await text_of(await logged_in(it, TOKEN), "/deliveries?channel=a")
        for said in (
            '<b>No answer</b> · <a href="/projects"><bdi>main</bdi></a>',
            '<b>Batch ended</b> · <a href="/batches/main/b%20%26%20c"><bdi>b &amp; c</bdi></a>',
        ):
            assert said in page, said


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x"])
async def test_hostile_texts_stay_text(tmp_path: Path, url: str) -> None:
    corpus = [whole(name)[:200] for name in names()]
    async with desk(tmp_path) as it:
        fill(it, [f"x{text}" for text in corpus], foreign=corpus, url=url)
        browser = await logged_in(it, TOKEN)
        deliver(it, reason=f"{corpus[0]} {url}")
        give_up(it, corpus[:40])
        for text in corpus[: 24 if url.startswith("javascript:") else 1]:  # a comment holds no address
            await browser.send("/projects/main/resume")
            await browser.send("/projects/main/pause", comment=text[:400])
            for path in (*LISTS, "/deliveries?q=%22%3E%3Cscript%3E", "/deliveries?job=%22%3E%3Cb%3E"):
                page = await text_of(browser, path)
                links = [value for _, name, value in check_inert(page).attributes if name in LEADING]
                assert not [link for link in links if not link.startswith(("/", "#"))], path
                assert "<b>x" not in page
                assert "<script>" not in page


async def test_the_weight_of_a_page(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it, [f"{NAMES[n % 12]} {n}" for n in range(60)])
        give_up(it, [f"HTTP 400: no such webhook, {number * 7919}" for number in range(40)])
        browser = await logged_in(it, TOKEN)
        told = await browser.ask("GET", "/deliveries", **{"Accept-Encoding": "gzip"})
        page = gzip.decompress(told.body).decode()
        assert page.count("<tr role") == ROWS + 1
        assert len(told.body) <= 15_000


async def test_a_job_of_another_project_is_not_meant(tmp_path: Path) -> None:
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        fill(it, NAMES[:4])
        browser = await logged_in(it, TOKEN)
        job = JobId(f"{1:032x}")
        assert rows(await text_of(browser, f"/deliveries?job={job}"))
        assert not rows(await text_of(browser, f"/deliveries?job={job}&project=other"))
        assert not rows(await text_of(browser, "/deliveries?job=none"))
