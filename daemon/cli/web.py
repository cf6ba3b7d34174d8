"""`wrapd web`: logging in to the pages from the machine where wrapd runs."""

import secrets

import click

from daemon.cli import output
from daemon.cli.addresses import pages_address
from daemon.cli.session import CLOCK, config_of, daemon_runs, opened, who
from daemon.domain.sessions import RANDOM_BYTES
from daemon.domain.tokens import ApiScope


@click.group("web")
def command() -> None:
    """Use the pages that the daemon serves at web.listen (docs/pages.md)."""


@command.command("login", short_help="Print an address that logs you in once.")
@click.option(
    "--scope",
    type=click.Choice(tuple(map(str, ApiScope))),
    default="admin",
    show_default=True,
    help="What the session permits: read; write also changes jobs and alerts; admin everything.",
)
@click.pass_context
def login(ctx: click.Context, scope: str) -> None:
    """Print an address that logs you in to the pages: once, and within 10 minutes. Needs no token."""
    from daemon.commands.sessions import make_login  # noqa: PLC0415 - SQLAlchemy

    config, name = config_of(ctx), who().partition(":")[2]
    url = pages_address(config)
    random = secrets.token_bytes(RANDOM_BYTES)
    with opened(config) as store:
        secret = store.write_now(lambda tx: make_login(tx, name, ApiScope(scope), random=random, at=CLOCK.now()))
    output.line(f"{url}/login?once={secret}")
    if not daemon_runs(config):
        output.hint("No daemon uses this database: the address works once `wrapd run` is started.")
