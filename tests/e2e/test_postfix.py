"""E-mail with a real Postfix: what arrives in its mailboxes, and the outcome of each of its refusals.

Like tests/contract/test_conformance_mail.py, whose server is the tests' own. Replies are Postfix's own texts and
codes, through its settings, access maps, header checks and policy services.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from pathlib import Path

import pytest

from daemon.domain.jobs import ChannelName
from daemon.notify.message import Cover
from daemon.notify.message.compose import MessageContext, compose
from daemon.notify.transport import Channel, ChannelSettings, SendReport, open_channel
from daemon.notify.transport.verdicts import Dead, Hold, Retry, Sent
from daemon.store import AttemptOutcome
from tests.support.alerts import AT, message
from tests.support.dispatching import PATIENCE, Rig, rig
from tests.support.eyes import read_mail
from tests.support.hostile import COVER, check, done, names
from tests.support.outcomes import HELD, RETRY, SENT, UNKNOWN
from tests.support.postfix import DOMAIN, Greylist, Policy, Postfix
from tests.support.services import TLS
from tests.support.webhook import Webhook

pytestmark = [pytest.mark.long, pytest.mark.system]

_TLS = (f"smtpd_tls_cert_file={TLS / 'services.pem'}", f"smtpd_tls_key_file={TLS / 'services.key'}")
_FULL = f"{{ full@{DOMAIN} = 552 5.2.2 the mailbox is full }}"
_QUOTA = f"{{ wrapd@{DOMAIN} = 552 5.2.2 the quota of today is used up }}"
_LISTED = "{ 127.0.0.1 = 554 5.7.1 listed for sending spam }"
DOORS = {
    "usual": (),
    "maps": (f"smtpd_recipient_restrictions=check_recipient_access inline:{{ {_FULL} }}",),
    "strict": ("smtpd_relay_restrictions=reject_unauth_destination",),
    "senders": (f"smtpd_sender_restrictions=check_sender_access inline:{{ wrapd@{DOMAIN}=REJECT }}",),
    "listed": (f"smtpd_client_restrictions=check_client_access inline:{{ {_LISTED} }}",),
    "listed-at-once": (
        "smtpd_delay_reject=no",
        f"smtpd_client_restrictions=check_client_access inline:{{ {_LISTED} }}",
    ),
    "policy": (f"smtpd_data_restrictions=check_sender_access inline:{{ wrapd@{DOMAIN}=REJECT }}",),
    "quota": (f"smtpd_end_of_data_restrictions=check_sender_access inline:{{ {_QUOTA} }}",),
    "busy": ("smtpd_client_connection_rate_limit=1",),
    "slow": ("smtpd_client_message_rate_limit=1",),
    "no-room": ("queue_minfree=1000000000000000",),
    "small": ("message_size_limit=20000",),
    "tiny": ("message_size_limit=500",),
    "checked": ("cleanup_service_name=checked",),
    "tls": ("smtpd_tls_security_level=encrypt", *_TLS),
    "tls-at-once": ("smtpd_tls_wrappermode=yes", *_TLS),
    "old-tls": ("smtpd_tls_security_level=encrypt", "smtpd_tls_mandatory_protocols=TLSv1", *_TLS),
    "broken-tls": ("smtpd_tls_security_level=may", "smtpd_tls_cert_file=/nowhere.pem"),
}
HEADERS = (
    "/^Subject:.*robot/ REJECT no robots here",
    "/^Subject:.*strange/ REJECT 5.6.0 it is not a mail",
    "/^Subject:.*vanish/ DISCARD",
    "/^Content-Type: image/ REJECT no pictures here",
)
PICTURE = Cover(
    url="https://h.example.com/c.png", data=b"\x89PNG\r\n\x1a\n" + bytes(30_000), content_type="image/png"
)
NAME = "发布会 🎬 Launch film, final"


@pytest.fixture(scope="module")
def server() -> Iterator[Postfix]:
    with Policy(Greylist("grey", "late")) as policy:
        greylisting = (f"smtpd_recipient_restrictions={policy.check}",)
        with Postfix({**DOORS, "greylisting": greylisting}, headers=HEADERS) as found:
            yield found


@pytest.fixture
def postfix(server: Postfix) -> Postfix:
    server.empty()
    return server


def opened(url: str) -> Channel:
    return open_channel(ChannelSettings(name=ChannelName("mail"), url=url))


def send(url: str, name: str = NAME, cover: Cover | None = None) -> SendReport:
    return opened(url).send(message(name, cover=cover), timeout=PATIENCE)


def parts(mail: EmailMessage) -> dict[str, EmailMessage]:
    """Return the non-empty parts of a mail by type."""
    return {part.get_content_type(): part for part in mail.walk() if not part.is_multipart()}


def test_a_mail_arrives_in_the_mailbox_as_it_was_written(postfix: Postfix) -> None:
    url = postfix.url("usual", "editors", cc=f"boss@{DOMAIN}", name="Studio 工作室")
    assert send(url, cover=PICTURE).verdict == Sent(reason="SMTP 250: accepted", status=250)
    (mail,), (copy,) = postfix.mails("editors"), postfix.mails("boss")
    assert mail["Subject"] == copy["Subject"] == f"✅ Ready: {NAME}"
    assert (mail["From"], mail["Cc"]) == (f"Studio 工作室 <wrapd@{DOMAIN}>", f"boss@{DOMAIN}")
    assert mail["Return-Path"] == f"<wrapd@{DOMAIN}>"
    found = parts(mail)
    assert list(found) == ["text/plain", "text/html", "image/png"]
    for kind in ("text/plain", "text/html"):
        text = found[kind].get_content()
        assert NAME in text
        assert "https://h.example.com/a_b.mp4?Expires=1&Signature=x%3D" in text.replace("&amp;", "&")
    assert 'src="cid:cover"' in found["text/html"].get_content()
    assert found["image/png"]["Content-ID"] == "<cover>"
    assert found["image/png"]["Content-Disposition"].startswith("inline")
    assert found["image/png"].get_content() == PICTURE.data


@pytest.mark.parametrize("name", names()[:: len(names()) // 20])
def test_hostile_names_arrive_unharmed_and_harm_nothing(postfix: Postfix, name: str) -> None:
    report = opened(postfix.url("usual", "editors")).send(
        compose(done(name), MessageContext(now=AT, cover=COVER)), timeout=PATIENCE
    )
    assert isinstance(report.verdict, Sent)
    (mail,) = postfix.mails("editors")
    for added in ("Return-Path", "X-Original-To", "Delivered-To", "Received"):
        del mail[added]
    check(name, read_mail(mail))


REFUSALS: Mapping[str, tuple[str, str, AttemptOutcome, str]] = {
    "relay": ("strict", "x@elsewhere.example", HELD, "SMTP 554: the recipient is refused (5.7.1 "),
    "relay-by-default": ("usual", "x@elsewhere.example", HELD, "SMTP 454: the recipient is refused (4.7.1 "),
    "unknown": ("usual", "nobody", HELD, "SMTP 550: the recipient is refused (5.1.1 "),
    "full": ("maps", "full", HELD, "SMTP 552: the recipient is refused (5.2.2 "),
    "sender": ("senders", "editors", HELD, "Sender address rejected: Access denied"),
    "listed": ("listed", "editors", HELD, "Client host rejected: listed for sending spam"),
    "listed-at-once": ("listed-at-once", "editors", HELD, "SMTP 554: the server accepts no mail from this"),
    "policy": ("policy", "editors", HELD, "SMTP 554: the message is refused (5.7.1 "),
    "quota": ("quota", "editors", HELD, "SMTP 552: the message is refused (5.2.2 "),
    "no-tls": ("tls", "editors", HELD, "SMTP 530: the sender is refused (5.7.0 Must issue a STARTTLS command"),
    "greylisted": ("greylisting", "grey", RETRY, "SMTP 450: the recipient is refused (4.2.0 "),
    "broken-tls": ("broken-tls", "editors", RETRY, "SMTP 454: the server refuses TLS (4.7.0 TLS not available"),
    "no-room": ("no-room", "editors", RETRY, "SMTP 452: the sender is refused (4.3.1 Insufficient system"),
}
"""The door, the recipient, the outcome, and the text in `wrapd deliveries`."""


async def test_what_each_refusal_comes_to(postfix: Postfix, tmp_path: Path) -> None:
    with Webhook() as operators:
        urls = {
            case: postfix.url(door, to, mode="starttls" if case == "broken-tls" else "insecure")
            for case, (door, to, _, _) in REFUSALS.items()
        }
        async with rig(tmp_path, {**urls, "operators": operators.url()}, operators=["operators"]) as one:
            await one.job_ends(channels=urls)
            await one.turn()
            told = {case: one.row(case).last_error or "" for case in REFUSALS}
            assert {case: one.outcomes(case) for case in REFUSALS} == {
                case: [outcome] for case, (_, _, outcome, _) in REFUSALS.items()
            }, told
            assert {case for case, (_, _, _, words) in REFUSALS.items() if words not in told[case]} == set()
            await one.job_ends("job-2", channels=urls)
            await one.later(301)
            heard = [request.json for request in operators.requests]
            assert sorted(alert["held_channel"] for alert in heard) == sorted(
                case for case, (_, _, outcome, _) in REFUSALS.items() if outcome is HELD
            )
            assert {alert["event"] for alert in heard} == {"channel_held"}
            assert all(REFUSALS[alert["held_channel"]][3] in alert["reason"] for alert in heard)
    assert len(postfix.mails("grey")) == 2, "greylisting lets the second try pass"
    assert postfix.mails("editors") == []


@pytest.mark.parametrize(("door", "status"), [("busy", "SMTP 421"), ("slow", "SMTP 450")])
def test_a_client_that_comes_too_often_comes_again_later(postfix: Postfix, door: str, status: str) -> None:
    reports = [send(postfix.url(door, "editors")) for _ in range(2)]
    assert [type(report.verdict) for report in reports] == [Sent, Retry]
    assert status in reports[1].reason
    assert len(postfix.mails("editors")) == 1


async def test_a_greylisted_mail_is_delivered_once(tmp_path: Path) -> None:
    with (
        Policy(Greylist("grey")) as policy,
        Postfix({"door": (f"smtpd_recipient_restrictions={policy.check}",)}) as postfix,
    ):
        async with rig(tmp_path, {"mail": postfix.url("door", "grey")}) as one:
            await one.job_ends()
            await one.turn()
            assert one.outcomes("mail") == [RETRY]
            await one.later(60)
            assert one.outcomes("mail") == [RETRY, SENT]
            await one.later(86_400)
        (mail,) = postfix.mails("grey")
    assert "repeat" not in parts(mail)["text/plain"].get_content()


async def test_one_of_two_recipients_is_refused(postfix: Postfix, tmp_path: Path) -> None:
    """The other one gets each mail once; the operators are alerted once."""
    with Webhook() as operators:
        urls = {
            "mail": postfix.url("usual", "editors", cc=f"nobody@{DOMAIN}"),
            "swapped": postfix.url("usual", "nobody", cc=f"boss@{DOMAIN}"),
            "operators": operators.url(),
        }
        async with rig(tmp_path, urls, operators=["operators"]) as one:
            for number in range(2):
                await one.job_ends(f"job-{number}", channels=["mail", "swapped"])
                await one.turn()
            await one.later(86_400)
            assert one.statuses("mail") == one.statuses("swapped") == ["sent"] * 2
            heard = {request.json["held_channel"]: request.json for request in operators.requests}
            assert len(operators.requests) == len(heard) == 2
            assert all(
                "5.1.1" in alert["reason"] and "User unknown" in alert["reason"] for alert in heard.values()
            )
    assert [len(postfix.mails(person)) for person in ("editors", "boss")] == [2, 2]


def test_a_recipient_that_is_refused_for_now_misses_that_mail_alone(postfix: Postfix) -> None:
    channel = opened(postfix.url("greylisting", "editors", cc=f"late@{DOMAIN}"))
    first, second = (channel.send(message(name), timeout=PATIENCE) for name in ("One", "Two"))
    assert isinstance(first.verdict, Hold)
    assert first.verdict.delivered
    assert isinstance(second.verdict, Sent)
    assert [mail["Subject"] for mail in postfix.mails("late")] == ["✅ Ready: Two"]
    assert len(postfix.mails("editors")) == 2


def test_what_is_refused_after_the_message_is_the_messages_or_the_channels(postfix: Postfix) -> None:
    """By the code: 5.7.1 is a policy, which holds the channel; 5.6.0 concerns this one message."""
    assert send(postfix.url("checked", "editors"), "a robot").verdict == Hold(
        reason="SMTP 550: the message is refused (5.7.1 no robots here)", status=550
    )
    report = send(postfix.url("checked", "editors"), "a strange film")
    assert report.verdict == Dead(
        reason="SMTP 550: the message is refused (5.6.0 it is not a mail)", status=550, code="5.6.0"
    )
    assert report.requests == 2
    assert postfix.mails("editors") == []


@pytest.mark.parametrize("door", ["checked", "small"])
def test_a_picture_that_is_refused_is_left_out(postfix: Postfix, door: str) -> None:
    report = send(postfix.url(door, "editors"), cover=PICTURE)
    assert (type(report.verdict), report.requests) == (Sent, 2)
    (mail,) = postfix.mails("editors")
    assert list(parts(mail)) == ["text/plain", "text/html"]


def test_a_server_that_takes_no_mail_of_that_size_holds_the_channel(postfix: Postfix) -> None:
    report = send(postfix.url("tiny", "editors"))
    assert report.verdict == Hold(
        reason="SMTP 552: the sender is refused (5.3.4 Message size exceeds fixed limit)", status=552
    )
    assert report.requests == 2


def test_what_becomes_of_a_mail_after_it_was_taken_is_not_seen(postfix: Postfix) -> None:
    """A server may discard it, or return it to `from=`, where a person reads it."""
    assert isinstance(send(postfix.url("checked", "editors"), "vanish").verdict, Sent)
    assert isinstance(send(postfix.url("usual", "over")).verdict, Sent)
    assert postfix.mails("editors") == postfix.mails("over") == []
    (bounce,) = postfix.mails("wrapd")
    assert "the mailbox is over quota" in bounce.as_string()


def test_a_certificate_is_trusted_only_if_it_verifies(postfix: Postfix, monkeypatch: pytest.MonkeyPatch) -> None:
    report = send(postfix.url("tls", "editors", mode="starttls"))
    assert isinstance(report.verdict, Hold)
    where = postfix.address("tls")
    assert report.reason == f"the certificate is not trusted: unable to get local issuer certificate ({where})"
    unverified = postfix.url("tls", "editors", mode="starttls", verify="no")
    assert isinstance(send(unverified).verdict, Sent)
    assert any(
        "verify=no" in doubt for doubt in opened(unverified.replace("127.0.0.1", "mail.example.com")).doubts
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "services-ca.pem"))
    assert isinstance(send(postfix.url("tls", "editors", mode="starttls")).verdict, Sent)
    assert all("with ESMTPS" in mail["Received"] for mail in postfix.mails("editors"))
    assert isinstance(send(postfix.url("tls-at-once", "editors", mode="ssl")).verdict, Sent)
    assert len(postfix.mails("editors")) == 3


@pytest.mark.parametrize(
    ("door", "url", "reason"),
    [
        ("usual", {"mode": "starttls"}, "the server offers no TLS"),
        ("tls", {"mode": "ssl"}, "the server speaks no TLS on this port, unless by mode=starttls"),
        (
            "old-tls",
            {"mode": "starttls"},
            "the server and this machine cannot agree on TLS (tlsv1 alert protocol version)",
        ),
        ("usual", {"user": "me", "pass": "secret-word-7731"}, "the server offers no login"),
    ],
    ids=["no-tls", "other-tls", "old-tls", "no-login"],
)
def test_a_server_without_what_the_url_wants_holds_the_channel(
    postfix: Postfix, door: str, url: dict[str, str], reason: str
) -> None:
    assert send(postfix.url(door, "editors", **url)).verdict == Hold(reason=f"{reason} ({postfix.address(door)})")
    assert postfix.mails("editors") == []


class Halt:
    """A policy server's decision that waits at a step of the conversation until the test continues."""

    def __init__(self, at: str) -> None:
        self._at = at
        self.asked, self.over = threading.Event(), threading.Event()

    def __call__(self, request: Mapping[str, str]) -> str:
        if request["protocol_state"] == self._at:
            self.asked.set()
            self.over.wait(PATIENCE)
        return "DUNNO"


