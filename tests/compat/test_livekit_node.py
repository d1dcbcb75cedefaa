"""LiveKit's packages for Node: @livekit/rtc-node in a room, livekit-server-sdk in front of the server API."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.compat.livekit_client import MODES, Tone, clients, hears
from tests.compat.livekit_js import JS
from tests.support.needs import need_node_modules
from tests.support.server import API_KEY, API_SECRET, Server, running_server

ROOM = "lobby"
TIMEOUT_S = 40.0

pytestmark = pytest.mark.slow


@asynccontextmanager
async def node(script: str, *arguments: str) -> AsyncIterator[Process]:
    """A script of tests/compat/js in a process of its own; it is gone when the block ends."""
    need_node_modules(JS)
    process = await asyncio.create_subprocess_exec(
        "node", script, *arguments, cwd=JS, stdin=PIPE, stdout=PIPE, limit=2**20
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def says(process: Process, what: str) -> Any:
    """The next line of that kind; others are passed over: the package logs JSON there too."""
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        while line := await process.stdout.readline():
            message = json.loads(line)
            if message.get("what") == what:
                return message["detail"]
    raise AssertionError(f"the script ended before it said {what}")


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_rtc_node_speaks_and_hears(server: Server, single: bool) -> None:
    mode = "single" if single else "dual"
    async with clients(server, "alice", single=single) as (alice,):
        await alice.connect(ROOM)
        async with node("rtc_node.mjs", server.ws_url, server.token(ROOM, "node"), mode) as process:
            assert await says(process, "connected") == "node"
            await says(process, "published")
            packet, *_ = await alice.event("data_received")
            assert (bytes(packet.data), packet.topic) == (b"from node", "chat")
            assert await hears(await alice.track_of("node"))
            await alice.me.publish_data(b"from python", topic="chat")
            assert await says(process, "data") == ["from python", "alice", "chat"]
            tone = Tone()
            await tone.publish(alice)
            assert await says(process, "heard") == "alice"
            assert process.stdin is not None
            process.stdin.close()
            await alice.event("participant_disconnected", lambda person: person.identity == "node")
            async with asyncio.timeout(TIMEOUT_S):
                assert await process.wait() == 0
            await tone.stop()


async def test_server_sdk_drives_the_room_service(tmp_path: Path) -> None:
    async with node("server_sdk.mjs", API_KEY, API_SECRET) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        async def told() -> Any:
            assert process.stdout is not None
            async with asyncio.timeout(TIMEOUT_S):
                return json.loads(await process.stdout.readline())

        async with asyncio.timeout(TIMEOUT_S):
            hook = (await process.stdout.readline()).decode().strip()
        async with (
            running_server(tmp_path, webhook__urls=hook) as server,
            clients(server, "alice", "bob", single=True) as (alice, bob),
        ):
            process.stdin.write(f"{server.url}\n".encode())
            await alice.connect(ROOM)
            await bob.connect(ROOM)
            tone = Tone()
            track = await tone.publish(alice)
            await bob.track_of("alice")
            process.stdin.write(b"\n")
            assert await told() == "muted"
            await bob.event("track_muted")
            process.stdin.write(b"\n")
            found = await told()
            packet, *_ = await bob.event("data_received")
            assert (bytes(packet.data), packet.topic) == (b"news", "t")
            await bob.event("track_unpublished", lambda publication, _: publication.sid == track.sid)
            await alice.event("disconnected")
            await bob.event("disconnected")
            await tone.stop()
    webhooks = [tuple(item) for item in found.pop("webhooks")]
    assert found == {
        "forged": len(webhooks),
        "made": 3,
        "rooms": [ROOM, "other"],
        "named": ["other"],
        "metadata": "about the room",
        "people": ["alice", "bob"],
        "muted": True,
        "unmuted": [412, "failed_precondition"],
        "changed": ["Alice L.", "about her", "guest", False],
        "moved": "alice",
        "missing": [404, "not_found"],
        "deleted": [404, "not_found"],
        "denied": [401, None],
    }
    names = [name for name, room, _ in webhooks if room == ROOM]
    assert names[0] == "room_started"
    assert names[-1] == "room_finished"
    assert ("participant_joined", ROOM, "alice") in webhooks
    assert ("track_published", ROOM, "alice") in webhooks
    assert ("participant_left", ROOM, "alice") in webhooks
