"""Audio goes on whatever the control plane is busy with (DESIGN section 1)."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import httpx

from tests.support.blockable import BLOCK_S, LONG_BLOCK_S
from tests.support.ground import Ground, bystanders, hostile_ground


async def seconds_to_answer(ground: Ground) -> float:
    """How long the event loop takes for the simplest request."""
    began_at = time.monotonic()
    async with httpx.AsyncClient(timeout=4 * LONG_BLOCK_S) as client:
        await client.get(f"{ground.server.url}/healthz")
    return time.monotonic() - began_at


async def test_a_blocked_event_loop_is_not_heard(tmp_path: Path) -> None:
    async with hostile_ground(tmp_path, module="tests.support.blockable") as ground, ground.undisturbed():
        for _ in range(3):
            ground.server.process.send_signal(signal.SIGUSR1)
            await asyncio.sleep(0.05)
            assert await seconds_to_answer(ground) > BLOCK_S / 2, "the event loop was not blocked"


async def test_five_seconds_without_python_are_not_heard_and_made_up_for(tmp_path: Path) -> None:
    async with hostile_ground(tmp_path, module="tests.support.blockable") as ground:
        async with ground.undisturbed():
            ground.server.process.send_signal(signal.SIGUSR2)
            await asyncio.sleep(0.05)
            assert await seconds_to_answer(ground) > LONG_BLOCK_S / 2, "the event loop was not blocked"
        # Nothing is stuck: another two connect and hear each other.
        async with bystanders(ground.server, ground.callers, "afterwards"):
            assert await ground.held("transports") == 4
