"""The client's bytes on the wire, and how it handles answers that the simulator does not give."""

import asyncio

import pytest

from daemon.errors import ConfigFault
from daemon.metastudio.errors import (
    AuthRefused,
    JobNotFound,
    ProjectFault,
    Refused,
    Throttled,
    Unavailable,
    Unusable,
)
from daemon.metastudio.settings import GivenToken, Password
from tests.support.clients import KEYS, project
from tests.support.rawhttp import Head, answer, header, raw_server, saying
from tests.support.turns import turns_until

WAITING = answer(200, b'{"job_id":"j1","state":"WAITING"}')


async def test_a_signed_query_as_documented() -> None:
    async with raw_server(saying(WAITING)) as server, project(server.url, app_user_id="u1") as ours:
        assert (await ours.show("j1", show_script=True)).state == "WAITING"
    (head,) = server.heads
    assert head.startswith("GET /v1/p1/2d-digital-human-videos/j1?show_script=true HTTP/1.1\r\n")
    assert header(head, "x-project-id") == "p1"
    assert header(head, "x-app-userid") == "u1"
    assert header(head, "x-auth-token") is None
    assert header(head, "accept-encoding") == "identity"
    proof = header(head, "authorization")
    assert proof is not None
    assert proof.startswith("SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-app-userid;x-project-id;x-sdk-date, ")
    assert "SK" not in head.replace("SDK", "")
    names = [line.partition(":")[0].lower() for line in head.split("\r\n")[1:-2]]
    assert len(names) == len(set(names))


async def test_a_query_with_a_token() -> None:
    async with raw_server(saying(WAITING)) as server, project(server.url, auth=GivenToken(token="t0k")) as ours:
        await ours.show("j1")
    (head,) = server.heads
    assert head.startswith("GET /v1/p1/2d-digital-human-videos/j1 HTTP/1.1\r\n")
    assert header(head, "x-auth-token") == "t0k"
    assert header(head, "authorization") is None


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (answer(404, b"", X_Request_Id="r1"), JobNotFound),
        (answer(404, b""), ProjectFault),
        (answer(404, b"<html>nginx</html>"), ProjectFault),
        (answer(404, b'{"error_code":"MSS.00000002","error_msg":"Not Found"}'), JobNotFound),
        (answer(400, b'{"error_code":"MSS.10001001","error_msg":"x"}'), JobNotFound),
        (answer(400, b'{"error_code":"MSS.00000003","error_msg":"x"}'), Refused),
        (answer(401, b'{"error_code":"MSS.00000001","error_msg":"Unauthorized"}'), AuthRefused),
        (answer(429, b""), Throttled),
        (answer(503, b"busy", Retry_After="9"), Unavailable),
        (answer(200, b"<html>Sign in</html>", Content_Type="application/json"), ProjectFault),
        (answer(200, b'{"job_id":"j1"}'), Unusable),
        (answer(200, b'{"job_id":"other","state":"SUCCEED"}'), Unusable),
        (answer(200, b'{"job_id":"j1","state":""}'), Unusable),
        (answer(200, b'{"job_id":"j1","state":"SUCC'), Unusable),
        (answer(200, b'["SUCCEED"]'), Unusable),
        (answer(200, b'{"error_code":"APIG.0308","error_msg":"slow down"}'), Throttled),
        (answer(407, b""), ProjectFault),
        (answer(302, b"", Location="https://login"), ProjectFault),
    ],
)
async def test_what_an_answer_means(raw: bytes, kind: type[Exception]) -> None:
    async with raw_server(saying(raw)) as server, project(server.url) as ours:
        with pytest.raises(kind) as caught:
            await ours.show("j1")
        assert type(caught.value) is kind
        assert len(server.heads) == 1


async def test_an_answer_of_another_content_type_and_with_leading_space_counts() -> None:
    raw = answer(200, b'\xef\xbb\xbf \r\n{"job_id":"j1","state":"WAITING"}', Content_Type="text/html")
    async with raw_server(saying(raw)) as server, project(server.url) as ours:
        assert (await ours.show("j1")).state == "WAITING"


