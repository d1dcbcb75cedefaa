"""States of one transport as the control plane sees them. The packet plane reports, a table decides.

new ---negotiated---> connecting ---secured---> connected <---secured--- lost
                           |                        |                     ^
                           +----------------- consent lost ---------------+
any ---closed---> closed
"""

from __future__ import annotations

from enum import StrEnum

from sfu.core.errors import IllegalTransitionError


class State(StrEnum):
    """Where a transport is."""

    NEW = "new"
    """Nothing is agreed."""
    CONNECTING = "connecting"
    """An answer is out: the peer may send checks and the DTLS handshake."""
    CONNECTED = "connected"
    """Media and data may flow."""
    LOST = "lost"
    """No consent for a while; comes back by itself or by an ICE restart."""
    CLOSED = "closed"
    """Over. Late news changes nothing."""


class Signal(StrEnum):
    """What happens to a transport."""

    NEGOTIATED = "negotiated"
    """An offer was answered; after the first, also with an ICE restart."""
    CHECKED = "checked"
    """A valid connectivity check came."""
    SECURED = "secured"
    """DTLS is done and the fingerprint matched, or consent is back after that."""
    CONSENT_LOST = "consent_lost"
    """No valid check for 10 s."""
    CLOSED = "closed"
    """By either side, or by the packet plane's own limits."""


TRANSITIONS: dict[tuple[State, Signal], State] = {
    (State.NEW, Signal.NEGOTIATED): State.CONNECTING,
    (State.NEW, Signal.CLOSED): State.CLOSED,
    (State.CONNECTING, Signal.NEGOTIATED): State.CONNECTING,
    (State.CONNECTING, Signal.CHECKED): State.CONNECTING,
    (State.CONNECTING, Signal.SECURED): State.CONNECTED,
    (State.CONNECTING, Signal.CONSENT_LOST): State.LOST,
    (State.CONNECTING, Signal.CLOSED): State.CLOSED,
    (State.CONNECTED, Signal.NEGOTIATED): State.CONNECTED,
    (State.CONNECTED, Signal.CHECKED): State.CONNECTED,
    (State.CONNECTED, Signal.SECURED): State.CONNECTED,
    (State.CONNECTED, Signal.CONSENT_LOST): State.LOST,
    (State.CONNECTED, Signal.CLOSED): State.CLOSED,
    (State.LOST, Signal.NEGOTIATED): State.LOST,
    # Only DTLS tells whether media can flow: it may have been lost before the handshake.
    (State.LOST, Signal.CHECKED): State.CONNECTING,
    (State.LOST, Signal.SECURED): State.CONNECTED,
    (State.LOST, Signal.CONSENT_LOST): State.LOST,
    (State.LOST, Signal.CLOSED): State.CLOSED,
    **{(State.CLOSED, signal): State.CLOSED for signal in Signal},
}


class Lifecycle:
    """State of one transport. Owns no socket, task or clock."""

    def __init__(self) -> None:
        self.state = State.NEW

    def handle(self, signal: Signal) -> bool:
        """Feed one signal; whether the state changed.

        Raises:
            IllegalTransitionError: The state does not know this signal. A bug of ours.
        """
        new = TRANSITIONS.get((self.state, signal))
        if new is None:
            raise IllegalTransitionError(self.state, signal)
        changed, self.state = new is not self.state, new
        return changed
