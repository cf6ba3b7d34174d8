"""Covers of finished videos: each is fetched once while its link is valid, checked to be a picture, and stored
with a thumbnail. The only module that imports Pillow, and only once there is a picture.

Owns which addresses a picture may be fetched from, and the check of its bytes. A message that waits for a picture
sees no exception. Links are signed, so they are never logged.
"""

import asyncio
import contextlib
import io
import os
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlsplit

from msgspec import Struct

from daemon import transport
from daemon.addresses import Reach, Timeouts, is_inside
from daemon.clock import Clock
from daemon.domain.jobs import ProjectName, link_expiry
from daemon.errors import ConfigFault
from daemon.logs import LogEvent, logger
from daemon.notify.message import Cover, picture_size, picture_type
from daemon.store import JobRow, PictureRow, Store, StoreError, ThumbnailRow
from daemon.tasks import Tasks
from daemon.transport import Answer, TransportError, environment_proxy, is_loopback

log = logger(__name__)

MOST_BYTES = 2 * 1024 * 1024
"""Largest picture in bytes. Covers are some hundred KiB."""
MOST_PIXELS = 50_000_000
"""Most pixels by a picture's own header: a viewer allocates memory for all of them. Covers have 2 million."""
FETCH_TIMEOUTS = Timeouts(connect=3.0, read=5.0, total=10.0)
TRY_AGAIN = timedelta(minutes=10)
"""After a failed fetch, how long until another link to the picture is tried."""
_AT_ONCE = 4
"""Concurrent fetches."""
_KEPT = 8
"""Pictures in memory: one is sent to several channels at the same time."""
_CLOUD = ".myhuaweicloud.com"
"""Domain in which Huawei Cloud alone controls the DNS."""


class Fetch(Protocol):
    """Fetches a URL. Raises TransportError."""

    async def __call__(
        self,
        url: str,
        *,
        timeouts: Timeouts,
        max_bytes: int,
        proxy: str | None,
        ca_file: str | None,
        reach: Reach,
    ) -> Answer: ...


class PictureSource(Struct, frozen=True, kw_only=True):
    """Where a project's pictures come from: its API (scheme, host and port), the proxy to use (None: the
    environment's), and a file of CAs to trust in addition to the public ones."""

    endpoint: str
    proxy: str | None = None
    ca_file: str | None = None

    def reach(self, url: str) -> Reach | None:
        """Which addresses may be connected to for a link; None: it may not be followed at all.

        Only https is followed, and only to public addresses. A link to the API's own host (any port if that is
        this machine) may lead to any address, as the API's own URL may.
        """
        try:
            parts, api = urlsplit(url), urlsplit(self.endpoint)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            return None
        if not host or not url.isascii() or "@" in parts.netloc or parts.scheme not in ("http", "https"):
            return None
        if host == api.hostname and (parts.scheme, port) == (api.scheme, api.port):
            return Reach.ANY
        if is_loopback(host):
            return Reach.ANY if is_loopback(api.hostname or "") else None
        if parts.scheme != "https" or is_inside(host):
            return None
        cloud = all(name.endswith(_CLOUD) for name in (host, api.hostname or ""))
        return Reach.CLOUD if cloud else Reach.OUTSIDE


