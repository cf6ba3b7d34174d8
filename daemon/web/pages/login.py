"""Logging in and out, the reader's account, the language, and the static files."""

import secrets
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote

from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter, SkipValidation

from daemon.commands.sessions import begin_session, end_session
from daemon.commands.tokens import revoke_token
from daemon.domain.actions import actor
from daemon.domain.sessions import RANDOM_BYTES, Login, WebSession, secret_digest
from daemon.domain.tokens import CONFIG_TOKEN, KnownToken
from daemon.errors import UnknownName
from daemon.store import Transaction
from daemon.web.access import Context, Doorkeeper, who
from daemon.web.bodies import ApiRequest, HttpError
from daemon.web.context import WebContext
from daemon.web.pages.rendering import HEADERS, LANGUAGE_COOKIE, LANGUAGES, address, page, static_answer
from daemon.web.sessions import is_secure, read_form, require_safe, session_cookie

Keeper = NamedDependency[SkipValidation[Doorkeeper]]
_YEAR = 365 * 86400
_MOST_NEXT = 1000
Next = Annotated[str, QueryParameter(name="next", max_length=_MOST_NEXT)]
Once = Annotated[str, QueryParameter(max_length=100)]


@get("/login")
async def get_login(request: ApiRequest, context: Context, next_: Next = "/", once: Once = "") -> Response[bytes]:
    """Show the form to log in: by a token, or `once` by a one-time address."""
    return _form(request, context, next_, once=once)


@post("/login", status_code=303)
async def post_login(request: ApiRequest, context: Context, keeper: Keeper) -> Response[bytes]:
    """Begin a session, and end the one that the browser had."""
    require_safe(request, context.settings)
    form = await read_form(request)
    token, once = form.get("token", "").strip(), form.get("once", "")
    by = None if once else await keeper.known(token) if token else None
    before = await keeper.session_of(request)
    at, random = context.clock.now(), secrets.token_bytes(RANDOM_BYTES)

    def work(tx: Transaction) -> str | None:
        found = tx.sessions.take_login(secret_digest(once), at=at) if once else by
        if found is None:
            return None
        if before is not None:
            end_session(tx, before.id, who=actor("session", before.name), at=at)
        return begin_session(tx, found, random=random, who=actor("session", _name(found)), at=at)[1]

    secret = await context.store.write(work)
    if secret is None:
        return _form(request, context, form.get("next", "/"), refused=True, over=bool(once))
    return go(form.get("next", "/"), cookies=[session_cookie(request, context.settings, secret)])


@post("/logout", status_code=303)
async def post_logout(request: ApiRequest, context: Context) -> Response[bytes]:
    """End the session."""
    session, by, at = own_session(request), who(request), context.clock.now()
    await context.store.write(lambda tx: end_session(tx, session.id, who=by, at=at))
    return go("/login", cookies=[session_cookie(request, context.settings, "")])


@post("/language", status_code=303)
async def post_language(request: ApiRequest, context: Context) -> Response[bytes]:
    """Keep the reader's choice of a language."""
    form = await read_form(request)
    if form.get("to") not in LANGUAGES:
        raise HttpError(422, "there is no such language", key="language")
    secure = is_secure(request, context.settings) is True
    cookie = Cookie(LANGUAGE_COOKIE, value=form["to"], max_age=_YEAR, secure=secure, samesite="lax")
    return go(form.get("next", "/"), cookies=[cookie])


@get("/account")
async def get_account(request: ApiRequest, context: Context) -> Response[bytes]:
    """Show the reader's sessions, and the token by which they logged in."""
    session, now = own_session(request), context.clock.now()

    def read(tx: Transaction) -> tuple[Sequence[WebSession], KnownToken | None]:
        token = None if session.token is None else tx.tokens.get(session.token)
        return tx.sessions.open(session.name, now=now), token

    sessions, token = await context.store.read_async(read)
    return page(request, context, "account.html", sessions=sessions, token=token)


@post("/account/sessions/{id:str}/end", status_code=303)
async def post_end_session(request: ApiRequest, id: FromPath[str], context: Context) -> Response[bytes]:  # noqa: A002
    """End one of the reader's sessions."""
    session, by, at = own_session(request), who(request), context.clock.now()

    def work(tx: Transaction) -> bool:
        own = any(each.id == id for each in tx.sessions.open(session.name, now=at))
        return own and end_session(tx, id, who=by, at=at)

    if not await context.store.write(work):
        raise HttpError(404, "nothing was changed: you have no such session", key="no_session")
    return go("/account")


@post("/account/token/revoke", status_code=303)
async def post_revoke(request: ApiRequest, context: Context) -> Response[bytes]:
    """Revoke the token by which the reader logged in, which ends the session too."""
    token, by, at = own_session(request).token, who(request), context.clock.now()
    if token is None:
        raise UnknownName(
            "nothing was changed: you did not log in by a token of `wrapd tokens create`", key="no_token"
        )
    await context.store.write(lambda tx: revoke_token(tx, token, who=by, at=at))
    return go("/login", cookies=[session_cookie(request, context.settings, "")])


@get("/static/{name:str}")
async def get_static(request: ApiRequest, name: FromPath[str]) -> Response[bytes]:
    """Return a static file."""
    found = static_answer(request, name)
    if found is None:
        raise HttpError(404, "there is nothing at this path", key="no_page")
    return found


def own_session(request: ApiRequest) -> WebSession:
    """The session of an admitted request of a page."""
    found: WebSession = request.user
    return found


def go(path: str, *, cookies: Sequence[Cookie] = ()) -> Response[bytes]:
    """Send the reader to another page of this server."""
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and len(path) <= _MOST_NEXT
    where = quote(path, safe="/?&=%+:,;~@!$'()*") if safe and path.isprintable() else "/"
    headers = {"Location": where, "Cache-Control": "no-store", **HEADERS}
    return Response(b"", status_code=303, media_type="text/html", headers=headers, cookies=cookies)


def show_error(request: ApiRequest, context: WebContext, error: HttpError) -> Response[bytes]:
    """The page of an error; who is not logged in is sent to do that, and comes back."""
    if error.status == 401:
        back = address(request) if request.method == "GET" else "/"
        return go(f"/login?next={quote(back, safe='')}" if back != "/" else "/login")
    here = None if request.method == "GET" else "/"  # a form's address can often not be opened
    return page(request, context, "error.html", status=error.status, headers=error.headers, here=here, error=error)


def _form(
    request: ApiRequest,
    context: WebContext,
    back: str,
    *,
    once: str = "",
    refused: bool = False,
    over: bool = False,
) -> Response[bytes]:
    """The form. At an unsafe address it is the reason why there is none."""
    unsafe: HttpError | None = None
    try:
        require_safe(request, context.settings)
    except HttpError as error:
        unsafe = error
    status = 403 if unsafe or refused else 200
    return page(
        request,
        context,
        "login.html",
        status=status,
        unsafe=unsafe,
        back=back or "/",
        once=once,
        refused=refused,
        over=over,
    )


def _name(by: KnownToken | Login | str) -> str:
    return CONFIG_TOKEN if isinstance(by, str) else by.name


HANDLERS = (
    get_login,
    post_login,
    post_logout,
    post_language,
    get_account,
    post_end_session,
    post_revoke,
    get_static,
)
