"""Waiting for what no event of its own announces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Look again and again until it is true.

    Raises:
        TimeoutError: It never was.
    """
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)
