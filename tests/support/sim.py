"""Talks to a simulator through the official SDK or with raw bytes over a socket."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ServiceResponseException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkmetastudio.v1 import MetaStudioClient

from daemon.sim import Simulator


@contextlib.contextmanager
def sdk(
    sim: Simulator,
    *,
    access_key: str | None = None,
    secret_key: str | None = None,
    project_id: str | None = None,
    security_token: str | None = None,
) -> Iterator[MetaStudioClient]:
    """Open the official client for `sim`, with the simulator's credentials unless others are given."""
    credentials = BasicCredentials(
        access_key or sim.settings.access_key,
        secret_key or sim.settings.secret_key,
        project_id or sim.settings.project_id,
    )
    if security_token is not None:
        credentials = credentials.with_security_token(security_token)
    client = (
        MetaStudioClient.new_builder()
        .with_http_config(HttpConfig(timeout=(5, 10)))
        .with_credentials(credentials)
        .with_endpoint(sim.url)
        .build()
    )
    try:
        yield client
    finally:
        client.get_http_client().close()
        client.get_http_client().executor.shutdown()


async def ask(method: Callable[[Any], Any], request: object) -> Any:
    """Call the blocking SDK in a thread while the simulator runs on this loop."""
    return await asyncio.to_thread(method, request)


async def refusal(method: Callable[[Any], Any], request: object) -> ServiceResponseException:
    """Return the SDK's exception for a call that must fail."""
    try:
        answer = await ask(method, request)
    except ServiceResponseException as error:
        return error
    raise AssertionError(f"the SDK took it: {answer}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """The bytes received until the connection ended. `ended` is "eof", "reset" or "open" (still open)."""

    data: bytes
    ended: str
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


async def exchange(
    sim: Simulator,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    wait: float = 10.0,
) -> Raw:
    """Send one request with exactly these headers (and Host, Content-Length, Connection: close). Read until the
    connection ends or for `wait` seconds."""
    port = int(sim.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = {
        "Host": f"127.0.0.1:{port}",
        "Connection": "close",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    writer.write(head.encode() + b"\r\n" + body)
    data, ended = bytearray(), "open"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait):
            try:
                while piece := await reader.read(65536):
                    data += piece
                ended = "eof"
            except ConnectionResetError:
                ended = "reset"
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return _parse(bytes(data), ended)


def _parse(data: bytes, ended: str) -> Raw:
    head, found, body = data.partition(b"\r\n\r\n")
    if not found or not head.startswith(b"HTTP/1.1 "):
        return Raw(data=data, ended=ended)
    line, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Raw(data=data, ended=ended, status=int(line.split()[1]), headers=headers, body=body)


def token_of(sim: Simulator) -> dict[str, str]:
    """Return the header of a request with the simulator's static token."""
    return {"X-Auth-Token": sim.settings.token}


def show_path(sim: Simulator, job_id: str, *, kind: str = "2d") -> str:
    """Return the path of the show operation."""
    return f"/v1/{sim.settings.project_id}/{kind}-digital-human-videos/{job_id}"


async def show(sim: Simulator, job_id: str, *, kind: str = "2d", query: str = "") -> Raw:
    """Show a job, with the static token."""
    return await exchange(sim, "GET", show_path(sim, job_id, kind=kind) + query, headers=token_of(sim))


async def list_jobs(sim: Simulator, query: str = "", *, host: str | None = None) -> Any:
    """Return the decoded answer of the list operation, requested under the Host `host`; it must succeed."""
    path = f"/v1/{sim.settings.project_id}/digital-human-videos{query}"
    raw = await exchange(sim, "GET", path, headers=token_of(sim) | ({"Host": host} if host else {}))
    assert raw.status == 200, raw.data
    return raw.json()
