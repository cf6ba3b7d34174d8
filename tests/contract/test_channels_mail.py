"""Mail over a real SMTP conversation: what arrives, and the verdict on each refusal."""

import email
import email.policy
import time

import pytest

from daemon.domain.jobs import ChannelName
from daemon.notify.transport import Channel, ChannelSettings, open_channel
from daemon.notify.transport.verdicts import Dead, Final, Hold, Retry, Sent, Unknown
from tests.support.alerts import COVER, message
from tests.support.mailbox import Mailbox


def channel(box: Mailbox, options: str = "") -> Channel:
    found = open_channel(ChannelSettings(name=ChannelName("mail"), url=box.url(options)))
    found._plugin.request_rate_per_sec = 0
    return found


def test_a_mail_has_html_and_text_with_the_links_in_both() -> None:
    with Mailbox() as box:
        report = channel(box).send(message("<b>Film</b>\r\nBcc: v@example.com"), timeout=3)
    assert report.verdict == Sent(reason="SMTP 250: accepted", status=250)
    (raw,) = box.messages
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["Subject"] == "✅ Ready: <b>Film</b> Bcc: v@example.com"
    assert mail["Bcc"] is None
    bodies = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    assert set(bodies) == {"text/plain", "text/html"}
    assert "&lt;b&gt;Film" in bodies["text/html"]
    for body in bodies.values():
        assert COVER in body.replace("&amp;", "&")
        assert "h.example.com/a_b.mp4?Expires=1&Signature=x%3D" in body.replace("&amp;", "&")


@pytest.mark.parametrize(
    ("step", "reply", "kind"),
    [
        ("GREETING", "421 too busy", Retry),
        ("AUTH", "535 wrong password", Hold),
        ("MAIL", "451 try later", Retry),
        ("RCPT", "550 no such user", Hold),
        ("RCPT", "450 greylisted", Retry),
        ("DATA", "552 too large", Dead),
        ("END", "554 looks like spam", Dead),
        ("END", "451 try later", Retry),
        ("END", "hang", Unknown),
        ("END", "close", Unknown),
        ("GREETING", "hang", Retry),
        ("GREETING", "drip", Retry),
        ("END", "drip", Unknown),
    ],
)
def test_what_each_refusal_comes_to(step: str, reply: str, kind: type[Final]) -> None:
    started = time.monotonic()
    with Mailbox(replies={step: reply}) as box:
        report = channel(box).send(message(), timeout=0.5)
        took = time.monotonic() - started
    assert type(report.verdict) is kind, report
    assert took < 2.5
    assert "secret-word" not in report.reason


def test_a_server_that_is_away_was_surely_not_reached() -> None:
    with Mailbox() as box:
        pass
    report = channel(box).send(message(), timeout=1)
    assert report.verdict == Retry(reason=f"the connection was refused (127.0.0.1:{box.port})")


def test_a_server_without_tls_holds_the_channel_that_wants_it() -> None:
    with Mailbox() as box:
        url = box.url().replace("mailto://", "mailtos://").replace("mode=insecure", "mode=starttls")
        one = open_channel(ChannelSettings(name=ChannelName("mail"), url=url))
        report = one.send(message(), timeout=1)
    assert isinstance(report.verdict, Hold)
    assert "TLS" in report.reason
    assert box.messages == []


def test_a_server_that_begins_without_tls_is_told_from_one_that_hangs_up() -> None:
    def verdict(replies: dict[str, str]) -> tuple[Final, int]:
        with Mailbox(replies=replies) as box:
            url = box.url().replace("mailto://", "mailtos://").replace("mode=insecure", "mode=ssl")
            one = open_channel(ChannelSettings(name=ChannelName("mail"), url=url))
            return one.send(message(), timeout=5).verdict, box.port

    told, port = verdict({})
    reason = f"the server speaks no TLS on this port, unless by mode=starttls (127.0.0.1:{port})"
    assert told == Hold(reason=reason)
    assert isinstance(verdict({"GREETING": "close"})[0], Retry)


ODD = [
    *(
        "550",
        "550 ",
        "550-first\r\n550 last",
        "550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c",
        "553 5.1.8 \xff\xfe no",
    ),
    *("450", "450-4.2.0 a\r\n450 4.2.0 b", "451 " + "x" * 500),
    *("", "abc", "5", "55", "-50 x", "4e2 x", "999 what", "250", "299 odd", "354 go on", "101 what"),
    "550 " + "x" * 9000,
]


@pytest.mark.parametrize(
    "step",
    [
        *("GREETING", "RCPT", "DATA", "END"),
        *(pytest.param(step, marks=pytest.mark.long) for step in ("EHLO", "AUTH", "MAIL")),
    ],
)
@pytest.mark.parametrize("reply", ODD, ids=lambda reply: reply[:20] or "empty")
def test_any_form_of_reply_has_a_verdict(step: str, reply: str) -> None:
    """Before the message is complete, nothing can have arrived; after it, only a 2yz says that it did."""
    with Mailbox(replies={step: reply}) as box:
        one = channel(box)
        verdict = one.send(message(), timeout=8).verdict
        taken = len(box.messages)
    whole = len(reply) < 8192
    match step, reply[:1] if whole and reply[:3].isdecimal() and reply[:3].isascii() and len(reply) >= 3 else "":
        case "END", "2":
            assert isinstance(verdict, Sent)
        case "END", "5":
            assert isinstance(verdict, Hold if "5.7.1" in reply or "5.1.8" in reply else Dead)
            assert taken == 2
        case "END", "4":
            assert isinstance(verdict, Retry)
        case "END", _:
            assert isinstance(verdict, Unknown | Dead | Retry)
        case "DATA", "5":
            assert isinstance(verdict, Hold | Dead)
        case _, "4" | "5" if step != "EHLO":
            assert isinstance(verdict, Retry if reply[:1] == "4" else Hold)
        case _, "2" if isinstance(verdict, Sent):
            assert taken == 1
        case _:
            assert not isinstance(verdict, Sent | Unknown) or taken
