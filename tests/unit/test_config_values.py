"""The forms of config values: what is accepted, what is refused, and the text of the refusal."""

from datetime import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config import values
from daemon.domain.events import Event


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("100ms", 0.1),
        ("1s", 1),
        ("10m", 600),
        ("2h", 7200),
        ("14d", 14 * 86400),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        ("0s", 0),
        ("1d2h3m4s5ms", 93784.005),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert values.seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "10", "s", "1 s", " 1s", "1s ", "-1s", "1e3s", "\u0661s", "1w", "1S", "1s;", "1..5s", "1\ns", "1s\n"],
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r'is not a duration; .*"1h30m"'):
        values.seconds(text)


def test_a_bare_number_is_told_the_unit_that_it_lacks() -> None:
    with pytest.raises(ValueError, match='"45s"'):
        values.seconds("45")


@pytest.mark.parametrize("text", ["3651d", "9" * 400 + "d"])
def test_an_absurd_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too long") as caught:
        values.seconds(text)
    assert len(str(caught.value)) < 200


@given(st.integers(min_value=0, max_value=3650 * 86400 * 1000))
def test_a_spoken_duration_reads_back(milliseconds: int) -> None:
    assert round(values.seconds(values.spoken(milliseconds / 1000)) * 1000) == milliseconds


@pytest.mark.parametrize("text", ["a", "A-b_9", "x" * 64])
def test_a_name_is_read(text: str) -> None:
    assert values.name(text) == text


@pytest.mark.parametrize("text", ["", "a b", "a.b", "x" * 65, "ä", "a/b", "a\n", "../a"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        values.name(text)


@pytest.mark.parametrize("text", ["", "a-b", "a/b", "x" * 65, "0123 4567"])
def test_what_is_no_project_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a project id"):
        values.project_id(text)


def test_a_region_that_does_not_exist_is_told_the_nearest() -> None:
    assert values.region("cn-east-3") == "cn-east-3"
    with pytest.raises(ValueError, match="did you mean 'cn-north-4'"):
        values.region("cn-nort-4")
    with pytest.raises(ValueError, match="choose one of ap-southeast-3, cn-east-3, cn-north-4"):
        values.region("mars")


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("https://h.example", "https://h.example"),
        ("https://h.example/", "https://h.example"),
        ("https://h.example:8443", "https://h.example:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://localhost:1", "http://localhost:1"),
        ("HTTPS://h.example", "https://h.example"),
    ],
)
def test_an_endpoint_is_read(text: str, base: str) -> None:
    assert values.endpoint(text) == base


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://h.example", "unencrypted"),
        ("http://127.0.0.1.example", "unencrypted"),
        ("http://localhost.example", "unencrypted"),
        ("http://0.0.0.0", "unencrypted"),
        ("http://2130706433", "unencrypted"),
        ("https://h/v1", "only scheme, host and port"),
        ("https://h?x=1", "only scheme, host and port"),
        ("https://u:p@h", "only scheme, host and port"),
        ("https://", "is not the address"),
        ("h.example", "is not the address"),
        ("ftp://h", "is not the address"),
        ("https://h:99999", "is not the address"),
        ("https://h:0", "is not the address"),
        ("https://[::1", "is not the address"),
        ("https://h example", "is not the address"),
        ("https://h\n.example", "is not the address"),
        ("file:///etc/passwd", "is not the address"),
        ("", "is not the address"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        values.endpoint(text)


def test_a_password_in_an_endpoint_is_not_shown() -> None:
    with pytest.raises(ValueError, match="only scheme") as caught:
        values.endpoint("https://user:hunter2@h.example")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8787", ("127.0.0.1", 8787)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:80", ("::1", 80)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("example.com:80", ("example.com", 80)),
    ],
)
def test_an_address_to_listen_on_is_read(text: str, expected: tuple[str, int]) -> None:
    assert values.listen(text) == expected


@pytest.mark.parametrize(
    "text", ["8787", ":8787", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:80"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        values.listen(text)


@pytest.mark.parametrize("text", ["UTC", "Asia/Shanghai", "Europe/Berlin"])
def test_a_time_zone_is_read(text: str) -> None:
    assert values.timezone(text) == text


@pytest.mark.parametrize(
    ("text", "near"),
    [("Asia/Shangai", "Asia/Shanghai"), ("shanghai", "Asia/Shanghai"), ("New York", "America/New_York")],
)
def test_a_wrong_time_zone_is_told_the_nearest(text: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{near}'"):
        values.timezone(text)


@pytest.mark.parametrize("text", ["", "/etc/passwd", "../UTC", "America", "\0", "+08:00"])
def test_a_hostile_time_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time zone is called"):
        values.timezone(text)


def test_events_are_read_and_operators_events_are_sent_elsewhere() -> None:
    assert values.job_event("succeeded") is Event.SUCCEEDED
    with pytest.raises(ValueError, match="did you mean 'succeeded'"):
        values.job_event("succeded")
    with pytest.raises(ValueError, match="list its channels in `operators`"):
        values.job_event("project_down")


def test_a_relative_database_counts_from_the_folder_of_the_config() -> None:
    assert values.database_url("sqlite:///wrapd.db", Path("/etc/wrapd")) == "sqlite:////etc/wrapd/wrapd.db"
    assert values.database_url("sqlite:////var/x.db", Path("/etc/wrapd")) == "sqlite:////var/x.db"
    assert values.database_url("sqlite:///x.db") == f"sqlite:///{Path('x.db').absolute()}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wrapd.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///folder/",
        "sqlite:///a.db?mode=ro",
        "sqlite:///a\n.db",
        "postgresql://u:hunter2@h/d",
    ],
)
def test_a_database_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///wrapd\.db") as caught:
        values.database_url(text)
    assert "hunter2" not in str(caught.value)


def test_long_and_hostile_values_are_shown_short_and_escaped() -> None:
    assert len(values.shown("x" * 10_000)) < 70
    assert "\x1b" not in values.shown("\x1b[31m")


@pytest.mark.parametrize(("text", "hour", "minute"), [("00:00", 0, 0), ("09:05", 9, 5), ("23:59", 23, 59)])
def test_a_time_of_the_day_is_read(text: str, hour: int, minute: int) -> None:
    assert values.clock_time(text) == time(hour, minute)


@pytest.mark.parametrize("text", ["", "24:00", "9:00", "12:60", "12:00:00", "12.00", "\u0661\u0662:00", "12:00 "])
def test_what_is_no_time_of_the_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match='write "00:00" to "23:59"'):
        values.clock_time(text)


def test_a_template_is_for_an_event_a_digest_or_all() -> None:
    for text in ("succeeded", "project_down", "digest", "*"):
        assert values.template_name(text) == text
    with pytest.raises(ValueError, match="did you mean 'digest'"):
        values.template_name("digests")
