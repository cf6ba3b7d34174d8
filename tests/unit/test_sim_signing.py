"""The verifier compared with the official signer, over generated requests."""

from types import SimpleNamespace
from urllib.parse import quote

import pytest
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from hypothesis import given
from hypothesis import strategies as st

from daemon.sim.signing import canonical_path, canonical_query, expected_signature, parse_authorization, parse_date

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
HEADER = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc"]), max_size=12
)


@given(
    path=st.lists(TEXT, min_size=1, max_size=4),
    query=st.lists(st.tuples(TEXT, TEXT | st.lists(TEXT, max_size=3)), max_size=4),
    headers=st.dictionaries(
        st.sampled_from(["X-App-UserId", "X-Security-Token", "User-Agent", "with_under"]), HEADER
    ),
    body=st.binary(max_size=20),
    secret=st.text("abcXYZ019+/", min_size=1, max_size=40),
)
def test_it_expects_what_the_official_signer_makes(
    path: list[str],
    query: list[tuple[str, str | list[str]]],
    headers: dict[str, str],
    body: bytes,
    secret: str,
) -> None:
    resource = "/" + "/".join(quote(part, safe="") for part in path)
    pairs = [(name, part) for name, value in query for part in ([value] if isinstance(value, str) else value)]
    request = SdkRequest(
        method="POST",
        schema="http",
        host="127.0.0.1:8080",
        resource_path=resource,
        query_params=pairs,
        header_params={"X-Sdk-Date": "20260301T120000Z", "Content-Type": "application/json", **headers},
        body=body,
    )
    Signer(SimpleNamespace(ak="AK", sk=secret)).sign(request)
    claim = parse_authorization(request.header_params["Authorization"])
    assert claim is not None
    wire_path, _, wire_query = request.uri.partition("?")
    wire_headers = {
        name.lower(): value.encode("iso-8859-1").decode() for name, value in request.header_params.items()
    }
    signature = expected_signature(
        secret,
        method="POST",
        path=wire_path,
        query=wire_query,
        headers=wire_headers,
        signed_headers=claim.signed_headers,
        date=wire_headers["x-sdk-date"],
        body=body,
    )
    assert signature == claim.signature


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/", "/"),
        ("/v1/p", "/v1/p/"),
        ("/a%20b/~c", "/a%20b/~c/"),
        ("/a+b", "/a%2Bb/"),
        ("/%E5%AD%97/", "/%E5%AD%97/"),
    ],
)
def test_canonical_paths(path: str, canonical: str) -> None:
    assert canonical_path(path) == canonical


def test_a_query_is_sorted_by_what_it_means() -> None:
    assert canonical_query([("b", ""), ("a", "é"), ("a", "~"), ("a", "b c")]) == "a=b%20c&a=~&a=%C3%A9&b="


def test_a_header_that_was_signed_must_be_there() -> None:
    assert (
        expected_signature(
            "s", method="GET", path="/", query="", headers={}, signed_headers="host", date="x", body=b""
        )
        is None
    )


def test_claims_and_dates() -> None:
    claim = parse_authorization("SDK-HMAC-SHA256 Access=A, SignedHeaders=a;b, Signature=0f")
    assert claim is not None
    assert (claim.access_key, claim.signed_headers, claim.signature) == ("A", "a;b", "0f")
    assert parse_authorization("SDK-HMAC-SM3 Access=A, SignedHeaders=a;b, Signature=0f") is None
    assert parse_authorization("SDK-HMAC-SHA256 Access=A, Signature=0f") is None
    assert parse_date("20260301T120000Z") == 1772366400
    assert parse_date("20261301T120000Z") is None
    assert parse_date("2026-03-01T12:00:00Z") is None