class Covers:
    """The covers of all projects' jobs. `stop` last."""

    def __init__(
        self,
        sources: Mapping[ProjectName, PictureSource],
        store: Store,
        clock: Clock,
        *,
        tasks: Tasks,
        fetch: Fetch = transport.fetch,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._sources = sources
        self._store = store
        self._clock = clock
        self._fetch = fetch
        self._environ = environ
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._scaling = asyncio.Lock()
        self._under_way: dict[int, asyncio.Task[PictureRow | None]] = {}
        self._tasks = tasks
        self._kept: OrderedDict[int, PictureRow] = OrderedDict()

    def begin(self, job: int) -> None:
        """Fetch the cover of an ended job (a row id) in the background, if it has one."""
        self._tasks.spawn("picture", self._begin(job), job=job)

    async def cover_of(self, job: JobRow, *, patience: float) -> Cover | None:
        """The job's cover; None if it has none, or if it cannot be had within `patience` seconds. A slow fetch
        goes on for later callers. The cover's `url` works without credentials until it expires."""
        if job.asset.cover_url is None and job.id not in self._kept:
            return None
        picture = await self._wait_for(self._task_of(job), patience=patience)
        if picture is None or picture.data is None or picture.content_type is None:
            return None
        return Cover(url=self._public(job), data=picture.data, content_type=picture.content_type)

    async def stop(self) -> None:
        """Cancel the fetches in flight; a later call starts again."""
        await self._tasks.end(patience=0)

    async def _begin(self, job: int) -> None:
        try:
            row = await self._store.read_async(lambda tx: tx.jobs.get(job))
        except StoreError:
            return  # the message fetches it again
        if row is not None and row.asset.cover_url is not None:
            await self._wait_for(self._task_of(row), patience=FETCH_TIMEOUTS.total * 2)

    async def _wait_for(self, task: "asyncio.Task[PictureRow | None]", *, patience: float) -> PictureRow | None:
        done, _ = await asyncio.wait({task}, timeout=patience)
        return task.result() if done and not task.cancelled() else None

    def _task_of(self, job: JobRow) -> "asyncio.Task[PictureRow | None]":
        """The job's task; callers at the same time share it."""
        task = self._under_way.get(job.id)
        if task is None:
            task = self._tasks.spawn("picture", self._load(job), job=job.job_id)
            self._under_way[job.id] = task
            task.add_done_callback(lambda _: self._under_way.pop(job.id, None))
        return task

    async def _load(self, job: JobRow) -> PictureRow | None:
        kept = self._kept.get(job.id)
        if kept is None:
            kept = await self._stored(job.id)
        if kept is not None and not self._may_retry(kept, job):
            self._keep(kept)
            return kept
        url = job.asset.cover_url
        if url is None or not self._is_valid(job, url):
            return kept
        async with self._slots:
            fetched = await self._fetched(job, url)
        self._keep(fetched)
        with contextlib.suppress(StoreError):  # untracked meanwhile, or a full disk: this message still shows it
            await self._store.write(lambda tx: tx.pictures.put(fetched))
            if fetched.data is not None:
                self._tasks.spawn("thumbnail", self._scale(job, fetched.data), job=job.job_id)
        return fetched

    async def _scale(self, job: JobRow, data: bytes) -> None:
        """Store the thumbnail of a picture, which no message waits for. One at a time: each takes up to 64 MB."""
        async with self._scaling:
            small = await asyncio.to_thread(thumbnail, data)
        if small is not None:
            row = ThumbnailRow(job=job.id, data=small.data, width=small.width, height=small.height)
            with contextlib.suppress(StoreError):
                await self._store.write(lambda tx: tx.pictures.put_thumbnail(row))

    async def _stored(self, job: int) -> PictureRow | None:
        with contextlib.suppress(StoreError):
            return await self._store.read_async(lambda tx: tx.pictures.get(job))
        return None

    async def _fetched(self, job: JobRow, url: str) -> PictureRow:
        source = self._sources.get(job.project)
        data: bytes | None = None
        kind: str | None = None
        error: str | None = None
        reach = None if source is None else source.reach(url)
        if source is None or reach is None:
            error = "its link is not https, or points to this machine or its network"
        else:
            try:
                data, kind = await self._get(source, url, reach)
            except (TransportError, ConfigFault, _NoPicture) as fault:
                error = str(fault)
        if error is not None:
            log.warning(LogEvent.PICTURE_FAILED, project=job.project, job=job.job_id, reason=error)
        return PictureRow(
            job=job.id,
            url=url,
            content_type=kind,
            data=data,
            fetched_at=self._clock.now(),
            error=None if error is None else error[:500],
        )

    async def _get(self, source: PictureSource, url: str, reach: Reach) -> tuple[bytes, str]:
        proxy = source.proxy or environment_proxy(url, self._environ)
        answer = await self._fetch(
            url,
            timeouts=FETCH_TIMEOUTS,
            max_bytes=MOST_BYTES,
            proxy=proxy,
            ca_file=source.ca_file,
            reach=reach,
        )
        if answer.status != 200:
            raise _NoPicture(f"the server answers {answer.status}")
        kind = picture_type(answer.body)
        if kind is None:
            raise _NoPicture("the server's answer is not a JPEG, PNG, GIF or WebP picture")
        width, height = picture_size(answer.body) or (0, 0)
        if (pixels := width * height) > MOST_PIXELS:
            raise _NoPicture(f"the picture has {pixels} pixels, more than {MOST_PIXELS}")
        return answer.body, kind

    def _may_retry(self, kept: PictureRow, job: JobRow) -> bool:
        """Whether to retry a failed picture: the job has another link, and `TRY_AGAIN` has passed."""
        return (
            kept.data is None
            and job.asset.cover_url not in (None, kept.url)
            and self._clock.now() - kept.fetched_at >= TRY_AGAIN
        )

    def _is_valid(self, job: JobRow, url: str) -> bool:
        fetched = job.links_at or job.tracked_at
        until = link_expiry(url, fetched_at=fetched, unsigned_life=None)
        return until is None or until > self._clock.now()

    def _public(self, job: JobRow) -> str | None:
        """The service's own link to the cover; None if a chat service could not fetch it now."""
        url = job.asset.cover_url
        if url is None or not url.startswith("https://") or not self._is_valid(job, url):
            return None
        try:
            host = (urlsplit(url).hostname or "").rstrip(".")
        except ValueError:
            return None
        return None if is_loopback(host) or is_inside(host) else url

    def _keep(self, picture: PictureRow) -> None:
        self._kept[picture.job] = picture
        self._kept.move_to_end(picture.job)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)


class _NoPicture(Exception):
    """The answer holds no usable picture."""


MOST_SIDE = 320
"""Pixels of a thumbnail's longer side."""
MOST_DECODED = 16_000_000
"""Most pixels that are decoded, in 64 MB. A larger JPEG is decoded at a half, a quarter or an eighth."""
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
_QUALITY = 70


class Thumbnail(Struct, frozen=True, kw_only=True):
    """A small WebP picture, and its size in pixels."""

    data: bytes
    width: int
    height: int


def thumbnail(data: bytes) -> Thumbnail | None:
    """Return a small copy of a picture, upright and without its metadata; None if it is damaged or too large."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - 6 MiB that a daemon without covers does not need

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            picture.draft("RGB", (2 * MOST_SIDE, 2 * MOST_SIDE))  # only JPEG can
            if picture.width * picture.height > MOST_DECODED:
                return None
            upright = ImageOps.exif_transpose(picture)
            small = upright if upright.mode in ("RGB", "RGBA") else upright.convert("RGBA")
            small.thumbnail((MOST_SIDE, MOST_SIDE))
            written = io.BytesIO()
            small.save(written, "WEBP", quality=_QUALITY)
    except Exception:  # noqa: BLE001 - a decoder of foreign bytes fails in many ways: OSError, SyntaxError, ValueError, …
        return None
    return Thumbnail(data=written.getvalue(), width=small.width, height=small.height)
