"""Opening a channel: what a URL may contain, and that no fault reveals it."""

import io
import re
import subprocess
import sys
import warnings
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.domain.jobs import ChannelName
from daemon.errors import ConfigFault
from daemon.notify.services import BY_SCHEME, translated
from daemon.notify.transport import Channel, ChannelSettings, open_channel
from daemon.notify.transport.verdicts import Sent
from tests.support.alerts import HOSTILE, message

TOKEN = "tok3n0123456789abcdef"


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("", "not an Apprise URL"),
        (TOKEN, "not an Apprise URL"),
        (f"nosuch://{TOKEN}", "there is no service nosuch://"),
        (f"https://example.com/{TOKEN}", "https://"),
        (f"slack://{TOKEN}", "slack://"),
        ("json://", "json://"),
        (f"tgram://{TOKEN}/", "tgram://"),
        (f"json://h/{TOKEN}, json://h2/{TOKEN}", "more than one service"),
        (f"json://h/{TOKEN} json://h2/", "more than one service"),
        (f"json://h/{TOKEN}?retry=3", "retry="),
        (f"json://h/{TOKEN}?RETRY=0", "retry="),
        (f"json://h/{TOKEN}?wait=2", "wait="),
        (f"json://h/{TOKEN}?optional=yes", "optional="),
        (f"json://h/{TOKEN}?redirect=yes", "redirect="),
        (f"discord://4174216298/{TOKEN}?format=markdown", "format="),
        (f"json://h/{TOKEN}?retry_hint=3", "retry_hint=, which this service does not know; write -NAME= for"),
        (f"json://h/{TOKEN}?{TOKEN}=3", "an option, which this service does not know"),
        (f"discord://4174216298/{TOKEN}?attach=/etc/passwd", "attach=, which this service does not know"),
        (f"discord://4174216298/{TOKEN}?botnam=x", "did you mean botname=?"),
        (f"feishu://{TOKEN}?secert={TOKEN}", "secert=, which this service does not know"),
        (f"wecombot://{TOKEN}?secret={TOKEN}", "secret=, which this service does not know"),
        (f"feishu://{TOKEN}?+x=1", "+x=, which this service does not know"),
        (f"json://h/{TOKEN}?verify=maybe", "verify=, which takes yes or no"),
        (f"json://h/{TOKEN}?cto=soon", "cto=, which takes a number"),
        (f"json://h/{TOKEN}?rto=nan", "rto=, which takes a number"),
        (f"json://h/{TOKEN}?cto=-1", "cto=, which takes a number"),
        (f"https://webhook.office.com/webhook/{TOKEN}/IncomingWebhook/a/b", "a Teams connector, and these are"),
        (
            f"https://x.webhook.office.com/webhookb2/{TOKEN}/IncomingWebhook/a/b",
            "a Teams connector, and these are",
        ),
        (f"https://open.feishu.cn/open-apis/bot/hook/{TOKEN}", "the address of an old bot"),
        (f"json://h/{TOKEN}?-a=1&-A=2", "-a= twice"),
        (f"json://u:p@h/{TOKEN}?pass={TOKEN}%20", "pass= with a space at its end"),
        (f"mailto://h?user=a@example.com&pass=12;to={TOKEN}@example.com", "a ; between options"),
        (f"mailto://u:se/{TOKEN}@example.com?to=a@example.com", "a / or a ? in the user or the password"),
        (f"mailto://u:se?{TOKEN}@example.com?to=a@example.com", "a / or a ? in the user or the password"),
        (f"mailto://h?from=a@example.com&to={TOKEN}", "to= and an address that it cannot write to"),
        (f"mailto://h?from=a@example.com&to=b@example.com&cc=c@example.com,{TOKEN}", "cc= and an address"),
        (f"mailto://h?from=a@example.com&to=b@example.com&bcc=团队@{TOKEN}.example", "bcc= and an address"),
        (f"mailto://h?from=a@example.com&to=b@example.com&reply={TOKEN}@", "reply= and an address"),
        (f"mailto://h?from=a@example.com&to=o'neil@{TOKEN}.example", "to= and an address"),
        (f"mailto://u:p@h?from=o'neil@{TOKEN}.example&to=b@example.com", "from= and an address"),
        (f"mailto://u:p@h.example.com/{TOKEN}", "a path that is no address"),
        (f"json://h:70000/{TOKEN}", "an invalid port"),
        (f"json://h/{TOKEN}?port=70000", "an invalid port"),
        (f"json://h/{TOKEN}\nx", "a character that no URL has"),
        (f"json://h/{TOKEN}\udc80", "a character that no URL has"),
        (f"json://{'a' * 70}.example.com/{TOKEN}", "json://"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ?format=markdown", "format="),
        (f"tgram://123456789:{TOKEN}/1?format=text", "format="),
        (f"tgram://123456789:{TOKEN}/111/222", "2 destinations"),
    ],
)
def test_a_url_that_would_not_do_is_refused_without_being_shown(url: str, part: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        open_channel(ChannelSettings(name=ChannelName("editors"), url=url))
    text = str(caught.value)
    assert text.startswith("channels.editors.url: ")
    assert part in text
    assert TOKEN not in text
    assert "\n" not in text
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "json://h/x?-retry_hint=3",
        "json://h/x?redirect=no&optional=no&format=text",
        "json://h/x?-a=1,2&:b=x,y",
        "mailto://u:p@example.com?to=a@example.com&cc=b@example.com,c@example.com",
        'mailto://u:p@example.com?from=Studio&to="B, A" <a@example.com>&cc=F <f@example.com>, C.D@e.com&bcc=',
        "mailto://u:p@example.com/a@example.com?from=发布 <b@example.com>&bcc=制作组 <c@example.com>",
        "  console://  ",
        "CONSOLE://",
        "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "syslog://",
    ],
)
def test_a_url_that_will_do_is_taken(url: str) -> None:
    assert open_channel(ChannelSettings(name=ChannelName("editors"), url=url)).name == "editors"


