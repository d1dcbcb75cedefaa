"""How good a connection is, in a word."""

from __future__ import annotations

from enum import StrEnum


class Direction(StrEnum):
    """The two ways of a connection, as the participant sees them."""

    UP = "up"
    """What it publishes."""
    DOWN = "down"
    """What it receives."""


class QualityClass(StrEnum):
    """Wire format."""

    LOST = "lost"
    """Nothing arrives."""
    POOR = "poor"
    """Words or pictures are missing."""
    GOOD = "good"
    """Noticeable, not disturbing."""
    EXCELLENT = "excellent"
    """Nothing to notice."""
