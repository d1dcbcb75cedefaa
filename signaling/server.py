"""uvicorn, with bounds on what a peer can make it hold and on how long it can make it wait.

Its subclasses touch what uvicorn calls its protocols' methods; a test of each bound says when that changes.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets import http11

from sfu.settings.models import Settings
from sfu.settings.sources import SettingsError

log = logging.getLogger(__name__)

MAX_REQUEST_HEAD_BYTES = 72 * 1024  # a token of 64 kB may be in the request line
REQUEST_TIMEOUT_S = 10.0  # from an open socket to a whole request head; idle sockets cost memory
ABORT_GRACE_S = 5.0  # for a closing WebSocket to flush; a peer that never reads would hold it for ever
MAX_PONG_BACKLOG_BYTES = 256 * 1024  # who floods pings without reading pongs is cut off here
BACKLOG = 2048  # connections the kernel holds while the loop is busy with a storm of joins

# websockets parses the head once more, with a limit of 8 kB a line that it takes only from the environment.
http11.MAX_LINE_LENGTH = MAX_REQUEST_HEAD_BYTES


class BoundedHttp(H11Protocol):
    """An HTTP connection that must say what it wants soon."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As `asyncio.Protocol`."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """As `asyncio.Protocol`."""
        self._deadline.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """From here on the WebSocket has deadlines of its own."""
        self._deadline.cancel()
        super().handle_websocket_upgrade(event)

    def _give_up(self) -> None:
        begun: object = self.cycle
        if begun is None:
            self.transport.abort()


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket whose peer cannot keep it by not reading, nor fill it with pongs."""

    def handle_ping(self) -> None:
        """Answer, unless earlier answers pile up unread."""
        if self.transport.get_write_buffer_size() > MAX_PONG_BACKLOG_BYTES:
            self.transport.abort()
            return
        super().handle_ping()

    def data_received(self, data: bytes) -> None:
        """As `asyncio.Protocol`. A head that HTTP takes and WebSockets do not would leave it waiting."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        """A peer that does not answer pings reads no close frame either."""
        super().keepalive_timeout()
        self._abort_later()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done with it."""
        super().on_task_complete(task)
        self._abort_later()

    def _abort_later(self) -> None:
        transport = self.transport
        self.loop.call_later(ABORT_GRACE_S, transport.abort)


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the composition root decides what a signal means."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As `uvicorn.Server`: do nothing."""
        yield


def listen(host: str, port: int, key: str) -> socket.socket:
    """A listening TCP socket.

    Raises:
        SettingsError: The address is taken or not ours; the text names the setting `key`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` means every address, IPv4 ones too, whatever the system's default is.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError([f"{key}: cannot listen at {host} port {port}: {error.strerror}"]) from None
    return listener


def build_server(app: ASGIApp, settings: Settings) -> Server:
    """A server that is ready to `serve(sockets=[...])`.

    Raises:
        SettingsError: Certificate or key cannot be used.
    """
    session, http = settings.session, settings.http
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws=BoundedWebSocket,
        ws_max_size=settings.limits.message_bytes,
        ws_ping_interval=session.ping_interval_s,
        ws_ping_timeout=session.ping_timeout_s,
        # It costs memory per socket and lets a small frame grow to a large one.
        ws_per_message_deflate=False,
        h11_max_incomplete_event_size=MAX_REQUEST_HEAD_BYTES,
        lifespan="off",
        access_log=False,
        server_header=False,
        log_config=None,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, int(settings.shutdown.deadline_s)),
        ssl_certfile=http.tls_cert,
        ssl_keyfile=http.tls_key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise SettingsError([f"http.tls_cert: {_tls_problem(http.tls_cert, http.tls_key, error)}"]) from None
    return Server(config)


def _tls_problem(cert: Path | None, key: Path | None, error: OSError) -> str:
    for path in (cert, key):
        if path is not None and not path.is_file():
            return f"{path} is not there"
    return f"certificate and key cannot be used: {error.strerror or error}"
