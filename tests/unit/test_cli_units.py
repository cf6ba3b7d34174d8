"""Reading systemd's unit for credentials and the config, with a fake `systemctl`."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.cli import units
from daemon.cli.units import is_expected, stale

Say = Callable[[str], None]


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Make `systemctl` print a text."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    def say(text: str) -> None:
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        program.chmod(0o755)

    return say


COPY = "/run/credentials/wrapd.service/key"
NOW = 1_800_000_000.0


def test_a_source_that_is_newer_than_its_copy_is_told_with_what_to_do(tmp_path: Path, systemctl: Say) -> None:
    source = tmp_path / "the key"
    source.write_text("a-secret")
    systemctl(f"# /etc/x.conf\n[Service]\nLoadCredential=old:/a\nLoadCredential=\nLoadCredential=key:{source}")
    os.utime(source, (NOW, NOW))
    assert stale({COPY: NOW}) == ()
    [line] = stale({COPY: NOW - 1, "/run/credentials/wrapd.service/old": 0.0})
    assert line == (
        f"credential key: {source} has changed since wrapd.service was started; "
        "`systemctl restart wrapd` applies it"
    )
    assert stale({COPY: NOW + 1}) == ()


@pytest.mark.parametrize(
    "copies", [None, 3, [], {}, {COPY: "x"}, {"/elsewhere/key": 0.0}, {"/run/credentials/x": 1}]
)
def test_what_cannot_be_known_is_not_told(systemctl: Say, copies: object, tmp_path: Path) -> None:
    systemctl(f"LoadCredential=key:{tmp_path / 'nothing'}\nLoadCredential=key:relative")
    assert stale(copies) == ()
    assert stale({COPY: 0.0}) == ()
    (tmp_path / "nothing").mkdir()
    assert stale({COPY: 0.0}) == ()


def test_where_both_can_be_read_it_is_the_content_that_counts(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_text("same")
    copy.write_text("same")
    assert not units._is_newer(source, copy, 0)
    copy.write_text("before")
    assert units._is_newer(source, copy, NOW * 2)


@pytest.mark.parametrize(
    ("state", "argv", "expected"),
    [
        ("enabled", "--config {} run", True),
        ("disabled", "--config {} run", False),
        ("enabled", "--config /etc/other.toml run", False),
        ("enabled", "--config {}.bak run", False),
    ],
)
def test_a_daemon_is_expected_where_the_unit_is_enabled_for_this_config(
    tmp_path: Path, systemctl: Say, state: str, argv: str, expected: bool
) -> None:
    config = tmp_path / "wrapd.toml"
    started = argv.format(config)
    systemctl(f"ExecStart={{ path=/opt/w ; argv[]=/opt/w {started} ; ignore_errors=no }}\nUnitFileState={state}")
    assert is_expected(config) is expected
    (tmp_path / "link.toml").symlink_to(config)
    assert is_expected(tmp_path / "link.toml") is expected


def test_without_systemd_nothing_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not is_expected(tmp_path / "wrapd.toml")
    assert stale({COPY: 0.0}) == ()
