"""Each send over HTTP is bounded, recorded and judged. Against a loopback stand-in, by what arrives on the
wire."""

import json
import logging
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.domain.jobs import ChannelName
from daemon.notify.transport import Channel, ChannelSettings, SendReport, open_channel, test_message
from daemon.notify.transport.bounded import ANSWER_CAP, watching
from daemon.notify.transport.verdicts import Dead, Final, Hold, Retry, Sent, Unknown
from tests.support.alerts import COVER, message
from tests.support.webhook import Answer, Webhook, ok_json

LIMIT = 0.6
"""Seconds that a send may take here; each case must end within little more."""


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as stand_in:
        yield stand_in


def channel(url: str) -> Channel:
    return open_channel(ChannelSettings(name=ChannelName("editors"), url=url))


def send(hook: Webhook, *answers: Answer, path: str = "/hook") -> SendReport:
    hook.program(*answers)
    return channel(hook.url(path)).send(message(), timeout=LIMIT)


def test_the_facts_arrive_as_fields_in_json_types(hook: Webhook) -> None:
    facts = {
        "event": "succeeded",
        "possible_repeat": False,
        "delivery_id": 7,
        "duration": 65.5,
        "preview_url": None,
        "tags": ["a"],
        "cover_url": COVER,
        "title": "not mine",
        "message": "not mine",
        "type": "not mine",
    }
    report = channel(hook.url("/hook?:team=post")).send(message(facts=facts))
    assert report.verdict == Sent(reason="HTTP 200", status=200)
    assert report.requests == 1
    (request,) = hook.requests
    assert request.method == "POST"
    got = request.json
    assert got["title"] == "✅ Ready: Launch film"
    assert COVER in got["message"]
    assert got["type"] == "success"
    assert got["team"] == "post"
    assert {key: got[key] for key in facts if key not in {"title", "message", "type"}} == {
        key: value for key, value in facts.items() if key not in {"title", "message", "type"}
    }


def test_facts_of_one_message_do_not_stay_for_the_next(hook: Webhook) -> None:
    one = channel(hook.url())
    one.send(message(facts={"only_once": 1}))
    one.send(message(facts={}))
    assert "only_once" in hook.requests[0].json
    assert "only_once" not in hook.requests[1].json


