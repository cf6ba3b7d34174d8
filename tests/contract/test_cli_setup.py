"""config, channels, doctor: the commands for setting up wrapd, against real services on loopback."""

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from daemon.build import build_spec, check_config
from daemon.clock import SystemClock
from daemon.config import ConfigFaults, load
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.domain.planning import Rails, Strategy
from daemon.errors import ConfigFault, Exit
from daemon.metastudio.settings import AkSk, GivenToken, Password
from daemon.sim import SimSettings, Simulator
from daemon.store import AttemptOutcome, Outcome, Store, Transaction
from daemon.watch.settings import PollingPlan
from daemon.watch.wishes import DiscoverySettings, Filters
from tests.support.cli_runner import Runner
from tests.support.webhook import Answer, Webhook


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(tmp_path, capsys)


def text(url: str, auth: str = "", more: str = "") -> str:
    return f"""
    [projects.main]
    endpoint = "https://127.0.0.1:1"
    project_id = "p1"
    {auth or 'auth = { method = "token", token = "a-token-of-tests" }'}
    [channels.editors]
    url = "{url}"
    {more}
    """


# ------------------------------------------------------------------------------------------------ config


def test_the_daemons_plan_is_what_the_config_says(tmp_path: Path) -> None:
    path = tmp_path / "wrapd.toml"
    path.write_text(
        text(
            "console://",
            more="""
    [polling]
    price = "500ms"
    strategy = "fixed"
    feed = "off"
    batch = "off"
    max_interval = "30s"
    [projects.main.discovery]
    interval = "2m"
    kinds = ["photo"]
    states = ["WAITING"]
    since = "1h"
    name = "promo *"
    tags = ["found"]
    batch = "nightly"
    [projects.off]
    endpoint = "https://127.0.0.1:1"
    project_id = "p2"
    auth = { method = "token", token = "a-token-of-tests" }
    discovery = { enabled = false }
    """,
        )
    )
    plan = build_spec(load(path), {})
    polling = PollingPlan(
        rails=Rails(max_interval=30), price=0.5, strategy=Strategy.FIXED, feed=False, batch=False
    )
    assert plan.polling == polling
    filters = Filters(kinds=("photo",), states=("WAITING",), since=3600, name="promo *")
    settings = DiscoverySettings(filters=filters, interval=120, tags=("found",), batch="nightly")
    assert plan.discovery == {"main": settings}
    path.write_text(text("console://"))
    assert build_spec(load(path), {}).polling == PollingPlan()
    assert build_spec(load(path), {}).discovery == {}
    path.write_text(text("console://", more="[projects.main.discovery]"))
    assert build_spec(load(path), {}).discovery == {"main": DiscoverySettings()}


