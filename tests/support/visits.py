"""Every page of the router for people to look at, with its placeholders and questions filled in: a new page is in
all tests that go through them, and one without a sample fails there."""

from collections.abc import Mapping, Sequence

import pytest

from daemon.web.scopes import PAGES
from tests.support.browsing import Browser
from tests.support.everywhere import Names

QUERIES: Mapping[str, Sequence[str]] = {
    "/jobs": ("", "?view=wall", "?show=failed", "?q=none"),
    "/jobs/bulk": ("?what=mute&of=all", "?what=retry&of=all"),
    "/deliveries": ("", "?status=dead"),
    "/deliveries/retry": ("?status=dead",),
    "/login": ("", "?once=none"),
}
"""What is asked of a page, by its route; nothing of the others."""
AWAITED = frozenset({"/jobs/bulk", "/deliveries", "/deliveries/retry"})
"""Routes that the tests know and that need not exist yet."""
ERRORS = ("/jobs/main/none", "/v/" + "a" * 32)
"""Pages about what there is not."""


def is_served(route: str) -> bool:
    """Whether there is such a page. Raises AssertionError if there is none though it is not awaited."""
    assert route in PAGES or route in AWAITED, f"there is no page {route} any more"
    return route in PAGES


async def visits(browser: Browser, names: Names, jobs: Sequence[str] = ()) -> dict[str, list[str]]:
    """The paths of each page that a browser which is logged in can read, by route; `jobs` are more ids to look at.
    What is no page (a picture, a style sheet) is left out."""
    for route in QUERIES:
        is_served(route)
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
