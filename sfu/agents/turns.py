"""Cuts a voice into sentences: when somebody begins to speak, and what he said once he has finished. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sfu.agents.audio import FRAME_S

if TYPE_CHECKING:
    from sfu.agents.audio import Pcm

LOUD = 500  # of 32767: above the noise of a quiet room
START_S = 0.06  # of speech, for a beginning: a click is none
LEAD_S = 0.2  # before the beginning that belong to the sentence
PAUSE_S = 0.5  # of silence, for an end
LONGEST_S = 30.0  # of one sentence; then it is given as it is

IsSpeech = Callable[[bytes], bool]
"""Whether 20 ms of 16-bit mono are speech; with webrtcvad: `lambda pcm: vad.is_speech(pcm, 16000)`."""


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """Somebody speaks: time to fall silent."""


@dataclass(frozen=True, slots=True, eq=False)
class Sentence:
    """Somebody has finished."""

    samples: Pcm
    """Shape (samples, 1), without the silence that ended it."""


def is_loud(pcm: bytes) -> bool:
    """Speech is what is loud: for a quiet room, and for tests."""
    return int(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)).max(initial=0)) > LOUD


class TurnDetector:
    """One voice. Push its sound as it comes; what happened comes back."""

    def __init__(
        self, is_speech: IsSpeech = is_loud, sample_rate: int = 16_000, *, pause_s: float = PAUSE_S
    ) -> None:
        """
        Args:
            is_speech: Asked about every 20 ms.
            sample_rate: Of what is pushed, Hz.
            pause_s: Silence after which a sentence is over.
        """
        self._is_speech = is_speech
        self._size = round(sample_rate * FRAME_S)
        self._pause = round(pause_s / FRAME_S)
        self._rest = np.zeros((0, 1), np.int16)
        self._lead: deque[Pcm] = deque(maxlen=round((LEAD_S + START_S) / FRAME_S))
        self._said: list[Pcm] = []
        self._run = 0
        self._quiet = 0

    def push(self, samples: Pcm) -> Iterator[SpeechBegan | Sentence]:
        """More of the voice, of any length, shape (samples, 1)."""
        sound = np.concatenate((self._rest, samples))
        whole = len(sound) // self._size * self._size
        self._rest = sound[whole:]
        for start in range(0, whole, self._size):
            yield from self._frame(sound[start : start + self._size])

    def _frame(self, frame: Pcm) -> Iterator[SpeechBegan | Sentence]:
        speaks = self._is_speech(frame.astype("<i2", copy=False).tobytes())
        if not self._said:
            self._lead.append(frame)
            self._run = self._run + 1 if speaks else 0
            if self._run * FRAME_S >= START_S:
                self._said, self._quiet = list(self._lead), 0
                self._lead.clear()
                yield SpeechBegan()
            return
        self._said.append(frame)
        self._quiet = 0 if speaks else self._quiet + 1
        if self._quiet >= self._pause or len(self._said) * FRAME_S >= LONGEST_S:
            said = self._said[: len(self._said) - self._quiet]
            self._said, self._run = [], 0
            yield Sentence(np.concatenate(said))
