"""Reads a request to a chat service as people see it there: its words, its links, and the mentions that it
triggers.

There is one reader for each service, written after the service's documentation of its markup. It is as lenient as
the service, so that anything that could become a link or a mention counts as one. `Seen.strange` holds content
that does not belong in a message.
"""

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

from tests.support.webhook import Received, form_fields


@dataclass(slots=True)
class Seen:
    """A message as its reader sees it."""

    words: list[str] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    """URLs that can be opened or are fetched."""
    calls: set[str] = field(default_factory=set)
    """Mentions, and commands that a press would send."""
    strange: set[str] = field(default_factory=set)
    """Tags, headers and other content that wrapd's messages never have."""

    @property
    def text(self) -> str:
        return "\n".join(self.words).replace("\r\n", "\n")


Reader = Callable[[Received], Seen]
_ADDRESS = re.compile(r"(?:https?|ftp)://[^\s<>\"|]+|\bwww\.[^\s<>\"|]+", re.IGNORECASE)
_BARE = re.compile(r"(?<![\w@./\u200b-])(?:[a-z0-9-]+\.)+(?:com|net|org|gg|cn|example)\b[^\s<>]*", re.IGNORECASE)


def _plain(seen: Seen, text: str) -> None:
    """Text shown literally; clients turn addresses in it into links."""
    seen.words.append(text)
    seen.links |= set(_ADDRESS.findall(text))


# ------------------------------------------------------------------------------------------- Markdown

_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|~<>:@])")
_HIDDEN = 0xE000
"""Escaped characters are moved here while the markup is parsed."""


def _markdown(seen: Seen, text: str, *, escapes: bool = True, tags: bool = True) -> None:
    """Parse a chat's Markdown: links, pictures, references, tags; addresses become links."""
    if escapes:
        text = _ESCAPED.sub(lambda match: chr(_HIDDEN + ord(match[1])), text)
    code = re.findall(r"`([^`]*)`", text)
    text = re.sub(r"`[^`]*`", " ", text)
    for words, address in re.findall(r"\[([^\[\]]*)\]\(([^()\s]*)[^()]*\)", text):
        seen.links.add(_shown(address))
        seen.words.append(_shown(words))
    text = re.sub(r"\]\([^()\s]*[^()]*\)", "]", text)
    seen.links |= set(re.findall(r"^\s*\[[^\]]+\]:\s*(\S+)", text, re.MULTILINE))
    if tags:
        for tag in re.findall(r"<([^<>\s]+)[^<>]*>", text):
            (seen.links if "://" in tag or ":" in tag else seen.strange).add(_shown(tag))
    seen.links |= {_shown(each) for each in _ADDRESS.findall(text)}
    seen.words += [_shown(text), *map(_shown, code)]


def _shown(text: str) -> str:
    return "".join(chr(ord(char) - _HIDDEN) if _HIDDEN <= ord(char) < _HIDDEN + 128 else char for char in text)


# ------------------------------------------------------------------------------------------- HTML


class _Html(HTMLParser):
    """Collects words, links and tags of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.tags: list[str] = []
        self.addresses: set[str] = set()
        self.handlers: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"href", "src", "action", "background", "data", "poster", "srcset", "formaction"}:
                self.addresses.add(value or "")
            if name.startswith("on") or "url(" in (value or "") or ("://" in (value or "") and name == "style"):
                self.handlers.add(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.tags.append(f"!-- {data}")

    def handle_decl(self, decl: str) -> None:
        if decl.lower() != "doctype html":
            self.tags.append(decl)


# ------------------------------------------------------------------------------------------- the services


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    """Return every object in a payload."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _objects(each)
    elif isinstance(value, list):
        for each in value:
            yield from _objects(each)


def _payload(received: Received) -> dict[str, Any]:
    found = json.loads(received.body.decode("utf-8"))
    assert isinstance(found, dict)
    return found


def _urls(seen: Seen, one: Mapping[str, Any], *names: str) -> None:
    seen.links |= {one[name] for name in names if isinstance(one.get(name), str) and one[name]}


_LARK_TAGS = re.compile(r"<(/?[a-z_]+)[^<>]*>", re.IGNORECASE)
_LARK_OURS = frozenset({"font", "/font", "br", "hr", "text_tag", "/text_tag"})


def lark(received: Received) -> Seen:
    body, seen = _payload(received), Seen()
    for one in _objects(body):
        content = one.get("content", one.get("text"))
        if not isinstance(content, str):
            pass
        elif one.get("tag") in {"lark_md", "markdown"} or "tag" not in one:
            if one.get("tag") != "markdown" or "<" in content:
                tags = _LARK_TAGS.findall(content)
                seen.calls |= {tag for tag in tags if tag.lower() in {"at", "person"}}
                seen.strange |= {tag for tag in tags if tag.lower() not in _LARK_OURS | {"at", "person", "/at"}}
            _markdown(seen, re.sub(r"</?font[^<>]*>", "", content), escapes=False, tags=False)
        else:
            _plain(seen, content)
        _urls(seen, one, "url", "pc_url", "android_url", "ios_url", "href")
    return seen


