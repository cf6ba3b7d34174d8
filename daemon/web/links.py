"""wrapd's own links to videos: `/v/{token}` redirects to a working link of the service whenever it is opened.

Decides who may open what, how often, and what counts as seen. Tokens are never logged: whoever has one can open
its video until the link expires or is revoked.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum, StrEnum, auto
from typing import Literal
from urllib.parse import quote

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from daemon.clock import Clock
from daemon.store import JobRow, LinkRow, StoreError, Transaction
from daemon.views import link_end
from daemon.web.bodies import ApiRequest
from daemon.web.context import WebContext
from daemon.web.pages import engine, rendering
from daemon.web.pages.wording import Wording
from daemon.web.visitors import Opened, Visitor, visitor

RATE = 20.0
"""Maximum queries for links per second, of all readers together. Beyond it, the known link is used."""
_FRESH = 10.0
"""Seconds before the service is queried for the same link again."""
_REMEMBERED = 4096
_LOOKUPS = 2
"""Maximum concurrent token lookups: anyone can make up tokens, and the store has few reading threads."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}", re.ASCII)
_SAFE_IN_URLS = ":/%#?=@[]!$&'()*+,;~"
PICTURES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""The content types of covers that are passed on."""


class _Why(StrEnum):
    """Why the link cannot be opened."""

    GONE = "gone"  # no such link: it never existed, has expired, or was revoked
    AWAY = "away"  # the service does not answer, and the known link has expired
    CROWDED = "crowded"  # too many simultaneous clicks


_STATUS = {_Why.GONE: 404, _Why.AWAY: 503, _Why.CROWDED: 429}
_RETRY_AFTER = {_Why.AWAY: "60", _Why.CROWDED: "2"}
HEADERS: Mapping[str, str] = {
    **rendering.HEADERS,
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer to a link: it is neither cached nor indexed, and its target learns no referrer."""
Wanted = Literal["preview", "download"]
Page = Response[bytes]


def handlers(context: WebContext) -> list[HTTPRouteHandler]:
    """The routes of the links."""
    opener = _Links(context)

    async def watch(request: ApiRequest, token: FromPath[str]) -> Page:
        return await opener.video(request, token, "preview")

    async def download(request: ApiRequest, token: FromPath[str]) -> Page:
        return await opener.video(request, token, "download")

    async def cover(request: ApiRequest, token: FromPath[str]) -> Page:
        return await opener.cover(request, token)

    paths = {"/v/{token:str}": watch, "/v/{token:str}/download": download, "/v/{token:str}/cover": cover}
    return [_route(path)(handler) for path, handler in paths.items()]


def _route(path: str) -> HTTPRouteHandler:
    return HTTPRouteHandler(path, http_method=["GET", "HEAD"], include_in_schema=False)


class _Links:
    """Opens links."""

    def __init__(self, context: WebContext) -> None:
        self._ground = context
        self._turns = Turns(TokenBucket(context.clock, rate=RATE), context.clock)
        self._opened = Opened()
        self._lookups = asyncio.Semaphore(_LOOKUPS)

    async def video(self, request: ApiRequest, token: str, wanted: Wanted) -> Page:
        """Redirect to the video, using a link recently obtained from the service if possible. For robots the
        service is not queried, and nothing counts as seen."""
        context = self._ground
        found = await self._open(request, token)
        if isinstance(found, Response):
            return found
        link, job = found
        who = visitor(request.method, request.headers)
        crowded = False
        if who is not Visitor.ROBOT:
            turn = self._turns.take(link.id)
            crowded = turn is Turn.NONE
            job = await context.renew(job) if turn is Turn.YES else job
        url = working_url(job, wanted, now=context.clock.now())
        if url is None:
            return await _page(request, context, _Why.CROWDED if crowded else _Why.AWAY)
        if who is Visitor.PERSON:
            self._count(request, link)
        return Response(b"", status_code=302, headers={**HEADERS, "Location": header_safe(url)})

    async def cover(self, request: ApiRequest, token: str) -> Page:
        """Return the video's cover, which was fetched when the video was finished."""
        opened = await self._open(request, token)
        if isinstance(opened, Response):
            return opened
        _, job = opened
        try:
            picture = await self._ground.store.read_async(lambda tx: tx.pictures.get(job.id))
        except StoreError:
            return await _page(request, self._ground, _Why.AWAY)
        if picture is None or picture.data is None or picture.content_type not in PICTURES:
            return await _page(request, self._ground, _Why.GONE)
        return Response(picture.data, media_type=picture.content_type, headers=dict(HEADERS))

    async def _open(self, request: ApiRequest, token: str) -> tuple[LinkRow, JobRow] | Page:
        """Find a valid link and its job; otherwise return the page that explains why it cannot be opened."""
        if _TOKEN.fullmatch(token) is None:  # not one of our tokens: no lookup needed
            return await _page(request, self._ground, _Why.GONE)
        now = self._ground.clock.now()
        try:
            async with self._lookups:
                found = await self._ground.store.read_async(lambda tx: _find(tx, token))
        except StoreError:
            return await _page(request, self._ground, _Why.AWAY)
        if found is None or found[0].revoked_at is not None or found[0].expires_at <= now:
            return await _page(request, self._ground, _Why.GONE)
        return found

    def _count(self, request: ApiRequest, link: LinkRow) -> None:
        """Count a person's click, or take back earlier clicks that turn out not to be a person's."""
        clock = self._ground.clock
        client = " ".join(
            (
                request.client.host if request.client is not None else "",
                request.headers.get("x-forwarded-for", ""),
                request.headers.get("user-agent", ""),
            )
        )
        clicks, at = self._opened.note(link.id, client, now=clock.monotonic()), clock.now()

        async def write() -> None:
            await self._ground.store.write(lambda tx: tx.links.clicked(link.id, at, clicks=clicks))

        if clicks:
            self._ground.tasks.spawn("click", write())


