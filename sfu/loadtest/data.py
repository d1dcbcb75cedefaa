"""Data messages of a load test: sent at a rate, each with its send time at the end, counted on arrival."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Sequence

from sfu.core.ids import TransportId
from sfu.dataplane.plane import DataPlane
from signaling.native.envelope import Envelope, encode

STAMP = struct.Struct("!d")
"""Last of every message: seconds since the plane's epoch."""
TICK_S = 0.005
"""Messages of a sender that fall into one are handed over together."""
LATENCY_SAMPLE = 16
"""Every so many messages one's way is timed: 50 000 a second would make this program the limit."""
TOPIC = "load"


class DataMeter:
    """What arrived, of all clients together."""

    def __init__(self, plane: DataPlane) -> None:
        self.messages = 0
        self.latency_s: list[float] = []
        """Of every sixteenth."""
        self._plane = plane

    def on_message(self, _reliable: bool, message: bytes) -> None:
        """One message arrived."""
        self.messages += 1
        if self.messages % LATENCY_SAMPLE == 0:
            (sent_at,) = STAMP.unpack_from(message, len(message) - STAMP.size)
            self.latency_s.append(self._plane.age_s - sent_at)


class DataSender:
    """Sends from every given transport at the same rate until it is cancelled."""

    def __init__(self, plane: DataPlane, rate: float, size: int, *, reliable: bool) -> None:
        """
        Args:
            plane: The clients' own.
            rate: Messages a second of each sender.
            size: Payload, bytes; at least the send time's.
            reliable: Over the channel that loses nothing.
        """
        self.sent = 0
        self._plane = plane
        self._rate = rate
        self._filler = bytes(max(0, size - STAMP.size))
        self._reliable = reliable

    async def run(self, senders: Sequence[TransportId]) -> None:
        """Never returns."""
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        done = 0
        while True:
            due = int((loop.time() - begun_at) * self._rate)
            if due > done:
                self._send(senders, due - done)
                done = due
            await asyncio.sleep(TICK_S)

    def _send(self, senders: Iterable[TransportId], count: int) -> None:
        stamp = STAMP.pack(self._plane.age_s)
        message = encode(Envelope(self._filler + stamp, topic=TOPIC))
        for sender in senders:
            self._plane.send_messages(sender, [(self._reliable, message)] * count)
            self.sent += count
