"""One participant's life: joining, active, leaving, gone.

A participant is in its room while joining or active. It is leaving once its session ended, until the
packet plane has let go of its transport.
"""

from __future__ import annotations

from enum import Enum, auto

from sfu.core.errors import IllegalTransitionError
from sfu.participants.info import ParticipantState as State


class Signal(Enum):
    """What moves it on."""

    CONNECTED = auto()
    """Its transport is up: the first time, or again after a restart."""
    ENDED = auto()
    """Its session is over, for whatever reason."""
    RELEASED = auto()
    """Nothing of it is left in the packet plane."""


TRANSITIONS = {
    (State.JOINING, Signal.CONNECTED): State.ACTIVE,
    (State.ACTIVE, Signal.CONNECTED): State.ACTIVE,
    (State.JOINING, Signal.ENDED): State.LEAVING,
    (State.ACTIVE, Signal.ENDED): State.LEAVING,
    (State.LEAVING, Signal.RELEASED): State.GONE,
}


class Lifecycle:
    """Holds the state; `handle` is the only place that writes it."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.JOINING

    @property
    def present(self) -> bool:
        """In its room."""
        return self.state in (State.JOINING, State.ACTIVE)

    def handle(self, signal: Signal) -> bool:
        """Feed one signal; whether the state changed. IllegalTransitionError if it cannot come now."""
        new = TRANSITIONS.get((self.state, signal))
        if new is None:
            raise IllegalTransitionError(self.state, signal)
        changed = new is not self.state
        self.state = new
        return changed
