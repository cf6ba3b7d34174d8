"""Every value of a config is checked like the part that uses it does: it is accepted or named as a fault (`config
check` ends with 0 or 3), accepted values can be used, and no password is repeated."""

import contextlib
import copy
import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daemon.build import build_spec, check_config
from daemon.clock import ManualClock
from daemon.config.faults import spell
from daemon.domain.events import JOB_EVENTS, Event
from daemon.domain.routing import Subject
from daemon.errors import ConfigFault
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.gate import AuthGates
from daemon.web import listen
from tests.support.toml import dump

CANARY = "hunter2-hunter2"
WHOLE: dict[str, Any] = {
    "operators": ["editors"],
    "database": {"url": "sqlite:///wrapd.db", "auto_migrate": True},
    "polling": {
        "price": "1s",
        "strategy": "learned",
        "feed": "auto",
        "batch": "auto",
        "min_interval": "1s",
        "max_interval": "60s",
        "blocked_interval": "10m",
        "not_found_grace": "10m",
        "give_up_after": "14d",
    },
    "notify": {
        "send_timeout": "20s",
        "give_up_after": "7d",
        "link_margin": "1h",
        "link_reminder": "4h",
        "link_life": "30d",
    },
    "web": {
        "enabled": True,
        "listen": "127.0.0.1:0",
        "token": "a-token-of-more-than-16",
        "public_url": "https://wrapd.example.com/here",
    },
    "retention": {"keep": "365d"},
    "log": {"level": "info", "format": "text"},
    "projects": {
        "main": {
            "region": "cn-north-4",
            "endpoint": "https://api.example.com",
            "project_id": "0123456789abcdef",
            "requests_per_second": 5,
            "max_in_flight": 16,
            "proxy": "http://proxy.example.com:3128",
            "app_user_id": "user-1",
            "auth": {
                "method": "aksk",
                "access_key": "AKEXAMPLE",
                "secret_key": "SKEXAMPLE",
                "security_token": "ST",
            },
            "discovery": {
                "enabled": True,
                "interval": "1m",
                "kinds": ["avatar"],
                "states": ["WAITING"],
                "since": "24h",
                "name": "promo *",
                "tags": ["found"],
                "batch": "nightly",
            },
            "callback": {"auth": "mss_a", "key": "a-key-of-more-than-16", "track_unknown": True},
        },
        "second": {
            "region": "cn-east-3",
            "auth": {
                "method": "password",
                "domain": "d",
                "user": "u",
                "password": "p-word",
                "iam_endpoint": "https://iam.example.com",
            },
        },
        "third": {
            "endpoint": "https://[::1]:8443",
            "project_id": "p1",
            "auth": {"method": "token", "token": "t0ken"},
        },
    },
    "channels": {
        "editors": {
            "url": "json://127.0.0.1:9/x",
            "timezone": "Asia/Shanghai",
            "language": "zh",
            "max_per_minute": 20,
            "digest_above": 6,
            "digest_window": "60s",
            "fallback": "mail",
            "fallback_after": "15m",
            "quiet": {"from": "22:00", "to": "08:00", "timezone": "Europe/Berlin", "urgent": ["failed"]},
        },
        "mail": {"url": "json://127.0.0.1:9/y"},
    },
    "routes": [
        {
            "events": ["succeeded", "failed"],
            "channels": ["editors"],
            "projects": ["main"],
            "kinds": ["avatar"],
            "tags": ["promo"],
            "batches": ["nightly"],
            "labels": ["Episode *"],
            "stop": True,
            "quiet": {"from": "22:00", "to": "08:00"},
        }
    ],
}
"""A config with every key."""

