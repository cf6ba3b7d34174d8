"""Settings that the web server refuses, the addresses derived from them, and the language of its pages."""

from typing import Any

import pytest

from daemon.clock import ManualClock
from daemon.domain.jobs import ProjectName
from daemon.errors import ConfigFault
from daemon.web import CallbackAuth, CallbackSettings, WebSettings, callback_url, own_url
from daemon.web.links import TokenBucket, header_safe
from daemon.web.pages.rendering import prefers_chinese
from daemon.web.visitors import is_robot

MAIN = ProjectName("main")
TOKEN = "a-token-of-24-characters"
NONE = CallbackSettings(auth=CallbackAuth.NONE, key="one key")
SIGNED = CallbackSettings(auth=CallbackAuth.MSS_A, key="one key")


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"host": "0.0.0.0"}, "web.listen"),
        ({"host": "::"}, "web.listen"),
        ({"host": "192.168.1.5"}, "web.listen"),
        ({"host": "wrapd.example.com"}, "web.listen"),
        ({"token": "short"}, "web.token"),
        ({"token": "with a space in its midst"}, "web.token"),
        ({"token": "ünïcödé-ünïcödé-ünïcödé"}, "web.token"),
        ({"public_url": "wrapd.example.com"}, "web.public_url"),
        ({"public_url": "ftp://wrapd.example.com"}, "web.public_url"),
        ({"public_url": "https://"}, "web.public_url"),
        ({"public_url": "https://me:pw@wrapd.example.com"}, "web.public_url"),
        ({"public_url": "https://wrapd.example.com/?a=1"}, "web.public_url"),
        ({"public_url": "https://wrapd.example.com:99999"}, "web.public_url"),
        ({"public_url": "https://wrapd.example.com/a b"}, "web.public_url"),
        ({"callbacks": {MAIN: NONE}}, "projects.main.callback"),
        (
            {"public_url": "https://h", "callbacks": {MAIN: CallbackSettings(auth=CallbackAuth.NONE, key="")}},
            "projects.main.callback.key",
        ),
    ],
)
def test_what_must_not_be_is_refused_with_its_place(settings: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigFault, match=rf"^{place}: "):
        WebSettings(**{"host": "127.0.0.1", "port": 8787} | settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "127.0.0.1"},
        {"host": "::1"},
        {"host": "localhost"},
        {"host": "0.0.0.0", "token": TOKEN},
        {"host": "127.0.0.1", "public_url": "https://wrapd.example.com/hooks/", "callbacks": {MAIN: SIGNED}},
    ],
)
def test_what_may_be_is_taken(settings: dict[str, Any]) -> None:
    assert WebSettings(port=0, **settings)


def test_no_secret_stands_in_the_settings_text() -> None:
    settings = WebSettings(host="::1", port=0, token=TOKEN, public_url="https://h", callbacks={MAIN: NONE})
    assert TOKEN not in repr(settings)
    assert "one key" not in repr(settings)


def test_the_address_of_callbacks() -> None:
    assert callback_url("https://h/x/", MAIN, SIGNED) == "https://h/x/callbacks/main"
    by_secret = callback_url("https://h", MAIN, NONE)
    head, _, secret = by_secret.rpartition("/")
    assert head == "https://h/callbacks/main"
    assert len(secret) == 40
    assert "one key" not in by_secret
    others = {
        callback_url("https://h", ProjectName("other"), NONE),
        callback_url("https://h", MAIN, CallbackSettings(auth=CallbackAuth.NONE, key="another key")),
    }
    assert not any(secret in other for other in others)
    assert callback_url("https://h", MAIN, NONE) == by_secret, "the same each time"


def test_own_links() -> None:
    assert own_url("https://h/", "t0ken") == "https://h/v/t0ken"


@pytest.mark.parametrize(
    ("header", "chinese"),
    [
        ("", False),
        ("zh", True),
        ("zh-CN,zh;q=0.9,en;q=0.8", True),
        ("ZH-hant", True),
        ("en-US,en;q=0.9,zh;q=0.8", False),
        ("de, zh;q=0.3", True),
        ("zh;q=0", False),
        ("zh;q=x", False),
        ("zh;q=nan,en;q=0.1", False),
        ("*", False),
        ("," * 5000 + "zh", False),
    ],
)
def test_the_readers_language(header: str, *, chinese: bool) -> None:
    assert prefers_chinese(header) is chinese


@pytest.mark.parametrize(
    ("agent", "robot"),
    [
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", True),
        ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", True),
        ("TelegramBot (like TwitterBot)", True),
        ("WhatsApp/2.23", True),
        ("Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5", True),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_0) AppleWebKit/605.1 Safari/605.1", False),
        ("Mozilla/5.0 (iPhone) MicroMessenger/8.0 Language/zh_CN wxwork/4.1", False),
        ("curl/8.5", False),
        ("", False),
    ],
)
def test_robots_are_told_from_people(agent: str, *, robot: bool) -> None:
    assert is_robot(agent) is robot


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        (
            "https://h/a.mp4?Expires=1&Signature=a%2Bb/c+d==;~x",
            "https://h/a.mp4?Expires=1&Signature=a%2Bb/c+d==;~x",
        ),
        ("https://h/视频.mp4?a=%20b", "https://h/%E8%A7%86%E9%A2%91.mp4?a=%20b"),
        ("https://h/a\r\nX: y", "https://h/a%0D%0AX:%20y"),
    ],
)
def test_a_url_in_a_header(url: str, safe: str) -> None:
    assert header_safe(url) == safe


def test_the_pace_lets_a_second_of_it_through_at_once_and_never_more() -> None:
    clock = ManualClock()
    pace = TokenBucket(clock, rate=5)
    clock.advance(3600)
    assert [pace.admit() for _ in range(7)] == [True] * 5 + [False] * 2
    clock.advance(0.5)
    assert [pace.admit() for _ in range(3)] == [True, True, False]
