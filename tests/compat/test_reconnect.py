"""LiveKit's Python client loses its WebSocket and comes back."""

from __future__ import annotations

import pytest

from tests.compat.livekit_client import MODES, Tone, clients, hears
from tests.compat.proxy import proxy_to
from tests.support.server import Server

ROOM = "lobby"

pytestmark = pytest.mark.slow


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
        await alice.me.publish_data(b"after")
        await bob.event("data_received", lambda packet: bytes(packet.data) == b"after")
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
