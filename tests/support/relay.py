"""A UDP relay between one client and the server, which may drop, repeat, reorder, remember and invent.

To the server it is the client: what it invents comes from the live pair of addresses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

Address = tuple[str, int]
Change = Callable[[bytes], Iterable[bytes]]
"""What to send in place of a datagram."""


def is_dtls(datagram: bytes) -> bool:
    """By the first byte (RFC 7983)."""
    return 20 <= datagram[0] <= 63


def is_media(datagram: bytes) -> bool:
    """RTP or RTCP."""
    return 128 <= datagram[0] <= 191


def is_stun(datagram: bytes) -> bool:
    """A check, or the answer to one."""
    return datagram[0] <= 3


def unchanged(datagram: bytes) -> Iterable[bytes]:
    """Passes it on."""
    return (datagram,)


class Relay:
    """`address` is where the client sends to."""

    def __init__(self, server: Address) -> None:
        self.server = server
        self.to_server: Change = unchanged
        self.to_client: Change = unchanged
        self.sent: list[bytes] = []
        """What the client sent, as it came."""
        self.received: list[bytes] = []
        """What the server sent."""
        self.address: Address = ("", 0)
        self._client: Address | None = None
        self._inside: asyncio.DatagramTransport
        self._outside: asyncio.DatagramTransport

    async def open(self) -> None:
        """Bind both sockets."""
        loop = asyncio.get_running_loop()
        host = self.server[0]
        self._inside, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_client), local_addr=(host, 0)
        )
        self._outside, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_server), local_addr=(host, 0)
        )
        self.address = self._inside.get_extra_info("sockname")

    def close(self) -> None:
        """Close both."""
        self._inside.close()
        self._outside.close()

    def inject(self, datagram: bytes) -> None:
        """Send something to the server as if the client had."""
        self._outside.sendto(datagram, self.server)

    def deliver(self, datagram: bytes) -> None:
        """Send something to the client as if the server had."""
        assert self._client is not None, "the client has not sent anything"
        self._inside.sendto(datagram, self._client)

    def _from_client(self, datagram: bytes, sender: Address) -> None:
        self._client = sender
        self.sent.append(datagram)
        for each in self.to_server(datagram):
            self._outside.sendto(each, self.server)

    def _from_server(self, datagram: bytes, sender: Address) -> None:
        self.received.append(datagram)
        if self._client is not None:
            for each in self.to_client(datagram):
                self._inside.sendto(each, self._client)


class Disorder:
    """Sends each datagram that is chosen three times, and every two of them in the wrong order.

    One that has no successor within `HOLD_S` goes alone.
    """

    HOLD_S = 0.02

    def __init__(self, chosen: Callable[[bytes], bool], send: Callable[[bytes], None]) -> None:
        self._chosen = chosen
        self._send = send
        self._held: bytes | None = None
        self.count = 0
        """How many were chosen."""

    def __call__(self, datagram: bytes) -> Iterable[bytes]:
        """As `Change`."""
        if not self._chosen(datagram):
            return (datagram,)
        self.count += 1
        if self._held is None:
            self._held = datagram
            asyncio.get_running_loop().call_later(self.HOLD_S, self._release, datagram)
            return ()
        earlier, self._held = self._held, None
        return (datagram, earlier, datagram, earlier, earlier, datagram)

    def _release(self, datagram: bytes) -> None:
        if self._held is datagram:
            self._held = None
            for _ in range(3):
                self._send(datagram)


class _Side(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, Address], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if data:
            self._take(data, addr)


@asynccontextmanager
async def relay_to(server: Address) -> AsyncIterator[Relay]:
    """A relay, until the block ends."""
    relay = Relay(server)
    await relay.open()
    try:
        yield relay
    finally:
        relay.close()
