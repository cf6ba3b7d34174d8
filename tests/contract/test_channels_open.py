"""Opening a channel: what a URL may hold, and that no fault shows it."""

import io
import subprocess
import sys

import pytest

from daemon.domain.jobs import ChannelName
from daemon.errors import ConfigFault
from daemon.notify.channels import ChannelSettings, open_channel
from daemon.notify.verdicts import Sent
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
        "json://h/x?retry_hint=3",
        "json://h/x?redirect=no&optional=no&format=text",
        "json://h/x?-a=1,2&:b=x,y",
        "mailto://u:p@example.com?to=a@example.com&cc=b@example.com,c@example.com",
        "  console://  ",
        "CONSOLE://",
        "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "syslog://",
    ],
)
def test_a_url_that_will_do_is_taken(url: str) -> None:
    assert open_channel(ChannelSettings(name=ChannelName("editors"), url=url)).name == "editors"


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
    one._service.throttle()
    one._service.throttle(wait=3600.0)
    assert slept == [6.0]


def test_a_services_own_address_is_known_for_what_it_is() -> None:
    url = "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
    assert open_channel(ChannelSettings(name=ChannelName("x"), url=url)).scheme == "discord"


def test_only_the_plugins_of_the_channels_are_loaded() -> None:
    code = (
        "import sys\n"
        "from daemon.notify.channels import *\n"
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
