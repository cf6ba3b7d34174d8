"""Waits in the test's own event loop for conditions that are not announced."""

import asyncio
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds after which an expected condition counts as missing."""


async def turns_until(holds: Callable[[], bool]) -> None:
    """Give the event loop turns until `holds`; no time needs to pass."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0)
