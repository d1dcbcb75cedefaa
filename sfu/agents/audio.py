"""PCM in and out: a source that is written at any pace and read every 20 ms, and frames that are received."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from av import AudioFrame as AvFrame
from av import AudioResampler

from sfu.agents.errors import SourceEndedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pcm = NDArray[np.int16]

SAMPLE_RATE = 48000  # Opus's clock (RFC 7587 section 4.1)
FRAME_S = 0.02  # one Opus packet; what every stack sends
FRAME_SAMPLES = 960
LATE_S = 0.2  # a reader further behind than this starts its clock anew instead of catching up
LAYOUTS = {1: "mono", 2: "stereo"}


@dataclass(frozen=True, slots=True, eq=False)
class AudioFrame:
    """A piece of sound."""

    data: Pcm
    """Shape (samples, channels), 16 bits signed."""
    sample_rate: int
    """Samples per second and channel."""
    timestamp_s: float
    """Media time of the first sample, from the start of the stream. Gaps show as jumps."""

    @property
    def duration_s(self) -> float:
        """How long it sounds."""
        return len(self.data) / self.sample_rate

    def to_bytes(self) -> bytes:
        """Interleaved little-endian samples."""
        return self.data.astype("<i2", copy=False).tobytes()


def as_samples(pcm: bytes | bytearray | memoryview | NDArray[Any], channels: int) -> Pcm:
    """PCM in any accepted form as (samples, channels).

    Args:
        pcm: Interleaved 16-bit little-endian bytes, or int16 of shape (samples,) or (samples, channels).
        channels: 1 or 2.

    Raises:
        ValueError: Another type, or not a whole number of samples.
    """
    if isinstance(pcm, bytes | bytearray | memoryview):
        if len(pcm) % (2 * channels):
            msg = f"{len(pcm)} bytes are no whole number of {channels}-channel samples"
            raise ValueError(msg)
        return np.frombuffer(pcm, dtype="<i2").astype(np.int16, copy=False).reshape(-1, channels)
    if pcm.dtype != np.int16:
        msg = f"samples must be int16, these are {pcm.dtype}"
        raise ValueError(msg)
    samples = pcm.reshape(-1, 1) if pcm.ndim == 1 and channels == 1 else pcm
    if samples.ndim != 2 or samples.shape[1] != channels:
        msg = f"samples must have the shape (samples, {channels}), these {pcm.shape}"
        raise ValueError(msg)
    return samples


class Resampler:
    """Converts a stream of PCM to another rate and channel count. Holds back under a millisecond."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        if channels not in LAYOUTS:
            msg = "one or two channels"
            raise ValueError(msg)
        self._rate = sample_rate
        self._channels = channels
        self._resampler = self._anew()
        self._source: tuple[str, str, int] | None = None
        """Format, layout and rate of what was converted last."""

    def _anew(self) -> AudioResampler:
        return AudioResampler(format="s16", layout=LAYOUTS[self._channels], rate=self._rate)

    def convert(self, samples: Pcm, sample_rate: int) -> Pcm:
        """The next piece of the stream, shape (samples, channels)."""
        if sample_rate == self._rate and samples.shape[1] == self._channels:
            return samples
        frame = AvFrame.from_ndarray(
            np.ascontiguousarray(samples).reshape(1, -1), format="s16", layout=LAYOUTS[samples.shape[1]]
        )
        frame.sample_rate = sample_rate
        return self.convert_frame(frame)

    def convert_frame(self, frame: AvFrame) -> Pcm:
        """The same for a decoded frame. A stream may go from one channel to two, and back."""
        source = frame.format.name, frame.layout.name, frame.sample_rate
        if self._source not in (None, source):
            self._resampler = self._anew()
        self._source = source
        pieces = [piece.to_ndarray().reshape(-1, self._channels) for piece in self._resampler.resample(frame)]
        return np.concatenate(pieces) if pieces else np.zeros((0, self._channels), np.int16)


class PcmSink(Protocol):
    """A backend that takes sound ahead of time and paces it itself."""

    @property
    def buffered_s(self) -> float:
        """How much it has taken and not sent."""

    def on_written(self) -> None:
        """There is more to take."""

    def on_cleared(self) -> None:
        """What was taken and not sent is to be forgotten."""

    def on_enabled(self, enabled: bool) -> None:
        """The source is muted, or no longer."""


