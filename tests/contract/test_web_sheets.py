"""The CSV of the API: what it holds, of which jobs, how it ends, and what it costs in memory."""

import csv
import io
import re
from pathlib import Path

import pytest

from daemon.domain.jobs import Asset
from daemon.views.sheets import COLUMNS
from daemon.web.api import sheets
from tests.contract.test_web_canaries import LINKS, url
from tests.contract.test_web_tracking import end
from tests.support.browsing import Browser, logged_in
from tests.support.hostile import names, whole
from tests.support.scene import fill
from tests.support.web import TOKEN, Answer, desk

JOBS = "/api/v1/jobs?format=csv"


def rows(told: Answer) -> list[dict[str, str]]:
    assert (told.status, told.headers["content-type"]) == (200, "text/csv; charset=utf-8"), told
    return list(csv.DictReader(io.StringIO(told.body.decode(), newline=""), strict=True))


async def test_a_csv_has_the_jobs_of_the_list(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        for more in (
            "",
            "&state=FAILED",
            "&tag=spring&sort=oldest",
            "&q=price",
            "&since=2026-03-01T11:50:00Z",
            "&kind=photo",
        ):
            listed = (await it.ask("GET", f"/api/v1/jobs?limit=200{more}", token=TOKEN)).json()["items"]
            told = await it.ask("GET", JOBS + more, token=TOKEN)
            found = rows(told)
            assert [row["job_id"] for row in found] == [job["job_id"] for job in listed], more
            assert "link" not in told.headers
        assert listed == [], "no job is of that kind"
        assert told.headers["content-disposition"] == 'attachment; filename="wrapd-jobs.csv"'
        assert told.headers["cache-control"] == "no-store"
        [row] = rows(await it.ask("GET", f"{JOBS}&state=WAITING", token=TOKEN))
        [job] = (await it.ask("GET", "/api/v1/jobs?state=WAITING", token=TOKEN)).json()["items"]
        for key in COLUMNS:
            value = job[key] if "." not in key else (job["eta"] or {}).get(key[4:])
            assert row[key] == ("; ".join(value) if key == "tags" else "" if value is None else str(value)), key


async def test_excel_gets_a_byte_order_mark_and_no_one_else(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        plain = (await it.ask("GET", JOBS, token=TOKEN)).body
        excel = (await it.ask("GET", "/api/v1/jobs?format=excel", token=TOKEN)).body
        assert plain[:8] == b"project,"
        assert excel == b"\xef\xbb\xbf" + plain


async def test_names_from_outside_are_no_formulas_and_links_are_not_in_it(tmp_path: Path) -> None:
    corpus = [whole(name)[:200] for name in names()]
    async with desk(tmp_path) as it:
        fill(it, [f"={text}" for text in corpus], foreign=corpus, url="javascript:alert(1)")
        asset = Asset(**{f"{kind}_url": url(LINKS[kind]) for kind in LINKS}, asset_name='=HYPERLINK("http://x")')
        end(it, it.track("j-1"), "SUCCEED", asset=asset)
        told = await it.ask("GET", JOBS, token=TOKEN)
        found = rows(told)
        assert len(found) == len(corpus) + 1
        for row in found:
            assert not [cell for cell in row.values() if re.match(r"\s*[=+@-]", cell)], row
        assert found[0]["name"] == '\'=HYPERLINK("http://x")'
        assert not [name for name in LINKS.values() if name in told.body.decode()]


async def test_a_csv_that_would_be_too_long_leads_to_its_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "MOST_ROWS", 5)
    monkeypatch.setattr(sheets, "_AT_ONCE", 2)
    async with desk(tmp_path) as it:
        fill(it)
        seen, path, names_ = [], f"{JOBS}&project=main", []
        while path:
            told = await it.ask("GET", path, token=TOKEN)
            seen += [row["job_id"] for row in rows(told)]
            names_.append(told.headers["content-disposition"].partition("filename=")[2])
            found = re.fullmatch(r'<(.*)>; rel="next"', told.headers.get("link", ""))
            path = "" if found is None else found[1]
        assert sorted(seen) == sorted(it.jobs())
        assert len(seen) == 12
        assert names_ == ['"wrapd-jobs-part-of-6.csv"', '"wrapd-jobs-part-of-6.csv"', '"wrapd-jobs-part-of-0.csv"']


async def test_a_plain_link_works_with_a_session(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        assert (await Browser(it).get(JOBS)).status == 401
        browser = await logged_in(it, TOKEN)
        assert len(rows(await browser.get(JOBS))) == 12
        for wrong in ("format=xls", "format=csv&limit=5", "format=csv&cursor=x", "format=csv&kinds=avatar"):
            assert (await browser.get(f"/api/v1/jobs?{wrong}")).status == 422, wrong


async def test_the_end_of_any_jobs_together(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        ending = "/api/v1/jobs/ending"
        told = (await it.ask("GET", ending, token=TOKEN)).json()
        assert (told["jobs"], told["eta"]) == (4, None), "three in production and one that waits; one is frozen"
        assert told["eta_reason"] == "not in production yet: 1 job"
        assert told["soonest_at"] is not None
        running = [f"main/{number:032x}" for number in (0, 6, 10)]
        query = "&".join(f"job={each}" for each in (*running, "main/none", "x"))
        told = (await it.ask("GET", f"{ending}?{query}", token=TOKEN)).json()
        alone = [
            (await it.ask("GET", f"/api/v1/jobs/{each}", token=TOKEN)).json()["eta"]["high_seconds"]
            for each in running
        ]
        assert told["jobs"] == 3
        assert told["eta"]["high_seconds"] >= max(alone)
        one = (await it.ask("GET", f"{ending}?job={running[0]}", token=TOKEN)).json()
        assert one["eta"]["high_seconds"] == alone[0]
        of_batch = (await it.ask("GET", f"{ending}?batch=none", token=TOKEN)).json()
        assert (of_batch["jobs"], of_batch["eta"], of_batch["soonest_at"]) == (0, None, None)
        for wrong in ("job=x&tag=y", "&".join(["job=x"] * 101), "state=FAILED"):
            assert (await it.ask("GET", f"{ending}?{wrong}", token=TOKEN)).status == 422, wrong
