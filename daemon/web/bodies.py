"""Reads request bodies within limits of size and time, and creates JSON answers. Does not interpret bodies."""

import asyncio
import hmac
from collections.abc import Mapping, Sequence

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

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
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.faults = faults
        self.headers = dict(headers or {})

    def answer(self) -> JSONResponse:
        """The JSON answer: `error`, and `faults` if there are any."""
        body: dict[str, object] = {"error": self.text}
        if self.faults:
            body["faults"] = list(self.faults)
        return machine_answer(body, status=self.status, headers=self.headers)


def machine_answer(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A JSON answer that is not cached."""
    return JSONResponse(body, status_code=status, headers={"Cache-Control": "no-store", **(headers or {})})


async def read_body(request: Request, *, most: int) -> bytes:
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
    except ClientDisconnect:
        raise HttpError(400, "the body is incomplete") from None
    except TimeoutError:
        raise HttpError(408, f"the body did not arrive within {_PATIENCE:g} s", headers=_CLOSE) from None
    return bytes(body)


_CLOSE = {"Connection": "close"}
_MOST_DIGITS = 12
"""Maximum digits of a Content-Length that is parsed; a longer one is too large in any case."""


def same(given: str, wanted: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())
