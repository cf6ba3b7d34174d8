"""The own plugins: signed, directed to a stand-in by `host=`, judged by the answer's body, over the wire."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from daemon.clock import ManualClock
from daemon.domain.jobs import ChannelName
from daemon.errors import ConfigFault
from daemon.logs import MASKS, LogEvent
from daemon.notify.message import Language
from daemon.notify.outbox import ChannelPlan
from daemon.notify.services import dingtalk, feishu
from daemon.notify.templates import Templates
from daemon.notify.transport import Channel, ChannelSettings, open_channel, test_message
from daemon.notify.transport.verdicts import Dead, Hold, Retry, Sent
from tests.support.alerts import message
from tests.support.recorder import Lines
from tests.support.webhook import Webhook, ok_json

FINE = ok_json({"code": 0, "errcode": 0})
TOKENS = {"feishu": "to-ken_1", "lark": "to-ken_1", "dingtalk": "token1", "wecombot": "to-ken_1"}
PATHS = {
    "feishu": "/open-apis/bot/v2/hook/to-ken_1",
    "lark": "/open-apis/bot/v2/hook/to-ken_1",
    "dingtalk": "/robot/send?access_token=token1",
    "wecombot": "/cgi-bin/webhook/send?key=to-ken_1",
}
HOSTS = {
    "feishu": "https://open.feishu.cn",
    "lark": "https://open.larksuite.com",
    "dingtalk": "https://oapi.dingtalk.com",
    "wecombot": "https://qyapi.weixin.qq.com",
}


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook(default=FINE) as stand_in:
        yield stand_in


def channel(url: str, **more: object) -> Channel:
    return open_channel(ChannelSettings(name=ChannelName("x"), url=url, **more))  # type: ignore[arg-type]


def pointed(hook: Webhook, scheme: str, options: str = "") -> Channel:
    return channel(f"{scheme}://{TOKENS[scheme]}/?host={hook.address}&insecure=yes{options}")


# ------------------------------------------------------------------------------------------------ signatures

# Computed with OpenSSL:
#   printf '' | openssl dgst -sha256 -mac HMAC -macopt hexkey:$(printf 'TIME\nSECRET' | xxd -p) -binary | base64
#   printf 'TIME\nSECRET' | openssl dgst -sha256 -mac HMAC -macopt key:SECRET -binary | base64
LARK_VECTORS = [
    ("1599360473", "demo", "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="),
    ("1700000000", "G7kq0Zb1Xw9", "QuKZq56nwxyOuTeZM3EDZJcLexjQH1Ux9490TvMRLQk="),
    ("1700000001", "G7kq0Zb1Xw9", "7FCLFgjrVEC/3pTkbxXZtbdFh43NyoN2gwaq7y0kb6s="),
    ("1700000002", "G7kq0Zb1Xw9", "6FOcJ0um3Ti/izhXq0ScCuL5sZP9TORkok5gd1b5+cw="),
]
DINGTALK_VECTORS = [
    ("1599360473000", "SECdemo", "tGWkA5eQOQNCNPDgphtxIoNLO+/gD8Lcb705KQoRzeY="),
    ("1700000000123", "SEC0a1b2c3d4e5f", "qQU2odT2iSCRQFTUdDgjogGbUDRmZH8zzJEXonol7Bk="),
    ("1700000001123", "SEC0a1b2c3d4e5f", "M0+6fxHxlEh25grEoOZROw+0agoPXJKYnt9ZUCeiK4c="),
    ("1700000002123", "SEC0a1b2c3d4e5f", "2x8pf8gMjb8pTmx/i/ArWVt1hw8aLwAKipuZtRa4cW0="),
]


@pytest.mark.parametrize(("timestamp", "secret", "expected"), LARK_VECTORS)
@pytest.mark.parametrize("scheme", ["feishu", "lark"])
def test_feishu_signs_in_the_body(hook: Webhook, scheme: str, timestamp: str, secret: str, expected: str) -> None:
    assert feishu.signature(timestamp, secret) == expected
    clock = ManualClock(datetime.fromtimestamp(int(timestamp) + 0.9, UTC))
    report = pointed(hook, scheme, f"&secret={secret}").send(message(), clock=clock)
    assert isinstance(report.verdict, Sent)
    got = hook.requests[0].json
    assert (got["timestamp"], got["sign"]) == (timestamp, expected)
    assert got["msg_type"] == "interactive"
    assert hook.requests[0].path == PATHS[scheme]


@pytest.mark.parametrize(("timestamp", "secret", "expected"), DINGTALK_VECTORS)
def test_dingtalk_signs_in_the_query(hook: Webhook, timestamp: str, secret: str, expected: str) -> None:
    assert dingtalk.signature(timestamp, secret) == expected
    clock = ManualClock(datetime.fromtimestamp(int(timestamp) / 1000, UTC))
    for url in (f"dingtalk://{secret}@token1/?", f"dingtalk://token1/?secret={secret}&"):
        assert isinstance(
            channel(f"{url}host={hook.address}&insecure=yes").send(message(), clock=clock).verdict, Sent
        )
        path = hook.requests[-1].path
        assert parse_qs(urlsplit(path).query) == {
            "access_token": ["token1"],
            "timestamp": [timestamp],
            "sign": [expected],
        }
        assert "+" not in path  # a plus in a query means a space


@pytest.mark.parametrize("scheme", ["feishu", "lark", "dingtalk", "wecombot"])
def test_without_a_secret_nothing_is_signed(hook: Webhook, scheme: str) -> None:
    assert isinstance(pointed(hook, scheme).send(message()).verdict, Sent)
    assert hook.requests[0].path == PATHS[scheme]
    assert not {"timestamp", "sign"} & set(hook.requests[0].json)
    assert hook.requests[0].headers["content-type"] == "application/json; charset=utf-8"
    assert hook.requests[0].method == "POST"


def test_each_try_is_signed_anew(hook: Webhook) -> None:
    hook.program(ok_json({"code": 9499, "msg": "Bad Request"}))
    clock = ManualClock()
    one = pointed(hook, "feishu", "&secret=abcdef")
    assert isinstance(one.send(message(), clock=clock).verdict, Sent)
    clock.advance(7200)
    one.send(message(), clock=clock)
    stamps = [request.json["timestamp"] for request in hook.requests]
    assert stamps[0] == stamps[1]
    assert int(stamps[2]) == int(stamps[0]) + 7200


# ------------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize("scheme", HOSTS)
def test_each_goes_to_its_own_service_over_tls(scheme: str) -> None:
    one = channel(f"{scheme}://{TOKENS[scheme]}")
    assert one.scheme == scheme
    assert one._plugin.address.startswith(f"{HOSTS[scheme]}/")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "base"),
    [
        ("host=gateway.example.com", "https://gateway.example.com/"),
        ("host=gateway.example.com:8443&insecure=no", "https://gateway.example.com:8443/"),
        ("host=127.0.0.1:8080", "https://127.0.0.1:8080/"),
        ("host=127.0.0.1:8080&insecure=yes", "http://127.0.0.1:8080/"),
        ("host=localhost&insecure=yes", "http://localhost/"),
        ("host=[::1]:8080&insecure=yes", "http://[::1]:8080/"),
        ("HOST=gateway.example.com", "https://gateway.example.com/"),
    ],
)
@pytest.mark.parametrize("scheme", HOSTS)
def test_another_host_can_be_named(scheme: str, options: str, base: str) -> None:
    one = channel(f"{scheme}://{TOKENS[scheme]}/?{options}")
    assert one._plugin.address.startswith(base)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("host=gateway.example.com&insecure=yes", "on this machine only"),
        ("host=192.168.0.7:80&insecure=yes", "on this machine only"),
        ("host=127.0.0.1.example.com&insecure=yes", "on this machine only"),
        ("insecure=yes", "no host="),
        ("host=127.0.0.1&insecure=perhaps", "takes yes or no"),
        ("host=a/b", "takes a host's name"),
        ("host=me:secret@h", "takes a host's name"),
        ("host=h:99999", "takes a host's name"),
        ("host=h:0", "takes a host's name"),
        ("host=https://h", "takes a host's name"),
        ("host=h%0d%0aX", "takes a host's name"),
    ],
)
@pytest.mark.parametrize("scheme", HOSTS)
def test_a_host_that_cannot_be_meant_is_refused(scheme: str, options: str, part: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        channel(f"{scheme}://tok3n0123456789/?{options}")
    text = str(caught.value)
    assert text.startswith(f"channels.x.url: {scheme}:// with ")
    assert part in text
    assert "tok3n0123456789" not in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("url", "scheme", "path"),
    [
        ("https://open.feishu.cn/open-apis/bot/v2/hook/abc-1", "feishu", "/open-apis/bot/v2/hook/abc-1"),
        ("https://open.larksuite.com/open-apis/bot/v2/hook/abc-1", "lark", "/open-apis/bot/v2/hook/abc-1"),
        ("https://oapi.dingtalk.com/robot/send?access_token=abc1", "dingtalk", "/robot/send"),
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abc-1", "wecombot", "/cgi-bin/webhook/send"),
        ("feishu://?token=abc-1", "feishu", "/open-apis/bot/v2/hook/abc-1"),
        ("dingtalk://?token=abc1", "dingtalk", "/robot/send"),
        ("wecombot://?key=abc-1", "wecombot", "/cgi-bin/webhook/send"),
        ("FEISHU://AbC-1", "feishu", "/open-apis/bot/v2/hook/AbC-1"),
    ],
)
def test_the_usual_urls_open(url: str, scheme: str, path: str) -> None:
    one = channel(url)
    assert one.scheme == scheme
    assert one._plugin.address == f"{HOSTS[scheme]}{path}"  # type: ignore[attr-defined]


def test_an_address_that_was_copied_takes_a_secret(hook: Webhook) -> None:
    one = channel(f"https://open.feishu.cn/open-apis/bot/v2/hook/abc?secret=demo&host={hook.address}&insecure=yes")
    one.send(message(), clock=ManualClock(datetime.fromtimestamp(1599360473, UTC)))
    assert hook.requests[0].json["sign"] == LARK_VECTORS[0][2]


@pytest.mark.parametrize("url", ["dingtalk://a-b", "feishu://a.b", "wecombot://", "lark:///", "dingtalk://s@"])
def test_a_token_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigFault, match="Apprise cannot use this"):
        channel(url)


def test_a_name_of_a_host_is_no_secret_but_the_rest_is() -> None:
    channel("feishu://tok3n-zzz-111/?secret=s3cret-zzz-222&host=gateway-zzz.example.com")
    assert MASKS.apply("tok3n-zzz-111 s3cret-zzz-222 gateway-zzz.example.com") == "*** *** gateway-zzz.example.com"


# ------------------------------------------------------------------------------------------ messages


def test_dingtalk_calls_whom_the_operator_names_and_nobody_else(hook: Webhook) -> None:
    options = f"?host={hook.address}&insecure=yes"
    for url in (
        f"dingtalk://token1/13800138000/+86-139 0013 9000/{options}",
        f"dingtalk://token1/{options}&to=13800138000,+8613900139000",
    ):
        channel(url).send(message())
    channel(f"dingtalk://token1/{options}").send(message("@13800138000 @all"))
    first, second, nobody = (request.json for request in hook.requests)
    assert first["at"]["isAtAll"] is second["at"]["isAtAll"] is False
    assert first["at"]["atMobiles"] == second["at"]["atMobiles"] == ["13800138000", "8613900139000"]
    assert first["markdown"]["text"].endswith("@13800138000 @8613900139000")
    assert "at" not in nobody
    assert "@138" not in json.dumps(nobody)


@pytest.mark.parametrize(
    ("scheme", "refusal"),
    [
        ("feishu", {"code": 9499, "msg": "Bad Request"}),
        ("lark", {"code": 11246, "msg": "card"}),
        ("dingtalk", {"errcode": 40035, "errmsg": "param"}),
        ("wecombot", {"errcode": 40058, "errmsg": "invalid"}),
    ],
)
def test_a_card_that_is_refused_goes_once_more_as_plain_text(
    hook: Webhook, scheme: str, refusal: dict[str, object]
) -> None:
    hook.program(ok_json(refusal))
    report = pointed(hook, scheme, "" if scheme == "wecombot" else "&secret=abcdef").send(message())
    assert isinstance(report.verdict, Sent)
    assert report.requests == 2
    plain = hook.requests[1].json
    kind = plain.get("msg_type") or plain["msgtype"]
    text = plain["content"]["text"] if scheme in {"feishu", "lark"} else plain["text"]["content"]
    assert kind == "text"
    assert text.startswith("Ready: Launch film\n1 min 5 s of video")
    hook.program(ok_json(refusal), ok_json(refusal))
    assert isinstance(pointed(hook, scheme).send(message()).verdict, Dead)


@pytest.mark.parametrize(
    ("scheme", "body", "kind"),
    [
        ("feishu", {"code": 19021, "msg": "sign match fail or timestamp is not within one hour"}, Hold),
        ("feishu", {"code": 19022, "msg": "Ip Not Allowed"}, Hold),
        ("lark", {"code": 11232, "msg": "frequency limited psm"}, Retry),
        ("dingtalk", {"errcode": 310000, "errmsg": "description:机器人发送签名不匹配"}, Hold),
        ("dingtalk", {"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}, Retry),
        ("dingtalk", {"errcode": -1, "errmsg": "busy"}, Retry),
        ("wecombot", {"errcode": 93000, "errmsg": "invalid webhook url, hint: [1]"}, Hold),
        ("wecombot", {"errcode": 45009, "errmsg": "api freq out of limit"}, Retry),
    ],
)
def test_success_only_when_the_body_says_so(
    hook: Webhook, scheme: str, body: dict[str, object], kind: type[Hold | Retry]
) -> None:
    hook.program(ok_json(body))
    report = pointed(hook, scheme).send(message())
    assert type(report.verdict) is kind
    assert report.requests == 1
    code = next(value for value in body.values() if isinstance(value, int))
    assert f"code {code}: " in report.reason


def test_a_plugin_keeps_nothing_of_the_message_before(hook: Webhook) -> None:
    one = pointed(hook, "dingtalk")
    one.send(message("first"))
    one.send(message("second"))
    assert "first" not in json.dumps(hook.requests[1].json)


# ------------------------------------------------------------------------------------------ the channel


def test_what_the_config_says_of_a_channel_is_what_it_has() -> None:
    plan = ChannelPlan(max_per_minute=7.5, digest_above=3)
    one = channel("feishu://abc", plan=plan, language=Language.CHINESE)
    assert (one.plan, one.language, one.digest_above) == (plan, Language.CHINESE, 3)
    assert [(limit.most, limit.seconds) for limit in one.limits] == [(100, 60), (5, 1), (7, 56)]


@pytest.mark.parametrize(
    ("url", "per_minute", "digest_above"),
    [
        ("feishu://abc", 100, 6),
        ("lark://abc", 100, 6),
        ("dingtalk://abc", 20, 6),
        ("wecombot://abc", 20, 6),
        ("console://", None, 6),
        ("json://h/", None, 0),
        ("form://h/", None, 0),
        ("syslog://", None, 6),
    ],
)
def test_without_a_word_in_the_config_the_service_says(
    url: str, per_minute: float | None, digest_above: int
) -> None:
    one = channel(url)
    assert next((limit.most for limit in one.limits), None) == per_minute
    assert one.digest_above == digest_above
    assert channel(url, plan=ChannelPlan(digest_above=0)).digest_above == 0


def test_the_operators_own_words_take_the_place_of_the_card(hook: Webhook, tmp_path: Path) -> None:
    file = tmp_path / "mine.j2"
    file.write_text("Mine: {{ title }}\nSee {{ links[0].url }}\n", encoding="utf-8")
    url = f"feishu://abc/?host={hook.address}&insecure=yes"
    one = channel(url, templates=Templates.load({"succeeded": file}))
    one.send(message("<at id=all>"))
    one.send(test_message(ChannelName("x"), now_text="now", language=Language.CHINESE))
    own, built_in = (request.json for request in hook.requests)
    assert own["msg_type"] == "text"
    first, *rest = own["content"]["text"].splitlines()
    assert first == "Mine: Ready: \uff1cat id=all>"
    assert "See https://h.example.com/a_b.mp4?Expires=1&Signature=x%3D" in rest
    assert built_in["card"]["header"]["title"]["content"] == "👋 wrapd 已连通此渠道"


def test_a_bug_in_a_card_costs_the_card_and_not_the_message(
    hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines(monkeypatch, "daemon.notify.transport.channel")
    one = pointed(hook, "feishu")
    monkeypatch.setattr(one, "service", replace(one.service, card=lambda _: 1 / 0))  # type: ignore[arg-type, return-value]
    assert isinstance(one.send(message()).verdict, Sent)
    assert hook.requests[0].json["content"]["text"].startswith("✅ Ready: Launch film\n")
    (line,) = lines.of(LogEvent.CARD_FAILED)
    assert line["channel"] == "x"


def test_what_would_be_sent_can_be_seen_without_sending() -> None:
    written = channel("wecombot://abc").write(message())
    assert written.card is not None
    assert written.card["msgtype"] == "markdown"
    assert written.text.title == "✅ Ready: Launch film"
    stream = io.StringIO()
    plain = open_channel(ChannelSettings(name=ChannelName("x"), url="console://"), console=stream)
    assert plain.write(message()).card is None
    assert stream.getvalue() == ""


def test_our_plugins_need_none_of_apprises() -> None:
    code = (
        "import sys\n"
        "from daemon.notify.transport import *\n"
        "for url in ('feishu://a', 'dingtalk://a', 'wecombot://a'):\n"
        "    open_channel(ChannelSettings(name='a', url=url))\n"
        "print(sorted(m for m in sys.modules if m.startswith('apprise.plugins.')), 'jinja2' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "['apprise.plugins.base'] False"
    assert done.stderr == ""
