"""Which form each chat service takes: markup, escape, limit, card, pace. A row for each; pure data and functions.

A service without a row takes plain text. Cards are built in the modules of this folder, one for each service:
they take their escapes from daemon/notify/text/escape.py and import nothing of this module but for its types. Must
never send.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from daemon.notify.message.model import Message
from daemon.notify.services import dingtalk, discord, feishu, mail, mattermost, ntfy, slack, teams, telegram, wecom
from daemon.notify.text.escape import ZERO_WIDTH_SPACE, as_is, chat, html_chat, markdown, no_tags


class Markup(StrEnum):
    """How a message is written."""

    TEXT = "text"
    HTML = "html"
    MARKDOWN = "markdown"


class Unit(StrEnum):
    """What a service counts."""

    CHARACTERS = "characters"
    UTF8_BYTES = "bytes"


class Picture(StrEnum):
    """How a service can show a picture."""

    NONE = "none"
    URL = "url"  # it fetches the picture from a link
    UPLOAD = "upload"  # the picture goes with the message


class Tested(StrEnum):
    """How a service's channel is tested; nothing here is tested against the service itself."""

    CONFORMANCE = "conformance"  # every answer of the table of verdicts and every hostile name, against a stand-in
    MAIL_SERVER = "mail server"  # the same, against a real SMTP server on loopback
    WIRE = "wire"  # messages, hostile names and refusals, by what arrives at a stand-in
    OPENED = "opened"  # its URL opens a channel


Card: TypeAlias = Callable[[Message, "Form"], Mapping[str, Any]]
"""Builds what the service's plugin posts: for most the JSON payload. Pure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How messages for a service are written. `limit` counts title and body of the plain form together; a card
    keeps its service's own limits."""

    schemes: tuple[str, ...]
    markup: Markup = Markup.TEXT
    escape: Callable[[str], str] = as_is
    limit: int
    unit: Unit = Unit.CHARACTERS
    shows_urls: bool = False
    """In HTML: write each link's URL as well, because the text part is made from the words alone."""
    gap: str = ""
    """In HTML: what stands between paragraphs, where the service's conversion would drop the empty line."""
    raw_title: bool = False
    """The title is a field of its own that is shown as it is, whatever the body's markup."""
    fixed_title: bool = False
    """The service would read markup in the title: it gets a constant one, and the real one opens the body."""
    card: Card | None = None
    """The rich form; None: the plain one is all there is."""
    per_minute: float | None = None
    """Messages a minute that the service takes from one sender, as it documents; None: it names no such limit."""
    per_second: float | None = None
    """The same within a second."""
    machine: bool = False
    """Programs read it, not people: each alert by itself, never several in one."""
    picture: Picture = Picture.NONE
    shows: str = "text"
    """What people see of a message, in a few words."""
    tested: Tested = Tested.WIRE

    def measure(self, text: str) -> int:
        """The size of `text` as the service counts."""
        return len(text) if self.unit is Unit.CHARACTERS else len(text.encode("utf-8", "replace"))


