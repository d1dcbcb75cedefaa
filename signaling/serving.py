"""From an upgrade request to the end of its WebSocket: the same for every endpoint."""

from starlette.websockets import WebSocket

from signaling.closing import CloseCode
from signaling.connection import Connection
from signaling.dialect import Dialect
from signaling.edge import Edge


async def serve(edge: Edge, socket: WebSocket, connection: Connection, dialect: Dialect) -> None:
    """Accept, run, and count it. The dialect hears of the end also where its client went before it began."""
    running = False
    edge.metrics.socket_opened()
    edge.connections.add(connection)
    try:
        await socket.accept()
        running = True
        await connection.run(dialect)
    finally:
        if not running:
            dialect.handle_disconnect()
        edge.connections.remove(connection)
        edge.metrics.socket_closed(connection.close_code or CloseCode.INTERNAL)
