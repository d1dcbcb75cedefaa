"""Runs the route planner for members whose routes may have to change, a few per turn of the loop."""

from __future__ import annotations

from collections.abc import Callable

from sfu.core.clock import Clock, Timer
from sfu.core.ids import ParticipantSid
from sfu.participants.participant import Participant

SLICE = 64
"""Members planned per turn: about 2 ms at 30 us each. A track published to 1000 is bound in 16 turns."""


class Planner:
    """Changes of one turn lead to one run per member. Owns one timer."""

    def __init__(self, clock: Clock, run: Callable[[Participant], None]) -> None:
        self._clock = clock
        self._run = run
        self._marked: dict[ParticipantSid, Participant] = {}
        self._timer: Timer | None = None
        self._closed = False

    def mark(self, member: Participant) -> None:
        """Plan its routes in the next turn, after what is being done now."""
        if self._closed:
            return
        self._marked[member.sid] = member
        if self._timer is None:
            self._timer = self._clock.call_later(0.0, self._run_slice)

    def discard(self, member: Participant) -> None:
        """It has left."""
        self._marked.pop(member.sid, None)

    def close(self) -> None:
        """The room is gone: nothing more is planned."""
        self._closed = True
        self._marked.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run_slice(self) -> None:
        self._timer = None
        for sid in list(self._marked)[:SLICE]:
            # A run may end somebody else's session.
            member = self._marked.pop(sid, None)
            if member is not None:
                self._run(member)
        if self._marked and self._timer is None:
            self._timer = self._clock.call_later(0.0, self._run_slice)
