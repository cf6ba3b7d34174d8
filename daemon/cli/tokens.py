"""`wrapd tokens`: create, list and revoke tokens of the API."""

import secrets
from datetime import datetime, timedelta

import click

from daemon import views
from daemon.cli import output
from daemon.cli.filters import Word
from daemon.cli.numbers import Duration
from daemon.cli.output import Column
from daemon.cli.session import CLOCK, config_of, json_option, opened, who
from daemon.cli.text import ago
from daemon.domain.tokens import RANDOM_BYTES, ApiScope, KnownToken

SCOPES = tuple(map(str, ApiScope))


@click.group("tokens")
def command() -> None:
    """Manage tokens of the HTTP API, each for one tool or person. Needs no running daemon; a running one knows a
    change at once."""


@command.command("create", short_help="Create a token, and print it once.")
@click.argument("name", type=Word())
@click.option(
    "--scope",
    type=click.Choice(SCOPES),
    default="read",
    show_default=True,
    help="What it permits: read; write also changes jobs and alerts; admin also channels and tokens.",
)
@click.option("--expires", type=Duration(), help='How long it is valid, such as "90d". [default: forever]')
@click.pass_context
def create(ctx: click.Context, name: str, scope: str, expires: float | None) -> None:
    """Create a token for the tool or person NAME, and print it. It is not kept, so it cannot be printed again."""
    from daemon.commands.tokens import create_token  # noqa: PLC0415 - SQLAlchemy

    at, by = CLOCK.now(), who()
    until = None if expires is None else at + timedelta(seconds=expires)
    random = secrets.token_bytes(RANDOM_BYTES)
    with opened(config_of(ctx), create=True) as store:
        made = store.write_now(
            lambda tx: create_token(tx, name, ApiScope(scope), random=random, who=by, at=at, expires_at=until)
        )
    output.line(made.text)


@command.command("list")
@json_option
@click.pass_context
def list_tokens(ctx: click.Context, as_json: bool) -> None:
    """List all tokens, without their secrets. The token of the config, web.token, is not among them."""
    with opened(config_of(ctx)) as store:
        tokens = store.read(lambda tx: tx.tokens.list())
    now = CLOCK.now()
    if as_json:
        output.document([views.document(views.token(each, now=now)) for each in tokens])
        return
    columns = [
        Column(title="NAME", gives=True, least=12, free=True),
        Column(title="ID"),
        Column(title="SCOPE"),
        Column(title="STATUS", coloured=True),
        Column(title="ENDS"),
        Column(title="LAST USED", spare=1),
        Column(title="CREATED BY", spare=2),
    ]
    empty = "No tokens yet; `wrapd tokens create NAME` creates one."
    output.table(columns, [_cells(each, now) for each in tokens], empty=empty)


@command.command("revoke", short_help="Revoke a token.")
@click.argument("token", metavar="NAME_OR_ID", type=Word())
@click.pass_context
def revoke(ctx: click.Context, token: str) -> None:
    """Revoke a token by its name or id. It stops working at once."""
    from daemon.commands.tokens import revoke_token  # noqa: PLC0415 - SQLAlchemy

    with opened(config_of(ctx)) as store:
        revoked = store.write_now(lambda tx: revoke_token(tx, token, who=who(), at=CLOCK.now()))
    for each in revoked:
        output.line(f"{each.name} ({each.id}): revoked")


def _cells(token: KnownToken, now: datetime) -> list[str]:
    ends = "never" if token.expires_at is None else ago(token.expires_at, now)
    used = "never" if token.used_at is None else ago(token.used_at, now)
    return [token.name, token.id, token.scope, views.token(token, now=now).status, ends, used, token.created_by]
