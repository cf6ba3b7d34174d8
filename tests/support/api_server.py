"""A small HTTP server with the API's shapes of jobs and events, whose connections a test can cut."""

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "wrapd_01234567_0123456789abcdef0123456789abcdef"
_END = object()


class ApiServer:
    """As a context manager. `put` changes a job and sends its event; with `silent`, it sends none."""

    def __init__(self, *, page: int = 2, kept: int = 100) -> None:
        self.jobs: dict[tuple[str, str], dict[str, Any]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        """Batches by their names; those of `main`."""
        self.ending: dict[str, Any] | None = None
        """What is estimated for any jobs together; None: a version that has no such route."""
        self.projects = ["main"]
        """Those of its config."""
        self.asked: list[str] = []
        self.resumed: list[str | None] = []
        """The Last-Event-ID of each event stream, in order."""
        self.refuse: int | None = None
        """If set, each request gets this status."""
        self._page, self._kept = page, kept
        self._events: list[tuple[int, str, Any]] = []
        self._number = 0
        self._streams: list[queue.SimpleQueue[Any]] = []
        self._changed = threading.Condition()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner._answer(self)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def put(self, job_id: str, state: str | None, *, silent: bool = False, **more: Any) -> None:
        key = "main", job_id
        ended = state in ("SUCCEED", "PARTIAL_SUCCEED", "FAILED", "CANCELED")
        new = {
            "project": "main",
            "job_id": job_id,
            "label": None,
            "name": None,
            "tags": [],
            "batch": "b",
            "state": state,
            "state_since": "2026-03-01T12:00:00Z",
            "error_code": None,
            "error_msg": None,
            "tracking": "finished" if ended else "active",
            "eta": None,
        }
        with self._changed:
            self.jobs[key] = {
                **new,
                **self.jobs.get(key, {}),
                **{k: new[k] for k in ("state", "tracking")},
                **more,
            }
            if not silent:
                data = {"project": "main", "job_id": job_id, "version": 1, "state": state, "ended": ended}
                self._send("job", data)

    def say(self, event: str, data: Any) -> None:
        with self._changed:
            self._send(event, data)

    def cut(self) -> None:
        """End every event stream."""
        with self._changed:
            for stream in self._streams:
                stream.put(_END)
            self._streams.clear()

    def cut_within(self, job_id: str, state: str) -> None:
        """End every event stream in the middle of the event of this change."""
        with self._changed:
            streams, self._streams = self._streams, []
            self.put(job_id, state)
            for stream in streams:
                stream.put(b"id: %d\nevent: job\ndata: {" % self._number)

    def forget(self) -> None:
        """Drop old events: who resumes gets `resync`."""
        with self._changed:
            self._events.clear()

    def wait_for_streams(self, count: int) -> None:
        """Return once so many event streams were opened in all."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.resumed) >= count, 60)

    def _send(self, event: str, data: Any) -> None:
        self._number += 1
        self._events.append((self._number, event, data))
        for stream in self._streams:
            stream.put(self._events[-1])

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        self.asked.append(request.path)
        if self.refuse is not None:
            return self._problem(request, self.refuse, "refused by the test")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._problem(request, 401, "the token is not known")
        if parts.path == "/api/v1/events":
            return self._stream(request)
        if parts.path == "/api/v1/jobs":
            return self._json(request, 200, self._list(parse_qs(parts.query)))
        if parts.path.startswith("/api/v1/batches/main/"):
            batch = self.batches.get(unquote(parts.path.rpartition("/")[2]))
            return self._problem(request, 404, "none") if batch is None else self._json(request, 200, batch)
        if parts.path == "/api/v1/jobs/ending" and self.ending is not None:
            return self._json(request, 200, self.ending)
        if parts.path == "/api/v1/projects":
            return self._json(request, 200, {"items": [{"project": each} for each in self.projects]})
        project, _, job_id = parts.path.removeprefix("/api/v1/jobs/").partition("/")
        job = self.jobs.get((unquote(project), unquote(job_id)))
        return self._problem(request, 404, "no such job") if job is None else self._json(request, 200, job)

    def _list(self, query: dict[str, list[str]]) -> dict[str, Any]:
        given = {name: values[0] for name, values in query.items()}
        first = int(given.get("cursor", 0))
        fit = [
            job
            for job in self.jobs.values()
            if all(job[name] == given[name] for name in ("batch", "project", "tracking") if name in given)
            and ("tag" not in given or given["tag"] in job["tags"])
        ]
        more = first + self._page < len(fit)
        # A search examines only so many jobs for each page.
        items = [job for job in fit[first : first + self._page] if given.get("q", "") in job["job_id"]]
        return {"items": items, "next": str(first + self._page) if more else None, "as_of": "2026-03-01T12:00:00Z"}

    def _stream(self, request: BaseHTTPRequestHandler) -> None:
        last = request.headers.get("Last-Event-ID")
        news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._changed:
            if last is not None:
                missed = [each for each in self._events if each[0] > int(last)]
                whole = self._number == int(last) or (missed and missed[0][0] == int(last) + 1)
                for each in missed if whole else [(self._number, "resync", {})]:
                    news.put(each)
            self._streams.append(news)
            self.resumed.append(last)
            self._changed.notify_all()
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(b"retry: 3000\n\n: hello\n\n")
        while (each := news.get()) is not _END:
            if isinstance(each, bytes):
                request.wfile.write(each)
                break
            number, event, data = each
            request.wfile.write(f"id: {number}\nevent: {event}\ndata: {json.dumps(data)}\n\n".encode())
        request.close_connection = True

    def _problem(self, request: BaseHTTPRequestHandler, status: int, detail: str) -> None:
        said = {"type": "about:blank", "title": "x", "status": status, "detail": detail, "error": detail}
        self._json(request, status, said)

    def _json(self, request: BaseHTTPRequestHandler, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
