"""WeCom group bots. They need only a key and have no signature.

    wecombot://KEY

The card is a `template_card` of type `news_notice` if there is a cover to show and a link to open;
`markdown_v2`, which shows any picture but no colours, if that cannot hold everything; `markdown` with a
coloured title if there is no cover. Sources: developer.work.weixin.qq.com, "Group bot configuration" (markdown:
at most 4096 bytes of UTF-8, colours info, comment and warning; news_notice: card_image by address, at most 6
fields, 3 jump links, 4 blocks of text, a card_action; 20 messages a minute for each bot) and "Global error
codes". Logs nothing.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from daemon.notify.message import Link, Message, Severity, picture_size
from daemon.notify.message.escape import chat, is_link, look_alike, no_tags, quoted
from daemon.notify.message.shrink import Parts, fitted, parts_of
from daemon.notify.services.answers import RATE_WAIT, by_code
from daemon.notify.services.base import MINUTE, Given, Limit, Own, Picture, Service, Tested, Unit, base_of, written
from daemon.notify.services.cards import field_line, link_line, paragraphs, picture, remarks, row_line, utf8

LIMIT = 4096
"""Bytes of UTF-8 in the content of both kinds of Markdown."""
_MOST_FIELDS, _MOST_LINKS, _MOST_BLOCKS = 6, 3, 4
_BLOCK_LIMIT = 112
"""Characters of a block of text that clients show in full."""
_URL_LIMIT = 1024
_NARROWEST, _WIDEST = 1.3, 2.25
"""Ratio of width to height that the card shows uncropped."""
_COLOURS = {
    Severity.GOOD: "info",
    Severity.BAD: "warning",
    Severity.WARNING: "warning",
    Severity.INFO: "comment",
}
_SOURCE_COLOURS = {Severity.GOOD: 3, Severity.BAD: 2, Severity.WARNING: 2, Severity.INFO: 0}
"""Colour of a template card's first line: 0 grey, 2 red, 3 green."""


def card(message: Message) -> Mapping[str, Any]:
    """The payload of a message."""
    cover = picture(message, most=_URL_LIMIT)
    ratio = _ratio(message)
    if cover is not None and _NARROWEST <= ratio <= _WIDEST:
        shown = _template(parts_of(message), message.severity, {"url": cover, "aspect_ratio": ratio})
        if shown is not None:
            return shown
    return fitted(
        message,
        lambda parts: _with_picture(parts, cover) if cover else _markdown(parts, _COLOURS[message.severity]),
        lambda payload: utf8(payload[payload["msgtype"]]["content"]) <= LIMIT,
    )


def _markdown(parts: Parts, colour: str) -> dict[str, Any]:
    content = paragraphs(
        [f'### <font color="{colour}">{look_alike(parts.title)}</font>', look_alike(parts.headline)],
        [row_line(row, parts) for row in parts.rows],
        [link_line(link, parts) for link in parts.links],
        [f"> {field_line(field, parts)}" for field in parts.fields],
        [f'<font color="comment">{line}</font>' for line in remarks(parts)],
    )
    return {"msgtype": "markdown", "markdown": {"content": content}}


def _ratio(message: Message) -> float:
    """Width to height of the cover; 16:9 if its header does not say."""
    width, height = (message.cover and picture_size(message.cover.data)) or (16, 9)
    return round(width / max(1, height), 2)


def _with_picture(parts: Parts, cover: str) -> dict[str, Any]:
    content = paragraphs(
        [f"### {look_alike(parts.title)}", look_alike(parts.headline)],
        [f"![]({quoted(cover, besides='()')})"],
        [row_line(row, parts) for row in parts.rows],
        [link_line(link, parts) for link in parts.links],
        [f"> {field_line(field, parts)}" for field in parts.fields],
        remarks(parts),
    )
    return {"msgtype": "markdown_v2", "markdown_v2": {"content": content}}


