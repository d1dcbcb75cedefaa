"""A thousand clients in one room: they connect in one moment, and the room ends. Nobody else hears it.

The tests of this file share one crowd and run in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.support.callers import Callers
from tests.support.crowd import Member, joined_crowd
from tests.support.ground import Ground, hostile_ground, labelled

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.bench]

SIZE = 1000
ROOM = "crowd"
CONNECTED_S = 60.0
MEMORY_MB = 400.0
"""A thousand DTLS associations at 300 kB each, and slack."""
LOG_LINES = 5 * SIZE
ENDED_S = 30.0
SETTINGS = {
    "session__connect_timeout_s": "300",
    # Figures of a thousand transports, ten times a second, would be most of what the loop does.
    "http__metrics_interval_s": "2",
}
BYSTANDERS = 2


@dataclass
class Crowd:
    """Everybody, on a plane of their own, and whose room it is not."""

    ground: Ground
    callers: Callers
    members: list[Member]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crowd]:
    """A thousand who have joined one room, and send nothing yet."""
    folder = tmp_path_factory.mktemp("crowd")
    async with hostile_ground(folder, **SETTINGS) as ground:
        callers = Callers()
        try:
            async with joined_crowd(ground.server, callers, ROOM, SIZE) as members:
                yield Crowd(ground, callers, members)
        finally:
            await callers.close()


async def test_a_thousand_handshakes_at_once_are_not_heard(crowd: Crowd) -> None:
    async with crowd.ground.undisturbed(memory_mb=MEMORY_MB, log_lines=LOG_LINES):
        for member in crowd.members:
            member.start(crowd.ground.address)
        everybody = lambda: all(member.connected for member in crowd.members)  # noqa: E731
        await crowd.callers.until(everybody, CONNECTED_S)


async def lag_buckets(ground: Ground) -> dict[str, float]:
    """Readings of the event loop's lag, by upper bound in seconds."""
    return labelled(await ground.server.metrics(), "airside_event_loop_lag_seconds_bucket", "le")


async def test_a_room_of_a_thousand_ends_without_holding_up_the_loop(crowd: Crowd) -> None:
    ground = crowd.ground
    before = await lag_buckets(ground)
    async with ground.undisturbed(log_lines=LOG_LINES):
        await ground.server.api("DELETE", f"/rooms/{ROOM}", room=ROOM)
        async with asyncio.timeout(ENDED_S):
            leaves = [await member.left for member in crowd.members]
    assert {leave["code"] for leave in leaves} == {"room_deleted"}
    after = await lag_buckets(ground)
    late = (after["+Inf"] - after["0.25"]) - (before["+Inf"] - before["0.25"])
    assert late == 0, "a turn of the loop took more than 250 ms"
    async with asyncio.timeout(ENDED_S):
        while await ground.held("transports") > BYSTANDERS:
            pass
    assert await ground.held("slots") <= 1
