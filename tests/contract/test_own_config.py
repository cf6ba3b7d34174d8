"""The daemon answers commands that lack its secrets about its config file: its faults, and how it differs from the
running config. This changes nothing and alerts no one."""

import asyncio
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from daemon.app import control_client, reload
from daemon.app.control_address import identity
from daemon.cli import asked
from daemon.config import examine
from daemon.config.schema_keys import without_secrets
from daemon.errors import Exit
from tests.support.cli_runner import Result, Runner
from tests.support.reloading import BASE, Live, live
from tests.support.webhook import Webhook

SECRETS = {
    "AK": "canary-access-key",
    "SK": "canary-secret-key",
    "TOKEN": "canary-web-token-0123456789",
    "CALLBACK": "canary-callback-key-0123456789",
    "PROXY": "http://canary-user:canary-password@127.0.0.1:9",
}
PROJECT = """
[projects.main]
endpoint = "https://127.0.0.1:1"
project_id = "p1"
auth = { method = "aksk", access_key = { env = "AK" }, secret_key = { env = "SK" } }
proxy = { env = "PROXY" }
"""
CONFIG = 'operators = ["editors"]\n' + BASE + PROJECT
WEB = 'listen = "127.0.0.1:0"\npublic_url = "https://w.example.com"\ntoken = { env = "TOKEN" }\n'
CHANNEL = '[channels.editors]\nurl = { env = "URL" }\n'
ROUTE = '[[routes]]\nchannels = ["editors"]\nevents = ["failed"]\n'
FULL = CONFIG + CHANNEL + ROUTE
OPEN = FULL.replace("enabled = false\n", WEB).replace(
    "proxy =", 'callback = { key = { env = "CALLBACK" } }\nproxy ='
)


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(tmp_path, capsys)


@pytest.fixture
def hook():
    with Webhook() as hook:
        yield hook


def environ(hook: Webhook) -> Mapping[str, str]:
    return {**SECRETS, "URL": hook.url()}


async def said(wrapd: Runner, *arguments: str) -> Result:
    return await asyncio.to_thread(wrapd, *arguments)


async def test_a_command_without_the_secrets_is_told_that_all_is_well(
    tmp_path: Path, wrapd: Runner, hook: Webhook
) -> None:
    async with live(tmp_path, FULL, environ(hook)):
        result = await said(wrapd, "config", "check")
        assert (result.status, result.err) == (0, "")
        assert result.out.splitlines()[-2:] == [
            f"{wrapd.config}: ok: 1 project, 1 channel, 1 route",
            "the daemon runs with this config",
        ]
    result = await said(wrapd, "config", "check")
    assert result.status == Exit.CONFIG
    assert "projects.main.auth.access_key: the environment variable AK is not set" in result.err


async def test_what_differs_from_what_runs_is_said_and_changes_nothing(
    tmp_path: Path, wrapd: Runner, hook: Webhook
) -> None:
    async with live(tmp_path, FULL, environ(hook)) as it:
        before = it.service.spec, it.service.scope.watcher, it.lane("editors")
        wrapd.config.write_text(FULL.replace("100ms", "200ms") + '[log]\nformat = "json"\n')
        result = await said(wrapd, "config", "check")
        assert result.status == 0
        assert "the daemon runs with the config it read at" in result.out
        assert result.out.partition("; the file differs:\n")[2].splitlines() == [
            "  polling.min_interval: 0.2 s instead of 0.1 s",
            "  log.format: json instead of text",
            "`wrapd reload` applies it",
            "applied only after a restart: log.format",
        ]
        assert (it.service.spec, it.service.scope.watcher, it.lane("editors")) == before
        assert it.metric("wrapd_config_reloads_total", result="ok") in (None, 0)
        assert it.service.reloader is not None
        assert (await it.service.reloader.reload()).ok
        result = await said(wrapd, "config", "check")
        assert result.out.partition("; the file differs:\n")[2].splitlines() == [
            "  log.format: json instead of text",
            "applied only after a restart: log.format",
        ]


async def test_a_fault_of_the_file_is_found_and_nobody_else_is_told(
    tmp_path: Path, wrapd: Runner, hook: Webhook
) -> None:
    async with live(tmp_path, FULL, environ(hook)) as it:
        plan = it.service.spec
        for wrong, place in (
            (FULL.replace("min_interval", "min_intervall"), "polling.min_intervall"),
            (FULL.replace('"SK"', '"SK2"'), "projects.main.auth.secret_key: the environment variable SK2"),
        ):
            wrapd.config.write_text(wrong)
            result = await said(wrapd, "config", "check")
            assert result.status == Exit.CONFIG
            assert place in result.err
            assert "AK is not set" not in result.err
            assert "the daemon continues with the config it read at" in result.err
            doctor = await said(wrapd, "doctor")
            assert doctor.status == Exit.FAILED
            assert f"config: fail: {place}" in doctor.out
        assert it.service.spec is plan
        await it.service._runtime.operators.flush()
        assert it.metric("wrapd_config_last_reload_successful") == 1
        assert it.deliveries() == []


