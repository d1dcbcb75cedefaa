"""Hears a sentence, thinks, answers: three parts that can be replaced. Works offline as it is.

Without settings what was heard is only counted, the answers are scripted, and espeak-ng speaks. With
OPENAI_BASE_URL and OPENAI_API_KEY the three are asked of an OpenAI-compatible server; STT_MODEL, LLM_MODEL,
TTS_MODEL and TTS_VOICE choose what it uses.
"""

import asyncio
import io
import itertools
import logging
import os
import wave
from typing import Protocol

import httpx
import numpy as np

from sfu.agents import JobContext, PcmSource, RemoteTrack, Sentence, SpeechBegan, TurnDetector, Worker

RATE = 16000
SCRIPT = ("Hello, I am listening.", "Please go on.", "I see.", "Tell me more.")
TIMEOUT_S = 30.0


class Stt(Protocol):
    """Speech to text."""

    async def hear(self, wav: bytes) -> str: ...


class Llm(Protocol):
    """Text to text."""

    async def answer(self, said: str) -> str: ...


class Tts(Protocol):
    """Text to speech, as a WAV file."""

    async def speak(self, text: str) -> bytes: ...


class Counting:
    """Hears that something was said."""

    def __init__(self) -> None:
        self._turns = itertools.count(1)

    async def hear(self, wav: bytes) -> str:  # noqa: ARG002
        return f"sentence {next(self._turns)}"


class Scripted:
    """Says one thing after the other."""

    def __init__(self) -> None:
        self._lines = itertools.cycle(SCRIPT)

    async def answer(self, said: str) -> str:  # noqa: ARG002
        return next(self._lines)


class Espeak:
    """espeak-ng, which Debian has."""

    async def speak(self, text: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            "espeak-ng", "--stdin", "--stdout", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        wav, _ = await process.communicate(text.encode())
        return wav


class OpenAi:
    """All three, of a server that speaks OpenAI's API."""

    def __init__(self, base_url: str, api_key: str) -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=TIMEOUT_S)
        self._history: list[dict[str, str]] = []

    async def hear(self, wav: bytes) -> str:
        files = {"file": ("sentence.wav", wav, "audio/wav")}
        model = {"model": os.environ.get("STT_MODEL", "whisper-1")}
        reply = await self._http.post("/audio/transcriptions", files=files, data=model)
        return str(reply.raise_for_status().json()["text"])

    async def answer(self, said: str) -> str:
        self._history.append({"role": "user", "content": said})
        body = {"model": os.environ.get("LLM_MODEL", "gpt-4o-mini"), "messages": self._history}
        reply = await self._http.post("/chat/completions", json=body)
        message = reply.raise_for_status().json()["choices"][0]["message"]
        self._history.append({"role": "assistant", "content": message["content"]})
        return str(message["content"])

    async def speak(self, text: str) -> bytes:
        body = {
            "model": os.environ.get("TTS_MODEL", "tts-1"),
            "voice": os.environ.get("TTS_VOICE", "alloy"),
            "input": text,
            "response_format": "wav",
        }
        reply = await self._http.post("/audio/speech", json=body)
        return reply.raise_for_status().content

    async def close(self, _reason: str) -> None:
        await self._http.aclose()


worker = Worker()
log = logging.getLogger(__name__)


def parts(job: JobContext) -> tuple[Stt, Llm, Tts]:
    """What one job uses."""
    if url := os.environ.get("OPENAI_BASE_URL"):
        server = OpenAi(url, os.environ.get("OPENAI_API_KEY", ""))
        job.add_shutdown_hook(server.close)
        return server, server, server
    return Counting(), Scripted(), Espeak()


@worker.entry
async def talk(job: JobContext) -> None:
    """One room."""
    room = await job.connect()
    stt, llm, tts = parts(job)
    # How it speaks is known when it has spoken.
    greeting, rate = read_wav(await tts.speak("Hello."))
    voice = PcmSource(sample_rate=rate, buffer_s=60.0)
    await room.publish_audio(voice)
    await voice.write(greeting)
    async with asyncio.TaskGroup() as tasks:
        async for track in job.audio_tracks():
            if track.participant.kind != "agent":
                tasks.create_task(converse(job, track, voice, (stt, llm, tts)))


async def converse(job: JobContext, track: RemoteTrack, voice: PcmSource, use: tuple[Stt, Llm, Tts]) -> None:
    """One person. What he says while the agent thinks or speaks interrupts it."""
    detector = TurnDetector(sample_rate=RATE)
    answering: asyncio.Task[None] | None = None
    await job.set_state("listening")
    try:
        async for frame in track.audio(sample_rate=RATE):
            for event in detector.push(frame.data):
                match event:
                    case SpeechBegan():
                        if answering is not None:
                            answering.cancel()
                        voice.flush()
                    case Sentence(samples):
                        answering = asyncio.create_task(answer(job, track, voice, use, samples))
    finally:
        if answering is not None:
            answering.cancel()


async def answer(
    job: JobContext, track: RemoteTrack, voice: PcmSource, use: tuple[Stt, Llm, Tts], sentence: np.ndarray
) -> None:
    """One turn. An answer that fails is left out: the next may not."""
    stt, llm, tts = use
    try:
        await job.set_state("thinking")
        said = await stt.hear(write_wav(sentence))
        await job.room.transcribe(said, identity=track.participant.identity, track_id=track.id)
        text = await llm.answer(said)
        samples, _ = read_wav(await tts.speak(text))
        await job.room.transcribe(text)
        await job.set_state("speaking")
        await voice.write(samples)
        await voice.drained()
        await job.set_state("listening")
    except (httpx.HTTPError, LookupError, ValueError) as error:
        log.warning("no answer: %s", error)
        await job.set_state("listening")


def write_wav(samples: np.ndarray) -> bytes:
    """Mono, 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def read_wav(wav: bytes) -> tuple[np.ndarray, int]:
    """Samples and rate. What writes to a pipe does not know its length: all after the header counts."""
    start = wav.index(b"data") + 8
    samples = np.frombuffer(wav[start : len(wav) - (len(wav) - start) % 2], "<i2")
    return samples.astype(np.int16), int.from_bytes(wav[24:28], "little")
