"""Counts the modules of daemon/ that one answer passes from the wire to the chat, as docs/house.py defines it.

    python docs/wire.py [CHECKOUT]

Runs `wrapd run` with a real SQLite file: one job that has ended at the simulator, one Feishu channel on loopback.
Another checkout can be measured with the same script.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
CARRIERS = frozenset(
    {
        *("Answer", "Shown", "PolledTask", "Observation", "Moved", "Unchanged"),
        *("Occurrence", "Alert", "JobRow", "TransitionRow", "DeliveryRow", "Claimed"),
        *("Claim", "Load", "Prepared", "Telling", "Message", "Rendered", "Written", "PreparedRequest"),
    }
)
"""Names of the classes whose objects carry an answer, `Load` being the first release's name for a claim."""
SUPPORT = frozenset(
    {
        *("daemon.clock", "daemon.logs", "daemon.metrics", "daemon.tasks"),
        *("daemon.store.store", "daemon.store.writer"),  # they run any work, and hand back whatever it returns
        "daemon.notify.outbox.pictures",  # fetches the cover meanwhile; no message without a picture waits for it
    }
)
_REQUEST = frozenset({"PreparedRequest"})
DEPTH = 6
"""Levels of nesting that are searched."""
PATIENCE = 60.0
"""Seconds until the message must have arrived."""


def passed(root: Path = ROOT) -> list[str]:
    """The modules of the checkout at `root` that an answer passes, sorted."""
    with tempfile.TemporaryDirectory(prefix="wrapd-wire-") as name, _simulator(root) as sim, _webhook() as hook:
        job, path = _ended_job(sim)
        folder = Path(name)
        config, found, log = folder / "wrapd.toml", folder / "modules.json", folder / "log"
        config.write_text(_CONFIG.format(hook=hook.server_port, **sim), encoding="utf-8")
        track = [sys.executable, "-m", "daemon.cli", "--config", str(config), "track", job, "--kind", "photo"]
        subprocess.run(track, check=True, cwd=root, env=_environment(root), capture_output=True)  # noqa: S603
        traced = [sys.executable, __file__, "--traced", str(root), path, str(found), str(config)]
        with (
            log.open("wb") as lines,
            subprocess.Popen(traced, cwd=root, env=_environment(root), stderr=lines) as daemon,  # noqa: S603
        ):
            arrived = hook.arrived.wait(PATIENCE)
            daemon.terminate()
        if not arrived:
            raise TimeoutError(log.read_text(encoding="utf-8"))
        return sorted(set(json.loads(found.read_text())) - SUPPORT)


_CONFIG = """operators = []
[channels.hook]
url = "feishu://a-token-of-a-robot/?host=127.0.0.1:{hook}&insecure=yes"
[projects.main]
endpoint = "{url}"
project_id = "{project_id}"
auth = {{ method = "aksk", access_key = "{access_key}", secret_key = "{secret_key}" }}
"""


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root)}


def _ended_job(sim: Mapping[str, str]) -> tuple[str, str]:
    """A job that has succeeded, and the path of its video's URL."""
    body = json.dumps({"jobs": [{"kind": "photo", "timeline": [["SUCCEED", None]]}]}).encode()
    with urllib.request.urlopen(f"{sim['url']}/_sim/jobs", data=body) as answer:  # noqa: S310
        (job,) = json.load(answer)["job_ids"]
    url = f"{sim['url']}/v1/{sim['project_id']}/photo-digital-human-videos/{job}"
    request = urllib.request.Request(url, headers={"X-Auth-Token": sim["token"]})  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        texts = answer.read().decode().split('"')
    return job, next(urlsplit(text).path for text in texts if text.startswith("http") and ".mp4" in text)


