"""Data messages on the wire: the native envelope, documented in dataplane/engine/src/envelope/native.rs."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAX_MESSAGE_BYTES = 64 * 1024  # what the server agrees to in SDP
MAX_IDENTITY_BYTES = 256
MAX_TOPIC_BYTES = 256
MAX_DESTINATIONS = 255  # their count is one byte

_VERSION = 1
_HEAD = struct.Struct("!BBI")
_LENGTH = struct.Struct("!H")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One data message. `sequence` and `sender` are the server's to fill in."""

    payload: bytes
    topic: str = ""
    destinations: tuple[str, ...] = ()
    """Identities; empty: everyone else in the room."""
    sender: str = ""
    """Identity; "" is the server, or somebody hidden."""
    sequence: int = 0
    """Counts the sender's reliable messages from 1, whoever they are for; 0 on the lossy channel."""


def encode(message: Envelope) -> bytes:
    """The message as a client sends it.

    Raises:
        ValueError: Too long, or too many destinations.
    """
    if len(message.destinations) > MAX_DESTINATIONS:
        msg = f"at most {MAX_DESTINATIONS} destinations"
        raise ValueError(msg)
    parts = [_HEAD.pack(_VERSION, 0, message.sequence), _text(message.sender, MAX_IDENTITY_BYTES)]
    parts.append(bytes([len(message.destinations)]))
    parts += [_text(identity, MAX_IDENTITY_BYTES) for identity in message.destinations]
    parts += [_text(message.topic, MAX_TOPIC_BYTES), message.payload]
    encoded = b"".join(parts)
    if len(encoded) > MAX_MESSAGE_BYTES:
        msg = (
            f"a data message has at most {MAX_MESSAGE_BYTES} bytes with its envelope, this one {len(encoded)}"
        )
        raise ValueError(msg)
    return encoded


def decode(data: bytes) -> Envelope:
    """Read a message.

    Raises:
        ValueError: Another version, a text that ends outside the message or is not UTF-8. Nothing else.
    """
    if len(data) < _HEAD.size:
        msg = "too short for a data message"
        raise ValueError(msg)
    version, _, sequence = _HEAD.unpack_from(data)
    if version != _VERSION:
        msg = f"version {version} of data messages is not known"
        raise ValueError(msg)
    sender, at = _take(data, _HEAD.size)
    if at >= len(data):
        msg = "the message ends before its destinations"
        raise ValueError(msg)
    count, at = data[at], at + 1
    destinations: list[str] = []
    for _ in range(count):
        identity, at = _take(data, at)
        destinations.append(identity)
    topic, at = _take(data, at)
    return Envelope(data[at:], topic, tuple(destinations), sender, sequence)


def _text(text: str, limit: int) -> bytes:
    encoded = text.encode()
    if len(encoded) > limit:
        msg = f"{text[:20]!r}... has more than {limit} bytes"
        raise ValueError(msg)
    return _LENGTH.pack(len(encoded)) + encoded


def _take(data: bytes, at: int) -> tuple[str, int]:
    end = at + _LENGTH.size
    if end > len(data):
        msg = "a text has no length"
        raise ValueError(msg)
    (length,) = _LENGTH.unpack_from(data, at)
    if end + length > len(data):
        msg = "a text ends outside the message"
        raise ValueError(msg)
    return data[end : end + length].decode(), end + length