def _template(parts: Parts, severity: Severity, image: Mapping[str, Any]) -> dict[str, Any] | None:
    """The card with the cover; None if it would leave something out."""
    links = [link for link in parts.links if is_link(link.url) and len(link.url) <= _URL_LIMIT]
    notes = [*(parts.pair(link.name, link.note) for link in links if link.note), *parts.notes]
    fits = (
        links
        and len(links) == len(parts.links) <= _MOST_LINKS
        and not parts.rows
        and len(notes) <= _MOST_BLOCKS
        and all(len(text) <= _BLOCK_LIMIT for text in (parts.headline, *notes))
    )
    return _news(parts, links, notes, severity, image) if fits else None


def _news(
    parts: Parts, links: list[Link], notes: list[str], severity: Severity, image: Mapping[str, Any]
) -> dict[str, Any]:
    values = [{"keyname": chat(each.name), "value": chat(each.value)} for each in parts.fields[:_MOST_FIELDS]]
    shown: dict[str, Any] = {
        "card_type": "news_notice",
        "source": {"desc": "wrapd", "desc_color": _SOURCE_COLOURS[severity]},
        "main_title": {"title": chat(parts.title)},
        "card_image": image,
        "quote_area": {"type": 0, "quote_text": chat(parts.headline)},
        "vertical_content_list": [{"title": "ℹ️", "desc": chat(note)} for note in notes],  # noqa: RUF001 - a symbol
        "horizontal_content_list": values,
        "jump_list": [{"type": 1, "title": chat(link.name), "url": link.url} for link in links],
        "card_action": {"type": 1, "url": links[0].url},
    }
    return {"msgtype": "template_card", "template_card": shown}


class WeComBot(Own):
    """A WeCom group bot."""

    service_name = "WeCom Bot"
    secure_protocol = "wecombot"
    body_maxlen = 2048

    def __init__(self, *, key: str, base: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.address = f"{base}/cgi-bin/webhook/send"
        self.key = self.part(key, r"[A-Za-z0-9_-]+")

    def send(self, body: str, title: str = "", notify_type: object = None, **_kwargs: Any) -> bool:
        """Post the card, or the text if there is none."""
        text = f"{title}\n{body}" if title else body
        payload = self.card or {"msgtype": "text", "text": {"content": text}}
        return self.post(self.address, payload, params={"key": self.key})

    @property
    def url_identifier(self) -> tuple[str, ...]:
        return (self.address, self.key)

    @classmethod
    def read(cls, parsed: Mapping[str, Any]) -> dict[str, Any]:
        """The key, and the service's base address."""
        options = parsed["qsd"]
        return {"key": options.get("key") or unquote(parsed["host"]), "base": base_of(_HOST, options)}


_RULE = by_code(
    ("errcode",),
    rate={45009: RATE_WAIT, 45033: RATE_WAIT},
    hold=frozenset({93000, 93004, 93008, 60020}),  # key, bot disabled, bot not in the group, IP not allowed
    busy=frozenset({-1, 6000}),
)


_HOST = "qyapi.weixin.qq.com"


def _pasted(host: str, path: str, given: Given) -> str | None:
    if host != _HOST or path != "/cgi-bin/webhook/send" or "key" not in given:
        return None
    return written(f"wecombot://{given['key'].raw}", given, ("key",))


SERVICE = Service(
    examples={"wecombot": ("WeCom, group bot", "wecombot://KEY")},
    schemes=("wecombot",),
    theirs="base:NotifyBase",
    ours=WeComBot,
    options=("host", "insecure"),
    hosts={"wecombot": _HOST},
    pasted=_pasted,
    escape=no_tags,
    limit=2048,
    unit=Unit.UTF8_BYTES,
    card=card,
    picture=Picture.URL,
    shows="coloured title, fields, links; with a cover, a card with buttons, or the cover without colours",
    limits=(Limit(20, MINUTE),),
    rule=_RULE,
    tested=Tested.CONFORMANCE,
)