@contextlib.contextmanager
def _simulator(root: Path) -> Iterator[dict[str, str]]:
    command = [sys.executable, "-c", _SERVE]
    environment = _environment(root)
    with subprocess.Popen(  # noqa: S603
        command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


_SERVE = """
import asyncio, json
from daemon.sim import SimSettings, Simulator

async def serve():
    async with Simulator(SimSettings(show_rate=None, write_rate=None)) as sim:
        keys = sim.settings
        print(json.dumps({"url": sim.url, "access_key": keys.access_key, "secret_key": keys.secret_key,
                          "project_id": keys.project_id, "token": keys.token}), flush=True)
        await asyncio.Event().wait()

asyncio.run(serve())
"""


class _Webhook(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arrived = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Webhook

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"code": 0}')
        self.server.arrived.set()

    def log_message(self, *_args: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def _webhook() -> Iterator[_Webhook]:
    with _Webhook() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


# --------------------------------------------------------------------------------- inside the traced process


class _Trace:
    """Notes which modules get a carrier from another module and hand one to another. It begins with the answer's
    body, the first value that holds the path of the job's video, and ends with the request to the chat."""

    def __init__(self, root: Path, path: str) -> None:
        self._prefix = str(root / "daemon") + os.sep
        self._path = path
        self._begun = self._ended = False
        self._got: set[str] = set()
        self._gave: set[str] = set()
        self._ends: set[str] = set()

    @property
    def modules(self) -> set[str]:
        return (self._got & self._gave) - {""} | self._ends

    def __call__(self, frame: FrameType, event: str, value: object) -> None:
        code = frame.f_code
        if self._ended or event not in ("call", "return") or not code.co_filename.startswith(self._prefix):
            return
        values = [value] if event == "return" else _arguments(frame)
        name = str(frame.f_globals.get("__name__"))
        if not self._begun:
            if not any(_holds(each, self._path, frozenset()) for each in values):
                return
            self._begun = True
            self._ends.add(name)
        if name.endswith(".bounded") and any(_holds(each, self._path, _REQUEST) for each in values):
            self._ended = True
            self._ends.add(name)
        other = self._caller(frame)
        if other != name and any(_holds(each, self._path, CARRIERS) for each in values):
            giver, taker = (other, name) if event == "call" else (name, other)
            self._gave.add(giver)
            self._got.add(taker)

    def _caller(self, frame: FrameType | None) -> str:
        """The nearest calling module of daemon/; '' at the bottom of a thread or of a task."""
        while (frame := frame.f_back if frame is not None else None) is not None:
            if frame.f_code.co_filename.endswith("asyncio/events.py"):
                break
            if frame.f_code.co_filename.startswith(self._prefix):
                return str(frame.f_globals.get("__name__"))
        return ""


def _arguments(frame: FrameType) -> list[Any]:
    """What a function was called with, without `self`: a carrier's own methods pass nothing on."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    names = [each for each in code.co_varnames[:count] if each != "self"]
    return [frame.f_locals[each] for each in names if each in frame.f_locals]


def _holds(value: Any, path: str, carriers: frozenset[str], depth: int = DEPTH) -> bool:
    """Whether a value is or contains a carrier, or contains the path. A text by itself is a part of an answer, no
    answer; objects that are no values (a store, a lane, a channel) are not searched."""
    if type(value).__name__ in carriers:
        return True
    if isinstance(value, bytes | bytearray):
        return path.encode() in value
    if isinstance(value, str):
        return depth < DEPTH and path in value
    if depth == 0 or value is None or isinstance(value, type | int | float):
        return False
    if isinstance(value, dict):
        inner: Any = value.values()
    elif isinstance(value, tuple | list | set | frozenset) or hasattr(value, "_mapping"):
        inner = tuple(value)
    elif dataclasses.is_dataclass(value):
        inner = (getattr(value, each.name, None) for each in dataclasses.fields(value))
    else:
        inner = (getattr(value, each, None) for each in getattr(value, "__struct_fields__", ()))
    return any(_holds(each, path, carriers, depth - 1) for each in inner)


def _traced(root: str, path: str, found: str, config: str) -> None:
    """Run the daemon until it is terminated, then write the modules."""
    from daemon.cli import main as wrapd  # noqa: PLC0415 - of the checkout at `root`

    trace = _Trace(Path(root), path)
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        wrapd(["--config", config, "run"])
    finally:
        sys.setprofile(None)
        Path(found).write_text(json.dumps(sorted(trace.modules)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--traced"]:
        _traced(*sys.argv[2:])
    else:
        modules = passed(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT)
        sys.stdout.write(f"modules from the wire to the chat: {len(modules)}\n")
        sys.stdout.write("".join(f"    {each}\n" for each in modules))
