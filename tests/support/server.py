"""A real server in a process of its own, on free ports."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent
API_KEY, API_SECRET = "devkey", "secret"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
TOKEN_LIFE_S = 3600
PLAIN = False
"""No TLS: a client that loads no certificates is made in 0.2 ms instead of 36."""


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, count: int = 1) -> int:
    """The first of `count` neighbouring ports that nobody uses now."""
    while True:
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind(("127.0.0.1", 0))
            first = int(probe.getsockname()[1])
        try:
            for port in range(first + 1, first + count):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            continue
        return first


@dataclass
class Server:
    """Where it listens, and how to talk to it."""

    process: asyncio.subprocess.Process
    host: str
    http_port: int
    udp_port: int
    log: Path

    @property
    def url(self) -> str:
        """Base address for HTTP."""
        return f"http://{self.host}:{self.http_port}"

    @property
    def ws_url(self) -> str:
        """Base address for signaling clients."""
        return f"ws://{self.host}:{self.http_port}"

    def token(
        self, room: str, identity: str, *, name: str = "", life_s: float = TOKEN_LIFE_S, **grant: Any
    ) -> str:
        """An access token with LiveKit's claims; keyword arguments are `video` grants in camelCase."""
        claims = {
            "iss": API_KEY,
            "sub": identity,
            "name": name or identity,
            "exp": int(time.time() + life_s),
            "video": {"roomJoin": True, "room": room, **grant},
        }
        return _sign(claims)

    def admin_token(self, room: str = "") -> str:
        """A token for the server API."""
        grant = {"roomCreate": True, "roomList": True, "roomAdmin": True, "room": room}
        claims = {"iss": API_KEY, "sub": "", "exp": int(time.time() + TOKEN_LIFE_S), "video": grant}
        return _sign(claims)

    def page(self, room: str, name: str, **extra: str) -> str:
        """The demo page, joining at once."""
        return f"{self.url}/?{urlencode({'room': room, 'name': name, 'join': '', **extra})}"

    async def api(self, method: str, path: str, *, room: str = "", json: Any = None) -> Any:
        """Call the server API as an administrator of a room; the answer's JSON.

        Raises:
            httpx.HTTPStatusError: It was refused.
        """
        headers = {"Authorization": f"Bearer {self.admin_token(room)}"}
        async with httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=headers, verify=PLAIN) as client:
            answer = await client.request(method, path, json=json)
            answer.raise_for_status()
            return answer.json() if answer.content else None

    async def metrics(self) -> str:
        """The Prometheus text."""
        async with httpx.AsyncClient(verify=PLAIN) as client:
            return (await client.get(f"{self.url}/metrics")).text

    async def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_TIMEOUT_S):
            return await self.process.wait()


@asynccontextmanager
async def running_server(
    folder: Path,
    *,
    workers: int = 1,
    port_per_worker: bool = False,
    host: str = "127.0.0.1",
    module: str = "sfu",
    **settings: str,
) -> AsyncIterator[Server]:
    """A server that is ready; stopped when the block ends, with its log in `folder`/server.log.

    Other settings by their dotted name with `__`: `room__empty_timeout_s="1"`.
    """
    http, udp = free_port(), free_port(socket.SOCK_DGRAM, workers if port_per_worker else 1)
    flags = {
        "http.host": host,
        "http.port": str(http),
        "rtc.port": str(udp),
        "rtc.workers": str(workers),
        "rtc.port_per_worker": str(port_per_worker).lower(),
        "rtc.announce": host,
        **{key.replace("__", "."): value for key, value in settings.items()},
    }
    log = folder / "server.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            "dev",
            *(part for key, value in flags.items() for part in (f"--{key}", value)),
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=output,
        )
    server = Server(process, host, http, udp, log)
    try:
        await _ready(server)
        yield server
        code = await server.stop()
        assert code == 0, f"the server ended with {code}:\n{_tail(log)}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _sign(claims: dict[str, Any]) -> str:
    """A JWT with HS256 (RFC 7515 section 3.3), by other means than the server's."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    head = ".".join(_base64(json.dumps(part).encode()) for part in parts)
    return f"{head}.{_base64(hmac.digest(API_SECRET.encode(), head.encode(), 'sha256'))}"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def _ready(server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    async with httpx.AsyncClient(verify=PLAIN) as client:
        while True:
            assert server.process.returncode is None, f"the server did not start:\n{_tail(server.log)}"
            try:
                if (await client.get(f"{server.url}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                assert time.monotonic() < deadline, f"the server is not ready:\n{_tail(server.log)}"
            await asyncio.sleep(0.05)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-40:])
