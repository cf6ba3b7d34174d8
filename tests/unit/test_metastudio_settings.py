"""A project's settings, and the sources of keys that they do not contain."""

from pathlib import Path
from typing import Any

import pytest

from daemon.build.projects import AsSecrets
from daemon.domain.jobs import ProjectName
from daemon.errors import ConfigFault
from daemon.metastudio.credentials import sdk_credentials
from daemon.metastudio.settings import AkSk, Auth, GivenToken, Password, ProjectSettings

KEYS = AkSk(access_key="AK", secret_key="SK")
READ = AsSecrets("projects.main.auth")
GOOD: dict[str, Any] = {"name": ProjectName("main"), "auth": KEYS, "region": "cn-north-4", "project_id": "p1"}


def test_a_region_tells_the_rest() -> None:
    settings = ProjectSettings(**GOOD)
    assert settings.api_url == "https://metastudio.cn-north-4.myhuaweicloud.com"
    assert settings.iam_url == "https://iam.cn-north-4.myhuaweicloud.com"
    assert settings.requests_per_second == 10
    elsewhere = ProjectSettings(**GOOD | {"region": None, "endpoint": "https://api.example.com"})
    assert elsewhere.requests_per_second == 5


def test_given_endpoints_win() -> None:
    settings = ProjectSettings(
        **GOOD | {"endpoint": "https://api.example.com:8443/", "iam_endpoint": "http://127.0.0.1:9", "rate": 2.5}
    )
    assert settings.api_url == "https://api.example.com:8443"
    assert settings.iam_url == "http://127.0.0.1:9"
    assert settings.requests_per_second == 2.5


@pytest.mark.parametrize("endpoint", ["http://localhost:1", "http://127.0.0.9:1", "http://[::1]:1", "https://x.y"])
def test_endpoints_that_are_taken(endpoint: str) -> None:
    assert ProjectSettings(**GOOD | {"region": None, "endpoint": endpoint}).api_url == endpoint


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"region": "mars-1"}, r"region 'mars-1' has no MetaStudio.*cn-north-4"),
        ({"region": None}, "region is missing"),
        ({"project_id": None, "region": None, "endpoint": "https://x.y"}, "project_id is missing"),
        ({"project_id": "a/b"}, "project_id"),
        ({"project_id": "a" * 129}, "project_id"),
        ({"project_id": ""}, "project_id"),
        ({"endpoint": "http://api.example.com"}, "endpoint must be https"),
        ({"endpoint": "http://127.0.0.1.example.com"}, "endpoint must be https"),
        ({"endpoint": "ftp://x.y"}, "endpoint is not a URL"),
        ({"endpoint": "api.example.com"}, "endpoint is not a URL"),
        ({"endpoint": "https://"}, "endpoint is not a URL"),
        ({"endpoint": "https://x.y:port"}, "endpoint is not a URL"),
        ({"endpoint": "https://[::1"}, "endpoint is not a URL"),
        ({"endpoint": "https://x.y/path"}, "only a scheme, host and port"),
        ({"endpoint": "https://x.y?a=b"}, "only a scheme, host and port"),
        ({"endpoint": "https://user:pw@x.y"}, "only a scheme, host and port"),
        ({"iam_endpoint": "http://iam.example.com"}, "iam_endpoint must be https"),
        ({"rate": 0}, "requests_per_second"),
        ({"rate": -1}, "requests_per_second"),
        ({"rate": float("nan")}, "requests_per_second"),
        ({"proxy": "socks5://p:1"}, "proxy"),
        ({"app_user_id": "王"}, "app_user_id"),
        ({"app_user_id": "a\r\nX-Evil: 1"}, "app_user_id"),
        ({"app_user_id": ""}, "app_user_id"),
        ({"auth": AkSk(access_key="", secret_key="SK")}, "auth.access_key"),
        ({"auth": AkSk(access_key="AK", secret_key="SK\n")}, "auth.secret_key"),
        ({"auth": AkSk(access_key="AK", secret_key="SK", security_token="a b")}, "auth.security_token"),
        ({"auth": GivenToken(token="a\r\nb")}, "auth.token"),
        ({"auth": Password(domain="d", user="", password="p")}, "auth.user"),
        (
            {"auth": Password(domain="d", user="u", password="p"), "region": None, "endpoint": "https://x.y"},
            "iam_endpoint is missing",
        ),
    ],
)
def test_what_cannot_work_is_one_clear_message(change: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigFault, match=rf"projects\.main\..*{place}") as caught:
        ProjectSettings(**GOOD | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "auth",
    [
        AkSk(access_key="AK", secret_key="s3cret-key", security_token="s3cret-token"),
        GivenToken(token="s3cret-token"),
        Password(domain="d", user="u", password="s3cret-word"),
    ],
)
def test_secrets_are_not_shown(auth: Auth) -> None:
    settings = ProjectSettings(**GOOD | {"auth": auth, "proxy": "http://u:s3cret@p:1"})
    assert "s3cret" not in repr(settings)


def test_keys_of_the_environment(tmp_path: Path) -> None:
    found = sdk_credentials(
        {
            "HUAWEICLOUD_SDK_AK": "AK",
            "HUAWEICLOUD_SDK_SK": "SK",
            "HUAWEICLOUD_SDK_SECURITY_TOKEN": "ST",
            "HUAWEICLOUD_SDK_PROJECT_ID": "p1",
        },
        tmp_path,
        READ,
    )
    assert found.keys == AkSk(access_key="AK", secret_key="SK", security_token="ST")
    assert found.project_id == "p1"


def test_keys_of_the_credentials_file(tmp_path: Path) -> None:
    path = tmp_path / ".huaweicloud" / "credentials"
    path.parent.mkdir()
    path.write_text(
        "[basic]\nak = AK\nsk = S%K\nproject_id = p1\nsecurity_token = ST\niam_endpoint = https://iam.x\n[global]\nak=no\n"
    )
    found = sdk_credentials({"HUAWEICLOUD_SDK_AK": ""}, tmp_path, READ)
    assert found.keys == AkSk(access_key="AK", secret_key="S%K", security_token="ST")
    assert (found.project_id, found.iam_endpoint, found.source) == ("p1", "https://iam.x", str(path))
    elsewhere = tmp_path / "other"
    elsewhere.write_text("[basic]\nak = AK2\nsk = SK2\n")
    named = sdk_credentials(
        {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(elsewhere), "HUAWEICLOUD_SDK_PROJECT_ID": "p2"}, tmp_path, READ
    )
    assert (named.keys.access_key, named.project_id) == ("AK2", "p2")


@pytest.mark.parametrize("present", ["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"])
def test_half_an_environment_is_a_fault(present: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=f"{present} is set but"):
        sdk_credentials({present: "x"}, tmp_path, READ)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "no access keys"),
        ("", r"no section \[basic\]"),
        ("ak = AK\n", r"not an SDK credentials file \(line 1\)"),
        ("[basic]\nak = s3cret\n", "has no sk"),
        ("[basic]\nak =\nsk =\n", "no ak and no sk"),
        ("[basic]\nak = s3cret\nak = s3cret\n", "not an SDK credentials file"),
        ("\udcff", "is not UTF-8 text"),
    ],
)
def test_a_credentials_file_that_does_not_do(content: str | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / ".huaweicloud" / "credentials"
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigFault, match=why) as caught:
        sdk_credentials({}, tmp_path, READ)
    assert "s3cret" not in str(caught.value)
