"""What every WebSocket goes through, whatever is spoken on it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from starlette.websockets import WebSocket

from sfu.telemetry.health import Health
from sfu.telemetry.metrics import Metrics
from signaling.connection import Connection, ConnectionLimits, Connections
from signaling.edge import Edge
from signaling.serving import serve
from tests.support.domain import World


class Ending:
    """A dialect that only hears of the end."""

    binary = True

    def __init__(self) -> None:
        self.ends = 0

    async def handle_frame(self, frame: str | bytes) -> None:
        raise AssertionError(frame)

    def encode_error(self, code: str, text: str) -> bytes:
        raise AssertionError(code, text)

    def handle_disconnect(self) -> None:
        self.ends += 1


@pytest.mark.parametrize("accepted", [True, False])
async def test_the_end_is_heard_once_and_counted(accepted: bool) -> None:
    world = World()
    edge = Edge(
        service=world.service,
        settings=world.settings,
        clock=world.clock,
        metrics=Metrics("test"),
        health=Health(),
        connections=Connections(),
        version="test",
        node="test",
    )
    asked = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}])

    async def receive() -> Any:
        return next(asked)

    async def send(message: Any) -> None:
        if message["type"] == "websocket.accept" and not accepted:
            raise OSError("gone")

    socket = WebSocket({"type": "websocket"}, receive, send)
    dialect = Ending()
    connection = Connection(cast("Any", socket), ConnectionLimits())
    try:
        await serve(edge, socket, connection, dialect)
    except OSError:
        assert not accepted
    assert dialect.ends == 1
    assert len(edge.connections) == 0
    assert edge.metrics.registry.get_sample_value("airside_signaling_connections") == 0
