"""What of this machine's environment the way to a chat service goes through: proxies and certificates.

Owns which variables count, and what is said where one of them makes every send impossible. Must never show the
value of a variable: it may hold a password.
"""

import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3

PROXY_NAMES = tuple(
    cased for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for cased in (name, name.upper())
)
"""The variables that requests reads, those in small letters first."""
_CA_NAMES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PLAIN = frozenset({"http", "https"})
_SOCKS = frozenset({"socks4", "socks4a", "socks5", "socks5h"})
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_NO_SOCKS = "the proxy is a SOCKS one, for which the Python package `PySocks` is not installed"
_NO_PROXY = "the variable of the proxy is no address"
_NO_CA = "the file of certificates does not exist"
_NO_URL = "the URL cannot be used"


def why_impossible(causes: Iterable[BaseException]) -> str:
    """What a person must fix before any request can go out; '' where it is not so."""
    for cause in causes:
        if isinstance(cause, requests.exceptions.InvalidSchema) and "SOCKS" in str(cause):
            return f"{_NO_SOCKS} (ALL_PROXY, HTTPS_PROXY)"
        if isinstance(cause, requests.exceptions.InvalidProxyURL | urllib3.exceptions.ProxySchemeUnknown):
            return f"{_NO_PROXY} (HTTPS_PROXY, ALL_PROXY)"
        if isinstance(cause, OSError) and "CA certificate bundle" in str(cause):
            return f"{_NO_CA} (REQUESTS_CA_BUNDLE)"
        if isinstance(
            cause, requests.exceptions.InvalidURL | urllib3.exceptions.LocationValueError | UnicodeError
        ):
            return _NO_URL
    return ""


def doubts_of(environ: Mapping[str, str]) -> Iterator[str]:
    """What of the environment keeps messages from chat services; each names its variable."""
    for name in PROXY_NAMES:
        value = environ.get(name, "").strip()
        if value and not name.lower().startswith("no_"):
            fault = _fault_of(value)
            if fault:
                yield f"{name} (environment): {fault}; messages over it wait"
    for name in _CA_NAMES:
        path = environ.get(name, "")
        if path and not Path(path).exists():
            yield f"{name} (environment): {_NO_CA}; messages over HTTPS wait"


def proxy_passwords(environ: Mapping[str, str]) -> set[str]:
    """The passwords in the variables of proxies."""
    found: set[str] = set()
    for name in PROXY_NAMES:
        login = environ.get(name, "").partition("://")[2].rpartition("@")[0]
        found |= {login.partition(":")[2]} - {""}
    return found


def _fault_of(value: str) -> str:
    whole = value if _SCHEME.match(value) else f"http://{value}"
    try:
        parts = urlsplit(whole)
        port = parts.port
    except ValueError:
        return _NO_PROXY
    scheme = parts.scheme.lower()
    if scheme in _SOCKS:
        return "" if importlib.util.find_spec("socks") is not None and parts.hostname else _NO_SOCKS
    usable = scheme in _PLAIN and parts.hostname and re.fullmatch(r"[\w.:-]+", parts.hostname) and port != 0
    return "" if usable else _NO_PROXY
