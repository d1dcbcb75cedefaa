"""`/agent`: where agent workers connect. Everything that can refuse one does so before its upgrade."""

from dataclasses import replace

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from sfu.core.errors import AirsideError, DrainingError, InvalidRequestError, PermissionDeniedError
from signaling.auth import Token, find_token
from signaling.connection import Connection, ConnectionLimits
from signaling.edge import Edge
from signaling.livekit.agent_dialect import AgentDialect
from signaling.livekit.bounds import whole_number
from signaling.livekit.context import LiveKitContext
from signaling.serving import serve
from signaling.turns import Fairness

AGENT_PATH = "/agent"
MESSAGES_PER_S = 400.0  # a worker answers for each of its jobs: a hundred rooms may begin within a second
MESSAGES_BURST = 4000
MAX_CAPACITY = 100_000
MAX_REGION_CHARS = 64


class AgentEndpoint:
    """An ASGI application for the WebSockets of workers."""

    def __init__(self, edge: Edge, context: LiveKitContext, fairness: Fairness) -> None:
        self._edge = edge
        self._context = context
        self._fairness = fairness
        limits = ConnectionLimits.from_settings(edge.settings)
        self._limits = replace(limits, requests_per_s=MESSAGES_PER_S, requests_burst=MESSAGES_BURST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        edge, socket = self._edge, WebSocket(scope, receive, send)
        try:
            token = self._authenticate(socket)
            capacity = _capacity(socket.query_params.get("capacity", ""))
            region = _region(socket.query_params.get("region", ""))
        except DrainingError as error:
            await socket.send_denial_response(PlainTextResponse(error.text, 503))
            return
        except InvalidRequestError as error:
            await socket.send_denial_response(PlainTextResponse(error.text, 400))
            return
        except AirsideError as error:
            await socket.send_denial_response(PlainTextResponse(error.text, 401))
            return
        connection = Connection(socket, self._limits, f"{token.api_key} worker", self._fairness)
        dialect = AgentDialect(self._context, edge.settings, token, connection, capacity, region)
        await serve(edge, socket, connection, dialect)

    def _authenticate(self, socket: WebSocket) -> Token:
        if not self._edge.health.ready:
            raise DrainingError
        text = find_token(socket.headers, socket.query_params)
        token = self._context.authenticator.verify(text, self._edge.clock.wall())
        if not token.grant.agent:
            raise PermissionDeniedError("serve as an agent worker", "agent")
        return token


def _capacity(text: str) -> int | None:
    if not text:
        return None
    capacity = whole_number(text, MAX_CAPACITY)
    if not capacity:
        raise InvalidRequestError("capacity", f"must be a number from 1 to {MAX_CAPACITY}")
    return capacity


def _region(text: str) -> str:
    if len(text) > MAX_REGION_CHARS or not text.isprintable():
        raise InvalidRequestError("region", f"must be at most {MAX_REGION_CHARS} printable characters")
    return text
