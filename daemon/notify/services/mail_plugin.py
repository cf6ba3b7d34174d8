"""`mailtos://`: Apprise's plugin with our mail: HTML, text, and the picture within it.

Addresses, names, further headers and the server are what the channel's URL says; encrypted or signed mail is built
by Apprise from the HTML, without the picture. Must never let a value into a header but the subject, which is one
line.
"""

import smtplib
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, make_msgid
from typing import Any

from apprise.exception import AppriseImproperlyConfigured
from apprise.plugins.email.base import PGP_MODE_DEFAULT, NotifyEmail
from apprise.plugins.email.smtp import AppriseSMTPController

from daemon.notify.services.carded import Carded
from daemon.notify.services.mail import CONTENT_ID

_POLICY = SMTP.clone(cte_type="7bit")
"""Old servers take no eight-bit lines."""


class Mail(Carded, NotifyEmail):
    """A mailbox, reached by SMTP."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Send the card, or the text where there is none."""
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
            return False  # what happened was recorded where it happened
        return bool(sent) and all(sent)

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
        """The mail, but for whom it goes to."""
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


def _address(name: Any, address: Any) -> str:
    """An address as a header has it; Apprise says False for a name that is not there."""
    return formataddr((str(name) if name else None, str(address)), charset="utf-8")
