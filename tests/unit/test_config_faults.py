"""Configs with faults: all of them in one run, each with its place and a remedy, and no secret among them."""

import os
from pathlib import Path

import pytest

from daemon.config import Config, ConfigFaults, load, locate
from daemon.config.file import HERE, SYSTEM
from daemon.errors import ConfigFault, Exit, UnknownName

RIGHT = """
[projects.main]
region = "cn-north-4"
[channels.editors]
url = { env = "WRAPD_EDITORS_URL" }
"""


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "wrapd.toml"
    path.write_text(text)
    return load(path)


def faults(tmp_path: Path, text: str) -> dict[str, str]:
    with pytest.raises(ConfigFaults) as caught:
        read(tmp_path, text)
    assert caught.value.exit_status is Exit.CONFIG
    assert str(tmp_path / "wrapd.toml") in str(caught.value)
    return {fault.place: fault.text for fault in caught.value.faults}


ALL = """
x = 1
operators = ["editrs"]
[database]
url = 3
[polling]
min_interval = "10s"
max_interval = "5s"
not_found_grace = 5
operators = 3
max_intervall = "3s"
price = "5ms"
strategy = "lerned"
feed = true
batch = "on"
[web]
listen = "0.0.0.0:88"
enabled = 1
timezone = "UTC"
public_url = "https://u@wrapd.example.com"
token = ""
[notify]
link_margin = "13h"
link_reminder = "1s"
link_life = "5m"
[retention]
keep = "1h"
[log]
level = "inf"
[projects."a b"]
auth = { method = "akk" }
[projects.m]
region = "cn-nort-4"
project_id = "../x"
requests_per_secnd = 5
requests_per_second = "5"
max_in_flight = 1.5
auth = { method = "token" }
[projects.n]
requests_per_second = nan
endpoint = "http://example.com"
acess_key = 1
auth = { method = "password", user = 4, domain = "", key = 1 }
[projects.m.discovery]
enabled = "yes"
intervall = "1m"
interval = "100ms"
kinds = ["avtar", "business_card", 3]
states = ["SUCCESS", "running"]
since = "24"
name = ""
tags = ["", "a\\u0007", 4]
batch = 4
[projects.o]
region = "cn-east-3"
discovery = { interval = "1h", since = "10m", kinds = [], states = [] }
auth = { method = "aksk", access_key = "AKIDEXAMPLE" }
[projects.p]
region = "cn-east-3"
auth = { access_key = "AKIDEXAMPLE" }
[projects.q]
region = "cn-east-3"
auth = "hunter2hunter2"
[projects.q.callback]
auth = "mss"
key = ""
track_unknown = 1
secret = "hunter2"
[channels.c]
url = { env = "A", file = "B" }
timezone = "Shanghai"
language = "cn"
max_per_minute = 0
digest_above = -1
digest_window = "2h"
fallback = "c"
fallback_after = 5
templates = { succeded = "a.j2", failed = "", blocked = 4 }
quiet = { from = "9:00", to = "24:00", urgent = ["faild", "project_down"], form = 1 }
[channels.d]
fallback = "f"
[channels.d.quiet]
from = "22:00"
to = "22:00"
timezone = "UTC+8"
[[routes]]
events = ["succeded", 3, "project_down"]
channels = ["e", 4]
projects = ["mm"]
kinds = ["avtar"]
tags = []
batches = [""]
labels = ["", 4]
stop = "yes"
quiet = { from = "08:00", to = "08:00" }
[[routes]]
events = "succeeded"
channels = []
"""


