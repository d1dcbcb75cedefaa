"""Twirp (version 7): calls of LiveKit's server API as HTTP requests, with bodies in protobuf or JSON."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sfu.core.errors import (
    AirsideError,
    DispatchNotFoundError,
    DrainingError,
    InvalidRequestError,
    LimitExceededError,
    OverloadedError,
    ParticipantNotFoundError,
    PermissionDeniedError,
    RoomNotFoundError,
    TrackNotFoundError,
    UnauthorizedError,
)
from sfu.core.ids import RoomName
from signaling.auth import Token, find_token
from signaling.edge import Edge
from signaling.json_bounds import MAX_VALUES, is_crowded
from signaling.livekit.bounds import parse
from signaling.livekit.context import LiveKitContext

log = logging.getLogger(__name__)

PREFIX = "/twirp"
PROTOBUF = "application/protobuf"
JSON = "application/json"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")  # all but one are a bad route

STATUS = {
    "canceled": 408,
    "unknown": 500,
    "invalid_argument": 400,
    "malformed": 400,
    "deadline_exceeded": 408,
    "not_found": 404,
    "bad_route": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "unauthenticated": 401,
    "resource_exhausted": 429,
    "failed_precondition": 412,
    "aborted": 409,
    "out_of_range": 400,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "dataloss": 500,
}
"""HTTP status of each error code (Twirp specification, "Error Codes")."""

_CODES: tuple[tuple[type[AirsideError], str, str], ...] = (
    (PermissionDeniedError, "unauthenticated", "permissions denied"),
    (RoomNotFoundError, "not_found", "requested room does not exist"),
    (ParticipantNotFoundError, "not_found", "participant does not exist"),
    (TrackNotFoundError, "not_found", "track is not found"),
    (DispatchNotFoundError, "not_found", ""),
    (InvalidRequestError, "invalid_argument", ""),
    (LimitExceededError, "invalid_argument", ""),
    (OverloadedError, "resource_exhausted", ""),
    (DrainingError, "unavailable", ""),
)
"""Our errors, in LiveKit's words where there are some."""


class TwirpError(Exception):
    """A call that failed, as its caller reads it."""

    def __init__(self, code: str, text: str, meta: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.meta = dict(meta or {})


@dataclass(frozen=True, slots=True)
class Method:
    """One call: what it takes, and who answers."""

    request: type[Message]
    handle: Callable[[Any, Token], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Services:
    """All calls by service and method; whole services that are not here, and why."""

    methods: Mapping[tuple[str, str], Method]
    missing: Mapping[str, str] = field(default_factory=dict)


def administered(token: Token, name: str) -> RoomName:
    """The room of a call that needs `roomAdmin` for it. Raises PermissionDeniedError."""
    token.grant.require_room_admin(RoomName(name))
    return RoomName(name)


def install(app: FastAPI, edge: Edge, context: LiveKitContext, services: Services) -> None:
    """Add the routes."""

    @app.api_route(f"{PREFIX}/{{service}}/{{method}}", methods=list(METHODS), include_in_schema=False)
    async def call(request: Request, service: str, method: str) -> Response:
        try:
            token = context.authenticator.verify(find_token(request.headers, {}), edge.clock.wall())
        except UnauthorizedError as error:
            return PlainTextResponse(error.text, 401)
        try:
            return await _call(services, request, token, service, method)
        except TwirpError as error:
            return failure(error)
        except AirsideError as error:
            return failure(translate(error))
        except Exception:
            log.exception("%s/%s failed", service, method)
            return failure(TwirpError("internal", "something went wrong on the server's side"))


async def _call(services: Services, request: Request, token: Token, service: str, name: str) -> Response:
    if request.method != "POST":
        raise TwirpError("bad_route", f"unsupported method {request.method} (only POST is allowed)")
    if service in services.missing:
        raise TwirpError("unimplemented", services.missing[service])
    method = services.methods.get((service, name))
    if method is None:
        raise TwirpError("bad_route", f"no handler for path {request.url.path}")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (PROTOBUF, JSON):
        raise TwirpError("bad_route", f"unexpected Content-Type: {kind[:100]}")
    message = _decode(method.request, await request.body(), kind)
    return _encode(await method.handle(message, token), kind)


def _decode(expected: type[Message], body: bytes, kind: str) -> Message:
    try:
        if kind == PROTOBUF:
            return parse(expected, body)
        if is_crowded(body):
            raise TwirpError("malformed", f"more than {MAX_VALUES} values in one body")
        message = expected()
        json_format.Parse(body or b"{}", message, ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError):
        raise TwirpError("malformed", f"the body is no {expected.DESCRIPTOR.name}") from None
    return message


def _encode(message: Message, kind: str) -> Response:
    if kind == PROTOBUF:
        return Response(message.SerializeToString(), media_type=PROTOBUF)
    text = json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)
    return Response(text, media_type=JSON)


def translate(error: AirsideError) -> TwirpError:
    """A refusal of ours."""
    for kind, code, text in _CODES:
        if isinstance(error, kind):
            return TwirpError(code, text or error.text)
    return TwirpError("invalid_argument", error.text)


def failure(error: TwirpError) -> JSONResponse:
    """The answer that says so."""
    body: dict[str, object] = {"code": error.code, "msg": error.text}
    if error.meta:
        body["meta"] = error.meta
    return JSONResponse(body, STATUS[error.code])
