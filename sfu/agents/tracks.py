"""Participants and tracks, as handles that stay the same while what they show changes."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol, TypeVar

from sfu.agents.audio import SAMPLE_RATE, AudioFrame, Resampler
from sfu.agents.streams import Stream
from sfu.agents.video import VideoFrame
from signaling.native.values import ParticipantInfo, TrackInfo

if TYPE_CHECKING:
    from sfu.agents.media_aiortc import Source

T = TypeVar("T")

AUDIO_BACKLOG = 100  # frames of 20 ms kept for a slow reader: 2 s
RATE_SLACK = 0.9  # of the time between pictures: a camera is never exact
VIDEO_BACKLOG = 2  # pictures: an old one is of no use


class RoomControl(Protocol):
    """What handles ask of their room."""

    async def subscribe(
        self, track: RemoteTrack, max_height_px: int | None, priority: int | None, max_fps: int | None
    ) -> None: ...

    async def unsubscribe(self, track: RemoteTrack) -> None: ...

    async def update_subscription(
        self,
        track: RemoteTrack,
        max_height_px: int | None,
        priority: int | None,
        paused: bool | None,
        max_fps: int | None,
    ) -> None: ...

    async def mute(self, track: LocalTrack, muted: bool) -> None: ...

    async def unpublish(self, track: LocalTrack) -> None: ...


class Participant:
    """Somebody else in the room."""

    def __init__(self, info: ParticipantInfo) -> None:
        self.info = info
        self.tracks: dict[str, RemoteTrack] = {}
        """By track id."""

    @property
    def id(self) -> str:
        """`PA_...`, new with every stay."""
        return self.info.id

    @property
    def identity(self) -> str:
        """Who it is, by its token."""
        return self.info.identity

    @property
    def name(self) -> str:
        """For people."""
        return self.info.name

    @property
    def metadata(self) -> str:
        """Free text of the application."""
        return self.info.metadata

    @property
    def attributes(self) -> dict[str, str]:
        """Free keys of the application."""
        return self.info.attributes

    @property
    def kind(self) -> str:
        """`standard`, `agent`, ..."""
        return self.info.kind

    def __repr__(self) -> str:
        return f"<Participant {self.identity!r} {self.id}>"


class RemoteTrack:
    """A track of somebody else. Iterate over it whenever; frames come while it is subscribed."""

    def __init__(self, control: RoomControl, participant: Participant, info: TrackInfo) -> None:
        self.info = info
        self.participant = participant
        self.mid: str | None = None
        """Section it arrives in; None while it does not."""
        self._control = control
        self._audio: set[Stream[AudioFrame]] = set()
        self._video: set[Stream[VideoFrame]] = set()
        self._ended = False

    @property
    def id(self) -> str:
        """`TR_...`."""
        return self.info.id

    @property
    def kind(self) -> str:
        """`audio` or `video`."""
        return self.info.kind

    @property
    def source(self) -> str:
        """`microphone`, `camera`, ..."""
        return self.info.source

    @property
    def muted(self) -> bool:
        """Its publisher sends nothing."""
        return self.info.muted

    @property
    def subscribed(self) -> bool:
        """Media may arrive."""
        return self.mid is not None

    @property
    def read(self) -> bool:
        """Somebody reads it now."""
        return bool(self._audio or self._video)

    async def audio(self, sample_rate: int = SAMPLE_RATE, channels: int = 1) -> AsyncIterator[AudioFrame]:
        """Sound from now on, until the track ends. A slow reader loses what is older than two seconds.

        Args:
            sample_rate: Of the frames, Hz.
            channels: 1 or 2; stereo is mixed down to 1.
        """
        resampler = Resampler(sample_rate, channels)
        with self.raw_audio() as stream:
            async for frame in stream:
                samples = resampler.convert(frame.data, frame.sample_rate)
                if len(samples):
                    yield AudioFrame(samples, sample_rate, frame.timestamp_s)

    async def video(
        self, *, max_height_px: int | None = None, max_fps: float | None = None
    ) -> AsyncIterator[VideoFrame]:
        """Pictures from now on, until the track ends. A slow reader gets the newest.

        Args:
            max_height_px: Tallest picture wanted: the server forwards no larger layer, to any reader of this
                track.
            max_fps: Give at most so many in a second. The server leaves out what it can without breaking the
                stream; up to 2 it forwards keyframes alone.

        Raises:
            RequestError: The server refuses.
        """
        if max_height_px is not None or max_fps is not None:
            await self.configure(
                max_height_px=max_height_px, max_fps=None if max_fps is None else max(1, math.ceil(max_fps))
            )
        shortest_s = 0.0 if max_fps is None else RATE_SLACK / max_fps
        newest_s = -math.inf
        with self._stream(self._video, VIDEO_BACKLOG) as stream:
            async for frame in stream:
                # Time that runs backwards is another sender's, or a new stream.
                if not 0.0 <= frame.timestamp_s - newest_s < shortest_s:
                    newest_s = frame.timestamp_s
                    yield frame

    def raw_audio(self) -> Stream[AudioFrame]:
        """Sound as it was decoded: 48 kHz, the decoder's channels. Close it, or use it in a `with` block."""
        return self._stream(self._audio, AUDIO_BACKLOG)

    async def subscribe(
        self, max_height_px: int | None = None, priority: int | None = None, max_fps: int | None = None
    ) -> None:
        """Ask for the track; `TrackSubscribed` follows.

        Args:
            max_height_px: Tallest picture wanted; 0 pauses; absent: as tall as there is.
            priority: 1 (thumbnail) to 255 (screen share); absent: by its source.
            max_fps: Pictures per second that are enough; 1 or 2: keyframes alone; 0 or absent: all there are.

        Raises:
            RequestError: The server refuses.
        """
        await self._control.subscribe(self, max_height_px, priority, max_fps)

    async def unsubscribe(self) -> None:
        """Give the track up; `TrackUnsubscribed` follows."""
        await self._control.unsubscribe(self)

    async def configure(
        self,
        *,
        max_height_px: int | None = None,
        priority: int | None = None,
        paused: bool | None = None,
        max_fps: int | None = None,
    ) -> None:
        """Change what is wanted of it. What is absent stays."""
        await self._control.update_subscription(self, max_height_px, priority, paused, max_fps)

    def push_audio(self, frame: AudioFrame) -> None:
        """Sound arrived."""
        for stream in tuple(self._audio):
            stream.push(frame)

    def push_video(self, frame: VideoFrame) -> None:
        """A picture arrived."""
        for stream in tuple(self._video):
            stream.push(frame)

    def end(self) -> None:
        """It is gone: readers stop."""
        self._ended, self.mid = True, None
        for audio in tuple(self._audio):
            audio.end()
        for video in tuple(self._video):
            video.end()

    def _stream(self, streams: set[Stream[T]], limit: int) -> Stream[T]:
        stream = Stream(limit, streams)
        if self._ended:
            stream.end()
        return stream

    def __repr__(self) -> str:
        return f"<RemoteTrack {self.id} {self.source} of {self.participant.identity!r}>"


class LocalTrack:
    """A track of ours."""

    def __init__(self, control: RoomControl, info: TrackInfo, mid: str, cid: str, source: Source) -> None:
        self.info = info
        self.mid = mid
        self.cid = cid
        self.muted = info.muted
        self.published = True
        """False after `unpublish`, or when the server ended it."""
        self._control = control
        self._source = source

    @property
    def id(self) -> str:
        """`TR_...`."""
        return self.info.id

    async def mute(self) -> None:
        """Send nothing, and show everyone that it is muted."""
        await self._control.mute(self, True)

    async def unmute(self) -> None:
        """Send again."""
        await self._control.mute(self, False)

    async def unpublish(self) -> None:
        """End it, with its source."""
        await self._control.unpublish(self)

    def apply_mute(self, muted: bool) -> None:
        """Stop or start the source."""
        self.muted = muted
        self._source.enable(not muted)

    def __repr__(self) -> str:
        return f"<LocalTrack {self.id} {self.info.source}>"
