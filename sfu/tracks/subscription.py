"""What a subscriber wants of a track, beside what was applied."""

from __future__ import annotations

from dataclasses import dataclass

MAX_HEIGHT_PX = 4320
"""8K: stands for "no limit"."""
MAX_TEMPORAL = 7
"""Three bits in every codec that has temporal layers: stands for "no limit"."""


@dataclass(frozen=True, slots=True)
class SubscriptionWish:
    """A client's words about one track. The network may give it less, never more."""

    max_height_px: int = MAX_HEIGHT_PX
    """Tallest picture wanted; 0 stops video and keeps the subscription."""
    paused: bool = False
    """Nothing is sent, audio included."""
    priority: int | None = None
    """1 (thumbnail) to 255 (what is looked at); None: by the track's source."""
    may_pause: bool = True
    """Video may be stopped when the network cannot take even its lowest layer."""
    max_temporal: int = MAX_TEMPORAL
