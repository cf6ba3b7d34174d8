"""Files from any server: bounded, and never from another server than the one that was named."""

import pytest

from daemon.transport import Broken, NotSent, TimedOut, Timeouts, TooLarge, fetch, is_inside
from tests.support.webhook import Answer, Webhook

FAST = Timeouts(connect=2.0, read=2.0, total=5.0)


async def body(url: str, *, timeouts: Timeouts = FAST, max_bytes: int = 1000) -> bytes:
    return (await fetch(url, timeouts=timeouts, max_bytes=max_bytes)).body


async def test_a_whole_answer_of_any_status() -> None:
    with Webhook() as server:
        server.program(Answer(body=b"abc"), Answer(status=404, body=b"none"))
        url = f"http://{server.address}/a%20b?Signature=x%3D&n=1"
        assert (await fetch(url, timeouts=FAST, max_bytes=10)).body == b"abc"
        answer = await fetch(f"http://{server.address}", timeouts=FAST, max_bytes=10)
        assert (answer.status, answer.body) == (404, b"none")
    assert [request.path for request in server.requests] == ["/a%20b?Signature=x%3D&n=1", "/"]


@pytest.mark.parametrize(
    "where", ["http://127.0.0.1:1/x", "https://h.example.com/x", "//127.0.0.1:1/x", "file:///etc/passwd"]
)
async def test_no_redirect_leads_away(where: str) -> None:
    with Webhook(default=Answer(status=302, headers={"Location": where})) as server:
        with pytest.raises(Broken, match="another server"):
            await body(f"http://{server.address}/a")
    assert len(server.requests) == 1


async def test_a_name_that_only_begins_alike_is_another_server() -> None:
    with Webhook() as server:
        server.default = Answer(status=302, headers={"Location": f"http://{server.address}0/x"})
        with pytest.raises(Broken, match="another server"):
            await body(f"http://{server.address}/a")


async def test_redirects_end() -> None:
    with Webhook(default=Answer(status=302, headers={"Location": "?again"})) as server:
        with pytest.raises(Broken, match="more than 3 times"):
            await body(f"http://{server.address}/a")
    assert len(server.requests) == 4


async def test_it_is_bounded_in_size_and_time() -> None:
    with Webhook(default=Answer(body=b"x" * 1001)) as server:
        with pytest.raises(TooLarge):
            await body(f"http://{server.address}/a")
    with Webhook(default=Answer(body=b"x" * 500, drip=0.05)) as server:
        with pytest.raises(TimedOut):
            await body(f"http://{server.address}/a", timeouts=Timeouts(connect=1.0, read=1.0, total=0.2))


@pytest.mark.parametrize(
    "url",
    ["https://{endpoint}/c.png", "http://a b/c", "http://[::1/c", "http://host:99999/c", "c.png", "http:///c"],
)
async def test_a_url_that_cannot_be_used_is_never_sent(url: str) -> None:
    with pytest.raises(NotSent):
        await body(url)


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("192.168.0.1", True),
        ("169.254.169.254", True),
        ("::1", True),
        ("0.0.0.0", True),
        ("8.8.8.8", False),
        ("h.example.com", False),
    ],
)
def test_addresses_of_this_machine_and_its_network(host: str, inside: bool) -> None:
    assert is_inside(host) is inside
