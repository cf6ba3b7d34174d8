"""Object storage: serves covers and videos to requests with a valid link.

Owns the answers to requests for files, including the refusals in XML.
"""

from collections.abc import Mapping

from daemon.sim.book import Book
from daemon.sim.calls import Call
from daemon.sim.files import cover_png, video_mp4
from daemon.sim.links import COVER, MAIN, NO_FILE, PREVIEW, FileLinks, StorageRefusal
from daemon.sim.wire import Answer


class Storage:
    """The files of the tenant's jobs."""

    def __init__(self, links: FileLinks, book: Book) -> None:
        self._links = links
        self._book = book

    def serve(self, call: Call, request_id: str, *, now: float) -> Answer:
        """Return the file that `call` names, or a refusal, at `now` (epoch seconds)."""
        refusal = self._links.check(call.method, call.path, call.query, now=now)
        if refusal is not None:
            return _refused(refusal, request_id)
        job = self._book.by_asset(call.item)
        file = call.path.rpartition("/")[2]
        if job is None or file not in ((COVER, PREVIEW, MAIN) if job.kind.makes_video else (COVER,)):
            return _refused(NO_FILE, request_id)
        if file == COVER:
            return Answer(status=200, body=cover_png(job.number), content_type="image/png")
        return _video(video_mp4(job.number, round(job.spoken)), call.headers)


def _refused(refusal: StorageRefusal, request_id: str) -> Answer:
    return Answer(status=refusal.status, body=refusal.xml(request_id), content_type="application/xml")


def _video(data: bytes, headers: Mapping[str, str]) -> Answer:
    """Return the video, or the single range of it that the request asks for, as players do."""
    first, _, last = headers.get("Range", "").removeprefix("bytes=").partition("-")
    if not (first.isdecimal() and int(first) < len(data) and (last.isdecimal() or not last)):
        return Answer(status=200, body=data, content_type="video/mp4", extra=(("Accept-Ranges", "bytes"),))
    end = min(int(last), len(data) - 1) if last else len(data) - 1
    extra = (("Accept-Ranges", "bytes"), ("Content-Range", f"bytes {first}-{end}/{len(data)}"))
    return Answer(status=206, body=data[int(first) : end + 1], content_type="video/mp4", extra=extra)