def test_every_fault_is_reported_in_one_run_with_place_and_mend(tmp_path: Path) -> None:
    found = faults(tmp_path, ALL)
    expected = {
        "x": "there is no such key",
        "operators[0]": "no channel is called 'editrs'",
        "database.url": 'write text in quotes, such as "sqlite:///wrapd.db"',
        "polling.max_interval": '5s is shorter than min_interval (10s); write at least "10s"',
        "polling.not_found_grace": 'write text in quotes, such as "10m"',
        "polling.operators": "belongs to the top level",
        "polling.max_intervall": "did you mean 'max_interval'?",
        "polling.price": '5ms is too short; write at least "10ms"',
        "polling.strategy": "did you mean 'learned'?",
        "polling.feed": "choose one of auto, off",
        "polling.batch": "choose one of auto, off",
        "projects.m.discovery.enabled": "write true or false",
        "projects.m.discovery.intervall": "did you mean 'interval'?",
        "projects.m.discovery.interval": '100ms is too short; write at least "1s"',
        "projects.m.discovery.kinds[0]": "did you mean 'avatar'?",
        "projects.m.discovery.kinds[1]": "the service does not list jobs of kind 'business_card'",
        "projects.m.discovery.kinds[2]": "write text in quotes",
        "projects.m.discovery.states[0]": "did you mean 'SUCCEED'?",
        "projects.m.discovery.states[1]": "no state is called 'running'",
        "projects.m.discovery.since": "'24' is not a duration",
        "projects.m.discovery.name": "write 1 to 200 characters",
        "projects.m.discovery.tags[0]": "write 1 to 64 printable characters",
        "projects.m.discovery.tags[1]": "write 1 to 64 printable characters",
        "projects.m.discovery.tags[2]": 'write text in quotes, such as ["found"]',
        "projects.m.discovery.batch": 'write text in quotes, such as "nightly"',
        "projects.o.discovery.kinds": "write at least one entry",
        "projects.o.discovery.states": "write at least one entry",
        "projects.o.discovery.since": "10m is shorter than interval (1h), so jobs would be missed",
        "web.enabled": "write true or false, without quotes",
        "web.public_url": "only scheme, host, port and path are allowed",
        "web.token": "the text is empty",
        "notify.link_margin": '13h is too long; write at most "12h"',
        "notify.link_reminder": '1s is too short; write at least "1m"',
        "notify.link_life": '5m is too short; write at least "1h"',
        "retention.keep": '1h is too short; write at least "1d"',
        "projects.q.callback.auth": "did you mean 'mss_a'?",
        "projects.q.callback.key": "the text is empty",
        "projects.q.callback.track_unknown": "write true or false",
        "projects.q.callback.secret": "there is no such key",
        "web.timezone": "it belongs to channels.NAME",
        "log.level": "'inf' is not known; did you mean 'info'?",
        "projects.'a b'.auth": "no method is called 'akk'; did you mean 'aksk'?",
        "projects.m.region": "did you mean 'cn-north-4'?",
        "projects.m.project_id": "is not a project id",
        "projects.m.requests_per_secnd": "did you mean 'requests_per_second'?",
        "projects.m.requests_per_second": "write a number, without quotes, such as 5",
        "projects.m.max_in_flight": "write a whole number",
        "projects.m.auth.token": "the key is missing; add token = {",
        "projects.n.requests_per_second": "write a number",
        "projects.n.endpoint": "unencrypted",
        "projects.n.auth": "add iam_endpoint",
        "projects.n.auth.user": "write text in quotes",
        "projects.n.auth.domain": "it is empty",
        "projects.n.auth.key": "there is no such key",
        "projects.n.acess_key": "did you mean 'access_key', which belongs to projects.NAME.auth with method",
        "projects.n.auth.password": "the key is missing",
        "projects.o.auth": "secret_key is missing",
        "projects.p.auth": 'method is missing; write method = "aksk"',
        "projects.q.auth": "write a table",
        "channels.c.url": "write exactly one of",
        "channels.c.timezone": "did you mean 'Asia/Shanghai'?",
        "channels.c.language": "'cn' is not known; choose one of en, zh",
        "channels.c.max_per_minute": "write a number greater than 0, such as 20",
        "channels.c.digest_above": "write a number of at least 0, such as 6",
        "channels.c.digest_window": '2h is too long; write at most "1h"',
        "channels.c.fallback": "is the channel itself",
        "channels.c.fallback_after": 'write text in quotes, such as "15m"',
        "channels.c.templates.succeded": "did you mean 'succeeded'?",
        "channels.c.templates.failed": "the path is empty",
        "channels.c.templates.blocked": "write text in quotes",
        "channels.c.quiet.from": '\'9:00\' is not a time of day; write "00:00" to "23:59"',
        "channels.c.quiet.to": "'24:00' is not a time of day",
        "channels.c.quiet.urgent[0]": "did you mean 'failed'?",
        "channels.c.quiet.form": "did you mean 'from'?",
        "channels.d.url": "the key is missing; add url = {",
        "channels.d.fallback": "no channel is called 'f'; choose one of c, d",
        "channels.d.quiet.to": "is the same as from",
        "channels.d.quiet.timezone": "no time zone is called 'UTC+8'",
        "routes[0].projects[0]": "no project is called 'mm'",
        "routes[0].kinds[0]": "did you mean 'avatar'?",
        "routes[0].tags": "write at least one entry",
        "routes[0].batches[0]": "write 1 to 64 printable characters",
        "routes[0].labels[0]": "write 1 to 200 characters",
        "routes[0].labels[1]": "write text in quotes",
        "routes[0].stop": "write true or false",
        "routes[0].quiet.to": "is the same as from",
        "routes[0].events[0]": "did you mean 'succeeded'?",
        "routes[0].events[1]": "write text in quotes",
        "routes[0].events[2]": "list its channels in `operators`",
        "routes[0].channels[0]": "no channel is called 'e'; choose one of c, d",
        "routes[0].channels[1]": "write text in quotes",
        "routes[1].events": "write a list in brackets",
        "routes[1].channels": "write at least one entry",
    }
    for place, text in expected.items():
        assert text in found.pop(place), place
    assert found.keys() == {"projects.'a b'"}  # its name, and that it has neither region nor endpoint


