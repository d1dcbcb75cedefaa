"""`/rtc` and `/rtc/v1`: the two ways in, each with a check beside it that says in text what is wrong.

Everything that can refuse a client does so before its upgrade is accepted; browsers then ask the check why.
"""

from fastapi import FastAPI, Request
from livekit.protocol import models
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from sfu.core.codecs import Codec, MediaKind
from sfu.core.errors import (
    AirsideError,
    DrainingError,
    LimitExceededError,
    PermissionDeniedError,
    RoomFullError,
    RoomNotFoundError,
    ServerError,
    UnauthorizedError,
)
from sfu.participants.requests import JoinRequest
from sfu.transport.sdp.codecs import CodecPolicy
from signaling.auth import Authenticator, Token, find_token
from signaling.connection import Connection, ConnectionLimits
from signaling.edge import Edge
from signaling.livekit import parameters, twirp
from signaling.livekit.agent_endpoint import AGENT_PATH, AgentEndpoint
from signaling.livekit.agent_service import AgentDispatchService
from signaling.livekit.context import LiveKitContext
from signaling.livekit.dialect import LiveKitDialect
from signaling.livekit.parameters import Parameters
from signaling.livekit.room_service import RoomService
from signaling.serving import serve
from signaling.turns import Fairness

DUAL_PATH = "/rtc"
SINGLE_PATH = "/rtc/v1"
MISSING_SERVICES = {
    "livekit.Egress": "recording is not part of this server",
    "livekit.Ingress": "ingress is not part of this server",
    "livekit.SIP": "telephony is not part of this server",
    "livekit.Connector": "connectors are not part of this server",
}
"""Services of LiveKit that are answered by a clear no."""

_STATUS: tuple[tuple[type[AirsideError], int], ...] = (
    (UnauthorizedError, 401),
    (PermissionDeniedError, 401),
    (RoomNotFoundError, 404),
    (RoomFullError, 429),
    (LimitExceededError, 400),
    (ServerError, 503),
)


def make_context(edge: Edge, authenticator: Authenticator) -> LiveKitContext:
    """What all of it shares."""
    return LiveKitContext(
        service=edge.service,
        authenticator=authenticator,
        clock=edge.clock,
        metrics=edge.metrics,
        node=edge.node,
        codecs=publish_codecs(edge.service.codecs),
    )


def sockets(edge: Edge, context: LiveKitContext, fairness: Fairness) -> dict[str, ASGIApp]:
    """The WebSockets, by path."""
    return {
        DUAL_PATH: RtcEndpoint(edge, context, fairness, single=False),
        SINGLE_PATH: RtcEndpoint(edge, context, fairness, single=True),
        AGENT_PATH: AgentEndpoint(edge, context, fairness),
    }


def install(app: FastAPI, edge: Edge, context: LiveKitContext) -> None:
    """Add the checks, and the server API."""
    twirp.install(
        app,
        edge,
        context,
        twirp.Services(
            {
                **RoomService(context, edge.settings).methods(),
                **AgentDispatchService(edge.service).methods(),
            },
            MISSING_SERVICES,
        ),
    )

    @app.get(f"{DUAL_PATH}/validate", include_in_schema=False)
    async def validate_dual(request: Request) -> Response:
        return _validate(edge, context.authenticator, request, single=False)

    @app.get(f"{SINGLE_PATH}/validate", include_in_schema=False)
    async def validate_single(request: Request) -> Response:
        return _validate(edge, context.authenticator, request, single=True)


def publish_codecs(policy: CodecPolicy) -> tuple[models.Codec, ...]:
    """What clients may publish, as they are told."""
    kinds = (MediaKind.VIDEO, MediaKind.AUDIO)
    enabled = (codec for kind in kinds for codec in policy.enabled(kind) if codec is not Codec.RED)
    return tuple(models.Codec(mime=codec.mime) for codec in enabled)


class RtcEndpoint:
    """An ASGI application for WebSockets of one path."""

    def __init__(self, edge: Edge, context: LiveKitContext, fairness: Fairness, *, single: bool) -> None:
        self._edge = edge
        self._context = context
        self._fairness = fairness
        self._single = single
        self._limits = ConnectionLimits.from_settings(edge.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        edge, socket = self._edge, WebSocket(scope, receive, send)
        begun_at = edge.clock.monotonic()
        try:
            token = _authenticate(edge, self._context.authenticator, socket)
            authorized_at = edge.clock.monotonic()
            wanted = _parameters(socket, single=self._single)
        except AirsideError as error:
            edge.metrics.join_outcome(error.code)
            await socket.send_denial_response(refusal(error))
            return
        name = f"{token.api_key} {token.grant.room}"
        connection = Connection(socket, self._limits, name, self._fairness)
        dialect = LiveKitDialect(self._context, token, wanted, connection)
        await self._fairness.reads.take()
        try:
            await dialect.enter(begun_at, authorized_at)
        except AirsideError as error:
            await socket.send_denial_response(refusal(error))
            return
        await serve(edge, socket, connection, dialect)


def _validate(edge: Edge, authenticator: Authenticator, request: Request, *, single: bool) -> Response:
    """The checks of the upgrade, without joining."""
    try:
        token = _authenticate(edge, authenticator, request)
        _parameters(request, single=single)
        edge.service.check_join(
            JoinRequest(
                grant=token.grant,
                identity=token.identity,
                name=token.name,
                metadata=token.metadata,
                attributes=token.attributes,
                kind=token.kind,
                room_options=token.room_options,
            )
        )
    except AirsideError as error:
        return refusal(error)
    return PlainTextResponse("success")


def _authenticate(edge: Edge, authenticator: Authenticator, request: Request | WebSocket) -> Token:
    if not edge.health.ready:
        raise DrainingError
    text = find_token(request.headers, request.query_params)
    token = authenticator.verify(text, edge.clock.wall())
    token.grant.require_join()
    return token


def _parameters(request: Request | WebSocket, *, single: bool) -> Parameters:
    address = request.client.host if request.client is not None else ""
    if single:
        return parameters.from_join_request(request.query_params.get("join_request", ""), address)
    return parameters.from_query(request.query_params, address)


def refusal(error: AirsideError) -> PlainTextResponse:
    """Why somebody does not get in, as clients read it."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 400)
    return PlainTextResponse(error.text, status)