def dingtalk(received: Received) -> Seen:
    body, seen = _payload(received), Seen()
    at = body.get("at", {})
    if at.get("isAtAll") or at.get("atMobiles") or at.get("atUserIds"):
        seen.calls.add(json.dumps(at))
    part = body[body["msgtype"]]
    if "content" in part:
        _plain(seen, part["content"])
    else:
        _plain(seen, part["title"])
        _markdown(seen, re.sub(r"</?font[^<>]*>", "", part["text"]))
    for one in _objects(part):
        _urls(seen, one, "actionURL", "singleURL", "messageUrl", "picUrl")
        seen.words += [one[name] for name in ("singleTitle", "title") if name in one]
    return seen


def wecom(received: Received) -> Seen:
    body, seen = _payload(received), Seen()
    kind = body["msgtype"]
    part = body[kind]
    for name in ("mentioned_list", "mentioned_mobile_list"):
        seen.calls |= set(part.get(name, []))
    if kind == "text":
        _plain(seen, part["content"])
    elif kind in {"markdown", "markdown_v2"}:
        seen.calls |= set(re.findall(r"<@[^<>]*>", part["content"]))
        text = re.sub(r"</?font[^<>]*>", "", part["content"])
        _markdown(seen, text, escapes=kind == "markdown_v2")
    else:
        for one in _objects(part):
            for name in ("title", "desc", "description", "keyname", "value", "sub_title_text", "quote_text"):
                if isinstance(one.get(name), str):
                    _plain(seen, one[name])
            _urls(seen, one, "url", "picurl", "image_url")
    return seen


_SLACK_ENTITY = re.compile(r"<([^<>]*)>")


def _mrkdwn(seen: Seen, text: str) -> None:
    for entity in _SLACK_ENTITY.findall(text):
        address, _, words = entity.partition("|")
        (seen.calls if address[:1] in {"!", "@", "#"} else seen.links).add(html.unescape(address))
        seen.words.append(html.unescape(words))
    _plain(seen, html.unescape(_SLACK_ENTITY.sub(" ", text)))


def slack(received: Received) -> Seen:
    body, seen = _payload(received), Seen()
    if body.get("link_names") or body.get("parse") == "full":
        seen.strange.add("link_names or parse=full")
    for one in _objects(body):
        text, kind = one.get("text"), one.get("type")
        if isinstance(text, str) and kind in {"plain_text", "text", "link"}:  # no markup is parsed in these
            seen.words.append(text)
        elif isinstance(text, str):
            _mrkdwn(seen, text)
        if kind in {"user", "usergroup", "channel", "broadcast"}:
            seen.calls.add(str(kind))
        if isinstance(one.get("fallback"), str):
            seen.words.append(one["fallback"])
        _urls(seen, one, "url", "image_url", "thumb_url", "title_link", "from_url")
    return seen


def teams(received: Received) -> Seen:
    body, seen = _payload(received), Seen()
    for one in _objects(body):
        kind = one.get("type")
        if kind == "TextBlock":
            _markdown(seen, one["text"], tags=False)
        elif kind == "mention":
            seen.calls.add(str(one.get("text")))
        for name in ("title", "value", "text", "altText") if kind != "TextBlock" else ():
            if not isinstance(one.get(name), str):
                continue
            if "value" in one and kind is None:
                _markdown(seen, one[name], tags=False)
            else:
                seen.words.append(one[name])
        _urls(seen, one, "url", "iconUrl")
        if isinstance(one.get("backgroundImage"), str):
            seen.strange.add(one["backgroundImage"])
    return seen


def discord(received: Received) -> Seen:
    fields = form_fields(received) or {}
    body = json.loads(fields["payload_json"]) if "payload_json" in fields else fields
    seen = Seen()
    mentions = body.get("allowed_mentions")
    muted = mentions == {"parse": []}
    if not muted:
        seen.strange.add(f"allowed_mentions={mentions}")
    for one in [body, *body.get("embeds", [])]:
        texts = [one.get(name) for name in ("content", "title", "description")]
        texts += [each[name] for each in one.get("fields", []) for name in ("name", "value")]
        for text in filter(None, texts):
            _markdown(seen, text)
        _plain(seen, one.get("footer", {}).get("text", ""))
        _urls(seen, one, "url")
        for name in ("image", "thumbnail", "author"):
            _urls(seen, one.get(name, {}), "url", "icon_url")
    if not muted:
        seen.calls |= set(re.findall(r"@everyone|@here|<@[^>]*>", seen.text))
    seen.strange -= {"t", "t:"}
    return seen


