"""The seam between a WebSocket and a signaling protocol. Neither side knows more of the other than this."""

from typing import Protocol


class Outgoing(Protocol):
    """The way to one client. Both methods return at once and may be called at any time."""

    def send(self, frame: bytes) -> None:
        """Queue one frame, as the dialect writes them. A reader too slow for the queue is cut off."""

    def close(self, code: int, reason: str) -> None:
        """Close after what is queued has gone, or after a short grace. The first call counts."""


class Dialect(Protocol):
    """One client's conversation: frames to service calls, events to frames."""

    binary: bool
    """Frames are binary; else text (UTF-8)."""

    async def handle_frame(self, frame: str | bytes) -> None:
        """Act on one frame. Frames come one at a time, in order. Must not raise: it answers or closes."""

    def encode_error(self, code: str, text: str) -> bytes:
        """The error in this dialect, for faults that the connection finds itself."""

    def handle_disconnect(self) -> None:
        """The WebSocket is gone, for whatever reason. Called exactly once, last."""
