"""Says back whatever anybody says. `airside agent dev examples/agents/echo.py`"""

import asyncio

from sfu.agents import JobContext, PcmSource, RemoteTrack, Worker

worker = Worker()


@worker.entry
async def echo(job: JobContext) -> None:
    """One room."""
    room = await job.connect()
    async with asyncio.TaskGroup() as tasks:
        async for track in job.audio_tracks():
            if track.participant.kind == "agent":
                # Two that echo each other would never end.
                continue
            voice = PcmSource(sample_rate=48000)
            await room.publish_audio(voice, name=f"echo of {track.participant.identity}")
            tasks.create_task(repeat(track, voice))


async def repeat(track: RemoteTrack, voice: PcmSource) -> None:
    """One voice."""
    async for frame in track.audio(sample_rate=48000):
        await voice.write(frame.data)
    voice.close()
