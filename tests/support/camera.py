"""A generated camera that is hard to encode: Chromium's own fake one needs too few bits for these tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BALLS = 6
BALL_SHARE = 5  # of the height, as a divisor: size of a moving patch
GRAIN = 2  # standard deviation of each frame's own noise, of 255: what no encoder can predict
Plane = NDArray[np.uint8]


def noisy_clip(path: Path, *, width: int = 1280, height: int = 720, fps: int = 20, frames: int = 40) -> Path:
    """Write a YUV4MPEG2 clip of textured patches that bounce over a sliding background under film grain.

    Chromium plays it in a loop (`--use-file-for-fake-video-capture`). The patches' paths close, so that the
    loop has no cut: a cut costs a burst of bits that is none of the network's doing.
    """
    rng = np.random.default_rng(720)
    size = height // BALL_SHARE
    background = _texture(rng, height, width * 2, 60)
    patches = [_texture(rng, size, size, 18) for _ in range(BALLS)]
    phases = rng.random((BALLS, 2)) * 2 * np.pi
    turns = rng.integers(1, 3, (BALLS, 2))
    chroma = bytes([112]) * (width * height // 4) + bytes([144]) * (width * height // 4)
    grain = [rng.normal(0, GRAIN, (height, width)).astype(np.int16) for _ in range(4)]
    with path.open("wb") as clip:
        clip.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420mpeg2\n".encode())
        for number in range(frames):
            angle = 2 * np.pi * number / frames
            slide = width // 4 + round(width / 8 * np.sin(angle))
            picture = background[:, slide : slide + width].astype(np.int16)
            for patch, phase, turn in zip(patches, phases, turns, strict=True):
                row, column = (0.5 + 0.5 * np.sin(turn * angle + phase)) * (height - size, width - size)
                picture[int(row) : int(row) + size, int(column) : int(column) + size] = patch
            picture += np.roll(grain[number % 4], number * 37, axis=1)
            clip.write(b"FRAME\n" + np.clip(picture, 16, 235).astype(np.uint8).tobytes() + chroma)
    return path


def _texture(rng: np.random.Generator, height: int, width: int, grain_px: int) -> Plane:
    """Random blotches of about `grain_px`."""
    coarse = rng.integers(40, 215, (height // grain_px + 1, width // grain_px + 1), dtype=np.uint8)
    return np.kron(coarse, np.ones((grain_px, grain_px), np.uint8))[:height, :width]
