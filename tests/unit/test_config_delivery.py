"""The config's delivery sections: channels, routes, quiet hours, the web, and faults between them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.config import Config, ConfigFaults, load
from daemon.domain.events import Event
from daemon.domain.jobs import ProjectName
from daemon.domain.routing import Subject, Target

NIGHT = datetime(2026, 3, 4, 15, tzinfo=UTC)
"""23:00 in Shanghai, 16:00 in Berlin."""
NOON = datetime(2026, 3, 4, 4, tzinfo=UTC)

BASE = """
[projects.main]
region = "cn-north-4"
[channels.editors]
url = { env = "WRAPD_EDITORS_URL" }
timezone = "Asia/Shanghai"
[channels.ops]
url = "json://127.0.0.1"
timezone = "Asia/Shanghai"
"""


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "wrapd.toml"
    path.write_text(text)
    return load(path)


def faults(tmp_path: Path, text: str) -> dict[str, str]:
    with pytest.raises(ConfigFaults) as caught:
        read(tmp_path, text)
    return {fault.place: fault.text for fault in caught.value.faults}


def targets(config: Config, event: Event, *, at: datetime = NOON, **facts: Any) -> list[tuple[str, bool]]:
    found = config.routing().targets(Subject(event=event, project=ProjectName("main"), **facts), at=at)
    return [(target.channel, target.held_until is not None) for target in found]


def test_routing_follows_the_config(tmp_path: Path) -> None:
    plain = read(tmp_path, BASE)
    assert targets(plain, Event.SUCCEEDED) == [("editors", False), ("ops", False)]
    assert targets(plain, Event.BATCH_FINISHED) == [("editors", False), ("ops", False)]
    assert targets(plain, Event.STARTED) == []
    assert targets(plain, Event.PROJECT_DOWN) == [("editors", False), ("ops", False)]
    routed = read(
        tmp_path, 'operators = ["ops"]\n' + BASE + '[[routes]]\nevents = ["started"]\nchannels = ["editors"]\n'
    )
    assert targets(routed, Event.STARTED) == [("editors", False)]
    assert targets(routed, Event.SUCCEEDED) == []
    assert targets(routed, Event.PROJECT_DOWN) == [("ops", False)]


def test_a_route_without_events_takes_the_default_ones(tmp_path: Path) -> None:
    config = read(tmp_path, BASE + '[[routes]]\nchannels = ["ops"]\n')
    assert targets(config, Event.FAILED) == [("ops", False)]
    assert targets(config, Event.LINK_EXPIRING) == []


def test_the_conditions_of_a_route_reach_the_domain(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        BASE
        + """
        [[routes]]
        events = ["succeeded", "link_expiring"]
        channels = ["editors"]
        projects = ["main"]
        kinds = ["photo", "avatar"]
        tags = ["vip"]
        batches = ["night"]
        labels = ["Episode *"]
        stop = true
        [[routes]]
        channels = ["ops"]
        """,
    )
    fits: dict[str, Any] = {"kind": "photo", "tags": ("a", "vip"), "batch": "night", "label": "episode 9"}
    assert targets(config, Event.SUCCEEDED, **fits) == [("editors", False)]
    for key, value in {"kind": "business_card", "tags": ("a",), "batch": None, "label": "x"}.items():
        assert targets(config, Event.SUCCEEDED, **{**fits, key: value}) == [("ops", False)], key


def test_quiet_hours_are_those_of_the_channels_zone_unless_they_name_one(tmp_path: Path) -> None:
    quiet = '[channels.editors.quiet]\nfrom = "22:00"\nto = "08:00"\n'
    config = read(tmp_path, BASE + quiet)
    assert targets(config, Event.SUCCEEDED, at=NIGHT) == [("editors", True), ("ops", False)]
    assert targets(config, Event.SUCCEEDED, at=NOON) == [("editors", False), ("ops", False)]
    assert targets(config, Event.FAILED, at=NIGHT) == [("editors", False), ("ops", False)]
    assert targets(config, Event.PROJECT_DOWN, at=NIGHT) == [("editors", True), ("ops", False)]
    berlin = read(tmp_path, BASE + quiet + 'timezone = "Europe/Berlin"\nurgent = ["project_down"]\n')
    assert targets(berlin, Event.SUCCEEDED, at=NIGHT) == [("editors", False), ("ops", False)]
    late = datetime(2026, 3, 4, 23, tzinfo=UTC)
    assert targets(berlin, Event.FAILED, at=late) == [("editors", True), ("ops", False)]
    assert targets(berlin, Event.PROJECT_DOWN, at=late) == [("editors", False), ("ops", False)]


def test_quiet_hours_of_a_route_are_in_the_zone_of_its_channels(tmp_path: Path) -> None:
    config = read(tmp_path, BASE + '[[routes]]\nchannels = ["ops"]\nquiet = { from = "22:00", to = "08:00" }\n')
    found = config.routing().targets(Subject(event=Event.SUCCEEDED), at=NIGHT)
    (target,) = found
    assert target == Target(channel=target.channel, held_until=datetime(2026, 3, 5, 0, tzinfo=UTC))
    two = BASE.replace('[channels.ops]\nurl = "json://127.0.0.1"\ntimezone = "Asia/Shanghai"', "") + (
        '[channels.ops]\nurl = "json://127.0.0.1"\n'
        '[[routes]]\nchannels = ["ops", "editors"]\nquiet = { from = "22:00", to = "08:00" }\n'
    )
    assert faults(tmp_path, two) == {
        "routes[0].quiet": "its channels are in different time zones (Asia/Shanghai, UTC); add timezone to say "
        "which one applies"
    }
    read(tmp_path, two.replace('"08:00" }', '"08:00", timezone = "UTC" }'))


def test_defaults_are_those_that_are_documented(tmp_path: Path) -> None:
    config = read(tmp_path, BASE)
    notify = config.notify
    assert (notify.link_margin, notify.link_reminder, notify.link_life) == (3600, 0, 30 * 86400)
    channel = config.channel("editors")
    assert (channel.language, channel.max_per_minute, channel.digest_above) == ("en", None, None)
    assert (channel.digest_window, channel.fallback, channel.fallback_after) == (60, None, 900)
    assert (channel.templates, channel.quiet) == ({}, None)
    assert (config.web.token, config.web.public_url) == (None, None)
    assert config.project("main").callback is None
    assert config.retention.keep == 365 * 86400


def test_what_a_channel_can_say(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        BASE
        + """
        [channels.chat]
        url = "json://127.0.0.1"
        language = "zh"
        max_per_minute = 0.5
        digest_above = 0
        digest_window = "30s"
        fallback = "ops"
        fallback_after = "1h"
        templates = { succeeded = "t/s.j2", "*" = "/etc/wrapd/all.j2", digest = "d.j2" }
        """,
    )
    channel = config.channel("chat")
    assert (channel.language, channel.max_per_minute, channel.digest_above) == ("zh", 0.5, 0)
    assert (channel.digest_window, channel.fallback, channel.fallback_after) == (30, "ops", 3600)
    assert channel.templates == {
        "succeeded": f"{tmp_path}/t/s.j2",
        "*": "/etc/wrapd/all.j2",
        "digest": f"{tmp_path}/d.j2",
    }


@pytest.mark.parametrize("value", ["0s", "1d", "3650d"])
def test_retention_can_be_off(tmp_path: Path, value: str) -> None:
    read(tmp_path, BASE + f'[retention]\nkeep = "{value}"\n')


def test_an_address_that_others_reach_needs_a_token(tmp_path: Path) -> None:
    for listen in ("0.0.0.0:8787", "[::]:80", "wrapd.internal:80", "192.168.1.4:8787"):
        text = BASE + f'[web]\nlisten = "{listen}"\n'
        (found,) = faults(tmp_path, text).items()
        assert found[0] == "web.listen"
        assert "there is no web.token; add token = {" in found[1]
        assert read(tmp_path, text + 'token = { env = "T" }\n').web.listen.port
        assert read(tmp_path, text + "enabled = false\n").web.listen.port
    for listen in ("127.0.0.1:8787", "localhost:0", "[::1]:80"):
        read(tmp_path, BASE + f'[web]\nlisten = "{listen}"\n')


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ("https://wrapd.example.com/", "https://wrapd.example.com"),
        ("https://example.com/wrapd/", "https://example.com/wrapd"),
        ("http://10.0.0.4:8080", "http://10.0.0.4:8080"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x"),
    ],
)
def test_a_public_url(tmp_path: Path, given: str, means: str) -> None:
    assert read(tmp_path, BASE + f'[web]\npublic_url = "{given}"\n').web.public_url == means


@pytest.mark.parametrize(
    "given",
    [
        "wrapd.example.com",
        "ftp://wrapd.example.com",
        "https://",
        "https://h:99999",
        "https://h/?a=1",
        "https://h/#",
        "https://u:p@h",
        "https://h/ x",
        "https://h/ü",
        "https://[::1",
    ],
)
def test_what_is_no_public_url(tmp_path: Path, given: str) -> None:
    assert "web.public_url" in faults(tmp_path, BASE + f'[web]\npublic_url = "{given}"\n')


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ("wrapd", "wrapd"),
        ("WRAPD.Example.com.", "wrapd.example.com"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.4",) * 2,
    ],
)
def test_more_hosts(tmp_path: Path, given: str, means: str) -> None:
    assert read(tmp_path, BASE + f'[web]\nhosts = ["{given}"]\n').web.hosts == (means,)


@pytest.mark.parametrize("given", ["", "https://h", "h:80", "a b", "*.example.com", "-h", "ü"])
def test_what_is_no_host(tmp_path: Path, given: str) -> None:
    assert faults(tmp_path, BASE + f'[web]\nhosts = ["{given}"]\n').keys() == {"web.hosts[0]"}


def test_callbacks_need_an_address_by_which_they_come(tmp_path: Path) -> None:
    callback = '[projects.main.callback]\nkey = { env = "K" }\n'
    found = faults(tmp_path, BASE + callback)
    assert found.keys() == {"projects.main.callback"}
    assert "add public_url to [web]" in found["projects.main.callback"]
    public = '[web]\npublic_url = "https://h.example"\n'
    chosen = read(tmp_path, BASE + callback + public).project("main").callback
    assert chosen is not None
    assert (chosen.auth, chosen.track_unknown) == ("mss_a", False)
    found = faults(tmp_path, BASE + callback + public + "enabled = false\n")
    assert found.keys() == {"projects.main.callback", "web.public_url"}


@pytest.mark.parametrize(
    ("ways", "told"),
    [
        ({"a": "b", "b": "c"}, {}),
        ({"a": "b", "c": "b"}, {}),
        ({"a": "a"}, {"channels.a.fallback": "is the channel itself; name another one"}),
        (
            {"a": "b", "b": "a", "c": "a"},
            {"channels.a.fallback": "goes in a circle (a → b → a); remove the key from one of them"},
        ),
        (
            {"c": "b", "b": "a", "a": "c"},
            {"channels.a.fallback": "goes in a circle (a → c → b → a); remove the key from one of them"},
        ),
        ({"a": "x"}, {"channels.a.fallback": "no channel is called 'x'; choose one of a, b, c"}),
    ],
)
def test_a_fallback_names_another_channel_and_goes_in_no_circle(
    tmp_path: Path, ways: dict[str, str], told: dict[str, str]
) -> None:
    text = ""
    for name in "abc":
        text += f'[channels.{name}]\nurl = "json://127.0.0.1"\n'
        text += f'fallback = "{ways[name]}"\n' if name in ways else ""
    if told:
        assert faults(tmp_path, text) == told
    else:
        assert read(tmp_path, text).channel("a").fallback == ways.get("a")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[channels.x]\nurl = 'a'\nquiet = 3", "channels.x.quiet"),
        ("[channels.x]\nurl = 'a'\n[[channels.x.quiet]]", "channels.x.quiet"),
        ("[channels.x]\nurl = 'a'\ntemplates = 'a'", "channels.x.templates"),
        ("[channels.x]\nurl = 'a'\nfallback = ['x']", "channels.x.fallback"),
        ("[[routes]]\nchannels = {}\nquiet = {}", "routes[0].channels"),
        ("[[routes]]\nchannels = [['x']]\nquiet = {}", "routes[0].quiet.from"),
        ("[[routes]]\nquiet = [1]", "routes[0].quiet"),
        ("[projects.m]\nregion = 'cn-north-4'\ncallback = true", "projects.m.callback"),
        ("web = 3", "web"),
        ("[web]\nlisten = 3", "web.listen"),
        ("retention = []", "retention"),
    ],
)
def test_a_tree_of_any_shape_is_refused_not_crashed_on(tmp_path: Path, text: str, place: str) -> None:
    assert place in faults(tmp_path, text)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    text = (
        BASE
        + '[web]\ntoken = "hunter2-hunter2"\npublic_url = "https://h"\n'
        + '[projects.main.callback]\nkey = "hunter2-hunter2"\n'
    )
    config = read(tmp_path, text)
    assert "hunter2" not in repr(config)
    assert "hunter2" not in repr(config)
    with pytest.raises(ConfigFaults) as caught:
        read(tmp_path, text.replace('"hunter2-hunter2"', '["hunter2"]'))
    assert {fault.place for fault in caught.value.faults} == {"web.token", "projects.main.callback.key"}
    assert "hunter2" not in str(caught.value)
