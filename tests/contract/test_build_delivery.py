"""From a config's delivery sections to the daemon's plan: channels, links, the web, callbacks, retention."""

import socket
from pathlib import Path

import pytest

from daemon.build import build_spec, callback_settings, check_config, web_settings
from daemon.config import ConfigFaults, load
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.errors import ConfigFault, UnknownName
from daemon.logs import MASKS
from daemon.notify.message import Language
from daemon.notify.outbox import ChannelPlan
from daemon.web import CallbackAuth, callback_url

KEY = "a-callback-key-of-tests"
TOKEN = "a-bearer-token-of-tests"
ENVIRON = {"KEY": KEY, "TOKEN": TOKEN}

BASE = """
[projects.main]
endpoint = "https://127.0.0.1:1"
project_id = "p1"
auth = { method = "token", token = "a-token-of-tests" }
"""
CALLBACK = '[projects.main.callback]\nkey = { env = "KEY" }\n'
CHANNEL = '[channels.editors]\nurl = "json://127.0.0.1:1"\n'
WEB = '[web]\ntoken = { env = "TOKEN" }\npublic_url = "https://wrapd.example.com/"\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "wrapd.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_the_plan_of_a_bare_config(tmp_path: Path) -> None:
    plan = build_spec(load(written(tmp_path, BASE + CHANNEL)), {})
    assert plan.web is not None
    assert (plan.web.host, plan.web.port, plan.web.token, plan.web.public_url) == ("127.0.0.1", 8787, None, None)
    assert plan.web.callbacks == {}
    assert (plan.link_reminder, plan.keep, plan.notify.link_margin) == (0, 365 * 86400, 3600)
    channel = plan.channels[ChannelName("editors")]
    assert (channel.plan, channel.language, channel.templates) == (ChannelPlan(), Language.ENGLISH, None)
    assert channel.digest_above == 0


def test_the_plan_of_a_full_config(tmp_path: Path) -> None:
    (tmp_path / "s.j2").write_text("{{ name }}")
    text = (
        BASE
        + CALLBACK
        + 'auth = "none"\ntrack_unknown = true\n'
        + CHANNEL
        + 'language = "zh"\nmax_per_minute = 30\ndigest_above = 9\ndigest_window = "20s"\nfallback = "ops"\n'
        + 'fallback_after = "5m"\ntemplates = { succeeded = "s.j2" }\n'
        + CHANNEL.replace("editors", "ops")
        + WEB
        + 'listen = "0.0.0.0:0"\n'
        + '[notify]\nlink_margin = "2h"\nlink_reminder = "4h"\nlink_life = "7d"\n'
        + '[retention]\nkeep = "0s"\n'
    )
    plan = build_spec(load(written(tmp_path, text)), ENVIRON)
    assert plan.web is not None
    assert (plan.web.host, plan.web.token) == ("0.0.0.0", TOKEN)
    assert (plan.web.public_url, plan.web.link_life) == ("https://wrapd.example.com", 7 * 86400)
    callback = plan.web.callbacks[ProjectName("main")]
    assert (callback.auth, callback.key, callback.track_unknown) == (CallbackAuth.NONE, KEY, True)
    assert (plan.link_reminder, plan.keep, plan.notify.link_margin) == (4 * 3600, 0, 7200)
    channel = plan.channels[ChannelName("editors")]
    assert channel.plan == ChannelPlan(
        max_per_minute=30, digest_above=9, digest_window=20, fallback=ChannelName("ops"), fallback_after=300
    )
    assert channel.language is Language.CHINESE
    assert channel.templates is not None
    assert channel.templates.path("succeeded") == tmp_path / "s.j2"


def test_without_the_web_nothing_of_it_is_read(tmp_path: Path) -> None:
    text = BASE + CHANNEL + '[web]\nenabled = false\ntoken = { env = "NOT_SET" }\n'
    assert build_spec(load(written(tmp_path, text)), {}).web is None


def test_the_address_for_callbacks(tmp_path: Path) -> None:
    config = load(written(tmp_path, BASE + CALLBACK + 'auth = "none"\n' + WEB))
    url, settings = callback_settings(config, "main", ENVIRON)
    assert url == "https://wrapd.example.com"
    address = callback_url(url, ProjectName("main"), settings)
    assert KEY not in address
    secret = address.rpartition("/")[2]
    assert MASKS.apply(f"POST /callbacks/main/{secret}") == "POST /callbacks/main/***"
    with pytest.raises(UnknownName):
        callback_settings(config, "mian", ENVIRON)
    with pytest.raises(ConfigFault, match=r"projects\.main\.callback: there is no such section; add it"):
        callback_settings(load(written(tmp_path, BASE + WEB)), "main", ENVIRON)


