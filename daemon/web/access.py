"""Decides by the table of routes, and the bearer token or the session, whether a request may use its route, and
who acts."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import SkipValidation

from daemon.domain.actions import Actor, actor
from daemon.domain.hosts import is_loopback
from daemon.domain.sessions import WebSession, is_form_token, is_over, is_secret, proof_of, secret_digest
from daemon.domain.shares import BatchShare
from daemon.domain.tokens import CONFIG_TOKEN, ApiScope, KnownToken, id_of, refusal
from daemon.store import StoreError, Transaction
from daemon.web.bodies import ApiRequest, HttpError, same
from daemon.web.context import WebContext
from daemon.web.scopes import LOCAL, OPEN, PAGES, ROUTES, STATIC
from daemon.web.sessions import Form, read_form, session_secret

if TYPE_CHECKING:
    from litestar.types import HTTPScope

Context = NamedDependency[SkipValidation[WebContext]]
"""A handler's parameter `context`."""
T = TypeVar("T")
Connection = ASGIConnection[Any, Any, Any, Any]

FORM_TOKEN = "csrf"  # noqa: S105 - a name
"""The name of the field of a form that has its token."""
_FORM = "form"
_LOOKUPS = 2
"""Maximum concurrent lookups of tokens and sessions: anyone can make them up, and the store has few
reading threads."""
_HOW = "send `Authorization: Bearer TOKEN` with a token of `wrapd tokens create`, or the value of web.token"


def who(request: ApiRequest) -> Actor:
    """Who sent an admitted request, for the rows of `actions`. `request.user` is its token or
    session, None for web.token."""
    found: Actor = request.auth
    return found


