"""The outer edge on real sockets, in this process: uvicorn, the routes, the service, a recording plane."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sfu.core.clock import LoopClock
from sfu.core.ids import RoomName
from sfu.participants.permissions import Grant
from sfu.service import Service
from sfu.settings.models import Settings
from sfu.telemetry.health import Health, ServerState
from sfu.telemetry.metrics import Metrics
from signaling.app import create_app
from signaling.auth import create_token
from signaling.connection import Connections
from signaling.edge import Edge
from signaling.server import build_server, listen
from tests.support.recording_plane import RecordingPlane

KEY, SECRET = "devkey", "secret"
WAIT_S = 10.0


@dataclass
class Running:
    """A served edge."""

    edge: Edge
    plane: RecordingPlane
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def signal_url(self, token: str) -> str:
        return f"ws://127.0.0.1:{self.port}/signal?access_token={quote(token)}"

    @asynccontextmanager
    async def client(self, identity: str, room: str = "standup", **options: Any) -> AsyncIterator[Client]:
        """A client that has not said anything yet."""
        async with connect(self.signal_url(token(identity, room)), max_size=None, **options) as socket:
            yield Client(socket)

    @asynccontextmanager
    async def joined(self, identity: str, room: str = "standup") -> AsyncIterator[Client]:
        """A client that has joined."""
        async with self.client(identity, room) as client:
            await client.say(type="join", protocol=1)
            client.session_id = (await client.hear("joined"))["session_id"]
            yield client


class Client:
    """The native protocol as plain JSON."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.session_id = ""
        self.last_seq = 0

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self, kind: str) -> Any:
        """The next message of a type; others before it are passed over."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = json.loads(await self.socket.recv())
                self.last_seq = message.get("seq", self.last_seq)
                if message["type"] == kind:
                    return message

    async def hear_of(self, identity: str, change: str) -> Any:
        """Somebody's entry in `joined`, `updated` or `left` of the next message that has one."""
        while True:
            news = await self.hear("participants")
            for person in news[change]:
                if person["identity"] == identity:
                    return person

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the close."""
        async with asyncio.timeout(WAIT_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.socket.recv()
            await self.socket.wait_closed()
        return self.socket.close_code or 0, self.socket.close_reason or ""


def token(
    identity: str, room: str = "standup", *, secret: str = SECRET, now: float | None = None, **more: Any
) -> str:
    grant = Grant(room=RoomName(room), room_join=True, can_update_own_metadata=True)
    when = time.time() if now is None else now
    return create_token(KEY, secret, grant, now=when, identity=identity, **more)


@asynccontextmanager
async def running_edge(**settings: Any) -> AsyncIterator[Running]:
    """Serve until the block ends. Keyword arguments are sections of the settings."""
    complete = Settings.model_validate({"keys": {KEY: SECRET}, **settings})
    plane, clock, metrics = RecordingPlane(), LoopClock(asyncio.get_running_loop()), Metrics("test")
    health = Health()
    edge = Edge(
        service=Service(complete, plane, clock, metrics),
        settings=complete,
        clock=clock,
        metrics=metrics,
        health=health,
        connections=Connections(),
        version="test",
        node="local",
        dev=True,
    )
    listener = listen("127.0.0.1", 0, "http.port")
    server = build_server(create_app(edge), complete)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    health.enter(ServerState.READY)
    try:
        yield Running(edge, plane, listener.getsockname()[1])
    finally:
        await edge.service.close(1.0)
        edge.connections.close_all(1012, "test ends")
        server.should_exit = True
        async with asyncio.timeout(WAIT_S):
            await serving
