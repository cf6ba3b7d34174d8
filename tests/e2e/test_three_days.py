"""A chat is down for three days: its alerts arrive once it is back, in order, each once, with working links, and
saying how late they are."""

import json
import re
from pathlib import Path

import pytest

from daemon.notify.outbox import ChannelPlan
from tests.support.delivering import Way, fetch, way
from tests.support.services import SERVICES, Stand
from tests.support.webhook import Received, Webhook

HOUR = 3600.0
_LINK = re.compile(rb'https?://[^"\\ )]+video\.mp4[^"\\ )]*')


def link(received: Received) -> str:
    """Return the link to the video in a message."""
    found = _LINK.search(received.body)
    assert found is not None, received.body
    return found[0].decode()


async def live_through(way: Way, hours: int, *, every: int) -> list[str]:
    """Advance this many hours; a job ends at the start of every `every`-th one."""
    jobs: list[str] = []
    for hour in range(hours):
        if hour % every == 0:
            jobs += await way.end_jobs()
        await way.later(HOUR)
    return jobs


@pytest.mark.parametrize("service", ["json", "feishu"])
async def test_three_days_away(service: str, tmp_path: Path) -> None:
    """Six alerts over three days: each arrives as a separate message."""
    before = Webhook() if service == "json" else Stand(SERVICES[service])
    with before:
        url = before.url()
    async with way(tmp_path, url) as whole:
        jobs = await live_through(whole, 72, every=12)
        assert before.requests == []
        old = [job.asset.download_url or "" for job in map(whole.watch.job, jobs)]
        # The first one was retried all the time, each time with a valid link.
        assert [await fetch(each) for each in old[1:4]] == [403] * 3, "the others' links are dead"
        back = Webhook(port=before.port) if service == "json" else Stand(SERVICES[service], port=before.port)
        with back:
            for _ in range(3):
                await whole.later(900)
            for _ in jobs:  # each waits for the service's pace within a second
                await whole.later(1)
            messages = list(back.requests)
            assert [await fetch(link(each)) for each in messages] == [200] * len(jobs)
        names = [whole.watch.job(job).asset.asset_name or job for job in jobs]
        assert [row.status for row in whole.rows()] == ["sent"] * len(jobs)
        assert not any(row.possible_repeat for row in whole.rows())
        asked = whole.watch.requests()
    bodies = [json.dumps(each.json, ensure_ascii=False) for each in messages]
    arrived = [[name for name in names if name in body] for body in bodies]
    if service == "json":  # a webhook gets several messages at a time
        arrived.sort(key=lambda found: names.index(found[0]))
    assert arrived == [[name] for name in names]
    assert all("chat was unreachable" in body for body in bodies)
    assert "finished 1 Jan 00:00, reported 4 Jan" in bodies[0]
    assert asked <= 3 * len(jobs), "each job is asked about once more at most"


async def test_the_links_of_a_digest_after_three_days_are_those_of_wrapd(tmp_path: Path) -> None:
    """A chat that missed many gets one message, whose links work as long as the videos exist."""
    with Stand(SERVICES["feishu"]) as before:
        url = before.url()
    async with way(tmp_path, url, public_url="https://videos.example.com") as whole:
        jobs = await live_through(whole, 72, every=4)
        with Stand(SERVICES["feishu"], port=before.port) as back:
            for _ in range(3):
                await whole.later(900)
            messages = [each.body.decode() for each in back.requests]
            complaints = back.complaints
        rows = whole.rows()
    assert complaints == []
    assert len(messages) <= 3
    assert {row.status for row in rows} == {"sent"}
    links = [link for body in messages for link in re.findall(r"https://videos\.example\.com/v/[\w-]+", body)]
    assert len(set(links)) == len(jobs) == 18, "one link for each video"
    assert "video.mp4" not in "".join(messages)
    assert "unreachable" in "".join(messages)


async def test_a_few_videos_in_a_digest_have_fresh_links_without_a_public_url(tmp_path: Path) -> None:
    with Stand(SERVICES["feishu"]) as before:
        url = before.url()
    async with way(tmp_path, url, plan=ChannelPlan(digest_above=2)) as whole:
        jobs = await live_through(whole, 72, every=12)
        with Stand(SERVICES["feishu"], port=before.port) as back:
            for _ in range(3):
                await whole.later(900)
            bodies = [each.body for each in back.requests]
            links = {each.decode() for body in bodies for each in _LINK.findall(body)}
            assert {await fetch(each) for each in links} == {200}
    assert len(links) == len(jobs)
    assert len(bodies) <= 2
