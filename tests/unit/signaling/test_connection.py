"""One connection against a socket made of two queues. Deadlines pass by short limits, not sleep."""

import asyncio
from typing import Any

import pytest

from signaling.closing import CloseCode, fit_reason
from signaling.connection import Connection, ConnectionLimits


class FakeSocket:
    """An ASGI WebSocket whose peer is the test. With `stalled` the peer reads nothing."""

    def __init__(self, stalled: bool = False) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self._readable = asyncio.Event()
        if not stalled:
            self._readable.set()

    def say(self, text: str) -> None:
        self.incoming.put_nowait({"type": "websocket.receive", "text": text})

    def hang_up(self, code: int = 1001) -> None:
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": code})

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.get()

    async def send(self, message: dict[str, Any]) -> None:
        await self._readable.wait()
        self.sent.append(message)

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.sent if message["type"] == "websocket.send"]

    @property
    def closed(self) -> tuple[int, str] | None:
        closes = [message for message in self.sent if message["type"] == "websocket.close"]
        return (closes[0]["code"], closes[0]["reason"]) if closes else None


class Echo:
    """Answers each frame with itself; `bye` closes, `flood` sends without end."""

    binary = False

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.disconnects = 0

    async def handle_frame(self, frame: str | bytes) -> None:
        if frame == "bye":
            self.connection.send(b"goodbye")
            self.connection.close(CloseCode.DONE, "done")
        elif frame == "flood":
            for _ in range(1000):
                self.connection.send(b"x" * 100)
        else:
            self.connection.send(frame.encode() if isinstance(frame, str) else frame)

    def encode_error(self, code: str, text: str) -> bytes:
        return f"error {code}".encode()

    def handle_disconnect(self) -> None:
        self.disconnects += 1


DEFAULTS = ConnectionLimits()


async def serve(socket: FakeSocket, limits: ConnectionLimits = DEFAULTS) -> tuple[Connection, Echo]:
    connection = Connection(socket, limits, "test")
    echo = Echo(connection)
    async with asyncio.timeout(10):
        await connection.run(echo)
    assert echo.disconnects == 1
    return connection, echo


async def test_frames_are_answered_in_order_until_the_peer_leaves() -> None:
    socket = FakeSocket()
    for text in ("one", "two", "bye"):
        socket.say(text)
    connection, _ = await serve(socket)
    assert socket.texts == ["one", "two", "goodbye"]
    assert socket.closed == (CloseCode.DONE, "done")
    assert connection.close_code == CloseCode.DONE


async def test_a_peer_that_hangs_up_ends_it_with_its_code() -> None:
    socket = FakeSocket()
    socket.hang_up(1001)
    connection, _ = await serve(socket)
    assert connection.close_code == 1001
    assert socket.closed is None


async def test_silence_before_the_first_frame_is_cut_off() -> None:
    socket = FakeSocket()
    await serve(socket, ConnectionLimits(join_timeout_s=0.01))
    assert socket.closed == (CloseCode.JOIN_TIMEOUT, "no message within 0.01 s")


async def test_silence_after_the_first_frame_is_not() -> None:
    socket = FakeSocket()
    socket.say("hello")
    asyncio.get_running_loop().call_later(0.05, socket.hang_up)
    connection, _ = await serve(socket, ConnectionLimits(join_timeout_s=0.01))
    assert connection.close_code == 1001


async def test_a_binary_frame_is_refused() -> None:
    socket = FakeSocket()
    socket.incoming.put_nowait({"type": "websocket.receive", "bytes": b"\x00"})
    await serve(socket)
    assert socket.closed is not None
    assert socket.closed[0] == CloseCode.BINARY


async def test_a_flood_gets_an_error_then_the_close() -> None:
    socket = FakeSocket()
    for number in range(10):
        socket.say(str(number))
    await serve(socket, ConnectionLimits(requests_per_s=0.001, requests_burst=3))
    assert socket.texts == ["0", "1", "2", "error rate_limited"]
    assert socket.closed is not None
    assert socket.closed[0] == CloseCode.RATE_LIMITED


async def test_a_reader_that_falls_behind_is_told_so_and_cut_off() -> None:
    socket = FakeSocket()
    socket.say("flood")
    connection, _ = await serve(socket, ConnectionLimits(queue_bytes=5000))
    assert connection.close_code == CloseCode.SLOW_CONSUMER
    assert socket.closed is not None
    assert socket.closed[1].startswith("slow consumer: 50 messages, 5000 bytes")


async def test_a_reader_that_never_reads_cannot_keep_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.connection.CLOSE_GRACE_S", 0.02)
    socket = FakeSocket(stalled=True)
    socket.say("hello")
    socket.say("flood")
    connection, _ = await serve(socket, ConnectionLimits(queue_frames=10))
    assert connection.close_code == CloseCode.SLOW_CONSUMER
    assert socket.sent == []


async def test_nothing_is_queued_after_the_end() -> None:
    socket = FakeSocket()
    socket.hang_up()
    connection, _ = await serve(socket)
    connection.send(b"late")
    connection.close(CloseCode.DONE, "late")
    assert socket.sent == []


def test_a_reason_is_cut_between_characters() -> None:
    assert fit_reason("short") == "short"
    assert len(fit_reason("é" * 100).encode()) == 122
