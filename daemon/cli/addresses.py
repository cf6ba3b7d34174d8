"""Addresses at which the daemon serves what it has for people."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from daemon.errors import UsageFault

if TYPE_CHECKING:
    from daemon.config import Config

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with


def pages_address(config: "Config", *, under_path: bool = False) -> str:
    """Where the daemon's pages are: `web.public_url`, else `web.listen`. Pages need a whole host; what is also
    served `under_path` does not. Raises UsageFault if there are none, or if that cannot be known."""
    web = config.web
    if not web.enabled or not web.pages:
        key = "web.pages" if web.enabled else "web.enabled"
        raise UsageFault(f"{config.source}: there are no pages: {key} is false; set it to true")
    if web.public_url is not None and (under_path or urlsplit(web.public_url).path in ("", "/")):
        return web.public_url.rstrip("/")
    if web.listen.port == 0:
        raise UsageFault(f"{config.source}: web.listen has port 0, so the address is not known; give it a port")
    host = _ANY_ADDRESS.get(web.listen.host, web.listen.host)
    return f"http://[{host}]:{web.listen.port}" if ":" in host else f"http://{host}:{web.listen.port}"
