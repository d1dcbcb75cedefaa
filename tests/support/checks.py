"""STUN by hand (RFC 8489), on aioice's parser and writer: connectivity checks, good, bad and broken."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from aioice import stun

COOKIE = 0x2112A442
HEADER_LENGTH = 20
PRIORITY = 110 << 24 | 65_535 << 8 | 255
TIE_BREAKER = 0x0123456789ABCDEF


@dataclass(frozen=True)
class Credentials:
    """What a check is made with: both ufrags, and the password of whom it goes to."""

    server_ufrag: str
    client_ufrag: str
    password: str


def check(credentials: Credentials, *, nominate: bool = True, password: str | None = None) -> bytes:
    """A Binding request. Another `password` makes its integrity wrong; an empty one leaves it out."""
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    request.attributes["USERNAME"] = f"{credentials.server_ufrag}:{credentials.client_ufrag}"
    request.attributes["PRIORITY"] = PRIORITY
    request.attributes["ICE-CONTROLLING"] = TIE_BREAKER
    if nominate:
        request.attributes["USE-CANDIDATE"] = None
    key = credentials.password if password is None else password
    if key:
        request.add_message_integrity(key.encode())
    request.add_fingerprint()
    return bytes(request)


def message(attributes: bytes, *, length: int | None = None, kind: int = 0x0001) -> bytes:
    """A message with any bytes for attributes, and any length field."""
    size = len(attributes) if length is None else length
    return struct.pack("!HHI12s", kind, size & 0xFFFF, COOKIE, b"hostile stun") + attributes


def attribute(kind: int, value: bytes, *, length: int | None = None) -> bytes:
    """One attribute with its padding, and any length field."""
    size = len(value) if length is None else length
    return struct.pack("!HH", kind, size) + value + bytes(-len(value) % 4)


def answers(sender: socket.socket) -> list[bytes]:
    """Everything that has come back to a non-blocking socket."""
    found = []
    try:
        while True:
            found.append(sender.recv(65536))
    except BlockingIOError:
        return found


def udp_socket() -> socket.socket:
    """Non-blocking, on loopback."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind(("127.0.0.1", 0))
    return made
