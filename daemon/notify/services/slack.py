"""Slack: an attachment with a coloured bar, whose blocks hold the alert, and the cover as an image block.

Texts stand in `rich_text` and `plain_text` objects, which Slack shows as they are: no mrkdwn, no mentions. Links
stand in the text and are no buttons: after a click on one, Slack warns that the app does not answer
(slackapi/node-slack-sdk#869). Beside blocks an attachment takes its colour and its fallback only. Limits:
docs.slack.dev, "Blocks" (50 blocks; header 150, alt text 2000, URLs 3000 characters; 10 elements in a context).
Must never write `mrkdwn`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from daemon.notify.message.model import Field, Link, Message, Row
from daemon.notify.services.common import COLOURS, cut, json_size, limited, picture, shown_url, usable
from daemon.notify.text.escape import no_tags
from daemon.notify.text.shrink import Parts, fitted

if TYPE_CHECKING:
    from daemon.notify.services.registry import Form

SIZE = 12000
"""Bytes of the whole: Slack refuses blocks that are too long together and names no number; people saw it happen
from about 13,200 characters of JSON on (slackapi/bolt-js#2509)."""
MOST_BLOCKS = 50
MOST_ROWS = 60
TITLE_LIMIT = 150
URL_LIMIT = 3000
_NOTES = 10

_Block = dict[str, Any]


def card(message: Message, form: "Form") -> Mapping[str, Any]:
    """The body of `chat.postMessage` or of an incoming webhook, but for the channel and the name."""
    del form  # Slack's blocks need no escape of the form's
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
    """A piece of text, shown as it is."""
    run: _Block = {"type": "text", "text": text if raw else no_tags(text)}
    style = {name: True for name, wanted in (("bold", bold), ("code", code)) if wanted}
    return {**run, "style": style} if style else run


def _lines(lines: Iterable[list[_Block]]) -> list[_Block]:
    """Lines of pieces, one after the other."""
    joined: list[_Block] = []
    for line in lines:
        joined += [_run("\n"), *line] if joined else line
    return joined


def _text(pieces: list[_Block]) -> list[_Block]:
    """The block of a paragraph; none of nothing. Slack refuses a piece without text."""
    told = [piece for piece in pieces if piece["text"]]
    section = {"type": "rich_text_section", "elements": told}
    return [{"type": "rich_text", "elements": [section]}] if told else []


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
