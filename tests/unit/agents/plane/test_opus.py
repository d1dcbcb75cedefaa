"""Opus there and back, levels, and what is no Opus."""

from __future__ import annotations

import numpy as np
import pytest

from sfu.agents.audio import FRAME_SAMPLES
from sfu.agents.plane.opus import OpusDecoder, OpusEncoder


def tone(frames: int, amplitude: float, channels: int = 1) -> np.ndarray:
    at = np.arange(frames * FRAME_SAMPLES) / 48_000
    mono = (amplitude * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
    return np.repeat(mono.reshape(-1, 1), channels, axis=1)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_comes_back_with_its_loudness(channels: int) -> None:
    sent = tone(50, 10_000, channels)
    encoder, decoder = OpusEncoder(channels), OpusDecoder()
    packets = encoder.encode(sent[: 30 * FRAME_SAMPLES]) + encoder.encode(sent[30 * FRAME_SAMPLES :])
    assert len(packets) == 50
    heard = [
        samples for samples in decoder.decode([payload for _, payload in packets]) if samples is not None
    ]
    assert {samples.shape for samples in heard} == {(FRAME_SAMPLES, channels)}
    late = np.concatenate(heard)[-20 * FRAME_SAMPLES :].astype(float)
    assert np.sqrt(np.mean(late**2)) == pytest.approx(10_000 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize(("amplitude", "level"), [(0, 127), (32_767, 3), (3277, 23), (33, 63)])
def test_the_level_is_that_of_the_samples(amplitude: float, level: int) -> None:
    found = {each for each, _ in OpusEncoder(1).encode(tone(5, amplitude))}
    assert all(abs(each - level) <= 1 for each in found), found


def test_mono_becomes_stereo_when_it_comes() -> None:
    decoder = OpusDecoder()
    mono, stereo = OpusEncoder(1).encode(tone(1, 5000)), OpusEncoder(2).encode(tone(1, 5000, 2))
    shapes = [samples.shape for _, payload in (*mono, *stereo, *mono)
              for samples in decoder.decode([payload]) if samples is not None]  # fmt: skip
    assert shapes == [(FRAME_SAMPLES, 1), (FRAME_SAMPLES, 2), (FRAME_SAMPLES, 2)]


def test_the_silence_of_the_plane_is_silent() -> None:
    (samples,) = OpusDecoder().decode([b"\xf8\xff\xfe"])
    assert samples is not None
    assert not samples.any()


def test_what_is_no_opus_is_counted_and_harms_nobody() -> None:
    decoder = OpusDecoder()
    rng = np.random.default_rng(1)
    for size in (0, 1, 2, 7, 60, 1200):
        decoder.decode([rng.bytes(size) for _ in range(50)])
    assert decoder.refused >= 50
    ((_, payload),) = OpusEncoder(1).encode(tone(1, 5000))
    (samples,) = decoder.decode([payload])
    assert samples is not None
