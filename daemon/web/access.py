"""Decides by the table of routes and the bearer token whether a request may use its route, and who acts."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import SkipValidation

from daemon.domain.actions import Actor, actor
from daemon.domain.hosts import is_loopback
from daemon.domain.tokens import CONFIG_TOKEN, ApiScope, KnownToken, id_of, refusal
from daemon.store import StoreError
from daemon.web.bodies import ApiRequest, HttpError, same
from daemon.web.context import WebContext
from daemon.web.scopes import LOCAL, OPEN, ROUTES

if TYPE_CHECKING:
    from litestar.types import HTTPScope

Context = NamedDependency[SkipValidation[WebContext]]
"""A handler's parameter `context`."""
Connection = ASGIConnection[Any, Any, Any, Any]

_LOOKUPS = 2
"""Maximum concurrent lookups of tokens: anyone can make up tokens, and the store has few reading threads."""
_HOW = "send `Authorization: Bearer TOKEN` with a token of `wrapd tokens create`, or the value of web.token"


def who(request: ApiRequest) -> Actor:
    """Who sent an admitted request, for the rows of `actions`. `request.user` is its token, None for web.token."""
    found: Actor = request.auth
    return found


class Doorkeeper:
    """Admits requests to their routes. Without a context there are no tokens, so only open routes are admitted."""

    def __init__(self, context: WebContext | None) -> None:
        self._context = context
        self._lookups = asyncio.Semaphore(_LOOKUPS)
        self._noted: dict[str, float] = {}

    async def admit(self, connection: Connection, _: BaseRouteHandler) -> None:
        """Raise HttpError unless the request may use its route: 401 without a valid token, 403 if its scope does
        not suffice, the API is off, or the route is not in the table."""
        asked = cast("HTTPScope", connection.scope)
        needed = ROUTES.get(asked["path_template"], {}).get(asked["method"])
        if needed is OPEN or (needed is LOCAL and _is_local(connection)):
            return
        if needed is None:
            raise HttpError(403, "this route is open to no one")
        scope = needed if isinstance(needed, ApiScope) else ApiScope.READ
        token = await self._identify(connection)
        name, given = (CONFIG_TOKEN, ApiScope.ADMIN) if token is None else (token.name, token.scope)
        if not given.includes(scope):
            raise HttpError(403, f"the token may {given}, and this needs scope {scope}")
        connection.scope["user"], connection.scope["auth"] = token, actor("token", name)

    async def _identify(self, connection: Connection) -> KnownToken | None:
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
        try:
            async with self._lookups:
                token = await context.store.read_async(lambda tx: tx.tokens.get(id_))
        except StoreError:
            raise HttpError(503, "the database is not available now; try again", headers=_LATER) from None
        if token is None:
            return "it is wrong"
        refused = refusal(token, text, now=context.clock.now())
        if refused is None:
            self._note_use(context, token)
        return refused or token

    def _note_use(self, context: WebContext, token: KnownToken) -> None:
        """Note the use of a token, in a transaction of its own and at most once a minute."""
        at, now = context.clock.now(), context.clock.monotonic()
        if now - self._noted.get(token.id, float("-inf")) < USE_NOTED:
            return
        self._noted[token.id] = now

        async def write() -> None:
            await context.store.write(lambda tx: tx.tokens.used(token.id, at=at))

        context.tasks.spawn("token", write())


_LATER = {"Retry-After": "5"}
USE_NOTED = 60.0
"""Seconds before another use of a token is noted."""


def _is_local(connection: Connection) -> bool:
    client = connection.client
    return client is not None and is_loopback(client.host)