SIGNS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)


def opened(url: str) -> Channel:
    return open_channel(ChannelSettings(name=ChannelName("x"), url=url))


@pytest.mark.parametrize(
    "form",
    ["json://{user}:{password}@h/x", "mailto://{user}:{password}@h.example.com?from=w@c.example&to=a@b.example"],
)
@given(user=SIGNS, password=SIGNS)
@example(user="george", password="12;34xyz")
@example(user="george", password="a:b::c")
@example(user="george", password="se@krit")
@example(user="george", password="100%41")
@example(user="george", password=" a b ")
@example(user="george", password="密码+&#?/")
@settings(deadline=None)
def test_a_login_is_what_stands_in_the_url(form: str, user: str, password: str) -> None:
    """Percent-encoded, every character stands for itself."""
    url = form.format(user=quote(user, safe=""), password=quote(password, safe=""))
    service: Any = opened(url)._plugin
    assert service.password == password
    assert service.user in {user, f"{user}@h.example.com"}


@pytest.mark.parametrize(
    "password", ["12;34xyz", "a:b::c", "se@krit", "100%krit", "a+b", "s#e", "a b", "密码", "a=b,c"]
)
def test_a_login_in_plain_signs_is_what_it_looks_like(password: str) -> None:
    for url in (
        f"mailto://george:{password}@127.0.0.1:25?from=a@example.com&to=b@example.com",
        f"mailto://127.0.0.1:25?user=george@example.com&pass={password}&from=a@example.com&to=b@example.com",
        f"json://george:{password}@h/x",
    ):
        service: Any = opened(url)._plugin
        assert service.password == password
        assert service.host in {"127.0.0.1", "h"}


@given(value=SIGNS)
@example(value="100%41")
@example(value="a;b=c")
@settings(deadline=None)
def test_a_value_is_what_stands_in_the_url_or_refused(value: str) -> None:
    url = f"json://h/x?+X-Token={quote(value, safe='')}"
    if value != value.strip():
        with pytest.raises(ConfigFault):
            opened(url)
    else:
        service: Any = opened(url)._plugin
        assert service.headers["X-Token"] == value
        login: Any = opened(f"json://u@h/x?pass={quote(value, safe='')}")._plugin
        assert login.password == value


_PLACES = st.sampled_from(
    [
        *("{0}://{1}", "{0}://{1}/{2}/{3}", "{0}://{1}:{2}@{3}/{1}", "{0}://{1}@h/{2}?{3}={1}"),
        *("{0}://h.example.com/{1}?{2}={3}&{3}={2}", "{1}", "{0}://[{1}]:{2}/{3}", "{0}:/{1}?{2}"),
    ]
)
_SCHEMES = st.sampled_from([*BY_SCHEME, "https", "http", "signal", "twilio", "syslog", "mqtt"])
_ODD = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["", "]", "[::1", "%", "%00", "\ud800", "a" * 300, "9" * 12, "-1", "\x00", "..", "@@", "::"]),
)


