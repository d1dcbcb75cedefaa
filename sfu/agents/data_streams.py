"""Texts and files in pieces, from one participant to others, as LiveKit's clients send them."""

from __future__ import annotations

import asyncio
import codecs
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from types import TracebackType

from sfu.agents import packets
from sfu.agents.errors import StreamError
from sfu.agents.packets import Address, Packet, StreamInfo

MAX_OPEN = 256  # streams that are being received; the one that said nothing for longest makes room
MAX_UNREAD_BYTES = 16 * 1024 * 1024  # of one stream, for a handler that is slow

Post = Callable[[Packet], Awaitable[None]]


class Reader:
    """A stream that is being received. Iterate over a `TextReader` or a `ByteReader`."""

    def __init__(self, info: StreamInfo) -> None:
        self.info = info
        """Its attributes are complete when the stream has ended."""
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._next_index = 0
        self._news = asyncio.Event()
        self._ended = False
        self._error = ""

    def push(self, index: int, content: bytes) -> None:
        """A piece arrived. A repeated one is left out; what a gap leaves is no use."""
        if self._ended or index < self._next_index:
            return
        if index > self._next_index:
            self.end(error="a piece of it is missing")
            return
        self._next_index += 1
        self._unread += len(content)
        if self._unread > MAX_UNREAD_BYTES:
            self.end(error="it was not read in time")
            return
        self._pieces.append(content)
        self._news.set()

    def end(self, attributes: Mapping[str, str] | None = None, error: str = "") -> None:
        """Nothing more comes."""
        if not self._ended:
            self._ended, self._error = True, error
            self.info = replace(self.info, attributes={**self.info.attributes, **(attributes or {})})
            self._news.set()

    async def next_piece(self) -> bytes | None:
        """The next one; None: it is over.

        Raises:
            StreamError: It broke off.
        """
        while not self._pieces:
            if self._error:
                raise StreamError(self._error)
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        piece = self._pieces.popleft()
        self._unread -= len(piece)
        return piece


class ByteReader(Reader, AsyncIterator[bytes]):
    """Pieces of a file, as they come."""

    async def __anext__(self) -> bytes:
        piece = await self.next_piece()
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def read_all(self) -> bytes:
        """The whole. Raises StreamError."""
        return b"".join([piece async for piece in self])


class TextReader(Reader, AsyncIterator[str]):
    """Pieces of a text, as they come."""

    def __init__(self, info: StreamInfo) -> None:
        super().__init__(info)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def __anext__(self) -> str:
        while (piece := await self.next_piece()) is not None:
            # A character may be cut in two: then there is nothing to show yet.
            if text := self._decoder.decode(piece):
                return text
        raise StopAsyncIteration

    async def read_all(self) -> str:
        """The whole. Raises StreamError."""
        return "".join([piece async for piece in self])


class Writer:
    """A stream that is being sent. Leaving its `async with` block ends it; an exception breaks it off."""

    def __init__(self, post: Post, info: StreamInfo, address: Address) -> None:
        self.info = info
        self._post = post
        self._address = address
        self._index = 0
        self._closed = False

    @classmethod
    async def open(cls, post: Post, info: StreamInfo, address: Address) -> Writer:
        """Tell everyone that it begins. Raises MediaError."""
        writer = cls(post, info, address)
        await post(packets.header(info, address))
        return writer

    async def write(self, content: str | bytes) -> None:
        """The next piece, of any length.

        Raises:
            MediaError: The data channel is not there.
            StreamError: It is closed.
        """
        if self._closed:
            raise StreamError("it is closed")
        if isinstance(content, str):
            cut = packets.pieces(content)
        else:
            size = packets.CHUNK_BYTES
            cut = [content[start : start + size] for start in range(0, len(content), size)]
        for piece in cut:
            await self._post(packets.chunk(self.info.id, self._index, piece, self._address))
            self._index += 1

    async def close(self, reason: str = "", attributes: Mapping[str, str] | None = None) -> None:
        """End it; with a reason: broken off. May be called twice."""
        if not self._closed:
            self._closed = True
            await self._post(packets.trailer(self.info.id, reason, attributes or {}, self._address))

    async def __aenter__(self) -> Writer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close("" if kind is None else "it was not finished")


class Incoming:
    """All streams that are being received."""

    def __init__(self, opened: Callable[[Reader], bool]) -> None:
        """`opened` says whether somebody wants the stream; the pieces of others are left out."""
        self._opened = opened
        self._open: dict[str, Reader] = {}

    def handle(self, packet: Packet) -> None:
        """A header, a chunk or a trailer."""
        match packet.WhichOneof("value"):
            case "stream_header":
                self._begin(packet)
            case "stream_chunk":
                piece = packet.stream_chunk
                if (reader := self._open.pop(piece.stream_id, None)) is not None:
                    self._open[piece.stream_id] = reader
                    reader.push(piece.chunk_index, piece.content)
            case "stream_trailer":
                over = packet.stream_trailer
                if (reader := self._open.pop(over.stream_id, None)) is not None:
                    reader.end(dict(over.attributes), over.reason)
            case _:
                return

    def _begin(self, packet: Packet) -> None:
        info = packets.info_of(packet)
        reader: Reader = TextReader(info) if info.is_text else ByteReader(info)
        if info.id in self._open or not self._opened(reader):
            return
        inline = packet.stream_header.inline_content
        if inline:
            # A short one, whole in its header.
            reader.push(0, inline)
            reader.end()
            return
        if len(self._open) >= MAX_OPEN:
            self._open.pop(next(iter(self._open))).end(error="too many others were begun")
        self._open[info.id] = reader

    def drop(self, sender: str | None = None) -> None:
        """Whoever sent them is gone; None: we are."""
        for id_ in [id_ for id_, one in self._open.items() if sender in (None, one.info.sender)]:
            self._open.pop(id_).end(error="its sender is gone")


def new_info(topic: str, *, text: bool, **fields: object) -> StreamInfo:
    """Of a stream of ours."""
    mime = packets.TEXT_MIME if text else "application/octet-stream"
    return replace(StreamInfo(id=str(uuid.uuid4()), topic=topic, mime_type=mime, is_text=text), **fields)  # type: ignore[arg-type]
