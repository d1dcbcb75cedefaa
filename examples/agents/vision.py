"""Looks at each camera once a second, in the smallest size there is, and says how bright it is."""

import asyncio
import json

from sfu.agents import JobContext, RemoteTrack, TrackSubscribed, Worker

HEIGHT_PX = 180  # the server forwards only the layer for it
FPS = 1

worker = Worker(agent_name="vision", hidden=True)


@worker.entry
async def watch(job: JobContext) -> None:
    """One room."""
    room = await job.connect()
    async with asyncio.TaskGroup() as tasks:
        with room.events() as events:
            for track in list(room.tracks.values()):
                if track.subscribed and track.kind == "video":
                    tasks.create_task(look(job, track))
            async for event in events:
                if isinstance(event, TrackSubscribed) and event.track.kind == "video":
                    tasks.create_task(look(job, event.track))


async def look(job: JobContext, track: RemoteTrack) -> None:
    """One camera."""
    async for frame in track.video(max_height_px=HEIGHT_PX, max_fps=FPS):
        brightness = float(frame.to_ndarray().mean()) / 255
        note = {"who": track.participant.identity, "brightness": round(brightness, 2)}
        await job.room.send_data(json.dumps(note).encode(), topic="vision")
