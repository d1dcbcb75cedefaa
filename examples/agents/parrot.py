"""Waits until somebody has finished a sentence, and says it again. Falls silent when it is interrupted.

What is speech says WebRTC's voice activity detector: `pip install airside[vad]`.
"""

import asyncio

import webrtcvad

from sfu.agents import JobContext, PcmSource, RemoteTrack, Sentence, SpeechBegan, TurnDetector, Worker

RATE = 16000
AGGRESSIVENESS = 2  # 0 takes much for speech, 3 little

worker = Worker()


@worker.entry
async def parrot(job: JobContext) -> None:
    """One room."""
    room = await job.connect()
    voice = PcmSource(sample_rate=RATE, buffer_s=60.0)
    await room.publish_audio(voice)
    await job.set_state("listening")
    async with asyncio.TaskGroup() as tasks:
        async for track in job.audio_tracks():
            if track.participant.kind != "agent":
                tasks.create_task(converse(job, track, voice))


async def converse(job: JobContext, track: RemoteTrack, voice: PcmSource) -> None:
    """One person."""
    vad = webrtcvad.Vad(AGGRESSIVENESS)
    detector = TurnDetector(lambda pcm: vad.is_speech(pcm, RATE), RATE)
    async for frame in track.audio(sample_rate=RATE):
        for event in detector.push(frame.data):
            match event:
                case SpeechBegan():
                    voice.flush()
                    await job.set_state("listening")
                case Sentence(samples):
                    await voice.write(samples)
                    await job.set_state("speaking")
