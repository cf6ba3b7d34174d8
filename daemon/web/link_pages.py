"""The pages for people whose link to a video cannot be opened, in English and Chinese, and their headers. Pure.

They contain no job names, no scripts, and nothing from other hosts.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class LinkPage(StrEnum):
    """Why the link cannot be opened."""

    GONE = "gone"  # no such link: it never existed, has expired, or was revoked
    AWAY = "away"  # the service does not answer, and the known link has expired
    CROWDED = "crowded"  # too many simultaneous clicks


_STATUS = {LinkPage.GONE: 404, LinkPage.AWAY: 503, LinkPage.CROWDED: 429}
_RETRY_AFTER = {LinkPage.AWAY: "60", LinkPage.CROWDED: "2"}
_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;margin:0;min-height:100vh;display:grid;place-items:center;"
    "background:#f6f7f9;color:#1d2430}main{max-width:32rem;padding:2rem}h1{font-size:1.5rem;margin:0 0 .5rem}"
    "p{margin:0}@media(prefers-color-scheme:dark){body{background:#14181f;color:#e6e9ee}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'",
}
"""Headers of every answer to a link: it is neither cached nor indexed, and its target learns no referrer."""

_WORDS: dict[str, dict[LinkPage, tuple[str, str]]] = {
    "en": {
        LinkPage.GONE: (
            "This link does not work any more",
            "It has ended, was taken back, or was not copied whole. Ask whoever sent it for a new one.",
        ),
        LinkPage.AWAY: (
            "The video cannot be reached just now",
            "The video service does not answer. Your link is fine: please try again in a few minutes.",
        ),
        LinkPage.CROWDED: ("Just a moment", "Many people are opening videos right now. Please try again."),
    },
    "zh-CN": {
        LinkPage.GONE: ("此链接已失效", "链接可能已过期、被撤回，或复制不完整。请向发送者索取新的链接。"),  # noqa: RUF001 - Chinese
        LinkPage.AWAY: ("暂时无法打开视频", "视频服务没有响应。您的链接仍然有效，请过几分钟再试。"),  # noqa: RUF001 - the same
        LinkPage.CROWDED: ("请稍候", "当前打开视频的人较多，请再试一次。"),  # noqa: RUF001 - Chinese
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedPage:
    """A page ready to be sent."""

    status: int
    html: str
    headers: Mapping[str, str]


def render(page: LinkPage, accept_language: str) -> RenderedPage:
    """Render the page in English or Chinese, whichever the reader prefers."""
    language = "zh-CN" if prefers_chinese(accept_language) else "en"
    title, text = _WORDS[language][page]
    html = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{title}</h1><p>{text}</p></main></body></html>"
    )
    later = _RETRY_AFTER.get(page)
    return RenderedPage(
        status=_STATUS[page],
        html=html,
        headers={
            **HEADERS,
            "Content-Language": language,
            "Vary": "Accept-Language",
            **({} if later is None else {"Retry-After": later}),
        },
    )


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
