"""Every list of the API with ten times the jobs: each filter and order, alone and in pairs, first page and deep.

The cases are made from the parameters that the handlers declare, so a new filter, order or list without a value
here fails. What is counted are steps of SQLite, so it makes no difference how busy the machine is.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.list_cases import VALUES, Case, cases, declared
from tests.support.many import MONTHS, make
from tests.support.steps import Work, counting
from tests.support.web import MAIN, NOW, OTHER, TOKEN, Desk, desk, learned

pytestmark = pytest.mark.long

SMALL, LARGE = 10_000, 100_000
MOST = 1.3
SPARE = 200
"""Steps by which equal reads differ: another page of an index, another digit."""
MOST_OF_PAIR, MOST_OF_BATCHES = 80_000, 25_000
"""Steps up to which a page may grow. With two filters it may be that it examines as many rows as it may, whatever
their shares. Of batches some hundred tracked jobs are read, for their expected ends."""
SORTED = ("/api/v1/tokens",)
"""Lists that are sorted by the database: people create tokens one by one."""


def test_each_filter_of_each_list_has_values_here() -> None:
    given = {
        path: set(parameters) - {"sort", "format", "limit", "cursor"} for path, parameters in declared().items()
    }
    assert given == {path: set(filters) for path, filters in VALUES.items()}


@dataclass
class Side:
    desk: Desk
    work: Work
    rows: int

    async def steps(self, case: Case, cursor: str | None = None) -> tuple[int, str | None]:
        """The steps of a page, and where the next one begins."""
        query = dict(case.query) | ({} if cursor is None else {"cursor": cursor})
        self.work.begin()
        answer = await self.desk.ask("GET", f"{case.path}?{urlencode(query)}", token=TOKEN)
        assert answer.status == 200, (str(case), answer.body)
        assert not self.work.scans, (str(case), self.work.scans)
        assert case.path in SORTED or not self.work.sorts, (str(case), self.work.sorts)
        return self.work.steps, answer.json().get("next")

    def deep(self, cursor: str) -> str:
        """A cursor to the middle of the rows."""
        of, run, at, row = json.loads(base64.urlsafe_b64decode(cursor))
        middle = int(NOW.timestamp() * 1_000_000) - MONTHS // 2
        place = [of, run, None if at is None else middle, self.rows // 2 if at is None else row]
        return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


@asynccontextmanager
async def sides(folder: Path) -> AsyncIterator[list[Side]]:
    async with AsyncExitStack() as stack:
        found = []
        for rows in (SMALL, LARGE):
            home = folder / str(rows)
            home.mkdir()
            await asyncio.to_thread(make, home / "web.db", rows, now=NOW, tracked=0.1)
            it = await stack.enter_async_context(desk(home, projects=(MAIN, OTHER)))
            it.durations = learned()
            found.append(Side(it, stack.enter_context(counting(it.store)), rows))
        yield found


async def test_no_list_takes_longer_with_ten_times_the_jobs(tmp_path: Path) -> None:
    over = []
    async with sides(tmp_path) as (small, large):
        for case in cases():
            (one, begins), (ten, begins_too) = await small.steps(case), await large.steps(case)
            found = [("first", one, ten)]
            if begins and begins_too:
                (one, _), (ten, _) = (
                    await small.steps(case, small.deep(begins)),
                    await large.steps(case, large.deep(begins_too)),
                )
                found.append(("deep", one, ten))
            for page, few, many in found:
                most = MOST * few + SPARE
                if case.filters == 2:
                    most = max(most, MOST_OF_PAIR)
                elif case.path == "/api/v1/batches":
                    most = max(most, MOST_OF_BATCHES)
                if many > most:
                    over.append(f"{case} {page}: {few} -> {many}")
    assert not over, "\n".join(over)
