"""The examples in docs/simulator.md and docs/channels.md work as described."""

import asyncio
import contextlib
import io
import json
import re
import shlex
import urllib.request
from pathlib import Path

import pytest

from daemon.cli.sim import command as sim_command
from daemon.config import load
from daemon.domain.jobs import ChannelName
from daemon.notify.services import SERVICES, service_for
from daemon.notify.transport import ChannelSettings, open_channel
from daemon.sim import SimSettings, Simulator
from docs.paper import ROOT

SIMULATOR = (ROOT / "docs/simulator.md").read_text(encoding="utf-8")
CHANNELS = (ROOT / "docs/channels.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8700"
SETTINGS = {"access_key": "AK", "secret_key": "SK", "project_id": "studio", "token": "TOKEN"}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[list[str]]:
    """Return the commands of a page; a quoted argument may span lines."""
    found, open_line = [], ""
    for line in "".join(blocks(page, "sh")).splitlines(keepends=True):
        try:
            words = shlex.split(open_line + line, comments=True)
        except ValueError:
            open_line += line
            continue
        open_line = ""
        found += [words] if words else []
    assert not open_line
    return found


def curl(words: list[str], url: str) -> object:
    """Return the answer to a curl command of the page."""
    method, headers, body, target = None, {}, None, ""
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(rest).replace("\n", "").encode()
        else:
            target = word.replace(ADDRESS, url)
    request = urllib.request.Request(target, data=body, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read())


def test_the_simulator_starts_as_the_page_says() -> None:
    (start,) = [words for words in commands(SIMULATOR) if words[:2] == ["wrapd", "sim"]]
    context = sim_command.make_context("sim", start[2:])
    given = {name: value for name, value in context.params.items() if name in SETTINGS}
    assert given == SETTINGS
    assert (context.params["listen"].host, context.params["listen"].port) == ("127.0.0.1", 8700)


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
async def test_every_request_of_the_page_is_answered() -> None:
    requests = [words for words in commands(SIMULATOR) if words[0] == "curl"]
    assert len(requests) > 12
    async with Simulator(SimSettings(**SETTINGS, speed=10)) as sim:
        answers = [await asyncio.to_thread(curl, words, sim.url) for words in requests]
        assert answers[0] == {"job_ids": ["launch"]}
        assert answers[1]["state"] == "WAITING"
        assert sim.faults() == []
        assert sim.stats()["total"] == 0
        sim.create_jobs(job_id="launch")
        (script,) = blocks(SIMULATOR, "python")
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            await asyncio.to_thread(exec, script.replace(ADDRESS, sim.url), {})
        assert shown.getvalue() == "WAITING\n"


@pytest.mark.parametrize("page", [SIMULATOR, CHANNELS], ids=["simulator", "channels"])
def test_the_configs_of_the_pages_load(page: str, tmp_path: Path) -> None:
    (text,) = blocks(page, "toml")
    (tmp_path / "wrapd.toml").write_text(text)
    config = load(tmp_path / "wrapd.toml")
    assert config.channels


@pytest.mark.parametrize("scheme", [scheme for service in SERVICES for scheme in service.examples])
def test_the_url_of_every_service_opens_a_channel_of_its_own(scheme: str) -> None:
    service = service_for(scheme, limit=1)
    _, url = service.examples[scheme]
    assert f"`{url}`" in CHANNELS
    channel = open_channel(ChannelSettings(name=ChannelName("docs"), url=url))
    assert channel.service is service


@pytest.mark.parametrize("url", re.findall(r"`(jsons?://[^` ]+/[^` ]*)`", CHANNELS))
def test_the_json_urls_open(url: str) -> None:
    assert open_channel(ChannelSettings(name=ChannelName("docs"), url=url)).scheme in {"json", "jsons"}
