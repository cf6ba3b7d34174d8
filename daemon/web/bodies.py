"""Reads request bodies within limits of size and time, and creates JSON answers and problems (RFC 9457). Does not
interpret bodies.
"""

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import InternalServerException, SerializationException

ApiRequest = Request[Any, Any, Any]
PROBLEM = "application/problem+json"
"""The media type of every error."""

_PATIENCE = 10.0
"""Seconds for a complete body. A request that never ends would occupy its connection forever."""


class HttpError(Exception):
    """Answers the request with an error for people: what is wrong and how to fix it."""

    def __init__(
        self,
        status: int,
        text: str,
        *,
        faults: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> None:
        """`key` names the error for the pages, which say some in the reader's language."""
        super().__init__(text)
        self.status = status
        self.text = text
        self.faults = faults
        self.headers = dict(headers or {})
        self.key = key

    def problem(self) -> dict[str, object]:
        """The body of the answer. `error` repeats `detail` for clients of earlier versions."""
        found: dict[str, object] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.text,
            "error": self.text,
        }
        return found | ({"faults": list(self.faults)} if self.faults else {})

    def answer(self) -> Response[object]:
        """The answer, which is not cached."""
        return Response[object](
            self.problem(), status_code=self.status, media_type=PROBLEM, headers={**_UNCACHED, **self.headers}
        )


def machine_answer(
    body: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[object]:
    """A JSON answer that is not cached."""
    return Response[object](body, status_code=status, headers={**_UNCACHED, **(headers or {})})


class BoundedRequest(ApiRequest):
    """A request whose body may be JSON of any depth."""

    async def json(self) -> Any:
        """The body. Raises SerializationException, which is answered with 400, if it is no JSON or nested too
        deeply."""
        try:
            return await super().json()
        except RecursionError:
            raise SerializationException("the body is nested too deeply") from None


async def read_body(request: ApiRequest, *, most: int) -> bytes:
    """Read the body. Raises HttpError: 413 over `most` bytes, 408 if it does not arrive in time, 400 if the
    connection ends before (no one receives that answer)."""
    too_large = HttpError(413, f"the body is over {most} bytes")
    length = request.headers.get("content-length", "0")
    if len(length) > _MOST_DIGITS or (length.isdecimal() and int(length) > most):
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise too_large
    except InternalServerException:  # the connection ended
        raise HttpError(400, "the body is incomplete") from None
    except TimeoutError:
        raise HttpError(408, f"the body did not arrive within {_PATIENCE:g} s", headers=_CLOSE) from None
    return bytes(body)


_UNCACHED = {"Cache-Control": "no-store"}
_CLOSE = {"Connection": "close"}
_MOST_DIGITS = 12
"""Maximum digits of a Content-Length that is parsed; a longer one is too large in any case."""


def same(given: str, wanted: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())
