"""Reading a request's body, never more of it than is wanted and never for longer; and the answers of machines.

Never decides what a body means.
"""

import asyncio
import hmac
from collections.abc import Mapping, Sequence

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

_PATIENCE = 10.0
"""Seconds for a whole body: a request that never ends would hold its place for ever."""


class HttpError(Exception):
    """The request is answered with this: what is wrong and how to mend it, for people."""

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
        """The same as JSON: `error`, and `faults` where there are any."""
        body: dict[str, object] = {"error": self.text}
        if self.faults:
            body["faults"] = list(self.faults)
        return machine_answer(body, status=self.status, headers=self.headers)


def machine_answer(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """JSON that nobody keeps."""
    return JSONResponse(body, status_code=status, headers={"Cache-Control": "no-store", **(headers or {})})


async def read_body(request: Request, *, most: int) -> bytes:
    """The body, at most `most` bytes. Raises Refused: 413 for more, 408 where it does not come, 400
    where the connection ends before (nobody reads that)."""
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
        raise HttpError(400, "the body did not come whole") from None
    except TimeoutError:
        raise HttpError(408, f"the body did not come within {_PATIENCE:g} s", headers=_CLOSE) from None
    return bytes(body)


_CLOSE = {"Connection": "close"}
_MOST_DIGITS = 12
"""Digits of a length that is looked at: more of them is too much in any case."""


def same(given: str, wanted: str) -> bool:
    """Whether two secrets are the same, found out in a time that does not tell."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())
