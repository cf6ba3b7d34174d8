"""The URL of a channel as text: addresses that services show to people, and what Apprise would read otherwise than
it was meant. Pure.

Apprise ends a password at a second colon or at a `;`, a path at a `#`, takes the first `@` for the last, and trims
values: `normal` writes a URL so that it reads what a person gave, or refuses it by name. Must never put a part of
a URL into an error.
"""

import re
import unicodedata
from collections.abc import Callable
from urllib.parse import quote, unquote

from daemon.notify.services.urls import Option, options, options_of

_URL = re.compile(r"(?P<scheme>[^:/?#]+)://(?P<authority>[^/?]*)(?P<path>/[^?]*)?(?:\?(?P<query>.*))?", re.DOTALL)
_SIGNS = re.compile(r"[^A-Za-z0-9._~%!$&'()*+,=-]")
"""What of a user or a password must not stand there as it is."""
_NO_LOGIN = re.compile(r"[^:@]*(?::\d*)?")
"""An authority without a user and a password: a host, and its port."""
_LATE_AT = re.compile(r"/[^?]*[^/?@]@|\?[^=]*@")
_JOINED = re.compile(r";[A-Za-z][A-Za-z0-9_.-]*=")


def normal(url: str) -> str:
    """`url` so that Apprise reads what it says. Raises ValueError, which says what cannot be told apart."""
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in url):
        raise ValueError("holds a character that no address has, such as a line break")
    found = _URL.fullmatch(url)
    if found is None:
        return url
    authority, path, query = found["authority"], found["path"] or "", found["query"]
    login, at, host = authority.rpartition("@")
    if at:
        user, colon, password = login.partition(":")
        authority = f"{_escaped(user)}{colon}{_escaped(password)}@{host}"
    elif not _NO_LOGIN.fullmatch(authority) and _LATE_AT.search(url[found.end("authority") :]):
        raise ValueError("has a / or a ? in the user or the password; write / as %2F, ? as %3F, @ as %40")
    path = path.replace("#", "%23").replace(";", "%3B")
    return f"{found['scheme']}://{authority}{path}" + ("" if query is None else f"?{_joined(query)}")


def _escaped(part: str) -> str:
    return _SIGNS.sub(lambda sign: quote(sign[0], safe=""), part)


def _joined(query: str) -> str:
    if _JOINED.search(query):
        raise ValueError("has a ; between options; write & between them, and a ; that is part of a value as %3B")
    query = query.replace(";", "%3B")
    seen: set[str] = set()
    for option in options_of(query):
        shown = shown_key(option.key)
        if option.key in seen:
            raise ValueError(f"has {shown} twice; what is meant cannot be known")
        if option.value != option.value.strip():
            raise ValueError(f"has {shown} with a space at its end, which Apprise drops; leave it out")
        seen.add(option.key)
    return query


def with_query(url: str, change: Callable[[Option], str | None]) -> str:
    """`url` with each option as `change` writes it (`key=value`, encoded), None: without it."""
    written = [piece for each in options(url) if (piece := change(each)) is not None]
    return url.partition("?")[0] + (f"?{'&'.join(written)}" if written else "")


def login(url: str) -> tuple[str, str]:
    """The user and the password before the host, decoded; '' for none."""
    found = _URL.fullmatch(url)
    user, _, password = ("" if found is None else found["authority"].rpartition("@")[0]).partition(":")
    return unquote(user), unquote(password)


def shown_key(key: str) -> str:
    """An option's name, where it can be nothing but a name: a value that slipped into its place stays hidden."""
    is_name = re.fullmatch(r"[+:-]?[a-z][a-z0-9_.-]{0,23}", key) is not None and not is_token_like(key)
    return f"{key}=" if is_name else "an option"


def is_token_like(text: str) -> bool:
    """Whether a part of a URL may be a credential."""
    return len(text) >= 20 or (len(text) >= 6 and any(char.isdigit() for char in text))
