"""The numbers on the choices of the jobs page: kept counts, or at least so many."""

import re
from pathlib import Path

import pytest

from daemon.domain.jobs import Tracking
from daemon.store import tallies
from daemon.web.pages.english import ENGLISH
from daemon.web.pages.jobs import CHIPS
from tests.support.browsing import logged_in
from tests.support.many import make
from tests.support.web import MAIN, NOW, OTHER, TOKEN, desk


def chips(page: str) -> dict[str, str]:
    """The choices with their numbers, '' for one without."""
    nav = page.partition('data-key="chips"')[2].partition("</nav>")[0]
    return dict(re.findall(r'<span class="state \w+">([^<]+)</span>(?: <b>([^<]*)</b>)?</a>', nav))


async def test_all_are_counted_where_counts_are_kept(tmp_path: Path) -> None:
    make(tmp_path / "web.db", 1200, now=NOW, tracked=0.3)
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        browser = await logged_in(it, TOKEN)
        for query, fit in (
            ("", {}),
            ("?project=other", {"project": OTHER}),
            ("?batch=giant&project=main", {"batch": "giant", "project": MAIN}),
            ("?tag=rare", {"tag": "rare"}),
            ("?tag=nobody", {"tag": "nobody"}),
        ):
            rows = it.store.read(lambda tx, fit=fit: tx.jobs.list(**fit))
            wanted = {}
            for name, (_, of) in CHIPS.items():
                state = of.get("state")
                number = sum(row.tracking is of["tracking"] and state in (None, row.state) for row in rows)
                if number:
                    wanted[ENGLISH.chips[name]] = str(number)
            assert chips((await browser.get(f"/jobs{query}")).body.decode()) == wanted, query


async def test_of_a_common_tag_there_are_at_least_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MOST_TALLIED", 200)
    make(tmp_path / "web.db", 2400, now=NOW, tracked=0.02)
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        browser = await logged_in(it, TOKEN)
        shown = chips((await browser.get("/jobs?tag=spring")).body.decode())
        assert list(shown) == [ENGLISH.chips[name] for name in CHIPS], "any may have some"
        assert shown[ENGLISH.chips["frozen"]] == "", "none among those that were counted"
        assert all(re.fullmatch(r"\d+\+|", number) for number in shown.values()), shown
        found = it.store.read(lambda tx: tx.jobs.tallies(tag="spring"))
        assert sum(found.counts.values()) == tallies.MOST_TALLIED
        assert shown[ENGLISH.chips["finished"]] == f"{found.of(Tracking.FINISHED, 'SUCCEED')}+"
