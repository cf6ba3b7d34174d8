"""The meaning of each error answer: by its code, then by its status."""

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.masks import Masks
from daemon.metastudio import errors
from daemon.metastudio.errors import (
    MAX_WAIT,
    ApiError,
    AuthRefused,
    JobNotFound,
    ProjectFault,
    Refused,
    Throttled,
    Unavailable,
    Unusable,
    error_of,
    error_of_transport,
    http_date,
)
from daemon.transport import Answer, Broken, Cause, Headers, NotSent, TimedOut, TooLarge, TransportError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"


def judged(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> ApiError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    pairs = [
        (name.replace("_", "-").encode(), value.encode("latin-1", "replace")) for name, value in headers.items()
    ]
    return error_of(Answer(status=status, headers=Headers(pairs), body=raw), now=NOW, rng=random.Random(1))


def coded(code: str, status: int) -> ApiError:
    return judged(status, {"error_code": code, "error_msg": "why", "request_id": "r1"})


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("MSS.00000001", 401, AuthRefused),
        ("MSS.00000002", 404, JobNotFound),
        ("MSS.00000002", 400, JobNotFound),
        ("MSS.00000003", 400, Refused),
        ("MSS.00000004", 500, Unavailable),
        ("MSS.00010003", 400, JobNotFound),
        ("MSS.00010009", 400, JobNotFound),
        ("MSS.10001001", 400, JobNotFound),
        ("MSS.99999999", 404, JobNotFound),
        ("APIG.0101", 404, ProjectFault),
        ("APIGW.0101", 404, ProjectFault),
        ("APIG.0106", 404, ProjectFault),
        ("APIG.0201", 400, Refused),
        ("APIG.0203", 504, Unavailable),
        ("APIG.0301", 401, AuthRefused),
        ("APIGW.0301", 401, AuthRefused),
        ("APIG.0306", 403, ProjectFault),
        ("APIG.0307", 401, AuthRefused),
        ("APIG.0308", 429, Throttled),
        ("APIG.9999", 502, Unavailable),
        ("MSS.00000004", 200, Unavailable),
        ("MSS.00000002", 200, JobNotFound),
    ],
)
def test_by_code(code: str, status: int, kind: type[ApiError]) -> None:
    error = coded(code, status)
    assert type(error) is kind
    assert (error.status, error.error_code, error.error_msg, error.request_id) == (status, code, "why", "r1")
    for part in (code, "why", "r1", str(status)):
        assert part in str(error)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b"", Refused),
        (401, b"", AuthRefused),
        (401, PAGE, AuthRefused),
        (403, PAGE, ProjectFault),
        (404, {}, JobNotFound),
        (404, {"error_msg": "gone"}, JobNotFound),
        (404, PAGE, ProjectFault),
        (404, b"", ProjectFault),
        (404, b"404 page not found", ProjectFault),
        (405, b"", Refused),
        (407, b"", ProjectFault),
        (408, b"", Unavailable),
        (429, b"", Throttled),
        (500, PAGE, Unavailable),
        (502, b"", Unavailable),
        (503, b"{", Unavailable),
        (301, b"", ProjectFault),
        (302, PAGE, ProjectFault),
        (304, b"", ProjectFault),
        (200, PAGE, ProjectFault),
        (200, b"\xef\xbb\xbf \n<html>", ProjectFault),
        (200, b"", Unusable),
        (200, b'{"state": "WAI', Unusable),
        (200, b"[]", Unusable),
        (204, b"", Unusable),
    ],
)
def test_by_status(status: int, body: bytes | dict[str, Any], kind: type[ApiError]) -> None:
    assert type(judged(status, body)) is kind


def test_an_empty_404_is_the_apis_own_only_with_its_request_id() -> None:
    assert type(judged(404, b"", X_Request_Id="r1")) is JobNotFound
    assert type(judged(404, PAGE, X_Request_Id="r1")) is ProjectFault


def test_iams_shape() -> None:
    error = judged(401, {"error": {"code": 401, "message": "The password is wrong.", "title": "Unauthorized"}})
    assert type(error) is AuthRefused
    assert error.error_msg == "The password is wrong."


