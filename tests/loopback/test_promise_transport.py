"""Our transport beside a WebSocket's on the same bad network: what one lost packet does to the others."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.support.emulator import Network, emulated_network
from tests.support.needs import need_netns
from tests.support.server import ROOT, Server, running_server

pytestmark = [pytest.mark.netns, pytest.mark.slow]
FRAME_S = 0.02
FRAME = struct.Struct("!d92x")  # send time, then as many bytes as the load test's audio has
MEASURED_S = 8
RTT_S = 0.1
WAY = f"delay_ms={RTT_S * 500:.0f}"
LOSSY = "loss=0.025"  # each way, so that 5 % of what goes up and down again is lost
BEHIND_S = 0.04
"""How much later than without loss the slowest percent of ours may be."""


@asynccontextmanager
async def websocket_relay(host: str) -> AsyncIterator[int]:
    """Gives every frame of one to all others; its port."""
    members: set[ServerConnection] = set()

    async def handle(member: ServerConnection) -> None:
        members.add(member)
        try:
            async for frame in member:
                for other in members - {member}:
                    await other.send(frame)
        finally:
            members.discard(member)

    async with serve(handle, host, 0, compression=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def websocket_p99_s(network: Network, port: int) -> float:
    """The same frames over TCP: p99 of the time from one client through the relay to the other."""
    space = network.space

    def dial() -> Any:
        inside = space.inside(lambda: socket.create_connection((space.host_ip, port), timeout=10))
        return connect(f"ws://{space.host_ip}:{port}", sock=inside, compression=None)

    delays: list[float] = []
    async with dial() as speaker, dial() as listener:

        async def listen() -> None:
            while True:
                frame = await listener.recv()
                delays.append(time.monotonic() - FRAME.unpack(frame)[0])

        listening = asyncio.create_task(listen())
        begun = time.monotonic()
        for number in range(round(MEASURED_S / FRAME_S)):
            await asyncio.sleep(begun + number * FRAME_S - time.monotonic())
            await speaker.send(FRAME.pack(time.monotonic()))
        await asyncio.sleep(1)
        listening.cancel()
    assert len(delays) > 40 * MEASURED_S
    return statistics.quantiles(delays, n=100)[98]


async def sfu_report(network: Network, server: Server) -> dict[str, Any]:
    """One speaker and one listener in the namespace; what the load test says."""
    program = [sys.executable, "-m", "sfu", "load-test", "--json", "--url", server.ws_url]
    process = await asyncio.create_subprocess_exec(
        *network.space.command(*program, "--duration", str(MEASURED_S)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    report: dict[str, Any] = json.loads(output)
    assert report["tracks_received"] == 1, report
    return report


async def test_promise_03_a_lost_packet_holds_up_no_other_as_a_websocket_does(tmp_path: Path) -> None:
    need_netns()
    found: dict[str, tuple[float, float]] = {}
    async with (
        emulated_network(5) as network,
        websocket_relay(network.space.host_ip) as port,
        running_server(tmp_path, host=network.space.host_ip) as server,
    ):
        for name, way in (("clean", WAY), ("lossy", f"{WAY} {LOSSY}")):
            await network.up(way)
            await network.down(way)
            report, tcp_s = await asyncio.gather(sfu_report(network, server), websocket_p99_s(network, port))
            found[name] = (report["latency_us"]["p99"] / 1e6, tcp_s)
        # What was lost is lost, within the dice's reach, and nothing waited for it.
        assert 0 < report["loss_ratio"] < 0.12
    (clean_s, clean_tcp_s), (lossy_s, lossy_tcp_s) = found["clean"], found["lossy"]
    assert lossy_s <= clean_s + BEHIND_S, found
    assert lossy_tcp_s >= clean_tcp_s + RTT_S, found
