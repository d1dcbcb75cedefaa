"""livekit-client in Chromium: two pages in a room, over one peer connection and over two."""

from __future__ import annotations

import pytest

from tests.compat.livekit_js import js_clients
from tests.support.server import Server

ROOM = "lobby"
MODES = {"single": True, "dual": False}

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_two_pages_hold_a_conference(server: Server, single: bool) -> None:
    async with js_clients(server, "alice", "bob") as (alice, bob):
        for client in (alice, bob):
            await client.join(ROOM, singlePeerConnection=single)
        await alice.me("enableCameraAndMicrophone()")
        await bob.me("setCameraEnabled(true)")
        await bob.me("setMicrophoneEnabled(true, undefined, { forceStereo: true, dtx: false })")
        for client, other in ((alice, "bob"), (bob, "alice")):
            await client.hears(other)
            await client.sees(other)
        for client in (alice, bob):
            await client.seen("LocalTrackSubscribed", "microphone")
        for client, formats in ((alice, [True, False]), (bob, [False, True])):
            (stream,) = await client.do("client.sent('microphone')")
            asked = stream["format"].split(";")
            assert [word in asked for word in ("usedtx=1", "stereo=1")] == formats, asked
        played = (await alice.do("client.received('bob', 'microphone')"))["format"].split(";")
        assert "stereo=1" in played
        await bob.until("client.seen(livekit.RoomEvent.ActiveSpeakersChanged).flat().includes('alice')")

        await alice.me("setMicrophoneEnabled(false)")
        await bob.seen("TrackMuted", ["alice", "microphone"])
        await alice.me("setMicrophoneEnabled(true)")
        await bob.seen("TrackUnmuted", ["alice", "microphone"])

        await alice.me("setScreenShareEnabled(true)")
        await bob.sees("alice", "screen_share")
        await alice.me("setScreenShareEnabled(false)")
        await bob.seen("TrackUnsubscribed", ["alice", "screen_share"])
        await bob.sees("alice")
        assert (await alice.do("client.room.engine.pcManager.mode") == "publisher-only") == single


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_messages_calls_and_streams(server: Server, single: bool) -> None:
    async with js_clients(server, "alice", "bob", "eve") as clients:
        alice, bob, eve = clients
        for client in clients:
            await client.join(ROOM, singlePeerConnection=single)
        for client in clients:
            await client.until("client.room.remoteParticipants.size === 2")
        await bob.do(
            "client.room.registerRpcMethod('double', async (call) => String(2 * Number(call.payload)))"
        )
        await bob.do(
            "client.room.registerTextStreamHandler('story', async (reader, from) => {"
            " client.story = [from.identity, await reader.readAll()]; })"
        )
        await bob.do(
            "client.room.registerByteStreamHandler('file', async (reader, from) => {"
            " const size = (await reader.readAll()).reduce((sum, part) => sum + part.length, 0);"
            " client.file = [from.identity, reader.info.name, size]; })"
        )

        for options, kind in (
            ("{ reliable: true, topic: 'chat' }", 0),
            ("{ reliable: false, topic: 'chat' }", 1),
        ):
            await alice.me(f"publishData(new TextEncoder().encode('to all {kind}'), {options})")
            for client in (bob, eve):
                await client.seen("DataReceived", [f"to all {kind}", "alice", kind, "chat"])
        await alice.me(
            "publishData(new TextEncoder().encode('to bob'),"
            " { reliable: true, destinationIdentities: ['bob'] })"
        )
        await bob.seen("DataReceived", ["to bob", "alice", 0, ""])
        call = "performRpc({ destinationIdentity: 'bob', method: %r, payload: '21' })"
        assert await alice.me(call % "double") == "42"
        assert await alice.me((call % "missing") + ".catch((error) => error.code)") == 1400
        await alice.me("sendText('x'.repeat(40_000), { topic: 'story' })")
        await bob.until("client.story?.[1].length === 40_000 && client.story[0] === 'alice'")
        await alice.me("sendFile(new File([new Uint8Array(50_000)], 'zeros.bin'), { topic: 'file' })")
        await bob.until("client.file?.join() === 'alice,zeros.bin,50000'")
        assert not await eve.do(
            "client.seen(livekit.RoomEvent.DataReceived).some(([text]) => text === 'to bob')"
        )

        await alice.me("setAttributes({ mood: 'good' })")
        await bob.seen("ParticipantAttributesChanged", ["alice", {"mood": "good"}])
        await alice.me("setMetadata('about alice')")
        await bob.seen("ParticipantMetadataChanged", ["alice", "about alice"])
        await alice.me("setName('Alice A.')")
        await bob.seen("ParticipantNameChanged", ["alice", "Alice A."])
        await alice.do("client.room.disconnect()")
        await bob.seen("ParticipantDisconnected", "alice")
