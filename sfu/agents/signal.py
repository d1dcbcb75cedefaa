"""The WebSocket of a session: requests with their answers, events in order, a new one when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Callable
from typing import Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from sfu.agents.errors import ClosedError, ConnectError, RequestError, SignalLostError
from signaling.native.messages import (
    PROTOCOL_VERSION,
    SERVER_MESSAGE,
    Error,
    Event,
    Join,
    Joined,
    Leave,
    LeaveNotice,
    Reply,
    Request,
    Resume,
    Resumed,
)

OPEN_TIMEOUT_S = 10.0  # the server gives as long for the first message
REQUEST_TIMEOUT_S = 15.0  # LiveKit's limit for a negotiation
FIRST_PAUSE_S = 0.1  # before the first new attempt: most losses are over at once
LONGEST_PAUSE_S = 5.0
MAX_FRAME_BYTES = 16 * 1024 * 1024  # state of a room with a thousand members is a few megabytes
FINAL_CLOSE_CODES = frozenset({1000, 1003, 1009, 4000, 4001, 4003, 4004, 4006})  # PROTOCOL.md section 9

Token = str | Callable[[], str]
R = TypeVar("R", bound=Reply)

_log = logging.getLogger(__name__)


class SignalHandler(Protocol):
    """Who is told. Called on the event loop, in order."""

    def on_event(self, event: Event) -> None:
        """One event of the session."""

    def on_lost(self) -> None:
        """The WebSocket is gone; a new one is being tried."""

    def on_resumed(self, resumed: Resumed) -> None:
        """It is back. With a state in it everything known before is to be replaced."""

    def on_ended(self, code: str, message: str, *, rejoin: bool) -> None:
        """The session is over; nothing follows."""


def signal_url(url: str) -> str:
    """`ws(s)://host/signal` from what people paste: http or ws, with or without a path."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/")
    return urlunsplit((scheme, parts.netloc, path if path.endswith("/signal") else f"{path}/signal", "", ""))


