"""Unit types. Seconds are plain floats in names that end in `_s`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Bitrate:
    """Bits per second, whole and at least 0."""

    bps: int

    def __post_init__(self) -> None:
        if self.bps < 0:
            raise ValueError(f"a bitrate cannot be negative: {self.bps}")

    @classmethod
    def kbps(cls, value: float) -> Self:
        """From thousands of bits per second."""
        return cls(round(value * 1000))

    def __str__(self) -> str:
        return f"{self.bps / 1000:g} kbit/s"


@dataclass(frozen=True, slots=True, order=True)
class DataSize:
    """Bytes, whole and at least 0."""

    bytes: int

    def __post_init__(self) -> None:
        if self.bytes < 0:
            raise ValueError(f"a size cannot be negative: {self.bytes}")

    @classmethod
    def kib(cls, value: float) -> Self:
        """From units of 1024 bytes."""
        return cls(round(value * 1024))

    def __str__(self) -> str:
        return f"{self.bytes} B" if self.bytes < 1024 else f"{self.bytes / 1024:g} KiB"