@pytest.mark.parametrize(
    ("answer", "kind", "requests"),
    [
        (Answer(status=204), Sent, 1),
        (Answer(status=400), Dead, 2),
        (Answer(status=401), Hold, 1),
        (Answer(status=403), Hold, 1),
        (Answer(status=404), Hold, 1),
        (Answer(status=429), Retry, 1),
        (Answer(status=500), Retry, 1),
        (Answer(status=302, headers={"Location": "/elsewhere"}), Hold, 1),
        (Answer(hang=True), Unknown, 1),
        (Answer(reset=True), Unknown, 1),
        (Answer(body=b"x" * 50, drip_headers=0.05), Unknown, 1),
        (Answer(status=500, body=b"x" * 400, drip=0.05), Retry, 1),
        (Answer(body=b"x" * 5_000_000), Sent, 1),
        (Answer(body=b"short", cut=True), Sent, 1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_each_answer_comes_to_and_how_long_it_takes(
    hook: Webhook, answer: Answer, kind: type[Final], requests: int
) -> None:
    hook.default = answer
    started = time.monotonic()
    report = send(hook)
    assert type(report.verdict) is kind
    assert len(hook.requests) == report.requests == requests
    assert time.monotonic() - started < LIMIT * requests + 1.5


def test_a_message_that_is_refused_is_tried_once_more_as_the_plainest_text(hook: Webhook) -> None:
    report = send(hook, Answer(status=400, body=b"no emoji here"), Answer(status=200))
    assert isinstance(report.verdict, Sent)
    rich, plain = (request.json for request in hook.requests)
    assert "✅" in rich["title"]
    assert plain["title"] == "Ready: Launch film"
    assert "job-1" in plain["message"]
    assert len(plain["message"]) < len(rich["message"])


def test_a_redirect_is_not_followed_and_its_body_not_read(hook: Webhook) -> None:
    report = send(hook, Answer(status=302, body=b"x" * 3_000_000, headers={"Location": hook.url(scheme="http")}))
    assert isinstance(report.verdict, Hold)
    assert "redirect" in report.reason
    assert len(hook.requests) == 1


@pytest.mark.parametrize(("header", "seconds"), [({"Retry-After": "7"}, 7.0), ({}, None)])
def test_throttling_tells_for_how_long(hook: Webhook, header: dict[str, str], seconds: float | None) -> None:
    verdict = send(hook, Answer(status=429, headers=header)).verdict
    assert isinstance(verdict, Retry)
    assert (verdict.after, verdict.throttled) == (seconds, True)


def test_a_refused_connection_was_surely_not_sent(hook: Webhook) -> None:
    """Which host refused it is told, and nothing else of the address."""
    with Webhook() as gone:
        url = gone.url("/secret-path").replace("//", "//user:secret-word@")
    report = channel(url).send(message(), timeout=LIMIT)
    assert report.verdict == Retry(reason=f"the connection was refused ({gone.address})")


def test_a_name_that_does_not_resolve_was_surely_not_sent() -> None:
    report = channel("json://no-such-host.invalid/hook").send(message(), timeout=LIMIT)
    assert isinstance(report.verdict, Retry)
    assert report.reason == "the host's name cannot be resolved (no-such-host.invalid:80)"


def test_a_certificate_that_is_not_trusted_holds_the_channel() -> None:
    data = Path(__file__).parents[1] / "data/tls"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(data / "loopback.pem", data / "loopback.key")
    with Webhook(tls=context) as hook:
        report = channel(hook.url(scheme="jsons")).send(message(), timeout=2)
    assert isinstance(report.verdict, Hold)
    assert report.reason.startswith("the certificate is not trusted")
    assert report.reason.endswith(f" ({hook.address})")
    assert hook.requests == []


def test_an_endless_answer_is_kept_to_the_cap(hook: Webhook) -> None:
    import requests

    hook.default = Answer(body=b"x" * 5_000_000)
    with watching(5.0) as watch:
        response = requests.post(hook.url(scheme="http"), data=b"", timeout=5)
    (exchange,) = watch.exchanges
    assert len(response.content) == len(exchange.body) == ANSWER_CAP
    assert not exchange.whole


def test_outside_of_a_send_requests_is_what_it_was(hook: Webhook) -> None:
    import requests

    channel(hook.url()).send(message())
    hook.program(Answer(status=302, headers={"Location": "/there"}), Answer(body=b"x" * 200_000))
    assert len(requests.get(hook.url(scheme="http"), timeout=5).content) == 200_000


def test_the_time_for_a_send_holds_for_all_its_requests_together(hook: Webhook) -> None:
    import requests

    with watching(0.3) as watch:
        hook.default = Answer(hang=True)
        with pytest.raises(requests.RequestException):
            requests.get(hook.url(scheme="http"), timeout=9)
        with pytest.raises(requests.RequestException):
            requests.get(hook.url(scheme="http"), timeout=9)
    assert len(hook.requests) == 1
    assert watch.exchanges[1].detail == "no time was left for this request"


SECRET = "s3cr3t-t0ken-0123456789"


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_no_part_of_the_url_gets_out(hook: Webhook, status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = f"denied https://x.example/{SECRET}?k={SECRET} {SECRET}".encode()
    hook.default = Answer(status=status, body=json.dumps({"message": body.decode()}).encode())
    one = channel(f"json://user:{SECRET}@{hook.address}/{SECRET}?-key={SECRET}")
    report = one.send(message(), timeout=LIMIT)
    assert hook.requests[0].path.startswith(f"/{SECRET}")
    shown = f"{report!r} {one!r} {ChannelSettings(name=ChannelName('a'), url=SECRET)!r}"
    assert SECRET not in shown
    assert "x.example" not in shown
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("daemon", "apprise"))]
    assert SECRET not in " ".join(ours)


@pytest.mark.parametrize("before", range(0, 420, 7))
def test_a_secret_is_masked_before_a_reason_is_cut(hook: Webhook, before: int) -> None:
    """Wherever the cut falls, no part of the secret remains."""
    words = "w" * before + SECRET + " and more words" * 30
    hook.default = Answer(status=401, body=json.dumps({"message": words}).encode())
    report = channel(f"json://user:{SECRET}@{hook.address}/x").send(message(), timeout=LIMIT)
    assert len(report.reason) <= 300
    assert not any(SECRET[start : start + 6] in report.reason for start in range(len(SECRET) - 5))


def test_the_test_message_is_friendly_and_has_facts(hook: Webhook) -> None:
    report = channel(hook.url()).send(test_message(ChannelName("editors"), now_text="2026-03-01 12:00 UTC"))
    assert isinstance(report.verdict, Sent)
    got = hook.requests[0].json
    assert got["event"] == "test"
    assert "editors" in got["message"]


def test_a_plugin_that_raises_leaves_it_open(hook: Webhook) -> None:
    hook.default = ok_json({})
    one = channel(hook.url())
    vars(one)["_hand_over"] = lambda *_: 1 / 0
    report = one.send(message())
    assert report.verdict == Unknown(reason="the service's plugin failed: ZeroDivisionError")