class Signal:
    """One session's connection to the server.

    `join` once, then `request` and `send`. Requests wait while the WebSocket is being replaced.
    """

    def __init__(self, url: str, token: Token, handler: SignalHandler) -> None:
        self._url = signal_url(url)
        self._token = token
        self._handler = handler
        self._socket: ClientConnection | None = None
        self._ready = asyncio.Event()
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._session_id = ""
        self._last_seq = 0
        self._resume_window_s = 0.0
        self._ping: tuple[float, float] = (20.0, 20.0)
        self._runner: asyncio.Task[None] | None = None
        self._ended: ClosedError | None = None

    async def join(self, join: Join) -> Joined:
        """Open the WebSocket and join.

        Raises:
            ConnectError: Unreachable, or refused by the server.
        """
        message = join.model_copy(update={"protocol": PROTOCOL_VERSION, "request_id": next(self._ids)})
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S + REQUEST_TIMEOUT_S):
                socket = await self._open()
                joined = await self._begin(socket, message)
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as error:
            raise ConnectError("unreachable", _reason(error)) from error
        if not isinstance(joined, Joined):
            await socket.close()
            raise ConnectError("bad_message", f"the server answered a join with {joined.type}")
        self._session_id = joined.session_id
        self._last_seq = joined.seq
        self._resume_window_s = joined.resume_window_s
        self._ping = (joined.ping_interval_s, joined.ping_timeout_s)
        self._socket = socket
        self._ready.set()
        return joined

    def start(self) -> None:
        """Begin to deliver events, after the state that came with `join` has been applied."""
        self._runner = asyncio.create_task(self._run())

    async def request(self, message: Request, answer: type[R]) -> R:
        """Send a request and wait for its answer.

        Raises:
            RequestError: The server refused it.
            SignalLostError: The WebSocket went before the answer came.
            ClosedError: The session is over.
        """
        request_id = next(self._ids)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._send(message.model_copy(update={"request_id": request_id}), request_id, future)
                reply = await future
        except TimeoutError:
            raise RequestError("timeout", f"no answer to {message.__class__.__name__.lower()}") from None
        finally:
            self._waiting.pop(request_id, None)
        if isinstance(reply, Error):
            raise RequestError(reply.code, reply.message)
        if not isinstance(reply, answer):
            raise RequestError("bad_message", f"unexpected answer {reply.__class__.__name__}")
        return reply

    async def _send(self, message: Request, request_id: int, future: asyncio.Future[Reply]) -> None:
        await self._ready.wait()
        if self._ended is not None or self._socket is None:
            raise self._ended or ClosedError
        self._waiting[request_id] = future
        try:
            await self._socket.send(message.model_dump_json(exclude_none=True))
        except ConnectionClosed as error:
            raise SignalLostError from error

    def _over(self) -> bool:
        return self._ended is not None

    async def close(self) -> None:
        """Leave the room and close. May be called twice, and after the session ended."""
        if self._ended is None:
            self._end(ClosedError(), tell=False)
            if self._socket is not None:
                try:
                    await self._socket.send(Leave(reason="client_left").model_dump_json(exclude_none=True))
                except ConnectionClosed:
                    _log.debug("left a session whose connection was gone")
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()

    async def drop(self) -> None:
        """Lose the WebSocket, as a bad network does; the session resumes. For tests."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def _open(self) -> ClientConnection:
        token = self._token() if callable(self._token) else self._token
        interval_s, timeout_s = self._ping
        return await connect(
            self._url,
            additional_headers={"Authorization": f"Bearer {token}"},
            compression=None,
            max_size=MAX_FRAME_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=interval_s,
            ping_timeout=timeout_s,
            close_timeout=1.0,
        )

    @staticmethod
    async def _begin(socket: ClientConnection, first: Join | Resume) -> Joined | Resumed:
        """Send the first message and wait for its answer.

        Raises:
            ConnectError: The server refuses.
            ConnectionClosed: The WebSocket ended without a word.
        """
        # A bad token is refused before the first message is read; the reason still waits to be read.
        try:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(first.model_dump_json(exclude_none=True))
            async for text in socket:
                message = SERVER_MESSAGE.validate_json(text)
                if isinstance(message, Joined | Resumed):
                    return message
                if isinstance(message, Error):
                    raise ConnectError(message.code, message.message)
                if isinstance(message, LeaveNotice):
                    raise ConnectError(message.code, message.message)
            raise ConnectError("unreachable", f"closed with {socket.close_code} {socket.close_reason}")
        except BaseException:
            # Nobody else knows this socket: a join that is cancelled must not go on at the server.
            socket.transport.abort()
            raise

    async def _run(self) -> None:
        while not self._over():
            socket = self._socket
            assert socket is not None, "joined"  # noqa: S101
            leave = await self._read(socket)
            if self._over():
                return
            if leave is not None and leave.reconnect != "resume":
                self._end(ClosedError(leave.code, leave.message), rejoin=leave.reconnect == "rejoin")
                return
            if leave is None and socket.close_code in FINAL_CLOSE_CODES:
                reason = socket.close_reason or f"closed with {socket.close_code}"
                self._end(ClosedError("closed", reason), rejoin=False)
                return
            self._lose()
            await self._resume()

    async def _read(self, socket: ClientConnection) -> LeaveNotice | None:
        """Deliver until the WebSocket ends; the server's `leave`, if there was one."""
        leave: LeaveNotice | None = None
        try:
            async for text in socket:
                try:
                    message = SERVER_MESSAGE.validate_json(text)
                except ValidationError as error:
                    # A newer server may send what we do not know.
                    _log.debug("ignored a message: %s", error.errors(include_input=False)[:1])
                    continue
                if isinstance(message, Reply):
                    future = self._waiting.get(message.request_id or 0)
                    if future is not None and not future.done():
                        future.set_result(message)
                    continue
                self._last_seq = message.seq
                if isinstance(message, LeaveNotice):
                    leave = message
                else:
                    self._handler.on_event(message)
        except ConnectionClosed:
            return leave
        return leave

    def _lose(self) -> None:
        self._ready.clear()
        self._socket = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(SignalLostError())
        self._handler.on_lost()

    async def _resume(self) -> None:
        """Open new WebSockets until one resumes the session, it is gone, or its window is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._resume_window_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                socket = await self._open()
                message = Resume(
                    protocol=PROTOCOL_VERSION, session_id=self._session_id, last_seq=self._last_seq
                )
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    resumed = await self._begin(socket, message)
                break
            except ConnectError as error:
                if error.code != "unreachable":
                    self._end(ClosedError(error.code, str(error)), rejoin=error.code == "session_gone")
                    return
                failure: Exception = error
            except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed, ValidationError) as error:
                failure = error
            if loop.time() + pause_s > deadline:
                text = f"the server was not reached again: {_reason(failure)}"
                self._end(ClosedError("signal_lost", text), rejoin=True)
                return
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self._socket = socket
        if isinstance(resumed, Resumed):
            self._last_seq = resumed.seq
            self._handler.on_resumed(resumed)
        self._ready.set()

    def _end(self, error: ClosedError, *, rejoin: bool = False, tell: bool = True) -> None:
        self._ended = error
        self._ready.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
        if tell:
            self._handler.on_ended(error.code, str(error), rejoin=rejoin)


def _reason(error: BaseException) -> str:
    if isinstance(error, InvalidStatus):
        return f"HTTP {error.response.status_code}"
    return str(error) or error.__class__.__name__
