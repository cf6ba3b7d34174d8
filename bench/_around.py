"""What benchmarks run next to wrapd: a webhook that remembers its messages, free ports, and waiting."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def webhook(*, core: int | None = None) -> Iterator[int]:
    """A webhook in a process of its own, on one `core` if it is given; its port."""
    command = [sys.executable, "-c", _RECEIVE, *([] if core is None else [str(core)])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def received(hook: int) -> list[dict[str, Any]]:
    """What each message held, and `at` (seconds since 1970), in the order of arrival."""
    with urllib.request.urlopen(f"http://127.0.0.1:{hook}/") as answer:
        return json.load(answer)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def until(happened: Callable[[], bool], what: str, *, within: float = 90.0, pace: float = 0.05) -> None:
    """Look each `pace` seconds whether it has happened. Raises TimeoutError if it has not `within` seconds."""
    deadline = time.monotonic() + within
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within:g} s: {what}")
        time.sleep(pace)


_RECEIVE = """
import asyncio, json, os, sys, time

got = []

async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            at = time.time()
            lines = head.decode().split("\\r\\n")
            sizes = [line.split(":")[1] for line in lines if line.lower().startswith("content-length:")]
            length = int(sizes[0]) if sizes else 0
            body = await reader.readexactly(length)
            answer = b""
            if head.startswith(b"POST"):
                got.append((lines[0].split()[1], at, body))
            else:
                names = ("job_id", "state", "download_url", "own_url")
                shown = []
                for path, when, raw in got:
                    said = json.loads(raw)
                    shown.append({"path": path, "at": when} | {name: said.get(name) for name in names})
                answer = json.dumps(shown).encode()
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(answer) + answer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

if len(sys.argv) > 1:
    os.sched_setaffinity(0, {int(sys.argv[1])})
asyncio.run(main())
"""
