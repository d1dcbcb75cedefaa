"""The native dialect as a load test needs it: join, hear when something goes wrong, leave."""

from __future__ import annotations

import contextlib
import logging
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from sfu.core.errors import AirsideError
from signaling.native.messages import SERVER_MESSAGE, Error, Join, Joined, Leave, LeaveNotice

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 10.0
MAX_FRAME_BYTES = 16 * 1024 * 1024
"""State of a room with a thousand members is a few megabytes."""


class JoinFailedError(AirsideError):
    """A client could not join. `reason` is the server's code, or what the network said."""

    code = "join_failed"

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(f"{reason}: {text}" if text else reason)
        self.reason = reason


def signal_url(url: str) -> str:
    """`ws(s)://host/signal` from http or ws, with or without the path."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/").removesuffix("/signal")
    return urlunsplit((scheme, parts.netloc, f"{path}/signal", "", ""))


class Signal:
    """One WebSocket. `join`, then `listen` until it ends."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @classmethod
    async def open(cls, url: str, token: str) -> Signal:
        """Raises JoinFailedError."""
        try:
            socket = await connect(
                signal_url(url),
                additional_headers={"Authorization": f"Bearer {token}"},
                compression=None,
                max_size=MAX_FRAME_BYTES,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=1.0,
            )
        except InvalidStatus as error:
            raise JoinFailedError(f"http_{error.response.status_code}") from error
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise JoinFailedError("unreachable", str(error)) from error
        return cls(socket)

    async def join(self, join: Join) -> Joined:
        """Send the first message; the answer. Raises JoinFailedError."""
        try:
            await self._socket.send(join.model_dump_json(exclude_none=True))
            async for text in self._socket:
                message = SERVER_MESSAGE.validate_json(text)
                match message:
                    case Joined():
                        return message
                    case Error() | LeaveNotice():
                        raise JoinFailedError(message.code, message.message)
        except ConnectionClosed:
            pass
        raise JoinFailedError("closed", f"{self._socket.close_code} {self._socket.close_reason}")

    async def listen(self) -> str:
        """Take what comes until the WebSocket ends; why it did."""
        with contextlib.suppress(ConnectionClosed):
            async for text in self._socket:
                # News of the room is most of what comes, and parsing it would make this program the limit.
                if '"type":"leave"' not in text and '"type":"error"' not in text:
                    continue
                message = SERVER_MESSAGE.validate_json(text)
                if isinstance(message, LeaveNotice):
                    return message.code
                log.warning("the server says: %s", message)
        return f"closed_{self._socket.close_code}"

    async def leave(self) -> None:
        """Say so and close."""
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(Leave(reason="done").model_dump_json(exclude_none=True))
        await self._socket.close()