async def _page(request: ApiRequest, context: WebContext, why: _Why) -> Page:
    """The page for people whose link cannot be opened, in the language that the browser prefers. It names no job,
    and looks like that of a share that is over."""
    await engine.make_ready()
    language, later = rendering.preferred(request), _RETRY_AFTER.get(why)
    texts = rendering.LANGUAGES[language]
    return rendering.page(
        request,
        context,
        "closed.html",
        status=_STATUS[why],
        headers={**HEADERS, **({} if later is None else {"Retry-After": later})},
        wording=Wording(texts=texts, language=language, zone=UTC, now=context.clock.now()),
        root="/".join([".."] * (request.scope["raw_path"].count(b"/") - 1)),  # a proxy may serve it under a path
        title=texts.link_titles[why],
        why=texts.link_texts[why],
    )


def _find(tx: Transaction, token: str) -> tuple[LinkRow, JobRow] | None:
    link = tx.links.by_token(token)
    job = None if link is None else tx.jobs.get(link.job)
    return None if link is None or job is None else (link, job)


class TokenBucket:
    """Admits `rate` per second, with bursts of the same size."""

    def __init__(self, clock: Clock, *, rate: float) -> None:
        self._clock = clock
        self._rate = rate
        self._left = rate
        self._at = clock.monotonic()

    def admit(self) -> bool:
        """Whether one more is admitted now."""
        now = self._clock.monotonic()
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Turn(Enum):
    """Whether the service may be queried for a link."""

    YES = auto()
    NOT_YET = auto()  # it was queried a moment ago
    NONE = auto()  # too many queries already


class Turns:
    """Grants turns to query the service for links: at `pace` in total, and only now and then for the same link, so
    that a link opened repeatedly does not use up the turns of others."""

    def __init__(self, pace: TokenBucket, clock: Clock) -> None:
        self._pace = pace
        self._clock = clock
        self._asked: OrderedDict[int, float] = OrderedDict()

    def take(self, link: int) -> Turn:
        """A turn for the link with this row id."""
        now = self._clock.monotonic()
        if now - self._asked.get(link, float("-inf")) < _FRESH:
            return Turn.NOT_YET
        if not self._pace.admit():
            return Turn.NONE
        self._asked[link] = now
        self._asked.move_to_end(link)
        while len(self._asked) > _REMEMBERED:
            self._asked.popitem(last=False)
        return Turn.YES


def working_url(job: JobRow, wanted: Wanted, *, now: datetime) -> str | None:
    """The job's link of the wanted kind, otherwise of the other kind; None if both are known to have expired."""
    asset = job.asset
    urls = [asset.preview_url, asset.download_url]
    for url in urls if wanted == "preview" else reversed(urls):
        if url is None or not url.startswith(("https://", "http://")):
            continue
        end = link_end(url, job.links_at)
        if end is None or end > now:
            return url
    return None


def header_safe(url: str) -> str:
    """Quote a URL for a header. URLs of plain ASCII stay exactly as they are."""
    if url.isascii() and url.isprintable() and " " not in url:
        return url
    return quote(url, safe=_SAFE_IN_URLS)
