"""A participant on aiortc that sends any bytes as RTP or RTCP, encrypted with its session's good keys."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pylibsrtp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCBundlePolicy
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

WAIT_S = 15.0


class RawPeer:
    """`raw_peer` makes one that is connected."""

    def __init__(self, pc: RTCPeerConnection, socket: ClientConnection) -> None:
        self.pc = pc
        self.messages: list[Any] = []
        self.payload_type = 0
        """Agreed for Opus."""
        self.arrived: list[tuple[int, int]] = []
        """SSRC and sequence number of RTP that came in."""
        self.bytes_received = 0
        self._socket = socket
        self._news = asyncio.Event()
        self._sequence = 0

    async def say(self, **message: Any) -> None:
        """Send one message of the native protocol."""
        await self._socket.send(json.dumps(message))

    async def read(self) -> None:
        """Take what the server says until it ends the connection."""
        with contextlib.suppress(ConnectionClosed):
            async for text in self._socket:
                self.messages.append(json.loads(text))
                self._news.set()

    async def hear(self, kind: str) -> Any:
        """The first message of a type."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for message in self.messages:
                    if message["type"] == kind:
                        return message
                self._news.clear()
                await self._news.wait()

    @property
    def dtls(self) -> Any:
        """The one transport of the bundle."""
        return self.pc.getTransceivers()[0].sender.transport

    @property
    def ssrc(self) -> int:
        """Of the published section, as in the offer."""
        return int(self.pc.getTransceivers()[0].sender._ssrc)

    @property
    def state(self) -> str:
        """Of the peer connection."""
        return str(self.pc.connectionState)

    def rtp(
        self,
        payload: bytes = b"\xf8 opus",
        *,
        first: int = 0x80,
        sequence: int | None = None,
        timestamp: int | None = None,
        ssrc: int | None = None,
        payload_type: int | None = None,
        between: bytes = b"",
    ) -> bytes:
        """A packet (RFC 3550 section 5.1); `between` stands where CSRCs and extensions do.

        Without a `sequence` it is the next one.
        """
        self._sequence = sequence = (self._sequence + 1 if sequence is None else sequence) % 65536
        head = struct.pack(
            "!BBHII",
            first,
            self.payload_type if payload_type is None else payload_type,
            sequence,
            (sequence * 960 if timestamp is None else timestamp) % 2**32,
            self.ssrc if ssrc is None else ssrc,
        )
        return head + between + payload

    def newest(self, ssrc: int) -> int:
        """Sequence number of the latest packet of a stream that came in."""
        return next(number for stream, number in reversed(self.arrived) if stream == ssrc)

    def watch(self) -> None:
        """Note media that comes in, and decode none of it: generated payloads are no pictures."""
        receive = self.dtls.transport._recv

        async def noted() -> bytes:
            while True:
                datagram: bytes = await receive()
                self.bytes_received += len(datagram)
                if not 128 <= datagram[0] <= 191:
                    return datagram
                if not 192 <= datagram[1] <= 223:
                    _, _, sequence, _, ssrc = struct.unpack("!BBHII", datagram[:12])
                    self.arrived.append((ssrc, sequence))

        self.dtls.transport._recv = noted

    async def send(self, packet: bytes) -> None:
        """Encrypt and send: RTCP by its packet type, else RTP.

        libsrtp refuses headers that end too early and sequence numbers that run back; those are not sent.
        """
        with contextlib.suppress(pylibsrtp.Error):
            await self.dtls._send_rtp(packet)

    async def send_raw(self, datagram: bytes) -> None:
        """Send as it is, on the live pair."""
        await self.dtls.transport._send(datagram)


@asynccontextmanager
async def raw_peer(
    ws_url: str, token: str, *, receive_audio: int = 1, receive_video: int = 0
) -> AsyncIterator[RawPeer]:
    """A connected participant that publishes one silent microphone, until the block ends."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_COMPAT))
    # Without a track aiortc sends no media of its own.
    pc.addTransceiver("audio", direction="sendonly")
    for _ in range(receive_audio):
        pc.addTransceiver("audio", direction="recvonly")
    for _ in range(receive_video):
        pc.addTransceiver("video", direction="recvonly")
    url = f"{ws_url}/signal?access_token={quote(token)}"
    async with connect(url, max_size=None) as socket:
        peer = RawPeer(pc, socket)
        reading = asyncio.create_task(peer.read())
        try:
            await pc.setLocalDescription(await pc.createOffer())
            tracks = [{"mid": pc.getTransceivers()[0].mid, "source": "microphone"}]
            await peer.say(type="join", protocol=1, offer=pc.localDescription.sdp, tracks=tracks)
            answer = (await peer.hear("joined"))["answer"]
            found = re.search(r"^a=rtpmap:(\d+) opus/", answer, re.MULTILINE)
            assert found is not None
            peer.payload_type = int(found[1])
            await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            async with asyncio.timeout(WAIT_S):
                while peer.state != "connected":
                    await asyncio.sleep(0.01)
            peer.watch()
            yield peer
        finally:
            await pc.close()
            await socket.close()
            await reading
