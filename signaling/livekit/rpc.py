"""PerformRpc: the server calls a method of a participant, as another participant would (version 1)."""

import asyncio
import uuid
from collections.abc import Awaitable
from typing import TypeVar

from google.protobuf.message import DecodeError
from livekit.protocol import models, room

from sfu.core.ids import Identity, RoomName
from sfu.dataplane.commands import DataDialect
from sfu.service import Service
from signaling.livekit.twirp import TwirpError

T = TypeVar("T")

MAX_PAYLOAD_BYTES = 15_360
ACK_TIMEOUT_S = 2.0
"""A client confirms a call before it works on it."""
RESPONSE_TIMEOUT_S = 10.0
"""Where the caller names none."""
MAX_RESPONSE_TIMEOUT_S = 60.0
VERSION = 1

# Codes that clients know; the texts are theirs.
CONNECTION_TIMEOUT = (1501, "Connection timeout")
RESPONSE_TIMEOUT = (1502, "Response timeout")
RECIPIENT_DISCONNECTED = (1503, "Recipient disconnected")
SEND_FAILED = (1505, "Failed to send")


class _Answers:
    """What came back so far."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self.acknowledged = asyncio.Event()
        self.response: asyncio.Future[models.RpcResponse | None] = asyncio.get_running_loop().create_future()

    def receive(self, message: bytes | None) -> None:
        """One packet; None: nobody will answer."""
        if message is None:
            self._finish(None)
            return
        try:
            packet = models.DataPacket.FromString(message)
        except DecodeError:
            return
        if packet.rpc_ack.request_id == self._request_id:
            self.acknowledged.set()
        elif packet.rpc_response.request_id == self._request_id:
            self._finish(packet.rpc_response)

    def _finish(self, response: models.RpcResponse | None) -> None:
        self.acknowledged.set()
        if not self.response.done():
            self.response.set_result(response)


async def perform_rpc(service: Service, name: RoomName, request: room.PerformRpcRequest) -> str:
    """Call, and wait for the result.

    Raises:
        TwirpError: It could not be called, did not answer in time, or answered with an error.
        RoomNotFoundError, ParticipantNotFoundError.
    """
    if len(request.payload.encode()) > MAX_PAYLOAD_BYTES:
        raise _error("invalid_argument", 1402, "Request payload too large")
    timeout_s = request.response_timeout_ms / 1000 or RESPONSE_TIMEOUT_S
    timeout_s = min(timeout_s, MAX_RESPONSE_TIMEOUT_S)
    request_id = str(uuid.uuid4())
    answers = _Answers(request_id)
    mailbox = service.open_mailbox(name, Identity(request.destination_identity), answers.receive)
    try:
        call = models.RpcRequest(
            id=request_id,
            method=request.method,
            payload=request.payload,
            response_timeout_ms=int(timeout_s * 1000),
            version=VERSION,
        )
        packet = models.DataPacket(destination_identities=[request.destination_identity], rpc_request=call)
        if not mailbox.send(packet.SerializeToString(), DataDialect.LIVEKIT):
            raise _error("failed_precondition", *SEND_FAILED)
        await _wait(answers.acknowledged.wait(), ACK_TIMEOUT_S, CONNECTION_TIMEOUT)
        response = await _wait(answers.response, timeout_s, RESPONSE_TIMEOUT)
    finally:
        mailbox.close()
    if response is None:
        raise _error("unavailable", *RECIPIENT_DISCONNECTED)
    if response.HasField("error"):
        raise _error("unknown", response.error.code, response.error.message, response.error.data)
    return response.payload


async def _wait(awaitable: Awaitable[T], timeout_s: float, error: tuple[int, str]) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            return await awaitable
    except TimeoutError:
        raise _error("deadline_exceeded", *error) from None


def _error(code: str, number: int, text: str, data: str = "") -> TwirpError:
    meta = {"error_code": str(number), "error_message": text}
    if data:
        meta["error_data"] = data
    return TwirpError(code, text, meta)
