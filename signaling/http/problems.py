"""Errors of the domain as answers of HTTP: one body, `{code, message}`, whatever went wrong."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from sfu.core.errors import (
    AirsideError,
    DispatchNotFoundError,
    JobNotFoundError,
    LimitExceededError,
    ParticipantNotFoundError,
    PermissionDeniedError,
    RoomFullError,
    RoomNotFoundError,
    ServerError,
    SessionGoneError,
    TrackNotFoundError,
    UnauthorizedError,
)

log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[AirsideError], int], ...] = (
    (UnauthorizedError, 401),
    (PermissionDeniedError, 403),
    (RoomNotFoundError, 404),
    (ParticipantNotFoundError, 404),
    (TrackNotFoundError, 404),
    (DispatchNotFoundError, 404),
    (JobNotFoundError, 404),
    (SessionGoneError, 404),
    (RoomFullError, 409),
    (LimitExceededError, 400),
    (ServerError, 503),
)
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


def status_of(error: AirsideError) -> int:
    """The HTTP status of a refusal."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)


def problem(status: int, code: str, message: str) -> JSONResponse:
    """An error answer."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"code": code, "message": message}, status, headers)


def answer(error: AirsideError) -> JSONResponse:
    """A refusal of ours as an answer."""
    return problem(status_of(error), error.code, error.text)


def install(app: FastAPI) -> None:
    """Answer every error of an application in this form."""

    @app.exception_handler(AirsideError)
    async def refused(_request: Request, error: AirsideError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        return problem(400, "invalid_request", f"{place}: {first['msg']}"[:300])

    @app.exception_handler(HTTPException)
    async def failed(_request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, _CODES.get(error.status_code, "invalid_request"), error.detail)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, AirsideError.code, "something went wrong on the server's side")
