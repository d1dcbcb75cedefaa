"""Layers of a track: height, width, bitrate, as the publisher announces them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """One spatial layer. Numbers are announced by the publisher, 0 where it said nothing."""

    rid: str | None = None
    """`a=rid` of simulcast (RFC 8853); None without simulcast."""
    width_px: int = 0
    height_px: int = 0
    bitrate_bps: int = 0
    active: bool = False
    """Packets of it arrive."""