@pytest.mark.parametrize(
    "body",
    [
        {"error_code": 5, "error_msg": ["x"]},
        {"error_code": {"a": 1}},
        {"error_code": None},
        {"error": "no"},
        {"error_code": "\n  \t"},
        {"error_msg": "x" * 100_000},
    ],
)
def test_odd_error_bodies_never_raise(body: dict[str, Any]) -> None:
    error = judged(500, body)
    assert type(error) is Unavailable
    assert len(str(error)) < 600


def test_a_text_that_names_a_secret_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = Masks()
    masks.add(["AKIDEXAMPLE"])
    monkeypatch.setattr(errors, "MASKS", masks)
    error = judged(
        401, {"error_code": "APIG.0301", "error_msg": "Get secretKey failed,ak:AKIDEXAMPLE,err:ak not exist"}
    )
    assert "AKIDEXAMPLE" not in str(error)
    assert "ak not exist" in str(error)


def test_a_text_with_line_ends_stays_one_line() -> None:
    assert "\n" not in str(judged(400, {"error_msg": "one\ntwo\r\n  three"}))


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("3600", MAX_WAIT),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Thu, 01 Jan 2026 01:00:00 GMT", MAX_WAIT),
    ],
)
def test_retry_after(header: str, wait: float) -> None:
    assert judged(503, Retry_After=header).retry_after == wait
    throttled = judged(429, Retry_After=header).retry_after
    assert throttled is not None
    assert throttled == wait if wait > 5 else 2 <= throttled <= 5, "a floor over our own wait"


NO_WAIT = [
    "", "soon", "nan", "inf", "-inf", "1e400", "1e3", "0", "-0", "-1", "-3", "0x10", "1_0", "+5", "5,5", "\xb2",
    "1" * 21, "1" * 5000, "99999999", "100000000000000000000", "Thu, 99 Foo 2026 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 -2300", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 +2300",
    "Thu, 01 Jan 1970 00:00:00 GMT", "Wed, 31 Dec 2025 23:59:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT",
    "Thu, 01 Jan 2026 00:01:00 " + "G" * 500, "Thu, 01 Jan 2026 00:01:00 +99999999999999999999",
]  # fmt: skip


@pytest.mark.parametrize("header", NO_WAIT)
def test_what_cannot_be_meant_is_no_wait(header: str) -> None:
    assert judged(503, Retry_After=header).retry_after is None


@given(st.text(max_size=80))
def test_no_header_raises(header: str) -> None:
    http_date(header)
    wait = judged(503, Retry_After=header).retry_after
    assert wait is None or 0 < wait <= MAX_WAIT


def test_a_date_to_wait_for_is_by_the_clock_that_wrote_it() -> None:
    told = {"Retry_After": "Thu, 01 Jan 2026 06:00:30 GMT", "Date": "Thu, 01 Jan 2026 06:00:00 GMT"}
    assert judged(503, **told).retry_after == 30


@pytest.mark.parametrize("header", NO_WAIT)
def test_throttled_without_a_time_waits_2_to_5_seconds(header: str) -> None:
    wait = judged(429, Retry_After=header).retry_after
    assert wait is not None
    assert 2 <= wait <= 5
    assert judged(503, Retry_After=header).retry_after is None


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (NotSent("x", Cause.DNS), Unavailable),
        (NotSent("x", Cause.CONNECT), Unavailable),
        (NotSent("x", Cause.TLS), ProjectFault),
        (NotSent("x", Cause.PROXY), ProjectFault),
        (Broken("x"), Unavailable),
        (TimedOut("x"), Unavailable),
        (TooLarge("x"), Unusable),
    ],
)
def test_a_failed_exchange(failure: TransportError, kind: type[ApiError]) -> None:
    assert type(error_of_transport(failure)) is kind


def test_every_error_is_named_by_what_to_do() -> None:
    named = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ApiError)}
    assert named == {
        "ApiError",
        "AuthPaused",
        "AuthRefused",
        "JobNotFound",
        "ProjectFault",
        "ProjectPaused",
        "Refused",
        "Throttled",
        "Unavailable",
        "Unusable",
    }
