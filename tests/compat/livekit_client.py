"""LiveKit's own Python client, unmodified, with what tests need around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from livekit import rtc

from tests.support.server import Server

RATE = 48_000
SAMPLES = RATE // 100
TONE_HZ = 440.0
LOUD = 3000
TIMEOUT_S = 40.0

MODES = {"single": True, "dual": False}
"""One peer connection, or two."""


class Client:
    """A room with everything that happened in it, in order."""

    EVENTS = (
        "participant_connected",
        "participant_disconnected",
        "track_published",
        "track_unpublished",
        "track_subscribed",
        "track_unsubscribed",
        "track_subscription_failed",
        "local_track_subscribed",
        "local_track_unpublished",
        "track_muted",
        "track_unmuted",
        "active_speakers_changed",
        "data_received",
        "room_metadata_changed",
        "participant_metadata_changed",
        "participant_name_changed",
        "participant_attributes_changed",
        "connection_quality_changed",
        "connection_state_changed",
        "disconnected",
        "reconnecting",
        "reconnected",
        "token_refreshed",
        "room_updated",
        "moved",
        "sip_dtmf_received",
        "transcription_received",
        "participant_permissions_changed",
        "data_track_published",
        "data_track_unpublished",
    )

    def __init__(self, server: Server, name: str, *, single: bool) -> None:
        self.server = server
        self.name = name
        self.single = single
        self.url = server.ws_url
        self.room = rtc.Room()
        self.events: list[tuple[str, tuple[Any, ...]]] = []
        self._news = asyncio.Event()
        for event in self.EVENTS:
            self.room.on(event, self._recorder(event))  # type: ignore[arg-type]

    def _recorder(self, event: str) -> Callable[..., None]:
        def record(*values: Any) -> None:
            self.events.append((event, values))
            self._news.set()

        return record

    async def connect(
        self, room: str, *, auto_subscribe: bool = True, e2ee_key: bytes = b"", **grant: Any
    ) -> Client:
        """With a key everything is encrypted from end to end."""
        token = self.server.token(room, self.name, **grant)
        options = rtc.RoomOptions(auto_subscribe=auto_subscribe, single_peer_connection=self.single)
        if e2ee_key:
            options.encryption = rtc.E2EEOptions(
                key_provider_options=rtc.KeyProviderOptions(shared_key=e2ee_key)
            )
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.connect(self.url, token, options)
        return self

    async def connected(self) -> None:
        """Connected, or so again."""
        await self.until(lambda: self.room.connection_state == rtc.ConnectionState.CONN_CONNECTED)

    @property
    def me(self) -> rtc.LocalParticipant:
        return self.room.local_participant

    def seen(self, event: str) -> list[tuple[Any, ...]]:
        """What came with each of these events."""
        return [values for name, values in self.events if name == event]

    async def until(self, condition: Callable[[], Any], what: str = "it") -> Any:
        """The condition's value as soon as it is true; asked after every event, and now and then."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while not (found := condition()):
                    self._news.clear()
                    try:
                        async with asyncio.timeout(0.2):
                            await self._news.wait()
                    except TimeoutError:
                        continue
                return found
        except TimeoutError:
            names = [name for name, _ in self.events]
            raise AssertionError(f"{self.name} waited for {what}; it saw {names}") from None

    async def event(self, name: str, matches: Callable[..., Any] = lambda *_: True) -> tuple[Any, ...]:
        """The first such event, past or to come."""

        def found() -> list[tuple[Any, ...]]:
            return [values for values in self.seen(name) if matches(*values)]

        values: list[tuple[Any, ...]] = await self.until(found, name)
        return values[0]

    async def track_of(self, identity: str, kind: rtc.TrackKind.ValueType = rtc.TrackKind.KIND_AUDIO) -> Any:
        """Somebody's track, once it is subscribed to."""
        values = await self.event(
            "track_subscribed", lambda track, _, who: who.identity == identity and track.kind == kind
        )
        return values[0]


class Tone:
    """A microphone that hears one tone."""

    def __init__(self) -> None:
        self.level = 12_000
        self.source = rtc.AudioSource(RATE, 1)
        self.track = rtc.LocalAudioTrack.create_audio_track("mic", self.source)
        self._task = asyncio.get_running_loop().create_task(self._play())

    async def _play(self) -> None:
        at = 0
        while True:
            wave = np.sin(2 * np.pi * TONE_HZ * (np.arange(SAMPLES) + at) / RATE)
            at += SAMPLES
            samples = (wave * self.level).astype(np.int16)
            await self.source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, SAMPLES))

    async def publish(self, client: Client) -> rtc.LocalTrackPublication:
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        return await client.me.publish_track(self.track, options)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.source.aclose()


class Picture:
    """A camera that sees one colour."""

    def __init__(self, width: int = 640, height: int = 360) -> None:
        self.source = rtc.VideoSource(width, height)
        self.track = rtc.LocalVideoTrack.create_video_track("cam", self.source)
        pixels = bytes([40, 80, 160, 255]) * (width * height)
        self._frame = rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, pixels)
        self._task = asyncio.get_running_loop().create_task(self._show())

    async def _show(self) -> None:
        while True:
            self.source.capture_frame(self._frame)
            await asyncio.sleep(1 / 15)

    async def publish(self, client: Client, *, simulcast: bool = False) -> rtc.LocalTrackPublication:
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA, video_codec=rtc.VideoCodec.VP8, simulcast=simulcast
        )
        return await client.me.publish_track(self.track, options)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.source.aclose()


async def hears(track: rtc.Track, loud_frames: int = 30) -> bool:
    """Whether the tone comes out of a track."""
    stream, heard = rtc.AudioStream(track), 0
    try:
        async with asyncio.timeout(TIMEOUT_S):
            async for event in stream:
                samples = np.frombuffer(event.frame.data, dtype=np.int16)
                heard += int(np.abs(samples).max(initial=0) > LOUD)
                if heard >= loud_frames:
                    return True
    except TimeoutError:
        return False
    finally:
        await stream.aclose()
    return False


async def sees(track: rtc.Track, frames: int = 5) -> bool:
    """Whether pictures come out of a track."""
    stream, seen = rtc.VideoStream(track), 0
    try:
        async with asyncio.timeout(TIMEOUT_S):
            async for _ in stream:
                seen += 1
                if seen >= frames:
                    return True
    except TimeoutError:
        return False
    finally:
        await stream.aclose()
    return False


@asynccontextmanager
async def clients(server: Server, *names: str, single: bool) -> AsyncIterator[list[Client]]:
    """Clients that are not connected yet; gone when the block ends."""
    made = [Client(server, name, single=single) for name in names]
    try:
        yield made
    finally:
        for client in made:
            await client.room.disconnect()