@given(place=_PLACES, scheme=_SCHEMES, parts=st.tuples(_ODD, _ODD, _ODD))
@example(place="{0}://{1}@h/{2}?{3}={1}", scheme="console", parts=("", "", "a.__________"))
@settings(deadline=None, max_examples=300)
def test_any_url_opens_or_is_one_fault_that_names_the_channel(
    place: str, scheme: str, parts: tuple[str, str, str]
) -> None:
    url = place.format(scheme, *parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fault = fault_of(url)
    assert fault is None or fault.startswith("channels.x.url: ")
    said = re.sub(r" with \S+=,", "", fault or "")  # the name of an unknown option is shown on purpose
    assert not any(len(part) >= 12 and part in said for part in parts)


def fault_of(url: str) -> str | None:
    try:
        opened(url)
    except ConfigFault as error:
        return str(error)
    return None


_FLOW = "defaultab.e9.environment.api.powerplatform.com:443"
_INVOKE = "/workflows/ab12/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=S_1"


@pytest.mark.parametrize(
    ("pasted", "scheme", "url"),
    [
        ("https://open.feishu.cn/open-apis/bot/v2/hook/abc-1?secret=s3", "feishu", "feishu://abc-1/?secret=s3"),
        ("https://open.larksuite.com/open-apis/bot/v2/hook/abc-1", "lark", "lark://abc-1/"),
        (
            "https://open.larkoffice.com/open-apis/bot/v2/hook/abc-1",
            "lark",
            "lark://abc-1/?host=open.larkoffice.com",
        ),
        ("https://oapi.dingtalk.com/robot/send?access_token=a1&secret=s", "dingtalk", "dingtalk://a1/?secret=s"),
        (
            "https://api.dingtalk.io/robot/send?secret=s&access_token=a1",
            "dingtalk",
            "dingtalk://a1/?secret=s&host=api.dingtalk.io",
        ),
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=a-1", "wecombot", "wecombot://a-1/"),
        (
            "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
            "slack",
            "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/",
        ),
        (
            "https://ptb.discord.com/api/v10/webhooks/123456/ab-c?thread_id=77&wait=true#x",
            "discord",
            "discord://123456/ab-c/?thread=77",
        ),
        (
            "https://api.telegram.org/bot123456789:abcdefg_hijklmnop/sendMessage?chat_id=-1001&message_thread_id=5",
            "tgram",
            "tgram://123456789:abcdefg_hijklmnop/-1001/?topic=5",
        ),
        (
            f"https://{_FLOW}/powerautomate/automations/direct/cu/03{_INVOKE}",
            "workflows",
            f"workflows://{_FLOW}/ab12/S_1/?ver=1&pa=yes&route=03",
        ),
        (
            "https://chat.example.com:8443/sub/hooks/abcdefghijklmnopqrstuvwxyz",
            "mmosts",
            "mmosts://chat.example.com:8443/sub/abcdefghijklmnopqrstuvwxyz/",
        ),
        (
            f"https://chat.example.com/hooks/{'a' * 24}/{'b' * 64}",
            "rockets",
            f"rockets://{'a' * 24}/{'b' * 64}@chat.example.com/",
        ),
    ],
)
def test_what_a_service_shows_can_be_pasted_whole(pasted: str, scheme: str, url: str) -> None:
    assert translated(pasted) == url
    channel = opened(pasted)
    assert channel.scheme == scheme
    assert channel.doubts == ()


def test_an_address_of_nobody_stays_what_it_is() -> None:
    assert translated("https://example.com/hook?a=1") == "https://example.com/hook?a=1"


def test_a_workflow_of_today_posts_to_the_path_of_today() -> None:
    for more in ("", "?pa=yes", "?pa=yes&ver=1"):
        service: Any = opened(f"workflows://{_FLOW}/ab12/SIG_1{more}")._plugin
        assert service.power_automate
        assert service.api_version == "1"
    elsewhere: Any = opened("workflows://flows.example.com:443/ab12/SIG_1")._plugin
    assert not elsewhere.power_automate


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("jsons://example.com/x?verify=no", "verify=no"),
        ("syslog://", "ends on this machine"),
        ("json://u:p@example.com/x", "in the clear"),
        ("mailto://u:p@example.com?to=a@example.com&mode=insecure", "in the clear"),
        ("json://h/x?overflow=split", "overflow=, which does nothing"),
        ("workflows://prod-00.westus.logic.azure.com:443/ab12/SIG_1", "moved away from logic.azure.com"),
    ],
)
def test_what_is_allowed_but_unwise_is_said(url: str, part: str) -> None:
    (doubt,) = opened(url).doubts
    assert doubt.startswith("channels.x.url: ")
    assert part in doubt


