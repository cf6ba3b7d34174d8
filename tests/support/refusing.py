"""The limits at which each chat service refuses a request, and its error texts, according to its documentation."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.webhook import Answer, Received, form_fields, json_body, ok_json

SECRET = "SECsigning0123456789secret"
"""The signing secret that the stand-ins of Feishu, Lark and DingTalk expect."""

Check = Callable[[Received], Answer | None]
"""Returns the service's refusal of a request; None if it accepts it."""


def _query(received: Received) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(received.path).query).items()}


def _signature(key: str, text: str = "") -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


def lark(received: Received) -> Answer | None:
    """open.feishu.cn, "Custom bot guide": at most 20 KB, the signature in the body, a known `msg_type`."""
    body = json_body(received)
    if body is None or len(received.body) > 20 * 1024:
        return ok_json({"code": 9499, "msg": "Bad Request", "data": {}})
    stamp = str(body.get("timestamp", ""))
    if body.get("sign") != _signature(f"{stamp}\n{SECRET}"):
        return ok_json({"code": 19021, "msg": "sign match fail or timestamp is not within one hour", "data": {}})
    card, content = body.get("card"), body.get("content")
    if body.get("msg_type") == "interactive" and isinstance(card, dict):
        shown = card.get("elements") or card.get("body", {}).get("elements")
        return None if shown else ok_json({"code": 11246, "msg": "card has no elements", "data": {}})
    if body.get("msg_type") == "text" and isinstance(content, dict) and content.get("text"):
        return None
    return ok_json({"code": 9499, "msg": "Bad Request: msg_type", "data": {}})


def dingtalk(received: Received) -> Answer | None:
    """open.dingtalk.com, "Custom robot access": timestamp and signature in the query, at most 20,000 bytes."""
    query, body = _query(received), json_body(received)
    if query.get("sign") != _signature(SECRET, f"{query.get('timestamp')}\n{SECRET}"):
        return ok_json({"errcode": 310000, "errmsg": "sign not match"})
    if body is None or len(received.body) > 20_000:
        return ok_json({"errcode": 40035, "errmsg": "param error"})
    kind = str(body.get("msgtype"))
    part = body.get(kind, {})
    fine = {
        "text": lambda: part.get("content"),
        "markdown": lambda: part.get("title") and part.get("text"),
        "actionCard": lambda: (
            part.get("title") and part.get("text") and (part.get("singleURL") or part.get("btns"))
        ),
        "link": lambda: part.get("title") and part.get("messageUrl"),
    }
    return None if kind in fine and fine[kind]() else ok_json({"errcode": 40035, "errmsg": "param error"})


def wecom(received: Received) -> Answer | None:
    """developer.work.weixin.qq.com, "Group robot": bytes of UTF-8, each kind of message its own limit."""
    body = json_body(received)
    if body is None:
        return ok_json({"errcode": 47001, "errmsg": "data format error"})
    kind = str(body.get("msgtype"))
    part = body.get(kind, {})
    if kind == "text":
        fine = 0 < len(str(part.get("content", "")).encode()) <= 2048
    elif kind in {"markdown", "markdown_v2"}:
        fine = 0 < len(str(part.get("content", "")).encode()) <= 4096
    elif kind == "news":
        articles = part.get("articles", [])
        fine = 0 < len(articles) <= 8 and all(one.get("title") and one.get("url") for one in articles)
    else:
        fine = kind == "template_card" and bool(part.get("card_action"))
    return None if fine else ok_json({"errcode": 40058, "errmsg": "invalid Request Parameter"})


_SLACK_TEXT = {"header": 150, "section": 3000}