def test_init_writes_a_config_that_loads_and_overwrites_none(
    wrapd: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapd.config.unlink()
    result = wrapd("config", "init")
    assert (result.status, "wrapd.toml: written" in result.out) == (0, True)
    assert stat.S_IMODE(wrapd.config.stat().st_mode) == 0o600
    config = load(wrapd.config)
    assert list(config.projects) == ["main"]
    before = wrapd.config.read_bytes()
    result = wrapd("config", "init")
    assert (result.status, result.out) == (Exit.CONFIG, "")
    assert "exists, nothing was written" in result.err
    assert wrapd.config.read_bytes() == before
    assert wrapd("config", "init", "--stdout").out.encode() == before
    monkeypatch.chdir(wrapd.folder)
    monkeypatch.setenv("WRAPD_CONFIG", "other.toml")
    assert wrapd("config", "init", config=False).status == 0
    assert (wrapd.folder / "other.toml").read_bytes() == before


def test_init_where_nothing_can_be_written_is_one_message(wrapd: Runner) -> None:
    result = wrapd("--config", str(wrapd.folder / "none" / "x.toml"), "config", "init", config=False)
    assert (result.status, result.err.count("\n")) == (Exit.CONFIG, 1)
    assert "No such file or directory" in result.err


def test_check_of_a_good_config(wrapd: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapd.config.write_text(text("json://127.0.0.1:1"))
    wrapd.config.chmod(0o600)
    result = wrapd("config", "check")
    assert (result.status, result.err) == (0, "")
    assert result.out == f"{wrapd.config}: ok: 1 project, 1 channel, 0 routes\n"
    wrapd.config.chmod(0o644)
    assert "every user of this machine can read it" in wrapd("config", "check").out


# For an unknown service Apprise loads all its plugins, one of which uses a deprecated module.
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_every_sort_of_fault_is_reported_in_one_run(wrapd: Runner) -> None:
    wrapd.config.write_text(
        """
        [polling]
        max_intervall = "1s"
        [projects.main]
        region = "cn-north-4"
        ca_file = "none.pem"
        auth = { method = "aksk", access_key = { env = "NO_AK" }, secret_key = { file = "no-sk" } }
        [channels.missing]
        url = { env = "NO_URL" }
        [channels.wrong]
        url = "slack://hunter2hunter2"
        [channels.unknown]
        url = "nosuchservice://hunter2hunter2"
        [[routes]]
        events = ["succeeded"]
        channels = ["wrongg"]
        """
    )
    result = wrapd("config", "check")
    assert (result.status, result.out) == (Exit.CONFIG, "")
    places = [line.split(":")[0].strip() for line in result.err.splitlines()[1:]]
    assert places == [
        "polling.max_intervall",
        "routes[0].channels[0]",
        "channels.missing.url",
        "channels.wrong.url",
        "channels.unknown.url",
        "projects.main.auth.access_key",
        "projects.main.auth.secret_key",
        "projects.main.ca_file",
    ]
    assert "hunter2" not in result.err
    # Once the file is fixed, the daemon's own start reports the remaining faults too, again in one run.
    wrapd.config.write_text(
        wrapd.config.read_text().replace("max_intervall", "max_interval").replace("wrongg", "wrong")
    )
    with pytest.raises(ConfigFaults) as caught:
        build_spec(load(wrapd.config), {})
    assert len(caught.value.faults) == 6


def test_a_section_that_is_wrong_elsewhere_tells_its_secrets_too(wrapd: Runner) -> None:
    wrapd.config.write_text(
        """
        [projects.main]
        endpoint = "https://metastudio.example.com"
        ca_file = "none.pem"
        retries = 3
        proxy = { env = "NO_PROXY_URL" }
        auth = { method = "aksk", access_key = { env = "NO_AK" }, secret_key = { file = "no-sk" }, user = "u" }
        [projects.two]
        region = "cn-nort-4"
        [channels.editors]
        timezone = "Nowhere"
        url = { env = "NO_URL" }
        [channels.unknown]
        colour = "red"
        url = "nosuchservice://hunter2hunter2"
        """
    )
    result = wrapd("run")
    assert (result.status, result.out) == (Exit.CONFIG, "")
    assert sorted(line.split(": ")[0].strip() for line in result.err.splitlines()[1:]) == [
        "channels.editors.timezone",
        "channels.editors.url",
        "channels.unknown.colour",
        "channels.unknown.url",
        "projects.main",  # its id
        "projects.main.auth.access_key",
        "projects.main.auth.secret_key",
        "projects.main.auth.user",
        "projects.main.ca_file",
        "projects.main.proxy",
        "projects.main.retries",
        "projects.two.auth",  # no keys in the environment
        "projects.two.region",
    ]
    assert "hunter2" not in result.err
    wrapd.config.write_text("[web]\nlisten = 1")
    assert "  projects: there are none to watch" in wrapd("config", "check").err


def test_a_rate_over_the_documented_limit_and_a_config_that_tells_nobody_are_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        '[projects.m]\nregion = "cn-east-3"\nrequests_per_second = 11\n'
        'auth = { method = "token", token = { env = "T" } }'
    )
    _, warnings = check_config(path, {"T": "a-token-of-tests"})
    assert [each.split(":")[0] for each in warnings] == ["projects.m.requests_per_second", "channels"]
    assert "limit of cn-east-3, 10" in warnings[0]


def test_a_config_without_a_project_cannot_run(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("")
    with pytest.raises(ConfigFault, match=r"projects: there are none to watch; add a section \[projects.NAME\]"):
        check_config(path, {})


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (
            """auth = { method = "aksk", access_key = { env = "A" }, secret_key = { env = "S" },
            security_token = "st1234" }""".replace("\n", ""),
            AkSk(access_key="AK-of-tests", secret_key="SK-of-tests", security_token="st1234"),
        ),
        ('auth = { method = "token", token = { env = "S" } }', GivenToken(token="SK-of-tests")),
        (
            """auth = { method = "password", iam_endpoint = "http://127.0.0.1:5", domain = "d",
            user = "u", password = { env = "S" } }""".replace("\n", ""),
            Password(domain="d", user="u", password="SK-of-tests"),
        ),
        ('auth = { method = "aksk" }', AkSk(access_key="AK-sdk", secret_key="SK-sdk-12345")),
        ("max_in_flight = 3", AkSk(access_key="AK-sdk", secret_key="SK-sdk-12345")),
    ],
)
def test_each_way_to_authenticate_becomes_settings(tmp_path: Path, auth: str, expected: object) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text("json://127.0.0.1:1", auth))
    environ = {
        "A": "AK-of-tests",
        "S": "SK-of-tests",
        "HUAWEICLOUD_SDK_AK": "AK-sdk",
        "HUAWEICLOUD_SDK_SK": "SK-sdk-12345",
    }
    (settings,) = build_spec(load(path), environ).projects
    assert settings.auth == expected
    assert (settings.name, settings.endpoint, settings.project_id) == ("main", "https://127.0.0.1:1", "p1")
    assert settings.requests_per_second == 5