def test_secrets_of_the_web_are_masked(tmp_path: Path) -> None:
    web_settings(load(written(tmp_path, BASE + CALLBACK + WEB)), ENVIRON)
    assert MASKS.apply(f"{KEY} {TOKEN}") == "*** ***"


PING = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"
HEARTBEAT = '[heartbeat]\nurl = { env = "PING" }\n'


def test_the_heartbeats_address_is_masked_in_every_part(tmp_path: Path) -> None:
    url = f"https://checks.example.com/ping/{PING}"
    path = written(tmp_path, BASE + CHANNEL + HEARTBEAT)
    plan = build_spec(load(path), {"PING": url})
    assert plan.heartbeat is not None
    assert (plan.heartbeat.url, plan.heartbeat.interval) == (url, 60)
    assert PING not in repr(plan)
    assert PING not in MASKS.apply(f"GET /ping/{PING}/fail; {url}; id={PING}")


@pytest.mark.parametrize(
    "url", ["hc-ping.com/x", "ftp://hc-ping.com/x", "https://u:p@h.example/x", "https://h/#x"]
)
@pytest.mark.parametrize("other", ["", "[polling]\nx = 1\n"])
def test_an_address_that_cannot_be_pinged_is_a_fault(tmp_path: Path, url: str, other: str) -> None:
    faults = told(tmp_path, BASE + CHANNEL + HEARTBEAT + other, {"PING": url})
    assert [fault for fault in faults if fault.startswith("heartbeat.url: not a web address")]
    assert url not in str(faults)


def told(tmp_path: Path, text: str, environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigFault) as caught:
        check_config(written(tmp_path, text), environ)
    assert KEY not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert isinstance(caught.value, ConfigFaults)
    return [str(fault) for fault in caught.value.faults]


def test_faults_of_the_webs_secrets_are_told_together_with_all_others(tmp_path: Path) -> None:
    text = BASE + CALLBACK + CHANNEL.replace("json://127.0.0.1:1", "x") + WEB
    faults = told(tmp_path, text, {})
    assert [fault.split(": ")[0] for fault in faults] == [
        "channels.editors.url",
        "web.token",
        "projects.main.callback.key",
    ]
    wrong = text.replace("[projects.main]", "[projects.main]\nx = 1").replace("[web]", "[web]\ny = 1")
    assert sorted(fault.split(": ")[0] for fault in told(tmp_path, wrong, {})) == [
        "channels.editors.url",
        "projects.main.callback.key",
        "projects.main.x",
        "web.token",
        "web.y",
    ]
    assert sorted(
        fault.split(": ")[0] for fault in told(tmp_path, text.replace("[web]", "[web]\nenabled = 3"), {})
    ) == ["channels.editors.url", "projects.main.callback.key", "web.enabled", "web.token"]


def test_a_token_or_key_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    text = BASE + CALLBACK + CHANNEL + WEB
    (fault,) = told(tmp_path, text, {**ENVIRON, "TOKEN": "short"})
    assert fault.startswith("web.token: ")
    assert "16" in fault
    (fault,) = told(tmp_path, text, {**ENVIRON, "KEY": "fifteen-letters"})
    assert fault == ("projects.main.callback.key: shorter than 16 characters; `openssl rand -hex 24` makes one")


def test_a_wrong_template_is_a_fault_of_the_config(tmp_path: Path) -> None:
    (tmp_path / "s.j2").write_text("fine\n{{ nmae }}")
    text = BASE + CHANNEL + 'templates = { succeeded = "s.j2", failed = "none.j2" }\n[log]\nlevel = "inf"\n'
    faults = told(tmp_path, text, {})
    assert [fault.partition(": ")[0] for fault in faults] == [
        "log.level",
        "channels.editors.templates.succeeded",
        "channels.editors.templates.failed",
    ]
    assert f"{tmp_path}/s.j2:2: " in faults[1]
    assert f"{tmp_path}/none.j2: the template cannot be read" in faults[2]


def test_a_wrong_template_is_told_beside_another_fault_of_its_channel(tmp_path: Path) -> None:
    (tmp_path / "s.j2").write_text("fine\n{{ nmae }}")
    templates = '{ succeeded = "s.j2", failed = "none.j2", sucseeded = "s.j2", lost = "", stuck = 4 }'
    faults = told(tmp_path, BASE + CHANNEL + f'timezone = "Asia/Shanghia"\ntemplates = {templates}\n', {})
    assert [fault.partition(": ")[0] for fault in faults] == [
        "channels.editors.timezone",
        "channels.editors.templates.sucseeded",
        "channels.editors.templates.lost",
        "channels.editors.templates.stuck",
        "channels.editors.templates.succeeded",
        "channels.editors.templates.failed",
    ]


