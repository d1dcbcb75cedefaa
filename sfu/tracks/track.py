"""A published track: what others see of it, and what the plane calls it."""

from __future__ import annotations

from dataclasses import dataclass

from sfu.core.codecs import Encryption, MediaKind, TrackSource
from sfu.core.ids import Identity, ParticipantSid, TrackSid
from sfu.tracks.layers import LayerInfo


@dataclass(frozen=True, slots=True)
class TrackInfo:
    """A track as clients see it. Replaced, never changed."""

    sid: TrackSid
    participant: ParticipantSid
    identity: Identity
    kind: MediaKind
    source: TrackSource
    name: str
    mid: str
    """Section of the publisher's transport. Means nothing to others."""
    muted: bool
    mime: str
    """What is really sent; until the first packet, what was agreed first."""
    layers: tuple[LayerInfo, ...]
    """Lowest first; always at least one."""
    encryption: Encryption = Encryption.NONE
    stereo: bool = False

    @property
    def simulcast(self) -> bool:
        """More than one layer was agreed."""
        return len(self.layers) > 1

    @property
    def width_px(self) -> int:
        """Of the highest layer; 0 unknown, or audio."""
        return max(layer.width_px for layer in self.layers)

    @property
    def height_px(self) -> int:
        """Of the highest layer; 0 unknown, or audio."""
        return max(layer.height_px for layer in self.layers)
