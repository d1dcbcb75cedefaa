"""Waits until somebody has finished a sentence, and says it again. Falls silent when it is interrupted.

Loud is speech: no model, no plugin. For a real agent put a voice activity detector in the place of `is_loud`.
"""

import asyncio

import numpy as np

from sfu.agents import AudioFrame, JobContext, PcmSource, RemoteTrack, Worker

RATE = 16000
LOUD = 500  # of 32767: above the noise of a quiet room
PAUSE_S = 0.5  # a sentence is over after so much silence
LONGEST_S = 30.0  # of one sentence; what is said longer is said back from its end

worker = Worker()


def is_loud(frame: AudioFrame) -> bool:
    """Whether somebody speaks in it."""
    return int(np.abs(frame.data.astype(np.int32)).max(initial=0)) > LOUD


@worker.entry
async def parrot(job: JobContext) -> None:
    """One room."""
    room = await job.connect()
    voice = PcmSource(sample_rate=RATE, buffer_s=LONGEST_S)
    await room.publish_audio(voice)
    await job.set_state("listening")
    async with asyncio.TaskGroup() as tasks:
        async for track in job.audio_tracks():
            if track.participant.kind != "agent":
                tasks.create_task(converse(job, track, voice))


async def converse(job: JobContext, track: RemoteTrack, voice: PcmSource) -> None:
    """One voice."""
    sentence: list[np.ndarray] = []
    quiet_s = 0.0
    async for frame in track.audio(sample_rate=RATE):
        if is_loud(frame):
            if voice.buffered_s:
                voice.flush()
                await job.set_state("listening")
            quiet_s = 0.0
        else:
            quiet_s += frame.duration_s
        if sentence or not quiet_s:
            sentence.append(frame.data)
        if sentence and quiet_s > PAUSE_S:
            await voice.write(np.concatenate(sentence)[-int(LONGEST_S * RATE) :])
            sentence.clear()
            await job.set_state("speaking")
