"""Streams, calls and transcriptions between two ends without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from sfu.agents import (
    ByteReader,
    DataReceived,
    RoomEvent,
    RpcCall,
    RpcError,
    StreamError,
    TextReader,
    TranscriptionReceived,
)
from sfu.agents import packets as wire
from sfu.agents.data_streams import MAX_OPEN, MAX_UNREAD_BYTES, Incoming, Reader, new_info
from sfu.agents.messaging import Messaging
from sfu.agents.packets import Address

LONG = "häuser, " * 4000  # two bytes in one character, over several packets


class Wire:
    """What one sends arrives at the other, stamped as the server would."""

    def __init__(self, sender: str) -> None:
        self.sender = sender
        self.receiver: End | None = None

    async def send_data(self, message: bytes, *, reliable: bool) -> None:
        assert self.receiver is not None
        packet = wire.decode(message)
        packet.participant_identity = packet.participant_identity or self.sender
        self.receiver.on_data(packet.SerializeToString(), reliable=reliable)


class End(Messaging):
    """One participant."""

    def __init__(self, identity: str) -> None:
        super().__init__()
        self.identity = identity
        self.wire = Wire(identity)
        self.events: list[RoomEvent] = []
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def media(self) -> Any:
        return self.wire

    @property
    def _identity(self) -> str:
        return self.identity

    def _emit(self, event: RoomEvent) -> None:
        self.events.append(event)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def settled(self) -> None:
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
def ends() -> tuple[End, End]:
    ada, bob = End("ada"), End("bob")
    ada.wire.receiver, bob.wire.receiver = bob, ada
    return ada, bob


class TestMessages:
    async def test_topic_and_sender(self, ends: tuple[End, End]) -> None:
        ada, bob = ends
        await ada.send_data(b"hi", topic="chat", destinations=["bob"])
        assert bob.events == [DataReceived(b"hi", "chat", "ada", True)]

    async def test_one_that_is_too_long(self, ends: tuple[End, End]) -> None:
        with pytest.raises(ValueError, match="65536"):
            await ends[0].send_data(bytes(65_500), topic="long " * 40)

    def test_bytes_that_are_none(self, ends: tuple[End, End]) -> None:
        packet = wire.user(b"hi", "chat", Address(("bob",)), reliable=True).SerializeToString()
        for end in range(len(packet)):
            ends[0].on_data(packet[:end], reliable=True)
        ends[0].on_data(b"\xff" * 40, reliable=False)


class Opened(list[Reader]):
    """Streams that began; all are wanted."""

    def __call__(self, reader: Reader) -> bool:
        self.append(reader)
        return True


class TestStreams:
    async def test_a_text_of_any_length(self, ends: tuple[End, End]) -> None:
        ada, bob = ends
        got: list[tuple[str, str, Any]] = []

        async def read(reader: TextReader) -> None:
            text = await reader.read_all()
            got.append((text, reader.info.sender, reader.info.attributes))

        bob.on_text_stream("long", read)
        await ada.send_text(LONG, topic="long", attributes={"a": "1"})
        await ada.send_text("nobody reads this", topic="other")
        await bob.settled()
        assert got == [(LONG, "ada", {"a": "1"})]

    async def test_a_file_in_pieces(self, ends: tuple[End, End]) -> None:
        ada, bob = ends
        got: list[tuple[bytes, str, int | None]] = []

        async def read(reader: ByteReader) -> None:
            got.append((await reader.read_all(), reader.info.name, reader.info.total_bytes))

        bob.on_byte_stream("files", read)
        async with await ada.stream_bytes(name="a.bin", topic="files", total_bytes=40_000) as writer:
            await writer.write(bytes(20_000))
            await writer.write(bytes(20_000))
        with pytest.raises(StreamError):
            await writer.write(b"more")
        await bob.settled()
        assert got == [(bytes(40_000), "a.bin", 40_000)]

    async def test_one_that_breaks_off(self, ends: tuple[End, End]) -> None:
        ada, bob = ends
        ends_seen: list[str] = []

        async def read(reader: TextReader) -> None:
            try:
                await reader.read_all()
            except StreamError as error:
                ends_seen.append(str(error))

        bob.on_text_stream("t", read)
        writer = await ada.stream_text(topic="t")
        await writer.write("half")
        await writer.__aexit__(RuntimeError, None, None)
        await ada.stream_text(topic="t")
        bob._sender_left("ada")
        await bob.settled()
        assert ends_seen == ["it was not finished", "its sender is gone"]

    def test_gaps_repetitions_and_floods(self) -> None:
        opened = Opened()
        incoming = Incoming(opened)
        first = new_info("t", text=False, name="f")
        incoming.handle(wire.header(first, Address()))
        for index in (0, 0, 2):
            incoming.handle(wire.chunk(first.id, index, b"x", Address()))
        assert opened[0]._error == "a piece of it is missing"
        for _ in range(MAX_OPEN):
            incoming.handle(wire.header(new_info("t", text=True), Address()))
        assert len(incoming._open) == MAX_OPEN
        last = opened[-1]
        piece = bytes(MAX_UNREAD_BYTES // 2 + 1)
        incoming.handle(wire.chunk(last.info.id, 0, piece, Address()))
        incoming.handle(wire.chunk(last.info.id, 1, piece, Address()))
        assert last._error == "it was not read in time"

    async def test_a_short_one_inside_its_header(self) -> None:
        opened = Opened()
        packet = wire.header(new_info("t", text=True), Address())
        packet.stream_header.inline_content = b"short"
        Incoming(opened).handle(packet)
        (reader,) = opened
        assert isinstance(reader, TextReader)
        assert await reader.read_all() == "short"


async def test_transcriptions_come_as_events(ends: tuple[End, End]) -> None:
    ada, bob = ends
    segment = await ada.transcribe("hel", track_id="TR_1", identity="carl", final=False)
    await ada.transcribe("hello", track_id="TR_1", identity="carl", segment_id=segment)
    await bob.settled()
    assert bob.events == [
        TranscriptionReceived("hel", "carl", segment, "TR_1", False),
        TranscriptionReceived("hello", "carl", segment, "TR_1", True),
    ]


class TestCalls:
    async def test_an_answer_and_every_error(self, ends: tuple[End, End]) -> None:
        ada, bob = ends

        async def double(call: RpcCall) -> str:
            assert call.caller == "ada"
            return str(2 * int(call.payload))

        async def refuse(_: RpcCall) -> str:
            raise RpcError(2001, "no luck", "at all")

        async def long(_: RpcCall) -> str:
            return "x" * 20_000

        async def slow(_: RpcCall) -> str:
            await asyncio.sleep(10)
            return ""

        for method in (double, refuse, long, slow):
            bob.on_rpc(method.__name__, method)
        assert await ada.call("bob", "double", "21") == "42"
        errors = {
            ("refuse", ""): (2001, "no luck", "at all"),
            ("missing", ""): (1400, "Method not supported at destination", ""),
            ("double", "no number"): (1500, "Application error in method handler", ""),
            ("long", ""): (1504, "Response payload too large", ""),
            ("double", "x" * 20_000): (1402, "Request payload too large", ""),
            ("slow", ""): (1502, "Response timeout", ""),
        }
        for (method_name, payload), expected in errors.items():
            with pytest.raises(RpcError) as caught:
                await ada.call("bob", method_name, payload, timeout_s=0.2)
            assert (caught.value.code, caught.value.text, caught.value.data) == expected
        await bob.settled()

    async def test_nobody_answers_for_another_and_who_leaves_not_at_all(self, ends: tuple[End, End]) -> None:
        ada, _ = ends
        calling = asyncio.create_task(ada.call("carl", "any"))
        await asyncio.sleep(0)
        # Bob has no such method, and says so; he was not asked.
        await ends[1].settled()
        assert not calling.done()
        ada._sender_left("carl")
        with pytest.raises(RpcError, match="1503"):
            await calling
