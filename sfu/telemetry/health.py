"""Alive and ready: two questions that an orchestrator asks, and why not when the answer is no."""

from enum import StrEnum


class ServerState(StrEnum):
    """Life of the process."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


_NEXT = {
    ServerState.STARTING: {ServerState.READY, ServerState.DRAINING, ServerState.STOPPED},
    ServerState.READY: {ServerState.DRAINING},
    ServerState.DRAINING: {ServerState.STOPPED},
    ServerState.STOPPED: set(),
}


class Health:
    """Where the process is in its life. It works whole or ends: a packet worker that fails takes it along."""

    def __init__(self) -> None:
        self.state = ServerState.STARTING

    def enter(self, state: ServerState) -> None:
        """Go on to the next state; entering the one it is in does nothing.

        Raises:
            ValueError: There is no way from here to there.
        """
        if state is self.state:
            return
        if state not in _NEXT[self.state]:
            raise ValueError(f"no way from {self.state} to {state}")
        self.state = state

    @property
    def ready(self) -> bool:
        """New participants are welcome."""
        return self.state is ServerState.READY

    def describe(self) -> dict[str, object]:
        """For the body of /readyz."""
        return {"state": self.state.value, "ready": self.ready}
