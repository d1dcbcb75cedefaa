"""Turn latency as the server measures it, beside what those who speak know; silence after an interruption."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np

from sfu.agents import AudioFrame, PcmSource, Room
from sfu.agents.media_aiortc import AiortcMedia
from sfu.core.ids import RoomName
from sfu.participants.info import ParticipantKind
from sfu.participants.permissions import Grant
from signaling.auth import create_token
from tests.loopback.waiting import until
from tests.support.server import API_KEY, API_SECRET, Server, running_server

RATE = 48_000
TONE_HZ = 440.0
WAIT_S = 20.0
TURNS = 2
NEAR_S = 0.03
"""Between both measurements in the best of the turns; a busy machine delays single packets for longer."""
PAUSE_S = 0.7  # after a question, for the server to know that it is over; and of the agent, to think
SPEECH_S = 1.0
REACTION_S = 0.3  # of an agent that is interrupted
FLUSH_S = 0.04
"""From `flush` to the last loud packet at the server, in the best of the interruptions."""


class TimedSource(PcmSource):
    """Knows when its first and its last loud packet of a turn were due."""

    first: float | None = None
    last: float | None = None

    async def read(self) -> AudioFrame:
        frame = await super().read()
        if np.abs(frame.data).max() > 3000:
            self.last = asyncio.get_running_loop().time()
            self.first = self.first or self.last
        return frame

    def has_begun(self) -> bool:
        return self.first is not None

    def began_at(self) -> float:
        assert self.first is not None
        return self.first

    def ended_at(self) -> float:
        assert self.last is not None
        return self.last


def tone(seconds: float) -> Any:
    at = np.arange(int(RATE * seconds)) / RATE
    return (12_000 * np.sin(2 * np.pi * TONE_HZ * at)).astype(np.int16)


async def turns(server: Server, kind: str) -> list[float]:
    """What the server has measured."""
    found = await server.api("GET", "/events?limit=1000")
    details = [event["details"] for event in found["events"] if event["event"] == "agent_turn"]
    return [each["seconds"] for each in details if each["kind"] == kind]


async def until_turns(server: Server, kind: str, count: int) -> float:
    """The newest of so many."""
    async with asyncio.timeout(WAIT_S):
        while len(found := await turns(server, kind)) < count:
            await asyncio.sleep(0.05)
    return found[-1]


async def test_the_server_measures_what_the_speakers_know(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        token = create_token(
            API_KEY,
            API_SECRET,
            Grant(room=RoomName("talk"), room_join=True),
            now=time.time(),
            identity="helper",
            kind=ParticipantKind.AGENT,
        )
        async with (
            Room.connect(server.ws_url, server.token("talk", "alice"), media=AiortcMedia) as alice,
            Room.connect(server.ws_url, token, media=AiortcMedia) as helper,
        ):
            question, answer = TimedSource(buffer_s=5.0), TimedSource(buffer_s=5.0)
            await alice.publish_audio(question)
            await helper.publish_audio(answer)
            await asyncio.gather(alice.connected(), helper.connected())
            differences = []
            for turn in range(1, TURNS + 1):
                question.first = answer.first = None
                await question.write(tone(SPEECH_S))
                await question.drained()
                await asyncio.sleep(PAUSE_S)
                await answer.write(tone(SPEECH_S))
                await answer.drained()
                measured = await until_turns(server, "answer", turn)
                differences.append(measured - (answer.began_at() - question.ended_at()))
                await asyncio.sleep(PAUSE_S)
            assert min(map(abs, differences)) < NEAR_S, differences
            assert len(await turns(server, "first_audio")) == 1

            silences = []
            for turn in range(1, TURNS + 1):
                question.first = answer.first = None
                await answer.write(tone(4.0))
                await until(answer.has_begun)
                await asyncio.sleep(PAUSE_S)
                await question.write(tone(SPEECH_S))
                await until(question.has_begun)
                await asyncio.sleep(REACTION_S)
                answer.flush()
                cleared = asyncio.get_running_loop().time()
                measured = await until_turns(server, "interruption", turn)
                silences.append(measured - (cleared - question.began_at()))
                await question.drained()
                await asyncio.sleep(PAUSE_S)
            assert min(silences) < FLUSH_S, silences
            text = await server.metrics()
            assert f'airside_agent_turn_seconds_count{{kind="interruption"}} {TURNS}.0' in text
