"""Python's garbage collector on a server's terms: no turn of the loop waits for it while anybody is there.

A full collection looks at every object that is alive: 0.2 to 0.35 s with a thousand clients, and by
default one comes every second as they join. But what is alive is not garbage, and what dies here is freed
by its reference count: joins and leaves leave no cycle behind. So survivors of the young generations are set
aside (`gc.freeze`, which only relinks lists), and all of it is looked at when nobody would notice.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

THRESHOLDS = (5_000, 10, 1_000_000)
"""Objects, young and middle collections until the next older one; the oldest is ours to start."""
SET_ASIDE_INTERVAL_S = 1.0
"""Bounds what the middle generation, a few milliseconds, has to look at."""
FULL_INTERVAL_S = 3600.0
"""Cycles that survived the young generations are some library's: they may wait, or until nobody is there."""
IDLE_FULL_INTERVAL_S = 60.0


class Collector:
    """Replaces automatic full collections from `start` on."""

    def __init__(self, is_idle: Callable[[], bool], monotonic: Callable[[], float] = time.monotonic) -> None:
        """`is_idle`: nobody is served at this moment."""
        self._is_idle = is_idle
        self._monotonic = monotonic
        self._full_at = monotonic()

    def start(self) -> None:
        """After everything that lives as long as the process has been made."""
        gc.set_threshold(*THRESHOLDS)
        self._full()

    async def run(self) -> None:
        """Never returns."""
        while True:
            await asyncio.sleep(SET_ASIDE_INTERVAL_S)
            self.turn()

    def turn(self) -> bool:
        """What is due now; whether that was a full collection."""
        since_s = self._monotonic() - self._full_at
        if since_s >= FULL_INTERVAL_S or (since_s >= IDLE_FULL_INTERVAL_S and self._is_idle()):
            self._full()
            return True
        gc.collect(1)
        gc.freeze()
        return False

    def _full(self) -> None:
        began_at = self._monotonic()
        gc.unfreeze()
        found = gc.collect()
        gc.freeze()
        self._full_at = self._monotonic()
        log.debug("%d objects were garbage, found in %.3f s", found, self._full_at - began_at)