async def test_a_retry_after_of_503_is_told_and_only_that_of_429_pauses_the_project() -> None:
    async with raw_server(saying(answer(503, b"", Retry_After="9"))) as server, project(server.url) as ours:
        with pytest.raises(Unavailable) as caught:
            await ours.show("j1")
        assert caught.value.retry_after == 9
        assert ours.client.budget.next_at() - ours.clock.monotonic() < 1, "it may be about one job"
    async with raw_server(saying(answer(429, b"", Retry_After="9"))) as server, project(server.url) as ours:
        with pytest.raises(Throttled):
            await ours.show("j1")
        assert ours.client.budget.next_at() - ours.clock.monotonic() > 8


async def test_a_dead_endpoint_is_unavailable() -> None:
    async with raw_server(saying(WAITING)) as server:
        url = server.url
    async with project(url) as ours:
        with pytest.raises(Unavailable, match="no connection"):
            await ours.show("j1")
    assert ours.sent == [("show", "Unavailable")]


async def test_iams_trouble_is_never_the_jobs() -> None:
    async def handler(head: Head, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(404, b'{"error":{"code":404,"message":"no","title":"Not Found"}}'))

    user = Password(domain="d", user="u", password="p")
    async with raw_server(handler) as server, project(server.url, auth=user, region="cn-north-4") as ours:
        with pytest.raises(ProjectFault, match="IAM"):
            await ours.show("j1")
    assert b'"name": "u"' in server.bodies[0]
    assert ours.sent == [("fetch_token", "404")]


async def test_a_token_answer_without_token() -> None:
    user = Password(domain="d", user="u", password="p")
    async with (
        raw_server(saying(answer(201, b"{}"))) as server,
        project(server.url, auth=user, region="x") as ours,
    ):
        with pytest.raises(Unavailable, match="no token"):
            await ours.show("j1")


async def test_an_empty_project_list_and_a_broken_one() -> None:
    for body, kind in ((b'{"projects":[]}', ProjectFault), (b'{"projects":5}', Unavailable), (b"{", Unavailable)):
        async with (
            raw_server(saying(answer(200, body))) as server,
            project(server.url, project_id=None, region="cn-north-4") as ours,
        ):
            with pytest.raises(kind):
                await ours.show("j1")


async def test_the_proxy_of_the_environment_is_used_but_not_for_loopback() -> None:
    async with raw_server(saying(WAITING)) as server:
        dead = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
        async with project(server.url, environ=dead) as ours:
            assert (await ours.show("j1")).state == "WAITING"
    async with raw_server(saying(answer(502, b""))) as server:
        async with project("https://api.invalid", environ={"HTTPS_PROXY": server.url}) as ours:
            with pytest.raises(ProjectFault, match="502"):
                await ours.show("j1")
        assert server.heads[-1].startswith("CONNECT api.invalid:443 ")


async def test_a_configured_proxy_is_used_even_for_loopback() -> None:
    async with raw_server(saying(WAITING)) as server, project("http://localhost:1", proxy=server.url) as ours:
        assert (await ours.show("j1")).state == "WAITING"
    assert server.heads[0].startswith("GET http://localhost:1/v1/p1/")


async def test_a_proxy_that_cannot_be_used_is_told_at_the_start() -> None:
    with pytest.raises(ConfigFault, match="socks5"):
        async with project("https://api.invalid", environ={"HTTPS_PROXY": "socks5://p"}):
            pass


async def test_closing_gives_up_what_is_under_way() -> None:
    user = Password(domain="d", user="u", password="p")
    async with raw_server(saying(b"")) as server:
        async with project(server.url, auth=user, region="x") as ours:
            waiting = asyncio.ensure_future(ours.show("j1"))
            await turns_until(lambda: bool(server.heads))
        with pytest.raises((asyncio.CancelledError, Unavailable)):
            await waiting
    assert ours.client.settings.auth is user
    assert KEYS.access_key == "AK"
