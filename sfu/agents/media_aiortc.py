"""Media by aiortc: any system, no native code of ours, about 16 % of a core per echo.

What aiortc needs and trips over: the data channels are made after the first transceivers, or a bundled
transport never starts; a sender whose track raises is over for good, so every section keeps one track for
life whose source is swapped; received tracks queue without bound, so each is read always.
"""

from __future__ import annotations

import asyncio
import logging
from fractions import Fraction
from typing import Any

from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame as AvAudioFrame
from av import VideoFrame as AvVideoFrame

from sfu.agents.audio import LAYOUTS, SAMPLE_RATE, AudioFrame, PcmSource
from sfu.agents.errors import MediaError, SourceEndedError
from sfu.agents.media import (
    LOSSY_LABEL,
    RELIABLE_LABEL,
    MediaListener,
    MediaState,
    Offer,
    VideoCodec,
)
from sfu.agents.video import VideoFrame, VideoSource

VIDEO_CLOCK = 90000  # RTP ticks per second (RFC 7741 section 4.1)
OPEN_TIMEOUT_S = 15.0  # as long as LiveKit's clients wait for a peer connection
HIGH_WATER_BYTES = 1024 * 1024  # queued on the reliable channel: a second at 8 Mbit/s
LOW_WATER_BYTES = 256 * 1024
CLOSE_TIMEOUT_S = 5.0  # aiortc says goodbye to a peer that may be gone

_STATES: dict[str, MediaState] = {
    "new": "new",
    "connecting": "connecting",
    "connected": "connected",
    "failed": "disconnected",
    "closed": "closed",
}

_log = logging.getLogger(__name__)

Source = PcmSource | VideoSource


class _Outgoing:
    """Which source a section carries. Its media time runs on from one source to the next."""

    def __init__(self) -> None:
        self._start_s = asyncio.get_running_loop().time()
        self._source: Source | None = None
        self._offset_s: float | None = None
        self._attached = asyncio.Event()

    @property
    def free(self) -> bool:
        """No source: the section can carry another."""
        return self._source is None

    def attach(self, source: Source) -> None:
        """Carry this from now on."""
        self._source, self._offset_s = source, None
        self._attached.set()

    def detach(self) -> None:
        """Carry nothing, and end the source."""
        if self._source is not None:
            self._source.close()
        self._source = None
        self._attached.clear()

    async def read(self) -> tuple[AudioFrame | VideoFrame, float]:
        """The next frame of whatever source there is, and its time in the section, in seconds."""
        while True:
            await self._attached.wait()
            source = self._source
            if source is None:
                continue
            try:
                frame = await source.read()
            except SourceEndedError:
                if self._source is source:
                    self._source = None
                    self._attached.clear()
                continue
            if self._offset_s is None:
                now = asyncio.get_running_loop().time()
                self._offset_s = now - self._start_s - frame.timestamp_s
            return frame, frame.timestamp_s + self._offset_s


class _AudioTrack(MediaStreamTrack):
    """One section's sound, for life."""

    kind = "audio"

    def __init__(self, outgoing: _Outgoing) -> None:
        super().__init__()
        self._outgoing = outgoing
        self._pts = 0

    async def recv(self) -> AvAudioFrame:
        frame, time_s = await self._outgoing.read()
        assert isinstance(frame, AudioFrame)  # noqa: S101
        made = AvAudioFrame.from_ndarray(
            frame.data.reshape(1, -1), format="s16", layout=LAYOUTS[frame.data.shape[1]]
        )
        # The encoder takes no step back in time; a jump of less than a frame is only rounding.
        pts = round(time_s * SAMPLE_RATE)
        self._pts = pts if pts >= self._pts + len(frame.data) else self._pts
        made.pts = self._pts
        self._pts += len(frame.data)
        made.sample_rate = SAMPLE_RATE
        made.time_base = Fraction(1, SAMPLE_RATE)
        return made


class _VideoTrack(MediaStreamTrack):
    """One section's pictures, for life."""

    kind = "video"

    def __init__(self, outgoing: _Outgoing) -> None:
        super().__init__()
        self._outgoing = outgoing
        self._pts = 0

    async def recv(self) -> AvVideoFrame:
        frame, time_s = await self._outgoing.read()
        assert isinstance(frame, VideoFrame)  # noqa: S101
        picture = frame.picture.reformat(format="yuv420p")
        self._pts = max(self._pts + 1, round(time_s * VIDEO_CLOCK))
        picture.pts = self._pts
        picture.time_base = Fraction(1, VIDEO_CLOCK)
        return picture


