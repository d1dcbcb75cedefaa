"""Publishing and ending a track a thousand times leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.callers import joined
from tests.support.ground import Ground, hostile_ground, resident_mb

CYCLES = 1000
WARM_UP = 200
MEMORY_MB = 6.0
"""Over the last 800 cycles; a leak of 10 kB a cycle is 8."""
LOG_LINES = 5 * CYCLES


def streams(sdp: str) -> tuple[int, set[str]]:
    """Sections and SSRCs of a description."""
    return sdp.count("\r\nm="), set(re.findall(r"^a=ssrc:(\d+)", sdp, re.MULTILINE))


async def held(ground: Ground) -> list[float]:
    """What the packet plane holds."""
    return [await ground.held(what) for what in ("transports", "tracks", "slots", "addresses")]


@pytest.mark.slow
async def test_a_thousand_publications_leave_nothing_behind(tmp_path: Path) -> None:
    # As fast as the server can, which its limit for one client would not allow.
    async with hostile_ground(tmp_path, limits__messages_per_second="100000") as ground:
        url = ground.server.ws_url
        async with (
            joined(ground.callers, url, ground.token("busy", "cycles"), audio=1, video=1, receive=0) as busy,
            joined(ground.callers, url, ground.token("hearer", "cycles"), receive=2) as hearer,
        ):
            await busy.connected()
            await hearer.connected()
            busy.speak()
            await hearer.until(lambda: hearer.bound)
            sections, mids = len(busy.agreed.sections), set(hearer.bound)
            async with ground.undisturbed(memory_mb=60, log_lines=LOG_LINES):
                for _ in range(WARM_UP):
                    await busy.publish_again()
                memory, holding = resident_mb(ground.server), await held(ground)
                for _ in range(CYCLES - WARM_UP):
                    await busy.publish_again()
                grown = resident_mb(ground.server) - memory
            assert grown < MEMORY_MB, f"{grown:.1f} MB in {CYCLES - WARM_UP} cycles"
            assert await held(ground) == holding
            assert len(busy.agreed.sections) == sections
            answers = [message["sdp"] for message in busy.messages if message["type"] == "answer"]
            assert len(answers) == CYCLES
            assert streams(answers[0]) == streams(answers[-1])
            # The other one was offered nothing new: each track came in the section of the one before.
            await hearer.until(lambda: busy.published.keys() and hearer.bound)
            assert set(hearer.bound) == mids
            assert not [message for message in hearer.messages if message["type"] == "sections_needed"][1:]
            async with hearer.metered(next(iter(hearer.bound))) as meter:
                await ground.listen(meter)
