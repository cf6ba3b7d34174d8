"""Recognition of loopback hosts."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether `host` is a loopback address or `localhost`.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "Localhost", "0.0.0.0", "example.com")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
