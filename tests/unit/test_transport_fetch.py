"""Files from any server: bounded in size, and only from the named server."""

import pytest

from daemon import addresses
from daemon.addresses import Reach, is_inside, may_reach
from daemon.transport import Broken, NotSent, TimedOut, Timeouts, TooLarge, fetch
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
        ("100.64.0.1", True),
        ("224.0.0.1", True),
        ("255.255.255.255", True),
        ("240.0.0.1", True),
        ("::", True),
        ("fe80::1", True),
        ("fe80::1%lo", True),
        ("fd00::1", True),
        ("fec0::1", True),
        ("ff02::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", True),
        ("::127.0.0.1", True),
        ("64:ff9b::7f00:1", True),
        ("64:ff9b::a00:1", True),
        ("64:ff9b::808:808", False),
        ("2002:7f00:1::", True),
        ("2002:c0a8:1::1", True),
        ("2002:808:808::1", False),
        ("::ffff:8.8.8.8", False),
        ("2001:0:808:808::80ff:fffe", True),  # Teredo of 127.0.0.1
        ("2606:4700::1111", False),
        ("8.8.8.8", False),
        ("h.example.com", False),
    ],
)
def test_addresses_of_this_machine_and_its_network(host: str, inside: bool) -> None:
    assert is_inside(host) is inside


def test_shared_addresses_are_the_clouds_own_where_its_names_lead_there() -> None:
    assert may_reach("100.125.1.1", Reach.CLOUD)
    assert not may_reach("100.125.1.1", Reach.OUTSIDE)
    assert not may_reach("10.0.0.1", Reach.CLOUD)
    assert may_reach("10.0.0.1", Reach.ANY)
    assert may_reach("9.9.9.9", Reach.OUTSIDE)
    assert not may_reach("example.com", Reach.OUTSIDE), "names are not judged"


def test_this_machines_own_address_lies_inside_whatever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_lies_inside", lambda _: False)
    assert not may_reach("127.0.0.1", Reach.OUTSIDE)
