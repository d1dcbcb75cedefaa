"""What is said besides media: messages, streams, calls, transcriptions. One half of `Room`."""

from __future__ import annotations

import asyncio
import logging
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

from sfu.agents import packets
from sfu.agents.data_streams import ByteReader, Incoming, Reader, TextReader, Writer, new_info
from sfu.agents.errors import StreamError
from sfu.agents.events import DataReceived, RoomEvent, TranscriptionReceived
from sfu.agents.media import Media
from sfu.agents.packets import Address, Packet
from sfu.agents.rpc import DEFAULT_TIMEOUT_S, Calls, RpcHandler

TextHandler = Callable[[TextReader], Awaitable[None]]
ByteHandler = Callable[[ByteReader], Awaitable[None]]

_log = logging.getLogger(__name__)


class Messaging(ABC):
    """Over the data channels, so that media's path and limits hold. `Room` has the rest."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[bool, str], Callable[[Reader], Awaitable[None]]] = {}
        self._calls = Calls(self._post, self._spawn)
        self._incoming = Incoming(self._stream_opened)
        self.on_text_stream(packets.TRANSCRIPTION_TOPIC, self._read_transcription)

    @property
    @abstractmethod
    def media(self) -> Media:
        """The media stack."""

    @abstractmethod
    def _emit(self, event: RoomEvent) -> None:
        pass

    @abstractmethod
    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        pass

    # Messages.

    async def send_data(
        self, payload: bytes, *, topic: str = "", destinations: Sequence[str] = (), reliable: bool = True
    ) -> None:
        """Send a data message to everyone else, or to some identities.

        Raises:
            ValueError: Too long.
            MediaError: The data channel is not there.
        """
        packet = packets.user(payload, topic, Address(tuple(destinations)), reliable=reliable)
        await self.media.send_data(packets.encode(packet), reliable=reliable)

    # Streams: texts and files in pieces.

    async def send_text(
        self,
        text: str,
        *,
        topic: str = "",
        destinations: Sequence[str] = (),
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Send a text of any length as a stream. Raises as `stream_text`."""
        total = len(text.encode())
        info = new_info(topic, text=True, attributes=attributes or {}, total_bytes=total)
        async with await Writer.open(self._post, info, Address(tuple(destinations))) as writer:
            await writer.write(text)

    async def stream_text(
        self,
        *,
        topic: str = "",
        destinations: Sequence[str] = (),
        attributes: Mapping[str, str] | None = None,
    ) -> Writer:
        """Begin a text that is sent as it comes to be; leave its `async with` block to end it.

        Raises:
            MediaError: The data channel is not there.
        """
        info = new_info(topic, text=True, attributes=attributes or {})
        return await Writer.open(self._post, info, Address(tuple(destinations)))

    async def stream_bytes(
        self,
        *,
        name: str,
        topic: str = "",
        mime_type: str = "application/octet-stream",
        total_bytes: int | None = None,
        destinations: Sequence[str] = (),
        attributes: Mapping[str, str] | None = None,
    ) -> Writer:
        """The same for a file, or whatever is bytes."""
        info = new_info(
            topic,
            text=False,
            name=name,
            mime_type=mime_type,
            total_bytes=total_bytes,
            attributes=attributes or {},
        )
        return await Writer.open(self._post, info, Address(tuple(destinations)))

    def on_text_stream(self, topic: str, handler: TextHandler) -> None:
        """Have texts with this topic read by a coroutine function, one call for each. Others are not kept."""
        self._handlers[True, topic] = handler  # type: ignore[assignment]

    def on_byte_stream(self, topic: str, handler: ByteHandler) -> None:
        """The same for files."""
        self._handlers[False, topic] = handler  # type: ignore[assignment]

    # Transcriptions.

    async def transcribe(
        self, text: str, *, track_id: str = "", segment_id: str = "", identity: str = "", final: bool = True
    ) -> str:
        """Publish what was said, for LiveKit's clients of any age; its segment id.

        Args:
            text: All of the segment so far.
            track_id: Of the sound; empty: none in particular.
            segment_id: The same for each version of one segment; empty: a new one.
            identity: Who said it; empty: we. Only agents may speak for others.
            final: No better version comes.

        Raises:
            MediaError: The data channel is not there.
        """
        segment_id = segment_id or f"SG_{uuid.uuid4().hex[:12]}"
        attributes = {
            packets.SEGMENT_ATTRIBUTE: segment_id,
            packets.FINAL_ATTRIBUTE: str(final).lower(),
            **({packets.TRACK_ATTRIBUTE: track_id} if track_id else {}),
        }
        author = Address(author=identity)
        info = new_info(packets.TRANSCRIPTION_TOPIC, text=True, attributes=attributes)
        async with await Writer.open(self._post, info, author) as writer:
            await writer.write(text)
        named = Address(author=identity or self._identity)
        await self._post(packets.transcription(segment_id, text, track_id, named, final=final))
        return segment_id

    @property
    @abstractmethod
    def _identity(self) -> str:
        pass

    # Calls.

    def on_rpc(self, method: str, handler: RpcHandler) -> None:
        """Answer calls of a method. The handler raises RpcError for errors that the caller shall see."""
        self._calls.handlers[method] = handler

    async def call(
        self, identity: str, method: str, payload: str = "", *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> str:
        """Call a method of somebody; what it returns.

        Raises:
            RpcError: It has none, failed, did not answer in time, or left.
        """
        return await self._calls.call(identity, method, payload, timeout_s)

    # What comes.

    def on_data(self, message: bytes, *, reliable: bool) -> None:
        """As `MediaListener.on_data`."""
        try:
            packet = packets.decode(message)
        except ValueError as error:
            _log.debug("ignored a data message: %s", error)
            return
        match packet.WhichOneof("value"):
            case "user":
                sender = packet.participant_identity
                self._emit(DataReceived(packet.user.payload, packet.user.topic, sender, reliable))
            case "stream_header" | "stream_chunk" | "stream_trailer":
                self._incoming.handle(packet)
            case "rpc_request" | "rpc_ack" | "rpc_response":
                self._calls.handle(packet)
            case _:
                # Transcriptions come as streams too; of the rest an agent has no use.
                return

    def _sender_left(self, identity: str | None = None) -> None:
        """Somebody is gone with what he had begun; None: we are."""
        self._incoming.drop(identity)
        self._calls.left(identity)

    async def _post(self, packet: Packet) -> None:
        await self.media.send_data(packets.encode(packet), reliable=True)

    def _stream_opened(self, reader: Reader) -> bool:
        handler = self._handlers.get((reader.info.is_text, reader.info.topic))
        if handler is None:
            return False
        self._spawn(self._handle_stream(handler, reader))
        return True

    @staticmethod
    async def _handle_stream(handler: Callable[[Reader], Awaitable[None]], reader: Reader) -> None:
        try:
            await handler(reader)
        except StreamError as error:
            _log.info("a stream of %r broke off: %s", reader.info.sender, error)
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("the handler of streams %r failed", reader.info.topic)

    async def _read_transcription(self, reader: TextReader) -> None:
        text = await reader.read_all()
        info = reader.info
        self._emit(
            TranscriptionReceived(
                text,
                info.sender,
                info.attributes.get(packets.SEGMENT_ATTRIBUTE, info.id),
                info.attributes.get(packets.TRACK_ATTRIBUTE, ""),
                info.attributes.get(packets.FINAL_ATTRIBUTE, "true") == "true",
            )
        )
