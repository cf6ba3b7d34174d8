"""The web server's listening socket. `config check` opens one as well, without loading the server."""

import socket

from daemon.errors import ConfigFault


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigFault if the address is in use or does not belong to this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol given, asyncio sets TCP_NODELAY: without that, each answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # clients that connect before the server runs wait for it
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigFault(
            f"web.listen: cannot listen on {host}:{port}: {reason}. "
            "Name a free address, port 0 for any free port, or set web.enabled = false."
        ) from error
    return listener
