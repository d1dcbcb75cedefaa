"""LiveKit's Python client loses its WebSocket or its media path and comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.compat.livekit_client import MODES, Client, Tone, clients, hears
from tests.compat.proxy import media_path, proxy_to
from tests.support.server import Server, running_server

ROOM = "lobby"

pytestmark = pytest.mark.slow


MESSAGES = [b"one", b"two", b"three", b"after"]


async def send_in_turn(client: Client) -> None:
    """All of the messages but the last, without waiting for a network."""
    for message in MESSAGES[:-1]:
        await client.me.publish_data(message, reliable=True)


async def has_all(client: Client) -> None:
    """Each of the messages came once, in order."""
    await client.event("data_received", lambda packet: bytes(packet.data) == MESSAGES[-1])
    assert [bytes(packet.data) for packet, *_ in client.seen("data_received")] == MESSAGES


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_a_lost_socket_is_resumed(server: Server, single: bool) -> None:
    async with (
        proxy_to(server.host, server.http_port) as proxy,
        clients(server, "alice", "bob", "eve", single=single) as (alice, bob, eve),
    ):
        alice.url = f"ws://127.0.0.1:{proxy.port}"
        await alice.connect(ROOM, canUpdateOwnMetadata=True)
        await bob.connect(ROOM)
        tone = Tone()
        await tone.publish(alice)
        heard = await bob.track_of("alice")
        sid = alice.me.sid
        assert await hears(heard)

        proxy.cut()
        await alice.event("reconnecting")
        messages = asyncio.ensure_future(send_in_turn(alice))
        await eve.connect(ROOM)
        await alice.event("reconnected")

        assert alice.me.sid == sid, "it is the same stay"
        assert not bob.seen("participant_disconnected")
        assert await hears(heard), "sound goes on"
        await alice.until(lambda: "eve" in alice.room.remote_participants)
        await alice.me.set_attributes({"back": "yes"})
        await bob.event("participant_attributes_changed")
        second = Tone()
        await second.publish(eve)
        assert await hears(await alice.track_of("eve")), "new tracks arrive"
        await messages
        await alice.me.publish_data(b"after")
        await has_all(bob)
        await tone.stop()
        await second.stop()


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_a_session_that_is_gone_is_joined_anew(server: Server, single: bool) -> None:
    async with (
        proxy_to(server.host, server.http_port) as proxy,
        clients(server, "alice", "bob", single=single) as (alice, bob),
    ):
        alice.url = f"ws://127.0.0.1:{proxy.port}"
        await alice.connect(ROOM)
        await bob.connect(ROOM)
        tone = Tone()
        await tone.publish(alice)
        await bob.track_of("alice")
        sid = alice.me.sid
        proxy.blocked = True
        proxy.cut()
        await server.api("DELETE", f"/rooms/{ROOM}/participants/alice", room=ROOM)
        proxy.blocked = False
        await alice.event("reconnected")
        people = bob.room.remote_participants
        await bob.until(lambda: "alice" in people and people["alice"].sid != sid)

        def again() -> object:
            found = [item for item in bob.seen("track_subscribed") if item[2].sid != sid]
            return found[-1][0] if found else None

        assert await hears(await bob.until(again))
        await tone.stop()


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
    ):

        async def in_mode(mode: str, single: bool) -> None:
            async with clients(server, "alice", "bob", single=single) as (alice, bob):
                await alice.connect(mode)
                await bob.connect(mode)
                tone = Tone()
                await tone.publish(alice)
                heard = await bob.track_of("alice")
                assert await hears(heard)
                sid = alice.me.sid
                ready.release()
                await blocked.wait()
                messages = asyncio.ensure_future(send_in_turn(alice))
                await alice.event("reconnecting")
                cut.release()
                for client in (alice, bob):
                    await client.connected()
                await messages
                assert await hears(heard), "sound goes on"
                assert alice.me.sid == sid, "it is the same stay"
                await alice.me.publish_data(b"after")
                await has_all(bob)
                await tone.stop()

        ready, cut, blocked = asyncio.Semaphore(0), asyncio.Semaphore(0), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for mode, single in MODES.items():
                group.create_task(in_mode(mode, single))
            for _ in MODES:
                await ready.acquire()
            path.blocked = True
            blocked.set()
            for _ in MODES:
                await cut.acquire()
            path.blocked = False