@pytest.mark.parametrize(
    ("more", "warns"),
    [
        ('[notify]\nlink_reminder = "4h"\n', ["notify.link_reminder: no route names link_expiring"]),
        (
            '[[routes]]\nchannels = ["editors"]\nevents = ["link_expiring"]\n',
            ["routes: link_expiring is named but never occurs"],
        ),
        (
            '[notify]\nlink_reminder = "4h"\n[[routes]]\nchannels = ["editors"]\nevents = ["link_expiring"]\n',
            ["notify.link_reminder: without web.public_url clicks are not seen"],
        ),
        ('[web]\npublic_url = "http://wrapd.example.com"\n', ["web.public_url: http:// sends links"]),
        ('[web]\npublic_url = "http://127.0.0.1:8787"\n', []),
        ('[web]\npublic_url = "http://[::1]:8787/x"\n', []),
        ('[web]\npublic_url = "http://localhost"\n', []),
        ('[web]\npublic_url = "https://wrapd.example.com"\n', []),
        ('[channels.spare]\nurl = "json://127.0.0.1"\n', []),
    ],
)
def test_what_is_allowed_but_unwise_is_said(tmp_path: Path, more: str, warns: list[str]) -> None:
    _, warnings = check_config(written(tmp_path, BASE + CHANNEL + more), {})
    assert len(warnings) == len(warns)
    assert all(warning.startswith(start) for warning, start in zip(warnings, warns, strict=True))


def test_a_channel_that_nothing_goes_to_is_said_unless_another_falls_back_on_it(tmp_path: Path) -> None:
    lone = 'operators = ["editors"]\n' + BASE + CHANNEL
    routes = (
        '[channels.spare]\nurl = "json://127.0.0.1"\n[[routes]]\nchannels = ["editors"]\nevents = ["failed"]\n'
    )
    _, warnings = check_config(written(tmp_path, lone + routes), {})
    assert warnings == ["channels.spare: no route and no operator setting names it, so nothing is sent to it"]
    _, warnings = check_config(written(tmp_path, lone + 'fallback = "spare"\n' + routes), {})
    assert warnings == []
    (tmp_path / "s.j2").write_text("{{ name }}")
    _, warnings = check_config(
        written(
            tmp_path, lone + 'fallback = "spare"\ntemplates = { started = "s.j2", failed = "s.j2" }\n' + routes
        ),
        {},
    )
    assert warnings == ["channels.editors.templates.started: no route sends that event there"]


def test_a_secret_of_the_web_in_a_file_that_all_can_read_is_said(tmp_path: Path) -> None:
    text = BASE.replace('token = "a-token-of-tests"', 'token = { env = "TOKEN" }') + CHANNEL.replace(
        '"json://127.0.0.1:1"', '{ env = "URL" }'
    )
    path = written(tmp_path, text + f'[web]\ntoken = "{TOKEN}"\n')
    path.chmod(0o644)
    environ = {**ENVIRON, "URL": "json://127.0.0.1:1"}
    _, warnings = check_config(path, environ)
    assert [warning for warning in warnings if "every user of this machine can read it" in warning]


def test_what_a_channels_url_and_the_environment_say_unwisely_is_warned_of(tmp_path: Path) -> None:
    text = BASE + '[channels.far]\nurl = "jsons://example.com/x?verify=no"\n'
    _, doubts = check_config(written(tmp_path, text), {"HTTPS_PROXY": "ftp://me:pr0xy-passw0rd@p"})
    assert any(doubt.startswith("channels.far.url: jsons:// with verify=no") for doubt in doubts)
    words = "the proxy variable does not hold an address"
    assert f"HTTPS_PROXY (environment): {words}; messages over it wait" in doubts
    assert MASKS.apply("pr0xy-passw0rd") == "***"
    (fault,) = told(tmp_path, text.replace("verify=no", "verifi=no"), {})
    assert (
        "channels.far.url: jsons:// with verifi=, which this service does not know; did you mean verify=?" in fault
    )


def test_an_address_of_another_machine_is_a_warning(tmp_path: Path) -> None:
    """The config may be checked on another machine than it is used on; a port in use is a certain fault."""
    token = 'token = "long-enough-for-a-token"\n'
    _, warnings = check_config(
        written(tmp_path, f'[web]\nlisten = "203.0.113.9:8787"\n{token}' + BASE + CHANNEL), {}
    )
    assert [warning.partition(":")[0] for warning in warnings if warning.startswith("web.listen")] == [
        "web.listen"
    ]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f'[web]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n'
        _, warnings = check_config(written(tmp_path, listen + BASE + CHANNEL), {})
    assert not [warning for warning in warnings if warning.startswith("web.listen")]
