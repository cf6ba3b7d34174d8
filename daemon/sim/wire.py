"""Puts answers on the wire, intact or damaged by a fault.

Owns the bytes of HTTP answers and the faults of stage WIRE. Intact answers are written to the transport in one
piece: this costs a fraction of aiohttp's own response, and a load test should load the client, not the simulator.
"""

import asyncio
import gzip
import socket
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from daemon.sim.faults import ActiveFault

JSON: Final = "application/json;charset=UTF-8"
HTML: Final = "text/html;charset=UTF-8"

_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_BLOCK: Final = 256 * 1024
_NO_LINGER: Final = struct.pack("ii", 1, 0)  # closing then sends RST instead of FIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer. `extra` are additional headers."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    extra: tuple[tuple[str, str], ...] = ()


class RawResponse(web.StreamResponse):
    """The bytes of a complete answer; empty if the answer was sent or dropped by other means."""

    def __init__(self, data: bytes, *, keep_alive: bool) -> None:
        super().__init__()
        self._data = data
        self._stay = keep_alive

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request."""
        return self._stay

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the complete answer."""
        transport = request.transport
        if self._data and transport is not None and not transport.is_closing():
            transport.write(self._data)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: `prepare` has written everything."""


def headers_of(answer: Answer, request_id: str, date: str) -> list[tuple[str, str]]:
    """Return the headers of an answer, in order."""
    return [
        ("Date", date),
        ("Server", "api-gateway"),
        ("X-Request-Id", request_id),
        ("Content-Type", answer.content_type),
        *answer.extra,
    ]


def raw_answer(answer: Answer, *, request_id: str, date: str, keep_alive: bool, head_only: bool = False) -> bytes:
    """Return the answer's bytes on the wire."""
    extra = "".join(f"{name}: {value}\r\n" for name, value in answer.extra) if answer.extra else ""
    head = (
        f"{_LINES[answer.status]}Date: {date}\r\nServer: api-gateway\r\nX-Request-Id: {request_id}\r\n"
        f"Content-Type: {answer.content_type}\r\n{extra}Content-Length: {len(answer.body)}\r\n"
        f"{'' if keep_alive else 'Connection: close' + chr(13) + chr(10)}\r\n"
    ).encode("utf-8", "replace")
    return head if head_only else head + answer.body


class FaultySender:
    """Sends the answer to one request, damaged by a fault of stage WIRE."""

    def __init__(self, request: web.BaseRequest, *, request_id: str, date: str) -> None:
        self._request = request
        self._request_id = request_id
        self._date = date

    async def send(self, answer: Answer, fault: ActiveFault) -> web.StreamResponse:
        """Send the answer, damaged by `fault`."""
        streamed = {"drip": self._drip, "huge_body": self._pad, "gzip_bomb": self._bomb}.get(fault.name)
        if streamed is not None:
            return await streamed(answer, fault)
        at_once = {
            "wrong_content_type": self._wrong_content_type,
            "gzip": self._gzip,
            "reset": self._reset,
            "reset_before": self._reset_before,
            "truncated": self._truncated,
            "bad_status_line": self._bad_status_line,
        }[fault.name]
        return at_once(answer, fault)

    def _wrong_content_type(self, answer: Answer, fault: ActiveFault) -> web.StreamResponse:
        return self._plain(replace(answer, content_type=fault.text_of("content_type")))

    def _gzip(self, answer: Answer, _fault: ActiveFault) -> web.StreamResponse:
        extra = (*answer.extra, ("Content-Encoding", "gzip"))
        return self._plain(replace(answer, body=gzip.compress(answer.body, mtime=0), extra=extra))

    def _reset_before(self, _answer: Answer, _fault: ActiveFault) -> web.StreamResponse:
        return self._close_after(b"")

    def _truncated(self, answer: Answer, _fault: ActiveFault) -> web.StreamResponse:
        return self._close_after(self._bytes(answer, keep_alive=True)[: -max(1, len(answer.body) // 2)])

    def _bad_status_line(self, answer: Answer, _fault: ActiveFault) -> web.StreamResponse:
        return self._close_after(b"200 MetaStudio is fine\r\n\r\n" + answer.body)

    def _bytes(self, answer: Answer, *, keep_alive: bool) -> bytes:
        return raw_answer(answer, request_id=self._request_id, date=self._date, keep_alive=keep_alive)

    def _plain(self, answer: Answer) -> web.StreamResponse:
        keep = self._request.keep_alive
        return RawResponse(self._bytes(answer, keep_alive=keep), keep_alive=keep)

    def _close_after(self, data: bytes) -> web.StreamResponse:
        transport = self._request.transport
        if transport is not None:
            if data:
                transport.write(data)
            transport.close()
        return RawResponse(b"", keep_alive=False)

    def _reset(self, answer: Answer, fault: ActiveFault) -> web.StreamResponse:
        data = self._bytes(answer, keep_alive=True)[: int(fault.number_of("after"))]
        transport = self._request.transport
        if transport is not None:
            if data:
                transport.write(data)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()
        return RawResponse(b"", keep_alive=False)

    async def _begin(self, answer: Answer, length: int, encoding: str | None = None) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status)
        for name, value in headers_of(answer, self._request_id, self._date):
            response.headers[name] = value
        if encoding is not None:
            response.headers["Content-Encoding"] = encoding
        response.content_length = length
        response.force_close()
        await response.prepare(self._request)
        return response

    async def _drip(self, answer: Answer, fault: ActiveFault) -> web.StreamResponse:
        piece, interval = max(1, int(fault.number_of("piece"))), fault.number_of("interval")
        response = await self._begin(answer, len(answer.body))
        for at in range(0, len(answer.body), piece):
            await asyncio.sleep(interval)
            await response.write(answer.body[at : at + piece])
        return response

    async def _pad(self, answer: Answer, fault: ActiveFault) -> web.StreamResponse:
        size = int(fault.number_of("size"))
        response = await self._begin(answer, max(size, len(answer.body)))
        await response.write(answer.body)
        for length in _blocks(size - len(answer.body)):
            await response.write(b" " * length)
        return response

    async def _bomb(self, answer: Answer, fault: ActiveFault) -> web.StreamResponse:
        bomb = gzip_of_spaces(int(fault.number_of("size")))
        response = await self._begin(answer, len(bomb), "gzip")
        await response.write(bomb)
        return response


def _blocks(total: int) -> Iterator[int]:
    while total > 0:
        yield min(total, _BLOCK)
        total -= _BLOCK


@lru_cache(maxsize=4)
def gzip_of_spaces(size: int) -> bytes:
    """Return a gzip file about a thousandth of `size` that inflates to `size` spaces (rounded down to 256 KiB
    blocks, at least one)."""
    block = b" " * _BLOCK
    count = max(1, size // _BLOCK)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    first = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(count):
        checksum = zlib.crc32(block, checksum)
    end = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    return head + first * count + end + struct.pack("<II", checksum, (count * _BLOCK) & 0xFFFFFFFF)
