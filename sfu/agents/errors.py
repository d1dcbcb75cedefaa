"""What can go wrong for an agent's author."""

from __future__ import annotations


class RoomError(Exception):
    """Base of all of these."""


class ConnectError(RoomError):
    """The room could not be joined. `code` is the server's, or `unreachable`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class RequestError(RoomError):
    """The server refused a request and changed nothing. `code` is one of PROTOCOL.md section 10."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class SignalLostError(RoomError):
    """The WebSocket went while a request waited for its answer; it may have been done or not."""

    def __init__(self) -> None:
        super().__init__("the connection to the server was lost before it answered")


class ClosedError(RoomError):
    """The room was left, or the server ended the session."""

    def __init__(self, code: str = "closed", message: str = "the room is closed") -> None:
        super().__init__(message)
        self.code = code


class SourceEndedError(RoomError):
    """A source was closed: nothing more is to be read from it."""

    def __init__(self) -> None:
        super().__init__("this source is closed")


class MediaError(RoomError):
    """The media transport could not do it: not connected, or a format it has not."""


class StreamError(RoomError):
    """A text or a file that was being sent broke off."""


class RpcError(RoomError):
    """A call failed. `code` is LiveKit's (1400 to 1505), or the called application's own."""

    def __init__(self, code: int, message: str, data: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.text = message
        self.data = data
