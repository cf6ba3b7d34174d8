"""Waiting for what happens in the test's own event loop and what nothing announces."""

import asyncio
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds after which what must happen has not."""


async def turns_until(holds: Callable[[], bool]) -> None:
    """Give the event loop turns, as many as it takes until `holds`; no time has to pass for it."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0)