TEXTS = f"""
 |x|é|文|\u202e|\x00|%|%%s|{{}}|{{{{ x }}}}|'|"|\\|../..|~|.|*|[|[!|[]|?|{"a" * 201}|{"*" * 200}
1e300s|nans|infs|-1s|0s|1ms|0.0000001s|{"9" * 400}s|3650d|3651d|1d1d1d|1h 30m|\u0663s
nan|inf|-inf|1e400|0|-0|1.5|true|none|null
UTC|utc|../../etc/passwd|/etc/passwd|posix/UTC|right/UTC|Factory|localtime|tzdata.zi|posixrules|zone.tab
Europe|Asia/Shanghai|Asia/Shanghai\x00|America/New_York |PST8PDT|EST5EDT4,M3
127.0.0.1|:80|127.0.0.1:|127.0.0.1:99999|127.0.0.1:\u0668|[::1|[::1]:0|::1:80|a..b:80|[::1%lo]:0|[v1.x]:0
{"x" * 64}.example:80|{"x." * 200}:80|exa mple:80|ex\u3002ample:0|xn--a:0|-a:0|*:80|0:0|1:1|0x7f.1:0
256.0.0.1:0|localhost:0|.:0|a\x00b:0
https://u:{CANARY}@host|https://u:{CANARY}@[::1|http://u:{CANARY}@h:x|http://:{CANARY}@|//u:{CANARY}@h
https://u:{CANARY}@ho st|https://{CANARY}@host:99999|http://u:{CANARY}@h\x00|https://u:p/{CANARY}@h|http://u:{CANARY}@h
https://|https://h:0|https://h:65536|https://h:|https://h:-1|https://h:\u0668|https://[::1|https://[::1]x
https://[v1.x]|https://[::1%25lo]|https://a..b|https://{"x" * 64}.com|https://h?x|https://h#x|https://256.1.1.1
https://h;x|https://h\\x|https://h/%zz|https://h/a b|HTTPS://H|ftp://h|https:h|http://h|https://1.2.3
https://xn--a|https://\u00fc.example|https://-a|https://0x7f000001|http://127.1|socks5://u:{CANARY}@h:1
postgres://u:{CANARY}@h/d|sqlite://u:{CANARY}@h/d|sqlite://|sqlite:///|sqlite:////|sqlite:///..|sqlite:///a/
sqlite:///%00|sqlite:///{"x" * 300}|sqlite:///file:x|SQLITE:///x|sqlite:////dev/null
/dev/null|/dev/zero|/dev/random|/proc/self/mem|/|/nonexistent/x|{"x" * 5000}
succeeded|SUCCEEDED|24:00|00:00|22:00|8:00|08:0|22:00:00|\u0662\u0662:00|aksk|token|password|mss_a|debug
editors|mail|main|second|nobody|cn-north-4|ap-southeast-1|avatar|photo|WAITING
"""
NUMBERS = [0, -1, 1, 2**31, 2**63, 2**64, 10**300, 1e308, 5e-324, -0.0, 0.1, *map(float, ("nan", "inf", "-inf"))]
SHAPES: list[Any] = [
    *(
        True,
        False,
        [],
        [[]],
        [""],
        ["x", 1],
        ["x"] * 1000,
        {},
        {"x": 1},
        {f"k{number}": 1 for number in range(100)},
    ),
    *({"env": "NOT_SET"}, {"env": ""}, {"env": "GIVEN"}, {"env": "BROKEN"}, {"env": "x", "file": "y"}),
    *({"file": "/dev/zero"}, {"file": "/proc/self/mem"}, {"file": "."}, {"file": "x" * 5000}, {"file": "\x00"}),
    *({"credential": "none"}, {"credential": "../x"}, {"*": "/dev/null"}, {"succeeded": "/dev/zero"}),
    *({"succeeded": "."}, {"digest": "\x00"}, {"nothing": "x"}),
    *(date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), time(22, 0)),
]
HOSTILE: list[Any] = [
    "",
    "\n",
    *(each for line in TEXTS.splitlines() for each in line.split("|")),
    *NUMBERS,
    *SHAPES,
]
"""Values that people, tools and attackers write."""
MORE = ("proxy", "ca_file", "templates", "fallback", "nonsense", "", "é", "a.b", "x" * 300)
"""Additional keys."""
ENVIRON = {"GIVEN": f"http://u:{CANARY}@proxy:1", "BROKEN": f"http://u:{CANARY}@[::1", "HOME": "/nonexistent"}