class AiortcMedia:
    """Implements `sfu.agents.media.Media`."""

    def __init__(self, listener: MediaListener) -> None:
        self._listener = listener
        # Bundled from the start: one gatherer and one transport, however many sections.
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._pc.on("connectionstatechange", self._on_state)
        self._wanted = {"audio": 0, "video": 0}
        self._outgoing: dict[str, tuple[RTCRtpTransceiver, _Outgoing]] = {}
        self._receiving: dict[RTCRtpTransceiver, asyncio.Task[None] | None] = {}
        self._channels: dict[bool, RTCDataChannel] = {}
        self._open = {reliable: asyncio.Event() for reliable in (True, False)}
        self._low = asyncio.Event()
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def peer_connection(self) -> RTCPeerConnection:
        """aiortc's own, for statistics and tests."""
        return self._pc

    @property
    def local_ring(self) -> str:
        return ""

    def use_local_route(self, worker: int, route: int) -> None:  # noqa: ARG002 - it asked for none
        raise MediaError("aiortc knows no local rings")

    def receive(self, *, audio: int, video: int) -> None:
        self._wanted = {
            "audio": max(audio, self._wanted["audio"]),
            "video": max(video, self._wanted["video"]),
        }

    def send_audio(self, source: PcmSource) -> str:
        return self._send("audio", source, None)

    def send_video(self, source: VideoSource, codec: VideoCodec) -> str:
        return self._send("video", source, codec)

    def _send(self, kind: str, source: Source, codec: VideoCodec | None) -> str:
        for cid, (transceiver, outgoing) in self._outgoing.items():
            if outgoing.free and transceiver.kind == kind and _first_codec(transceiver) == codec:
                outgoing.attach(source)
                transceiver.direction = "sendonly"
                return cid
        outgoing = _Outgoing()
        outgoing.attach(source)
        track = _AudioTrack(outgoing) if kind == "audio" else _VideoTrack(outgoing)
        transceiver = self._pc.addTransceiver(track, direction="sendonly")
        if codec is not None:
            transceiver.setCodecPreferences(_preferences(codec))
        self._outgoing[track.id] = (transceiver, outgoing)
        return str(track.id)

    def stop_sending(self, cid: str) -> None:
        transceiver, outgoing = self._outgoing[cid]
        outgoing.detach()
        transceiver.direction = "inactive"

    async def offer(self) -> Offer:
        for kind, wanted in self._wanted.items():
            have = sum(transceiver.kind == kind for transceiver in self._receiving)
            for _ in range(wanted - have):
                self._receiving[self._pc.addTransceiver(kind, direction="recvonly")] = None
        if not self._channels:
            self._open_channels()
        await self._pc.setLocalDescription(await self._pc.createOffer())
        mids = {
            cid: str(transceiver.mid)
            for cid, (transceiver, outgoing) in self._outgoing.items()
            if not outgoing.free
        }
        return Offer(self._pc.localDescription.sdp, mids)

    async def accept(self, answer_sdp: str) -> None:
        await self._pc.setRemoteDescription(RTCSessionDescription(answer_sdp, "answer"))
        for transceiver, task in list(self._receiving.items()):
            if task is None and transceiver.receiver.track is not None:
                self._receiving[transceiver] = asyncio.create_task(self._read(transceiver))

    async def ready(self) -> None:
        for reliable in (True, False):
            await self._wait_open(reliable)

    async def _wait_open(self, reliable: bool) -> None:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await self._open[reliable].wait()
        except TimeoutError:
            raise MediaError("the data channel did not open") from None
        if self._closed:
            raise MediaError("the peer connection is closed")

    async def send_data(self, message: bytes, *, reliable: bool) -> None:
        await self._wait_open(reliable)
        channel = self._channels[reliable]
        while reliable and channel.bufferedAmount > HIGH_WATER_BYTES and not self._closed:
            self._low.clear()
            await self._low.wait()
        if channel.readyState != "open":
            raise MediaError("the data channel is closed")
        channel.send(message)

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._closed = True
        for _, outgoing in self._outgoing.values():
            outgoing.detach()
        for event in (*self._open.values(), self._low):
            event.set()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._pc.close()
        except TimeoutError:
            _log.warning("the peer connection did not close in time")
        for task in self._receiving.values():
            if task is not None:
                task.cancel()

    def _open_channels(self) -> None:
        reliable = self._pc.createDataChannel(RELIABLE_LABEL)
        reliable.bufferedAmountLowThreshold = LOW_WATER_BYTES
        reliable.on("bufferedamountlow", self._low.set)
        lossy = self._pc.createDataChannel(LOSSY_LABEL, ordered=False, maxRetransmits=0)
        self._channels = {True: reliable, False: lossy}
        for is_reliable, channel in self._channels.items():
            self._listen(channel, reliable=is_reliable)

    def _listen(self, channel: RTCDataChannel, *, reliable: bool) -> None:
        def on_message(message: bytes | str) -> None:
            if isinstance(message, bytes):
                self._listener.on_data(message, reliable=reliable)

        channel.on("open", self._open[reliable].set)
        channel.on("message", on_message)

    def _on_state(self) -> None:
        state = self._pc.connectionState
        if state in ("failed", "closed"):
            self._low.set()
        self._listener.on_media_state(_STATES[state])

    async def _read(self, transceiver: RTCRtpTransceiver) -> None:
        track, mid = transceiver.receiver.track, str(transceiver.mid)
        try:
            while True:
                frame: Any = await track.recv()
                timestamp_s = float(frame.pts * frame.time_base)
                if isinstance(frame, AvAudioFrame):
                    channels = len(frame.layout.channels)
                    samples: Any = frame.to_ndarray().reshape(-1, channels)
                    self._listener.on_audio(mid, AudioFrame(samples, frame.sample_rate, timestamp_s))
                else:
                    self._listener.on_video(mid, VideoFrame(frame, timestamp_s))
        except MediaStreamError:
            return  # the peer connection ended


def _preferences(codec: VideoCodec) -> list[Any]:
    """This codec only, with RTX, so that the answer cannot choose another."""
    capabilities = RTCRtpSender.getCapabilities("video").codecs
    return [item for item in capabilities if item.mimeType.lower() in (f"video/{codec}", "video/rtx")]


def _first_codec(transceiver: RTCRtpTransceiver) -> str | None:
    preferred = transceiver._preferred_codecs
    return preferred[0].mimeType.lower().removeprefix("video/") if preferred else None
