"""Sentences cut out of a voice."""

from __future__ import annotations

import numpy as np

from sfu.agents.turns import LONGEST_S, Sentence, SpeechBegan, TurnDetector

RATE = 16_000


def sound(level: int, seconds: float) -> np.ndarray:
    return np.full((round(RATE * seconds), 1), level, np.int16)


def heard(detector: TurnDetector, *parts: np.ndarray, size: int = 320) -> list[str | float]:
    """Beginnings, and the seconds of sentences."""
    voice = np.concatenate(parts)
    found: list[str | float] = []
    for start in range(0, len(voice), size):
        for event in detector.push(voice[start : start + size]):
            match event:
                case SpeechBegan():
                    found.append("began")
                case Sentence(samples):
                    found.append(round(len(samples) / RATE, 2))
    return found


def test_a_sentence_is_over_after_a_pause() -> None:
    parts = sound(0, 1), sound(9000, 1), sound(0, 0.3), sound(9000, 1), sound(0, 0.6)
    # Two tenths before it belong to it, and the short pause within.
    assert heard(TurnDetector(), *parts) == ["began", 2.5]
    assert heard(TurnDetector(), *parts, size=77) == ["began", 2.5], "however it is cut up"


def test_a_click_is_no_sentence() -> None:
    assert heard(TurnDetector(), sound(9000, 0.04), sound(0, 1)) == []


def test_two_sentences() -> None:
    one = sound(9000, 0.5), sound(0, 0.6)
    assert heard(TurnDetector(pause_s=0.4), *one, *one) == ["began", 0.5, "began", 0.7]


def test_one_without_end_is_given_in_pieces() -> None:
    found = heard(TurnDetector(), sound(9000, LONGEST_S + 1))
    assert found == ["began", LONGEST_S, "began"]
