"""livekit-client loses its signal connection, and gets through what its scenarios simulate."""

from __future__ import annotations

import pytest

from tests.compat.livekit_js import JsClient, js_clients
from tests.compat.proxy import proxy_to
from tests.support.server import Server

ROOM = "lobby"
MODES = {"single": True, "dual": False}
RESUMES = ("node-failure", "disconnect-signal-on-resume", "disconnect-signal-on-resume-no-messages")
"""Scenarios of livekit-client that end with the same participant and the same media."""
REJOINS = ("full-reconnect", "leave-full-reconnect", "resume-reconnect")
"""Scenarios that end with a new participant."""

pytestmark = [pytest.mark.browser, pytest.mark.slow]


async def meet(alice: JsClient, bob: JsClient, single: bool, url: str) -> None:
    """Both are in the room; alice publishes, bob hears her."""
    await alice.join(ROOM, singlePeerConnection=single, url=url)
    await bob.join(ROOM, singlePeerConnection=single)
    await alice.me("setMicrophoneEnabled(true)")
    await alice.me("setCameraEnabled(true, { resolution: { width: 320, height: 180 } })")
    await bob.hears("alice")
    await bob.sees("alice")


async def reconnected(client: JsClient, times: int = 1) -> None:
    """Wait until the client has come back that often."""
    await client.until(f"client.seen(livekit.RoomEvent.Reconnected).length === {times}")


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_a_lost_socket_is_resumed(server: Server, single: bool) -> None:
    async with (
        proxy_to(server.host, server.http_port) as proxy,
        js_clients(server, "alice", "bob", "eve") as (alice, bob, eve),
    ):
        await meet(alice, bob, single, f"ws://127.0.0.1:{proxy.port}")
        before = await alice.do("client.room.localParticipant.sid")
        proxy.cut()
        await reconnected(alice)
        for times, scenario in enumerate(RESUMES, 2):
            await alice.do(f"client.room.simulateScenario('{scenario}')")
            await reconnected(alice, times)
            frames = (await bob.do("client.received('alice', 'camera')"))["frames"]
            await bob.until(
                f"(async () => (await client.received('alice', 'camera')).frames > {frames} + 10)()"
            )
        assert await alice.do("client.room.localParticipant.sid") == before
        assert not await bob.do("client.seen(livekit.RoomEvent.ParticipantDisconnected).length")
        await eve.join(ROOM, singlePeerConnection=single)
        await eve.me("setMicrophoneEnabled(true)")
        await alice.hears("eve")
        await eve.sees("alice")
        await alice.me("publishData(new TextEncoder().encode('after'), { reliable: true })")
        await bob.seen("DataReceived", ["after", "alice", 0, ""])


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_a_full_reconnect_publishes_anew(server: Server, single: bool) -> None:
    async with js_clients(server, "alice", "bob") as (alice, bob):
        await meet(alice, bob, single, server.ws_url)
        before = await alice.do("client.room.localParticipant.sid")
        for times, scenario in enumerate(REJOINS, 1):
            await alice.do(f"client.room.simulateScenario('{scenario}')")
            await reconnected(alice, times)
            await bob.sees("alice")
            await bob.hears("alice")
        assert await alice.do("client.room.localParticipant.sid") != before
        await alice.do("client.room.simulateScenario('server-leave')")
        await alice.until("client.seen(livekit.RoomEvent.Disconnected).length")
        await bob.seen("ParticipantDisconnected", "alice")
