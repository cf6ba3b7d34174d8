"""E-mail: a subject, an HTML part with the cover, and a text part with the same content.

The picture is attached and referenced by its Content-ID, so that nothing is fetched when the mail is read.
Foreign values are escaped in HTML and broken up where a mail program would make a link of them; none goes into
a header other than the subject, which is one line. Addresses, names, extra headers and the server come from the
channel's URL. Apprise builds encrypted or signed mail from the HTML, without the picture.
"""

import re
import smtplib
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, make_msgid
from typing import Any

from daemon.notify.message import Field, Language, Link, Message, Row
from daemon.notify.message.escape import chat, html_chat, html_text
from daemon.notify.message.shrink import Parts, fitted
from daemon.notify.services.base import Carded, Markup, Option, Picture, Service, Tested
from daemon.notify.services.cards import COLOURS, cut, limited, paragraphs, shown_url, usable, utf8

SIZE = 90000
"""Bytes of the HTML: Gmail hides everything beyond 102 KB."""
SUBJECT = 200
CONTENT_ID = "cover"
_LANG = {Language.ENGLISH: "en", Language.CHINESE: "zh-CN"}
_FONT = "font-family:-apple-system,'Segoe UI','PingFang SC','Microsoft YaHei',Arial,sans-serif"


def card(message: Message) -> Mapping[str, Any]:
    """`subject`, `html` and `text`. The HTML shows the picture `cid:cover` if the message has one."""
    return fitted(message, lambda parts: _mail(message, parts), lambda mail: utf8(mail["html"]) <= SIZE)


def _mail(message: Message, parts: Parts) -> dict[str, str]:
    parts = limited(parts)
    subject = cut(parts.title, SUBJECT) or message.event
    return {"subject": subject, "html": _html(message, parts), "text": _text(parts)}


def _html(message: Message, parts: Parts) -> str:
    image = (
        f'<p style="margin:12px 0"><img src="cid:{CONTENT_ID}" alt="" style="max-width:100%"></p>'
        if message.cover is not None
        else ""
    )
    pieces = [
        f'<p style="margin:0 0 12px">{html_chat(parts.headline)}</p>' if parts.headline else "",
        image,
        "".join(_link(link, parts) for link in parts.links),
        _table([_row(row) for row in parts.rows]),
        _table([_field(field) for field in parts.fields]),
        *(f'<p style="margin:8px 0;color:#666">{html_chat(note)}</p>' for note in (*parts.notes, *parts.missing)),
    ]
    colour = COLOURS[message.severity]
    return (
        f'<!DOCTYPE html><html lang="{_LANG[parts.language]}"><head><meta charset="utf-8"></head>'
        f'<body style="margin:0;padding:16px;{_FONT};font-size:15px;color:#222">'
        f'<div style="max-width:640px;border-left:4px solid {colour};padding-left:16px">'
        f'<h2 style="margin:0 0 12px;font-size:18px;color:{colour}">{html_chat(parts.title)}</h2>'
        f"{''.join(pieces)}</div></body></html>"
    )


def _table(rows: Sequence[str]) -> str:
    if not rows:
        return ""
    return f'<table style="border-collapse:collapse;font-size:14px;margin:12px 0">{"".join(rows)}</table>'


def _field(field: Field) -> str:
    return (
        f'<tr><td style="padding:2px 16px 2px 0;color:#666;vertical-align:top">{html_chat(field.name)}</td>'
        f'<td style="padding:2px 0">{html_chat(field.value)}</td></tr>'
    )


def _link(link: Link, parts: Parts) -> str:
    note = f' <span style="color:#666">{html_chat(parts.aside(link.note).strip())}</span>' if link.note else ""
    name, address = html_chat(link.name), html_text(shown_url(link.url))
    if not usable(link.url, most=8000):
        colon = html_text(parts.words.colon)
        return f'<p style="margin:4px 0">{name}{note}{colon}<code>{address}</code></p>'
    return f'<p style="margin:4px 0"><a href="{html_text(link.url)}"><b>{name}</b></a>{note}</p>'


def _row(row: Row) -> str:
    name = f"<b>{html_chat(row.name or '?')}</b>"
    if row.link is not None and usable(row.link.url, most=8000):
        name = f'<a href="{html_text(row.link.url)}">{name}</a>'
    cell = '<td style="padding:3px 12px 3px 0;vertical-align:top">'
    return f"<tr>{cell}{html_text(row.emoji)}</td>{cell}{name}</td>{cell}{html_chat(row.text)}</td></tr>"


def _text(parts: Parts) -> str:
    """The same content for programs that show no HTML; each link is on a separate line."""
    text = paragraphs(
        [chat(parts.title)],
        [chat(parts.headline)],
        [line for link in parts.links for line in _text_link(link, parts)],
        [line for row in parts.rows for line in _text_row(row)],
        [chat(parts.pair(field.name, field.value)) for field in parts.fields],
        [chat(note) for note in (*parts.notes, *parts.missing)],
    )
    return f"{text}\n"


def _text_link(link: Link, parts: Parts) -> tuple[str, str]:
    note = chat(parts.aside(link.note))
    return f"{chat(link.name)}{note}{parts.words.colon.rstrip()}", shown_url(link.url)


