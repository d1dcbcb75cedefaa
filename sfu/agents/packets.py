"""LiveKit's data packets: what goes over our data channels, built and read. Pure.

Source: livekit_models.proto (`DataPacket`). The server writes who sent a packet; what we say there
counts only for words that an agent says for another.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError
from livekit.protocol import models

Packet = models.DataPacket

MAX_BYTES = 64 * 1024  # of one packet: what the server agrees to in SDP
CHUNK_BYTES = 15_000  # of a stream in one packet, as LiveKit's clients
TEXT_MIME = "text/plain"
TRANSCRIPTION_TOPIC = "lk.transcription"
SEGMENT_ATTRIBUTE = "lk.segment_id"
TRACK_ATTRIBUTE = "lk.transcribed_track_id"
FINAL_ATTRIBUTE = "lk.transcription_final"


@dataclass(frozen=True, slots=True)
class Address:
    """Whom a packet is for, and whom it speaks for."""

    destinations: tuple[str, ...] = ()
    """Identities; empty: everyone else in the room."""
    author: str = ""
    """Identity whose words these are; empty: our own. Only agents may."""

    def packet(self) -> Packet:
        """An empty one."""
        return Packet(destination_identities=self.destinations, participant_identity=self.author)


EVERYONE = Address()


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the first packet of a stream says."""

    id: str
    topic: str
    sender: str = ""
    """Identity; for transcriptions: whose words they are."""
    mime_type: str = TEXT_MIME
    name: str = ""
    """Of a file."""
    total_bytes: int | None = None
    """None: its sender did not know."""
    timestamp_ms: int = 0
    """When it was opened, since 1970."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    is_text: bool = True


def encode(packet: Packet) -> bytes:
    """A packet as it is sent.

    Raises:
        ValueError: Too long.
    """
    encoded = packet.SerializeToString()
    if len(encoded) > MAX_BYTES:
        msg = f"a data message has at most {MAX_BYTES} bytes with its envelope, this one {len(encoded)}"
        raise ValueError(msg)
    return encoded


def decode(data: bytes) -> Packet:
    """Read one. Raises ValueError, and nothing else."""
    try:
        return Packet.FromString(data)
    except DecodeError:
        raise ValueError("it is no DataPacket") from None


def user(payload: bytes, topic: str, address: Address, *, reliable: bool) -> Packet:
    """A message with a topic: clients of every dialect can read it."""
    packet = address.packet()
    packet.kind = Packet.RELIABLE if reliable else Packet.LOSSY
    packet.user.payload, packet.user.topic = payload, topic
    packet.user.destination_identities.extend(address.destinations)
    return packet


def header(info: StreamInfo, address: Address) -> Packet:
    """A stream begins."""
    packet, stamp = address.packet(), info.timestamp_ms or int(time.time() * 1000)
    stream = packet.stream_header
    stream.stream_id, stream.topic, stream.mime_type, stream.timestamp = (
        info.id, info.topic, info.mime_type, stamp,
    )  # fmt: skip
    stream.attributes.update(info.attributes)
    if info.total_bytes is not None:
        stream.total_length = info.total_bytes
    if info.is_text:
        stream.text_header.operation_type = models.DataStream.OperationType.CREATE
    else:
        stream.byte_header.name = info.name
    return packet


def info_of(packet: Packet) -> StreamInfo:
    """What a header says."""
    stream = packet.stream_header
    return StreamInfo(
        id=stream.stream_id,
        topic=stream.topic,
        sender=packet.participant_identity,
        mime_type=stream.mime_type,
        name=stream.byte_header.name,
        total_bytes=stream.total_length if stream.HasField("total_length") else None,
        timestamp_ms=stream.timestamp,
        attributes=dict(stream.attributes),
        is_text=stream.WhichOneof("content_header") != "byte_header",
    )


def chunk(stream_id: str, index: int, content: bytes, address: Address) -> Packet:
    """A piece of a stream; they count from 0."""
    packet = address.packet()
    packet.stream_chunk.stream_id = stream_id
    packet.stream_chunk.chunk_index = index
    packet.stream_chunk.content = content
    return packet


def trailer(stream_id: str, reason: str, attributes: Mapping[str, str], address: Address) -> Packet:
    """A stream ends; with a reason: before it was complete."""
    packet = address.packet()
    packet.stream_trailer.stream_id = stream_id
    packet.stream_trailer.reason = reason
    packet.stream_trailer.attributes.update(attributes)
    return packet


def transcription(segment_id: str, text: str, track_id: str, address: Address, *, final: bool) -> Packet:
    """Words for LiveKit's older clients, which read no streams."""
    packet = address.packet()
    packet.transcription.transcribed_participant_identity = address.author
    packet.transcription.track_id = track_id
    packet.transcription.segments.add(id=segment_id, text=text, final=final)
    return packet


def pieces(text: str) -> Sequence[bytes]:
    """UTF-8 in pieces for packets, none of which ends within a character."""
    data, found = text.encode(), []
    while data:
        end = min(CHUNK_BYTES, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # a byte that goes on with a character
            end -= 1
        found.append(data[:end])
        data = data[end:]
    return found
