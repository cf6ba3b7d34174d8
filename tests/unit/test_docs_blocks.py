"""Every fenced block of README.md and docs/ is used: configs are loaded, commands parsed by the program that they
name. tests/e2e/test_docs_run.py runs those that can be run, and the pages' other tests the rest; a block or a
command without a rule here fails.
"""

import json
import re
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from daemon.build.checks import check_config
from daemon.cli import commands, wrapd
from daemon.notify.templates import Templates
from tests.contract.test_adding_a_service import steps
from tests.support.docs_blocks import (
    PAGES,
    Block,
    blocks,
    blocks_of,
    commands_of,
    every_block,
    parse,
    wrapd_arguments,
)
from tests.support.docs_run import ELSEWHERE, NOT_RUN, RUN
from tests.support.programs import ROOT, need, run
from tests.support.toml import dump

SHOWN = frozenset({"", "text", "mermaid"})
"""What people see: messages, help, expressions of rules, diagrams."""
CHECKED = frozenset({"toml", "yaml", "ini", "json", "jinja", "nginx", "caddyfile", "sh", "python", "diff"})
PYTHON = {
    "docs/api.md": "tests/contract/test_web_docs.py",
    "docs/simulator.md": "tests/contract/test_docs_examples.py",
    "docs/adding-a-service.md": "tests/contract/test_adding_a_service.py",
}
"""Pages with Python, and the test that runs all of it."""
PROXIES = {"nginx": "docs/reverse-proxy.md", "caddyfile": "docs/reverse-proxy.md"}
"""Configs of the servers that tests/e2e/test_reverse_proxy.py starts, and their only page."""
SAMPLE_URL = "jsons://hooks.example.com/editors"
PROJECT = {"region": "cn-north-4", "auth": {"method": "token", "token": "a-token-of-tests"}}


def test_each_block_has_a_language_with_a_rule() -> None:
    assert {str(each): each.language for each in every_block() if each.language not in SHOWN | CHECKED} == {}
    assert len(every_block()) > 150


def test_each_fence_is_seen() -> None:
    """An indented fence would hide its block from these tests."""
    fences = {page: (ROOT / page).read_text(encoding="utf-8").count("```") for page in PAGES}
    assert fences == {page: 2 * sum(each.page == page for each in every_block()) for page in PAGES}


def test_what_is_only_shown_is_no_command() -> None:
    typed = re.compile(rf"^(\$ |sudo |wrapd ({'|'.join(commands)})\b)", re.MULTILINE)
    assert [str(each) for each in every_block() if each.language in SHOWN and typed.search(each.text)] == []


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_a_config_is_right(block: Block, tmp_path: Path) -> None:
    tree = tomllib.loads(block.text)
    path, environ = complete(tree, tmp_path)
    config, warned = check_config(path, environ)
    assert set(config.projects) == set(tree["projects"])
    assert [each for each in warned if "[web]" in each or "links" in each] == []


def complete(tree: dict[str, Any], folder: Path) -> tuple[Path, dict[str, str]]:
    """Write a fragment of a config with what it leaves out and what it refers to; return the file and its
    environment."""
    tree.setdefault("projects", {"main": PROJECT})
    for name, project in tree["projects"].items():
        tree["projects"][name] = {**PROJECT, **project} if "endpoint" not in project else project
    channels = tree.setdefault("channels", {})
    for name in {"editors", *_named(tree)}:
        channels.setdefault(name, {}).setdefault("url", SAMPLE_URL)
    for channel in channels.values():
        channel.setdefault("url", SAMPLE_URL)
        for template in channel.get("templates", {}).values():
            (folder / template).parent.mkdir(exist_ok=True)
            (folder / template).write_text("{{ name }}")
    if "callback" in str(tree):
        tree.setdefault("web", {}).setdefault("public_url", "https://wrapd.example.com")
    environ = {"CREDENTIALS_DIRECTORY": str(folder)}
    _make_secrets(tree, folder, environ)
    path = folder / "wrapd.toml"
    path.write_text(dump(tree))
    path.chmod(0o600)
    return path, environ


def _named(tree: Mapping[str, Any]) -> set[str]:
    routes = [name for route in tree.get("routes", ()) for name in route["channels"]]
    fallbacks = [each["fallback"] for each in tree["channels"].values() if "fallback" in each]
    return {*routes, *fallbacks, *tree.get("operators", ())}


def _make_secrets(section: dict[str, Any], folder: Path, environ: dict[str, str]) -> None:
    for key, value in section.items():
        if not isinstance(value, dict):
            continue
        if len(value) == 1 and (kind := next(iter(value))) in ("env", "file", "credential"):
            name = Path(value[kind]).name
            text = _secret(name, key)
            if kind == "env":
                environ[name] = text
            else:
                (folder / name).write_text(text)
                section[key] = {kind: name}
        else:
            _make_secrets(value, folder, environ)


def _secret(name: str, key: str) -> str:
    if key != "url":
        return "a-secret-of-24-characters"
    return "https://hc-ping.com/00000000-0000-0000-0000-000000000000" if "HEARTBEAT" in name else SAMPLE_URL


def test_a_config_with_a_fault_would_be_seen(tmp_path: Path) -> None:
    path, environ = complete(tomllib.loads('[channels.editors]\nlanguige = "zh"\n'), tmp_path)
    with pytest.raises(Exception, match="languige"):
        check_config(path, environ)


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_a_config_of_prometheus(block: Block, tmp_path: Path) -> None:
    assert set(yaml.safe_load(block.text)) <= {"rule_files", "scrape_configs"}
    path = tmp_path / "prometheus.yml"
    rules = str(ROOT / "packaging/prometheus/rules.yml")
    path.write_text(re.sub(r"^rule_files: .*$", f"rule_files: [{rules}]", block.text, flags=re.MULTILINE))
    if (promtool := shutil.which("promtool")) is not None:
        ended = run(promtool, "check", "config", path)
        assert ended.returncode == 0, ended.stdout


