"""The aiortc backend against a plain aiortc peer: sections, swapped sources, both channels."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay

from sfu.agents.audio import AudioFrame, PcmSource
from sfu.agents.media import MediaState
from sfu.agents.media_aiortc import AiortcMedia
from sfu.agents.video import VideoFrame, VideoSource
from tests.loopback.signals import correlation, picture, speech, square_position
from tests.loopback.waiting import until

CODED_TWICE = 0.85  # the mirror decodes and encodes again; once gives 0.96
TAIL_FRAMES = 25  # half a second: more than the jitter buffer and codec delay sound by


class Mirror:
    """Sends every track and message back, as soon as there is a section for it."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection()
        self.relay = MediaRelay()
        self.tracks: dict[str, list[Any]] = defaultdict(list)
        self.pc.on("track", lambda track: self.tracks[track.kind].append(self.relay.subscribe(track)))
        self.pc.on("datachannel", lambda channel: channel.on("message", channel.send))

    async def answer(self, sdp: str) -> str:
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        for transceiver in self.pc.getTransceivers():
            waiting, offered = self.tracks[transceiver.kind], str(transceiver._offerDirection)
            if offered == "sendonly" and waiting:
                transceiver.sender.replaceTrack(waiting.pop(0))
                transceiver.direction = "sendonly"
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        return str(self.pc.localDescription.sdp)


class Listener:
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.audio: dict[str, list[AudioFrame]] = defaultdict(list)
        self.video: dict[str, list[VideoFrame]] = defaultdict(list)
        self.data: list[tuple[bytes, bool]] = []
        self.states: list[MediaState] = []

    def on_data(self, message: bytes, *, reliable: bool) -> None:
        self.data.append((message, reliable))

    def on_media_state(self, state: MediaState) -> None:
        self.states.append(state)

    def wants(self, mid: str) -> bool:
        return True

    def on_audio(self, mid: str, frame: AudioFrame) -> None:
        self.audio[mid].append(frame)

    def on_video(self, mid: str, frame: VideoFrame) -> None:
        self.video[mid].append(frame)


class Pair:
    def __init__(self) -> None:
        self.listener = Listener()
        self.media = AiortcMedia(self.listener)
        self.mirror = Mirror()

    async def negotiate(self) -> dict[str, str]:
        offer = await self.media.offer()
        await self.media.accept(await self.mirror.answer(offer.sdp))
        return dict(offer.mids)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    await made.media.close()
    await made.mirror.pc.close()


async def test_sound_comes_back_the_same_also_from_a_second_source_in_the_section(pair: Pair) -> None:
    pair.media.receive(audio=1, video=0)
    first = PcmSource()
    cid = pair.media.send_audio(first)
    mids = await pair.negotiate()
    words = speech("First things first.")
    await until(lambda: "connected" in pair.listener.states)
    received = pair.listener.audio[next(mid for mid in ("0", "1", "2") if mid != mids[cid])]
    await until(lambda: bool(received))
    await first.write(words)
    await first.drained()
    sent = len(received)
    await until(lambda: len(received) > sent + TAIL_FRAMES)
    heard = np.concatenate([frame.data[:, 0] for frame in received])
    assert correlation(words, heard) > CODED_TWICE

    pair.media.stop_sending(cid)
    await pair.negotiate()
    count = len(received)
    second = PcmSource(16000)
    assert pair.media.send_audio(second) == cid, "the section is used again"
    assert (await pair.negotiate()) == mids
    later = speech("And then another voice speaks.")
    await until(lambda: len(received) > count + 10)
    await second.write(later[::3])
    await second.drained()
    sent = len(received)
    await until(lambda: len(received) > sent + TAIL_FRAMES)
    heard = np.concatenate([frame.data[:, 0] for frame in received[count:]])
    assert correlation(later, heard) > CODED_TWICE


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_pictures_come_back_moving(pair: Pair, codec: str) -> None:
    pair.media.receive(audio=0, video=1)
    source = VideoSource()
    cid = pair.media.send_video(source, codec)  # type: ignore[arg-type]
    mids = await pair.negotiate()
    received = pair.listener.video[next(mid for mid in ("0", "1") if mid != mids[cid])]
    number = 0
    async with asyncio.timeout(20):
        while len(received) < 30:
            source.write(picture(number))
            number += 1
            await asyncio.sleep(0.04)
    positions = {round(square_position(frame.to_ndarray()), 2) for frame in received}
    assert len(positions) > 10
    assert received[0].width == 320


async def test_both_channels(pair: Pair) -> None:
    pair.media.receive(audio=1, video=0)
    await pair.negotiate()
    for number in range(50):
        await pair.media.send_data(bytes([number]) * 1000, reliable=True)
    await pair.media.send_data(b"lossy", reliable=False)
    await until(lambda: len(pair.listener.data) == 51)
    reliable = [message[0] for message, is_reliable in pair.listener.data if is_reliable]
    assert reliable == list(range(50))
    assert (b"lossy", False) in pair.listener.data
