"""The web application: the probes, and with a `WebContext` also the API, the callbacks and the video links.

Every error is answered as a problem (RFC 9457), or to people by a page. The probes do not use the store.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Litestar, Response, get
from litestar.di import Provide
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, ExceptionHandlersMap
from msgspec import Struct

from daemon.errors import UnknownName, UsageFault, WrapdError
from daemon.store import StoreError
from daemon.web import callbacks, links, openapi, scopes
from daemon.web.access import Doorkeeper
from daemon.web.api import (
    batches,
    bulk,
    channels,
    deliveries,
    events,
    jobs,
    kept,
    mutes,
    overview,
    projects,
    shares,
    tokens,
)
from daemon.web.api.lists import require_known_parameters
from daemon.web.api.shapes import answers
from daemon.web.bodies import ApiRequest, BoundedRequest, HttpError, machine_answer
from daemon.web.connections import FAILED
from daemon.web.context import WebContext
from daemon.web.guard import OWN_ERROR
from daemon.web.health import Health, Probes
from daemon.web.pages import batches as batches_page
from daemon.web.pages import bulk as bulk_pages
from daemon.web.pages import channels as channels_page
from daemon.web.pages import deliveries as deliveries_page
from daemon.web.pages import engine, login, share
from daemon.web.pages import job as job_page
from daemon.web.pages import jobs as jobs_page
from daemon.web.pages import needs as needs_forms
from daemon.web.pages import overview as overview_page
from daemon.web.pages import projects as projects_page
from daemon.web.pages import stats as stats_page
from daemon.web.tracking import MAX_BODY

API = (
    *batches.HANDLERS,
    *bulk.HANDLERS,
    *channels.HANDLERS,
    *deliveries.HANDLERS,
    *events.HANDLERS,
    *jobs.HANDLERS,
    *kept.HANDLERS,
    *mutes.HANDLERS,
    *overview.HANDLERS,
    *projects.HANDLERS,
    *shares.HANDLERS,
    *tokens.HANDLERS,
)
"""The handlers of the API."""
PAGES = (
    *overview_page.HANDLERS,
    *needs_forms.HANDLERS,
    *jobs_page.HANDLERS,
    *bulk_pages.HANDLERS,
    *job_page.HANDLERS,
    *batches_page.HANDLERS,
    *share.HANDLERS,
    *deliveries_page.HANDLERS,
    *channels_page.HANDLERS,
    *projects_page.HANDLERS,
    *stats_page.HANDLERS,
    *login.HANDLERS,
)
"""Those of the pages."""


class App(Struct, frozen=True):
    """The application, and what its server uses too."""

    asgi: ASGIApp
    context: WebContext | None = None


def build_app(
    probes: Probes,
    metrics_text: Callable[[], Awaitable[bytes]],
    *,
    metrics_type: str,
    context: WebContext | None = None,
) -> App:
    """Create the application. It has no documentation pages and keeps no state."""
    handlers = _probes(probes, metrics_text, metrics_type)
    made = list(handlers)
    if context is not None:
        described = openapi.handler([*handlers, *API])
        made += [described, *API, *PAGES, *callbacks.handlers(context), *links.handlers(context)]
    keeper = Doorkeeper(context)
    app = Litestar(
        made,
        request_class=BoundedRequest,
        guards=[keeper.admit],
        dependencies={
            "context": Provide(lambda: context, sync_to_thread=False),
            "keeper": Provide(lambda: keeper, sync_to_thread=False),
        },
        before_request=_prepare,
        exception_handlers=_answered(context),
        openapi_config=None,
        logging_config=None,
        request_max_body_size=MAX_BODY,
    )
    return App(app, context)


async def _prepare(request: ApiRequest) -> None:
    """What comes before the handlers of the pages and of the API."""
    if _is_page(request):
        await engine.make_ready()
    elif request.scope["path"].startswith("/api/"):
        await require_known_parameters(request)


def _answered(context: WebContext | None) -> ExceptionHandlersMap:
    """How each error is answered: to pages by a page, to others by a problem."""

    def told(request: ApiRequest, error: HttpError) -> Response[Any]:
        if context is not None and _is_page(request):
            return login.show_error(request, context, error)
        return error.answer()

    def not_found(request: ApiRequest, error: HTTPException) -> Response[Any]:
        if context is not None and context.settings.pages and _wants_page(request):
            return login.show_error(request, context, _problem(error))
        return _problem(error).answer()

    def failed(request: ApiRequest, error: Exception) -> Response[Any]:
        if not _is_page(request):
            raise error  # left to the guard, which knows whom to tell
        request.scope["state"][FAILED] = error  # so that the guard tells them after all
        return told(request, HttpError(500, OWN_ERROR))

    return {
        HttpError: told,
        HTTPException: lambda request, error: told(request, _problem(error)),
        NotFoundException: not_found,
        MethodNotAllowedException: not_found,
        StoreError: lambda request, _: told(request, _unavailable()),
        UnknownName: lambda request, error: told(request, _refused(error)),
        UsageFault: lambda request, error: told(request, _refused(error)),
        Exception: failed,
    }


def _is_page(request: ApiRequest) -> bool:
    """Whether the request's route is a page or a form of one; False if it has no route."""
    return request.scope.get("path_template") in scopes.PAGES


