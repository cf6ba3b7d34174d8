"""Makes pages of templates, with their headers, and serves their style sheet and module.

Owns the template engine. What is shown is escaped and on one line, whoever wrote it. A page says nothing to other
hosts and runs nothing of theirs.
"""

import gzip
import hashlib
import mimetypes
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response
from markupsafe import Markup, escape

from daemon.domain.sessions import WebSession, form_token
from daemon.domain.text import clean
from daemon.domain.tokens import ApiScope
from daemon.web.access import FORM_TOKEN
from daemon.web.bodies import ApiRequest
from daemon.web.context import WebContext
from daemon.web.link_pages import prefers_chinese
from daemon.web.pages.chinese import CHINESE
from daemon.web.pages.english import ENGLISH
from daemon.web.pages.wording import Texts, Wording
from daemon.web.sessions import session_secret

LANGUAGE_COOKIE, ZONE_COOKIE = "wrapd_language", "wrapd_zone"
LANGUAGES: Mapping[str, Texts] = {"en": ENGLISH, "zh-CN": CHINESE}
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""Headers of every page."""
_FOLDER = Path(__file__).parent
_NONCE = 16
_WORTH = 1024
"""Bytes from which a page is compressed."""


def _shown(value: object) -> object:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_ENGINE = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_shown,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _coded(text: str) -> Markup:
    """A text with what is between backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup().join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))


_ENGINE.filters["coded"] = _coded


def _load() -> dict[str, tuple[bytes, bytes, str]]:
    """Read the static files, each with its compressed form and a mark of its content; and all templates. A daemon
    must not read them later, when the files may be those of another version."""
    for name in _ENGINE.list_templates():
        _ENGINE.get_template(name)
    found = {}
    for path in sorted((_FOLDER / "static").iterdir()):
        data = path.read_bytes()
        mark = hashlib.blake2b(data, digest_size=6).hexdigest()
        found[path.name] = (data, gzip.compress(data, 9, mtime=0), mark)
    return found


_STATIC = _load()


def static_url(name: str) -> str:
    """The address of a static file; it changes with the content."""
    return f"/static/{name}?v={_STATIC[name][2]}"


_ENGINE.globals["static"] = static_url


def static_answer(request: ApiRequest, name: str) -> Response[bytes] | None:
    """A static file; None if there is none of this name."""
    if name not in _STATIC:
        return None
    data, packed, _ = _STATIC[name]
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    fresh = {"Cache-Control": "public, max-age=31536000, immutable"}
    return _packed(request, data, packed, media_type=media_type, status=200, headers={**HEADERS, **fresh})


def wording_of(request: ApiRequest, context: WebContext) -> Wording:
    """The reader's language, by cookie, else by what the browser prefers; and time zone, by cookie, else UTC."""
    language = request.cookies.get(LANGUAGE_COOKIE, "")
    if language not in LANGUAGES:
        language = "zh-CN" if prefers_chinese(request.headers.get("accept-language", "")) else "en"
    return Wording(
        texts=LANGUAGES[language],
        language=language,
        zone=_zone(request.cookies.get(ZONE_COOKIE, "UTC")),
        now=context.clock.now(),
    )


def page(
    request: ApiRequest,
    context: WebContext,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    here: str | None = None,
    **values: object,
) -> Response[bytes]:
    """The page of a template with these values. `here` is an address to come back to, by default its own."""
    user = request.scope.get("user")
    session = user if isinstance(user, WebSession) else None
    secret = session_secret(request, context.settings) or ""
    wording = wording_of(request, context)
    field = Markup('<input type="hidden" name="{}" value="{}">')
    text = _ENGINE.get_template(template).render(
        t=wording.texts,
        w=wording,
        session=session,
        may_write=session is not None and session.scope.includes(ApiScope.WRITE),
        # Each form has a token of its own: it is compressed next to what others wrote.
        csrf=lambda: field.format(FORM_TOKEN, form_token(secret, secrets.token_bytes(_NONCE))),
        here=here or _address(request),
        **values,
    )
    data = text.encode("utf-8", "replace")
    packed = gzip.compress(data, 5, mtime=0) if len(data) >= _WORTH else None
    named = {"Content-Language": wording.language, "Cache-Control": "no-store", **HEADERS, **(headers or {})}
    return _packed(request, data, packed, media_type="text/html", status=status, headers=named)


def _packed(
    request: ApiRequest,
    data: bytes,
    packed: bytes | None,
    *,
    media_type: str,
    status: int,
    headers: Mapping[str, str],
) -> Response[bytes]:
    coded = packed is not None and "gzip" in request.headers.get("accept-encoding", "").lower()
    named = {**headers, "Vary": "Accept-Encoding, Accept-Language, Cookie"}
    if coded:
        named["Content-Encoding"] = "gzip"
    return Response(packed if packed and coded else data, media_type=media_type, status_code=status, headers=named)


def _address(request: ApiRequest) -> str:
    """The address of the page, to come back to."""
    query = request.scope["query_string"].decode("latin-1")
    return request.scope["path"] + (f"?{query}" if query else "")


def _zone(name: str) -> ZoneInfo:
    """The time zone of a cookie, UTC if there is none of this name."""
    try:
        return ZoneInfo(unquote(name)[:64])
    except (KeyError, OSError, ValueError):
        return ZoneInfo("UTC")
