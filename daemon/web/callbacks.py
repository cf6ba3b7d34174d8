"""MetaStudio's callbacks: `POST /callbacks/{project}`, with a secret part of the path if they are not signed.

Decides which callbacks to believe. Even a genuine one only makes its job due now and never changes it. The answer
does not wait for the service.
"""

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from daemon.commands import SignatureUsed, TooManyUnknown, called_back
from daemon.domain.jobs import JobId, ProjectName
from daemon.domain.text import clean
from daemon.folding import Folding
from daemon.logs import LogEvent, logger
from daemon.metastudio import callback
from daemon.store import StoreError, TrackResult, Transaction
from daemon.web.bodies import ApiRequest, HttpError, machine_answer, read_body, same
from daemon.web.context import WebContext
from daemon.web.settings import CallbackAuth, CallbackSettings, callback_secret, callback_url

log = logger(__name__)

_RESULT_SHOWN = 64
"""Maximum characters of a callback's result in the log, since its body is not signed."""
_LOGGED = (401, 409)
"""Statuses of refusals that are logged."""
_REFUSED = (
    "this callback is not accepted: the project takes none, or its signature or secret is wrong or too old. "
    "`wrapd callback-url PROJECT` prints the address, and says which auth_type and key belong to it"
)


def handlers(context: WebContext) -> list[HTTPRouteHandler]:
    """The routes of the callbacks."""
    refusals = Folding(log, context.clock)

    async def take(request: ApiRequest, project: str, secret: str | None) -> Response[object]:
        try:
            name = ProjectName(project)
            settings, signature = _authenticate(context, request, name, secret)
            body = await read_body(request, most=callback.MAX_BODY)
            said = callback.read_callback(body)
            return machine_answer(await _take(context, name, settings, said, signature))
        except HttpError as refused:
            if refused.status in _LOGGED:
                known = name if name in context.projects else None  # names made up by strangers are not logged
                refusals.note(LogEvent.CALLBACK_REFUSED, project=known)
            return refused.answer()

    @post("/callbacks/{project:str}", include_in_schema=False, status_code=200)
    async def take_signed(request: ApiRequest, project: FromPath[str]) -> Response[object]:
        return await take(request, project, None)

    @post("/callbacks/{project:str}/{secret:str}", include_in_schema=False, status_code=200)
    async def take_by_secret(
        request: ApiRequest, project: FromPath[str], secret: FromPath[str]
    ) -> Response[object]:
        return await take(request, project, secret)

    return [take_signed, take_by_secret]


def _authenticate(
    context: WebContext, request: ApiRequest, project: ProjectName, secret: str | None
) -> tuple[CallbackSettings, str | None]:
    """Authenticate a callback; returns the project's settings, and the signature of a signed one. Raises HttpError
    401 if it is not genuine. So it does for unknown projects, whose names strangers must not learn."""
    settings = context.settings.callbacks.get(project)
    public_url = context.settings.public_url
    if settings is None or public_url is None or project not in context.projects:
        raise HttpError(401, _REFUSED)
    signature = None
    if settings.auth is CallbackAuth.NONE:
        genuine = secret is not None and same(secret, callback_secret(project, settings))
    else:
        query = request.scope["query_string"].decode("latin-1")
        url = callback_url(public_url, project, settings)
        now = context.clock.now()
        genuine = secret is None and callback.is_genuine(query, callback_url=url, key=settings.key, now=now)
        signature = callback.signature_of(query)
    if not genuine:
        raise HttpError(401, _REFUSED)
    return settings, signature


async def _take(
    context: WebContext,
    project: ProjectName,
    settings: CallbackSettings,
    said: callback.Callback | None,
    signature: str | None,
) -> dict[str, object]:
    """Act on a genuine callback. One without a job is accepted as well: sending it again would not help."""
    if said is None:
        log.info(LogEvent.CALLBACK_TAKEN, project=project, job=None, watched=False)
        return {"job_id": None, "watched": False}
    watched = context.hint(project, said.job_id)
    if not watched:
        watched = await _take_unwatched(context, project, settings, said.job_id, signature)
    result = None if said.result is None else clean(said.result[:_RESULT_SHOWN])
    log.info(LogEvent.CALLBACK_TAKEN, project=project, job=said.job_id, result=result, watched=watched)
    return {"job_id": said.job_id, "watched": watched}


async def _take_unwatched(
    context: WebContext,
    project: ProjectName,
    settings: CallbackSettings,
    job_id: JobId,
    signature: str | None,
) -> bool:
    """Track a job that is not being watched, if the settings ask for it. Raises HttpError: 409 if the signature
    was used for another job, 503 if it cannot be stored; the service may then send the callback again."""

    def work(tx: Transaction) -> TrackResult | None:
        return called_back(
            tx,
            project,
            job_id,
            at=context.clock.now(),
            track_unknown=settings.track_unknown,
            signature=signature,
        )

    try:
        result = await context.store.write(work)
    except StoreError:
        raise HttpError(
            503, "the database is not available now; try again", headers={"Retry-After": "5"}
        ) from None
    except TooManyUnknown as error:
        raise HttpError(503, f"{error}; try again later", headers={"Retry-After": "60"}) from None
    except SignatureUsed as error:
        raise HttpError(409, f"{error}; sign each callback separately") from None
    return result is not None