def _wants_page(request: ApiRequest) -> bool:
    """Whether somebody opened a wrong address in a browser."""
    tools = request.scope["path"].startswith(_TOOLS)
    return request.method == "GET" and not tools and "text/html" in request.headers.get("accept", "").lower()


_TOOLS = ("/api/", "/callbacks/")


class ProbeAnswer(msgspec.Struct, kw_only=True):
    """The answer of a probe: `ok` or `stalled`, and the parts that are, with their pause in seconds."""

    status: str
    stalled: dict[str, float | None]


_BUSY = "the database is not available now; nothing was changed, try again"


def _probes(
    probes: Probes, metrics_text: Callable[[], Awaitable[bytes]], metrics_type: str
) -> list[HTTPRouteHandler]:
    def answer(health: Health) -> Response[object]:
        body = {"status": "ok" if health.ok else "stalled", "stalled": health.stalled}
        return machine_answer(body, status=200 if health.ok else 503)

    @get("/healthz", responses=answers(ProbeAnswer, "The daemon works."))
    async def healthz() -> Response[object]:
        """Return whether the daemon works."""
        return answer(probes.alive())

    @get("/readyz", responses=answers(ProbeAnswer, "The daemon works, and its results are stored."))
    async def readyz() -> Response[object]:
        """Return whether the daemon works, and its results are stored."""
        return answer(probes.ready())

    @get("/metrics", media_type="text/plain")
    async def metrics() -> Response[bytes]:
        """Return the metrics in Prometheus' text format."""
        return Response(await metrics_text(), media_type=metrics_type)

    return [healthz, readyz, metrics]


def _problem(error: HTTPException) -> HttpError:
    """An error that Litestar found, in our words."""
    if error.status_code == 405:
        return HttpError(
            405, "this path does not take the method; Allow names those it takes", headers=error.headers
        )
    if error.status_code == 404:
        return HttpError(404, "there is nothing at this path", key="no_page")
    if isinstance(error, ValidationException):
        return _wrong_values(error)
    return HttpError(error.status_code, error.detail, headers=error.headers)


def _wrong_values(error: ValidationException) -> HttpError:
    """Parameters or a body of wrong types, each named with its place."""
    found = [each for each in error.extra if isinstance(each, dict)] if isinstance(error.extra, list) else []
    texts = ((str(each.get("key", "")), str(each.get("message", ""))) for each in found)
    faults = [{"place": key, "text": "it is missing" if text == repr(key) else text} for key, text in texts]
    text = "; ".join(f"{each['place']}: {each['text']}" for each in faults) or error.detail
    return HttpError(422, text, faults=faults)


def _refused(error: WrapdError) -> HttpError:
    """An expected error of a command: what it names does not exist, or it cannot be done."""
    return HttpError(404 if isinstance(error, UnknownName) else 422, str(error), key=error.key)


def _unavailable() -> HttpError:
    return HttpError(503, _BUSY, headers={"Retry-After": "5"}, key="busy")
