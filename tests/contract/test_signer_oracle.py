"""Our signatures against those of the official SDK's signer, over generated requests."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer as OfficialSigner
from hypothesis import given
from hypothesis import strategies as st

from daemon.metastudio.auth import Signer, canonical_query, sdk_date

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,12}", fullmatch=True)
DATES = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1))  # noqa: DTZ001 - hypothesis adds the zone below
TAKEN = {"host", "x-sdk-date", "x-security-token", "authorization", "content-type", "x-sdk-content-sha256"}


def official(
    keys: tuple[str, str], method: str, path: str, query: Any, headers: dict[str, str], body: bytes
) -> tuple[str, str]:
    """Return the Authorization header, and the path and query that the SDK sends."""
    request = SdkRequest(
        method=method,
        schema="https",
        host=headers["Host"],
        resource_path=path,
        query_params=list(query),
        header_params=dict(headers),
        body=body,
    )
    signed = OfficialSigner(SimpleNamespace(ak=keys[0], sk=keys[1])).sign(request)
    return signed.header_params["Authorization"], signed.uri


@given(
    keys=st.tuples(VISIBLE, st.one_of(VISIBLE, st.text(min_size=1, max_size=100).filter(str.isascii))),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "get"]),
    path=st.lists(TEXT, max_size=5).map(lambda parts: "/" + "/".join(parts)),
    query=st.lists(st.tuples(st.sampled_from(["job_ids", "state", "a b", "é", "~"]) | TEXT, TEXT), max_size=6),
    extra=st.dictionaries(NAMES.filter(lambda name: name.lower() not in TAKEN), VISIBLE, max_size=3),
    token=st.none() | VISIBLE,
    body=st.binary(max_size=50),
    moment=DATES,
)
def test_the_same_signature_as_the_official_signer(
    keys: tuple[str, str],
    method: str,
    path: str,
    query: list[tuple[str, str]],
    extra: dict[str, str],
    token: str | None,
    body: bytes,
    moment: datetime,
) -> None:
    extra = {name.lower(): value for name, value in extra.items()}
    headers = {"Host": "metastudio.example.com:8443", "X-Sdk-Date": sdk_date(moment.replace(tzinfo=UTC))} | extra
    if token is not None:
        headers["X-Security-Token"] = token
    theirs, uri = official(keys, method, path, query, headers, body)
    ours = Signer(*keys).sign(method, path, canonical_query(query), list(headers.items()), body)
    assert ours == theirs
    assert uri.removeprefix(path).removeprefix("?") == canonical_query(query)


@given(
    values=st.lists(TEXT, min_size=1, max_size=5),
    flag=st.booleans(),
    moment=DATES,
)
def test_a_repeated_key_as_the_sdk_has_it(values: list[str], flag: bool, moment: datetime) -> None:
    """The SDK represents a repeated key as a list, and a flag as a bool; on the wire both are strings."""
    headers = {"Host": "h", "X-Sdk-Date": sdk_date(moment.replace(tzinfo=UTC))}
    theirs, _ = official(
        ("AK", "SK"),
        "GET",
        "/v1/p/digital-human-videos",
        [("job_ids", list(values)), ("show", flag)],
        headers,
        b"",
    )
    pairs = canonical_query([*(("job_ids", value) for value in values), ("show", str(flag).lower())])
    assert Signer("AK", "SK").sign("GET", "/v1/p/digital-human-videos", pairs, list(headers.items())) == theirs


@given(
    ids=st.tuples(*[st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)] * 2),
    script=st.booleans(),
    user=st.none() | VISIBLE,
    token=st.none() | VISIBLE,
    moment=DATES,
)
def test_the_template_for_queries(
    ids: tuple[str, str], script: bool, user: str | None, token: str | None, moment: datetime
) -> None:
    path = f"/v1/{ids[0]}/2d-digital-human-videos/{ids[1]}"
    query = [("show_script", "true")] if script else []
    headers = {"Host": "127.0.0.1:8443", "X-Project-Id": ids[0]}
    if user is not None:
        headers["X-App-UserId"] = user
    if token is not None:
        headers["X-Security-Token"] = token
    date = sdk_date(moment.replace(tzinfo=UTC))
    theirs, _ = official(("AK", "SK"), "GET", path, query, headers | {"X-Sdk-Date": date}, b"")
    template = Signer("AK", "SK").template(list(headers.items()))
    assert template.sign(path, date, canonical_query(query)) == theirs


def test_the_date_is_written_as_the_sdk_does() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)
    assert sdk_date(moment) == moment.strftime("%Y%m%dT%H%M%SZ") == "20260102T030405Z"
