"""Writes what each participant says into a WAV file of its own, in RECORDINGS or where it is started."""

import asyncio
import os
import re
import wave
from pathlib import Path

from sfu.agents import JobContext, RemoteTrack, Worker

RATE = 48000
FOLDER = Path(os.environ.get("RECORDINGS", "."))

worker = Worker(agent_name="recorder", hidden=True)


@worker.entry
async def record(job: JobContext) -> None:
    """One room."""
    await job.connect()
    async with asyncio.TaskGroup() as tasks:
        async for track in job.audio_tracks():
            tasks.create_task(write(job.info.room, track))


async def write(room: str, track: RemoteTrack) -> None:
    """One voice; gaps in it are gaps in the file."""
    name = re.sub(r"[^\w-]", "_", f"{room}-{track.participant.identity}-{track.id}")
    with wave.open(str(FOLDER / f"{name}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        begun_s: float | None = None
        async for frame in track.audio(sample_rate=RATE):
            begun_s = frame.timestamp_s if begun_s is None else begun_s
            silence = round((frame.timestamp_s - begun_s) * RATE) - file.tell()
            file.writeframes(bytes(2 * max(0, min(silence, 10 * RATE))) + frame.to_bytes())
