"""Tokens: `/api/v1/tokens`."""

import secrets
from datetime import datetime

import msgspec
from litestar import Response, delete, get, post
from litestar.params import FromPath, JSONBody

from daemon import views
from daemon.commands.tokens import create_token, revoke_token
from daemon.domain.tokens import RANDOM_BYTES, ApiScope, KnownToken
from daemon.store import Transaction
from daemon.web.access import Context, who
from daemon.web.api.lists import in_utc, whole_answer, wrong
from daemon.web.api.shapes import answers, listing, shape
from daemon.web.bodies import ApiRequest, machine_answer

TokenItem = shape(views.Token)


class NewTokenBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A token to create."""

    name: str
    scope: ApiScope = ApiScope.READ
    expires_at: datetime | None = None


class CreatedToken(msgspec.Struct, kw_only=True):
    """A new token. `token` is shown this once."""

    id: str
    name: str
    token: str


@get("/api/v1/tokens", responses=answers(listing(TokenItem, "Tokens"), "All tokens, without their secrets."))
async def list_tokens(context: Context) -> Response[object]:
    """List all tokens but that of the config."""
    now = context.clock.now()
    tokens = await context.store.read_async(lambda tx: tx.tokens.list())
    return whole_answer([views.document(views.token(each, now=now)) for each in tokens], now=now)


@post("/api/v1/tokens", status_code=200, responses=answers(CreatedToken, "The token, shown this once."))
async def post_token(request: ApiRequest, data: JSONBody[NewTokenBody], context: Context) -> Response[object]:
    """Create a token."""
    at, by, random = context.clock.now(), who(request), secrets.token_bytes(RANDOM_BYTES)
    try:
        until = None if data.expires_at is None else in_utc(data.expires_at)
    except OverflowError:
        raise wrong("expires_at", "it is too far in the future") from None
    made = await context.store.write(
        lambda tx: create_token(tx, data.name, data.scope, random=random, who=by, at=at, expires_at=until)
    )
    return machine_answer({"id": made.token.id, "name": made.token.name, "token": made.text})


@delete(
    "/api/v1/tokens/{id:str}",
    status_code=200,
    responses=answers(listing(TokenItem, "RevokedTokens"), "Those revoked."),
)
async def delete_token(request: ApiRequest, id: FromPath[str], context: Context) -> Response[object]:  # noqa: A002
    """Revoke the token with this id, or those with this name."""
    at, by = context.clock.now(), who(request)

    def work(tx: Transaction) -> list[KnownToken | None]:
        return [tx.tokens.get(each.id) for each in revoke_token(tx, id, who=by, at=at)]

    tokens = await context.store.write(work)
    return whole_answer([views.document(views.token(each, now=at)) for each in tokens if each], now=at)


HANDLERS = (list_tokens, post_token, delete_token)
