"""Microsoft Teams, through a workflow: an adaptive card with a coloured title, buttons, and the cover by its
address.

Uses only what Teams is known to render for everyone: TextBlock, FactSet, Image, Action.OpenUrl. (Rich text is
not documented there; connectors refused it, and its links did not open on all clients: AdaptiveCards#8804,
#9100.) A workflow answers 202 before anything is shown, so a card that is refused later is lost silently: the
limits are enforced here. Texts are read as Markdown without escapes, so markup characters in names become
look-alikes. No `entities` are sent, so nothing is a mention; `<`, `{{`, `${` and `@{` are broken up anyway.
Limits: learn.microsoft.com, "Create and send messages" (28 KB for the message) and "Designing Adaptive Cards"
(6 buttons; pictures of 1 MB and 1024 by 1024 pixels).

An Apprise template named in the channel's URL takes the text, as usual.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from daemon.notify.message import Link, Message, Row, Severity, picture_size
from daemon.notify.message.escape import ZERO_WIDTH_SPACE, html_chat, look_alike, quoted
from daemon.notify.message.shrink import Parts, fitted
from daemon.notify.services.answers import Exchange, Hold, Verdict, answer_of, is_success, sent, unreadable
from daemon.notify.services.base import (
    MINUTE,
    Carded,
    Given,
    Limit,
    Markup,
    Picture,
    Service,
    Tested,
    options,
    written,
)
from daemon.notify.services.cards import anchor, cut, limited, picture, shown_url, usable

SIZE = 26_000
"""Bytes of the card as a JSON string within JSON, the form in which Teams stores it; Teams accepts 28,672 for
everything."""
PICTURE_SIZE = 1_000_000
"""Bytes of a picture; a larger one, or one of another type, is not shown."""
PICTURE_SIDE = 1024
"""Maximum width and height in pixels."""
BUTTONS = 6
URL_LIMIT = 4000
_KINDS = frozenset({"image/png", "image/jpeg", "image/gif"})
_STYLES = {Severity.GOOD: "good", Severity.BAD: "attention", Severity.WARNING: "warning", Severity.INFO: "accent"}
_FUNCTIONS = re.compile(r"(?<=[{$@])(?=\{)")

_Element = dict[str, Any]


def card(message: Message) -> Mapping[str, Any]:
    """The body of the request that triggers the workflow."""
    return fitted(message, lambda parts: _payload(message, parts), _fits)


def _fits(payload: Mapping[str, Any]) -> bool:
    return len(json.dumps(json.dumps(payload["attachments"][0]["content"]))) <= SIZE


def _plain(text: str) -> str:
    """Foreign text without tags, links, markup, or functions of the card or the workflow."""
    return _FUNCTIONS.sub(ZERO_WIDTH_SPACE, look_alike(text))


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
    heading = _block(title, size="Large", weight="Bolder")
    style = _STYLES[message.severity]
    body: list[_Element] = [{"type": "Container", "style": style, "bleed": True, "items": [heading]}]
    image = _picture(message)
    if image is not None:
        body.append({"type": "Image", "url": image, "altText": title, "size": "Stretch"})
    if parts.headline:
        body.append(_block(_plain(parts.headline)))
    body += [_block(_row(row), spacing="Small") for row in parts.rows]
    if parts.fields:
        facts = [{"title": _plain(field.name), "value": _plain(field.value) or "…"} for field in parts.fields]
        body.append({"type": "FactSet", "facts": facts})
    body += [
        _block(_link(link, parts), spacing="Small") for link in parts.links if link not in buttons or link.note
    ]
    notes = (*parts.notes, *parts.missing)
    return [*body, *(_block(_plain(note), isSubtle=True) for note in notes if note)]


def _picture(message: Message) -> str | None:
    """The cover's address, if Teams shows its type and size."""
    cover = message.cover
    if cover is None or cover.content_type not in _KINDS or len(cover.data) >= PICTURE_SIZE:
        return None
    if max(picture_size(cover.data) or (0, 0)) > PICTURE_SIDE:
        return None
    return picture(message, most=URL_LIMIT)


def _block(text: str, *, spacing: str = "Default", **looks: object) -> _Element:
    return {"type": "TextBlock", "text": text, "wrap": True, "spacing": spacing, **looks}


def _row(row: Row) -> str:
    link = ""
    if row.link is not None and usable(row.link.url, most=URL_LIMIT):
        link = f" {anchor(row.link.name, row.link.url)}"
    text = f" {_plain(row.text)}" if row.text else ""
    return f"{row.emoji} **{_plain(row.name) or '?'}**{text}{link}"


