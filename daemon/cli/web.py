"""`wrapd web`: logging in to the pages from the machine where wrapd runs."""

import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from daemon.cli import output
from daemon.cli.session import CLOCK, config_of, opened, who
from daemon.domain.sessions import RANDOM_BYTES
from daemon.domain.tokens import ApiScope
from daemon.errors import UsageFault

if TYPE_CHECKING:
    from daemon.config import Config

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with


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
    url = _address(config)
    random = secrets.token_bytes(RANDOM_BYTES)
    with opened(config) as store:
        secret = store.write_now(lambda tx: make_login(tx, name, ApiScope(scope), random=random, at=CLOCK.now()))
    output.line(f"{url}/login?once={secret}")


def _address(config: "Config") -> str:
    """Where the daemon's pages are. Raises UsageFault if there are none, or if that cannot be known."""
    web = config.web
    if not web.enabled or not web.pages:
        raise UsageFault(f"{config.source}: there are no pages: web.enabled or web.pages is false")
    if web.public_url is not None and urlsplit(web.public_url).path in ("", "/"):  # pages need a whole host
        return web.public_url.rstrip("/")
    if web.listen.port == 0:
        raise UsageFault(f"{config.source}: web.listen has port 0, so the address is not known; give it a port")
    host = _ANY_ADDRESS.get(web.listen.host, web.listen.host)
    return f"http://[{host}]:{web.listen.port}" if ":" in host else f"http://{host}:{web.listen.port}"