class Doorkeeper:
    """Admits requests to their routes. Without a context there are no tokens, so only open routes are admitted."""

    def __init__(self, context: WebContext | None) -> None:
        self._context = context
        self._lookups = asyncio.Semaphore(_LOOKUPS)
        self._noted: dict[str, float] = {}

    async def admit(self, connection: Connection, _: BaseRouteHandler) -> None:
        """Raise HttpError unless the request may use its route: 401 without a valid token or session, 403 if its
        scope does not suffice, the API is off, or the route is not in the table."""
        asked = cast("HTTPScope", connection.scope)
        path, method = asked["path_template"], asked["method"]
        needed = ROUTES.get(path, {}).get(method)
        if path in PAGES and path != STATIC:
            self._require_pages()
        if needed is OPEN or (needed is LOCAL and _is_local(connection)):
            return
        if needed is None:
            raise HttpError(403, "this route is open to no one")
        scope = needed if isinstance(needed, ApiScope) else ApiScope.READ
        request = cast("ApiRequest", connection)
        if path in PAGES or (method == "GET" and "authorization" not in connection.headers):
            session = await self.session_of(request)
            if session is not None:
                _require_scope(session.scope, scope)
                if method != "GET":
                    await self._require_form(request)
                connection.scope["user"], connection.scope["auth"] = session, actor("session", session.name)
                return
            if path in PAGES:
                raise HttpError(401, "log in first")
        token = await self.token_of(connection)
        name, given = (CONFIG_TOKEN, ApiScope.ADMIN) if token is None else (token.name, token.scope)
        _require_scope(given, scope)
        connection.scope["user"], connection.scope["auth"] = token, actor("token", name)

    async def session_of(self, request: ApiRequest) -> WebSession | None:
        """The session of a request that is in use. Raises HttpError."""
        context = self._context
        secret = None if context is None else session_secret(request, context.settings)
        if context is None or secret is None:
            return None
        digest = secret_digest(secret)
        session = await self._look_up(lambda tx: tx.sessions.find(digest))
        if session is None or is_over(session, now=context.clock.now()):
            return None
        if session.proof is not None:
            token = context.settings.token
            if token is None or not same(session.proof, proof_of(secret, token)):
                return None
        self._note_use(context, session.id, lambda tx, at: tx.sessions.seen(session.id, at=at))
        return session

    async def share_of(self, secret: str) -> BatchShare | None:
        """The share of this secret, expired or not; None if there is none, or it was revoked. Raises HttpError."""
        context = self._context
        if context is None or not is_secret(secret):
            return None
        digest = secret_digest(secret)
        share = await self._look_up(lambda tx: tx.shares.find(digest))
        if share is None or share.revoked_at is not None:
            return None
        if share.expires_at > context.clock.now():
            self._note_use(context, f"share {share.id}", lambda tx, at: tx.shares.used(share.id, at=at))
        return share

    async def known(self, text: str) -> KnownToken | str | None:
        """The token that `text` is: the value itself for that of the config. None if it is refused. Raises
        HttpError."""
        wanted = None if self._context is None else self._context.settings.token
        if wanted is not None and same(text, wanted):
            return wanted
        found = await self._find(text)
        return found if isinstance(found, KnownToken) else None

    def _require_pages(self) -> None:
        if self._context is None or not self._context.settings.pages:
            raise HttpError(404, "the pages are off: the config has web.pages = false", key="no_page")

    async def _require_form(self, request: ApiRequest) -> None:
        """Read the form of a request, and check that a page of its session made it."""
        assert self._context is not None
        form = await read_form(request)
        secret = session_secret(request, self._context.settings) or ""
        if not is_form_token(secret, form.get(FORM_TOKEN, "")):
            raise HttpError(
                403, "nothing was changed: the form is of another session; load the page again", key="old_form"
            )
        request.scope["state"][_FORM] = form

    async def token_of(self, connection: Connection) -> KnownToken | None:
        """The request's token, None for that of the config. Raises HttpError."""
        scheme, _, text = connection.headers.get("authorization", "").partition(" ")
        given, wanted = text.strip(), None if self._context is None else self._context.settings.token
        found = None
        if scheme.lower() == "bearer" and given:
            if wanted is not None and same(given, wanted):
                return None
            found = await self._find(given)
        if isinstance(found, KnownToken):
            return found
        if wanted is None and found is None:
            raise HttpError(403, "the API is off: set web.token in the config, or `wrapd tokens create` a token")
        what = f"the bearer token is refused: {found}" if found else "the bearer token is missing or wrong"
        raise HttpError(401, f"{what}; {_HOW}", headers={"WWW-Authenticate": 'Bearer realm="wrapd"'})

    async def _find(self, text: str) -> KnownToken | str | None:
        """The token that `text` is, or why it is refused; None for no token of ours."""
        context, id_ = self._context, id_of(text)
        if context is None or id_ is None:
            return None
        token = await self._look_up(lambda tx: tx.tokens.get(id_))
        if token is None:
            return "it is wrong"
        refused = refusal(token, text, now=context.clock.now())
        if refused is None:
            self._note_use(context, token.id, lambda tx, at: tx.tokens.used(id_, at=at))
        return refused or token

    async def _look_up(self, work: Callable[[Transaction], T]) -> T:
        """Read something. Raises HttpError."""
        assert self._context is not None
        try:
            async with self._lookups:
                return await self._context.store.read_async(work)
        except StoreError:
            raise HttpError(
                503, "the database is not available now; try again", headers=_LATER, key="busy"
            ) from None

    def _note_use(self, context: WebContext, key: str, note: Callable[[Transaction, datetime], None]) -> None:
        """Note the use of a token or session, in a transaction of its own and at most once a minute."""
        at, now = context.clock.now(), context.clock.monotonic()
        if now - self._noted.get(key, float("-inf")) < USE_NOTED:
            return
        self._noted[key] = now

        async def write() -> None:
            await context.store.write(lambda tx: note(tx, at))

        context.tasks.spawn("token", write())


def form_of(request: ApiRequest) -> Form:
    """The form of an admitted request of a page."""
    found: Form = request.scope["state"][_FORM]
    return found


def _require_scope(given: ApiScope, needed: ApiScope) -> None:
    if not given.includes(needed):
        raise HttpError(403, f"the token may {given}, and this needs scope {needed}", key="scope")


_LATER = {"Retry-After": "5"}
USE_NOTED = 60.0
"""Seconds before another use of a token is noted."""


def _is_local(connection: Connection) -> bool:
    client = connection.client
    return client is not None and is_loopback(client.host)