def places(tree: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if at:
        yield at
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from places(value, (*at, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from places(value, (*at, index))


PLACES = list(places(WHOLE))


def changed(*changes: tuple[tuple[str | int, ...], Any]) -> dict[str, Any]:
    """Return the config with other values at these places."""
    tree = copy.deepcopy(WHOLE)
    for place, value in changes:
        *way, last = place
        inner: Any = tree
        try:
            for step in way:
                inner = inner[step]
            inner[last] = copy.deepcopy(value)  # one value may be put in at two places, even into itself
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change removed it
    return tree


def use(tree: dict[str, Any], environ: dict[str, str]) -> str:
    """Check a config; use it as the daemon does if accepted. Return the faults, '' if there are none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wrapd.toml"
        path.write_text(dump(tree))
        try:
            config, warnings = check_config(path, environ)
        except ConfigFault as error:
            return str(error)
        plan = build_spec(config, environ)
        clock = ManualClock(datetime(2026, 3, 29, 1, 30, tzinfo=UTC))
        for project in plan.projects:
            for url in (project.api_url, project.iam_url):
                assert url is None or httpx.URL(url).host
            ProjectClient(project, clock=clock, gates=AuthGates(clock), rng=random.Random(1), environ=environ)
        for event in JOB_EVENTS:
            plan.routing.targets(Subject(event=event, project=None), at=clock.now())
        for hours in plan.routing.quiet.values():
            hours.until(clock.now(), Event.SUCCEEDED)
        for channel in plan.channels.values():
            clock.now().astimezone(channel.zone)
        if plan.web is not None:
            with contextlib.suppress(ConfigFault):  # an address of another machine
                listen(plan.web.host, 0).close()
        assert all(CANARY not in text for text in warnings)
        return ""


def test_the_whole_config_is_right() -> None:
    assert use(WHOLE, ENVIRON) == ""


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES, ids=spell)
def test_each_value_is_accepted_and_usable_or_named(place: tuple[str | int, ...]) -> None:
    for value in random.Random(str(place)).sample(HOSTILE, 60):
        said = use(changed((place, value)), ENVIRON)
        assert CANARY not in said, (value, said)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(HOSTILE)), min_size=1, max_size=4),
    more=st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(MORE), st.sampled_from(HOSTILE)), max_size=2),
    environ=st.dictionaries(
        st.sampled_from(
            [
                "HTTPS_PROXY",
                "https_proxy",
                "NO_PROXY",
                "ALL_PROXY",
                "HUAWEICLOUD_SDK_AK",
                "HUAWEICLOUD_SDK_SK",
                "HOME",
            ]
        ),
        st.sampled_from([each for each in HOSTILE if isinstance(each, str) and "\x00" not in each]),
        max_size=2,
    ),
)
@example(changes=[(("web", "listen"), f"{'x' * 64}.example:80")], more=[], environ={})
@example(changes=[(("projects", "main", "proxy"), {"env": "BROKEN"})], more=[], environ={})
@example(
    changes=[],
    more=[(("projects", "second"), "project_id", "p1")],
    environ={"HTTPS_PROXY": f"http://u:{CANARY}@[::1"},
)
@example(changes=[], more=[(("projects", "main"), "ca_file", "/dev/zero")], environ={})
@example(changes=[], more=[(("channels", "mail"), "templates", {"succeeded": "/dev/zero"})], environ={})
def test_no_config_makes_the_check_fail(
    changes: list[tuple[tuple[str | int, ...], Any]],
    more: list[tuple[tuple[str | int, ...], str, Any]],
    environ: dict[str, str],
) -> None:
    tree = changed(*changes, *(((*place, key), value) for place, key, value in more))
    said = use(tree, {**ENVIRON, **environ})
    assert CANARY not in said, said
