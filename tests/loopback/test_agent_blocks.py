"""An agent that stands still, connected over loopback: nobody else notices, and it loses the oldest."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from sfu.agents import DataReceived, PcmSource, Room
from sfu.agents.tracks import AUDIO_BACKLOG
from tests.support.ground import ROOM, Ground
from tests.support.server import API_KEY, API_SECRET, ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")

BLOCKED_S = 3.0
WAIT_S = 30.0
ANSWER_S = 1.0
"""For the server to answer, and the longest silence between bystanders, while the agent stands still; a busy
machine needs some of it."""
SLEEPER = f"""
import asyncio
import time

from sfu.agents import JobContext, Worker

worker = Worker("sleeper")


@worker.entry
async def sleeper(job: JobContext) -> None:
    room = await job.connect()
    await room.connected()
    async for track in job.audio_tracks():
        if track.participant.identity != "alice":
            continue
        with track.raw_audio() as heard:
            await anext(heard)
            await room.send_data(b"now", topic="sleeps")
            await asyncio.sleep(0.2)
            time.sleep({BLOCKED_S})
            while not heard.dropped:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)
            await room.send_data(str(heard.dropped).encode(), topic="awake")
            await asyncio.Event().wait()
"""


@asynccontextmanager
async def agent(ground: Ground, file: Path) -> AsyncIterator[None]:
    """In a process of its own."""
    command = [sys.executable, "-m", "sfu", "agent", "start", str(file), "--url", ground.server.url]
    environment = {**os.environ, "AIRSIDE_API_KEY": API_KEY, "AIRSIDE_API_SECRET": API_SECRET}
    with (file.parent / "agent.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_an_agent_that_stands_still_is_alone_in_that(ground: Ground, tmp_path: Path) -> None:
    pytest.importorskip("av")
    file = tmp_path / "sleeper.py"
    file.write_text(SLEEPER)
    server = ground.server
    async with (
        agent(ground, file),
        Room.connect(server.ws_url, ground.token("alice")) as alice,
    ):
        await alice.connected()
        voice = PcmSource(buffer_s=2 * WAIT_S)
        await alice.publish_audio(voice)
        await voice.write((12_000 * np.sin(np.arange(int(48_000 * WAIT_S)) / 20)).astype(np.int16))
        sleeps = asyncio.create_task(
            alice.wait_for(DataReceived, lambda event: event.topic == "sleeps", timeout_s=WAIT_S)
        )
        awake = asyncio.create_task(
            alice.wait_for(DataReceived, lambda event: event.topic == "awake", timeout_s=WAIT_S)
        )
        path = f"/rooms/{ROOM}/dispatches"
        await server.api("POST", path, room=ROOM, json={"agent_name": "sleeper"})
        await sleeps
        other = next(track for track in alice.tracks.values() if track.participant.identity == "speaker")
        async with ground.listener.metered(next(iter(ground.listener.bound))) as meter:
            asked = time.monotonic()
            answers: list[float] = []
            while not awake.done():
                before = time.monotonic()
                await other.configure(priority=1 + len(answers) % 2)
                answers.append(time.monotonic() - before)
                await asyncio.sleep(0.1)
            assert time.monotonic() - asked > BLOCKED_S / 2
            assert max(answers) < ANSWER_S, answers
            heard = await ground.listen(meter)
            assert heard.max_gap_ms < ANSWER_S * 1000, (
                "who waited for the agent would be silent for three times that"
            )
        dropped = int((await awake).payload)
        most = BLOCKED_S / 0.02 - AUDIO_BACKLOG
        assert 0.5 * most < dropped < 2 * most, "what is older than two seconds, and no more"
