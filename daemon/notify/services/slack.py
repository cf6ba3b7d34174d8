"""Slack: an attachment with a coloured bar whose blocks hold the alert, and the cover as an image block.

Texts are `rich_text` and `plain_text` objects, never `mrkdwn`, so Slack shows them literally, without mentions.
Links are in the text instead of buttons: after a click on a button Slack warns that the app does not answer
(slackapi/node-slack-sdk#869). An attachment with blocks takes only its colour and its fallback in addition. The
name, the channel and the thread come from the channel's URL; Apprise's workflows and templates take a text, as
usual. Sources: docs.slack.dev, "Blocks" (50 blocks; header 150, alt text 2000, URLs 3000 characters; 10
elements in a context), "Incoming webhooks: errors", "Rate limits" (one message a second for each channel). An
alert is always one message.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from daemon.notify.message import Field, Link, Message, Row
from daemon.notify.message.escape import chat, no_tags
from daemon.notify.message.shrink import Parts, fitted
from daemon.notify.services.answers import by_flag
from daemon.notify.services.base import (
    MINUTE,
    SECOND,
    Carded,
    Given,
    Limit,
    Picture,
    Service,
    Tested,
    sender,
    written,
)
from daemon.notify.services.cards import COLOURS, cut, json_size, limited, picture, shown_url, usable

SIZE = 12000
"""Bytes of the entire payload. Slack refuses blocks that are too long together but documents no number; users
saw it from about 13,200 characters of JSON (slackapi/bolt-js#2509)."""
MOST_BLOCKS = 50
MOST_ROWS = 60
TITLE_LIMIT = 150
URL_LIMIT = 3000
_NOTES = 10

_Block = dict[str, Any]


def card(message: Message) -> Mapping[str, Any]:
    """The body of `chat.postMessage` or of an incoming webhook, without the channel and the name."""
    return fitted(message, lambda parts: _payload(message, parts), lambda payload: json_size(payload) <= SIZE)


def _payload(message: Message, parts: Parts) -> dict[str, Any]:
    parts = limited(parts, most_rows=MOST_ROWS, most_link=URL_LIMIT)
    title = cut(parts.title, TITLE_LIMIT, escape=no_tags)
    blocks: list[_Block] = [
        {"type": "header", "text": {"type": "plain_text", "text": title or message.event, "emoji": False}},
        *_text([_run(parts.headline)]),
        *_text(_lines(_link(link, parts) for link in parts.links)),
        *_text(_lines(_field(field, parts) for field in parts.fields)),
        *_rows(parts),
        *_notes((*parts.notes, *parts.missing)),
    ]
    image = picture(message, most=URL_LIMIT)
    if image is not None:
        blocks.append({"type": "image", "image_url": image, "alt_text": title or message.event})
    colour = COLOURS[message.severity]
    attachment = {"color": colour, "fallback": title or message.event, "blocks": blocks[:MOST_BLOCKS]}
    return {"attachments": [attachment], "unfurl_links": False, "unfurl_media": False}


def _run(text: str, *, bold: bool = False, code: bool = False, raw: bool = False) -> _Block:
    """A piece of text, shown literally."""
    run: _Block = {"type": "text", "text": text if raw else no_tags(text)}
    style = {name: True for name, wanted in (("bold", bold), ("code", code)) if wanted}
    return {**run, "style": style} if style else run


def _lines(lines: Iterable[list[_Block]]) -> list[_Block]:
    """Join lines of pieces with line breaks."""
    joined: list[_Block] = []
    for line in lines:
        joined += [_run("\n"), *line] if joined else line
    return joined


def _text(pieces: list[_Block]) -> list[_Block]:
    """The block of a paragraph, if it has text: Slack refuses an empty piece."""
    visible = [piece for piece in pieces if piece["text"]]
    section = {"type": "rich_text_section", "elements": visible}
    return [{"type": "rich_text", "elements": [section]}] if visible else []


def _field(field: Field, parts: Parts) -> list[_Block]:
    return [_run(f"{field.name}{parts.words.colon}", bold=True), _run(field.value)]


def _link(link: Link, parts: Parts) -> list[_Block]:
    note = [_run(parts.aside(link.note))]
    if not usable(link.url, most=URL_LIMIT):
        return [_run(f"{link.name}", bold=True), *note, _run(" "), _run(shown_url(link.url), code=True, raw=True)]
    return [
        {"type": "link", "url": link.url, "text": no_tags(link.name or link.url), "style": {"bold": True}},
        *note,
    ]


def _rows(parts: Parts) -> list[_Block]:
    """One bullet for each row."""
    items = [{"type": "rich_text_section", "elements": _row(row, parts)} for row in parts.rows]
    bullets = {"type": "rich_text_list", "style": "bullet", "elements": items}
    return [{"type": "rich_text", "elements": [bullets]}] if items else []


def _row(row: Row, parts: Parts) -> list[_Block]:
    pieces = [_run(f"{row.emoji} "), _run(row.name or "?", bold=True), _run(f" {row.text}" if row.text else "")]
    if row.link is not None and usable(row.link.url, most=URL_LIMIT):
        pieces += [_run(" "), *_link(row.link, parts)]
    return [piece for piece in pieces if piece["text"]]


def _notes(notes: Sequence[str]) -> list[_Block]:
    elements = [{"type": "plain_text", "text": no_tags(note), "emoji": False} for note in notes if note]
    return [{"type": "context", "elements": elements[:_NOTES]}] if elements else []


_ADDRESS = ("username", "channel", "thread_ts", "icon_url")


class Slack(Carded):
    """An incoming webhook, or a bot."""

    def _send(self, url: str, payload: Any, *args: Any, **kwargs: Any) -> Any:
        from apprise.plugins.slack import SlackMode  # noqa: PLC0415 - cards need no Apprise

        workflow = self.mode in {SlackMode.WORKFLOW, SlackMode.WORKFLOW_TRIGGER}
        if self.card is not None and not workflow and not self.template:
            payload = {**{name: payload[name] for name in _ADDRESS if name in payload}, **self.card}
        theirs: Any = super()
        return theirs._send(url, payload, *args, **kwargs)


_RULE = by_flag(
    "ok",
    word="ok",
    rate=frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"}),
    # Such names are about a token, workspace, channel, thread or policy; patterns also match names added later.
    hold=re.compile(
        r"_auth|_token|token_|not_authed|_scope|permission|access|login_required|two_factor"
        r"|prohibited|restricted|denied|disabled|deprecated|migrating|inactive|archived|locked"
        r"|no_active_hooks|no_service|invalid_channel|no_team|not_in_channel|not_visible|is_bot|thread_ts|reply_to"
        r"|(?:channel|user|team|app|bot|org|enterprise|thread|workflow|trigger|hook)s?_(?:not_found|not_published)"
    ),
    busy=frozenset({"service_unavailable", "team_added_to_org", "request_timeout"}),
    unclear=frozenset({"fatal_error", "internal_error"}),
)


def _pasted(host: str, path: str, given: Given) -> str | None:
    hook = re.fullmatch(r"/services/(\w+)/(\w+)/(\w+)", path, re.ASCII)
    if hook is None or host != "hooks.slack.com":
        return None
    return written(f"slack://{hook[1]}/{hook[2]}/{hook[3]}", given)


def _room(plugin: Any) -> str:
    """Slack counts each channel separately, whoever writes to it."""
    return f"{sender(plugin)} {plugin.channels}"


SERVICE = Service(
    examples={"slack": ("Slack, incoming webhook", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")},
    schemes=("slack",),
    theirs="slack:NotifySlack",
    ours=Slack,
    pasted=_pasted,
    escape=chat,
    limit=35000,
    card=card,
    picture=Picture.URL,
    shows="coloured bar, title, links, fields, the cover",
    limits=(Limit(60, MINUTE, _room), Limit(1, SECOND, _room)),
    rule=_RULE,
    tested=Tested.CONFORMANCE,
)
