"""MetaStudio's callbacks: `POST /callbacks/{project}`, and with a secret path part where they are not signed.

Owns who is believed, and how far: a genuine callback makes a job due now, it never changes one. The answer never
waits for the service.
"""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from daemon.domain.jobs import JobId, ProjectName, Tracking
from daemon.domain.text import clean
from daemon.folding import Folding
from daemon.logs import LogEvent, logger
from daemon.metastudio import callback
from daemon.metastudio.kinds import AVATAR
from daemon.store import Known, StoreError, TrackRequest
from daemon.web.bodies import Refused, machine_answer, read_body, same
from daemon.web.ground import WebGround
from daemon.web.settings import CallbackAuth, CallbackSettings, callback_secret, callback_url

log = logger(__name__)

_RESULT_SHOWN = 64
"""Characters of a callback's result in the log: its body is not signed."""
_ASKED_AT_ONCE = 2
"""Jobs whose kind is asked for at the same time: more would keep all looks at jobs waiting, and each other."""
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
"""Seconds to the second question for a kind, and at most between two; each pause is twice the one before."""
_WRONG = (
    "this callback is not believed: the project takes none, or its signature or secret is wrong, or too old. "
    "`wrapd callback-url PROJECT` prints the address and says which auth_type and key go with it"
)


def router(ground: WebGround) -> APIRouter:
    """The routes of callbacks."""
    routes = APIRouter(prefix="/callbacks")
    refusals = Folding(log, ground.clock)
    kinds = _Kinds(ground)

    async def take(request: Request, project: str, secret: str | None) -> JSONResponse:
        try:
            name = ProjectName(project)
            settings = _believed(ground, request, name, secret)
            body = await read_body(request, most=callback.MAX_BODY)
            return machine_answer(await _take(ground, kinds, name, settings, callback.read_callback(body)))
        except Refused as refused:
            if refused.status == 401:
                known = name if name in ground.projects else None  # what a stranger makes up stands in no line
                refusals.note(LogEvent.CALLBACK_REFUSED, project=known)
            return refused.answer()

    @routes.post("/{project}")
    async def take_signed(request: Request, project: str) -> JSONResponse:
        return await take(request, project, None)

    @routes.post("/{project}/{secret}")
    async def take_by_secret(request: Request, project: str, secret: str) -> JSONResponse:
        return await take(request, project, secret)

    return routes


def _believed(ground: WebGround, request: Request, project: ProjectName, secret: str | None) -> CallbackSettings:
    """The project's settings. Raises Refused: 401 for one that is not genuine, and where the project takes none or
    there is none: strangers learn no project's name."""
    settings = ground.settings.callbacks.get(project)
    public_url = ground.settings.public_url
    if settings is None or public_url is None or project not in ground.projects:
        raise Refused(401, _WRONG)
    if settings.auth is CallbackAuth.NONE:
        genuine = secret is not None and same(secret, callback_secret(project, settings))
    else:
        query = request.scope["query_string"].decode("latin-1")
        url = callback_url(public_url, project, settings)
        now = ground.clock.now()
        genuine = secret is None and callback.is_genuine(query, callback_url=url, key=settings.key, now=now)
    if not genuine:
        raise Refused(401, _WRONG)
    return settings


async def _take(
    ground: WebGround,
    kinds: "_Kinds",
    project: ProjectName,
    settings: CallbackSettings,
    said: callback.Callback | None,
) -> dict[str, object]:
    """Act on a genuine callback. One that names no job is taken all the same: sending it again would not help."""
    if said is None:
        log.info(LogEvent.CALLBACK_TAKEN, project=project, job=None, watched=False)
        return {"job_id": None, "watched": False}
    watched = ground.hint(project, said.job_id)
    if not watched:
        watched = await _take_unwatched(ground, kinds, project, settings, said.job_id)
    result = None if said.result is None else clean(said.result[:_RESULT_SHOWN])
    log.info(LogEvent.CALLBACK_TAKEN, project=project, job=said.job_id, result=result, watched=watched)
    return {"job_id": said.job_id, "watched": watched}


async def _take_unwatched(
    ground: WebGround, kinds: "_Kinds", project: ProjectName, settings: CallbackSettings, job_id: JobId
) -> bool:
    """Track a job that nobody watches, where that is wanted. Raises Refused (503) where it cannot be stored: the
    service may send the callback again."""
    at = ground.clock.now()
    try:
        found = await ground.store.read_async(lambda tx: tx.jobs.known(project, [job_id]).get(job_id))
        if not _is_wanted(found, track_unknown=settings.track_unknown):
            return found is not None and found.tracking is Tracking.ACTIVE
        kind = AVATAR.name if found is None else found.kind
        request = TrackRequest(project=project, kind=kind, job_id=job_id)
        await ground.store.write(lambda tx: tx.jobs.track(request, at=at))
    except StoreError:
        raise Refused(503, "the database does not take it now; try again", headers={"Retry-After": "5"}) from None
    ground.tracked()
    if found is None:
        kinds.settle(request)
    return True


def _is_wanted(found: Known | None, *, track_unknown: bool) -> bool:
    """Whether a job is to be tracked because the service says that it ended. One that was given up comes back; one
    that a person stopped stays so."""
    if found is None:
        return track_unknown
    return found.tracking in (Tracking.LOST, Tracking.EXPIRED)


class _Kinds:
    """Finds out of what kind the jobs are that callbacks named: a callback does not say it, so they are tracked as
    avatar videos until the service did. Where it does not answer, it is asked again, for as long as the job is
    watched, and a while after its end: as another kind it would be lost, or its links never renewed."""

    def __init__(self, ground: WebGround) -> None:
        self._ground = ground
        self._turns = asyncio.Semaphore(_ASKED_AT_ONCE)

    def settle(self, request: TrackRequest) -> None:
        """Begin to; nobody waits for it."""
        self._ground.tasks.spawn("kind", self._try(request, _FIRST_PAUSE), job=request.job_id)

    async def _try(self, request: TrackRequest, pause: float) -> None:
        try:
            settled = await self._settled(request, last=pause >= _LONGEST_PAUSE)
        except StoreError:
            settled = False
        if not settled:
            longer = min(2 * pause, _LONGEST_PAUSE)
            self._ground.tasks.spawn_later(pause, "kind", lambda: self._try(request, longer), job=request.job_id)

    async def _settled(self, request: TrackRequest, *, last: bool) -> bool:
        """Whether there is nothing more to find out; `last`: of a job that has ended. Raises StoreError."""
        ground = self._ground
        async with self._turns:
            found = await ground.store.read_async(
                lambda tx: tx.jobs.known(request.project, [request.job_id]).get(request.job_id)
            )
            if found is None or found.tracking not in (Tracking.ACTIVE, Tracking.FINISHED):
                return True
            if found.kind != request.kind:  # somebody said it meanwhile
                return True
            kind = await ground.kind_of(request.project, request.job_id)
        if kind is None:
            return last and found.tracking is Tracking.FINISHED
        if kind == request.kind:
            return True
        right = TrackRequest(project=request.project, kind=kind, job_id=request.job_id)
        await ground.store.write(lambda tx: tx.jobs.track(right, at=ground.clock.now()))
        ground.tracked()
        return True
