"""For web.py: what a page costs the server and the network, and how soon a browser paints it."""

import asyncio
import gzip
import http.client
import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from itertools import combinations, product
from typing import Any, NamedTuple
from urllib.parse import urlencode

from _lists_served import SIZES, cpu

from daemon.store import DeliveryStatus
from daemon.web import scopes
from tests.support.list_cases import BATCHES, PROJECTS, TAGS
from tests.support.programs import need
from tests.support.web import TOKEN

REQUESTS = 3
"""Of each page in a round."""
PAINTS = 15
"""Navigations of each server, interleaved."""
SHOWN = ("running", "waiting", "frozen", "finished", "failed", "canceled", "lost", "expired")
PAGES: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = {
    "/": ("/", {}),
    "/jobs": (
        "/jobs",
        {
            "show": SHOWN,
            "view": ("wall",),
            "project": tuple(PROJECTS.values()),
            "batch": tuple(BATCHES.values()),
            "tag": tuple(TAGS.values()),
            "q": ("春节", "needle", "nowhere"),
            "kind": ("avatar", "photo"),
            "since": ("24h", "30d"),
            "sort": ("oldest", "changed"),
        },
    ),
    "/jobs/{project}/{job_id}": ("/jobs/main/job-5", {}),
    "/batches": ("/batches", {"project": tuple(PROJECTS.values())}),
    "/batches/{project}/{name}": (f"/batches/main/{BATCHES['many']}", {}),
    "/deliveries": (
        "/deliveries",
        {
            "status": tuple(DeliveryStatus),
            "channel": ("team", "ops"),
            "project": tuple(PROJECTS.values()),
            "batch": tuple(BATCHES.values()),
            "tag": tuple(TAGS.values()),
            "q": ("春节", "needle", "nowhere"),
        },
    ),
    "/channels": ("/channels", {}),
    "/projects": ("/projects", {}),
    "/stats": ("/stats", {"days": ("7", "30", "90"), "project": ("main", "other")}),
    "/account": ("/account", {}),
}
"""The pages by their route, each with an address and what its filters and orders may be. Routes that do not exist
are left out."""


class Cost(NamedTuple):
    """Milliseconds of CPU and compressed bytes of a page, with the fewer jobs and with the more. `filters` is how
    many filters and orders it has."""

    path: str
    filters: int
    small: float
    large: float
    size: int


def page_cases() -> Iterator[tuple[str, int]]:
    """Each page, plain, with every filter and order, and with every pair of them."""
    for route, (path, parameters) in PAGES.items():
        if route in scopes.PAGES:
            for number in range(3):
                for names in combinations(parameters, number):
                    for values in product(*(parameters[name] for name in names)):
                        query = urlencode(dict(zip(names, values, strict=True)))
                        yield f"{path}?{query}" if query else path, number


def page_costs(serve: Any, rounds: int) -> list[Cost]:
    """What each page costs: the least CPU of interleaved rounds. `serve` as for lists."""
    every = list(page_cases())
    least = {(path, rows): float("inf") for path, _ in every for rows in SIZES}
    sizes: dict[str, int] = {}
    with ExitStack() as stack:
        served = [(rows, *stack.enter_context(serve(rows))) for rows in SIZES]
        cookies = {port: log_in(port) for _, port, _ in served}
        for _ in range(rounds):
            for path, _ in every:
                for rows, port, pid in served:
                    took, size = _cost(port, pid, path, cookies[port])
                    least[path, rows] = min(least[path, rows], took)
                    sizes[path] = max(sizes.get(path, 0), size)
    return [Cost(path, number, *(least[path, rows] for rows in SIZES), sizes[path]) for path, number in every]


