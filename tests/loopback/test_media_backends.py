"""What a media backend promises, over a real server: the same tests for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import pytest_asyncio

from sfu.agents import (
    AudioFrame,
    DataReceived,
    MediaError,
    PcmSource,
    RemoteTrack,
    Room,
    TrackSubscribed,
    VideoSource,
)
from sfu.agents.audio import FRAME_S
from sfu.agents.backends import MediaBackend, media_factory
from tests.loopback.signals import correlation, picture, speech, square_position
from tests.loopback.waiting import until
from tests.support.server import Server, running_server

SAME_SOUND = 0.9  # one coding by Opus gives 0.96 and more
LOUD = 1000
WAIT_S = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running
    log = running.log.read_text()
    assert "Traceback" not in log, log


@pytest.fixture(params=[name for name in get_args(MediaBackend) if name != "auto"])
def backend(request: pytest.FixtureRequest) -> MediaBackend:
    return request.param  # type: ignore[no-any-return]


class Pair:
    """Two in a room of their own, both on the backend."""

    def __init__(self, alice: Room, bob: Room) -> None:
        self.alice, self.bob = alice, bob

    async def hears(self, source: PcmSource, **options: Any) -> RemoteTrack:
        """Alice publishes; as bob gets it."""
        subscribed = asyncio.create_task(self.bob.wait_for(TrackSubscribed, timeout_s=WAIT_S))
        await self.alice.publish_audio(source, **options)
        return (await subscribed).track


@pytest.fixture
async def pair(server: Server, backend: MediaBackend, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        rooms = []
        for name in ("alice", "bob"):
            token = server.token(request.node.name, name)
            room = Room.connect(server.ws_url, token, media=media_factory(backend))
            rooms.append(await stack.enter_async_context(room))
        for room in rooms:
            await room.connected()
        yield Pair(*rooms)


async def hum(source: PcmSource, heard: Callable[[], bool]) -> None:
    """Something faint until it is heard: the server leaves digital silence out after two seconds."""
    faint = (30 * np.sin(np.arange(source.sample_rate // 10) / 20)).astype(np.int16)
    async with asyncio.timeout(WAIT_S):
        while not heard():
            if source.buffered_s < 0.2:
                await source.write(faint)
            await asyncio.sleep(0.02)


class Listener:
    """Keeps what is heard of a track."""

    def __init__(self, track: RemoteTrack) -> None:
        self.frames: list[AudioFrame] = []
        self._stream = track.raw_audio()
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for frame in self._stream:
            self.frames.append(frame)

    @property
    def sound(self) -> Any:
        return np.concatenate([frame.data[:, 0] for frame in self.frames])

    async def until_silent(self) -> None:
        """The last half second was silent; that much of silence the server does send."""

        def silent() -> bool:
            last = self.frames[-25:]
            return len(last) == 25 and all(np.abs(frame.data).max() < LOUD for frame in last)

        await until(silent, WAIT_S)

    def close(self) -> None:
        self._stream.close()
        self._task.cancel()


async def test_sound_arrives_as_it_was_also_from_a_second_source(pair: Pair) -> None:
    first, second = PcmSource(buffer_s=5.0), PcmSource(16000, buffer_s=5.0)
    listener = Listener(await pair.hears(first))
    await hum(first, lambda: len(listener.frames) > 10)
    words = speech("First things first.")
    await first.write(words)
    await first.drained()
    assert first.buffered_s == 0
    await listener.until_silent()
    assert correlation(words, listener.sound) > SAME_SOUND
    steps = np.diff([frame.timestamp_s for frame in listener.frames])
    assert np.allclose(steps, FRAME_S), "without gaps"
    listener.close()

    (own,) = pair.alice.local_tracks.values()
    await own.unpublish()
    listener = Listener(await pair.hears(second))
    (again,) = pair.alice.local_tracks.values()
    assert again.mid == own.mid, "the section is used again"
    await hum(second, lambda: len(listener.frames) > 10)
    later = speech("And then another voice speaks.")
    await second.write(later[::3])
    await second.drained()
    await listener.until_silent()
    assert correlation(later, listener.sound) > SAME_SOUND
    listener.close()


async def test_what_is_flushed_is_not_heard(pair: Pair) -> None:
    source = PcmSource(buffer_s=30.0)
    listener = Listener(await pair.hears(source))
    await hum(source, lambda: len(listener.frames) > 10)
    tone = (12_000 * np.sin(np.arange(48_000 * 20) / 20)).astype(np.int16)
    await source.write(tone)
    await until(lambda: bool(np.abs(listener.frames[-1].data).max() > LOUD), WAIT_S)
    assert source.buffered_s > 15
    source.flush()
    assert source.buffered_s == 0
    await listener.until_silent()
    loud = [frame for frame in listener.frames if np.abs(frame.data).max() > LOUD]
    assert len(loud) * FRAME_S < 5, "of 20 s"
    listener.close()


async def test_muted_means_nothing_is_sent(pair: Pair) -> None:
    source = PcmSource()
    track = await pair.hears(source)
    listener = Listener(track)
    (own,) = pair.alice.local_tracks.values()
    await hum(source, lambda: bool(listener.frames))
    await own.mute()
    await until(lambda: track.muted, WAIT_S)
    await asyncio.sleep(0.3)
    before = len(listener.frames)
    await asyncio.sleep(0.5)
    assert len(listener.frames) == before
    await own.unmute()
    await hum(source, lambda: len(listener.frames) > before)
    listener.close()


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_pictures_arrive_moving_also_for_who_looks_later(pair: Pair, codec: Any) -> None:
    camera = VideoSource()

    filmed = 0

    async def film() -> None:
        nonlocal filmed
        while True:
            camera.write(picture(filmed))
            filmed += 1
            await asyncio.sleep(0.04)

    subscribed = asyncio.create_task(pair.bob.wait_for(TrackSubscribed, timeout_s=WAIT_S))
    await pair.alice.publish_video(camera, codec=codec, width=320, height=240)
    filming = asyncio.create_task(film())
    try:
        track = (await subscribed).track
        await until(lambda: filmed > 25, WAIT_S)
        positions: set[float] = set()
        async with asyncio.timeout(WAIT_S):
            async for frame in track.video():
                assert (frame.width, frame.height) == (320, 240)
                positions.add(round(square_position(frame.to_ndarray()), 2))
                if len(positions) > 10:
                    break
    finally:
        filming.cancel()


async def test_many_reliable_messages_lose_nothing(pair: Pair) -> None:
    count, size = 100, 8_000  # less than the server keeps for a slow reader
    with pair.bob.events() as events:
        sending = asyncio.create_task(send(pair.alice, count, size))
        numbers = []
        async with asyncio.timeout(WAIT_S):
            async for event in events:
                if isinstance(event, DataReceived):
                    numbers.append(int.from_bytes(event.payload[:2]))
                    assert len(event.payload) == size
                    if len(numbers) == count:
                        break
        await sending
        assert numbers == list(range(count))
        await pair.alice.send_data(b"quick", reliable=False)
        async with asyncio.timeout(WAIT_S):
            async for event in events:
                if isinstance(event, DataReceived):
                    assert (event.payload, event.reliable) == (b"quick", False)
                    break


async def send(room: Room, count: int, size: int) -> None:
    for number in range(count):
        await room.send_data(number.to_bytes(2) + bytes(size - 2))


async def test_after_the_end_nothing_can_be_sent(pair: Pair) -> None:
    media = pair.alice.media
    await media.close()
    await media.close()
    with pytest.raises(MediaError):
        await media.send_data(b"x", reliable=True)
    await until(lambda: "alice" not in pair.bob.participants, WAIT_S)


async def test_the_server_goes(tmp_path: Path, backend: MediaBackend) -> None:
    async with AsyncExitStack() as stack:
        async with running_server(tmp_path) as server:
            room = Room.connect(server.ws_url, server.token("end", "alice"), media=media_factory(backend))
            me = await stack.enter_async_context(room)
            await me.publish_audio(PcmSource())
            await me.connected()
        await until(lambda: me.disconnected is not None, WAIT_S)
