"""The MetaStudio operations of the simulator: show, list, create, cancel, asset details.

Owns what each operation does once the request is known to be allowed. Faults that change the service's behaviour
or modify a body act here.
"""

from collections.abc import Sequence
from math import inf
from typing import Any

from daemon.sim.answers import JobRenderer, encode
from daemon.sim.book import Book
from daemon.sim.calls import Call
from daemon.sim.creation import callback_of, check_creation, read_object
from daemon.sim.faults import ActiveFault, hit
from daemon.sim.jobs import Job
from daemon.sim.lies import Lies
from daemon.sim.listing import ListQuery, find, read_query
from daemon.sim.quirks import BENDS, SCRIPT_BENDS
from daemon.sim.refusals import INVALID, NOT_FOUND, ErrorAnswer, invalid, no_such_api, not_found
from daemon.sim.scripts import job_name
from daemon.sim.settings import SettledSettings
from daemon.sim.signing import parse_query
from daemon.sim.times import SimTime
from daemon.sim.wire import Answer


class Api:
    """Carries out calls that have passed the checks and limits. Raises `ErrorAnswer`."""

    def __init__(self, settings: SettledSettings, time: SimTime, book: Book, answers: JobRenderer) -> None:
        self._settings = settings
        self._time = time
        self._book = book
        self._answers = answers
        self.raw: dict[str, bytes] = {}
        """Job id to the body that show returns byte for byte, whether or not such a job exists."""

    def carry_out(self, call: Call, faults: Sequence[ActiveFault]) -> Answer:
        """Return the answer to a call. `faults` are those that act on it."""
        user = call.headers.get("X-App-UserId")
        if user is not None and not user.isascii():
            raise invalid("X-App-UserId")
        match call.operation:
            case "show":
                return Answer(status=200, body=self._show(call, faults))
            case "list":
                return Answer(status=200, body=self._list(call, faults))
            case "create":
                return Answer(status=200, body=encode({"job_id": self._create(call)}))
            case "cancel":
                self._cancel(call, faults)
                return Answer(status=200, body=b"{}")
            case "asset":
                return Answer(status=200, body=encode(self._asset(call)))
            case _:
                raise no_such_api()

    def _show(self, call: Call, faults: Sequence[ActiveFault]) -> bytes:
        raw = self.raw.get(call.item) if self.raw else None
        if raw is not None:
            return raw
        job = self._job(call, faults)
        show_script = bool(call.query) and _show_script(call.query)
        moment = self._time.monotonic()
        plain = not faults and not show_script
        if plain and job.cached is not None and moment < job.cached[0] and job.cached[1] == call.base:
            return job.cached[2]
        self._requeue([job], faults)
        state = job.seek(moment)
        body = self._answers.details(job, base=call.base, now=self._time.now(), show_script=show_script)
        if not plain:
            _bend(job, body.get("job_info", body), faults)
            return encode(body)
        encoded = encode(body)
        if state != "SUCCEED":  # the links of a finished job are signed again for each answer
            following = job.next_change()
            job.cached = (inf if following is None else following, call.base, encoded)
        return encoded

    def _job(self, call: Call, faults: Sequence[ActiveFault]) -> Job:
        job = self._book.get(call.item)
        vanished = _first(faults, "vanished")
        if job is not None and vanished is not None:
            hit(vanished)
        elif job is not None and job.kind is call.kind:
            return job
        as_400 = _first(faults, "quirk_not_found_400")
        if as_400 is None:
            raise not_found()
        hit(as_400)
        raise ErrorAnswer(400, "MSS.00010003", "The task does not exist")

    def _requeue(self, jobs: list[Job], faults: Sequence[ActiveFault]) -> None:
        for fault in faults:
            if fault.name != "requeue":
                continue
            for job in jobs:
                applies = fault.job_id in (None, job.job_id) and fault.times_left != 0
                if applies and self._book.requeue(job, fault=fault.number, wait=fault.number_of("wait")):
                    hit(fault)

    def _list(self, call: Call, faults: Sequence[ActiveFault]) -> bytes:
        moment, now = self._time.monotonic(), self._time.now()
        query = read_query(parse_query(call.query), now=now)
        if faults:
            return self._faulty_list(query, call.base, faults)
        count, jobs = find(self._book, query, now=moment)
        entries = self._answers.entries(jobs, base=call.base, moment=moment, now=now)
        return b'{"count":%d,"jobs":[%b]}' % (count, b",".join(entries))

    def _faulty_list(self, query: ListQuery, base: str, faults: Sequence[ActiveFault]) -> bytes:
        moment, now = self._time.monotonic(), self._time.now()
        lies = Lies(faults, query, now=now, moment=moment)
        count, jobs = find(self._book, lies.query, now=moment, view=lies.view(moment))
        self._requeue(jobs, faults)
        count, jobs = lies.page(count, jobs, self._book)
        page = []
        for job in jobs:
            body = self._answers.summary(job, job.at(lies.moment), base=base, now=now)
            _bend(job, body, faults)
            page.append(body)
        return encode({"count": count, "jobs": page})

    def _create(self, call: Call) -> str:
        assert call.kind is not None
        body = read_object(call.body)
        name, spoken = check_creation(body)
        job = self._book.add_requested(
            call.kind,
            body,
            name=name or job_name(self._book.size),
            spoken=spoken,
            callback=callback_of(body),
        )
        job.user_id = call.headers.get("X-App-UserId")
        return job.job_id

    def _cancel(self, call: Call, faults: Sequence[ActiveFault]) -> None:
        job = self._job(call, faults)
        if not self._book.cancel(job):
            raise ErrorAnswer(400, INVALID, "Invalid parameter: only a task in the WAITING state can be canceled")

    def _asset(self, call: Call) -> dict[str, Any]:
        job = self._book.by_asset(call.item)
        made = job is not None and job.kind.makes_video and job.seek(self._time.monotonic()) == "SUCCEED"
        if job is None or not made:
            raise ErrorAnswer(404, NOT_FOUND, "Not Found")
        return self._answers.asset(job, project_id=self._settings.project_id, base=call.base, now=self._time.now())


def _show_script(query: str) -> bool:
    value = dict(parse_query(query)).get("show_script", "").lower()
    if value not in ("", "true", "false"):
        raise invalid("show_script")
    return value == "true"


def _first(faults: Sequence[ActiveFault], name: str) -> ActiveFault | None:
    return next((fault for fault in faults if fault.name == name), None)


def _bend(job: Job, body: dict[str, Any], faults: Sequence[ActiveFault]) -> None:
    """Apply the body faults to the part of an answer that holds the job's state."""
    for fault in faults:
        bend = BENDS.get(fault.name)
        if bend is None or fault.job_id not in (None, job.job_id) or fault.times_left == 0:
            continue
        if fault.name in SCRIPT_BENDS and not job.kind.scripted:
            continue
        if bend(body, fault):
            hit(fault)
