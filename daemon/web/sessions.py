"""The session of a request: its cookie, and the forms by which a page changes something.

A form must come from a page of this server: by what the browser says of its origin, and within a session by a
token that other sites cannot know. Litestar's own sessions and CSRF protection do not fit: those keep a session
under the secret itself, with one cookie for every address, and end it by idleness alone; this one compares a form
with a cookie, and a page of a neighbouring host name can set both.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from litestar.datastructures import Cookie

from daemon.domain.hosts import is_loopback
from daemon.domain.sessions import LONGEST, is_secret
from daemon.web.bodies import ApiRequest, HttpError, read_body
from daemon.web.guard import host_of
from daemon.web.settings import WebSettings

SECURE_COOKIE = "__Host-wrapd"
PLAIN_COOKIE = "wrapd_session"
"""The cookie on https, and on http on this machine."""
_MOST_FORM = 16 * 1024
"""Maximum size of a form in bytes."""
_FORM_TYPE = "application/x-www-form-urlencoded"
_NOT_HERE = (
    "nobody can log in at this address: it is plain http, and what is sent over the network, such as a token, "
    "could be read on the way. Open the pages by https (through a proxy, with web.public_url), or on the machine "
    "itself, for example through `ssh -L 8787:127.0.0.1:8787`"
)
Form = Mapping[str, str]


def session_secret(request: ApiRequest, settings: WebSettings) -> str | None:
    """The secret in the request's cookie; None if there is none that can be one."""
    secure = is_secure(request, settings)
    if secure is None:
        return None
    text = request.cookies.get(SECURE_COOKIE if secure else PLAIN_COOKIE, "")
    return text if is_secret(text) else None


def session_cookie(request: ApiRequest, settings: WebSettings, secret: str) -> Cookie:
    """The cookie that keeps a session; an empty secret removes it. Raises HttpError 403 if this address is not
    safe."""
    secure = require_safe(request, settings)
    life = int(LONGEST.total_seconds()) if secret else 0
    name = SECURE_COOKIE if secure else PLAIN_COOKIE
    return Cookie(name, value=secret, max_age=life, secure=secure, httponly=True, samesite="lax")


def require_safe(request: ApiRequest, settings: WebSettings) -> bool:
    """Whether people reach this address by https. Raises HttpError 403 if it is neither that nor on their own
    machine."""
    secure = is_secure(request, settings)
    if secure is None:
        raise HttpError(403, _NOT_HERE, key="unsafe")
    return secure


def is_secure(request: ApiRequest, settings: WebSettings) -> bool | None:
    """True: people reach this address by https. False: by http on their own machine. None: by other http."""
    host = host_of(request.headers.get("host", ""))
    public = urlsplit(settings.public_url or "")
    if request.scope["scheme"] == "https" or (public.scheme == "https" and host == public.hostname):
        return True
    return False if is_loopback(host) else None


async def read_form(request: ApiRequest) -> Form:
    """The fields of a form that comes from a page of this server. Raises HttpError: 403 if it does not, 415 if it
    is no form, 413 if it is too large."""
    _require_own_site(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise HttpError(415, f"a form is sent as {_FORM_TYPE}")
    body = await read_body(request, most=_MOST_FORM)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise HttpError(400, "the form cannot be read") from None


def _require_own_site(request: ApiRequest) -> None:
    """Browsers of the last years say from which site a form comes. Others name the page's origin."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        own = site == "same-origin"
    else:
        origin = urlsplit(request.headers.get("origin", ""))
        host = request.headers.get("host", "").lower()
        own = origin.scheme in ("http", "https") and origin.netloc.lower() == host
    if not own:
        raise HttpError(
            403, "nothing was changed: the form does not come from a page of this server", key="foreign_form"
        )
