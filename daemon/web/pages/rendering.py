"""Makes pages of templates, with their headers, and serves their style sheet and module. A page says nothing to
other hosts and runs nothing of theirs."""

import gzip
import hashlib
import json
import mimetypes
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from litestar import Response
from markupsafe import Markup, escape

from daemon.domain.sessions import WebSession, form_token
from daemon.domain.text import clean
from daemon.domain.tokens import ApiScope
from daemon.store import Transaction
from daemon.web.access import FORM_TOKEN
from daemon.web.bodies import ApiRequest
from daemon.web.context import WebContext
from daemon.web.pages.chinese import CHINESE
from daemon.web.pages.engine import render
from daemon.web.pages.english import ENGLISH
from daemon.web.pages.texts import Texts
from daemon.web.pages.wording import Wording
from daemon.web.sessions import session_secret

T = TypeVar("T")
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
_TOKEN_FIELD = f'<input type="hidden" name="{FORM_TOKEN}" value="%s">'  # a token has nothing to escape
_WORTH = 1024
"""Bytes from which a page is compressed."""


def pretty(text: str) -> Markup:
    """A JSON document with a line for each value, escaped; a text that is none as it is."""
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    return Markup("\n").join(escape(clean(line)) for line in text.split("\n"))


def _load() -> dict[str, tuple[bytes, bytes, str]]:
    """Read the static files, each with its compressed form and a mark of its content. A daemon must not read them
    later, when the files may be those of another version."""
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
        language = preferred(request)
    return Wording(
        texts=LANGUAGES[language],
        language=language,
        zone=_zone(request.cookies.get(ZONE_COOKIE, "UTC")),
        now=context.clock.now(),
    )


def preferred(request: ApiRequest) -> str:
    """The language that the browser prefers."""
    return "zh-CN" if prefers_chinese(request.headers.get("accept-language", "")) else "en"


async def read_live(context: WebContext, work: Callable[[Transaction], T]) -> tuple[int, T]:
    """What a page shows that follows the live events, and after which change: it is read first, so that a change
    which the page does not show comes with the events."""
    return await context.store.read_async(lambda tx: (tx.changes.latest(), work(tx)))


def page(
    request: ApiRequest,
    context: WebContext,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    here: str | None = None,
    wording: Wording | None = None,
    **values: object,
) -> Response[bytes]:
    """The page of a template with these values. `here` is where to come back to, by default its own address;
    `wording` the reader's unless another is given."""
    user = request.scope.get("user")
    session = user if isinstance(user, WebSession) else None
    secret = session_secret(request, context.settings) or ""
    wording = wording or wording_of(request, context)
    text = render(
        template,
        static=static_url,
        t=wording.texts,
        w=wording,
        session=session,
        may_write=session is not None and session.scope.includes(ApiScope.WRITE),
        may_admin=session is not None and session.scope.includes(ApiScope.ADMIN),
        # Each form has a token of its own: it is compressed next to what others wrote.
        csrf=lambda: Markup(_TOKEN_FIELD % form_token(secret, secrets.token_bytes(_NONCE))),  # noqa: S704
        here=here or address(request),
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


def address(request: ApiRequest) -> str:
    """The address of the page as it was sent, to come back to."""
    path, query = (request.scope[key].decode("latin-1") for key in ("raw_path", "query_string"))
    return f"{path}?{query}" if query else path


def _zone(name: str) -> ZoneInfo:
    """The time zone of a cookie, UTC if there is none of this name."""
    try:
        return ZoneInfo(unquote(name)[:64])
    except (KeyError, OSError, ValueError):
        return ZoneInfo("UTC")


def prefers_chinese(accept_language: str) -> bool:
    """Whether an Accept-Language header prefers Chinese over English.

    >>> [prefers_chinese(each) for each in ("zh-CN,zh;q=0.9,en;q=0.8", "en, zh;q=0.5", "de", "")]
    [True, False, False, False]
    """
    weights = {"zh": 0.0, "en": 0.0}
    for item in accept_language[:1000].split(","):
        tag, _, options = item.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        if language in weights:
            weights[language] = max(weights[language], _weight(options))
    return weights["zh"] > weights["en"]


def _weight(options: str) -> float:
    name, _, value = options.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
