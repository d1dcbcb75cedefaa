"""Where a load test is, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the test is."""

    phase: str
    """`joining`, `settling`, `measuring`, `leaving`."""
    done: float
    """0 to 1, of the phase."""
    joined: int
    failed: int
    packets_per_s: float
    tracks: int
    """That packets arrive of."""


OnProgress = Callable[[Progress], None]