def _link(link: Link, parts: Parts) -> str:
    """How long a button's link works, or a link that cannot be a button."""
    if usable(link.url, most=URL_LIMIT):
        return _plain(parts.pair(link.name, link.note) if link.note else link.name)
    label = _plain(f"{link.name}{parts.aside(link.note)}{parts.words.colon}")
    return f"{label}{quoted(shown_url(link.url), besides='[]*~')}"


class Teams(Carded):
    """The workflow "when a Teams webhook request is received"."""

    def gen_payload(self, *args: Any, **kwargs: Any) -> Any:
        """The body of the request."""
        if self.card is None or self.template:
            theirs: Any = super()
            return theirs.gen_payload(*args, **kwargs)
        return dict(self.card)


_HOLDS = frozenset(
    {
        *("WorkflowTriggerIsNotEnabled", "WorkflowNotFound", "WorkflowTriggerNotFound", "TriggerNotFound"),
        *("DirectApiAuthorizationRequired", "AuthorizationFailed", "InvalidSignature", "ResourceGroupNotFound"),
    }
)
_HOLD = re.compile(r"NotFound$|NotEnabled$|Disabled|Suspended|Authori[sz]|Authentication|Forbidden|Expired")


def _rule(last: Exchange) -> Verdict | None:
    """A workflow accepts a message with 202 and no body; a page with 200 comes from something else. Its trigger
    reports permanent refusals with 400 and a code."""
    fault = (answer_of(last.body) or {}).get("error")
    if is_success(last.status):
        unexpected = fault is not None or last.body.lstrip()[:1] == b"<" or not last.whole
        return unreadable(last) if unexpected else sent(last)
    name = fault.get("code") if isinstance(fault, dict) else None
    if isinstance(name, str) and (name in _HOLDS or _HOLD.search(name)):
        return Hold(reason=f"HTTP {last.status}: the workflow refuses messages ({name})", status=last.status)
    return None


def _pasted(host: str, path: str, given: Given) -> str | None:
    flow = re.fullmatch(
        r"(/powerautomate/automations/direct(?:/cu/(\d+))?)?/workflows/([\w-]+)/triggers/\w+/paths/invoke",
        path,
        re.ASCII | re.IGNORECASE,
    )
    if flow is None or "sig" not in given:
        return None
    added = {"ver": given["api-version"].value} if "api-version" in given else {}
    added |= {"pa": "yes"} if flow[1] else {}
    added |= {"route": flow[2]} if flow[2] else {}
    port = host if ":" in host else f"{host}:443"
    return written(f"workflows://{port}/{flow[3]}/{given['sig'].raw}", given, _OWN, **added)


_OWN = ("sig", "api-version", "sp", "sv")
"""Query options of a Teams address; `sp` and `sv` are the same in all of them."""


def _repaired(url: str) -> str:
    """Add to a Teams URL in the plugin's form what the current hosts need: without `pa=yes` it uses a path that
    was retired in 2025."""
    if not re.match(r"[a-z]+://[^/?]*\.api\.powerplatform\.com(?::\d+)?(?:[/?]|$)", url, re.IGNORECASE):
        return url
    given = {option.key for option in options(url)}
    added = [] if given & {"pa", "powerautomate"} else ["pa=yes"]
    added += [] if given & {"ver", "api-version"} else ["ver=1"]
    return url + ("&" if given else "?" if "?" not in url else "") + "&".join(added) if added else url


_CONNECTOR = re.compile(
    r"https://(?:(?:[a-z0-9-]+\.)?webhook\.office\.com|outlook\.office(?:365)?\.com/webhook)", re.IGNORECASE
)
_ENDED = "is a Teams connector, and these are retired; create a workflow and paste its address (docs/channels.md)"

SERVICE = Service(
    examples={
        "workflow": ("Microsoft Teams, workflow", "workflows://HOST:443/WORKFLOW_ID/SIGNATURE?pa=yes&ver=1"),
    },
    schemes=("workflow", "workflows"),
    theirs="workflows:NotifyWorkflows",
    ours=Teams,
    pasted=_pasted,
    ended={_CONNECTOR: _ENDED},
    repaired=_repaired,
    markup=Markup.HTML,
    escape=html_chat,
    limit=1000,
    fixed_title=True,
    card=card,
    picture=Picture.URL,
    shows="coloured title, cover (at most 1024 by 1024), fields, buttons",
    limits=(Limit(60, MINUTE),),  # the Teams connector allows 300 calls in 5 minutes for each connection
    rule=_rule,
    tested=Tested.CONFORMANCE,
)
