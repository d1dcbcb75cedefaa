"""Packets in their order, each once; a hole is waited for a moment. Pure: `now_s` is passed in.

Nothing is delayed for the sake of an even pace: who listens here computes, and wants sound as early as it
comes.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class JitterBuffer(Generic[T]):
    """Orders the packets of one stream by extended sequence number."""

    def __init__(self, hold_s: float, limit: int) -> None:
        """
        Args:
            hold_s: How long a missing packet is waited for.
            limit: Packets kept behind a hole; one more and the hole is given up.
        """
        self.lost = 0
        """Packets that did not come in time."""
        self._hold_s = hold_s
        self._limit = limit
        self._next: int | None = None
        self._held: dict[int, T] = {}
        self._hole_since_s: float | None = None

    @property
    def waiting(self) -> bool:
        """Something is kept behind a hole: ask again."""
        return bool(self._held)

    def reset(self) -> None:
        """Forget everything: the next packet is the first."""
        self._next, self._hole_since_s = None, None
        self._held.clear()

    def push(self, number: int, packet: T) -> None:
        """One packet. Those that come twice or too late are passed over."""
        if self._next is None:
            self._next = number
        if number >= self._next:
            self._held.setdefault(number, packet)

    def pop(self, now_s: float) -> list[T]:
        """What can be had in order now."""
        out: list[T] = []
        while self._held and self._next is not None:
            packet = self._held.pop(self._next, None)
            if packet is not None:
                out.append(packet)
                self._next += 1
                self._hole_since_s = None
                continue
            if self._hole_since_s is None:
                self._hole_since_s = now_s
            if now_s - self._hole_since_s < self._hold_s and len(self._held) <= self._limit:
                break
            first = min(self._held)
            self.lost += first - self._next
            self._next = first
        return out


class Unwrapper:
    """RTP timestamps as seconds since the first one."""

    def __init__(self, clock_rate: int) -> None:
        self._rate = clock_rate
        self._last: int | None = None
        self._ticks = 0

    def seconds(self, timestamp: int) -> float:
        """Of a timestamp within 2^31 of the last one (RFC 3550 section 5.1); may be before it."""
        if self._last is not None:
            step = (timestamp - self._last) & 0xFFFFFFFF
            self._ticks += step - 0x100000000 if step >= 0x80000000 else step
        self._last = timestamp
        return self._ticks / self._rate
