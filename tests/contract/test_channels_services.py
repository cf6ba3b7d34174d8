"""Popular services, each through its Apprise plugin directed to a stand-in: what arrives on the wire."""

import html
import json
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from daemon.domain.jobs import ChannelName
from daemon.notify.message import Message
from daemon.notify.transport import Channel, ChannelSettings, SendReport, open_channel
from daemon.notify.transport.verdicts import Dead, Final, Hold, Retry, Sent, Unknown
from tests.support.alerts import COVER, HOSTILE, message
from tests.support.webhook import Answer, Webhook, ok_json

_VENDOR = ok_json({"code": 0, "errcode": 0, "ok": True})
SERVICES: dict[str, tuple[str, Answer]] = {
    "form": ("form://HOST/hook", Answer()),
    "xml": ("xml://HOST/hook", Answer()),
    "feishu": ("feishu://" + "a" * 36 + "/?secret=SECRET12&host=HOST&insecure=yes", _VENDOR),
    "lark": ("lark://" + "a" * 36 + "/?host=HOST&insecure=yes", _VENDOR),
    "dingtalk": ("dingtalk://secret1@token12/?host=HOST&insecure=yes", _VENDOR),
    "wecombot": ("wecombot://key-1234/?host=HOST&insecure=yes", _VENDOR),
    "slack": ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", Answer(body=b"ok")),
    "workflows": ("workflows://HOST/WFID1234/SIGN1234?verify=no", Answer(status=202)),
    "discord": ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", ok_json({"id": "1"})),
    "tgram": ("tgram://123456789:abcdefg_hijklmnop/12315544", _VENDOR),
    "mmost": ("mmost://HOST/tokentokentoken12345678", Answer(body=b"ok")),
    "rocket": (
        "rocket://user:password@HOST/#Channel",
        ok_json({"status": "success", "success": True, "data": {"authToken": "a", "userId": "b"}}),
    ),
    "gchat": ("gchat://workspace/key12345/token12345", ok_json({"name": "spaces/x"})),
    "ntfy": ("ntfy://HOST/topic", ok_json({"id": "x"})),
    "gotify": ("gotify://HOST/token123456", ok_json({"id": 1})),
    "pover": ("pover://" + "u" * 30 + "@" + "t" * 30, ok_json({"status": 1})),
}
"""A URL of each service, and the answer with which it accepts a message."""
CHATS = sorted(set(SERVICES) - {"form", "xml", "ntfy", "gotify", "pover"})


READ_AS_TAGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(CHATS, ()),
    "feishu": ("<at ", "<script", "<img"),
    "lark": ("<at ", "<script", "<img"),
    "dingtalk": ("<at ", "<script", "<img"),
    "wecombot": ("<@", "<at ", "<script", "<img"),
    "slack": ("<!", "<@", "<#"),
    "discord": ("<@", "<#"),
    "gchat": ("<users", "<script"),
    "tgram": ("<script", "<img", "<at ", "<!"),
    "workflows": ("<at>", "<at "),
    "mmost": ("<script", "<img"),
    "rocket": ("<script", "<img"),
}
"""Characters that each chat interprets as markup."""


@pytest.fixture
def hook(request: pytest.FixtureRequest) -> Iterator[Webhook]:
    tls = None
    if "workflows" in request.node.name:  # its plugin uses TLS only
        data = Path(__file__).parents[1] / "data/tls"
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(data / "loopback.pem", data / "loopback.key")
    with Webhook(tls=tls) as stand_in:
        yield stand_in


def pointed(name: str, hook: Webhook) -> Channel:
    """Return the channel of a service with the plugin's fixed host replaced by the stand-in."""
    url, hook.default = SERVICES[name]
    channel = open_channel(ChannelSettings(name=ChannelName("x"), url=url.replace("HOST", hook.address)))
    service: Any = channel._plugin
    service.request_rate_per_sec = 0
    for attribute in ("notify_url", "webhook_url", "api_url", "cloud_notify_url"):
        fixed = getattr(service, attribute, None)
        if isinstance(fixed, str) and fixed.startswith("https://"):
            _, slash, rest = fixed.removeprefix("https://").partition("/")
            setattr(service, attribute, f"http://{hook.address}{slash}{rest}")
    return channel


