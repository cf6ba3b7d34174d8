"""The filters of the page of jobs, what people do to several jobs at once, and about what needs them."""

import csv
import io
import re
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest

from daemon.commands import pause
from daemon.commands.tokens import create_token
from daemon.domain.events import Event
from daemon.domain.jobs import Asset, Tracking
from daemon.domain.tokens import ApiScope
from daemon.store import AttemptOutcome, DeliveryStatus, Outcome, Transaction
from daemon.web.pages.bulk import MOST_MUTED
from daemon.web.pages.english import ENGLISH
from tests.contract.test_web_api import dead
from tests.contract.test_web_pages import Reader, check_inert
from tests.contract.test_web_tracking import end
from tests.support.browsing import Browser, logged_in
from tests.support.hostile import names, whole
from tests.support.scene import NAMES, WHO, fill
from tests.support.store import SILENT, A, B, record, request, track
from tests.support.web import MAIN, NOW, TOKEN, Desk, desk

BULK = "/jobs/bulk"
TAGS = {
    *("html", "head", "body", "meta", "title", "link", "script", "header", "nav", "main", "footer", "div", "a"),
    *("p", "h1", "ul", "li", "bdi", "form", "input", "button", "label", "select", "option"),
}


def keys(page: str) -> list[str]:
    return re.findall(r'data-key="job-main/(\w+)"', page)


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the last form of a page."""
    form = page.rpartition("<form")[2]
    return {
        name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
    }


async def confirmed(browser: Browser, path: str, **more: str) -> str:
    """Confirm what a page asks; where the browser is sent."""
    told = await browser.get(path)
    assert told.status == 200, told.body
    done = await browser.send(BULK, **{**hidden(told.body.decode()), **more})
    assert done.status == 303, done.body
    return done.headers["location"]


def acts(it: Desk) -> list[tuple[str, str | None, int | None, str]]:
    rows = it.store.read(lambda tx: tx.actions.page(limit=100)).rows
    return [
        (str(row.what), row.subject, row.count, row.who)
        for row in rows
        if row.who.startswith("session") and row.what != "login"
    ]


async def test_each_filter_finds_what_the_api_finds(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        photo = request(f"{99:032x}", kind="photo", label="A photo")
        it.store.write_now(lambda tx: tx.jobs.track(photo, at=NOW - timedelta(days=2)))
        browser = await logged_in(it, TOKEN)
        for query, number in (
            ("kind=photo", 1),
            ("kind=avatar&show=failed", 1),
            ("since=24h", 12),
            ("since=7d&sort=oldest&tag=spring", 8),
            ("since=2026-03-01", 12),
            ("since=24h&day=2026-03-02", 0),
            ("sort=oldest", 13),
            ("sort=changed&q=price", 1),
            ("batch=Spring+campaign&kind=avatar&show=finished", 4),
        ):
            page = (await browser.get(f"/jobs?{query}")).body.decode()
            shown = keys(page)
            assert len(shown) == number, query
            seen = Reader(page)
            links = [
                value for tag, name, value in seen.attributes if tag == "a" and value.startswith("/api/v1/jobs?")
            ]
            assert len(links) == 2, query
            for link in links:
                told = await browser.get(link)
                text = told.body.decode("utf-8-sig")
                found = csv.DictReader(io.StringIO(text, newline="")) if "excel" in link else told.json()["items"]
                assert [each["job_id"] for each in found] == shown, link
            assert check_inert(page)
        for wrong in ("since=yesterday", "sort=best", "since=9999999-01-01", f"q={'x' * 201}", "number=x"):
            assert (await browser.get(f"/jobs?{wrong}")).status == 422, wrong


async def test_the_filters_stay_in_every_address(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it, [f"{NAMES[n % 12]} {n}" for n in range(120)])
        browser = await logged_in(it, TOKEN)
        query = "batch=Spring+campaign&kind=avatar&since=24h"
        page = (await browser.get(f"/jobs?{query}&sort=changed")).body.decode()
        addresses = [unescape(each) for each in re.findall(r'href="(/jobs\?[^"]*)"', page)]
        assert len(addresses) >= 8, "the chips, the other view and the next page"
        for each in addresses:
            assert query in each, each
        chips = page.partition('class="chips"')[2].partition("</nav>")[0]
        assert (chips.count("href="), chips.count("<b>")) == (9, 0), "no index keeps their numbers"
        seen, path = keys(page), next(each for each in addresses if "cursor=" in each)
        it.clock.advance(60.0)
        page = (await browser.get(path)).body.decode()
        assert len(set(seen) | set(keys(page))) == 100, "the next page, a minute later"
        assert '<details id="more-filters" open>' in page
        assert '<details id="more-filters">' in (await browser.get("/jobs?q=x&show=failed")).body.decode()


async def test_what_is_chosen_is_asked_about_muted_untracked_and_sent(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        running, other, ended = (it.job(f"{number:032x}") for number in (0, 6, 1))
        chosen = f"of=chosen&job={running.id}&job={other.id}&job={ended.id}&job=999999&job=x"
        browser = await logged_in(it, TOKEN)
        page = (await browser.get(f"{BULK}?what=ask&{chosen}&show=running")).body.decode()
        assert "Jobs to ask about: 2" in page, "one has ended"
        assert Reader(page).text.count("Opening words") == 1
        assert acts(it) == []
        back = await confirmed(browser, f"{BULK}?what=ask&{chosen}&show=running&view=wall")
        assert back == "/jobs?show=running&view=wall&done=ask&number=2"
        assert it.hints == [("main", running.job_id), ("main", other.job_id)]
        assert ENGLISH.bulk_done["ask"].format(n=2) in (await browser.get(back)).body.decode()
        mute = f"{BULK}?what=mute&{chosen}"
        assert (await confirmed(browser, mute, hours="24", comment="retakes")).endswith("done=mute&number=3")
        mutes = it.store.read(lambda tx: tx.mutes.list())
        assert {(each.subject, each.comment, each.until) for each in mutes} == {
            (each.job_id, "retakes", NOW + timedelta(days=1)) for each in (running, other, ended)
        }
        for form in ({"hours": "5", "comment": "x"}, {"hours": "24", "comment": " "}, {}):
            fields = hidden((await browser.get(mute)).body.decode())
            assert (await browser.send(BULK, **{**fields, **form})).status == 422, form
        assert len(it.store.read(lambda tx: tx.mutes.list())) == 3
        assert (await confirmed(browser, f"{BULK}?what=untrack&{chosen}")).endswith("number=2")
        assert it.job(running.job_id).tracking is it.job(other.job_id).tracking is Tracking.STOPPED
        assert it.job(ended.job_id).tracking is Tracking.FINISHED
        page = (await browser.get(f"{BULK}?what=untrack&{chosen}")).body.decode()
        assert ENGLISH.bulk_none["untrack"] in page
        assert "<form" not in page.partition("<main")[2]
        assert acts(it) == [
            ("untrack", None, 2, "session:web.token"),
            *[
                ("mute", each.job_id, alerts, "session:web.token")
                for each, alerts in ((ended, 2), (other, 0), (running, 0))
            ],
            ("ask", None, 2, "session:web.token"),
        ]


async def test_failed_alerts_are_sent_for_the_chosen_and_for_all(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        browser = await logged_in(it, TOKEN)
        rows = [it.track(f"j-{number}", label=f"Film {number}") for number in range(3)]
        first = dead(it, rows[0])
        others = dead(it, rows[1])
        page = (await browser.get(f"{BULK}?what=retry&of=chosen&job={rows[0]}&job={rows[2]}")).body.decode()
        assert "Alerts to send: 2." in page
        assert "Film 0" in page
        assert "Film 2" not in page, "it has no such alert"
        assert (await confirmed(browser, f"{BULK}?what=retry&of=chosen&job={rows[0]}")).endswith("number=2")

        def statuses() -> list[DeliveryStatus]:
            found = [it.store.read(lambda tx, each=each: tx.deliveries.get(each)) for each in (*first, *others)]
            return [row.status for row in found if row is not None]

        assert statuses() == [DeliveryStatus.PENDING] * 2 + [DeliveryStatus.DEAD] * 2
        assert (await confirmed(browser, f"{BULK}?what=retry&of=all&show=failed")).endswith("number=2")
        assert statuses() == [DeliveryStatus.PENDING] * 4
        assert ENGLISH.bulk_none["retry"] in (await browser.get(f"{BULK}?what=retry&of=all")).body.decode()


async def test_all_that_fit_are_changed_only_if_they_are_as_many(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        browser = await logged_in(it, TOKEN)
        page = (await browser.get("/jobs?tag=spring&show=running")).body.decode()
        assert ENGLISH.all_that_fit.format(n=1) in page
        fields = hidden((await browser.get(f"{BULK}?what=ask&of=all&tag=spring")).body.decode())
        assert fields == {"what": "ask", "expect": "3", "of": "all", "tag": "spring", "csrf": fields["csrf"]}
        end(it, it.job(f"{4:032x}").id, "CANCELED")
        told = await browser.send(BULK, **fields)
        page = told.body.decode()
        assert told.status == 409
        assert ENGLISH.bulk_changed.format(before=3, now=2) in page
        assert it.hints == []
        assert acts(it) == []
        again = await browser.send(BULK, **hidden(page))
        assert again.headers["location"] == "/jobs?tag=spring&done=ask&number=2"
        assert len(it.hints) == 2
        assert (await browser.send(BULK, **{**fields, "expect": ""})).status == 409
        assert (
            ENGLISH.bulk_none["ask"] in (await browser.get(f"{BULK}?what=ask&of=all&show=finished")).body.decode()
        )
        search = await confirmed(browser, f"{BULK}?what=mute&of=all&q=price", hours="1", comment="x")
        assert search == "/jobs?q=price&done=mute&number=1"


async def test_more_than_can_be_done_at_once_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        requests = [request(f"j-{n:04}", tags=("few",) if n < 3 else ()) for n in range(1001)]
        it.store.write_now(lambda tx: tx.jobs.track_many(requests, at=NOW))
        browser = await logged_in(it, TOKEN)
        for what, most in (("ask", 1000), ("mute", MOST_MUTED)):
            told = await browser.get(f"{BULK}?what={what}&of=all")
            assert told.status == 422
            assert f"more than {most} jobs fit" in told.body.decode()
        assert 'name="expect" value="3"' in (await browser.get(f"{BULK}?what=ask&of=all&tag=few")).body.decode()
        for wrong in ("what=prune&of=all", "of=all", "what=ask&of=all&sort=x"):
            assert (await browser.get(f"{BULK}?{wrong}")).status == 422, wrong


async def test_hostile_names_on_the_page_to_confirm(tmp_path: Path) -> None:
    corpus = [whole(name)[:200] for name in names()]
    async with desk(tmp_path) as it:
        fill(it, [f"x{text}" for text in corpus], foreign=corpus, url="javascript:alert(1)")
        browser = await logged_in(it, TOKEN)
        ids = [it.job(job_id).id for job_id in it.jobs()]
        for start in range(0, len(ids), 8):
            chosen = "&".join(f"job={each}" for each in ids[start : start + 8])
            page = (await browser.get(f"{BULK}?what=mute&of=chosen&{chosen}")).body.decode()
            assert check_inert(page).tags <= TAGS
        for row in it.jobs().values():
            page = (await browser.get(f"/jobs?batch={'x'}&tag={'y'}&q={row.job_id}")).body.decode()
            check_inert(page)


async def test_who_only_reads_chooses_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        text = it.store.write_now(
            lambda tx: create_token(tx, "ann", ApiScope.READ, random=bytes(25), who=WHO, at=NOW)
        ).text
        reader = await logged_in(it, text)
        for path in ("/jobs", "/jobs?view=wall"):
            page = (await reader.get(path)).body.decode()
            assert 'type="checkbox"' not in page
            assert BULK not in page
        assert (await reader.get(f"{BULK}?what=ask&of=all")).status == 403


# What needs a person


def troubles(tx: Transaction) -> None:
    """An alert that was given up on channel A, one that B holds, a job that expired, a link that dies, a pause."""
    expired = request("j-expired")
    tx.jobs.track(expired, at=NOW - timedelta(days=1))
    tx.jobs.record_end(tx.jobs.find(expired.job_id)[0].id, Event.EXPIRED, at=NOW, routing=SILENT, reason="x")
    dies = int((NOW + timedelta(hours=2)).timestamp())
    asset = Asset(preview_url=f"https://h.example.com/a.mp4?Expires={dies}&Signature=x")
    record(tx, track(tx, "j-dying"), "SUCCEED", asset=asset, at=NOW, due_at=NOW)
    for channel, kind, due in (
        (A, AttemptOutcome.SENT, None),
        (B, AttemptOutcome.HELD, NOW + timedelta(hours=1)),
    ):
        claimed = tx.outbox.claim(channel, now=NOW)
        assert claimed is not None
        tx.outbox.finish(claimed, Outcome(kind=kind, reason="no", status_code=400, due_at=due), at=NOW)
    record(tx, track(tx, "j-failed"), "FAILED", at=NOW, due_at=NOW)
    claimed = tx.outbox.claim(A, now=NOW)
    assert claimed is not None
    tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.DEAD, reason="no", status_code=400), at=NOW)
    pause(tx, MAIN, who=WHO, at=NOW - timedelta(days=2))


async def test_each_need_has_its_act(tmp_path: Path) -> None:
    """A form on the overview, whose act takes it off the list or shows that it was done."""
    async with desk(tmp_path) as it:
        browser = await logged_in(it, TOKEN)
        it.store.write_now(troubles)
        kinds = {each["kind"] for each in (await browser.get("/api/v1/needs")).json()["items"]}
        assert kinds == {"channel_refused", "dead_alerts", "failed", "expired", "link_dying", "paused"}
        page = (await browser.get("/")).body.decode()
        forms = re.findall(r'<form method="post" action="(/needs/\w+)">(.*?)</form>', page)
        assert len(forms) == 5
        assert page.count(ENGLISH.by_command) == 0
        for action, inner in forms:
            fields = {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', inner)}
            told = await browser.send(action, **fields)
            assert told.status == 303, (action, told.body)
            done = told.headers["location"].removeprefix("/?done=")
            assert ENGLISH.done[done] in (await browser.get(told.headers["location"])).body.decode()
        left = {each["kind"] for each in (await browser.get("/api/v1/needs")).json()["items"]}
        assert left <= {"failed", "link_dying"}
        assert it.job("j-expired").tracking is Tracking.ACTIVE
        found = it.store.read(lambda tx: tx.deliveries.list())
        assert {(row.channel, row.status) for row in found} == {
            (A, DeliveryStatus.SENT),
            (A, DeliveryStatus.PENDING),
            (B, DeliveryStatus.PENDING),
        }
        assert sorted(what for what, *_ in acts(it)) == ["release", "resend", "resume", "retry", "track"]


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("retry", {"channel": "none"}, 404),
        ("release", {}, 404),
        ("resume", {"project": "none"}, 404),
        ("track", {"project": "main", "job_id": "none"}, 404),
        ("resend", {"project": "none", "job_id": "j-1"}, 404),
        ("resend", {"project": "main", "job_id": "j-1"}, 422),
    ],
)
async def test_an_act_for_what_is_not_there_changes_nothing(
    tmp_path: Path, path: str, form: dict[str, str], status: int
) -> None:
    async with desk(tmp_path) as it:
        it.track("j-1")
        browser = await logged_in(it, TOKEN)
        told = await browser.send(f"/needs/{path}", **form)
        assert told.status == status
        assert acts(it) == []


async def test_a_channel_is_released_by_who_may_do_everything(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.store.write_now(troubles)
        text = it.store.write_now(
            lambda tx: create_token(tx, "ann", ApiScope.WRITE, random=bytes(25), who=WHO, at=NOW)
        ).text
        writer = await logged_in(it, text)
        page = (await writer.get("/")).body.decode()
        assert "/needs/release" not in page
        assert "wrapd channels test b" in page
        assert (await writer.send("/needs/release", channel=str(B))).status == 403


# The job's page


async def test_the_last_answer_is_shown_and_the_batch_is_a_link(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        row = it.track("j-1", batch="week 12/a&b")
        end(it, row, "PROCESSING", answer='{"name":"<b>\u202e</b>","deep":{"list":[1,null]},"text":"春节\\n2"}')
        browser = await logged_in(it, TOKEN)
        page = (await browser.get("/jobs/main/j-1")).body.decode()
        assert 'href="/batches/main/week%2012%2Fa%26b"' in page
        shown = re.search(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
        assert shown is not None
        assert unescape(shown[1]).split("\n") == [
            "{",
            '  "name": "<b></b>",',
            '  "deep": {',
            '    "list": [',
            "      1,",
            "      null",
            "    ]",
            "  },",
            '  "text": "春节\\n2"',
            "}",
        ]
        assert "<b></b>" not in page
        check_inert(page)
        it.track("j-2")
        assert "<pre" not in (await browser.get("/jobs/main/j-2")).body.decode()
