"""The control plane on a real socket in this process, above a packet plane that only remembers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import jwt

from sfu.core.clock import LoopClock
from sfu.service import Service
from sfu.settings.models import Settings
from sfu.telemetry.health import Health, ServerState
from sfu.telemetry.metrics import Metrics
from signaling.app import create_app
from signaling.connection import Connections
from signaling.edge import Edge
from signaling.server import build_server, listen
from tests.support.recording_plane import RecordingPlane

KEY, SECRET = "devkey", "secret" * 6
TOKEN_LIFE_S = 600


@dataclass
class Control:
    """Where it listens and what is behind it."""

    url: str
    service: Service
    plane: RecordingPlane

    def token(self, room: str, identity: str, **grant: Any) -> str:
        """An access token; keyword arguments are `video` grants in camelCase."""
        claims = {
            "iss": KEY,
            "sub": identity,
            "exp": int(time.time() + TOKEN_LIFE_S),
            "video": {"roomJoin": True, "room": room, **grant},
        }
        return jwt.encode(claims, SECRET, algorithm="HS256")


@asynccontextmanager
async def control_plane(**settings: Any) -> AsyncIterator[Control]:
    """A control plane that serves; ended in order when the block ends."""
    chosen = Settings.model_validate({"keys": {KEY: SECRET}, **settings})
    loop = asyncio.get_running_loop()
    clock, metrics, plane = LoopClock(loop), Metrics("test"), RecordingPlane()
    service = Service(chosen, plane, clock, metrics)
    health = Health()
    edge = Edge(
        service=service,
        settings=chosen,
        clock=clock,
        metrics=metrics,
        health=health,
        connections=Connections(),
        version="test",
        node="local",
    )
    server = build_server(create_app(edge), chosen)
    listener = listen("127.0.0.1", 0, "http.port")
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    health.enter(ServerState.READY)
    try:
        yield Control(f"ws://127.0.0.1:{listener.getsockname()[1]}", service, plane)
    finally:
        await service.close(5.0)
        server.should_exit = True
        await task