async def test_only_the_daemons_own_file_is_asked_about(tmp_path: Path, wrapd: Runner, hook: Webhook) -> None:
    async with live(tmp_path, FULL, environ(hook)):
        own, other = wrapd.config, tmp_path / "other.toml"
        other.write_text(FULL)
        wrapd.config = other
        result = await said(wrapd, "config", "check")
        assert result.status == Exit.CONFIG
        assert "AK is not set" in result.err
        assert "the daemon" not in result.err + result.out
        for path in (tmp_path / "link.toml", Path(os.path.relpath(own))):
            if not path.exists():
                path.symlink_to(own)
            wrapd.config = path
            assert "the daemon runs with this config" in (await said(wrapd, "config", "check")).out
        other.replace(own)  # as editors save
        wrapd.config = own
        assert "the daemon runs with this config" in (await said(wrapd, "config", "check")).out


async def test_no_answer_holds_a_secret(tmp_path: Path, hook: Webhook) -> None:
    async with live(tmp_path, OPEN, environ(hook)) as it:
        in_the_file = OPEN.replace('{ env = "SK" }', '"canary-in-the-file"')
        await it.reload(in_the_file)
        for config in (in_the_file, OPEN.replace('"AK"', '"NONE"'), OPEN.replace("editors", "desk")):
            it.path.write_text(config)
            for name, more in (("check", {}), ("preview", {"channel": "editors", "examples": ["succeeded"]})):
                try:
                    answer = await answered(it, name, **more)
                except control_client.Declined as error:
                    answer = {"declined": str(error)}
                assert "canary" not in json.dumps(answer)
                assert hook.url() not in json.dumps(answer)


async def answered(it: Live, name: str, **more: object) -> dict[str, Any]:
    request = {"request": name, "file": identity(it.path), **more}
    answer = await asyncio.to_thread(control_client.ask, it.path.with_name("wrapd.db"), request, patience=30)
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    "more", [{}, {"channel": "nobody"}, {"channel": ["editors"], "examples": 3}, {"channel": "editors"}]
)
async def test_a_wrong_request_for_a_preview_is_declined(
    tmp_path: Path, hook: Webhook, more: dict[str, object]
) -> None:
    async with live(tmp_path, FULL, environ(hook)) as it:
        with pytest.raises(control_client.Declined, match="name a channel") as declined:
            await answered(it, "preview", **more)
        assert declined.value.exit_status is Exit.UNKNOWN


async def test_a_file_named_in_no_way_is_not_the_daemons(tmp_path: Path, hook: Webhook) -> None:
    async with live(tmp_path, FULL, environ(hook)) as it:
        for named in (None, 7, [1], "wrapd.toml", {"a": 1}):
            assert await answered(it, "check", file=named) == {"own": False}
        there = identity(it.path)
        it.path.unlink()
        request = {"request": "check", "file": there}
        assert await asyncio.to_thread(control_client.ask, tmp_path / "wrapd.db", request, patience=30) == {
            "own": False
        }


async def test_where_the_daemon_cannot_answer_the_file_is_checked_here(
    tmp_path: Path, wrapd: Runner, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live(tmp_path, FULL, environ(hook)) as it:
        handlers = dict(it.service.control._handlers)
        with monkeypatch.context() as patch:
            patch.setattr(asked, "__version__", "0.9")
            await _is_checked_here(wrapd, "this command is wrapd 0.9")
        it.service.control._handlers = {"reload": handlers["reload"]}
        await _is_checked_here(wrapd, "this daemon knows no such request")

        async def silent(request: object) -> Mapping[str, Any]:
            await asyncio.Event().wait()
            return {}

        it.service.control._handlers = {"check": silent}
        monkeypatch.setattr(asked, "PATIENCE", 0.05)
        await _is_checked_here(wrapd, "does not answer within 0.05 s")


async def _is_checked_here(wrapd: Runner, why: str) -> None:
    result = await said(wrapd, "config", "check")
    assert result.status == Exit.CONFIG
    assert "the running daemon could not be asked" in result.err
    assert why in result.err
    assert "AK is not set" in result.err
    doctor = await said(wrapd, "doctor")
    verdict = "fail" if "within" in why else "warn"
    assert f"daemon: {verdict}: one runs but could not be asked about the config" in doctor.out


async def test_a_secret_that_hangs_holds_up_neither_the_next_check_nor_a_reload(
    tmp_path: Path, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with live(tmp_path, FULL, environ(hook)) as it:
        assert it.service.reloader is not None
        with monkeypatch.context() as patch:
            patch.setattr(reload, "LONGEST_READ", 0.1)
            it.path.write_text(FULL.replace('{ env = "URL" }', f'{{ file = "{pipe}" }}'))
            assert "is a file of it a pipe" in (await answered(it, "check"))["refused"]
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))  # lets the reader go
        assert (await it.reload(FULL)).ok


