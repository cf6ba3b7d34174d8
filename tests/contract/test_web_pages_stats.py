"""The statistics over a real socket: the figures are those of the API, for each span and project, in both
languages."""

import itertools
import re
from datetime import timedelta
from pathlib import Path

from daemon.commands.tokens import create_token
from daemon.domain.tokens import ApiScope
from daemon.web.pages.chinese import CHINESE
from daemon.web.pages.english import ENGLISH
from tests.contract.test_web_pages import Reader, check_inert
from tests.support.browsing import Browser, logged_in
from tests.support.ended import end, fill_days
from tests.support.scene import WHO
from tests.support.web import MAIN, NOW, OTHER, TOKEN, desk

BOTH_PROJECTS = (MAIN, OTHER)


def figures(page: str) -> dict[str, str]:
    """The large figures of a page, by their names."""
    return {
        name: re.sub(r"<.*", "", value)
        for name, value in re.findall(r"<div><dt>([^<]*)</dt><dd>(.*?)</dd></div>", page)
    }


async def check_figures(browser: Browser, days: int, project: str | None) -> None:
    only = "" if project is None else f"&project={project}"
    page = (await browser.get(f"/stats?days={days}{only}")).body.decode()
    told = (await browser.get(f"/api/v1/stats?days={days}{only}")).json()["items"]
    states = [day["states"] for each in told for day in each["days"]]
    total = sum(sum(each.values()) for each in states)
    done = sum(each.get(state, 0) for each in states for state in ("SUCCEED", "PARTIAL_SUCCEED"))
    failed = sum(each.get("FAILED", 0) for each in states)
    shown = figures(page)
    assert shown[ENGLISH.stats_total] == str(total) != "0"
    assert shown[ENGLISH.stats_rate] == f"{100 * done / (done + failed):.0f}%"
    check_inert(page)
    rows = re.findall(r'<tr><th scope="row" class="number">\d+ \w+</th>((?:<td class="count-of">\d+</td>)+)', page)
    assert len(rows) == len({day["day"] for each in told for day in each["days"] if day["states"]})
    assert sum(int(number) for row in rows for number in re.findall(r"\d+", row)) == total
    assert (ENGLISH.stats_projects in page) == (project is None)
    assert page.count("<desc ") == 2, "of each plot but the bars within tables"


async def test_the_figures_are_those_of_the_api(tmp_path: Path) -> None:
    async with desk(tmp_path, projects=BOTH_PROJECTS) as it:
        fill_days(it, days=100)
        browser = await logged_in(it, TOKEN)
        for days, project in itertools.product((7, 30, 90), (None, "main", "other")):
            try:
                await check_figures(browser, days, project)
            except AssertionError as error:
                error.add_note(f"of {days} days of {project or 'all projects'}")
                raise


async def test_a_bar_is_as_high_as_its_jobs_are_many(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        it.store.write_now(
            lambda tx: [
                end(tx, f"job-{n}", state, at=NOW - timedelta(days=ago), delay=4.0)
                for n, (state, ago) in enumerate([("SUCCEED", 0), ("SUCCEED", 0), ("FAILED", 0), ("SUCCEED", 2)])
            ]
        )
        browser = await logged_in(it, TOKEN)
        page = (await browser.get("/stats?days=7")).body.decode()
        plot = page.partition(' role="img"')[2].partition("</svg>")[0]
        bars = re.findall(
            r'<rect class="(\w+)"[^>]* x="([\d.]+)%" y="([\d.]+)" width="[\d.]+%" height="([\d.]+)"', plot
        )
        assert [(tone, y, height) for tone, _, y, height in bars] == [
            ("done", "136.0", "40.0"),
            ("done", "96.0", "80.0"),
            ("bad", "56.0", "40.0"),
        ]
        assert float(bars[1][1]) > float(bars[0][1]), "later days are to the right"
        seen = Reader(page).text
        assert "half were seen within 4 s" in seen
        assert re.search(r"≤ 5 s\s*4", seen)


async def test_without_an_end_there_is_no_plot(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        browser = await logged_in(it, TOKEN)
        page = (await browser.get("/stats?days=90")).body.decode()
        assert ENGLISH.stats_none.format(n=90) in page
        assert "<svg" not in page
        it.store.write_now(lambda tx: end(tx, "old", "SUCCEED", at=NOW - timedelta(days=8)))
        assert ENGLISH.stats_none.format(n=7) in (await browser.get("/stats?days=7")).body.decode()
        assert ENGLISH.stats_none.format(n=30) not in (await browser.get("/stats")).body.decode()


async def test_an_end_before_the_tracking_is_no_delay(tmp_path: Path) -> None:
    """The clocks of the service and of wrapd differ, too: no delay is negative."""
    async with desk(tmp_path) as it:
        it.store.write_now(lambda tx: end(tx, "late", "SUCCEED", at=NOW, delay=-3.0))
        assert it.store.read(lambda tx: tx.figures.delays([MAIN], since=NOW - timedelta(days=1))) == [0.0]
        it.store.write_now(
            lambda tx: tx.jobs._connection.exec_driver_sql(
                "UPDATE jobs SET tracked_at = state_since, ended_at = ended_at - 60000000"
            )
        )
        assert it.store.read(lambda tx: tx.figures.delays([MAIN], since=NOW - timedelta(days=1))) == []
        assert it.store.read(lambda tx: tx.figures.delays([MAIN], since=NOW + timedelta(days=1))) == []
        page = (await (await logged_in(it, TOKEN)).get("/stats")).body.decode()
        assert ENGLISH.stats_seen not in page


async def test_what_cannot_be_chosen_is_refused_in_the_readers_language(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        text = it.store.write_now(
            lambda tx: create_token(tx, "ann", ApiScope.READ, random=bytes(25), who=WHO, at=NOW)
        ).text
        browser = await logged_in(it, text)
        assert (await browser.get("/stats")).status == 200
        browser.cookies["wrapd_language"] = "zh-CN"
        for path, status, key in (
            ("/stats?days=8", 422, "wrong_days"),
            ("/stats?days=x", 422, "422"),
            ("/stats?project=none", 404, "no_project"),
        ):
            told = await browser.get(path)
            assert told.status == status, path
            assert CHINESE.errors[key] in told.body.decode(), path
        page = (await browser.get("/stats")).body.decode()
        assert CHINESE.stats_none.format(n=30) in page
