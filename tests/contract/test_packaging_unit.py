"""The systemd unit and the sysusers file, checked by systemd's own programs."""

import re
from pathlib import Path

import pytest

from daemon.errors import Exit
from tests.support.programs import ROOT, need, run

UNIT = ROOT / "packaging" / "wrapd.service"
BACKUP = ROOT / "packaging" / "wrapd-backup.service"
TIMER = ROOT / "packaging" / "wrapd-backup.timer"
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


def settings(unit: Path = UNIT) -> dict[str, list[str]]:
    """Return the unit's keys, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
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


@pytest.mark.parametrize("name", [BACKUP.name, TIMER.name])
def test_systemd_verify_has_nothing_to_say_about_the_backups(name: str, tmp_path: Path) -> None:
    for each in (BACKUP, TIMER):
        (tmp_path / each.name).write_text(each.read_text().replace(PROGRAM, "/bin/true"))
    verify = (need("systemd-analyze"), "verify", "--man=no", tmp_path / name)
    ended = run(*verify)
    assert (ended.returncode, ended.stdout) == (0, "")
    broken = tmp_path / name
    broken.write_text(broken.read_text().replace("Persistent=", "Persist=").replace("ProtectHome=", "ProtectHut="))
    assert re.search("Unknown key.*'(ProtectHut|Persist)'", run(*verify).stdout)


def test_the_backup_has_the_users_folders_and_limits_of_the_service_and_no_network(tmp_path: Path) -> None:
    service, own = settings(), settings(BACKUP)
    sandbox = {key for key in service if key.startswith(("Protect", "Private", "Restrict", "SystemCall", "Lock"))}
    same = sandbox | {"User", "Group", "UMask", "StateDirectory", "StateDirectoryMode", "NoNewPrivileges"}
    differing = {key for key in same if own.get(key) != service[key]}
    assert differing == {"RestrictAddressFamilies"}
    assert (own["PrivateNetwork"], own["RestrictAddressFamilies"]) == (["yes"], ["AF_UNIX"])
    copy = tmp_path / "wrapd-backup.service"
    copy.write_text(BACKUP.read_text().replace(PROGRAM, "/bin/true"))
    ended = run(need("systemd-analyze"), "security", "--offline=true", "--threshold=5", copy)
    assert ended.returncode == 0, ended.stdout


def test_the_timer_makes_up_for_what_was_missed() -> None:
    timer = settings(TIMER)
    assert (timer["Persistent"], timer["WantedBy"]) == (["true"], ["timers.target"])
    assert timer["RandomizedDelaySec"] == ["1h"]
    ended = run(need("systemd-analyze"), "calendar", "--iterations=2", *timer["OnCalendar"])
    assert ended.returncode == 0, ended.stdout
