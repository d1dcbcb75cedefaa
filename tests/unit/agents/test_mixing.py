"""Voices that are added up."""

from __future__ import annotations

import numpy as np
import pytest

from sfu.agents.mixing import Mixer

RATE = 16_000
FRAME = 320


def sound(level: int, count: int = FRAME) -> np.ndarray:
    return np.full((count, 1), level, np.int16)


@pytest.fixture
def mixer() -> Mixer:
    return Mixer(RATE)


def test_voices_are_added_and_cut_off(mixer: Mixer) -> None:
    for _ in range(3):
        mixer.push("a", sound(20_000))
        mixer.push("b", sound(1_000))
    assert (mixer.mix() == 21_000).all()
    mixer.push("c", sound(30_000, 2 * FRAME))
    assert (mixer.mix() == 32_767).all()


def test_a_voice_waits_for_a_little_more_after_a_gap(mixer: Mixer) -> None:
    mixer.push("a", sound(5))
    assert not mixer.mix().any(), "one packet alone would be cut up by the next that is late"
    mixer.push("a", sound(5))
    assert mixer.mix().all()
    assert mixer.mix().all()
    assert not mixer.mix().any()


def test_frames_of_any_size(mixer: Mixer) -> None:
    for _ in range(10):
        mixer.push("a", sound(7, 100))
    assert (mixer.mix() == 7).all()
    assert (mixer.mix() == 7).all()


def test_what_is_old_is_left_out(mixer: Mixer) -> None:
    for level in range(1, 31):
        mixer.push("a", sound(level))
    assert mixer.mix()[0, 0] == 21, "200 ms, which are ten packets, are kept"


def test_who_is_gone_is_silent(mixer: Mixer) -> None:
    mixer.push("a", sound(5, 4 * FRAME))
    mixer.remove("a")
    assert not mixer.mix().any()
    mixer.remove("a")
