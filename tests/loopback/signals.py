"""Sound and pictures that can be recognised after a trip through codecs."""

from __future__ import annotations

import shutil
import subprocess
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sfu.agents.audio import Resampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 48000
COMMITTED = Path(__file__).parent / "data" / "speech.wav"


def speech(
    text: str = "Airside forwards what people say, packet by packet.", *, voice: str = "en"
) -> NDArray[np.int16]:
    """Speech at 48 kHz, from espeak-ng where it is installed, else a recording of the same."""
    if shutil.which("espeak-ng"):
        made = subprocess.run(
            ["espeak-ng", "-v", voice, "--stdout", text], capture_output=True, check=True
        ).stdout
        # The header's length fields are those of a stream: everything after 44 bytes is sound.
        rate, samples = int.from_bytes(made[24:28], "little"), np.frombuffer(made[44:], "<i2")
    else:
        with wave.open(str(COMMITTED)) as file:
            rate, samples = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")
    samples = samples.astype(np.int16).reshape(-1, 1)
    return np.asarray(Resampler(RATE, 1).convert(samples, rate)[:, 0])


def correlation(sent: NDArray[np.int16], received: NDArray[np.int16]) -> float:
    """Normalised cross-correlation at the best alignment: 1.0 is the same sound, delayed."""
    a, b = sent.astype(np.float64), received.astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    size = 1 << (len(a) + len(b) - 1).bit_length()
    cross = np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size)
    lag = int(np.argmax(cross))
    lag = lag - size if lag > size // 2 else lag
    begin, end = max(lag, 0), min(lag + len(a), len(b))
    a, b = a[begin - lag : end - lag], b[begin:end]
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else 0.0


def picture(number: int, width: int = 320, height: int = 240) -> NDArray[Any]:
    """A bright square on a dark ground that moves with the number."""
    frame = np.full((height, width, 3), 24, np.uint8)
    x = (number * 8) % (width - 64)
    frame[height // 2 - 32 : height // 2 + 32, x : x + 64] = (230, 200, 40)
    return frame


def square_position(frame: NDArray[Any]) -> float:
    """Where the square of `picture` is, as a fraction of the width; -1 when there is none."""
    bright = frame[..., :2].astype(np.int32).sum(axis=2) > 250
    columns = np.flatnonzero(bright.sum(axis=0) > 16)
    return float(columns.mean() / frame.shape[1]) if len(columns) else -1.0
