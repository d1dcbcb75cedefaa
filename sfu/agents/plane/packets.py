"""Pictures in RTP payloads and back: VP8 (RFC 7741) and H.264 (RFC 6184). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

MAX_PAYLOAD_BYTES = 1120  # with headers, extensions and tag below 1200
MAX_FRAME_BYTES = 4 * 1024 * 1024  # far above any keyframe

# VP8 payload descriptor, RFC 7741 section 4.2.
_X, _S, _PID = 0x80, 0x10, 0x0F
_I, _L, _T, _K = 0x80, 0x40, 0x20, 0x10
_PICTURE_ID_15_BIT = 0x80

# NAL unit types, RFC 6184 table 1.
_NAL_TYPE, _NAL_REFERENCE = 0x1F, 0xE0
_IDR, _SPS, _STAP_A, _FU_A = 5, 7, 24, 28
_FU_START, _FU_END = 0x80, 0x40
_START_CODE = b"\x00\x00\x00\x01"


class Depacketizer(Protocol):
    """One codec's payloads, in order, to frames."""

    def feed(self, payload: bytes, *, marker: bool) -> tuple[bytes, bool] | None:
        """One more payload. A frame and whether it is a keyframe, where this one ends it.

        Raises:
            ValueError: It is no payload of this codec; what was begun is given up.
        """

    def reset(self) -> None:
        """Something is missing: give up the frame that was begun."""


class Vp8Depacketizer:
    """RFC 7741."""

    def __init__(self) -> None:
        self._frame = bytearray()
        self._begun = False

    def reset(self) -> None:
        self._frame.clear()
        self._begun = False

    def feed(self, payload: bytes, *, marker: bool) -> tuple[bytes, bool] | None:
        try:
            begins, at = _vp8_descriptor(payload)
        except IndexError:
            self.reset()
            raise ValueError("a VP8 descriptor that ends too early") from None
        if begins:
            self.reset()
            self._begun = True
        if not self._begun:
            return None
        self._frame += payload[at:]
        if len(self._frame) > MAX_FRAME_BYTES:
            self.reset()
            raise ValueError("a frame that does not end")
        if not marker or not self._frame:
            return None
        frame = bytes(self._frame)
        self.reset()
        # The inverse of the keyframe bit, RFC 6386 section 9.1.
        return frame, not frame[0] & 1


def _vp8_descriptor(payload: bytes) -> tuple[bool, int]:
    """Whether a frame begins here, and where the payload does. Raises IndexError."""
    first, at = payload[0], 1
    if first & _X:
        extension = payload[1]
        at = 2
        if extension & _I:
            at += 2 if payload[at] & _PICTURE_ID_15_BIT else 1
        if extension & _L:
            at += 1
        if extension & (_T | _K):
            at += 1
    if at > len(payload):
        raise IndexError
    return bool(first & _S) and not first & _PID, at


class H264Depacketizer:
    """RFC 6184, packetization mode 1; frames in the byte stream format of H.264 annex B."""

    def __init__(self) -> None:
        self._frame = bytearray()
        self._keyframe = False
        self._fragment = False

    def reset(self) -> None:
        self._frame.clear()
        self._keyframe = self._fragment = False

    def feed(self, payload: bytes, *, marker: bool) -> tuple[bytes, bool] | None:
        try:
            self._add(payload)
        except IndexError:
            self.reset()
            raise ValueError("an H.264 payload that ends too early") from None
        if len(self._frame) > MAX_FRAME_BYTES:
            self.reset()
            raise ValueError("a frame that does not end")
        if not marker or not self._frame:
            return None
        frame, keyframe = bytes(self._frame), self._keyframe
        self.reset()
        return frame, keyframe

    def _add(self, payload: bytes) -> None:
        kind = payload[0] & _NAL_TYPE
        if kind == _STAP_A:
            at = 1
            while at < len(payload):
                size = payload[at] << 8 | payload[at + 1]
                if not size or at + 2 + size > len(payload):
                    raise IndexError
                self._nal(payload[at + 2 : at + 2 + size])
                at += 2 + size
        elif kind == _FU_A:
            head = payload[1]
            if head & _FU_START:
                self._fragment = True
                self._nal(bytes([payload[0] & _NAL_REFERENCE | head & _NAL_TYPE]) + payload[2:])
            elif self._fragment:
                self._frame += payload[2:]
            if head & _FU_END:
                self._fragment = False
        elif 0 < kind < _STAP_A:
            self._nal(payload)

    def _nal(self, unit: bytes) -> None:
        self._keyframe |= unit[0] & _NAL_TYPE in (_IDR, _SPS)
        self._frame += _START_CODE + unit


def packetize_vp8(frame: bytes, picture_id: int) -> Iterator[bytes]:
    """Payloads of one frame; the picture id has 15 bits."""
    extension = bytes([_I, _PICTURE_ID_15_BIT | picture_id >> 8 & 0x7F, picture_id & 0xFF])
    room = MAX_PAYLOAD_BYTES - 1 - len(extension)
    for at in range(0, len(frame), room):
        yield bytes([_X | (_S if at == 0 else 0)]) + extension + frame[at : at + room]


def packetize_h264(frame: bytes) -> Iterator[bytes]:
    """Payloads of one frame in the byte stream format: single units, and fragments of longer ones."""
    for unit in _units(frame):
        if len(unit) <= MAX_PAYLOAD_BYTES:
            yield unit
            continue
        indicator, kind, body = unit[0] & _NAL_REFERENCE | _FU_A, unit[0] & _NAL_TYPE, unit[1:]
        room = MAX_PAYLOAD_BYTES - 2
        for at in range(0, len(body), room):
            ends = at + room >= len(body)
            head = kind | (_FU_START if at == 0 else 0) | (_FU_END if ends else 0)
            yield bytes([indicator, head]) + body[at : at + room]


def _units(frame: bytes) -> Iterator[bytes]:
    """The NAL units between start codes of three or four bytes."""
    for piece in frame.split(b"\x00\x00\x01"):
        unit = piece.rstrip(b"\x00")
        if unit:
            yield unit
