"""Sound between the plane and its users: one object for each section, called at the beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sfu.agents.audio import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE, AudioFrame, PcmSource
from sfu.agents.media import MediaListener
from sfu.agents.plane.hub import Hub
from sfu.agents.plane.jitter import JitterBuffer, Unwrapper
from sfu.agents.plane.opus import OpusDecoder, OpusEncoder
from sfu.core.ids import TrackId
from sfu.dataplane.plane import TrackPacket

HOLD_S = 0.1  # a repeated packet comes within a round trip; sound later than that is of no use
HELD_PACKETS = 50
AHEAD_FRAMES = 10  # encoded and handed over: a loop that stands still for less than 200 ms is not heard
SETTLE_BEATS = 3  # of silence after which the encoder is told of it


class Ear:
    """What arrives in one section: ordered, decoded if somebody listens."""

    def __init__(self, mid: str, listener: MediaListener) -> None:
        self._mid = mid
        self._listener = listener
        self._jitter: JitterBuffer[TrackPacket] = JitterBuffer(HOLD_S, HELD_PACKETS)
        self._clock = Unwrapper(SAMPLE_RATE)
        self._decoder: OpusDecoder | None = None

    @property
    def waiting(self) -> bool:
        return self._jitter.waiting

    def on_packets(self, packets: Sequence[TrackPacket], now_s: float) -> None:
        for packet in packets:
            self._jitter.push(packet[2], packet)
        ready = self._jitter.pop(now_s)
        if not self._listener.wants(self._mid):
            self._decoder = None
            for packet in ready:
                self._clock.seconds(packet[3])
            return
        if self._decoder is None:
            self._decoder = OpusDecoder()
        decoded = self._decoder.decode([packet[5] for packet in ready])
        for packet, samples in zip(ready, decoded, strict=True):
            timestamp_s = self._clock.seconds(packet[3])
            if samples is not None:
                self._listener.on_audio(self._mid, AudioFrame(samples, SAMPLE_RATE, timestamp_s))


class Voice:
    """What a section sends: encoded a little ahead of the plane, which paces it. The sink of its source."""

    def __init__(self, hub: Hub, track: TrackId, soon: Callable[[Voice], None]) -> None:
        """
        Args:
            hub: Of the plane.
            track: With a local source.
            soon: Has `pump` called once this turn of the loop is over.
        """
        self.track = track
        self._hub = hub
        self._soon = soon
        self._source: PcmSource | None = None
        self._encoder: OpusEncoder | None = None
        self._channels = 1
        self._ahead = 0
        self._quiet_beats = 0
        self._open = False
        self._paused = False

    @property
    def free(self) -> bool:
        """No source: the section can carry another."""
        return self._source is None

    def connect(self) -> None:
        """The transport can send: begin."""
        if not self._open:
            self._open = True
            self._hub.write(self.track, self)
            self._hub.plane.pause_player(self.track, paused=self._paused or self.free)
            self.on_written()

    def attach(self, source: PcmSource) -> None:
        """Carry this from now on."""
        self._source = source
        if self._encoder is None or self._channels != source.channels:
            self._channels, self._encoder = source.channels, OpusEncoder(source.channels)
        source.attach(self)
        self.on_written()

    def detach(self) -> None:
        """Carry nothing, and end the source."""
        source, self._source = self._source, None
        if source is not None:
            self.on_cleared()
            source.attach(None)
            source.close()
            if self._open:
                self._hub.plane.pause_player(self.track, paused=True)

    def close(self) -> None:
        """End it for good."""
        self.detach()
        if self._open:
            self._hub.stop_writing(self.track)
            self._open = False

    # As a PcmSink.

    @property
    def buffered_s(self) -> float:
        return self._ahead * FRAME_S

    def on_written(self) -> None:
        if self._open:
            self._soon(self)

    def on_cleared(self) -> None:
        if self._open and self._ahead:
            self._hub.plane.flush_player(self.track)
        self._ahead = 0

    def on_enabled(self, enabled: bool) -> None:
        self._paused = not enabled
        if self._open:
            self._hub.plane.pause_player(self.track, paused=self._paused)

    # As a Writer.

    def on_beat(self, queued: int) -> None:
        source = self._source
        if source is None:
            return
        if queued < self._ahead:
            self._ahead = queued
            source.progressed()
        self.pump()
        if source.closed and not self._ahead:
            self.detach()
            return
        self._quiet_beats = 0 if self._ahead else self._quiet_beats + 1
        if self._quiet_beats == SETTLE_BEATS and self._encoder is not None:
            self._encoder.settle()

    def pump(self) -> None:
        """Encode what there is, up to a little ahead."""
        if self._source is None or self._encoder is None or not self._open:
            return
        pcm = self._source.take(AHEAD_FRAMES - self._ahead)
        if pcm is not None:
            frames = self._encoder.encode(pcm)
            self._ahead += len(pcm) // FRAME_SAMPLES
            self._hub.plane.play(self.track, frames)