def slack(received: Received) -> Answer | None:
    """docs.slack.dev, "Block Kit": the limits of blocks."""
    body = json_body(received)
    if body is None:
        return Answer(status=400, body=b"invalid_payload")
    blocks = [*body.get("blocks", [])]
    for attachment in body.get("attachments", []):
        blocks += attachment.get("blocks", [])
    if not blocks and not body.get("text") and not body.get("attachments"):
        return Answer(status=400, body=b"no_text")
    fine = len(blocks) <= 50 and all(_is_block(block) for block in blocks)
    return None if fine else Answer(status=400, body=b"invalid_blocks")


def _is_block(block: Mapping[str, Any]) -> bool:
    kind = block.get("type")
    if kind == "image":
        return 0 < len(block["image_url"]) <= 3000 and 0 < len(block["alt_text"]) <= 2000
    if kind == "actions":
        buttons = block["elements"]
        return 0 < len(buttons) <= 25 and all(
            len(one["text"]["text"]) <= 75 and len(one.get("url", "")) <= 3000 for one in buttons
        )
    if kind == "context":
        return 0 < len(block["elements"]) <= 10
    if kind == "rich_text":
        pieces = [piece for part in block["elements"] for piece in _pieces(part)]
        return bool(pieces) and all(piece.get("text") or piece.get("url") for piece in pieces)
    fields = block.get("fields", [])
    texts = [block["text"]] if "text" in block else []
    return (
        (kind in _SLACK_TEXT or kind == "divider")
        and (bool(texts or fields) or kind == "divider")
        and all(0 < len(text["text"]) <= _SLACK_TEXT.get(str(kind), 3000) for text in texts)
        and len(fields) <= 10
        and all(0 < len(field["text"]) <= 2000 for field in fields)
    )


