"""Calls between participants, as LiveKit's clients make them (version 1)."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from livekit.protocol import models

from sfu.agents.data_streams import Post
from sfu.agents.errors import MediaError, RpcError
from sfu.agents.packets import Address, Packet

MAX_PAYLOAD_BYTES = 15_360  # LiveKit's limit for both directions
ACK_TIMEOUT_S = 7.0  # for the answer's "I have it", as LiveKit's clients wait
DEFAULT_TIMEOUT_S = 15.0
MAX_RUNNING = 256  # calls of others that are being answered
VERSION = 1

# Codes that LiveKit's clients know, with their texts.
UNSUPPORTED_METHOD = (1400, "Method not supported at destination")
REQUEST_TOO_LARGE = (1402, "Request payload too large")
UNSUPPORTED_VERSION = (1404, "Unsupported RPC version")
APPLICATION_ERROR = (1500, "Application error in method handler")
CONNECTION_TIMEOUT = (1501, "Connection timeout")
RESPONSE_TIMEOUT = (1502, "Response timeout")
RECIPIENT_DISCONNECTED = (1503, "Recipient disconnected")
RESPONSE_TOO_LARGE = (1504, "Response payload too large")
SEND_FAILED = (1505, "Failed to send")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RpcCall:
    """Somebody calls one of our methods."""

    caller: str
    """Identity; "" is the server."""
    method: str
    payload: str
    timeout_s: float
    """He waits for so long."""


RpcHandler = Callable[[RpcCall], Awaitable[str]]


@dataclass(slots=True)
class _Pending:
    recipient: str
    acknowledged: asyncio.Event
    response: asyncio.Future[str]

    def fail(self, error: RpcError) -> None:
        self.acknowledged.set()
        if not self.response.done():
            self.response.set_exception(error)


class Calls:
    """Ours to others, and theirs to us."""

    def __init__(self, post: Post, spawn: Callable[[Coroutine[None, None, None]], None]) -> None:
        self.handlers: dict[str, RpcHandler] = {}
        self._post = post
        self._spawn = spawn
        self._pending: dict[str, _Pending] = {}
        self._running = 0

    async def call(self, identity: str, method: str, payload: str, timeout_s: float) -> str:
        """Call a method of somebody. Raises RpcError."""
        if len(payload.encode()) > MAX_PAYLOAD_BYTES:
            raise RpcError(*REQUEST_TOO_LARGE)
        id_ = str(uuid.uuid4())
        request = models.RpcRequest(
            id=id_,
            method=method,
            payload=payload,
            response_timeout_ms=int(timeout_s * 1000),
            version=VERSION,
        )
        response: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        pending = self._pending[id_] = _Pending(identity, asyncio.Event(), response)
        try:
            await self._send(Packet(rpc_request=request), identity)
            async with asyncio.timeout(timeout_s):
                await _acknowledged(pending, min(ACK_TIMEOUT_S, timeout_s))
                return await response
        except MediaError as error:
            raise RpcError(*SEND_FAILED) from error
        except TimeoutError:
            heard = pending.acknowledged.is_set()
            raise RpcError(*(RESPONSE_TIMEOUT if heard else CONNECTION_TIMEOUT)) from None
        finally:
            del self._pending[id_]
            if response.done() and not response.cancelled():
                response.exception()  # has been looked at

    def left(self, identity: str | None = None) -> None:
        """Somebody is gone, and answers no more; None: we are."""
        for pending in list(self._pending.values()):
            if identity in (None, pending.recipient):
                pending.fail(RpcError(*RECIPIENT_DISCONNECTED))

    def handle(self, packet: Packet) -> None:
        """A request, an acknowledgement or a response."""
        match packet.WhichOneof("value"):
            case "rpc_request":
                if self._running < MAX_RUNNING:
                    self._running += 1
                    self._spawn(self._answer(packet))
            case "rpc_ack":
                if (pending := self._from(packet, packet.rpc_ack.request_id)) is not None:
                    pending.acknowledged.set()
            case "rpc_response":
                response = packet.rpc_response
                pending = self._from(packet, response.request_id)
                if pending is None:
                    return
                if response.WhichOneof("value") == "error":
                    error = response.error
                    pending.fail(RpcError(error.code, error.message, error.data))
                elif not pending.response.done():
                    pending.acknowledged.set()
                    pending.response.set_result(response.payload)
            case _:
                return

    def _from(self, packet: Packet, id_: str) -> _Pending | None:
        pending = self._pending.get(id_)
        # Nobody answers for another.
        return pending if pending is not None and pending.recipient == packet.participant_identity else None

    async def _answer(self, packet: Packet) -> None:
        request, caller = packet.rpc_request, packet.participant_identity
        response = models.RpcResponse(request_id=request.id)
        try:
            await self._send(Packet(rpc_ack=models.RpcAck(request_id=request.id)), caller)
            try:
                result = await self._run(request, caller)
                if len(result.encode()) > MAX_PAYLOAD_BYTES:
                    raise RpcError(*RESPONSE_TOO_LARGE)
                response.payload = result
            except RpcError as error:
                response.error.code, response.error.message, response.error.data = (
                    error.code, error.text, error.data,
                )  # fmt: skip
            await self._send(Packet(rpc_response=response), caller)
        finally:
            self._running -= 1

    async def _run(self, request: models.RpcRequest, caller: str) -> str:
        if request.version != VERSION:
            raise RpcError(*UNSUPPORTED_VERSION)
        handler = self.handlers.get(request.method)
        if handler is None:
            raise RpcError(*UNSUPPORTED_METHOD)
        timeout_s = request.response_timeout_ms / 1000 or DEFAULT_TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):
                return str(await handler(RpcCall(caller, request.method, request.payload, timeout_s)))
        except RpcError:
            raise
        except TimeoutError:
            raise RpcError(*RESPONSE_TIMEOUT) from None
        except Exception:
            _log.exception("the handler of method %r failed", request.method)
            raise RpcError(*APPLICATION_ERROR) from None

    async def _send(self, packet: Packet, identity: str) -> None:
        packet.MergeFrom(Address((identity,) if identity else ()).packet())
        await self._post(packet)


async def _acknowledged(pending: _Pending, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await pending.acknowledged.wait()
    except TimeoutError:
        raise RpcError(*CONNECTION_TIMEOUT) from None