def send(name: str, hook: Webhook, what: Message | None = None, *answers: Answer) -> SendReport:
    channel = pointed(name, hook)
    hook.program(*answers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the stand-in's certificate is self-made
        return channel.send(what or message(), timeout=3)


def words(hook: Webhook) -> str:
    """Return all texts of the requests, decoded as by the service."""
    found: list[str] = []
    for request in hook.requests:
        try:
            found += _texts(json.loads(request.body))
        except ValueError:
            if request.body.startswith(b"<?xml"):
                found.append(html.unescape(request.body.decode()))
            found += [value for values in parse_qs(request.body.decode()).values() for value in values]
    return "\n".join(found)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    return [text for one in value for text in _texts(one)] if isinstance(value, list) else []


@pytest.mark.parametrize("name", SERVICES)
def test_a_message_arrives_whole(name: str, hook: Webhook) -> None:
    report = send(name, hook)
    assert isinstance(report.verdict, Sent), report
    text = words(hook).replace("&amp;", "&").replace("\\", "")
    for part in ("Ready: Launch film", "1 min 5 s", "2022-12-17 01:44:17 UTC", "repeat"):
        assert part in text
    assert COVER in text
    assert "https://h.example.com/a_b.mp4?Expires=1&Signature=x%3D" in text


@pytest.mark.parametrize("name", CHATS)
def test_hostile_names_arrive_as_text(name: str, hook: Webhook) -> None:
    for hostile in HOSTILE:
        hook.requests.clear()
        report = send(name, hook, message(hostile))
        assert isinstance(report.verdict, Sent), report
        text = words(hook)
        for call in ("@everyone", "@here", "@all", "://evil", "www.evil", *READ_AS_TAGS[name]):
            assert call not in text.replace("\\<", "(escaped)"), text
        assert not any(char in text for char in "\x00\x07\x1b\u202e\u2066")
        if name in {"discord", "mmost", "rocket", "wecombot"}:
            assert "[x](" not in text
        assert "h.example.com/a_b.mp4" in text


@pytest.mark.parametrize(
    ("name", "body", "kind"),
    [
        ("feishu", {"code": 11232, "msg": "frequency limited"}, Retry),
        ("feishu", {"code": 9499, "msg": "too many request"}, Retry),
        ("feishu", {"code": 19021, "msg": "sign match fail"}, Hold),
        ("lark", {"code": 19024, "msg": "Key Words Not Found"}, Hold),
        ("dingtalk", {"errcode": 130101, "errmsg": "send too fast"}, Retry),
        ("dingtalk", {"errcode": 410100, "errmsg": "too fast"}, Retry),
        ("dingtalk", {"errcode": 400102, "errmsg": "robot stopped"}, Hold),
        ("dingtalk", {"errcode": 430101, "errmsg": "unsafe link"}, Dead),
        ("dingtalk", {"errcode": 310000, "errmsg": "keywords not in content"}, Hold),
        ("wecombot", {"errcode": 45009, "errmsg": "freq out of limit"}, Retry),
        ("wecombot", {"errcode": 93000, "errmsg": "invalid webhook url"}, Hold),
        ("wecombot", {"errcode": 40058, "errmsg": "too long"}, Dead),
        ("rocket", {"success": False, "error": "not-allowed"}, Hold),
        ("rocket", {"success": False, "error": "error-message-size-exceeded"}, Dead),
        ("tgram", {"ok": False, "description": "x"}, Dead),
    ],
)
def test_a_refusal_in_a_200_body_is_no_success(name: str, hook: Webhook, body: object, kind: type[Final]) -> None:
    fine, refused = SERVICES[name][1], ok_json(body)
    # Rocket.Chat: a login, the message, a logout, every time.
    answers = [fine, refused, fine] * 2 if name == "rocket" else [refused] * 3
    report = send(name, hook, None, *answers)
    assert type(report.verdict) is kind, report
    if kind is Retry:
        wait = 600.0 if name == "dingtalk" else 60.0
        assert report.verdict == Retry(reason=report.reason, status=200, after=wait, throttled=True)


@pytest.mark.parametrize("name", ["feishu", "lark", "dingtalk", "wecombot", "tgram"])
def test_a_page_with_status_200_leaves_it_open(name: str, hook: Webhook) -> None:
    report = send(name, hook, None, Answer(body=b"<html>sign in to the network</html>"))
    assert isinstance(report.verdict, Unknown)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"rocket"}))
@pytest.mark.parametrize(("status", "kind"), [(401, Hold), (404, Hold), (429, Retry), (500, Retry)])
def test_each_services_refusal_by_status(name: str, hook: Webhook, status: int, kind: type[Final]) -> None:
    refused = Answer(status=status, headers={"Retry-After": "9"})
    report = send(name, hook, None, refused, refused)  # Discord's plugin retries once by itself
    assert type(report.verdict) is kind
    assert report.status == status
    if status == 429:
        assert isinstance(report.verdict, Retry)
        assert report.verdict.after == 9


def test_wecom_is_cut_by_bytes_and_never_in_a_link(hook: Webhook) -> None:
    send("wecombot", hook, message("视频" * 600))
    content = hook.requests[0].json["markdown"]["content"]
    assert len(content.encode()) <= 4096
    assert "[Preview](https://h.example.com/a_b.mp4?Expires=1&Signature=x%3D)" in content
    send("wecombot", hook, message("视频" * 600), ok_json({"errcode": 40058, "errmsg": "markdown.content"}))
    plain = hook.requests[2].json["text"]["content"]
    assert len(plain.encode()) <= 2048
