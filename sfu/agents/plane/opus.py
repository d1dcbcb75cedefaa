"""Opus by PyAV, a batch at a time and with as few copies as it allows."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from av import AudioCodecContext, AudioFrame, CodecContext, Packet
from av.error import FFmpegError

from sfu.agents.audio import FRAME_SAMPLES, LAYOUTS, SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfu.dataplane.plane import PlayedFrame

    Pcm = NDArray[np.int16]

BITRATE_BPS = 48_000  # for each channel; speech and music are hard to tell from the original
COMPLEXITY = 5
"""Of 10. From 7 on libopus looks for speech in each frame, which triples the time (71 to 201 us a frame) and
is of use below 32 kbit/s."""
STEREO_BIT = 0x04  # of the first byte of a packet (RFC 6716 section 3.1)
MAX_SAMPLES = 5760  # 120 ms, the longest packet (RFC 6716 section 2.1.4)
SILENCE_DBOV = 127  # RFC 6464
FULL_SCALE = 32768.0


class OpusEncoder:
    """One voice."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        context = CodecContext.create("libopus", "w")
        assert isinstance(context, AudioCodecContext)  # noqa: S101
        context.sample_rate = SAMPLE_RATE
        context.layout = LAYOUTS[channels]
        context.format = "s16"
        context.bit_rate = BITRATE_BPS * channels
        context.time_base = Fraction(1, SAMPLE_RATE)
        context.options = {"application": "audio", "compression_level": str(COMPLEXITY)}
        context.open()
        self._context = context
        # The encoder has read the samples when `encode` returns, so one frame serves for all.
        self._frame = AudioFrame(format="s16", layout=LAYOUTS[channels], samples=FRAME_SAMPLES)
        self._frame.sample_rate = SAMPLE_RATE
        self._frame.time_base = Fraction(1, SAMPLE_RATE)
        self._pts = 0

    def encode(self, pcm: Pcm) -> list[PlayedFrame]:
        """Whole frames of 20 ms, shape (samples, channels), as level and packet of each."""
        samples = np.ascontiguousarray(pcm)
        frames = samples.reshape(-1, FRAME_SAMPLES * self._channels)
        played: list[PlayedFrame] = []
        for level, frame in zip(_levels(frames), frames, strict=True):
            self._frame.planes[0].update(frame)  # type: ignore[arg-type]
            self._frame.pts = self._pts
            self._pts += FRAME_SAMPLES
            played += [(level, bytes(packet)) for packet in self._context.encode(self._frame)]
        return played

    def settle(self) -> None:
        """Silence was sent in our place: be where a decoder is that has heard it."""
        self.encode(np.zeros((2 * FRAME_SAMPLES, self._channels), np.int16))


def _levels(frames: Pcm) -> list[int]:
    """Root mean square of each row in -dBov, as RFC 6465 section 5 computes it."""
    floats = frames.astype(np.float32)
    power = np.einsum("ij,ij->i", floats, floats) / frames.shape[1]
    decibels = -10 * np.log10(np.maximum(power, 1e-9) / FULL_SCALE**2)
    return [int(level) for level in np.clip(np.rint(decibels), 0, SILENCE_DBOV)]


class OpusDecoder:
    """One voice. Mono, until a packet has two channels."""

    def __init__(self) -> None:
        self.refused = 0
        """Packets that were no Opus."""
        self._channels = 1
        self._context = self._open()

    def _open(self) -> AudioCodecContext:
        context = CodecContext.create("libopus", "r")
        assert isinstance(context, AudioCodecContext)  # noqa: S101
        context.sample_rate = SAMPLE_RATE
        context.layout = LAYOUTS[self._channels]
        context.open()
        return context

    def decode(self, packets: Sequence[bytes]) -> list[Pcm | None]:
        """Samples of each packet, 48 kHz; None for one that cannot be decoded."""
        return [self._decode(packet) for packet in packets]

    def _decode(self, payload: bytes) -> Pcm | None:
        if not payload:
            # An empty packet would end the decoder.
            self.refused += 1
            return None
        if payload[0] & STEREO_BIT and self._channels == 1:
            self._channels = 2
            self._context = self._open()
        try:
            frames = self._context.decode(Packet(payload))
        except FFmpegError:
            self.refused += 1
            return None
        if not frames:
            self.refused += 1
            return None
        frame = frames[0]
        count = frame.samples * self._channels
        return np.frombuffer(frame.planes[0], np.int16, count).reshape(-1, self._channels)  # type: ignore[call-overload, no-any-return]
