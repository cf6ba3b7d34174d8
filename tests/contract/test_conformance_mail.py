"""Mail over real SMTP with STARTTLS and a login, with every kind of answer: like test_conformance_http.py for
HTTP."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from daemon.domain.jobs import ChannelName
from daemon.notify.transport import ChannelSettings, open_channel
from daemon.notify.transport.verdicts import Hold, Sent
from tests.support.alerts import message
from tests.support.conformance import Post, Sends, check
from tests.support.dispatching import rig
from tests.support.outcomes import Row, dead, held, retry, sent, unknown
from tests.support.services import TLS
from tests.support.smtp_server import Fault, MailServer
from tests.support.webhook import Webhook

TABLE: Mapping[str, tuple[Fault | None, Row]] = {
    "fine": (None, sent()),
    "busy": (Fault(at="GREETING", reply="421 4.3.2 too busy"), retry("soon", "SMTP 421")),
    "no-greeting": (Fault(at="GREETING", reply="hang"), retry("soon", "no connection in time")),
    "login": (Fault(at="AUTH", reply="535 5.7.8 no"), held("SMTP 535: the login is refused")),
    "login-later": (Fault(at="AUTH", reply="454 4.7.0 later"), retry("soon", "SMTP 454")),
    "sender": (Fault(at="MAIL", reply="550 5.7.1 not yours"), held("SMTP 550: the sender is refused")),
    "recipient": (Fault(at="RCPT", reply="550 5.1.1 no such user"), held("SMTP 550: the recipient is refused")),
    "block-list": (
        Fault(at="GREETING", reply="554 5.7.1 listed"),
        held("SMTP 554: the server accepts no mail from"),
    ),
    "relay": (Fault(at="RCPT", reply="554 5.7.1 Relay access denied"), held("Relay access denied")),
    "full-box": (Fault(at="RCPT", reply="552 5.2.2 mailbox full"), held("5.2.2 mailbox full")),
    "lines": (Fault(at="RCPT", reply="550-5.7.1 first\r\n550 5.7.1 second"), held("(5.7.1 first second)")),
    "quota": (Fault(at="MAIL", reply="552 5.2.2 over quota"), held("SMTP 552: the sender is refused")),
    "tls-later": (
        Fault(at="STARTTLS", reply="454 4.7.0 not now"),
        retry("soon", "SMTP 454: the server refuses TLS"),
    ),
    "no-words": (Fault(at="RCPT", reply="550"), held("SMTP 550: the recipient is refused")),
    "odd-yes": (Fault(at="END", reply="251 fine, somewhere"), sent()),
    "odd-no": (Fault(at="END", reply="599"), dead("SMTP 599: the message is refused")),
    "gibberish": (Fault(at="RCPT", reply="hello"), retry("soon", "cannot be understood")),
    "gone-early": (Fault(at="MAIL", reply="close"), retry("soon", "ended the connection, before the message")),
    "greylisted": (Fault(at="RCPT", reply="450 4.2.0 later"), retry("soon", "SMTP 450")),
    "full": (Fault(at="DATA", reply="452 4.3.1 no room"), retry("soon", "SMTP 452")),
    "too-large": (Fault(at="DATA", reply="552 5.3.4 too large"), dead("SMTP 552: the message is refused")),
    "strange": (Fault(at="END", reply="554 5.6.0 strange"), dead("SMTP 554: the message is refused")),
    "policy": (Fault(at="END", reply="550 5.7.26 unauthenticated"), replace(held("5.7.26"), requests=2)),
    "error": (Fault(at="END", reply="451 4.3.0 a local error"), retry("soon", "SMTP 451")),
    "hang": (Fault(at="END", reply="hang"), unknown("did not answer in time")),
    "drip": (Fault(at="END", reply="drip"), unknown("did not answer in time")),
    "reset": (Fault(at="END", reply="reset"), unknown("ended the connection")),
    "closed": (Fault(at="END", reply="close"), unknown("ended the connection")),
    "no-tls": (None, held("TLS")),
}
"""The fault and its outcome. `no-tls` is a server that does not offer it."""


async def test_every_answer_of_a_mail_server(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = {
            case: stack.enter_context(MailServer(tls=case != "no-tls", fault=fault))
            for case, (fault, _) in TABLE.items()
        }
        fine = stack.enter_context(MailServer())

        def bodies(case: str) -> list[bytes]:
            """Return one entry for each conversation: the text of an accepted mail, else nothing."""
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
        hangs = {case: servers[case].hung.is_set for case in ("no-greeting", "hang", "drip")}
        await check(tmp_path, urls, table, Post(bodies=bodies, mend=mend, hangs=hangs), Sends())
        assert all(mail.encrypted for server in servers.values() for mail in server.taken), (
            "nothing went without TLS"
        )


async def test_a_mail_that_some_recipients_have_is_never_sent_again(tmp_path: Path) -> None:
    """One recipient is refused, the other has it: the operators are alerted once with the server's text, and
    nothing waits."""
    spared = Fault(at="RCPT", reply="550 5.1.1 no such user", spares="team@example.com")
    with MailServer(fault=spared) as server, Webhook() as operators, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(TLS / "services-ca.pem"))
        urls = {"mail": f"{server.url('team')}&cc=boss@example.com", "operators": operators.url()}
        async with rig(tmp_path, urls, operators=["operators"]) as one:
            for number in range(3):
                await one.job_ends(f"job-{number}", channels=["mail"])
                await one.turn()
            assert one.statuses("mail") == ["sent"] * 3
            assert [mail.recipients for mail in server.taken] == [("team@example.com",)] * 3
            (told,) = [request.json for request in operators.requests]
            assert told["event"] == "channel_held"
            assert "does not reach all its recipients" in told["title"]
            assert "wait" not in told["message"], "nothing does"
            assert "1 of the recipients did not get it, the others have (5.1.1 no such user)" in told["reason"]
            server.forget()
            await one.job_ends("job-4", channels=["mail"])
            await one.later(4000)
            assert len(server.taken) == 4
            assert server.taken[-1].recipients == ("team@example.com", "boss@example.com")
            assert len(operators.requests) == 1


@pytest.mark.parametrize("password", ["密码-Ünïcode-7731", "12;34&5#6?7/8%9+ 0", "a:b@c", "%41%20", "'\"\\"])
def test_a_login_takes_any_password(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In UTF-8 if not ASCII (RFC 4616), and each character literally."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "services-ca.pem"))
    with MailServer(password=password) as server:
        channel = open_channel(ChannelSettings(name=ChannelName("mail"), url=server.url()))
        assert isinstance(channel.send(message(), timeout=5).verdict, Sent)
        assert len(server.taken) == 1


def test_a_login_in_utf8_that_is_refused_holds_the_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "services-ca.pem"))
    with MailServer(password="密码") as server:
        url = server.url().replace(quote("密码"), quote("密"))
        report = open_channel(ChannelSettings(name=ChannelName("mail"), url=url)).send(message(), timeout=5)
    assert report.verdict == Hold(
        reason="SMTP 535: the login is refused (5.7.8 wrong user or password)", status=535
    )


async def test_a_channel_that_reached_some_and_then_none_is_told_of_and_its_outage_is_no_flood(
    tmp_path: Path,
) -> None:
    spared = Fault(at="RCPT", reply="550 5.1.1 no such user", spares="team@example.com")
    with MailServer(fault=spared) as server, Webhook() as operators, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(TLS / "services-ca.pem"))
        urls = {"mail": f"{server.url('team')}&cc=boss@example.com", "operators": operators.url()}
        async with rig(tmp_path, urls, operators=["operators"]) as one:
            await one.job_ends("job-1", channels=["mail"])
            await one.turn()
            server.fault = Fault(at="GREETING", reply="421 4.3.2 too busy")
            for number in range(2):
                await one.job_ends(f"busy-{number}", channels=["mail"])
            await one.turn()
            assert sum(row.attempts for row in one.rows("mail")) == 2, "the channel rests after a failure"
            server.fault = Fault(at="AUTH", reply="535 5.7.8 no")
            for _ in range(2):
                await one.later(60)
            assert [request.json["event"] for request in operators.requests] == ["channel_held"] * 2
            assert "kept" in operators.requests[1].json["message"]