@pytest.mark.parametrize(
    "url",
    [
        "jsons://127.0.0.1/x?verify=no",
        "jsons://u:p@example.com/x",
        "json://u:p@127.0.0.1/x",
        "mailtos://u:p@example.com?to=a@example.com",
        "pover://uuuuuuuuuuuuuuuuuuuuuuuuuuuuuu@tttttttttttttttttttttttttttttt?priority=-1",
        "sendgrid://apikey123456789:from@example.com/to@example.com",
        "tgram://123456789:abcdefg_hijklmnop/@channelname",
        "slack://botname@T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#chan?footer=no&blocks=yes",
        "discord://My%20Bot@417421629841831629/tokenabc?avatar_url=https://x.example/a.png&thread=1",
        "ntfys://u:p@ntfy.example.com/topic?priority=high&tags=a,b&click=https://x.example/y?z=1",
        "mailtos://PASSWORD@hostname.example?user=admin@mail-domain.com",
        "dingtalk://TOKEN?to=13800138000&secret=SEC%2Bx%3D",
        "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=KKKK&token=TTTT%3D",
    ],
)
def test_what_is_wise_raises_no_doubt(url: str) -> None:
    assert opened(url).doubts == ()


def test_a_time_zone_that_is_none_is_refused() -> None:
    settings = ChannelSettings(name=ChannelName("editors"), url="json://h/", timezone="Mars/Olympus")
    with pytest.raises(ConfigFault, match=r"^channels\.editors\.timezone: there is no time zone 'Mars/Olympus'"):
        open_channel(settings)


def test_a_plugin_that_wants_to_sleep_for_an_hour_sleeps_no_longer_than_its_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("apprise.url.time.sleep", slept.append)
    one = open_channel(ChannelSettings(name=ChannelName("editors"), url="json://h/"))
    one._plugin.throttle()
    one._plugin.throttle(wait=3600.0)
    assert slept == [6.0]


def test_a_services_own_address_is_known_for_what_it_is() -> None:
    url = "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
    assert open_channel(ChannelSettings(name=ChannelName("x"), url=url)).scheme == "discord"


def test_only_the_plugins_of_the_channels_are_loaded() -> None:
    code = (
        "import sys\n"
        "from daemon.notify.transport import *\n"
        "c = open_channel(ChannelSettings(name='a', url='json://127.0.0.1:9/x'))\n"
        "from tests.support.alerts import message\n"
        "c.send(message(), timeout=1)\n"
        "print(sorted(m for m in sys.modules if m.startswith('apprise.plugins.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "['apprise.plugins.base', 'apprise.plugins.custom_json']"
    assert done.stderr == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_console_shows_an_alert_as_a_person_reads_it() -> None:
    stream = io.StringIO()
    one = open_channel(ChannelSettings(name=ChannelName("demo"), url="console://"), console=stream)
    assert isinstance(one.send(message()).verdict, Sent)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "╭─ ✅ Ready: Launch film"
    assert lines[1] == "│ 1 min 5 s of video, made for Launch film."
    assert "\x1b" not in stream.getvalue()


def test_the_console_has_colours_on_a_terminal_only_and_none_of_the_names() -> None:
    for name in HOSTILE:
        stream = Terminal()
        one = open_channel(ChannelSettings(name=ChannelName("demo"), url="console://"), console=stream)
        one.send(message(name))
        assert stream.getvalue().startswith("\x1b[32m╭─")
        assert "\x1b[31m red" not in stream.getvalue()


def test_a_console_that_cannot_show_an_emoji_shows_the_rest() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    one = open_channel(ChannelSettings(name=ChannelName("demo"), url="console://"), console=stream)
    assert isinstance(one.send(message()).verdict, Sent)
    assert b"Ready: Launch film" in raw.getvalue()
