"""What is kept of a job beside its record: the service's last answer that changed its state, and the cover."""

from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.params import FromPath, QueryParameter

from daemon.domain.text import stamp
from daemon.store import Transaction
from daemon.web.access import Context
from daemon.web.api.jobs import JOB, known_job
from daemon.web.api.shapes import answers
from daemon.web.bodies import ApiRequest, HttpError, machine_answer
from daemon.web.links import PICTURES

SMALL = "image/webp"
"""The content type of small covers."""
_HEADERS = {
    "Cache-Control": "private, no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
}


class KeptAnswer(msgspec.Struct, kw_only=True):
    """What the service said at the last change of a job's state, `at` when. In `answer`, secrets and scripts are
    left out, and what is too long is cut."""

    at: str
    answer: dict[str, Any]


class CoverSize(StrEnum):
    """Which picture."""

    FULL = "full"  # as the service made it
    SMALL = "small"  # WebP of 320 pixels


@get(f"{JOB}/answer", responses=answers(KeptAnswer, "The answer."))
async def get_answer(project: FromPath[str], job_id: FromPath[str], context: Context) -> Response[object]:
    """Return what the service said at the last change of the job's state that a single query found."""
    row = await context.store.read_async(lambda tx: tx.history.answer(known_job(tx, project, job_id).id))
    if row is None:
        raise HttpError(404, "no answer is kept: no single query has found a change of the job's state")
    return machine_answer({"at": stamp(row.at), "answer": msgspec.Raw(row.body.encode())})


@get(f"{JOB}/cover", responses=answers(bytes, "The picture."))
async def get_cover(
    request: ApiRequest,
    project: FromPath[str],
    job_id: FromPath[str],
    context: Context,
    size: Annotated[
        CoverSize, QueryParameter(description="The picture as it is, or WebP of 320 pixels.")
    ] = CoverSize.FULL,
) -> Response[object]:
    """Return the cover of a finished job's video, as it was fetched at its end."""

    def read(tx: Transaction) -> tuple[bytes | None, str | None]:
        job = known_job(tx, project, job_id).id
        if size is CoverSize.SMALL:
            small = tx.pictures.thumbnail(job)
            return (None, None) if small is None else (small.data, SMALL)
        full = tx.pictures.get(job)
        return (None, None) if full is None else (full.data, full.content_type)

    data, kind = await context.store.read_async(read)
    if data is None or kind not in PICTURES:
        raise HttpError(404, "no such picture of the job is kept")
    return picture_answer(request, data, kind)


def picture_answer(request: ApiRequest, data: bytes, kind: str) -> Response[object]:
    """A picture, unless the client has it already."""
    tag = f'"{blake2b(data, digest_size=12).hexdigest()}"'
    headers = {**_HEADERS, "ETag": tag}
    if tag in (each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")):
        return Response(None, status_code=304, headers=headers)
    return Response(data, media_type=kind, headers=headers)


HANDLERS = (get_answer, get_cover)
