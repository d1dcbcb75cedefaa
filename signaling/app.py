"""Routes of the one HTTP port, and nothing else: signaling, server API, health, metrics, page."""

from importlib.resources import files
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from sfu.core.errors import InvalidRequestError
from sfu.core.ids import RoomName
from sfu.participants.permissions import Grant
from sfu.participants.requests import JoinRequest
from sfu.telemetry import metrics as telemetry
from signaling import auth, signal
from signaling.edge import Edge
from signaling.http import admin, agents, guards, problems
from signaling.livekit import routes as livekit
from signaling.livekit.context import LiveKitContext
from signaling.turns import Fairness

CORS_MAX_AGE_S = 86_400  # as long as browsers keep a preflight at most
API_TEXT = (
    "Rooms, participants and agents of an Airside server. Every request needs a token with an admin grant."
)


def create_app(edge: Edge) -> ASGIApp:
    """The application that uvicorn serves."""
    authenticator = auth.Authenticator(edge.settings.keys, edge.settings.auth.leeway_s)
    livekit_context = livekit.make_context(edge, authenticator)
    http = _http_app(edge, authenticator, livekit_context)
    fairness = Fairness()
    sockets: dict[str, ASGIApp] = {
        signal.PATH: signal.SignalEndpoint(edge, authenticator, fairness),
        **livekit.sockets(edge, livekit_context, fairness),
    }

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        # WebSockets stay for hours: what stands in front of HTTP would cost each of them a dozen coroutines.
        if scope["type"] == "websocket":
            await sockets.get(scope["path"], _no_socket)(scope, receive, send)
        else:
            await http(scope, receive, send)

    return dispatch


async def _no_socket(scope: Scope, receive: Receive, send: Send) -> None:
    socket = WebSocket(scope, receive, send)
    await socket.send_denial_response(problems.problem(404, "not_found", "no WebSocket here"))


def _http_app(edge: Edge, authenticator: auth.Authenticator, livekit_context: LiveKitContext) -> ASGIApp:
    app = FastAPI(
        title="Airside",
        description=API_TEXT,
        version=edge.version,
        openapi_url=f"{admin.PREFIX}/openapi.json",
        redoc_url=None,
    )
    problems.install(app)
    admin.install(app, admin.Backend(edge.service, authenticator, edge.clock))
    app.include_router(agents.router)
    _signaling_routes(app, edge, authenticator)
    livekit.install(app, edge, livekit_context)
    _operator_routes(app, edge)
    if edge.dev:
        _token_route(app, edge)
    if edge.settings.http.page:
        _page_routes(app)
    guarded: ASGIApp = guards.BodyLimit(app, edge.settings.limits.api_body_bytes)
    guarded = guards.EncodedNames(guarded, admin.PREFIX)
    guarded = guards.AccessLog(guarded, edge.metrics, admin.PREFIX)
    # Outermost, so that errors have the headers too; nothing here knows cookies.
    return CORSMiddleware(
        guarded,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        max_age=CORS_MAX_AGE_S,
    )


def metrics_app(metrics: telemetry.Metrics) -> FastAPI:
    """Only `/metrics`, for a port of its own."""
    app = FastAPI(openapi_url=None)
    _metrics_route(app, metrics)
    return app


def _signaling_routes(app: FastAPI, edge: Edge, authenticator: auth.Authenticator) -> None:
    @app.get("/signal/validate", include_in_schema=False)
    async def validate(request: Request) -> Response:
        text = auth.find_token(request.headers, request.query_params)
        token = authenticator.verify(text, edge.clock.wall())
        edge.service.check_join(JoinRequest(grant=token.grant, identity=token.identity))
        return PlainTextResponse("success")


def _operator_routes(app: FastAPI, edge: Edge) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        return JSONResponse(edge.health.describe(), 200 if edge.health.ready else 503)

    if edge.settings.http.metrics_port is None:
        _metrics_route(app, edge.metrics)


def _metrics_route(app: FastAPI, metrics: telemetry.Metrics) -> None:
    @app.get("/metrics", include_in_schema=False)
    async def exposition() -> Response:
        return Response(metrics.expose(), headers={"Content-Type": telemetry.CONTENT_TYPE})


def _token_route(app: FastAPI, edge: Edge) -> None:
    key, secret = next(iter(edge.settings.keys.items()))

    @app.get("/dev/token", include_in_schema=False)
    async def dev_token(room: str, identity: str, name: str = "") -> dict[str, str]:
        if not room or not identity:
            raise InvalidRequestError("room" if not room else "identity", "is needed")
        grant = Grant(room=RoomName(room), room_join=True, can_update_own_metadata=True)
        token = auth.create_token(
            key, secret, grant, now=edge.clock.wall(), identity=identity, name=name or identity
        )
        return {"token": token, "page": "/?" + urlencode({"room": room, "token": token})}


def _page_routes(app: FastAPI) -> None:
    web = files("sfu") / "web"
    app.mount("/client", StaticFiles(directory=str(web / "client")))
    app.mount("/demo", StaticFiles(directory=str(web / "demo")))
    page = (web / "demo" / "index.html").read_text(encoding="utf-8")

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return Response(page, media_type="text/html", headers={"Cache-Control": "no-cache"})
