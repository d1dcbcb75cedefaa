"""Fairness between sockets: what many of them want at once is done over several turns of the event loop.

One write costs about 50 µs, one join into a room of a thousand 2 ms. A broadcast, or fifty joins, in one
turn would hold up every timer and every other request for that long.
"""

import asyncio
from collections import deque

WRITES_PER_TURN = 64  # about 3 ms; a turn more costs only some µs
READS_PER_TURN = (
    2  # a join with its offer takes up to 4 ms; small requests still pass in tens of thousands a second
)


class Turns:
    """Admits so many per turn, first come, first served. One for all sockets of a process."""

    def __init__(self, per_turn: int) -> None:
        self._per_turn = per_turn
        self._left = per_turn
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._counting = False

    async def take(self) -> None:
        """Return when it may be done now."""
        loop = asyncio.get_running_loop()
        if not self._counting:
            self._counting = True
            loop.call_soon(self._next, loop)
        if self._left > 0 and not self._waiting:
            self._left -= 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = self._per_turn
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            # Who was cancelled while it waited has no use for its turn.
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
        self._counting = bool(self._waiting)
        if self._counting:
            loop.call_soon(self._next, loop)


class Fairness:
    """What all sockets of a process share."""

    def __init__(self) -> None:
        self.reads = Turns(READS_PER_TURN)
        self.writes = Turns(WRITES_PER_TURN)
