"""The socket of the web server: a check of the config opens one too, without the server."""

import socket

from daemon.errors import ConfigFault


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigFault where the address is taken or not of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named so, connections send at once (asyncio's TCP_NODELAY): else each answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # who connects before the server runs waits for it
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigFault(
            f"web.listen: cannot listen on {host}:{port}: {reason}. "
            "Name a free address, port 0 for any free port, or set web.enabled = false."
        ) from error
    return listener