async def stopped_at(halt: Halt, postfix: Postfix, one: Rig) -> None:
    """Send due alerts; the server stops in the middle of it."""
    sending = asyncio.create_task(one.turn())
    assert await asyncio.to_thread(halt.asked.wait, PATIENCE)
    await asyncio.to_thread(postfix.stop)
    halt.over.set()
    await sending


@pytest.mark.parametrize(
    ("step", "outcome", "told"),
    [
        ("RCPT", RETRY, "the mail server ended the connection, before the message"),
        ("END-OF-MESSAGE", UNKNOWN, "the mail server ended the connection"),
    ],
)
async def test_a_server_that_stops_in_the_middle_gets_the_mail_when_it_is_back(
    tmp_path: Path, step: str, outcome: AttemptOutcome, told: str
) -> None:
    """Marked as a possible repeat only if the server may have it."""
    halt = Halt(step)
    with Policy(halt) as policy:
        checks = (f"smtpd_recipient_restrictions={policy.check}", f"smtpd_end_of_data_restrictions={policy.check}")
        with Postfix({"door": checks}) as postfix, Webhook() as operators:
            where = postfix.address("door")
            urls = {"mail": postfix.url("door", "editors"), "operators": operators.url()}
            async with rig(tmp_path, urls, operators=["operators"]) as one:
                await one.job_ends(channels=["mail"])
                await stopped_at(halt, postfix, one)
                assert (one.outcomes("mail"), one.row("mail").last_error) == ([outcome], f"{told} ({where})")
                await one.later(60)
                assert one.outcomes("mail") == [outcome, RETRY]
                assert one.row("mail").last_error == f"the connection was refused ({where})"
                await asyncio.to_thread(postfix.start)
                await one.later(3600)
                assert one.outcomes("mail") == [outcome, RETRY, SENT]
                assert operators.requests == []
            (mail,) = postfix.mails("editors")
    assert ("repeat" in parts(mail)["text/plain"].get_content()) is (outcome is UNKNOWN)
