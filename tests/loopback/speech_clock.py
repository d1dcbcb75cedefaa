"""When somebody speaks, by one client's own clock: the levels of the packets that it sends and gets.

The rule is the server's (dataplane/engine/src/speech.rs), the clock and the code are not.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiortc.rtp import RtpPacket, is_rtcp

from sfu.agents import Room
from sfu.agents.media_aiortc import AiortcMedia

LOUD_DBOV = 35
HANGOVER_S = 0.3
START_PACKETS = 2


@dataclass(frozen=True)
class Edge:
    """A packet that is the first or the last of somebody's speech."""

    at: float
    """Monotonic seconds."""
    starved_s: float
    """How long our thread had no core since the packet before: so much later it may have been seen."""


@dataclass(frozen=True)
class Known:
    """One turn, as the speaker knows it."""

    at: float
    seconds: float
    starved_s: float


@dataclass
class Voice:
    """One direction. Edges in the order in which they were."""

    began: list[Edge] = field(default_factory=list)
    _last: Edge | None = None
    _first: Edge | None = None
    _run: int = 0
    _speaking: bool = False
    _starved_s: float = 0.0
    ends: list[Edge] = field(default_factory=list)

    def packet(self, dbov: int) -> None:
        now, starved = time.monotonic(), starved_s()
        edge = Edge(now, starved - self._starved_s)
        self._starved_s = starved
        if self._speaking and self._last is not None and now - self._last.at >= HANGOVER_S:
            self.ends.append(self._last)
            self._speaking, self._run = False, 0
        if dbov > LOUD_DBOV:
            self._run = self._run if self._speaking else 0
            return
        if not self._speaking:
            self._run += 1
            self._first = edge if self._run == 1 else self._first
            if self._run == START_PACKETS and self._first is not None:
                self._speaking = True
                self.began.append(self._first)
        self._last = edge


class SpeechClock:
    """What a client says and hears: `mine` as it is sent, `theirs` as it arrives."""

    def __init__(self, room: Room) -> None:
        assert isinstance(room.media, AiortcMedia)
        self.mine = Voice()
        self.theirs = Voice()
        pc = room.media.peer_connection
        for transceiver in pc.getTransceivers():
            if transceiver.kind == "audio":
                self._watch_receiver(transceiver.receiver)
        self._watch_transport(pc.getTransceivers()[0].sender.transport, pc)

    def answers(self) -> list[Known]:
        """From the end of mine to the beginning of theirs, where nothing of mine is between."""
        found = []
        for first in self.theirs.began:
            before = [end for end in self.mine.ends if end.at < first.at]
            if before and not any(before[-1].at < own.at < first.at for own in self.mine.began):
                seconds, last = first.at - before[-1].at, before[-1]
                found.append(Known(first.at, seconds, first.starved_s + last.starved_s))
        return found

    def interruptions(self) -> list[Known]:
        """From the beginning of mine to the end of theirs, where mine began within theirs."""
        return [
            Known(last.at, last.at - own.at, last.starved_s + own.starved_s)
            for first, last in zip(self.theirs.began, self.theirs.ends, strict=False)
            for own in self.mine.began
            if first.at < own.at < last.at
        ]

    def __repr__(self) -> str:
        return f"mine {self.mine}, theirs {self.theirs}"

    def _watch_receiver(self, receiver: Any) -> None:
        handle = receiver._handle_rtp_packet

        async def tap(packet: RtpPacket, arrival_time_ms: int) -> None:
            if packet.extensions.audio_level is not None:
                self.theirs.packet(packet.extensions.audio_level[1])
            await handle(packet, arrival_time_ms)

        receiver._handle_rtp_packet = tap

    def _watch_transport(self, transport: Any, pc: Any) -> None:
        send = transport._send_rtp

        async def tap(data: bytes) -> None:
            if not is_rtcp(data):
                for transceiver in pc.getTransceivers():
                    sender = transceiver.sender
                    if sender._ssrc == int.from_bytes(data[8:12], "big") and sender.kind == "audio":
                        extensions = sender._RTCRtpSender__rtp_header_extensions_map
                        level = RtpPacket.parse(data, extensions).extensions.audio_level
                        if level is not None:
                            self.mine.packet(level[1])
            await send(data)

        transport._send_rtp = tap


def starved_s(pid: int | None = None) -> float:
    """How long the main thread of a process was ready to run and had no core (sched-stats.rst)."""
    text = Path(f"/proc/{pid or os.getpid()}/schedstat").read_text()
    return int(text.split()[1]) / 1e9