def test_the_sdks_project_id_counts_for_an_only_project(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    environ = {
        "HUAWEICLOUD_SDK_AK": "AK-sdk",
        "HUAWEICLOUD_SDK_SK": "SK-sdk-12345",
        "HUAWEICLOUD_SDK_PROJECT_ID": "p9",
    }
    one = '[projects.a]\nregion = "cn-north-4"\n'
    path.write_text(one)
    assert [each.project_id for each in build_spec(load(path), environ).projects] == ["p9"]
    path.write_text(one + '[projects.b]\nregion = "cn-east-3"\n')
    assert [each.project_id for each in build_spec(load(path), environ).projects] == [None, None]
    path.write_text('[projects.a]\nendpoint = "https://h.example"\n')
    assert build_spec(load(path), environ).projects[0].project_id == "p9"
    with pytest.raises(ConfigFault, match=r"projects\.a: project_id is missing"):
        build_spec(load(path), {k: v for k, v in environ.items() if "PROJECT" not in k})
    with pytest.raises(ConfigFault, match=r"projects\.a\.auth: .*HUAWEICLOUD_SDK_AK"):
        build_spec(load(path), {"HOME": str(tmp_path)})


# ------------------------------------------------------------------------------------------------ channels


def held_alert(runner: Runner) -> None:
    def work(transaction: Transaction) -> None:
        now = SystemClock().now()
        alert = OperatorAlert(event=Event.PROJECT_DOWN, key="k")
        assert transaction.outbox.add_operator(alert, channels=[ChannelName("editors")], at=now)
        claimed = transaction.outbox.claim(ChannelName("editors"), now=now)
        assert claimed is not None
        outcome = Outcome(kind=AttemptOutcome.HELD, reason="refused", due_at=now.replace(year=now.year + 1))
        transaction.outbox.finish(claimed, outcome, at=now)

    store = Store.open(f"sqlite:///{runner.database}", clock=SystemClock())
    try:
        store.write_now(work)
    finally:
        store.close()


def test_a_test_message_is_really_sent_and_frees_what_was_held(wrapd: Runner) -> None:
    with Webhook() as hook:
        wrapd.config.write_text(text(hook.url()))
        held_alert(wrapd)
        listed = json.loads(wrapd("channels", "--json").out)
        assert [(each["channel"], each["held"], each["waiting"]) for each in listed] == [("editors", 1, 0)]
        assert listed[0]["events"][-1] == "operators"
        result = wrapd("channels", "test", "editors")
        assert (result.status, result.err) == (0, "")
        assert "editors: ok: sent in" in result.out
        assert "editors: 1 held alert will be sent now" in result.out
        (request,) = hook.requests
        assert request.json["event"] == "test"
        assert [each["status"] for each in json.loads(wrapd("deliveries", "--json").out)] == ["pending"]


def test_a_refused_test_says_why_and_frees_nothing(wrapd: Runner) -> None:
    with Webhook() as hook:
        hook.program(Answer(status=404))
        hook.program(Answer(status=404))
        wrapd.config.write_text(text(hook.url(), more=f'[channels.good]\nurl = "{hook.url()}"'))
        held_alert(wrapd)
        hook.default = Answer(status=404)
        result = wrapd("channels", "test", "editors")
        assert result.status == Exit.FAILED
        assert "editors: fail: " in result.out
        assert "404" in result.out
        hook.default = Answer(status=200)
        assert [each["status"] for each in json.loads(wrapd("deliveries", "--json").out)] == ["held"]


def test_all_channels_are_tested_though_one_has_no_secret(wrapd: Runner) -> None:
    with Webhook() as hook:
        wrapd.config.write_text(
            text(hook.url(), more='[channels.bare]\nurl = { env = "NO_SUCH_URL" }\n[channels.bad]\nurl = "x"')
        )
        result = wrapd("channels", "test", "--all")
        assert result.status == Exit.CONFIG
        assert "editors: ok" in result.out
        assert "bare: fail: channels.bare.url: the environment variable NO_SUCH_URL is not set" in result.out
        assert "bad: fail: channels.bad.url: is not an Apprise URL" in result.out
        assert len(hook.requests) == 1
        hook.default = Answer(status=404)
        assert wrapd("channels", "test", "--all").status == Exit.FAILED, "what was tried and failed counts most"


def test_which_channels_to_test_must_be_said(wrapd: Runner) -> None:
    assert wrapd("channels", "test").status == Exit.USAGE
    assert wrapd("channels", "test", "editors", "--all").status == Exit.USAGE
    assert wrapd("channels", "test", "editrs").status == Exit.UNKNOWN
    wrapd.config.write_text("")
    assert wrapd("channels", "test", "--all").status == Exit.USAGE
    wrapd("db", "upgrade")
    assert json.loads(wrapd("channels", "--json").out) == []


# ------------------------------------------------------------------------------------------------ doctor


def findings(runner: Runner, *args: str) -> dict[str, tuple[str, str]]:
    result = runner("doctor", "--json", *args)
    listed = json.loads(result.out)
    failed = any(each["verdict"] == "fail" for each in listed)
    assert result.status == (Exit.FAILED if failed else 0)
    return {each["what"]: (each["verdict"], each["text"]) for each in listed}


@contextmanager
def pages(status: int, body: bytes) -> Iterator[int]:
    """A stand-in for the daemon's web pages."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            del args

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_doctor_of_a_sound_installation_finds_no_fault(wrapd: Runner) -> None:
    wrapd.config.write_text(text("json://127.0.0.1:1"))
    wrapd.config.chmod(0o600)
    found = findings(wrapd)
    assert {what: verdict for what, (verdict, _) in found.items()} == {
        "version": "ok",
        "libraries": "ok",
        "package": "ok",
        "config": "ok",
        "clock": "ok",
        "database": "ok",
        "daemon": "warn",
    }
    assert not wrapd.database.exists()
    assert "a-token-of-tests" not in str(found)


def test_doctor_tells_every_fault_and_goes_on(wrapd: Runner) -> None:
    wrapd.database.write_bytes(b"other" * 100)
    result = wrapd("doctor")
    assert result.status == Exit.FAILED
    for part in (
        "config: fail: projects.main.auth.access_key: the environment variable NOT_SET_AK is not set",
        "config: fail: channels.editors.url: the environment variable NOT_SET_URL is not set",
        "database: fail: ",
        "daemon: warn: none uses this database",
    ):
        assert part in result.out
    wrapd.config.write_text("[polling]\nx = 1")
    assert "config: fail: polling.x: there is no such key" in wrapd("doctor").out
    wrapd.config.unlink()
    assert "wrapd config init" in wrapd("doctor").out


def test_doctor_sees_a_running_daemon_and_asks_it(wrapd: Runner) -> None:
    store = Store.open(f"sqlite:///{wrapd.database}", clock=SystemClock(), daemon=True)
    try:
        for status, body, verdict, says in (
            (200, b"{}", "ok", "answers 200"),
            (503, b'{"stalled": {"writer": 31.0}}', "fail", "no progress in writer"),
            (503, b"not json", "fail", "answers 503"),
            (503, b"[" * 100_000, "fail", "answers 503"),
        ):
            with pages(status, body) as port:
                wrapd.config.write_text(text("json://127.0.0.1:1", more=f'[web]\nlisten = "127.0.0.1:{port}"'))
                found = findings(wrapd)
            assert found["daemon"] == ("ok", f"running with pid {os.getpid()}")
            assert found["readyz"][0] == verdict
            assert says in found["readyz"][1]
    finally:
        store.close()
    assert findings(wrapd)["daemon"][0] == "warn"


def test_doctor_fails_where_no_daemon_runs_though_something_waits_for_one(wrapd: Runner) -> None:
    wrapd.config.write_text(text("json://127.0.0.1:1"))
    wrapd.config.chmod(0o600)
    wrapd("db", "upgrade")
    assert findings(wrapd)["daemon"][0] == "warn"
    wrapd("track", "a-job")
    assert findings(wrapd)["daemon"] == (
        "fail",
        (
            "none uses this database, although 1 job is tracked; "
            "start one with `wrapd run` or `systemctl start wrapd`"
        ),
    )
    wrapd("untrack", "a-job")
    assert findings(wrapd)["daemon"][0] == "warn"


def test_doctor_sees_that_the_file_is_gone_under_a_daemon(wrapd: Runner) -> None:
    wrapd.config.write_text(text("json://127.0.0.1:1", more="[web]\nenabled = false"))
    store = Store.open(f"sqlite:///{wrapd.database}", clock=SystemClock(), daemon=True)
    try:
        wrapd.database.unlink()
        verdict, says = findings(wrapd)["database"]
        assert (verdict, "the file is gone while a daemon uses it" in says) == ("fail", True)
    finally:
        store.part()
        store.close()


def test_live_is_the_health_check_of_a_container(wrapd: Runner) -> None:
    with pages(200, b"{}") as port:
        wrapd.config.write_text(f'[web]\nlisten = "127.0.0.1:{port}"')
        result = wrapd("doctor", "--live")
        assert (result.status, result.out) == (0, f"healthz: ok: 127.0.0.1:{port} answers 200\n")
    with pages(503, b'{"stalled": {"poll": null}}') as port:
        wrapd.config.write_text(f'[web]\nlisten = "127.0.0.1:{port}"')
        result = wrapd("doctor", "--live")
        assert (result.status, "no progress in poll" in result.out) == (1, True)
    wrapd.config.write_text(f'[web]\nlisten = "127.0.0.1:{free_port()}"')
    result = wrapd("doctor", "--live")
    assert (result.status, "no answer" in result.out) == (1, True)
    for section, says in (("enabled = false", "web.enabled is false"), ('listen = "127.0.0.1:0"', "port 0")):
        wrapd.config.write_text(f"[web]\n{section}")
        result = wrapd("doctor", "--live")
        assert (result.status, says in result.out) == (1, True)


async def test_doctor_asks_the_service_itself(wrapd: Runner) -> None:
    async with Simulator(SimSettings(seed=1)) as sim:

        def config(secret_key: str) -> None:
            settings = sim.settings
            wrapd.config.write_text(
                f"""
                [projects.main]
                endpoint = "{sim.url}"
                project_id = "{settings.project_id}"
                auth = {{ method = "aksk", access_key = "{settings.access_key}", secret_key = "{secret_key}" }}
                """
            )

        config(sim.settings.secret_key)
        found = await asyncio.to_thread(findings, wrapd, "--online")
        assert found["projects.main"] == ("ok", f"{sim.url} answers and accepts the credentials")
        config("wrong-secret-key-of-tests")
        verdict, says = (await asyncio.to_thread(findings, wrapd, "--online"))["projects.main"]
        assert verdict == "fail"
        assert "credentials" in says
        assert says.endswith("; check the key, that it belongs to this site, and the clock")
        assert "wrong-secret-key-of-tests" not in says
    config("wrong-secret-key-of-tests")
    verdict, says = (await asyncio.to_thread(findings, wrapd, "--online"))["projects.main"]
    assert verdict == "fail"
    assert "check region or endpoint, the network" in says


def test_a_package_of_the_same_name_is_reported(wrapd: Runner, tmp_path: Path) -> None:
    metadata = tmp_path / "site" / "python_daemon-3.1.2.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: python-daemon\nVersion: 3.1.2\n")
    ended = subprocess.run(
        [sys.executable, "-m", "daemon.cli", "--config", str(wrapd.config), "doctor"],
        env={**os.environ, "PYTHONPATH": str(metadata.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "package: fail: python-daemon 3.1.2 is installed alongside wrapd" in ended.stdout
