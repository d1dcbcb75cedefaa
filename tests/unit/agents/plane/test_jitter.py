"""Packets in their order, whatever the network does to them."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from sfu.agents.plane.jitter import JitterBuffer, Unwrapper

HOLD_S = 0.1


def buffer(limit: int = 50) -> JitterBuffer[int]:
    return JitterBuffer(HOLD_S, limit)


def test_what_comes_in_order_waits_for_nothing() -> None:
    jitter = buffer()
    for number in range(1000, 1010):
        jitter.push(number, number)
        assert jitter.pop(0.0) == [number]
    assert not jitter.waiting


def test_a_hole_is_waited_for_and_then_left() -> None:
    jitter = buffer()
    for number in (1, 3, 4):
        jitter.push(number, number)
    assert jitter.pop(0.0) == [1]
    assert jitter.pop(HOLD_S / 2) == []
    assert jitter.waiting
    assert jitter.pop(HOLD_S) == [3, 4]
    assert jitter.lost == 1
    jitter.push(2, 2)
    assert jitter.pop(HOLD_S) == [], "too late"


def test_a_late_packet_fills_its_hole() -> None:
    jitter = buffer()
    for number in (1, 3, 3, 2):
        jitter.push(number, number)
    assert jitter.pop(0.0) == [1, 2, 3]
    assert jitter.lost == 0


def test_each_hole_has_its_own_patience() -> None:
    jitter = buffer()
    for number in (1, 3, 5):
        jitter.push(number, number)
    jitter.pop(0.0)
    jitter.push(2, 2)
    assert jitter.pop(HOLD_S * 0.9) == [2, 3]
    assert jitter.pop(HOLD_S * 1.8) == []
    assert jitter.pop(HOLD_S * 2) == [5]


def test_no_more_is_kept_than_the_limit() -> None:
    jitter = buffer(limit=5)
    jitter.push(0, 0)
    for number in range(2, 8):
        jitter.push(number, number)
    assert jitter.pop(0.0) == [0, 2, 3, 4, 5, 6, 7]


def test_after_a_reset_anything_is_the_first() -> None:
    jitter = buffer()
    jitter.push(1_000_000, 1)
    jitter.pop(0.0)
    jitter.reset()
    jitter.push(3, 3)
    assert jitter.pop(0.0) == [3]


@given(st.integers(0, 2**48), st.integers(1, 80), st.integers(0, 2**32))
def test_shuffled_packets_come_out_sorted_and_once(first: int, count: int, seed: int) -> None:
    jitter = buffer(limit=200)
    jitter.push(first, first)
    shuffled = [number for number in range(first, first + count) for _ in range(2)]
    random.Random(seed).shuffle(shuffled)
    out = []
    for number in shuffled:
        jitter.push(number, number)
        out += jitter.pop(0.0)
    assert out == list(range(first, first + count))


def test_timestamps_go_on_past_their_end_and_back() -> None:
    clock = Unwrapper(48_000)
    assert clock.seconds(2**32 - 960) == 0.0
    assert clock.seconds(960) == 0.04
    assert clock.seconds(0) == 0.02
    assert clock.seconds(48_000) == 1.02