class PcmSource:
    """Sound to publish. Write at any pace; it is played out in real time, silence where nothing is written.

    source = PcmSource(sample_rate=24000)
    await room.publish_audio(source)
    await source.write(speech)       # waits while more than `buffer_s` is queued
    await source.drained()           # all of it has been sent
    source.flush()                   # interrupted: silent from the next packet on
    """

    def __init__(self, sample_rate: int = SAMPLE_RATE, channels: int = 1, *, buffer_s: float = 1.0) -> None:
        """
        Args:
            sample_rate: Of what is written, Hz.
            channels: 1 or 2.
            buffer_s: `write` waits while more than this is queued.
        """
        self._resampler = Resampler(SAMPLE_RATE, channels)
        self.sample_rate = sample_rate
        self.channels = channels
        self._limit = int(buffer_s * SAMPLE_RATE)
        self._queue: deque[Pcm] = deque()
        self._queued = 0
        self._held = False
        self._changed = asyncio.Event()
        self._enabled = asyncio.Event()
        self._enabled.set()
        self._closed = False
        self._start_s: float | None = None
        self._position = 0
        self._sink: PcmSink | None = None
        self._written_s = 0.0

    @property
    def buffered_s(self) -> float:
        """How much is queued and not sent."""
        ahead_s = self._sink.buffered_s if self._sink is not None else 0.0
        return self._queued / SAMPLE_RATE + ahead_s

    async def write(self, pcm: bytes | bytearray | memoryview | NDArray[Any]) -> None:
        """Queue sound; waits while the buffer is full. Dropped silently after `close`.

        Raises:
            ValueError: See `as_samples`.
        """
        samples = self._resampler.convert(as_samples(pcm, self.channels), self.sample_rate)
        while self._queued > self._limit and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        if len(samples) and not self._closed:
            self._queue.append(samples)
            self._queued += len(samples)
            if self._sink is not None:
                self._written_s = asyncio.get_running_loop().time()
                self._sink.on_written()

    def flush(self) -> None:
        """Fall silent at once, for example when the listener interrupts: what is queued is forgotten."""
        self._queue.clear()
        self._queued = 0
        if self._sink is not None:
            self._sink.on_cleared()
        self._changed.set()

    async def drained(self) -> None:
        """Wait until everything written has been handed to the network."""
        while self.buffered_s and not self._closed:
            self._changed.clear()
            await self._changed.wait()

    def enable(self, enabled: bool) -> None:
        """Muted sources send nothing and keep their place in time."""
        (self._enabled.set if enabled else self._enabled.clear)()
        if self._sink is not None:
            self._sink.on_enabled(enabled)

    def close(self) -> None:
        """End it: writers return, `read` raises."""
        self._closed = True
        self._enabled.set()
        self.flush()

    # For media backends: those that pace what they send `attach` and `take`, the others `read`.

    def attach(self, sink: PcmSink | None) -> None:
        """Tell this one what happens, and count in what it has taken."""
        self._sink = sink
        if sink is not None:
            sink.on_enabled(self._enabled.is_set())
        self._changed.set()

    def progressed(self) -> None:
        """The sink has sent something: who waits looks again."""
        self._changed.set()

    @property
    def closed(self) -> bool:
        """`close` was called: nothing more comes."""
        return self._closed

    def take(self, frames: int) -> Pcm | None:
        """Up to so many whole frames of what is queued, in one piece at 48 kHz; None if there are none.

        Less than a frame waits 20 ms for the rest, so that a writer in real time is not cut up.
        """
        whole = min(self._queued // FRAME_SAMPLES, frames)
        if not whole:
            if not self._queued or not frames:
                return None
            if asyncio.get_running_loop().time() - self._written_s < FRAME_S:
                return None
            whole = 1
        return self._pieces(whole * FRAME_SAMPLES)

    async def read(self) -> AudioFrame:
        """The next 20 ms at 48 kHz, when they are due.

        Raises:
            SourceEndedError: `close` was called.
        """
        loop = asyncio.get_running_loop()
        await self._enabled.wait()
        if self._closed:
            raise SourceEndedError
        if self._start_s is None:
            self._start_s = loop.time()
        due = self._start_s + self._position / SAMPLE_RATE
        late = loop.time() - due
        if late > LATE_S:
            # Muted, or the loop stood still: time went on, so the media clock does too.
            self._position += int(late / FRAME_S) * FRAME_SAMPLES
        elif late < 0:
            await asyncio.sleep(-late)
        timestamp_s = self._position / SAMPLE_RATE
        self._position += FRAME_SAMPLES
        return AudioFrame(self._take(), SAMPLE_RATE, timestamp_s)

    def _take(self) -> Pcm:
        # Less than a frame waits one turn for the rest, so that a writer in real time is not cut up.
        if 0 < self._queued < FRAME_SAMPLES and not self._held:
            self._held = True
            return np.zeros((FRAME_SAMPLES, self.channels), np.int16)
        self._held = False
        return self._pieces(FRAME_SAMPLES)

    def _pieces(self, samples: int) -> Pcm:
        """So many of what is queued, with silence behind them."""
        first = self._queue[0] if self._queue else None
        if first is not None and len(first) == samples:
            # The common case of a writer in real time: no copy.
            self._queue.popleft()
            self._queued -= samples
            self._changed.set()
            return first
        out = np.zeros((samples, self.channels), np.int16)
        filled = 0
        while filled < samples and self._queue:
            piece = self._queue[0]
            taken = min(len(piece), samples - filled)
            out[filled : filled + taken] = piece[:taken]
            filled += taken
            if taken == len(piece):
                self._queue.popleft()
            else:
                self._queue[0] = piece[taken:]
        self._queued -= filled
        if filled:
            self._changed.set()
        return out
