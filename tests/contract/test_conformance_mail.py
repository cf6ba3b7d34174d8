"""Mail over real SMTP with STARTTLS and a login, every way to answer: as test_conformance_http.py for HTTP."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.support.conformance import Post, Row, check, dead, held, retry, sent, unknown
from tests.support.smtp_server import Fault, MailServer

TABLE: Mapping[str, tuple[Fault | None, Row]] = {
    "fine": (None, sent()),
    "busy": (Fault(at="GREETING", reply="421 4.3.2 too busy"), retry("soon", "SMTP 421")),
    "no-greeting": (Fault(at="GREETING", reply="hang"), retry("soon", "no connection came about in time")),
    "login": (Fault(at="AUTH", reply="535 5.7.8 no"), held("SMTP 535: the login is refused")),
    "login-later": (Fault(at="AUTH", reply="454 4.7.0 later"), retry("soon", "SMTP 454")),
    "sender": (Fault(at="MAIL", reply="550 5.7.1 not yours"), held("SMTP 550: the sender is refused")),
    "recipient": (Fault(at="RCPT", reply="550 5.1.1 no such user"), held("SMTP 550: the recipient is refused")),
    "greylisted": (Fault(at="RCPT", reply="450 4.2.0 later"), retry("soon", "SMTP 450")),
    "full": (Fault(at="DATA", reply="452 4.3.1 no room"), retry("soon", "SMTP 452")),
    "too-large": (Fault(at="DATA", reply="552 5.3.4 too large"), dead("SMTP 552: the message is refused")),
    "spam": (Fault(at="END", reply="554 5.7.1 spam"), dead("SMTP 554: the message is refused")),
    "fault": (Fault(at="END", reply="451 4.3.0 a local error"), retry("soon", "SMTP 451")),
    "hang": (Fault(at="END", reply="hang"), unknown("did not answer in time")),
    "drip": (Fault(at="END", reply="drip"), unknown("did not answer in time")),
    "reset": (Fault(at="END", reply="reset"), unknown("ended the connection")),
    "closed": (Fault(at="END", reply="close"), unknown("ended the connection")),
    "no-tls": (None, held("TLS")),
}
"""The fault, and what it comes to. `no-tls` is a server that does not offer it."""


async def test_every_answer_of_a_mail_server(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = {
            case: stack.enter_context(MailServer(tls=case != "no-tls", fault=fault))
            for case, (fault, _) in TABLE.items()
        }
        fine = stack.enter_context(MailServer())

        def bodies(case: str) -> list[bytes]:
            """One for each conversation; the text of those mails that were taken."""
            server = servers[case]
            taken = [mail.mail.as_bytes() for mail in server.taken]
            return [b""] * (server.begun - len(taken)) + taken

        def mend() -> None:
            for case, server in servers.items():
                server.forget()
                if case == "no-tls":
                    server.tls = fine.tls

        urls = {case: server.url(case) for case, server in servers.items()}
        table = {case: row for case, (_, row) in TABLE.items()}
        await check(tmp_path, urls, table, Post(bodies=bodies, mend=mend))
        assert all(mail.encrypted for server in servers.values() for mail in server.taken), (
            "nothing went without TLS"
        )