FORMS: tuple[Form, ...] = (
    Form(
        schemes=("json", "jsons"),
        limit=32768,
        machine=True,
        shows="text and facts as fields",
        tested=Tested.CONFORMANCE,
    ),
    Form(schemes=("form", "forms", "xml", "xmls"), limit=32768, machine=True),
    Form(schemes=("console",), limit=32768, shows="coloured title, text"),
    Form(
        schemes=("feishu", "lark"),
        escape=no_tags,
        limit=18000,
        unit=Unit.UTF8_BYTES,
        card=feishu.card,
        per_minute=100,  # open.feishu.cn, custom bots: 100 a minute and 5 a second for each bot
        per_second=5,
        shows="coloured title, fields, buttons; the cover as a button",
        tested=Tested.CONFORMANCE,
    ),
    Form(
        schemes=("dingtalk",),
        escape=chat,
        limit=18000,
        unit=Unit.UTF8_BYTES,
        card=dingtalk.card,
        per_minute=20,  # open.dingtalk.com, custom robots: 20 a minute, else nothing for 10 minutes
        picture=Picture.URL,
        shows="coloured title, cover, fields, buttons",
        tested=Tested.CONFORMANCE,
    ),
    Form(
        schemes=("wecombot",),
        escape=no_tags,
        limit=2048,
        unit=Unit.UTF8_BYTES,
        card=wecom.card,
        per_minute=20,  # developer.work.weixin.qq.com, group bots: 20 a minute for each bot
        picture=Picture.URL,
        shows="coloured title, fields, links; with a cover, a card with buttons",
        tested=Tested.CONFORMANCE,
    ),
    Form(
        schemes=("slack",),
        escape=chat,
        limit=35000,
        card=slack.card,
        per_minute=60,  # docs.slack.dev, rate limits: one message a second for each channel
        per_second=1,
        picture=Picture.URL,
        shows="coloured bar, title, links, fields, the cover",
        tested=Tested.CONFORMANCE,
    ),
    Form(
        schemes=("discord",),
        markup=Markup.MARKDOWN,
        escape=markdown,
        limit=2000,
        card=discord.card,
        per_minute=30,  # discord/discord-api-docs#367: 30 a minute for the webhooks of a channel
        picture=Picture.UPLOAD,
        shows="coloured bar, title, links, fields, the cover",
        tested=Tested.CONFORMANCE,
    ),
    Form(
        schemes=("mmost", "mmosts"),
        markup=Markup.MARKDOWN,
        escape=markdown,
        limit=4000,
        card=mattermost.card,
        picture=Picture.URL,
        shows="coloured bar, title, links, fields, the cover",
        tested=Tested.CONFORMANCE,
    ),
    Form(
        schemes=("tgram",),
        markup=Markup.HTML,
        escape=html_chat,
        limit=4096,
        gap=f"<p>{ZERO_WIDTH_SPACE}</p>",
        card=telegram.card,
        per_minute=20,  # core.telegram.org/bots/faq: 20 a minute for a group, one a second for any chat
        per_second=1,
        picture=Picture.UPLOAD,
        shows="the cover with a caption of at most 1024 characters, else text; links, fields",
        tested=Tested.CONFORMANCE,
    ),
    Form(
        schemes=("workflow", "workflows"),
        markup=Markup.HTML,
        escape=html_chat,
        limit=1000,
        fixed_title=True,
        card=teams.card,
        per_minute=60,  # 300 calls in 5 minutes for a connection of the Teams connector
        picture=Picture.URL,
        shows="coloured title, cover, fields, buttons",
        tested=Tested.CONFORMANCE,
    ),
    Form(schemes=("gchat",), markup=Markup.HTML, escape=html_chat, limit=4000),
    Form(schemes=("rocket", "rockets"), markup=Markup.HTML, escape=html_chat, limit=1000),
    Form(
        schemes=("mailto", "mailtos"),
        markup=Markup.HTML,
        escape=html_chat,
        limit=32768,
        shows_urls=True,
        raw_title=True,
        card=mail.card,
        picture=Picture.UPLOAD,
        shows="HTML and text: coloured title, the cover in the mail, links, fields",
        tested=Tested.MAIL_SERVER,
    ),
    Form(schemes=("matrix", "matrixs"), escape=chat, limit=30000, tested=Tested.OPENED),
    Form(
        schemes=("ntfy", "ntfys"),
        escape=chat,
        limit=4096,
        unit=Unit.UTF8_BYTES,
        card=ntfy.card,
        per_minute=12,  # docs.ntfy.sh/publish, limitations: one in 5 s for a visitor, 60 at once
        picture=Picture.URL,
        shows="title, tag, up to three buttons, the cover",
        tested=Tested.CONFORMANCE,
    ),
    Form(schemes=("gotify", "gotifys"), limit=32768),
    Form(schemes=("pover",), limit=1024),
)

_BY_SCHEME = {scheme: form for form in FORMS for scheme in form.schemes}


def form_for(scheme: str, *, limit: int) -> Form:
    """The form of a service; a service without a row takes text of at most `limit` characters."""
    return _BY_SCHEME.get(scheme) or Form(schemes=(scheme,), escape=chat, limit=limit)
