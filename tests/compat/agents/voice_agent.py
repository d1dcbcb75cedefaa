"""A worker of `livekit-agents` as it is on PyPI. Run by that package's own Python, not by the project's.

Its agent is an `AgentSession` whose three nodes need no plugin and no network: loud sound is speech, what it
heard is counted, and the answer is a tone.
"""

import asyncio
import math
import os
import sys
from array import array
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, llm, stt, tts
from livekit.agents.job import JobExecutorType

LOUD = 1000  # of 32767: above the noise of a microphone
SILENCE_S = 0.2  # after so much of it a turn is over
RATE = 24_000
TONE_HZ = 440
TONE_S = 1.5
FRAME_S = 0.02


class NoStt(stt.STT):
    """Only says that there is one: the agent's node does the work."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))

    async def _recognize_impl(self, *_: Any, **__: Any) -> stt.SpeechEvent:
        raise NotImplementedError


class NoLlm(llm.LLM):
    """The same."""

    def chat(self, **_: Any) -> llm.LLMStream:
        raise NotImplementedError


class NoTts(tts.TTS):
    """The same."""

    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=RATE, num_channels=1)

    def synthesize(self, *_: Any, **__: Any) -> tts.ChunkedStream:
        raise NotImplementedError


class Parrot(Agent):
    """Answers each turn."""

    def __init__(self) -> None:
        super().__init__(instructions="count")
        self._turns = 0

    async def stt_node(self, audio: AsyncIterable[rtc.AudioFrame], _: Any) -> AsyncIterator[stt.SpeechEvent]:
        quiet_s, speaking = 0.0, False
        async for frame in audio:
            loud = max(map(abs, array("h", bytes(frame.data))), default=0) > LOUD
            quiet_s = 0.0 if loud else quiet_s + frame.duration
            if loud and not speaking:
                speaking = True
                yield stt.SpeechEvent(type=stt.SpeechEventType.START_OF_SPEECH)
            elif speaking and quiet_s > SILENCE_S:
                speaking = False
                self._turns += 1
                data = stt.SpeechData(language="en", text=f"turn {self._turns}")
                yield stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data])
                yield stt.SpeechEvent(type=stt.SpeechEventType.END_OF_SPEECH)

    async def llm_node(self, *_: Any) -> AsyncIterator[str]:
        yield f"I heard turn {self._turns}."

    async def tts_node(self, text: AsyncIterable[str], _: Any) -> AsyncIterator[rtc.AudioFrame]:
        async for _part in text:
            pass
        samples = int(RATE * FRAME_S)
        for start in range(0, int(RATE * TONE_S), samples):
            wave = (math.sin(2 * math.pi * TONE_HZ * (start + at) / RATE) for at in range(samples))
            pcm = array("h", (int(12_000 * each) for each in wave))
            yield rtc.AudioFrame(pcm.tobytes(), RATE, 1, samples)


server = AgentServer(
    job_executor_type=JobExecutorType.THREAD,
    load_fnc=lambda: 0.1,
    num_idle_processes=0,
    ws_url=os.environ["LIVEKIT_URL"],
    api_key=os.environ["LIVEKIT_API_KEY"],
    api_secret=os.environ["LIVEKIT_API_SECRET"],
    host="127.0.0.1",
    port=0,
)


@server.rtc_session(agent_name=os.environ.get("AGENT_NAME", ""))
async def entrypoint(job: JobContext) -> None:
    """One job."""
    await job.connect()
    session: AgentSession[None] = AgentSession(
        stt=NoStt(),
        llm=NoLlm(),
        tts=NoTts(),
        vad=None,
        turn_handling={"turn_detection": "stt", "endpointing": {"min_delay": 0.0, "max_delay": 0.1}},
    )
    await session.start(Parrot(), room=job.room)


if __name__ == "__main__":
    try:
        asyncio.run(server.run(devmode=True))
    except KeyboardInterrupt:
        sys.exit(0)
