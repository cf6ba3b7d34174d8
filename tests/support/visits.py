"""Every page of the router for people to look at, with its placeholders and questions filled in: a new page is in
all tests that go through them, and one without a sample fails there."""

from collections.abc import Sequence

import pytest

from daemon.web.scopes import PAGES, ROUTES
from tests.support.browsing import Browser
from tests.support.everywhere import QUERIES, Names

ERRORS = ("/jobs/main/none", "/v/" + "a" * 32, "/jobs?cursor=x", "/share/none")
"""Pages about what there is not, or what is asked wrongly."""
FIRST = ("/", "/jobs", "/batches", "/deliveries", "/channels", "/projects", "/stats")
"""Pages that say what to do while there are no jobs."""


async def visits(browser: Browser, names: Names, jobs: Sequence[str] = ()) -> dict[str, list[str]]:
    """The paths of each page that a browser which is logged in can read, by route; `jobs` are more ids to look at.
    What is no page (a picture, a style sheet) is left out."""
    assert QUERIES.keys() <= ROUTES.keys(), "there are no such routes any more"
    found: dict[str, list[str]] = {}
    for route, methods in PAGES.items():
        if "GET" not in methods:
            continue
        paths = paths_of(route, names)
        if route == "/jobs/{project}/{job_id}":
            paths += [f"/jobs/{names.project}/{job}" for job in jobs if job != names.job_id]
        for path in paths:
            told = await browser.get(path)
            if told.status != 200:
                pytest.fail(f"{path} answers {told.status}: give QUERIES a sample for {route}")
            if told.headers["content-type"].startswith("text/html"):
                found.setdefault(route, []).append(path)
    return found


def paths_of(route: str, names: Names) -> list[str]:
    """The paths of a page."""
    try:
        path = names.filled(route)
    except KeyError as error:
        pytest.fail(f"{route} has the new placeholder {error}: give tests/support/everywhere.py a value for it")
    return [path + query for query in QUERIES.get(route, ("",))]
