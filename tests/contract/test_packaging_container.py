"""The Dockerfile and the compose file: their linter, and properties that it does not check."""

import fnmatch
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.programs import ROOT, need, run

DOCKERFILE = ROOT / "Dockerfile"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "packaging" / "compose.yaml").read_text())
    return parsed


def final_stage() -> str:
    return "FROM" + DOCKERFILE.read_text().split("\nFROM")[-1]


@pytest.mark.system
def test_hadolint_has_nothing_to_say() -> None:
    ended = run(need("hadolint"), "--no-color", "--failure-threshold", "style", DOCKERFILE)
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.system
def test_hadolint_would_say_something(tmp_path: Path) -> None:
    worse = tmp_path / "Dockerfile"
    worse.write_text(DOCKERFILE.read_text() + "RUN apt-get install curl\n")
    ended = run(need("hadolint"), "--no-color", "--failure-threshold", "style", worse)
    assert ended.returncode != 0
    assert "DL3008" in ended.stdout


def test_the_image_runs_as_a_user_without_rights() -> None:
    users = re.findall(r"^USER (\S+)$", final_stage(), re.MULTILINE)
    assert users == ["10001:10001"]


def test_the_image_has_a_health_check_a_volume_and_a_stop_signal() -> None:
    text = final_stage()
    assert re.search(r'^HEALTHCHECK .*CMD \["wrapd", "doctor", "--live"\]$', text, re.MULTILINE)
    assert "\nVOLUME /var/lib/wrapd\n" in text
    assert "\nSTOPSIGNAL SIGTERM\n" in text
    assert "PYTHONDONTWRITEBYTECODE=1" in text  # the root is read-only


def test_every_package_is_installed_by_its_hash() -> None:
    installs = re.findall(r"pip install ([^\n]*)", DOCKERFILE.read_text())
    assert len(installs) == 2
    for options in installs:
        assert "--require-hashes -r requirements.lock" in options or "--no-deps --no-build-isolation ." in options


def test_the_build_context_holds_what_is_copied_and_no_secret() -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == set(let_in)
    for name in names:
        assert (ROOT / name).exists(), name
    assert not any(fnmatch.fnmatch("packaging/secrets/key", pattern) for pattern in let_in)


def test_compose_gives_the_container_no_more_than_it_needs(compose: dict[str, Any]) -> None:
    service = compose["services"]["wrapd"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "environment" not in service  # secrets come as files
    assert all(mount.startswith("/tmp:") for mount in service["tmpfs"])
    assert service["restart"] == "unless-stopped"


def test_compose_and_image_agree(compose: dict[str, Any]) -> None:
    service = compose["services"]["wrapd"]
    image = final_stage()
    assert f"\nUSER {service['user']}\n" in image
    check = service["healthcheck"]
    assert check["test"] == ["CMD", "wrapd", "doctor", "--live"]
    for option, key in (("interval", "interval"), ("timeout", "timeout"), ("start-period", "start_period")):
        assert f"--{option}={check[key]} " in image
    targets = {mount.split(":")[1] for mount in service["volumes"]}
    assert targets == {"/var/lib/wrapd", re.findall(r"WRAPD_CONFIG=(\S+)", image)[0]}


def test_compose_names_only_what_it_declares(compose: dict[str, Any]) -> None:
    service = compose["services"]["wrapd"]
    assert set(service["secrets"]) == set(compose["secrets"])
    for secret in compose["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    named = {mount.split(":")[0] for mount in service["volumes"] if not mount.startswith(".")}
    assert named == set(compose["volumes"])
    folder = ROOT / "packaging" / service["build"]["context"]
    assert (folder / "Dockerfile").samefile(DOCKERFILE)