def _text_row(row: Row) -> tuple[str, ...]:
    line = f"{row.emoji} {chat(row.name or '?')} {chat(row.text)}".rstrip()
    return (line, shown_url(row.link.url)) if row.link is not None else (line,)


_POLICY = SMTP.clone(cte_type="7bit")
"""Old servers do not accept 8-bit lines."""


class Mail(Carded):
    """A mailbox, reached by SMTP."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Send the card, or the text if there is none."""
        from apprise.exception import AppriseImproperlyConfigured  # noqa: PLC0415 - cards need no Apprise
        from apprise.plugins.email.base import PGP_MODE_DEFAULT  # noqa: PLC0415 - as above
        from apprise.plugins.email.smtp import AppriseSMTPController  # noqa: PLC0415 - as above

        if self.card is None or self.pgp_mode != PGP_MODE_DEFAULT:
            return self.send_plain(*args, **kwargs)
        try:
            server: Any = AppriseSMTPController
            with server(
                host=self.smtp_host,
                port=self.port,
                secure_mode=self.secure_mode,
                user=self.user,
                password=self.password,
                verify_certificate=self.verify_certificate,
                socket_connect_timeout=self.socket_connect_timeout,
            ) as smtp:
                sent = [self._send_to(smtp, name, address) for name, address in self.targets]
        except (OSError, smtplib.SMTPException, RuntimeError, AppriseImproperlyConfigured):
            return False  # transport has recorded the exchange
        return bool(sent) and all(sent)

    def misread(self, given: Sequence[Option]) -> str:
        """An address that Apprise dropped or misread."""
        known = {*(address for _, address in self.targets), *self.cc, *self.bcc, *self.reply_to, self.from_addr[1]}
        taken = {str(address).lower() for address in known}
        for option in given:
            wanted = option.key in _ADDRESSES or (option.key == "from" and "@" in option.value)
            if wanted and not all(
                _addresses(each) and _addresses(each) <= taken for each in _people(option.value)
            ):
                return f"{option.key}= and an address that it cannot write to; {_LIKE}"
        return "" if self.targets else f"a path that is no address; {_LIKE}"

    def _send_to(self, smtp: Any, name: Any, address: str) -> bool:
        copies = sorted(self.cc - self.bcc - {address})
        hidden = sorted(self.bcc - {address})
        mail = self._written()
        mail["To"] = _address(name, address)
        if copies:
            mail["Cc"] = ", ".join(map(self._named, copies))
        if replies := sorted(self.reply_to - {address}):
            mail["Reply-To"] = ", ".join(map(self._named, replies))
        return bool(smtp.sendmail(self.from_addr[1], [address, *copies, *hidden], mail.as_bytes()))

    def _named(self, address: str) -> str:
        return _address(self.names.get(address), address)

    def _written(self) -> EmailMessage:
        """The mail without its recipients."""
        assert self.card is not None
        mail = EmailMessage(policy=_POLICY)
        for name, value in {"X-Application": self.app_id, **self.headers}.items():
            mail[name] = " ".join(str(value).split())
        mail["Subject"] = self.card["subject"]
        mail["From"] = _address(*self.from_addr)
        mail["Message-ID"] = make_msgid(domain=self.smtp_host)
        mail["Date"] = format_datetime(self.clock.now())
        mail.set_content(self.card["text"], cte="quoted-printable")
        mail.add_alternative(self.card["html"], subtype="html", cte="quoted-printable")
        if self.cover is not None:
            self._embed(mail.get_payload())
        return mail

    def _embed(self, parts: Any) -> None:
        assert self.cover is not None
        kind, _, subtype = self.cover.content_type.partition("/")
        parts[1].add_related(
            self.cover.data,
            maintype=kind,
            subtype=subtype,
            cid=f"<{CONTENT_ID}>",
            disposition="inline",
            filename=f"cover.{subtype}",
        )


_ADDRESSES = frozenset({"to", "cc", "bcc", "reply"})
_LIKE = "one is like name@example.com, in ASCII (a domain in other letters has a form that begins with xn--)"


def _people(value: str) -> list[str]:
    """The entries of an address list, without quoted names."""
    return [each for each in re.split("[,;]", re.sub(r'"[^"]*"', "", value)) if each.strip()]


def _addresses(entry: str) -> set[str]:
    """The addresses of an entry, in lower case: those in angle brackets, else all words with an @."""
    found = re.findall("<([^<>]*)>", entry) or [word for word in entry.split() if "@" in word]
    return {each.strip().lower() for each in found}


def _address(name: Any, address: Any) -> str:
    """An address for a header. Apprise passes False for a missing name."""
    return formataddr((str(name) if name else None, str(address)), charset="utf-8")


SERVICE = Service(
    examples={
        "mailto": (
            "e-mail by SMTP",
            "mailtos://user:password@example.com?smtp=smtp.example.com&to=team@example.com",
        ),
    },
    schemes=("mailto", "mailtos"),
    theirs="email.base:NotifyEmail",
    ours=Mail,
    markup=Markup.HTML,
    escape=html_chat,
    limit=32768,
    shows_urls=True,
    raw_title=True,
    card=card,
    picture=Picture.UPLOAD,
    shows="HTML and text: coloured title, the cover in the mail, links, fields",
    tested=Tested.MAIL_SERVER,
)
