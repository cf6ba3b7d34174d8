"""What who has the address of a share sees, `/share/{token}`: the names, states and covers of a batch.

It needs no session, sets no cookie, and leads only to itself. Addresses in it are relative, so that a proxy may
serve it under a path.
"""

from datetime import UTC
from typing import Annotated
from urllib.parse import urlencode

from litestar import Response, get
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from daemon import views
from daemon.domain.shares import BatchShare, cover_number
from daemon.store import BatchRow, JobRow, JobSort, Page, Place, StoreError, Transaction
from daemon.web.access import Context
from daemon.web.api.kept import SMALL, picture_answer
from daemon.web.bodies import ApiRequest, HttpError
from daemon.web.context import WebContext
from daemon.web.pages.batches import WALL
from daemon.web.pages.login import Keeper
from daemon.web.pages.rendering import HEADERS, LANGUAGES, page, preferred
from daemon.web.pages.wording import Wording, tone

_HEADERS = {"X-Robots-Tag": "noindex, nofollow"}
_ROOT = ".."
"""The way to the static files."""
_MOST_NUMBER = 2**62
Language = Annotated[str, QueryParameter(max_length=20)]
After = Annotated[int | None, QueryParameter(ge=0, le=_MOST_NUMBER)]


class SharedVideo(Struct, frozen=True, kw_only=True):
    """All that a share tells of a job. `cover` is the number of its cover, None if none is kept."""

    name: str | None
    state: str
    tone: str
    cover: int | None


class SharedRows(Struct, frozen=True, kw_only=True):
    """What is read for a share: the batch, None if it has no jobs any more, and some jobs of it with those of them
    that have a cover."""

    batch: BatchRow | None
    jobs: Page[JobRow]
    covers: set[int]


@get("/share/{token:str}")
async def get_share(
    request: ApiRequest,
    *,
    token: FromPath[str],
    context: Context,
    keeper: Keeper,
    lang: Language = "",
    after: After = None,
) -> Response[bytes]:
    """Show what is shared."""
    w = _wording(request, context, lang)
    place = None if after is None else Place(0, None, cover_number(token, after))
    try:
        share = await keeper.share_of(token)
        if share is None or share.expires_at <= w.now:
            return _closed(request, context, w, w.texts.share_gone if share is None else w.texts.share_over)
        found = await context.store.read_async(lambda tx: _read(tx, share, place))
    except (HttpError, StoreError):
        return _closed(request, context, w, w.texts.share_away, status=503)
    if found.batch is None:
        return _closed(request, context, w, w.texts.share_gone)
    onward = None if found.jobs.after is None else cover_number(token, found.jobs.after.id)
    return page(
        request,
        context,
        "share.html",
        headers=_HEADERS,
        wording=w,
        root=_ROOT,
        batch=found.batch,
        videos=[_video(w, row, token, found.covers) for row in found.jobs.rows],
        token=token,
        until=share.expires_at,
        again=_url(token, lang=lang, after=after),
        other=_url(token, lang="en" if w.language != "en" else "zh-CN", after=after),
        following=None if onward is None else _url(token, lang=lang, after=onward),
        first=None if after is None else _url(token, lang=lang),
    )


@get("/share/{token:str}/cover/{n:int}")
async def get_shared_cover(
    request: ApiRequest, token: FromPath[str], n: FromPath[int], context: Context, keeper: Keeper
) -> Response[object]:
    """Return the small cover of a job of the batch."""
    share = await keeper.share_of(token)
    if share is None or share.expires_at <= context.clock.now() or not 0 <= n < _MOST_NUMBER:
        return _nothing()

    def read(tx: Transaction) -> bytes | None:
        job = tx.jobs.get(cover_number(token, n))
        if job is None or (job.project, job.batch) != (share.project, share.batch):
            return None
        small = tx.pictures.thumbnail(job.id)
        return None if small is None else small.data

    data = await context.store.read_async(read)
    return _nothing() if data is None else picture_answer(request, data, SMALL)


def _nothing() -> Response[object]:
    return Response(None, status_code=404, headers={**HEADERS, "Cache-Control": "no-store"})


def _read(tx: Transaction, share: BatchShare, after: Place | None) -> SharedRows:
    jobs = tx.jobs.page(limit=WALL, after=after, sort=JobSort.OLDEST, project=share.project, batch=share.batch)
    return SharedRows(
        batch=tx.batches.get(share.project, share.batch),
        jobs=jobs,
        covers=tx.pictures.small([row.id for row in jobs.rows]),
    )


def _video(w: Wording, row: JobRow, token: str, covers: set[int]) -> SharedVideo:
    job = views.job(row, now=w.now, eta=None)
    cover = cover_number(token, row.id) if row.id in covers else None
    return SharedVideo(name=job.label or job.name, state=w.state(job), tone=tone(job), cover=cover)


def _closed(
    request: ApiRequest, context: WebContext, w: Wording, why: str, *, status: int = 404
) -> Response[bytes]:
    """The page that says why nothing is shown."""
    return page(
        request,
        context,
        "closed.html",
        status=status,
        headers=_HEADERS,
        wording=w,
        root=_ROOT,
        title=w.texts.share_closed,
        why=why,
    )


def _wording(request: ApiRequest, context: WebContext, lang: str) -> Wording:
    """The wanted language, else the one that the browser prefers; in UTC. Cookies do not count here."""
    language = lang if lang in LANGUAGES else preferred(request)
    return Wording(texts=LANGUAGES[language], language=language, zone=UTC, now=context.clock.now())


def _url(token: str, *, lang: str, after: int | None = None) -> str:
    given = {name: value for name, value in (("lang", lang), ("after", after)) if value not in ("", None)}
    return f"{token}?{urlencode(given)}" if given else token


HANDLERS = (get_share, get_shared_cover)
