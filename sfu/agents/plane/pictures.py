"""Pictures between the plane and its users. Coding runs in threads: a keyframe takes longer than a beat."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
from av import CodecContext, Packet, VideoCodecContext
from av.error import FFmpegError
from av.video.frame import PictureType

from sfu.agents.errors import SourceEndedError
from sfu.agents.media import MediaListener, VideoCodec
from sfu.agents.plane.hub import Hub
from sfu.agents.plane.jitter import JitterBuffer, Unwrapper
from sfu.agents.plane.packets import (
    Depacketizer,
    H264Depacketizer,
    Vp8Depacketizer,
    packetize_h264,
    packetize_vp8,
)
from sfu.agents.video import VideoFrame, VideoSource
from sfu.core.codecs import Codec
from sfu.core.ids import TrackId
from sfu.dataplane.plane import LocalPacket, TrackPacket

CLOCK_HZ = 90_000  # RFC 7741 section 4.1
HOLD_S = 0.25  # two round trips of a slow path: a hole costs a keyframe
HELD_PACKETS = 1000
WAITING_FRAMES = 30  # for a decoder that is behind; then it starts again from a keyframe
KEYFRAME_INTERVAL = 300  # pictures; whoever needs one sooner asks
BITS_PER_PIXEL = 0.08  # of 30 pictures a second: 640x360 gets 550 kbit/s
LEAST_BPS, MOST_BPS = 150_000, 2_500_000
DEPACKETIZERS: dict[Codec, Callable[[], Depacketizer]] = {
    Codec.VP8: Vp8Depacketizer,
    Codec.H264: H264Depacketizer,
}
ENCODERS: dict[VideoCodec, tuple[str, dict[str, str]]] = {
    "vp8": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "error-resilient": "default"}),
    "h264": (
        "libx264",
        {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "level": "3.1"},
    ),
}

_log = logging.getLogger(__name__)


class Eye:
    """What arrives in one section: frames are put together, and decoded if somebody looks."""

    def __init__(
        self, mid: str, codecs: Sequence[Codec], listener: MediaListener, ask: Callable[[], None]
    ) -> None:
        """
        Args:
            mid: The section.
            codecs: By the index in its packets.
            listener: Gets the pictures.
            ask: For a keyframe; it is asked again until it comes.
        """
        self._mid = mid
        self._codecs = codecs
        self._listener = listener
        self._ask = ask
        self._jitter: JitterBuffer[TrackPacket] = JitterBuffer(HOLD_S, HELD_PACKETS)
        self._clock = Unwrapper(CLOCK_HZ)
        self._codec: Codec | None = None
        self._parts: Depacketizer | None = None
        self._needs_keyframe = True
        self._lost = 0
        self._frames: deque[tuple[Codec, bytes, float]] = deque()
        self._decoding: asyncio.Task[None] | None = None
        self._decoder: VideoCodecContext | None = None
        self._decoder_codec: Codec | None = None

    @property
    def waiting(self) -> bool:
        return self._jitter.waiting

    def close(self) -> None:
        """End it."""
        if self._decoding is not None:
            self._decoding.cancel()

    def on_packets(self, packets: Sequence[TrackPacket], now_s: float) -> None:
        for packet in packets:
            self._jitter.push(packet[2], packet)
        ready = self._jitter.pop(now_s)
        if not self._listener.wants(self._mid):
            self._needs_keyframe = True
            return
        if self._jitter.lost != self._lost:
            self._lost = self._jitter.lost
            self._start_again()
        for packet in ready:
            self._feed(packet)

    def _start_again(self) -> None:
        if self._parts is not None:
            self._parts.reset()
        self._needs_keyframe = True
        self._ask()

    def _feed(self, packet: TrackPacket) -> None:
        _, index, _, timestamp, marker, payload = packet
        timestamp_s = self._clock.seconds(timestamp)
        codec = self._codecs[index] if index < len(self._codecs) else None
        if codec not in DEPACKETIZERS or not payload:
            return
        if codec is not self._codec:
            self._codec, self._parts, self._needs_keyframe = codec, DEPACKETIZERS[codec](), True
        assert self._parts is not None  # noqa: S101
        try:
            made = self._parts.feed(payload, marker=marker)
        except ValueError as error:
            _log.debug("section %s: %s", self._mid, error)
            self._start_again()
            return
        if made is None:
            return
        frame, keyframe = made
        if self._needs_keyframe and not keyframe:
            self._ask()
            return
        self._needs_keyframe = False
        if len(self._frames) >= WAITING_FRAMES:
            self._frames.clear()
            self._start_again()
            return
        self._frames.append((codec, frame, timestamp_s))
        if self._decoding is None:
            self._decoding = asyncio.create_task(self._decode())

    async def _decode(self) -> None:
        try:
            while self._frames:
                codec, frame, timestamp_s = self._frames.popleft()
                pictures = await asyncio.to_thread(self._pictures, codec, frame)
                if pictures is None:
                    self._start_again()
                    continue
                for picture in pictures:
                    self._listener.on_video(self._mid, VideoFrame(picture, timestamp_s))
        finally:
            self._decoding = None

    def _pictures(self, codec: Codec, frame: bytes) -> list[av.VideoFrame] | None:
        if self._decoder is None or self._decoder_codec is not codec:
            context = CodecContext.create(codec.value, "r")
            assert isinstance(context, VideoCodecContext)  # noqa: S101
            # Frames of several threads come late; one thread decodes any camera.
            context.thread_count = 1
            self._decoder, self._decoder_codec = context, codec
        try:
            return self._decoder.decode(Packet(frame))
        except FFmpegError as error:
            _log.debug("section %s: %s", self._mid, error)
            self._decoder = None
            return None


class Canvas:
    """What a section sends: the newest picture of its source, as it comes."""

    def __init__(self, hub: Hub, track: TrackId, codec: VideoCodec) -> None:
        self.track = track
        self.codec: VideoCodec = codec
        self._hub = hub
        self._source: VideoSource | None = None
        self._task: asyncio.Task[None] | None = None
        self._context: VideoCodecContext | None = None
        self._size = (0, 0)
        self._pts = -1
        self._picture_id = 0
        self._needs_keyframe = True
        self._open = False

    @property
    def free(self) -> bool:
        """No source: the section can carry another."""
        return self._source is None

    def connect(self) -> None:
        """The transport can send: begin."""
        if not self._open:
            self._open = True
            self._hub.on_keyframe_wanted(self.track, self._want_keyframe)
            self._begin()

    def attach(self, source: VideoSource) -> None:
        """Carry this from now on."""
        self._source, self._needs_keyframe = source, True
        self._begin()

    def detach(self) -> None:
        """Carry nothing, and end the source."""
        source, self._source = self._source, None
        if source is not None:
            source.close()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def close(self) -> None:
        """End it for good."""
        self.detach()
        self._hub.forget_keyframes(self.track)
        self._open = False

    def _want_keyframe(self) -> None:
        self._needs_keyframe = True

    def _begin(self) -> None:
        if self._open and self._source is not None and self._task is None:
            self._task = asyncio.create_task(self._send(self._source))

    async def _send(self, source: VideoSource) -> None:
        loop = asyncio.get_running_loop()
        offset_s: float | None = None
        try:
            while True:
                frame = await source.read()
                if offset_s is None:
                    # The media time of the section runs on from one source to the next.
                    offset_s = loop.time() - frame.timestamp_s
                self._pts = max(self._pts + 1, round((frame.timestamp_s + offset_s) * CLOCK_HZ))
                keyframe, self._needs_keyframe = self._needs_keyframe, False
                try:
                    coded = await asyncio.to_thread(self._encode, frame.picture, self._pts, keyframe)
                except FFmpegError as error:
                    _log.warning("a picture cannot be sent: %s", error)
                    self._context, self._needs_keyframe = None, True
                    continue
                if self._open:
                    self._write(coded, self._pts)
        except SourceEndedError:
            if self._source is source:
                self._source, self._task = None, None

    def _write(self, frames: list[bytes], pts: int) -> None:
        for frame in frames:
            if self.codec == "vp8":
                payloads = list(packetize_vp8(frame, self._picture_id))
            else:
                payloads = list(packetize_h264(frame))
            self._picture_id = self._picture_id + 1 & 0x7FFF
            last, timestamp = len(payloads) - 1, pts & 0xFFFFFFFF
            packets: list[LocalPacket] = [
                (timestamp, index == last, None, payload) for index, payload in enumerate(payloads)
            ]
            self._hub.plane.write_track(self.track, 0, packets)

    def _encode(self, picture: av.VideoFrame, pts: int, keyframe: bool) -> list[bytes]:
        size = (picture.width, picture.height)
        if self._context is None or self._size != size:
            self._context, self._size, keyframe = _encoder(self.codec, *size), size, True
        picture = picture.reformat(format="yuv420p")
        picture.pts = pts
        picture.time_base = Fraction(1, CLOCK_HZ)
        picture.pict_type = PictureType.I if keyframe else PictureType.NONE
        return [bytes(packet) for packet in self._context.encode(picture)]


def _encoder(codec: VideoCodec, width: int, height: int) -> VideoCodecContext:
    name, options = ENCODERS[codec]
    context = CodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)  # noqa: S101
    context.width, context.height = width, height
    context.pix_fmt = "yuv420p"
    context.bit_rate = round(min(MOST_BPS, max(LEAST_BPS, width * height * 30 * BITS_PER_PIXEL)))
    context.framerate = Fraction(30, 1)
    context.time_base = Fraction(1, CLOCK_HZ)
    context.gop_size = KEYFRAME_INTERVAL
    context.thread_count = 1
    context.options = options
    context.open()
    return context
