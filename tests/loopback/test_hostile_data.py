"""More data than a reader takes: bounded memory, nobody else waits, the reader is cut off or misses some."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from tests.support.callers import Caller, joined
from tests.support.ground import Ground, drops
from tests.support.relay import Relay, is_dtls, relay_to

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOM = "flooded"
SIZE = 48_000
"""Bytes of a message: near the longest."""
AT_ONCE = 4
UNREAD = 8
"""Messages that a reader may be behind: less than the server keeps for it, however busy the machine is."""
PATIENCE_S = 0.2
REQUESTS_LOGGED = 10_000
"""Each request of the server API is a line, as it should be."""
WAIT_S = 20
MEMORY_MB = 24.0
"""One reader's buffers are 1 MB; the rest is requests under way and the allocator's slack."""


class Trickle:
    """Lets one in fifty of the server's records through: a reader that is alive and far too slow."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, datagram: bytes) -> Iterable[bytes]:
        if not is_dtls(datagram):
            return (datagram,)
        self._count += 1
        return (datagram,) if self._count % 50 == 0 else ()


class Flood:
    """Sends to everyone in the room by the server API, as fast as one of them reads, until it is stopped."""

    def __init__(self, ground: Ground, fast: Caller, *, reliable: bool) -> None:
        self.sent = 0
        self._ground = ground
        self._fast = fast
        self._body = {"payload": base64.b64encode(bytes(SIZE)).decode(), "reliable": reliable}
        self._stopped = False

    async def run(self) -> None:
        """Several requests at once, each after the other."""
        headers = {"Authorization": f"Bearer {self._ground.server.admin_token(ROOM)}"}
        url = f"{self._ground.server.url}/api/v1/rooms/{ROOM}/data"
        async with httpx.AsyncClient(headers=headers) as client:

            async def one() -> None:
                while not self._stopped:
                    (await client.post(url, json=self._body)).raise_for_status()
                    self.sent += 1
                    with suppress(TimeoutError):  # what was lost on the way does not come
                        async with asyncio.timeout(PATIENCE_S):
                            await self._read()

            await asyncio.gather(*(one() for _ in range(AT_ONCE)))

    async def _read(self) -> None:
        while self.sent - await self._fast.data_messages() > UNREAD:
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """After the requests under way."""
        self._stopped = True


@asynccontextmanager
async def fast_and_slow(ground: Ground, name: str) -> AsyncIterator[tuple[Caller, Caller, Relay]]:
    """Two readers with data channels; the slow one's relay still lets everything through."""
    url = ground.server.ws_url
    async with (
        relay_to(ground.address) as relay,
        joined(ground.callers, url, ground.token(f"fast-{name}", ROOM), data=True) as fast,
        joined(ground.callers, url, ground.token(f"slow-{name}", ROOM), via=relay.address, data=True) as slow,
    ):
        await fast.has_data()
        await slow.has_data()
        yield fast, slow, relay


async def test_a_reader_too_slow_for_reliable_messages_is_cut_off(ground: Ground) -> None:
    async with fast_and_slow(ground, "reliable") as (fast, slow, relay):
        flood = Flood(ground, fast, reliable=True)
        async with ground.undisturbed(
            "data_queue_full", at_least=10, memory_mb=MEMORY_MB, log_lines=REQUESTS_LOGGED
        ):
            relay.to_client = Trickle()
            flooding = asyncio.create_task(flood.run())
            leave = await slow.hear("leave")
            flood.stop()
            await flooding
        assert (leave["code"], leave["reconnect"]) == ("media_lost", "rejoin")
        assert fast.closed_because is None
        async with asyncio.timeout(10):
            while await fast.data_messages() < flood.sent:
                await asyncio.sleep(0.05)


async def test_a_reader_too_slow_for_lossy_messages_misses_some(ground: Ground) -> None:
    async with fast_and_slow(ground, "lossy") as (fast, slow, relay):
        flood = Flood(ground, fast, reliable=False)
        async with ground.undisturbed(
            "data_queue_full", at_least=10, memory_mb=MEMORY_MB, log_lines=REQUESTS_LOGGED
        ):
            relay.to_client = Trickle()
            before = (await drops(ground.server))["data_queue_full"]
            flooding = asyncio.create_task(flood.run())
            async with asyncio.timeout(WAIT_S):
                while (await drops(ground.server))["data_queue_full"] < before + 50:
                    await asyncio.sleep(0.05)
            flood.stop()
            await flooding
        assert slow.closed_because is None, "losing is what lossy means"
        assert await slow.data_messages() < flood.sent
        async with asyncio.timeout(WAIT_S):
            while await fast.data_messages() <= flood.sent // 2:
                await asyncio.sleep(0.05)