def _pieces(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the pieces of a section, or of all sections of a list."""
    if part["type"] == "rich_text_list":
        return [piece for section in part["elements"] for piece in section["elements"]]
    return list(part["elements"])


def discord(received: Received) -> Answer | None:
    """docs.discord.com, "Embed limits". An empty message is refused too; `wait` asks for the created message in
    the answer."""
    if _query(received).get("wait") != "true":
        return Answer(status=204)
    refused = ok_json({"message": "Invalid Form Body", "code": 50035}, status=400)
    fields = form_fields(received)
    body = json.loads(fields["payload_json"]) if fields and "payload_json" in fields else fields
    if body is None:
        return ok_json({"message": "The request body contains invalid JSON.", "code": 50109}, status=400)
    embeds = body.get("embeds", [])
    if len(body.get("content") or "") > 2000 or len(embeds) > 10 or not (body.get("content") or embeds):
        return refused
    whole = 0
    for embed in embeds:
        fields = embed.get("fields", [])
        sizes = [len(embed.get("title", "")), len(embed.get("description", ""))]
        sizes += [len(embed.get("footer", {}).get("text", ""))]
        whole += sum(sizes) + sum(len(field["name"]) + len(field["value"]) for field in fields)
        fine = sizes[0] <= 256 and sizes[1] <= 4096 and sizes[2] <= 2048 and len(fields) <= 25
        if not fine or any(
            not (0 < len(field["name"]) <= 256 and 0 < len(field["value"]) <= 1024) for field in fields
        ):
            return refused
    return refused if whole > 6000 else None


class _TelegramText(HTMLParser):
    """Telegram's HTML: only its own few tags, all closed. Counts the text as the limits do."""

    TAGS = frozenset(
        "b strong i em u ins s strike del span tg-spoiler a code pre blockquote tg-emoji".split()  # noqa: SIM905
    )

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.size, self.fault, self._open = 0, "", list[str]()
        self.feed(text)
        self.close()
        if self._open:
            self.fault = f"can't find end tag corresponding to start tag {self._open[-1]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        if tag not in self.TAGS:
            self.fault = f"unsupported start tag {tag!r}"

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.fault = f"unexpected end tag {tag!r}"

    def handle_data(self, data: str) -> None:
        self.size += len(data.encode("utf-16-le")) // 2


def telegram(received: Received) -> Answer | None:
    """core.telegram.org/bots/api: HTML that cannot be parsed and texts that are too long are refused."""
    fields = form_fields(received)
    if fields is None:
        return _telegram_refusal("can't parse the request")
    text, caption = str(fields.get("text", "")), str(fields.get("caption", ""))
    if not text and "photo" not in fields:
        return _telegram_refusal("message text is empty")
    for value, limit in ((text, 4096), (caption, 1024)):
        size, fault = len(value), ""
        if fields.get("parse_mode") == "HTML":
            read = _TelegramText(value)
            size, fault = read.size, read.fault
        if fault:
            return _telegram_refusal(f"can't parse entities: {fault}")
        if size > limit:
            return _telegram_refusal("message is too long")
    return None


def _telegram_refusal(why: str) -> Answer:
    return ok_json({"ok": False, "error_code": 400, "description": f"Bad Request: {why}"}, status=400)


def teams(received: Received) -> Answer | None:
    """learn.microsoft.com, "Create incoming webhooks with Workflows": an adaptive card, at most 28 KB."""
    body = json_body(received)
    if len(received.body) > 28 * 1024:
        return ok_json({"error": {"code": "RequestEntityTooLarge", "message": "too large"}}, status=413)
    attachments = (body or {}).get("attachments", [])
    fine = body is not None and body.get("type") == "message" and len(attachments) == 1
    card = attachments[0].get("content", {}) if fine else {}
    if card.get("type") == "AdaptiveCard" and card.get("version") and card.get("body"):
        return None
    return ok_json({"error": {"code": "InvalidRequestContent", "message": "no card"}}, status=400)


def mattermost(received: Received) -> Answer | None:
    """developers.mattermost.com, "Incoming webhooks": a text or attachments, at most 16,383 characters."""
    body = json_body(received)
    if body is not None and (body.get("text") or body.get("attachments")) and len(body.get("text", "")) <= 16383:
        return None
    return ok_json({"id": "web.incoming_webhook.text.app_error", "status_code": 400}, status=400)


def rocketchat(received: Received) -> Answer | None:
    """docs.rocket.chat, "Incoming webhook", and the server's `processWebhookMessage`: a text or attachments whose
    parts are strings; at most 5000 characters, and only CSS colours."""
    body = json_body(received)
    attachments = (body or {}).get("attachments", [])
    if body is None or not (body.get("text") or attachments):
        return ok_json({"success": False, "error": "Invalid integration payload"}, status=400)
    texts = [str(body.get("text", "")), *(str(one.get("text", "")) for one in attachments)]
    if max(map(len, texts)) > 5000:
        return ok_json({"success": False, "error": "error-message-size-exceeded"}, status=400)
    fine = all(
        re.fullmatch(r"#[0-9A-F]{6}", one["color"])
        and one.get("title")
        and all(field["title"] and field["value"] for field in one.get("fields", []))
        for one in attachments
    )
    return None if fine else ok_json({"success": False, "error": "Invalid attachments"}, status=400)


def longer_than(limits: Mapping[str, int], refusal: Answer) -> Check:
    """Return the check of a service that requires these fields, non-empty and at most this many characters
    long."""

    def check(received: Received) -> Answer | None:
        fields = form_fields(received) or {}
        fine = all(0 < len(str(fields.get(name, ""))) <= limit for name, limit in limits.items())
        return None if fine else refusal

    return check


def ntfy(received: Received) -> Answer | None:
    """docs.ntfy.sh/publish: at most 4,096 bytes (more becomes a file), three actions, a topic."""
    body = json_body(received)
    fine = body is not None and body.get("topic") and len(str(body.get("message", "")).encode()) <= 4096
    if fine and body is not None and len(body.get("actions", [])) <= 3:
        return None
    return ok_json({"code": 40024, "http": 400, "error": "invalid request: JSON body"}, status=400)


def machine(received: Received) -> Answer | None:
    return None if json_body(received) is not None else Answer(status=400, body=b"not JSON")
