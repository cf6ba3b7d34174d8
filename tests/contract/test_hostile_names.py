"""Names that try to mention people, to link, to inject or to break: what arrives at each service.

The corpus is tests/data/hostile_names.json. Each name is put wherever people and programs can put one: the video's
name, the label, the batch, a tag, a note, the service's error message; in a single alert, in a digest, and in the
plainest form. Each service's reader (tests/support/eyes.py) extracts what people would see of the request.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import pytest

from daemon.domain.events import Event
from daemon.domain.jobs import Asset, ChannelName
from daemon.notify.message import Language, Message
from daemon.notify.message.compose import MessageContext, compose, compose_digest
from daemon.notify.transport import Channel, ChannelSettings, open_channel
from daemon.notify.transport.verdicts import Sent
from daemon.store import Claimed
from tests.support.alerts import AT, claimed, job
from tests.support.eyes import read_mail
from tests.support.hostile import CORPUS, COVER, check, done, names, whole
from tests.support.services import SERVICES, TLS, Stand, pointed
from tests.support.smtp_server import MailServer
from tests.support.webhook import Answer

Found: TypeAlias = Callable[[Sequence[str]], Iterator[tuple[str, Message]]]


def failed(name: str, number: int = 1) -> Claimed:
    """Return a failed job's message with this name as the service's reason."""
    foreign = whole(name)
    row = job(
        id=number,
        state="FAILED",
        asset=Asset(asset_name=name),
        error_code=foreign,
        error_msg=foreign,
        note=foreign,
    )
    return claimed(Event.FAILED, id=number, of=row, possible_repeat=True)


def alerts(names: Sequence[str]) -> Iterator[tuple[str, Message]]:
    """Return an alert about each name, with a picture."""
    for name in names:
        yield name, compose(done(name), MessageContext(now=AT, cover=COVER))


def failures(names: Sequence[str]) -> Iterator[tuple[str, Message]]:
    for name in names:
        yield name, compose(failed(name), MessageContext(now=AT, language=Language.CHINESE))


def digests(names: Sequence[str]) -> Iterator[tuple[str, Message]]:
    """Return digests of an alert and a failure each."""
    for name in names:
        yield name, compose_digest([done(name), failed(name, 2)], MessageContext(now=AT))


def opened(url: str) -> Channel:
    return open_channel(ChannelSettings(name=ChannelName("x"), url=url))


def send_all(service: str, found: Iterable[tuple[str, Message]]) -> None:
    """Send each message to the service and check what arrived."""
    with Stand(SERVICES[service]) as stand, pointed([stand]):
        channel = opened(stand.url())
        for name, message in found:
            stand.requests.clear()
            report = channel.send(message, timeout=5)
            assert isinstance(report.verdict, Sent), (name, report, stand.complaints)
            (received,) = stand.requests
            seen = SERVICES[service].read(received)
            check(name, seen)
            if message.links and not SERVICES[service].known.machine:
                assert any(link.startswith("https://h.example.com/") for link in seen.links)
        assert stand.complaints == []


@pytest.mark.parametrize("service", SERVICES)
def test_no_name_calls_links_injects_or_breaks(service: str) -> None:
    send_all(service, alerts(names()))


@pytest.mark.long
@pytest.mark.parametrize("service", SERVICES)
def test_nor_does_one_in_a_failure_or_a_digest(service: str) -> None:
    send_all(service, failures(names()))
    send_all(service, digests(names()))


@pytest.mark.parametrize("service", SERVICES)
def test_a_note_reaches_every_chat(service: str) -> None:
    """In the message of one alert, also in the plainest form after a refusal, and in a digest."""
    noted = job(asset=Asset(asset_name="film"), note="retake, wrong logo")
    rows = [claimed(of=noted), claimed(Event.FAILED, id=8, of=noted._replace(id=2, state="FAILED"))]
    context = MessageContext(now=AT)
    tries: list[tuple[Message, list[Answer]]] = [(compose(row, context), []) for row in rows]
    tries += [(message, [Answer(status=400)]) for message, _ in tries]
    with Stand(SERVICES[service]) as stand, pointed([stand]):
        channel = opened(stand.url())
        for message, answers in [*tries, (compose_digest(rows, context), [])]:
            stand.requests.clear()
            stand.program("key", *answers)
            channel.send(message, timeout=5)
            texts = [SERVICES[service].read(each).text for each in stand.requests]
            assert texts
            assert all("retake, wrong logo" in text for text in texts), (message.event, texts)


@pytest.mark.long
@pytest.mark.parametrize("service", [name for name, service in SERVICES.items() if not service.known.machine])
def test_no_name_breaks_the_plainest_form(service: str) -> None:
    """The form sent after a refusal."""
    with Stand(SERVICES[service]) as stand, pointed([stand]):
        channel = opened(stand.url())
        for name, message in failures(names()):
            stand.requests.clear()
            stand.program("key", Answer(status=400))
            report = channel.send(message, timeout=5)
            assert isinstance(report.verdict, Sent), (name, report, stand.complaints)
            assert len(stand.requests) == 2
            seen = SERVICES[service].read(stand.requests[-1])
            assert not seen.calls, (name, seen)
            assert not {link for link in seen.links if "evil" in link.lower()}, (name, seen)


@pytest.mark.parametrize(
    "found", [alerts, *(pytest.param(each, marks=pytest.mark.long) for each in (failures, digests))]
)
def test_no_name_gets_into_a_mail(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "services-ca.pem"))  # reading the system's takes 50 ms a mail
    with MailServer(tls=False) as server:
        channel = opened(server.url(mode="insecure"))
        for name, message in found(names()):
            server.taken.clear()
            report = channel.send(message, timeout=5)
            assert isinstance(report.verdict, Sent), (name, report)
            (taken,) = server.taken
            assert taken.recipients == ("team@example.com",)
            check(name, read_mail(taken.mail))


def test_the_corpus_is_large_enough() -> None:
    assert len(names()) >= 60
    assert len({each["why"] for each in json.loads(CORPUS.read_text())}) == len(names())
