"""A callback's signature in every form that the service may use, and the contents of its body."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from daemon.metastudio.callback import MAX_AGE, Callback, is_genuine, read_callback

NOW = datetime(2026, 3, 1, 12, 0, 0, 250000, tzinfo=UTC)
URL = "https://wrapd.example.com/hooks/callbacks/main"
KEY = "k3y-of-the-project"


def digest(message: str, key: str = KEY) -> bytes:
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).digest()


def stamps(at: datetime) -> dict[str, int]:
    return {"s": int(at.timestamp()), "ms": round(at.timestamp() * 1000)}


FORMS = {
    "decimal": str,
    "hex": lambda number: f"{number:x}",
    "HEX": lambda number: f"{number:X}",
    "0x": hex,
}
DIGESTS = {
    "hex": lambda raw: raw.hex(),
    "HEX": lambda raw: raw.hex().upper(),
    "base64": lambda raw: quote(base64.b64encode(raw).decode(), safe=""),
    "raw base64": lambda raw: base64.b64encode(raw).decode(),
    "base64 for URLs": lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
}


def query(secret: str, time_stamp: str) -> str:
    return f"secret={secret}&time_stamp={time_stamp}"


def genuine(given: str, *, key: str = KEY, url: str = URL, now: datetime = NOW) -> bool:
    return is_genuine(given, callback_url=url, key=key, now=now)


@pytest.mark.parametrize("written", DIGESTS)
@pytest.mark.parametrize("sent", FORMS)
@pytest.mark.parametrize("signed", FORMS)
@pytest.mark.parametrize("unit", ["s", "ms"])
def test_each_form_of_the_timestamp_and_of_the_digest_is_believed(
    unit: str, signed: str, sent: str, written: str
) -> None:
    number = stamps(NOW)[unit]
    secret = DIGESTS[written](digest(URL + FORMS[signed](number)))
    time_stamp = FORMS[sent](number)
    assert genuine(query(secret, time_stamp))
    assert not genuine(query(secret, time_stamp), key="another"), "another key"
    assert not genuine(query(secret, time_stamp), url=URL + "2"), "another project"
    assert not genuine(query(secret, time_stamp), now=NOW + timedelta(seconds=MAX_AGE + 2)), "too old"
    assert not genuine(query(secret, time_stamp), now=NOW - timedelta(seconds=MAX_AGE + 2)), "from the future"
    assert genuine(query(secret, time_stamp), now=NOW + timedelta(seconds=MAX_AGE - 2))
    other = FORMS[sent](number + 60 * (1 if unit == "s" else 1000))
    assert not genuine(query(secret, other)), "another time, still fresh"


@pytest.mark.parametrize("signed", FORMS)
def test_the_query_may_count_milliseconds_where_seconds_are_signed_and_the_other_way_round(signed: str) -> None:
    both = stamps(NOW)
    assert genuine(query(digest(URL + FORMS[signed](both["s"])).hex(), f"{both['ms']:x}"))
    assert genuine(query(digest(URL + FORMS[signed](both["s"] * 1000)).hex(), f"{both['s']:x}"))


def test_the_path_alone_may_be_signed_and_the_order_of_parameters_is_free() -> None:
    number = stamps(NOW)["ms"]
    secret = digest(f"/hooks/callbacks/main{number}").hex()
    assert genuine(f"time_stamp={number:x}&more=1&secret={secret}")


def test_the_first_of_repeated_parameters_counts() -> None:
    number = stamps(NOW)["s"]
    right = query(digest(f"{URL}{number}").hex(), f"{number:x}")
    assert genuine(f"{right}&secret=0&time_stamp=0")
    assert not genuine(f"secret=0&{right}")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "secret=&time_stamp=",
        "secret=" + "0" * 64,
        "time_stamp=69a42b40",
        query("0" * 64, "69a42b40"),
        query("z" * 64, "69a42b40"),
        query("A" * 43 + "=", "69a42b40"),
        query("\u0663" * 64, "\u0663\u0664"),
        query("0" * 64, "-1"),
        query("0" * 64, "f" * 17),
        query("0" * 64, "1e9"),
        "secret=%ff%fe&time_stamp=%ff",
        "&" * 5000,
    ],
)
def test_what_is_not_signed_is_not_believed(given: str) -> None:
    assert not genuine(given)


def test_a_timestamp_of_digits_alone_is_read_both_ways_and_an_old_one_does_not_come_back() -> None:
    at = datetime.fromtimestamp(0x69999999, UTC)
    assert f"{int(at.timestamp()):x}".isdigit()
    secret = digest(f"{URL}69999999").hex()
    assert genuine(query(secret, "69999999"), now=at)
    assert not genuine(query(secret, "69999999"))
    number = stamps(NOW)["s"]
    assert genuine(query(digest(f"{URL}{number}").hex(), str(number))), "decimal in the query too"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"result": "SUCCEED", "asset_id": "a1", "job_id": "j-1"},
            Callback(job_id="j-1", result="SUCCEED", asset_id="a1"),
        ),
        ({"job_id": " j-1 ", "more": [1, {}]}, Callback(job_id="j-1")),
        ({"job_id": "j-1", "result": 5, "asset_id": None}, Callback(job_id="j-1")),
        ({"result": "FAILED"}, None),
        ({"job_id": "../j"}, None),
        ({"job_id": "x" * 129}, None),
        ({"job_id": 7}, None),
        ([], None),
        ("j-1", None),
    ],
)
def test_what_a_body_says(body: object, said: Callback | None) -> None:
    assert read_callback(json.dumps(body).encode()) == said


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 60_000, b'{"job_id": "\xed\xa0\x80"}'])
def test_a_body_that_is_no_json_says_nothing(body: bytes) -> None:
    assert read_callback(body) is None
