"""Looks at each camera once a second, in the smallest size there is, and says how bright it is."""

import asyncio
import json

from sfu.agents import JobContext, RemoteTrack, TrackSubscribed, Worker

HEIGHT_PX = 180  # the server forwards only the layer for it
INTERVAL_S = 1.0

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
    await track.configure(max_height_px=HEIGHT_PX)
    seen_s = float("-inf")
    async for frame in track.video():
        if frame.timestamp_s - seen_s >= INTERVAL_S:
            seen_s = frame.timestamp_s
            brightness = float(frame.to_ndarray().mean()) / 255
            note = {"who": track.participant.identity, "brightness": round(brightness, 2)}
            await job.room.send_data(json.dumps(note).encode(), topic="vision")
