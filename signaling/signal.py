"""`/signal`: from an upgrade request to a conversation in the native dialect."""

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from sfu.core.errors import DrainingError, UnauthorizedError
from signaling.auth import Authenticator, find_token
from signaling.closing import CloseCode, fit_reason
from signaling.connection import Connection, ConnectionLimits
from signaling.edge import Edge
from signaling.http import problems
from signaling.native import values
from signaling.native.dialect import NativeContext, NativeDialect, error_frame
from signaling.serving import serve
from signaling.turns import Fairness

PATH = "/signal"


class SignalEndpoint:
    """An ASGI application for WebSockets of this path."""

    def __init__(self, edge: Edge, authenticator: Authenticator, fairness: Fairness) -> None:
        self._edge = edge
        self._authenticator = authenticator
        self._limits = ConnectionLimits.from_settings(edge.settings)
        self._fairness = fairness
        self._context = NativeContext(
            service=edge.service,
            clock=edge.clock,
            metrics=edge.metrics,
            server=values.ServerInfo(version=edge.version, node=edge.node),
            ping_interval_s=edge.settings.session.ping_interval_s,
            ping_timeout_s=edge.settings.session.ping_timeout_s,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        socket = WebSocket(scope, receive, send)
        if not self._edge.health.ready:
            await socket.send_denial_response(problems.answer(DrainingError()))
            return
        begun_at = self._edge.clock.monotonic()
        try:
            text = find_token(socket.headers, socket.query_params)
            token = self._authenticator.verify(text, self._edge.clock.wall())
        except UnauthorizedError as error:
            await self._refuse(socket, error)
            return
        auth_s = self._edge.clock.monotonic() - begun_at
        name = f"{token.api_key} {token.grant.room}"
        connection = Connection(socket, self._limits, name, self._fairness)
        address = socket.client.host if socket.client is not None else ""
        dialect = NativeDialect(self._context, token, connection, address, auth_s)
        await serve(self._edge, socket, connection, dialect)

    async def _refuse(self, socket: WebSocket, error: UnauthorizedError) -> None:
        """Browsers hide the answer to a refused upgrade; an accepted one can say why."""
        self._edge.metrics.join_outcome(error.code)
        await socket.accept()
        await socket.send_text(error_frame(error.code, error.text).decode())
        await socket.close(CloseCode.UNAUTHORIZED, fit_reason(error.text))