@pytest.mark.system
@pytest.mark.parametrize("block", blocks("ini"), ids=str)
def test_a_drop_in_is_one_of_systemd(block: Block, tmp_path: Path) -> None:
    name = "wrapd-backup.service" if "db backup" in block.text else "wrapd.service"
    unit = (ROOT / "packaging" / name).read_text()
    (tmp_path / name).write_text(unit.replace("/opt/wrapd/bin/wrapd", "/bin/true"))
    (tmp_path / f"{name}.d").mkdir()
    (tmp_path / f"{name}.d" / "docs.conf").write_text(block.text.replace("/opt/wrapd/bin/wrapd", "/bin/true"))
    ended = run(need("systemd-analyze"), "verify", "--man=no", tmp_path / name)
    assert (ended.returncode, ended.stdout) == (0, "")
    for line in block.text.splitlines():
        if "wrapd " in (command := line.partition("=")[2]):
            parse(command.split()[1:])


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("jinja"), ids=str)
def test_a_template_is_one_of_messages(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "succeeded.j2"
    path.write_text(block.text)
    assert Templates.load({"succeeded": path})


def test_python_is_on_the_pages_whose_tests_run_it() -> None:
    assert {each.page for each in blocks("python")} == set(PYTHON)
    for test in PYTHON.values():
        assert (ROOT / test).is_file()
    followed = [each for each in every_block() if each.page == "docs/adding-a-service.md"]
    assert sum(each.language in ("python", "diff") for each in followed) == len(steps())
    assert {each.page for each in blocks("diff")} == {"docs/adding-a-service.md"}
    for language, page in PROXIES.items():
        assert {each.page for each in blocks(language)} <= {page}


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_commands_are_known_and_right(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands_of(block.text)
    for command in commands_of(block.text):
        arguments = wrapd_arguments(command)
        if arguments is not None:
            parse(arguments)
        else:
            _check_other(command)


def _check_other(command: list[str]) -> None:
    """A command of another program: it is known here, and what it takes from the checkout exists."""
    if command[0].startswith("/") and "/bin/" not in command[0]:
        return  # the last argument of a command with a process substitution
    program = command[0].rpartition("/")[2]
    assert program in RUN | NOT_RUN.keys() or not re.match(r"[a-z]", program), f"no rule for {command}"
    for word in command[1:]:
        if re.fullmatch(r"packaging/\S+\.(conf|service|timer|yaml|yml)|\S+\.lock", word):
            assert (ROOT / word).is_file(), word
    if program == "python":
        assert (ROOT / command[1]).is_file(), command
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert [word for word in command[1:] if "=" not in word and word not in targets] == []


def test_what_is_not_run_is_needed_and_says_why() -> None:
    used = {c[0].rpartition("/")[2] for each in blocks("sh") for c in commands_of(each.text)}
    assert NOT_RUN.keys() - used == set()
    assert RUN.isdisjoint(NOT_RUN)
    for test in ELSEWHERE.values():
        assert (ROOT / test).is_file()


SPAN = re.compile(r"(?<!`)`(wrapd [^`]+)`(?!`)")


@pytest.mark.parametrize("page", PAGES)
def test_commands_within_the_text_exist(page: str) -> None:
    """Their options too; arguments may be left out there, or stand for others."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    wrong = [span for span in SPAN.findall(" ".join(text.split())) if not exists(span.split()[1:])]
    assert wrong == []


def exists(words: list[str]) -> bool:
    """Whether `wrapd` has this command, and each of these options."""
    command: click.Command = wrapd
    context = click.Context(wrapd, info_name="wrapd")
    options: dict[str, bool] = {"--help": False, "-h": False}
    takes_value = False
    for word in words:
        options |= {name: _takes(each) for each in command.params for name in (*each.opts, *each.secondary_opts)}
        if word in ("|", "\\|", ">", "<", "&&"):
            break
        if takes_value:
            takes_value = False
        elif word.startswith("-") and len(word) > 1:
            name = word.partition("=")[0]
            if name not in options:
                return False
            takes_value = options[name] and "=" not in word
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            if found is None and re.fullmatch(r"[a-z-]+", word):
                return False
            command = found or command
    return True


def _takes(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and not parameter.is_flag and not parameter.count


def test_what_is_found() -> None:
    script = "A=1 wrapd jobs 'a\n# b' | jq . # it's\nif wrapd needs; then\n  echo \\\n  x > y; fi\n"
    page = f"# A\n\n```sh\n{script}```\n"
    [block] = blocks_of("a.md", page)
    assert (block.line, block.language) == (3, "sh")
    found = [["wrapd", "jobs", "a\n# b"], ["jq", "."], ["wrapd", "needs"], ["echo", "x"]]
    assert commands_of(block.text) == found
    assert commands_of("cat > f <<'END'\nwrapd no\nEND\ncd /tmp && sudo wrapd db check 2>/dev/null") == [
        ["cat"],
        ["cd", "/tmp"],
        ["sudo", "wrapd", "db", "check"],
    ]
    assert wrapd_arguments(["docker", "compose", "exec", "wrapd", "wrapd", "jobs"]) == ["jobs"]
    assert wrapd_arguments(["systemctl", "status", "wrapd"]) is None
    assert parse(["db", "backup", "--keep", "3"]) == "wrapd db backup"
    with pytest.raises(click.UsageError):
        parse(["db", "backup", "--keap", "3"])
    assert exists(["db", "backup", "--keep", "N"])
    assert not exists(["db", "bakup"])
    assert not exists(["nothing"])
    assert not exists(["jobs", "--nothing"])
