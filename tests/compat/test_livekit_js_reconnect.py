"""livekit-client loses its signal connection, and gets through what its scenarios simulate."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.compat.livekit_js import JsClient, js_clients
from tests.compat.proxy import media_path, proxy_to
from tests.support.server import Server, running_server

ROOM = "lobby"
MODES = {"single": True, "dual": False}
RESUMES = ("node-failure", "disconnect-signal-on-resume", "disconnect-signal-on-resume-no-messages")
"""Scenarios of livekit-client that end with the same participant and the same media."""
REJOINS = ("full-reconnect", "leave-full-reconnect", "resume-reconnect", "force-tcp")
"""Scenarios that end with a new participant. The last asks for a way that is not there, then joins anew."""
UNSEEN = ("leave-full-reconnect",)
"""Those after which nobody was seen to leave. In the others the client says goodbye by itself."""
MESSAGES = ["before", "one", "two", "three", "after"]

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
        gone = "client.seen(livekit.RoomEvent.ParticipantDisconnected).length"
        for times, scenario in enumerate(REJOINS, 1):
            before_it = await bob.do(gone)
            await alice.do(f"client.room.simulateScenario('{scenario}')")
            await reconnected(alice, times)
            await bob.sees("alice")
            await bob.hears("alice")
            if scenario in UNSEEN:
                assert await bob.do(gone) == before_it
        assert await alice.do("client.room.localParticipant.sid") != before
        await alice.do("client.room.simulateScenario('server-leave')")
        await alice.until("client.seen(livekit.RoomEvent.Disconnected).length")
        await bob.seen("ParticipantDisconnected", "alice")


async def send(client: JsClient, *messages: str) -> None:
    """Reliable ones, in this order; those that wait for a connection are not waited for."""
    for message in messages:
        await client.do(
            "void client.room.localParticipant.publishData("
            f"new TextEncoder().encode('{message}'), {{ reliable: true }})"
        )


async def test_a_cut_media_path_is_restored(tmp_path: Path) -> None:
    """Both modes at once: the server waits a while before it gives a path up."""
    settings: dict[str, Any] = {
        "rtc__bind": "127.0.0.1",
        "rtc__announce": "127.0.0.2",
        "rtc__announce_loopback": "false",
    }
    async with (
        running_server(tmp_path, **settings) as server,
        media_path("127.0.0.2", (server.host, server.udp_port)) as path,
        js_clients(server, "alice", "bob", "alice", "bob") as pages,
    ):
        pairs = {mode: (pages[2 * at], pages[2 * at + 1]) for at, mode in enumerate(MODES)}
        sids = {}
        for mode, (alice, bob) in pairs.items():
            for client in (bob, alice):
                sids[client] = await client.join(mode, singlePeerConnection=MODES[mode])
            await alice.me("setMicrophoneEnabled(true)")
            await bob.hears("alice")
            await send(alice, MESSAGES[0])
            await bob.until("client.seen(livekit.RoomEvent.DataReceived).length === 1")
        path.blocked = True
        await asyncio.gather(
            *(
                client.until(
                    "[livekit.RoomEvent.SignalReconnecting, livekit.RoomEvent.Reconnecting]"
                    ".some((name) => client.seen(name).length)"
                )
                for client in pages
            )
        )
        for alice, _ in pairs.values():
            await send(alice, *MESSAGES[1:-1])
        path.blocked = False
        for client in pages:
            await client.until("client.seen(livekit.RoomEvent.Reconnected).length")
            assert await client.do("client.room.localParticipant.sid") == sids[client], "it is the same stay"
        for alice, bob in pairs.values():
            await send(alice, MESSAGES[-1])
            arrived = "client.seen(livekit.RoomEvent.DataReceived)"
            await bob.until(f"{arrived}.some((item) => item[0] === '{MESSAGES[-1]}')")
            assert [item[0] for item in await bob.do(arrived)] == MESSAGES
            energy = (await bob.do("client.received('alice', 'microphone')"))["energy"]
            await bob.until(
                f"(async () => (await client.received('alice', 'microphone')).energy > {energy} + 0.001)()"
            )
            assert not await bob.do("client.seen(livekit.RoomEvent.ParticipantDisconnected).length")