def telegram(received: Received) -> Seen:
    fields, seen = form_fields(received) or {}, Seen()
    text = str(fields.get("text") or fields.get("caption") or "")
    if fields.get("parse_mode") == "HTML":
        read = _Html(text)
        seen.links |= read.addresses
        seen.strange |= {tag for tag in read.tags if tag not in {"b", "a", "code", "i", "pre"}} | read.handlers
        text = "".join(read.words)
    elif fields.get("parse_mode"):
        seen.strange.add(str(fields["parse_mode"]))
    _plain(seen, text)
    seen.links |= set(_BARE.findall(text))
    seen.calls |= set(re.findall(r"(?<!\w)@[a-z]\w{3,}", text, re.IGNORECASE))
    return seen


def mattermost(received: Received) -> Seen:
    body, seen = _payload(received), Seen()
    for one in [body, *body.get("attachments", [])]:
        texts = [one.get(name) for name in ("text", "pretext", "title", "footer")]
        texts += [each[name] for each in one.get("fields", []) for name in ("title", "value")]
        _plain(seen, one.get("fallback", ""))
        for text in filter(None, texts):
            _markdown(seen, text)
        for text in filter(None, [*texts, one.get("fallback")]):
            seen.calls |= set(re.findall(r"(?<![\w])@[a-z][\w.-]*", text, re.IGNORECASE))
        _urls(seen, one, "title_link", "image_url", "thumb_url", "author_link", "author_icon", "icon_url")
    return seen


def markdown_in(*names: str, addresses: tuple[str, ...] = ()) -> Reader:
    """Return the reader of a chat whose texts with these names are Markdown without escapes, anywhere in a
    request. Values under one of `addresses` are links or are fetched."""

    def read(received: Received) -> Seen:
        seen = Seen()
        for one in _objects(form_fields(received)):
            for text in (one[name] for name in names if isinstance(one.get(name), str)):
                _markdown(seen, text, escapes=False)
                seen.calls |= set(re.findall(r"(?<![\w])@[*_]*[a-z][\w.-]*", text, re.IGNORECASE))
            _urls(seen, one, *addresses)
        return seen

    return read


def ntfy(received: Received) -> Seen:
    body, seen = _payload(received), Seen()
    if body.get("markdown") or "markdown" in received.headers:
        seen.strange.add("markdown")
    _plain(seen, body.get("title", ""))
    _plain(seen, body.get("message", ""))
    _urls(seen, body, "click", "attach", "icon")
    for action in body.get("actions", []):
        _urls(seen, action, "url")
        seen.words.append(action["label"])
        if action["action"] != "view":
            seen.strange.add(action["action"])
    return seen


def machine(received: Received) -> Seen:
    """The reader of a program: nothing in the request is shown or followed."""
    body = _payload(received)
    return Seen(words=[str(body["title"]), str(body["message"]), str(body.get("name"))])


_MAIL_TAGS = frozenset(
    (
        *(
            "html",
            "head",
            "meta",
            "title",
            "body",
            "div",
            "p",
            "h1",
            "h2",
            "h3",
            "table",
            "tbody",
            "tr",
            "td",
            "th",
        ),
        *("a", "b", "strong", "i", "em", "code", "span", "br", "img", "hr", "ul", "li"),
    )
)
_MAIL_HEADERS = frozenset(
    "content-type mime-version subject from to reply-to date message-id x-application x-mailer".split()  # noqa: SIM905
)


def read_mail(mail: EmailMessage) -> Seen:
    """Read both texts of a mail as a mail program does; headers that wrapd does not send are strange."""
    seen = Seen(strange={name for name in map(str.lower, mail.keys()) if name not in _MAIL_HEADERS})
    if len(mail.get_all("subject", [])) != 1 or len(mail.get_all("to", [])) != 1:
        seen.strange.add("two subjects or recipients")
    seen.words.append(str(mail["subject"]))
    for part in mail.walk():
        kind = part.get_content_type()
        if kind == "text/plain":
            _plain(seen, part.get_content())
        elif kind == "text/html":
            read = _Html(part.get_content())
            seen.words.append("".join(read.words))
            seen.links |= read.addresses | set(_ADDRESS.findall("".join(read.words)))
            seen.strange |= {tag for tag in read.tags if tag not in _MAIL_TAGS} | read.handlers
        elif not part.is_multipart() and not kind.startswith("image/"):
            seen.strange.add(kind)
    return seen