def test_no_value_of_a_secret_key_is_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigFaults) as caught:
        read(
            tmp_path,
            """
            [projects.m]
            region = "cn-north-4"
            proxy = { url = "http://u:hunter2@p" }
            auth = { method = "aksk", access_key = ["hunter2"], secret_key = { env = ["hunter2"] }, x = "hunter2" }
            [projects.n]
            region = "cn-north-4"
            auth = "hunter2"
            [channels.c]
            url = { text = "slack://hunter2" }
            [channels.d]
            url = ["slack://hunter2"]
            """,
        )
    assert len(caught.value.faults) == 7
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)


def test_a_config_shown_whole_shows_no_secret(tmp_path: Path) -> None:
    config = read(tmp_path, RIGHT + '[channels.b]\nurl = "slack://hunter2"\n')
    assert "hunter2" not in repr(config)


def test_one_fault_takes_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigFaults) as caught:
        read(tmp_path, RIGHT + "[log]\nlevel = 1\n")
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("projects = 3", "projects"),
        ("[projects]\nmain = 3", "projects.main"),
        ("[[projects]]\nregion = 3", "projects"),
        ("channels = []", "channels"),
        ("routes = {}", "routes"),
        ("routes = [1]", "routes[0]"),
        ("[routes]\nevents = []", "routes"),
        ("polling = 3", "polling"),
        ("[projects.m]\nregion = 'cn-north-4'\ndiscovery = 3", "projects.m.discovery"),
        ("[projects.m]\nregion = 'cn-north-4'\n[[projects.m.discovery]]", "projects.m.discovery"),
        ("[projects.m]\nregion = 'cn-north-4'\ndiscovery.tags = {}", "projects.m.discovery.tags"),
        ("[[polling]]", "polling"),
        ("operators = 'x'", "operators"),
        ("[database.url]\nx = 1", "database.url"),
        ("[projects.m]\nregion = 'cn-north-4'\nregion2.x.y = 1", "projects.m.region2"),
        ("[projects.m.auth.method]\nx=1", "projects.m.auth"),
        ("1 = 2", "1"),
    ],
)
def test_a_tree_of_any_shape_is_refused_not_crashed_on(tmp_path: Path, text: str, place: str) -> None:
    assert place in faults(tmp_path, text)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"a =\nb = 1\n", "not valid TOML: .*line 1"),
        (b"[a]\n[a]\n", "not valid TOML"),
        (b"a = \xff", "byte 4 is not UTF-8"),
        (b"a = " + b"9" * 5000, "not valid TOML|no such key"),
        (b"a = " + b"[" * 5000 + b"]" * 5000, "not valid TOML|no such key"),
    ],
)
def test_what_is_no_toml_is_refused(tmp_path: Path, raw: bytes, says: str) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(raw)
    with pytest.raises(ConfigFault, match=says):
        load(path)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xef\xbb\xbf" + RIGHT.encode())
    assert list(load(path).projects) == ["main"]


def test_a_missing_file_is_told_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="wrapd config init"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigFault, match=r"cannot read the config .*: Is a directory; choose another"):
        load(tmp_path)


def test_a_file_without_end_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="larger than 1048576 bytes"):
        load(Path("/dev/zero"))


def test_a_file_that_may_not_be_read_says_who_must_read_it(tmp_path: Path) -> None:
    (tmp_path / "c.toml").touch(0o000)
    user = os.geteuid()
    if user == 0:  # root reads everything
        os.seteuid(65534)
    try:
        with pytest.raises(ConfigFault, match="make it readable for this user"):
            load(tmp_path / "c.toml")
    finally:
        os.seteuid(user)


def test_where_the_config_is_sought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate("a.toml", {"WRAPD_CONFIG": "b.toml"}) == Path("a.toml")
    assert locate(None, {"WRAPD_CONFIG": "b.toml"}) == Path("b.toml")
    assert locate("", {"WRAPD_CONFIG": "b.toml"}) == Path(), "an empty --config is a fault, not another file"
    (tmp_path / HERE).write_text("")
    assert locate(None, {}) == HERE
    (tmp_path / HERE).unlink()
    assert locate(None, {}) == (SYSTEM if SYSTEM.exists() else HERE)


