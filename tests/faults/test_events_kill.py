"""A hundred clients while the daemon is killed again and again: each ends with what the database has, and no event
comes twice."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.programs import ROOT
from tests.support.streaming import JOBS, MOVES, STATES
from tests.support.streams import Client, connect

CLIENTS = 100
KILLS = (300, 700, 1000, 1300, 1700)
SLACK = 100
"""Transitions that may be recorded until a kill arrives."""
UNLIMITED = 100_000


class World:
    """The process, and where it listens now."""

    def __init__(self, folder: Path, pace: int) -> None:
        self.folder, self.pace = folder, pace
        self.address = ""
        self.up = asyncio.Event()
        self.process: asyncio.subprocess.Process

    async def start(self, end: int) -> None:
        """Start it; it records transitions up to `end`, and goes on serving."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.streaming",
            str(self.folder),
            str(self.pace),
            str(end),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        self.address = await self.said("at", 0)
        self.up.set()

    async def said(self, word: str, least: int) -> str:
        """Wait until it says so of a number from `least` on; that one may have been said before it was killed."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while line := (await self.process.stdout.readline()).decode().split():
                if line[0] == word and (not least or int(line[1]) >= least):
                    return line[1]
        raise AssertionError(f"the process ended before it said {word!r}")

    async def kill(self) -> None:
        self.up.clear()
        self.process.kill()
        await self.process.wait()

    def jobs(self) -> dict[str, int]:
        """The version of each job, as a list of the API would have it."""
        with closing(sqlite3.connect(self.folder / "web.db")) as database:
            query = "SELECT job_id, (SELECT count(*) FROM transitions WHERE job = jobs.id) FROM jobs"
            return dict(database.execute(query).fetchall())


class Watcher:
    """A client that keeps a set up to date: reads it once, follows the events, resumes, and reads it again only if
    told to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: dict[str, int] = {}
        self.last: int | None = None
        self.events: list[tuple[int, str, int]] = []
        self.resyncs = self.connections = 0

    async def run(self) -> None:
        while True:
            await self.world.up.wait()
            try:
                client = await connect(self.world.address, last=self.last)
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.01)  # it was killed just now
                continue
            self.connections += 1
            try:
                await self.follow(client)
            finally:
                client.close()

    async def follow(self, client: Client) -> None:
        if self.last is None:
            if (begun := await client.begun()) is None:
                return
            self.last, self.seen = begun, self.world.jobs()
        while (event := await client.next()) is not None:
            self.last = event.id
            if event.name == "resync":
                self.resyncs += 1
                self.seen = self.world.jobs()
            else:
                job, version = event.data["job_id"], event.data["version"]
                self.events.append((event.id or 0, job, version))
                self.seen[job] = version


@pytest.mark.long
@pytest.mark.parametrize("pace", [12, UNLIMITED])
async def test_each_client_ends_with_what_the_database_has(tmp_path: Path, pace: int) -> None:
    world = World(tmp_path, pace)
    await world.start(KILLS[0] + SLACK)
    watchers = [Watcher(world) for _ in range(CLIENTS)]
    tasks = [asyncio.create_task(watcher.run()) for watcher in watchers]
    try:
        for number, following in pairwise((*KILLS, MOVES)):
            await world.said("move", number)
            await world.kill()
            await world.start(min(following + SLACK, MOVES))
        await world.said("done", 0)
        wanted = world.jobs()
        assert sum(wanted.values()) == MOVES == JOBS * len(STATES)
        async with asyncio.timeout(60):
            while any(watcher.seen != wanted for watcher in watchers):
                await asyncio.sleep(0.05)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await world.kill()
    for watcher in watchers:
        ids = [place for place, _, _ in watcher.events]
        assert ids == sorted(set(ids)), "in the order of commits, each once"
        told = [(job, version) for _, job, version in watcher.events]
        assert len(told) == len(set(told)), "no transition is told twice"
        assert watcher.connections >= 2
        assert watcher.resyncs == 0 or pace != UNLIMITED
