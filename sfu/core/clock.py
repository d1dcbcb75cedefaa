"""Time as the domain sees it: two readings and one way to be called back. Virtual in tests."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """The call does not happen. Harmless after it has."""


class Clock(Protocol):
    """Every state change runs in a callback of one clock, on one thread."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""

    def wall(self) -> float:
        """Seconds since 1970, for people and for wire fields. May jump."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once, no sooner than `delay_s` from now and never from inside this call."""


class Loop(Protocol):
    """What `LoopClock` needs of an event loop."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer: ...

    def call_soon(self, callback: Callable[[], None], /) -> Timer: ...


class LoopClock:
    """The real clock, on an event loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        """As `Clock.monotonic`."""
        return self._loop.time()

    def wall(self) -> float:
        """As `Clock.wall`."""
        return time.time()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """As `Clock.call_later`."""
        if delay_s <= 0:
            return self._loop.call_soon(callback)
        return self._loop.call_later(delay_s, callback)


class _VirtualTimer:
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class VirtualClock:
    """A clock that moves only when told, for tests and simulations."""

    def __init__(self, start_s: float = 1000.0, wall_s: float = 1_700_000_000.0) -> None:
        self._now = start_s
        self._wall_offset = wall_s - start_s
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _VirtualTimer]] = []

    def monotonic(self) -> float:
        """As `Clock.monotonic`."""
        return self._now

    def wall(self) -> float:
        """As `Clock.wall`."""
        return self._now + self._wall_offset

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """As `Clock.call_later`; runs inside a later `advance`."""
        timer = _VirtualTimer(callback)
        heapq.heappush(self._timers, (self._now + max(delay_s, 0.0), next(self._order), timer))
        return timer

    def advance(self, delay_s: float) -> None:
        """Move on, running what falls due on the way in order of time, then of registration."""
        end = self._now + delay_s
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, due)
            if timer.callback is not None:
                callback, timer.callback = timer.callback, None
                callback()
        self._now = end

    @property
    def pending(self) -> int:
        """Timers that are neither run nor cancelled."""
        return sum(timer.callback is not None for _, _, timer in self._timers)
