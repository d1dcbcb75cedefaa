"""What aiortc really sends and receives, as codec payloads."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from aiortc.codecs import depayload
from aiortc.rtp import RtpPacket, is_rtcp

from sfu.agents import Room
from sfu.agents.media_aiortc import AiortcMedia


class RtpTap:
    """Codec payloads of one room's peer connection, by kind, in order of sending or arrival.

    Without VP8's payload descriptor, whose picture id a forwarder rewrites, and without retransmissions.
    """

    def __init__(self, room: Room) -> None:
        assert isinstance(room.media, AiortcMedia)
        self.sent: dict[str, list[bytes]] = defaultdict(list)
        self.received: dict[str, list[bytes]] = defaultdict(list)
        self.numbers: dict[str, list[tuple[int, int]]] = defaultdict(list)
        """SSRC and sequence number of every packet that arrived, by kind."""
        self._codecs: dict[tuple[str, int], Any] = {}
        self._room = room
        pc = room.media.peer_connection
        for transceiver in pc.getTransceivers():
            self._watch_receiver(transceiver)
        self._watch_transport(pc.getTransceivers()[0].sender.transport)

    def _watch_receiver(self, transceiver: Any) -> None:
        handle = transceiver.receiver._handle_rtp_packet

        async def tap(packet: RtpPacket, arrival_time_ms: int) -> None:
            self.numbers[transceiver.kind].append((packet.ssrc, packet.sequence_number))
            self._keep(self.received, transceiver, packet)
            await handle(packet, arrival_time_ms)

        transceiver.receiver._handle_rtp_packet = tap

    def _watch_transport(self, transport: Any) -> None:
        send = transport._send_rtp

        async def tap(data: bytes) -> None:
            if not is_rtcp(data):
                packet = RtpPacket.parse(data)
                for transceiver in self._transceivers():
                    if transceiver.sender._ssrc == packet.ssrc:
                        self._keep(self.sent, transceiver, packet)
            await send(data)

        transport._send_rtp = tap

    def _transceivers(self) -> list[Any]:
        assert isinstance(self._room.media, AiortcMedia)
        return list(self._room.media.peer_connection.getTransceivers())

    @staticmethod
    def _keep(where: dict[str, list[bytes]], transceiver: Any, packet: RtpPacket) -> None:
        codec = next((one for one in transceiver._codecs if one.payloadType == packet.payload_type), None)
        if codec is not None and codec.name != "rtx" and packet.payload:
            # H.264 is left as it is: nothing in it may change.
            payload = depayload(codec, packet.payload) if codec.name == "VP8" else packet.payload
            where[transceiver.kind].append(payload)
