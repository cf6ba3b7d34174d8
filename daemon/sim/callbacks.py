"""Sends the callback when a job ends: a POST to its `callback_config.callback_url`.

Owns when a callback is due, its signature and the record of those sent. Each is tried once. Never changes a job.
Source: the official SDK's CallBackConfig. It does not document the unit and form of the signed timestamp, so the
settings choose them.
"""

import asyncio
import hashlib
import heapq
import hmac
import json
from typing import Any, Final, Literal

import aiohttp

from daemon.sim.jobs import Job
from daemon.sim.orders import CallbackConfig
from daemon.sim.times import SimTime, iso_exact

Unit = Literal["s", "ms"]
Signed = Literal["decimal", "hex"]

_RESULTS: Final = {"SUCCEED": "SUCCEED", "PARTIAL_SUCCEED": "SUCCEED", "FAILED": "FAILED"}
"""The `result` sent for each end. Canceled and frozen jobs send no callback."""
_NEW_STATE: Final = 1.0
"""Seconds for which a state counts as new: a job created with an end in the past sends no callback for it."""
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)


def signed_url(config: CallbackConfig, *, now: float, unit: Unit, signed: Signed) -> str:
    """Return the callback URL with the parameters that authenticate the sender, as of `now` (epoch seconds)."""
    if config.auth_type == "NONE":
        return config.url
    stamp = round(now * 1000) if unit == "ms" else int(now)
    message = config.url + (f"{stamp:x}" if signed == "hex" else str(stamp))
    secret = hmac.new(config.key.encode(), message.encode(), hashlib.sha256).hexdigest()
    return f"{config.url}{'&' if '?' in config.url else '?'}secret={secret}&time_stamp={stamp:x}"


class Callbacks:
    """Schedules and sends the callbacks of all jobs that have one."""

    def __init__(self, time: SimTime, *, unit: Unit, signed: Signed) -> None:
        self._time = time
        self._unit: Unit = unit
        self._signed: Signed = signed
        self._due: list[tuple[float, int, int, Job]] = []
        self._session: aiohttp.ClientSession | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent: list[dict[str, Any]] = []
        """The callbacks sent: `job_id`, `result`, `at`, and `status` or `error` once answered."""

    def watch(self, job: Job) -> None:
        """Schedule the callback of a job that was created or whose timeline has changed."""
        now = self._time.monotonic()
        position = job.at(now)
        if job.times[position] < now - _NEW_STATE:  # already sent, or older than the job's creation here
            position += 1
        if position < len(job.times):
            self._plan(job, job.times[position])
        self.pump()

    def up(self) -> None:
        """Start or resume sending; callbacks that fell due in between are sent now."""
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        self.pump()

    async def down(self) -> None:
        """Stop sending and cancel the callbacks under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def pump(self) -> None:
        """Send the callbacks that are due and set a timer for the next. The timer follows the event loop's clock:
        a test that moves the clock by hand calls this itself."""
        if self._session is None:
            return
        now = self._time.monotonic()
        while self._due and self._due[0][0] <= now:
            at, _, version, job = heapq.heappop(self._due)
            if version != job.version:
                continue
            self._send(job, at)
            position = job.at(at)
            if position + 1 < len(job.times):
                self._plan(job, job.times[position + 1])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due:
            wait = max(0.001, self._due[0][0] - now)
            self._timer = asyncio.get_running_loop().call_later(wait, self.pump)

    def _plan(self, job: Job, at: float) -> None:
        heapq.heappush(self._due, (at, job.number, job.version, job))

    def _send(self, job: Job, at: float) -> None:
        result = _RESULTS.get(job.states[job.at(at)])
        if result is None or job.callback is None:
            return
        body = {"result": result, "asset_id": job.asset_id, "job_id": job.job_id}
        record = {"job_id": job.job_id, "result": result, "at": iso_exact(self._time.now())}
        self.sent.append(record)
        url = signed_url(job.callback, now=self._time.now(), unit=self._unit, signed=self._signed)
        task = asyncio.get_running_loop().create_task(self._post(url, body, record))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, url: str, body: dict[str, str], record: dict[str, Any]) -> None:
        assert self._session is not None
        data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        try:
            async with self._session.post(url, data=data, headers=headers, allow_redirects=False) as answer:
                record["status"] = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            record["error"] = type(error).__name__
