"""The front of the simulator: takes a request from the wire and puts the answer on the wire.

Owns the order of the steps: read, count, apply faults, authenticate, check the limits, carry out, send. Reads no
body larger than 32 MiB.
"""

import asyncio
import random
from collections.abc import Callable
from urllib.parse import unquote

from aiohttp import web

from daemon.domain.hosts import is_loopback
from daemon.sim.api import Api
from daemon.sim.calls import Call, route
from daemon.sim.control_http import refusal
from daemon.sim.faults import ActiveFault, Faults, Stage, hit
from daemon.sim.iam import Iam
from daemon.sim.refusals import ErrorAnswer, no_such_api, refused, substitute, throttled
from daemon.sim.settings import SettledSettings
from daemon.sim.stats import RequestCounts
from daemon.sim.storage import Storage
from daemon.sim.tenant import Limiter, Tenant
from daemon.sim.times import SimTime, http_date
from daemon.sim.wire import Answer, FaultySender, RawResponse, raw_answer

MAX_BODY = 32 * 1024 * 1024

ControlAnswer = Callable[[str, str, str, bytes], Answer]
"""Answers a control request: method, raw path, raw query, body."""
_ACTING = frozenset({Stage.BODY, Stage.SERVICE, Stage.LIST})
"""Stages of faults that act while the request is carried out."""


class Front:
    """Handles requests: aiohttp's server calls `handle`. `closing` ends requests held by the fault `hang`."""

    def __init__(
        self,
        settings: SettledSettings,
        *,
        time: SimTime,
        faults: Faults,
        tenant: Tenant,
        api: Api,
        iam: Iam,
        storage: Storage,
        stats: RequestCounts,
        control: ControlAnswer,
    ) -> None:
        self._time = time
        self._faults = faults
        self._tenant = tenant
        self._api = api
        self._iam = iam
        self._storage = storage
        self._control = control
        self._limiter = Limiter(show_rate=settings.show_rate, write_rate=settings.write_rate)
        self._stats = stats
        self.closing = asyncio.Event()
        self._own_host = settings.listen_host
        rng = random.Random(f"requests/{settings.seed}")  # noqa: S311 - repeatable ids, not secrets
        self._request_prefix = rng.randbytes(12).hex()
        self._requests = 0
        self._date = (0, "")

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        self._requests += 1
        request_id = f"{self._request_prefix}{self._requests & 0xFFFFFFFF:08x}"
        try:
            body = await _read(request) if request.can_read_body else b""
        except ErrorAnswer as error:
            return self._send(request, refused(error, request_id), request_id)
        target = request.raw_path
        if not target.startswith("/"):  # absolute form, which clients send to proxies
            target = "/" + target.partition("://")[2].partition("/")[2]
        path, _, query = target.partition("?")
        if path.startswith("/_sim"):
            answer = refusal(request.headers, loopback=is_loopback(self._own_host))
            answer = answer or self._control(request.method, path, query, body)
            return self._send(request, answer, request_id)
        call = self._call(request, path, query, body)
        self._stats.count_request(call.operation, epoch=self._time.now(), monotonic=self._time.monotonic())
        if self._faults.any:
            return await self._handle_faulty(request, call, request_id)
        return self._count_and_send(request, self._answer(call, request_id), request_id)

    def _call(self, request: web.BaseRequest, path: str, query: str, body: bytes) -> Call:
        operation, project_id, kind, item = route(request.method, path)
        headers = request.headers
        return Call(
            operation=operation,
            method=request.method,
            path=path,
            query=query,
            headers=headers,
            body=body,
            base=f"http://{headers.get('Host') or self._own_host}",
            project_id=project_id,
            kind=kind,
            item=unquote(item) if "%" in item else item,
        )

    async def _handle_faulty(self, request: web.BaseRequest, call: Call, request_id: str) -> web.StreamResponse:
        faults = self._faults.applying(call.operation, call.job_ids(), now=self._time.monotonic())
        for fault in faults:
            if fault.name == "clock_skew":  # it affects every request
                hit(fault)
            if fault.kind.stage is Stage.BEFORE:
                hit(fault)
                await asyncio.sleep(fault.number_of("delay"))
        instead = _of(faults, Stage.INSTEAD)
        if instead is not None:
            return await self._instead(request, instead, request_id)
        wire = _of(faults, Stage.WIRE)
        if wire is not None:
            hit(wire)
        acting = [fault for fault in faults if fault.kind.stage in _ACTING]
        answer = self._answer(call, request_id, acting)
        if wire is None:
            return self._count_and_send(request, answer, request_id)
        self._stats.count_answer("none" if wire.name in ("reset", "reset_before") else str(answer.status))
        try:
            return await FaultySender(request, request_id=request_id, date=self._now_date()).send(answer, wire)
        except ConnectionResetError:  # the client gave up on the damaged answer
            return RawResponse(b"", keep_alive=False)

    async def _instead(self, request: web.BaseRequest, fault: ActiveFault, request_id: str) -> web.StreamResponse:
        hit(fault)
        if fault.name != "hang":
            return self._count_and_send(request, substitute(fault, request_id), request_id)
        self._stats.count_answer("none")
        await self.closing.wait()
        return RawResponse(b"", keep_alive=False)

    def _answer(self, call: Call, request_id: str, faults: list[ActiveFault] | None = None) -> Answer:
        try:
            match call.operation:
                case "file":
                    return self._storage.serve(call, request_id, now=self._time.now())
                case "unknown":
                    raise no_such_api()
                case "token":
                    return self._iam.token(call.body)
            self._tenant.check(call)
            if call.operation == "projects":
                return self._iam.projects(call.query, call.base)
            self._tenant.check_project(call)
            if not self._limiter.admit(call.operation, self._time.monotonic()):
                raise throttled()
            return self._api.carry_out(call, faults or [])
        except ErrorAnswer as error:
            return refused(error, request_id)

    def _count_and_send(self, request: web.BaseRequest, answer: Answer, request_id: str) -> web.StreamResponse:
        self._stats.count_answer(str(answer.status))
        return self._send(request, answer, request_id)

    def _send(self, request: web.BaseRequest, answer: Answer, request_id: str) -> web.StreamResponse:
        keep = request.keep_alive
        data = raw_answer(
            answer,
            request_id=request_id,
            date=self._now_date(),
            keep_alive=keep,
            head_only=request.method == "HEAD",
        )
        return RawResponse(data, keep_alive=keep)

    def _now_date(self) -> str:
        second = int(self._time.now())
        if second != self._date[0]:
            self._date = (second, http_date(second))
        return self._date[1]


def _of(faults: list[ActiveFault], stage: Stage) -> ActiveFault | None:
    return next((fault for fault in faults if fault.kind.stage is stage), None)


async def _read(request: web.BaseRequest) -> bytes:
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > MAX_BODY:
            raise ErrorAnswer(413, "APIG.0201", "Request entity too large", gateway=True)
    return bytes(body)
