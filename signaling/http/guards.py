"""What stands in front of every HTTP route: names in paths, size of bodies, count and time of requests."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sfu.telemetry.metrics import Metrics
from signaling.http.problems import problem

log = logging.getLogger(__name__)


class EncodedNames:
    """Routes see the path as it was sent, so a room may be called `a/b` or `..`: percent-encoded.

    Whoever reads a path parameter has to decode it.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        if scope["type"] == "http" and scope.get("raw_path"):
            raw = scope["raw_path"].decode("latin-1")
            if raw.startswith(self._prefix):
                scope = {**scope, "path": raw}
        await self._app(scope, receive, send)


class BodyLimit:
    """Refuses longer bodies with 413, whether announced or not, before anything holds them."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self._max_bytes:
            await self._refuse(scope, receive, send)
            return
        seen = 0
        started = False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise _TooLargeError
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except _TooLargeError:
            if not started:
                await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = f"the body is longer than {self._max_bytes} bytes"
        await problem(413, "body_too_large", text)(scope, receive, send)


class _TooLargeError(BaseException):
    """Passes by whoever catches errors of reading a body."""


class AccessLog:
    """Counts and times requests of the server API; logs method, path and status, never a query."""

    def __init__(self, app: ASGIApp, metrics: Metrics, prefix: str) -> None:
        self._app = app
        self._metrics = metrics
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        begun_at = time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - begun_at
            ours = scope["path"].startswith(self._prefix)
            if ours:
                self._metrics.http_handled(scope["method"], status, seconds)
            level = logging.INFO if ours else logging.DEBUG
            log.log(level, "%s %r %d in %.1f ms", scope["method"], scope["path"], status, seconds * 1000)
