"""Many clients for little work: one description written once, answers read by what matters in them.

A member has ICE, DTLS and a WebSocket, and neither tracks nor slots on its own side. The server holds for
each one what it holds for any client.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sfu.core.ids import RoomId, TransportId
from sfu.dataplane.commands import AddTransport, IceCredentials, RemoveTransport, Role, SetRemote
from sfu.dataplane.events import TransportState
from sfu.dataplane.plane import Address, DataPlane
from sfu.transport.sdp.agreed import Agreed, LocalDescription
from sfu.transport.sdp.client import ClientWish, client_offer
from sfu.transport.sdp.codecs import CodecPolicy
from sfu.transport.sdp.grammar import write
from tests.support.callers import LOOPBACK, WAIT_S, WORKER, Callers
from tests.support.server import Server

AT_ONCE = 32
UFRAG, PASSWORD = "0" * 16, "0" * 24
"""Stand in the template for those of a member."""


def offer_template(plane: DataPlane) -> str:
    """The offer of every member: one section that receives sound."""
    local = LocalDescription(UFRAG, PASSWORD, plane.fingerprint, ice_lite=False)
    return write(client_offer(Agreed(), ClientWish(receive_audio=1, data=False), local, CodecPolicy()).offer)


def _value(answer: str, name: str) -> str:
    found = re.search(rf"^a={name}:(.*?)\r?$", answer, re.MULTILINE)
    assert found is not None, f"the answer has no {name}"
    return found[1]


class Member:
    """One of the crowd."""

    def __init__(self, callers: Callers, socket: ClientConnection) -> None:
        self.left: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        """The server's `leave`."""
        self._plane = callers.plane
        self._callers = callers
        self._socket = socket
        self._transport: TransportId = callers.plane.new_transport_id()
        self._room: RoomId = callers.plane.new_room_id()
        self._credentials = callers.plane.credentials(WORKER)
        self._answer = ""

    async def join(self, template: str) -> None:
        """Join, and connect nothing yet."""
        sdp = template.replace(UFRAG, self._credentials.ufrag).replace(PASSWORD, self._credentials.password)
        await self._socket.send(json.dumps({"type": "join", "protocol": 1, "offer": sdp}))
        async with asyncio.timeout(WAIT_S):
            self._answer = json.loads(await self._socket.recv())["answer"]

    async def listen(self) -> None:
        """Until the connection ends; only `leave` is read."""
        try:
            async for text in self._socket:
                if '"leave"' in text[:40] and not self.left.done():
                    self.left.set_result(json.loads(text))
        except ConnectionClosed:
            pass

    def start(self, server: Address) -> None:
        """Begin to connect."""
        number, _ = self._plane.open_socket(WORKER, LOOPBACK)
        kind, digest = _value(self._answer, "fingerprint").split()
        remote = SetRemote(
            transport=self._transport,
            ice=IceCredentials(_value(self._answer, "ice-ufrag"), _value(self._answer, "ice-pwd")),
            fingerprints=((kind.lower(), bytes.fromhex(digest.replace(":", ""))),),
            candidates=(server,),
            extensions=(),
            allow_mixed=False,
            transport_cc=False,
            remb=False,
            data=False,
        )
        self._plane.apply(
            [AddTransport(self._transport, self._room, Role.CLIENT, self._credentials, number), remote]
        )

    def forget(self) -> None:
        """End the transport."""
        self._plane.apply([RemoveTransport(self._transport)])

    @property
    def connected(self) -> bool:
        """Keys are in place."""
        states = self._callers.states.get(self._transport, [])
        return any(event.state is TransportState.CONNECTED for event in states)


@asynccontextmanager
async def joined_crowd(server: Server, callers: Callers, room: str, size: int) -> AsyncIterator[list[Member]]:
    """So many members of one room, joined and not connected."""
    template = offer_template(callers.plane)
    members: list[Member] = []
    listening: list[asyncio.Task[None]] = []
    gate = asyncio.Semaphore(AT_ONCE)
    async with AsyncExitStack() as stack:

        async def one(number: int) -> None:
            url = f"{server.ws_url}/signal?access_token={quote(server.token(room, f'member{number}'))}"
            async with gate:
                connecting = connect(url, max_size=None, compression=None, ping_interval=None)
                socket = await stack.enter_async_context(connecting)
                member = Member(callers, socket)
                await member.join(template)
            members.append(member)
            listening.append(asyncio.create_task(member.listen()))

        try:
            await asyncio.gather(*map(one, range(size)))
            yield members
        finally:
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)
