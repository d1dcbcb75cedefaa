"""One WebSocket: deadlines, rate limit, backpressure, close codes. Knows no dialect and no room.

Two tasks: one reads and hands frames to the dialect one at a time, so a client that floods waits for itself;
one writes what the outbox holds, so nobody who sends to a client ever waits for it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

from starlette.websockets import WebSocketDisconnect

from sfu.settings.models import Settings
from signaling.closing import CloseCode, fit_reason
from signaling.dialect import Dialect, Outgoing
from signaling.outbox import Outbox
from signaling.rate import TokenBucket
from signaling.turns import Fairness

log = logging.getLogger(__name__)

BURST_S = 4  # a burst is what the average rate allows in so many seconds
CLOSE_GRACE_S = 2.0  # for a slow reader to take what is queued and the close frame


class Socket(Protocol):
    """What is needed of an accepted ASGI WebSocket (starlette's `WebSocket` is one)."""

    async def receive(self) -> Any:
        """The next ASGI message: `websocket.receive` or `websocket.disconnect`."""

    async def send(self, message: Any) -> None:
        """Send an ASGI message; waits while the peer does not read."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one client may do to us. Defaults as in PROTOCOL.md."""

    join_timeout_s: float = 10.0
    """From accept to the first frame."""
    requests_per_s: float = 50.0
    requests_burst: int = 200
    queue_frames: int = 1024
    queue_bytes: int = 8 * 1024 * 1024
    """A join into a room of a thousand is about 1 MB."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """As configured."""
        return cls(
            join_timeout_s=settings.session.join_timeout_s,
            requests_per_s=settings.limits.messages_per_second,
            requests_burst=settings.limits.messages_per_second * BURST_S,
            queue_frames=settings.limits.queue_messages,
            queue_bytes=settings.limits.queue_bytes,
        )


class Connections:
    """Every WebSocket that is served now, so that a server can end in order."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: "Connection") -> None:
        """It begins."""
        self._open.add(connection)
        self._empty.clear()

    def remove(self, connection: "Connection") -> None:
        """It has ended."""
        self._open.discard(connection)
        if not self._open:
            self._empty.set()

    def close_all(self, code: int, reason: str) -> None:
        """As `Connection.close`, for all."""
        for connection in self._open:
            connection.close(code, reason)

    async def wait_empty(self, timeout_s: float) -> bool:
        """Wait until all have ended; False if some have not in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True


class Connection(Outgoing):
    """Runs one accepted WebSocket until either side ends it."""

    def __init__(
        self, socket: Socket, limits: ConnectionLimits, name: str = "", fairness: Fairness | None = None
    ) -> None:
        """`fairness` is shared by all connections of a process; `name` is for logs."""
        self._fairness = fairness or Fairness()
        self._socket = socket
        self._limits = limits
        self._name = name
        self._outbox = Outbox(limits.queue_frames, limits.queue_bytes)
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._writer: asyncio.Task[None] | None = None
        self.close_code: int | None = None
        """How it ended: our code, or the peer's."""

    async def run(self, dialect: Dialect) -> None:
        """Serve until the end. Returns when the WebSocket is closed or lost."""
        loop = asyncio.get_running_loop()
        self._writer = loop.create_task(self._write_all(dialect.binary))
        reader = loop.create_task(self._read_all(dialect))
        try:
            await asyncio.wait((reader, self._writer), return_when=asyncio.FIRST_COMPLETED)
            if self._closing is not None:
                await asyncio.wait((self._writer,), timeout=CLOSE_GRACE_S)
        finally:
            for task in (reader, self._writer):
                task.cancel()
            # Their errors are ours to report: nobody else awaits these tasks.
            for result in await asyncio.gather(reader, self._writer, return_exceptions=True):
                if isinstance(result, Exception):
                    log.error("%s: signaling failed", self._name, exc_info=result)
            if self._closing is not None:
                self.close_code = self._closing[0]
            # From here on nothing is queued that nobody will send.
            self._closing = self._closing or (self.close_code or CloseCode.INTERNAL, "")
            dialect.handle_disconnect()

    def send(self, frame: bytes) -> None:
        """As `Outgoing.send`."""
        if self._closing is not None:
            return
        if self._outbox.put(frame):
            self._wake.set()
            return
        waiting, size = len(self._outbox), self._outbox.size
        self._outbox.clear()
        log.warning(
            "%s: cut off as a slow reader with %d messages, %d bytes waiting", self._name, waiting, size
        )
        self.close(
            CloseCode.SLOW_CONSUMER, f"slow consumer: {waiting} messages, {size} bytes waited to be read"
        )

    def close(self, code: int, reason: str) -> None:
        """As `Outgoing.close`."""
        if self._closing is not None:
            return
        self._closing = (code, reason)
        self._wake.set()
        if self._writer is not None:
            # A peer that does not read would keep the writer, and with it everything of the session.
            asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self._writer.cancel)

    async def _read_all(self, dialect: Dialect) -> None:
        clock: Callable[[], float] = asyncio.get_running_loop().time
        bucket = TokenBucket(self._limits.requests_per_s, self._limits.requests_burst, clock())
        # Later silence is the business of WebSocket pings.
        deadline_s: float | None = self._limits.join_timeout_s
        while self._closing is None:
            try:
                async with asyncio.timeout(deadline_s):
                    message = await self._socket.receive()
            except TimeoutError:
                self.close(CloseCode.JOIN_TIMEOUT, f"no message within {deadline_s:g} s")
                return
            if message["type"] == "websocket.disconnect":
                self.close_code = message.get("code", 1005)
                return
            frame = message.get("bytes" if dialect.binary else "text")
            if frame is None:
                kind = "text" if dialect.binary else "binary"
                self.close(CloseCode.BINARY, f"{kind} frames are not part of this protocol")
                return
            if not bucket.take(clock()):
                reason = f"more than {self._limits.requests_per_s:g} requests a second"
                self.send(dialect.encode_error("rate_limited", reason))
                self.close(CloseCode.RATE_LIMITED, reason)
                return
            await self._fairness.reads.take()
            await dialect.handle_frame(frame)
            deadline_s = None

    async def _write_all(self, binary: bool) -> None:
        try:
            while True:
                while (frame := self._outbox.pop()) is not None:
                    await self._fairness.writes.take()
                    body = {"bytes": frame} if binary else {"text": frame.decode("utf-8")}
                    await self._socket.send({"type": "websocket.send", **body})
                if self._closing is not None:
                    break
                self._wake.clear()
                await self._wake.wait()
            code, reason = self._closing
            await self._socket.send({"type": "websocket.close", "code": code, "reason": fit_reason(reason)})
        except (OSError, RuntimeError, WebSocketDisconnect) as error:
            # The peer went away while we wrote: starlette raises its WebSocketDisconnect, uvicorn its
            # ClientDisconnected (an OSError).
            log.debug("%s: peer gone while writing: %s", self._name, type(error).__name__)
