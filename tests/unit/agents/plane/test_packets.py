"""VP8 and H.264 into payloads and back, and payloads that are none."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.agents.plane.packets import (
    MAX_FRAME_BYTES,
    MAX_PAYLOAD_BYTES,
    Depacketizer,
    H264Depacketizer,
    Vp8Depacketizer,
    packetize_h264,
    packetize_vp8,
)

KEYFRAME, DELTA = b"\x10", b"\x11"


def nal(kind: int, size: int) -> bytes:
    return bytes([0x60 | kind]) + random.Random(size).randbytes(size - 1).replace(b"\x00", b"\x01")


def feed(depacketizer: Depacketizer, payloads: list[bytes]) -> tuple[bytes, bool] | None:
    made = None
    for index, payload in enumerate(payloads):
        assert made is None, "the marker ends a frame"
        made = depacketizer.feed(payload, marker=index == len(payloads) - 1)
    return made


@given(st.binary(max_size=5000), st.integers(0, 2**15 - 1), st.booleans())
def test_vp8_comes_back(body: bytes, picture_id: int, keyframe: bool) -> None:
    frame = (KEYFRAME if keyframe else DELTA) + body
    payloads = list(packetize_vp8(frame, picture_id))
    assert max(map(len, payloads)) <= MAX_PAYLOAD_BYTES
    assert feed(Vp8Depacketizer(), payloads) == (frame, keyframe)


@given(st.lists(st.tuples(st.sampled_from([1, 5, 7, 8]), st.integers(2, 4000)), min_size=1, max_size=4))
def test_h264_comes_back(units: list[tuple[int, int]]) -> None:
    frame = b"".join(b"\x00\x00\x00\x01" + nal(kind, size) for kind, size in units)
    payloads = list(packetize_h264(frame))
    assert max(map(len, payloads)) <= MAX_PAYLOAD_BYTES
    keyframe = any(kind in (5, 7) for kind, _ in units)
    assert feed(H264Depacketizer(), payloads) == (frame, keyframe)


def test_h264_units_that_share_a_payload() -> None:
    one, two = nal(7, 10), nal(5, 300)
    payload = b"\x78" + b"".join(len(unit).to_bytes(2) + unit for unit in (one, two))
    start = b"\x00\x00\x00\x01"
    assert H264Depacketizer().feed(payload, marker=True) == (start + one + start + two, True)


@pytest.mark.parametrize(
    ("depacketizer", "payload"),
    [
        (Vp8Depacketizer(), b"\x90\xf0\x81\x02\x03\x04" + KEYFRAME),
        (H264Depacketizer(), b"\x78\x00\x02\x67\x01\x00\x02\x65\x02"),
        (H264Depacketizer(), b"\x7c\x85\x01"),
    ],
)
def test_each_shorter_payload_is_refused_or_read(depacketizer: Depacketizer, payload: bytes) -> None:
    for size in range(len(payload)):
        try:
            depacketizer.feed(payload[:size], marker=True)
        except ValueError:
            continue
    assert depacketizer.feed(payload, marker=True) is not None, "what was wrong before does not harm"


@pytest.mark.parametrize("kind", [Vp8Depacketizer, H264Depacketizer])
def test_noise_raises_nothing_else(kind: type[Depacketizer]) -> None:
    noise, depacketizer = random.Random(1), kind()
    for _ in range(20_000):
        try:
            depacketizer.feed(noise.randbytes(noise.randrange(24)), marker=noise.random() < 0.3)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("depacketizer", "first", "more"),
    [
        (Vp8Depacketizer(), b"\x10" + bytes(1000), b"\x00" + bytes(1000)),
        (H264Depacketizer(), b"\x7c\x85" + bytes(1000), b"\x7c\x05" + bytes(1000)),
    ],
)
def test_a_frame_that_does_not_end_is_given_up(depacketizer: Depacketizer, first: bytes, more: bytes) -> None:
    depacketizer.feed(first, marker=False)
    for _ in range((MAX_FRAME_BYTES - 1000) // 1000 - 1):
        depacketizer.feed(more, marker=False)

    def some_more() -> None:
        depacketizer.feed(more, marker=False)
        depacketizer.feed(more, marker=False)
        depacketizer.feed(more, marker=False)

    with pytest.raises(ValueError, match="does not end"):
        some_more()


def test_the_middle_of_a_frame_is_no_beginning() -> None:
    depacketizer = Vp8Depacketizer()
    payloads = list(packetize_vp8(KEYFRAME + bytes(3000), 1))
    assert feed(depacketizer, payloads[1:]) is None
    depacketizer.feed(payloads[0], marker=False)
    depacketizer.reset()
    assert feed(depacketizer, payloads[1:]) is None
