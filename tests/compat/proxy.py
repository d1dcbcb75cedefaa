"""Ways between clients and a server that can be cut: of TCP, and of UDP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast


class Proxy:
    """Between clients and one server."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.blocked = False
        """Nobody gets through."""

    def cut(self) -> None:
        """End every connection there is; new ones are taken."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.blocked:
            writer.transport.abort()
            return
        try:
            other_reader, other_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, other_writer}
        try:
            await asyncio.gather(_pump(reader, other_writer), _pump(other_reader, writer))
        finally:
            self._writers -= {writer, other_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def proxy_to(host: str, port: int) -> AsyncIterator[Proxy]:
    """A proxy that runs until the block ends."""
    proxy = Proxy(host, port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()


class MediaPath(asyncio.DatagramProtocol):
    """Where clients send media to; each has a socket of its own towards the server."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.blocked = False
        """Nothing gets through, either way."""
        self._server = server
        self._outside: asyncio.DatagramTransport
        self._inside: dict[tuple[str, int], asyncio.DatagramTransport | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._outside = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.blocked:
            return
        inside = self._inside.get(addr)
        if inside is not None:
            inside.sendto(data)
        elif addr not in self._inside:
            self._inside[addr] = None
            task = asyncio.get_running_loop().create_task(self._open(addr))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, client: tuple[str, int]) -> None:
        def back(data: bytes) -> None:
            if not self.blocked:
                self._outside.sendto(data, client)

        loop = asyncio.get_running_loop()
        self._inside[client], _ = await loop.create_datagram_endpoint(
            lambda: _Back(back), remote_addr=self._server
        )

    def close(self) -> None:
        for inside in (self._outside, *self._inside.values()):
            if inside is not None:
                inside.close()


class _Back(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._receive(data)


@asynccontextmanager
async def media_path(host: str, server: tuple[str, int]) -> AsyncIterator[MediaPath]:
    """A path from an address with the server's own port number."""
    loop = asyncio.get_running_loop()
    _, path = await loop.create_datagram_endpoint(lambda: MediaPath(server), local_addr=(host, server[1]))
    try:
        yield path
    finally:
        path.close()
