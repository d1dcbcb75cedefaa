"""Leaves that the room is not told of at once: whoever lost its transport may be joining anew right now."""

from __future__ import annotations

from sfu.core.clock import Clock, Timer
from sfu.core.ids import Identity
from sfu.participants.participant import Participant
from sfu.participants.sink import LeaveCode
from sfu.rooms.broadcast import Broadcast


class Departures:
    """Of one room. Those who are named here are members no longer; the others do not know that yet."""

    def __init__(self, clock: Clock, broadcast: Broadcast) -> None:
        self._clock = clock
        self._broadcast = broadcast
        self._untold: dict[Identity, tuple[Participant, Timer]] = {}

    def left(self, member: Participant, code: LeaveCode, *, may_return: bool) -> None:
        """Its session has ended. Say so to all; later, if it may return and its dialect grants it time."""
        grace_s = member.shape.return_grace_s
        if not may_return or not grace_s:
            self._broadcast.participant_left(member, code)
            return

        def tell() -> None:
            del self._untold[member.identity]
            self._broadcast.participant_left(member, code)

        self._broadcast.discard(member)
        self._untold[member.identity] = member, self._clock.call_later(grace_s, tell)

    def entered(self, identity: Identity) -> None:
        """Somebody comes by this name: the one before leaves in the same moment."""
        if (found := self._untold.pop(identity, None)) is not None:
            older, timer = found
            timer.cancel()
            self._broadcast.participant_left(older, LeaveCode.DUPLICATE_IDENTITY)

    def close(self) -> None:
        """The room is gone."""
        for _, timer in self._untold.values():
            timer.cancel()
        self._untold.clear()