async def test_channels_and_routes_are_those_that_run(tmp_path: Path, wrapd: Runner, hook: Webhook) -> None:
    async with live(tmp_path, FULL, environ(hook)):
        wrapd.config.write_text(
            FULL.replace('events = ["failed"]', 'events = ["succeeded"]') + CHANNEL.replace("editors", "desk")
        )
        channels = await said(wrapd, "channels", "--json")
        assert [(each["channel"], each["events"]) for each in json.loads(channels.out)] == [
            ("editors", ["failed", "operators"])
        ]
        assert "channels.desk: added" in channels.err
        assert "routes[0]: changed" in channels.err
        explained = await said(wrapd, "routes", "explain", "--event", "failed", "--json")
        assert [each["channel"] for each in json.loads(explained.out)[0]["targets"]] == ["editors"]
        assert "routes[0]: changed" in explained.err
        wrapd.config.write_text(FULL + "x = 1\n")
        routes = await said(wrapd, "routes", "--json")
        assert (routes.status, json.loads(routes.out)[0]["events"]) == (Exit.CONFIG, ["failed"])
        assert "routes[0].x" in routes.err
        wrapd.config.write_text(FULL.replace("100ms", "200ms"))  # does not concern routes
        assert (await said(wrapd, "routes")).err == ""


async def test_a_template_is_tried_by_the_daemon_that_knows_the_channel(
    tmp_path: Path, wrapd: Runner, hook: Webhook
) -> None:
    async with live(tmp_path, FULL, environ(hook)):
        (tmp_path / "failed.txt").write_text("🎬 片 {{ title }}")
        wrapd.config.write_text(FULL.replace(CHANNEL, CHANNEL + 'templates = { failed = "failed.txt" }\n'))
        shown = await said(wrapd, "templates", "preview", "--channel", "editors", "--event", "failed", "--json")
        assert shown.status == 0
        [preview] = json.loads(shown.out)
        assert preview["template"] == str(tmp_path / "failed.txt")
        assert preview["body"].startswith("🎬 片 ")
        assert preview["facts"]["event"] == "failed"
        assert "channels.editors.templates: added" in shown.err
        text = (await said(wrapd, "templates", "preview", "--channel", "editors", "--all")).out
        assert f"== failed: from {tmp_path / 'failed.txt'}" in text
        assert "-- sent to the service with all facts" in text
        unknown = await said(wrapd, "templates", "preview", "--channel", "editor", "--all")
        assert unknown.status == Exit.UNKNOWN
        assert "editors" in unknown.err


async def test_doctor_says_that_the_file_differs(tmp_path: Path, wrapd: Runner, hook: Webhook) -> None:
    async with live(tmp_path, FULL, environ(hook)):
        doctor = await said(wrapd, "doctor")
        assert doctor.status == 0
        assert "1 project, 1 channel, all secrets found, checked by the daemon" in doctor.out
        wrapd.config.write_text(FULL.replace("100ms", "200ms"))
        doctor = await said(wrapd, "doctor")
        assert doctor.status == 0
        assert "polling.min_interval: 0.2 s instead of 0.1 s" in doctor.out


def test_every_secret_of_a_config_has_a_stand_in(tmp_path: Path) -> None:
    whole = tomllib.loads(
        OPEN.replace('{ env = "AK" }', '"canary"').replace(
            "secret_key =", 'security_token = "canary", secret_key ='
        )
        + '[projects.token]\nregion = "cn-north-4"\nauth = { method = "token", token = "canary" }\n'
        + '[projects.url]\nregion = "cn-north-4"\n'
        + 'auth = { method = "password", domain = "d", user = "u", password = "canary" }\n'
        + '[channels.url]\nurl = "canary"\n[channels.token]\nurl = { file = "canary" }\n'
    )
    kept = without_secrets(whole)
    assert "canary" not in json.dumps(kept)
    config, faults = examine(kept, tmp_path / "wrapd.toml")
    assert (faults, config is None) == ([], False)
    assert set(kept["channels"]) == {"editors", "url", "token"}
