"""The systemd unit and the sysusers file, checked by systemd's own programs."""

from pathlib import Path

import pytest

from daemon.errors import Exit
from tests.support.programs import ROOT, need, run

UNIT = ROOT / "packaging" / "wrapd.service"
PROGRAM = "/opt/wrapd/bin/wrapd"

pytestmark = pytest.mark.system


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return a copy whose program exists, as `verify` requires."""
    text = UNIT.read_text()
    assert f"ExecStart={PROGRAM} " in text
    copy = tmp_path / "wrapd.service"
    copy.write_text(text.replace(PROGRAM, "/bin/true"))
    return copy


def test_systemd_verify_has_nothing_to_say(unit: Path) -> None:
    ended = run(need("systemd-analyze"), "verify", "--man=no", unit)
    assert (ended.returncode, ended.stdout) == (0, "")  # misspelt keys give status 0 and a line of output


def test_systemd_verify_would_say_something(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHouse="))
    assert "ProtectHouse" in run(need("systemd-analyze"), "verify", "--man=no", unit).stdout


def test_its_exposure_is_at_most_1_5(unit: Path) -> None:
    judge = (need("systemd-analyze"), "security", "--offline=true", "--threshold=15")
    ended = run(*judge, unit)
    assert ended.returncode == 0, ended.stdout
    unit.write_text(unit.read_text().replace("CapabilityBoundingSet=\n", ""))
    assert run(*judge, unit).returncode != 0


def test_the_user_is_one_that_sysusers_makes() -> None:
    ended = run(
        need("systemd-sysusers"), "--dry-run", ROOT / "packaging" / "wrapd.sysusers.conf", "--root=/var/empty"
    )
    assert ended.returncode == 0, ended.stdout
    for made in ("group 'wrapd'", "user 'wrapd'"):
        assert made in ended.stdout


def settings() -> dict[str, list[str]]:
    """Return the unit's keys, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def test_no_restart_where_trying_again_does_not_mend() -> None:
    final = (Exit.USAGE, Exit.CONFIG, Exit.UNUSABLE)
    assert settings()["RestartPreventExitStatus"] == [" ".join(str(status.value) for status in final)]


def test_people_in_the_group_can_write_where_the_daemon_writes() -> None:
    unit = settings()
    assert unit["User"] == unit["Group"] == unit["StateDirectory"] == ["wrapd"]
    assert "DynamicUser" not in unit
    assert int(unit["StateDirectoryMode"][0], 8) == 0o2770
    assert int(unit["UMask"][0], 8) == 0o007
