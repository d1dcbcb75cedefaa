"""Native and LiveKit clients in one room; end-to-end encryption; calls from the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest
from livekit import rtc

from sfu.agents import DataReceived, PcmSource, Room, TrackSubscribed
from tests.compat.livekit_client import LOUD, MODES, RATE, TONE_HZ, Picture, Tone, clients, hears, sees
from tests.support.server import Server

ROOM = "lobby"
TIMEOUT_S = 30.0

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_native_and_livekit_hear_each_other(server: Server, single: bool) -> None:
    async with (
        clients(server, "alice", single=single) as (alice,),
        Room.connect(server.ws_url, server.token(ROOM, "native")) as native,
    ):
        heard = asyncio.ensure_future(native.wait_for(TrackSubscribed, timeout_s=TIMEOUT_S))
        told = asyncio.ensure_future(native.wait_for(DataReceived, timeout_s=TIMEOUT_S))
        await alice.connect(ROOM)
        tone = Tone()
        await tone.publish(alice)
        track = (await heard).track
        async with asyncio.timeout(TIMEOUT_S):
            async for frame in track.audio():
                if np.abs(frame.data).max(initial=0) > LOUD:
                    break

        source = PcmSource()
        await native.publish_audio(source)
        wave = np.sin(2 * np.pi * TONE_HZ * np.arange(RATE) / RATE) * 12_000
        playing = asyncio.ensure_future(_play(source, wave.astype(np.int16)))
        assert await hears(await alice.track_of("native"))
        playing.cancel()

        await alice.me.publish_data(b"to the native one", topic="chat")
        message = await told
        assert (message.payload, message.topic, message.sender) == (b"to the native one", "chat", "alice")
        await native.send_data(b"to the other one", topic="chat")
        packet, *_ = await alice.event("data_received")
        assert (bytes(packet.data), packet.topic) == (b"to the other one", "chat")
        assert packet.participant.identity == "native"
        await tone.stop()


async def _play(source: PcmSource, second: np.ndarray) -> None:
    while True:
        await source.write(second.tobytes())


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_encrypted_sound_and_pictures_pass_untouched(server: Server, single: bool) -> None:
    async with clients(server, "alice", "bob", "eve", single=single) as (alice, bob, eve):
        for client, key in ((alice, b"secret"), (bob, b"secret"), (eve, b"another")):
            await client.connect(ROOM, e2ee_key=key)
        senders = [(Tone(), Picture(320, 180)) for _ in (alice, bob)]
        for client, (tone, picture) in zip((alice, bob), senders, strict=True):
            await tone.publish(client)
            await picture.publish(client)
        async with broken_into(await eve.track_of("alice", rtc.TrackKind.KIND_VIDEO)) as pictures:
            for client, other in ((alice, "bob"), (bob, "alice")):
                assert await hears(await client.track_of(other))
                assert await sees(await client.track_of(other, rtc.TrackKind.KIND_VIDEO))
            assert not pictures, "who has another key sees nothing"
        for identity in ("alice", "bob"):
            person = await server.api("GET", f"/rooms/{ROOM}/participants/{identity}", room=ROOM)
            assert [item["encryption"] for item in person["tracks"]] == ["gcm", "gcm"]
        await alice.me.publish_data(b"between us")
        packet, *_ = await bob.event("data_received")
        assert bytes(packet.data) == b"between us"
        assert not eve.seen("data_received"), "who has another key gets nothing out of it"
        for tone, picture in senders:
            await tone.stop()
            await picture.stop()


@asynccontextmanager
async def broken_into(track: rtc.Track) -> AsyncIterator[list[object]]:
    """Pictures that come out of a track meanwhile."""
    stream, found = rtc.VideoStream(track), list[object]()

    async def look() -> None:
        async for event in stream:
            found.append(event)

    looking = asyncio.ensure_future(look())
    try:
        yield found
    finally:
        looking.cancel()
        await stream.aclose()


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_the_server_calls_a_participant(server: Server, single: bool) -> None:
    async with (
        clients(server, "alice", single=single) as (alice,),
        httpx.AsyncClient(
            base_url=f"{server.url}/twirp/livekit.RoomService",
            headers={"Authorization": f"Bearer {server.admin_token(ROOM)}"},
            timeout=TIMEOUT_S,
        ) as http,
    ):
        await alice.connect(ROOM)

        @alice.me.register_rpc_method("double")  # type: ignore[arg-type]
        async def double(call: rtc.RpcInvocationData) -> str:
            return str(2 * int(call.payload))

        @alice.me.register_rpc_method("fail")  # type: ignore[arg-type]
        async def fail(call: rtc.RpcInvocationData) -> str:
            raise rtc.RpcError(2001, "no luck", "at all")

        async def call(method: str, **fields: object) -> httpx.Response:
            body = {"room": ROOM, "destination_identity": "alice", "method": method, **fields}
            return await http.post("/PerformRpc", json=body)

        await alice.until(lambda: alice.room.connection_state == rtc.ConnectionState.CONN_CONNECTED)
        async with asyncio.timeout(TIMEOUT_S):
            while (answer := await call("double", payload="21")).status_code == 412:
                await asyncio.sleep(0.1)  # its data channel is on its way
        assert (answer.status_code, answer.json()) == (200, {"payload": "42"})
        failed = await call("fail", payload="")
        assert failed.json()["meta"] == {
            "error_code": "2001",
            "error_message": "no luck",
            "error_data": "at all",
        }
        assert (await call("missing", payload="")).json()["meta"]["error_code"] == "1400"
        assert (await call("double", payload="x" * 20_000)).status_code == 400
        body = {"room": ROOM, "destination_identity": "nobody", "method": "double"}
        assert (await http.post("/PerformRpc", json=body)).status_code == 404
