"""How late the event loop is: a timer that says when it should have run."""

import asyncio
from collections.abc import Callable
from typing import Protocol

PROBE_INTERVAL_S = 0.1  # ten readings a second cost nothing and catch a stall of 100 ms for certain


class LagLoop(Protocol):
    """What the probe needs of an event loop."""

    def time(self) -> float:
        """Monotonic seconds."""

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call back at a time of that clock."""


class LoopLagProbe:
    """Reports the lag of each tick until stopped. A stall of a second is one reading of a second."""

    def __init__(self, loop: LagLoop, report: Callable[[float], None]) -> None:
        self._loop = loop
        self._report = report
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin; call once."""
        self._schedule()

    def stop(self) -> None:
        """End; harmless when it is not running."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _schedule(self) -> None:
        self._due = self._loop.time() + PROBE_INTERVAL_S
        self._handle = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._report(max(0.0, self._loop.time() - self._due))
        self._schedule()