def test_defaults_are_those_that_are_documented(tmp_path: Path) -> None:
    config = read(tmp_path, RIGHT)
    assert config.database.url == f"sqlite:///{tmp_path}/wrapd.db"
    assert config.database.path == tmp_path / "wrapd.db"
    assert config.database.auto_migrate
    rails = config.polling.rails
    assert (rails.min_interval, rails.max_interval, rails.blocked_interval) == (1, 60, 600)
    assert (config.polling.not_found_grace, config.polling.give_up_after) == (600, 14 * 86400)
    polling = config.polling
    assert (polling.price, polling.strategy, polling.feed, polling.batch) == (1, "learned", "auto", "auto")
    assert config.project("main").discovery is None
    assert (config.web.enabled, config.web.listen) == (True, ("127.0.0.1", 8787))
    assert (config.log.level, config.log.format) == ("info", "text")
    assert (config.notify.send_timeout, config.notify.give_up_after) == (20, 7 * 86400)
    project = config.project("main")
    assert (project.rate, project.max_in_flight) == (10, 16)
    assert project.base_url == "https://metastudio.cn-north-4.myhuaweicloud.com"
    assert project.iam_url == "https://iam.cn-north-4.myhuaweicloud.com"
    assert project.auth.method == "aksk"
    assert config.channel("editors").timezone == "UTC"
    assert config.source == tmp_path / "wrapd.toml"


@pytest.mark.parametrize(
    ("section", "rate"),
    [
        ('region = "cn-north-4"', 10),
        ('region = "cn-east-3"', 5),
        ('region = "ap-southeast-3"', 5),
        ('endpoint = "https://h.example"', 5),
        ('region = "cn-north-4"\nrequests_per_second = 7', 7),
        ('region = "cn-north-4"\nrequests_per_second = 0.5', 0.5),
    ],
)
def test_the_rate_is_half_the_documented_limit_unless_given(tmp_path: Path, section: str, rate: float) -> None:
    assert read(tmp_path, f"[projects.m]\n{section}\n").project("m").rate == rate


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('min_interval = "100ms"', (0.1, 60, 600)),
        ('max_interval = "500ms"', (0.5, 0.5, 600)),
        ('min_interval = "2m"', (120, 120, 600)),
        ('min_interval = "1h"', (3600, 3600, 3600)),
        ('blocked_interval = "300ms"', (0.3, 60, 0.3)),
        ('max_interval = "30m"', (1, 1800, 600)),
    ],
)
def test_a_default_gives_way_to_a_given_interval(
    tmp_path: Path, given: str, expected: tuple[float, float, float]
) -> None:
    rails = read(tmp_path, f"[polling]\n{given}\n").polling.rails
    assert (rails.min_interval, rails.max_interval, rails.blocked_interval) == expected


@pytest.mark.parametrize("value", ["99ms", "0s", "3651d"])
def test_an_interval_out_of_bounds_is_refused(tmp_path: Path, value: str) -> None:
    assert "polling.min_interval" in faults(tmp_path, f'[polling]\nmin_interval = "{value}"\n')


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "true", '"5"', "1001"])
def test_a_rate_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    text = f'[projects.m]\nregion = "cn-north-4"\nrequests_per_second = {value}\n'
    assert "projects.m.requests_per_second" in faults(tmp_path, text)


def test_names_that_are_not_there_are_told_the_nearest(tmp_path: Path) -> None:
    config = read(tmp_path, RIGHT)
    with pytest.raises(UnknownName, match="did you mean 'main'"):
        config.project("mian")
    with pytest.raises(UnknownName, match="did you mean 'editors'"):
        config.channel("editor")


def test_a_config_cannot_be_changed(tmp_path: Path) -> None:
    config = read(tmp_path, RIGHT)
    with pytest.raises(AttributeError, match="frozen"):
        config.polling.min_interval = 3  # type: ignore[misc]


def test_discovery_is_on_where_its_section_stands(tmp_path: Path) -> None:
    discovery = read(tmp_path, RIGHT + "[projects.main.discovery]\n").project("main").discovery
    assert discovery is not None
    assert (discovery.enabled, discovery.interval, discovery.since) == (True, 60, 86400)
    assert discovery.kinds == ("avatar", "photo")
    assert discovery.states == ("WAITING", "PROCESSING", "BLOCK")
    assert (discovery.name, discovery.tags, discovery.batch) == (None, (), None)


def test_more_tags_than_a_job_takes_are_refused(tmp_path: Path) -> None:
    tags = ", ".join(f'"t{number}"' for number in range(21))
    found = faults(tmp_path, RIGHT + f"[projects.main.discovery]\ntags = [{tags}]\n")
    assert "at most 20 entries" in found["projects.main.discovery.tags"]


def test_the_kinds_that_can_be_discovered_are_those_that_the_list_holds() -> None:
    from daemon.config import values
    from daemon.metastudio.kinds import KINDS

    assert tuple(name for name, kind in KINDS.items() if kind.listed) == values.LISTED_KINDS
    assert tuple(name for name, kind in KINDS.items() if not kind.listed) == values.UNLISTED_KINDS
