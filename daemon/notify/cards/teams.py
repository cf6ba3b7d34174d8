"""Microsoft Teams, by a workflow: an adaptive card with a coloured title, buttons, and the cover by its address.

Every text stands in a `RichTextBlock`: unlike a `TextBlock` or a fact it shows no Markdown
(learn.microsoft.com, "Text features"), so a name cannot link or format. No `entities` are given, so nothing is a
mention; `<`, `{{`, `${` and `@{` are broken all the same. Limits: learn.microsoft.com, "Create and send messages"
(28 KB for the message) and "Designing Adaptive Cards" (6 buttons). Must never write a TextBlock.
"""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daemon.notify.cards.common import cut, limited, picture, shown_url, usable
from daemon.notify.escapes import ZERO_WIDTH_SPACE, no_tags
from daemon.notify.fitting import Parts, fitted
from daemon.notify.message import Field, Link, Message, Row, Severity

if TYPE_CHECKING:
    from daemon.notify.forms import Form

SIZE = 25000
"""Bytes of the whole as the plugin writes it, in ASCII; Teams takes 28 KB and adds something of its own."""
BUTTONS = 6
URL_LIMIT = 4000
_STYLES = {Severity.GOOD: "good", Severity.BAD: "attention", Severity.WARNING: "warning", Severity.INFO: "accent"}
_FUNCTIONS = re.compile(r"(?<=[{$@])(?=\{)")

_Element = dict[str, Any]


def card(message: Message, form: "Form") -> Mapping[str, Any]:
    """The body of the request that starts the workflow."""
    del form  # an adaptive card has its own limits
    return fitted(
        message, lambda parts: _payload(message, parts), lambda payload: len(json.dumps(payload)) <= SIZE
    )


def _plain(text: str) -> str:
    """Foreign text: no tag, no link, no function of the card's or the workflow's."""
    return _FUNCTIONS.sub(ZERO_WIDTH_SPACE, no_tags(text))


def _payload(message: Message, parts: Parts) -> dict[str, Any]:
    parts = limited(parts, most_link=URL_LIMIT)
    buttons = [link for link in parts.links if usable(link.url, most=URL_LIMIT)][:BUTTONS]
    title = cut(parts.title, 200, escape=_plain) or message.event
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": title,
        "body": _body(message, parts, title, buttons),
        "actions": [
            {"type": "Action.OpenUrl", "title": _plain(link.name) or "…", "url": link.url} for link in buttons
        ],
        "msteams": {"width": "Full"},
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": content,
    }
    return {"type": "message", "summary": title, "attachments": [attachment]}


def _body(message: Message, parts: Parts, title: str, buttons: list[Link]) -> list[_Element]:
    style = _STYLES[message.severity]
    heading = _block([{**_run(title), "size": "Large", "weight": "Bolder"}])
    body: list[_Element] = [{"type": "Container", "style": style, "bleed": True, "items": [heading]}]
    image = picture(message, most=URL_LIMIT)
    if image is not None:
        body.append({"type": "Image", "url": image, "altText": title, "size": "Stretch"})
    if parts.headline:
        body.append(_block([_run(_plain(parts.headline))]))
    body += [_block(_row(row), spacing="Small") for row in parts.rows]
    body += [_field(field, parts) for field in parts.fields]
    body += [_link(link, parts) for link in parts.links if link not in buttons or link.note]
    notes = (*parts.notes, *parts.missing)
    return [*body, *(_block([{**_run(_plain(note)), "isSubtle": True}]) for note in notes)]


def _run(text: str) -> _Element:
    return {"type": "TextRun", "text": text}


def _block(runs: list[_Element], *, spacing: str = "Default") -> _Element:
    return {"type": "RichTextBlock", "spacing": spacing, "inlines": [run for run in runs if run["text"]]}


def _field(field: Field, parts: Parts) -> _Element:
    name = {**_run(_plain(f"{field.name}{parts.words.colon}")), "weight": "Bolder"}
    return _block([name, _run(_plain(field.value))], spacing="Small")


def _row(row: Row) -> list[_Element]:
    runs = [_run(f"{row.emoji} "), {**_run(_plain(row.name or "?")), "weight": "Bolder"}]
    if row.text:
        runs.append(_run(f" {_plain(row.text)}"))
    if row.link is not None and usable(row.link.url, most=URL_LIMIT):
        opens = {"type": "Action.OpenUrl", "url": row.link.url}
        runs += [_run(" "), {**_run(_plain(row.link.name)), "underline": True, "selectAction": opens}]
    return runs


def _link(link: Link, parts: Parts) -> _Element:
    """How long a button's link works, or a link that can be no button."""
    if usable(link.url, most=URL_LIMIT):
        told = parts.pair(link.name, link.note) if link.note else link.name
        return _block([_run(_plain(told))], spacing="Small")
    told = f"{link.name}{parts.aside(link.note)}{parts.words.colon}"
    return _block([_run(_plain(told)), {**_run(shown_url(link.url)), "fontType": "Monospace"}], spacing="Small")