def log_in(port: int) -> str:
    """The cookie of a new session."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    form = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    connection.request("POST", "/login", urlencode({"token": TOKEN}), form)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 303, answer.status
    return (answer.getheader("Set-Cookie") or "").partition(";")[0]


def _cost(port: int, pid: int, path: str, cookie: str) -> tuple[float, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    size = len(_read(connection, path, cookie))  # statements that were not compiled yet
    begun = cpu(pid)
    for _ in range(REQUESTS):
        _read(connection, path, cookie)
    took = cpu(pid) - begun
    connection.close()
    return 1000 * took / REQUESTS, size


def _read(connection: http.client.HTTPConnection, path: str, cookie: str, *, packed: bool = True) -> bytes:
    headers = {"Cookie": cookie} | ({"Accept-Encoding": "gzip"} if packed else {})
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (path, answer.status)
    return body


def paints(serve: Any) -> tuple[list[float], list[float]]:
    """Milliseconds until a browser first paints `/jobs`, and a file of the same bytes from a bare server."""
    with serve(SIZES[0]) as (port, _):
        return asyncio.run(_paints(port, log_in(port)))


async def _paints(port: int, cookie: str) -> tuple[list[float], list[float]]:
    from playwright.async_api import async_playwright

    name, _, value = cookie.partition("=")
    kept = {"name": name, "value": value, "domain": "127.0.0.1", "path": "/"}
    own: list[float] = []
    bare: list[float] = []
    async with (
        bare_server(await asyncio.to_thread(_files, port, cookie)) as other,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        context = await browser.new_context(locale="en")
        await context.add_cookies([kept])
        for number in range(PAINTS + 1):
            for times, at in ((own, port), (bare, other)):
                took = await _paint(context, f"http://127.0.0.1:{at}/jobs")
                if number:  # the first one also loads the style sheet
                    times.append(took)
        await browser.close()
    return own, bare


async def _paint(context: Any, url: str) -> float:
    page = await context.new_page()
    await page.goto(url)
    script = """() => new Promise(told => new PerformanceObserver((list) => told(list.getEntries()[0].startTime))
        .observe({ type: "paint", buffered: true }))"""
    found: float = await page.evaluate(script)
    await page.close()
    return found


def _files(port: int, cookie: str) -> dict[str, bytes]:
    """The page and what it loads, compressed, by address."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    page = gzip.decompress(_read(connection, "/jobs", cookie)).decode()
    names = {each.partition('"')[0] for each in page.split('"/static/')[1:]}
    paths = ["/jobs", *(f"/static/{name}" for name in names)]
    return {path: _read(connection, path, cookie) for path in paths}


@asynccontextmanager
async def bare_server(files: Mapping[str, bytes]) -> Any:
    """Serve some files over raw asyncio sockets. Yields the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ")[1].decode()
                writer.write(_answer(path, files.get(path)))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def _answer(path: str, body: bytes | None) -> bytes:
    if body is None:
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    kind = next((kind for end, kind in kinds.items() if end in path), "text/html; charset=utf-8")
    kept = "max-age=31536000, immutable" if path.startswith("/static/") else "no-store"
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", f"Content-Length: {len(body)}", f"Cache-Control: {kept}"]
    coded = ["Content-Encoding: gzip"] if body[:2] == b"\x1f\x8b" else []
    return "".join(f"{line}\r\n" for line in [*lines, *coded, ""]).encode() + body


def rows_of_pages(
    costs: list[Cost], *, most: float, stats: float, ratio: float, size: int
) -> list[dict[str, object]]:
    """The worst pages, as rows of docs/performance.md."""
    found = []
    plain = [each for each in costs if not each.path.startswith("/stats")]
    for what, limit, some in (
        ("a page, at most one filter", most, [each for each in plain if each.filters < 2]),
        ("a page, two filters", most, [each for each in plain if each.filters == 2]),
        ("the statistics", stats, [each for each in costs if each.path.startswith("/stats")]),
    ):
        for rows, index in zip(SIZES, ("small", "large"), strict=True):
            worst = max(some, key=lambda each: getattr(each, index))
            took = getattr(worst, index)
            found.append(
                {
                    "what": f"{what}, {rows:,} jobs, the worst of {len(some)}: `{worst.path}`",
                    "wrapd": f"{took:.1f} ms",
                    "beside": f"median: {statistics.median(getattr(each, index) for each in some):.1f} ms",
                    "ratio": None,
                    "target": f"at most {limit:g} ms",
                    "met": took <= limit,
                }
            )
    return [*found, *_rows_of_growth(costs, ratio, size)]


def _rows_of_growth(costs: list[Cost], ratio: float, size: int) -> list[dict[str, object]]:
    grows = max((each for each in costs if each.filters < 2), key=lambda each: each.large / each.small)
    large = max(costs, key=lambda each: each.size)
    return [
        {
            "what": f"the page that grows most with the jobs: `{grows.path}`",
            "wrapd": f"{grows.large:.1f} ms",
            "beside": f"{SIZES[0]:,} jobs: {grows.small:.1f} ms",
            "ratio": grows.large / grows.small,
            "target": f"at most {ratio:g}",
            "met": grows.large <= ratio * grows.small,
        },
        {
            "what": f"the largest page, compressed: `{large.path}`",
            "wrapd": f"{large.size / 1000:.1f} KB",
            "beside": f"median: {statistics.median(each.size for each in costs) / 1000:.1f} KB",
            "ratio": None,
            "target": f"at most {size / 1000:g} KB",
            "met": large.size <= size,
        },
    ]


def row_of_paints(own: list[float], bare: list[float], *, ratio: float) -> dict[str, object]:
    """How soon `/jobs` is painted, as a row of docs/performance.md."""
    one, other = statistics.median(own), statistics.median(bare)
    return {
        "what": "first paint of `/jobs` in Chromium",
        "wrapd": f"{one:.0f} ms",
        "beside": f"the same bytes from a bare server: {other:.0f} ms",
        "ratio": one / other,
        "target": f"at most {ratio:g}",
        "met": one <= ratio * other,
    }
