"""LiveKit's Python client, as it is on PyPI, in both of its connection modes."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc

from tests.compat.livekit_client import MODES, Client, Picture, Tone, clients, hears, sees
from tests.support.server import Server

ROOM = "lobby"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
class TestBothModes:
    async def test_sound_goes_both_ways(self, server: Server, single: bool) -> None:
        async with clients(server, "alice", "bob", single=single) as (alice, bob):
            await alice.connect(ROOM)
            await bob.connect(ROOM)
            tones = [Tone(), Tone()]
            for tone, client in zip(tones, (alice, bob), strict=True):
                await tone.publish(client)
            assert await hears(await bob.track_of("alice"))
            assert await hears(await alice.track_of("bob"))
            await alice.event("local_track_subscribed")
            await bob.event("active_speakers_changed", lambda who: "alice" in {item.identity for item in who})
            for tone in tones:
                await tone.stop()

    async def test_a_late_comer_gets_what_is_there(self, server: Server, single: bool) -> None:
        async with clients(server, "alice", "bob", single=single) as (alice, bob):
            await alice.connect(ROOM)
            tone, picture = Tone(), Picture()
            await tone.publish(alice)
            await picture.publish(alice)
            await bob.connect(ROOM)
            assert await hears(await bob.track_of("alice"))
            assert await sees(await bob.track_of("alice", rtc.TrackKind.KIND_VIDEO))
            await tone.stop()
            await picture.stop()

    async def test_simulcast_pictures_arrive(self, server: Server, single: bool) -> None:
        async with clients(server, "alice", "bob", single=single) as (alice, bob):
            await alice.connect(ROOM)
            await bob.connect(ROOM)
            picture = Picture(1280, 720)
            published = await picture.publish(alice, simulcast=True)
            assert published.simulcasted
            assert await sees(await bob.track_of("alice", rtc.TrackKind.KIND_VIDEO))
            await picture.stop()

    async def test_tracks_come_and_go(self, server: Server, single: bool) -> None:
        async with clients(server, "alice", "bob", single=single) as (alice, bob):
            await alice.connect(ROOM)
            await bob.connect(ROOM)
            for _ in range(3):
                tone = Tone()
                published = await tone.publish(alice)
                sid = published.sid
                await bob.event("track_subscribed", lambda _, found, __, sid=sid: found.sid == sid)
                await alice.me.unpublish_track(published.sid)
                await bob.event("track_unpublished", lambda publication, _, sid=sid: publication.sid == sid)
                await tone.stop()
            tone = Tone()
            published = await tone.publish(alice)
            values = await bob.event("track_subscribed", lambda _, found, __: found.sid == published.sid)
            assert await hears(values[0])
            await tone.stop()

    async def test_mute_is_seen(self, server: Server, single: bool) -> None:
        async with clients(server, "alice", "bob", single=single) as (alice, bob):
            await alice.connect(ROOM)
            await bob.connect(ROOM)
            tone = Tone()
            await tone.publish(alice)
            await bob.track_of("alice")
            tone.track.mute()
            await bob.event("track_muted", lambda who, _: who.identity == "alice")
            tone.track.unmute()
            await bob.event("track_unmuted", lambda who, _: who.identity == "alice")
            await tone.stop()

    async def test_manual_subscription(self, server: Server, single: bool) -> None:
        async with clients(server, "alice", "bob", single=single) as (alice, bob):
            await alice.connect(ROOM)
            await bob.connect(ROOM, auto_subscribe=False)
            tone = Tone()
            await tone.publish(alice)
            publication, _ = await bob.event("track_published")
            assert not bob.seen("track_subscribed")
            publication.set_subscribed(True)
            assert await hears(await bob.track_of("alice"))
            publication.set_subscribed(False)
            await bob.event("track_unsubscribed")
            await tone.stop()

    async def test_data_attributes_name_and_metadata(self, server: Server, single: bool) -> None:
        async with clients(server, "alice", "bob", "eve", single=single) as (alice, bob, eve):
            await alice.connect(ROOM, canUpdateOwnMetadata=True)
            await bob.connect(ROOM)
            await eve.connect(ROOM)
            await alice.me.publish_data(b"to all", topic="chat")
            await alice.me.publish_data(b"to bob", topic="chat", destination_identities=["bob"])

            async def arrives(text: bytes, client: Client) -> None:
                packet, *_ = await client.event("data_received", lambda packet: bytes(packet.data) == text)
                assert packet.participant is not None
                assert packet.participant.identity == "alice"

            for text, client in ((b"to all", bob), (b"to all", eve), (b"to bob", bob)):
                await arrives(text, client)
            # Only now: a lossy message is not kept for those whose channels are still opening.
            await alice.me.publish_data(b"fast", reliable=False)
            await arrives(b"fast", eve)
            assert b"to bob" not in [bytes(packet.data) for packet, *_ in eve.seen("data_received")]
            await alice.me.set_attributes({"hand": "up"})
            await alice.me.set_name("Alice L.")
            await alice.me.set_metadata("about me")
            await bob.event("participant_attributes_changed", lambda changed, _: changed == {"hand": "up"})
            seen = bob.room.remote_participants["alice"]
            await bob.until(lambda: (seen.name, seen.metadata) == ("Alice L.", "about me"))

    async def test_rpc_and_streams(self, server: Server, single: bool) -> None:
        async with clients(server, "alice", "bob", single=single) as (alice, bob):
            await alice.connect(ROOM)
            await bob.connect(ROOM)
            await alice.until(lambda: "bob" in alice.room.remote_participants)

            @bob.me.register_rpc_method("greet")  # type: ignore[arg-type]
            async def greet(call: rtc.RpcInvocationData) -> str:
                return f"{call.caller_identity} says {call.payload}"

            answer = await alice.me.perform_rpc(destination_identity="bob", method="greet", payload="hi")
            assert answer == "alice says hi"
            with pytest.raises(rtc.RpcError) as excinfo:
                await alice.me.perform_rpc(destination_identity="bob", method="nothing", payload="")
            assert excinfo.value.code == 1400

            loop = asyncio.get_running_loop()
            text: asyncio.Future[str] = loop.create_future()
            blob: asyncio.Future[bytes] = loop.create_future()

            async def read_text(reader: rtc.TextStreamReader) -> None:
                text.set_result(await reader.read_all())

            async def read_bytes(reader: rtc.ByteStreamReader) -> None:
                blob.set_result(b"".join([chunk async for chunk in reader]))

            tasks = []
            bob.room.register_text_stream_handler(
                "story", lambda reader, _: tasks.append(loop.create_task(read_text(reader)))
            )
            bob.room.register_byte_stream_handler(
                "file", lambda reader, _: tasks.append(loop.create_task(read_bytes(reader)))
            )
            story, content = "once " * 20_000, bytes(range(256)) * 300
            await alice.me.send_text(story, topic="story")
            writer = await alice.me.stream_bytes("file", topic="file")
            await writer.write(content)
            await writer.aclose()
            async with asyncio.timeout(20):
                assert await text == story
                assert await blob == content

    async def test_the_same_identity_again_replaces_the_first(self, server: Server, single: bool) -> None:
        async with clients(server, "alice", "bob", "alice", single=single) as (first, bob, second):
            await first.connect(ROOM)
            await bob.connect(ROOM)
            await second.connect(ROOM)
            reason, *_ = await first.event("disconnected")
            assert reason == rtc.DisconnectReason.DUPLICATE_IDENTITY
            people = bob.room.remote_participants
            await bob.until(lambda: "alice" in people and people["alice"].sid == second.me.sid)
            await second.until(lambda: "bob" in second.room.remote_participants)

    async def test_permissions_of_the_token_hold(self, server: Server, single: bool) -> None:
        async with clients(server, "alice", "bob", single=single) as (alice, bob):
            await alice.connect(ROOM, canPublish=True)
            await bob.connect(ROOM, canSubscribe=False, canPublishData=False)
            tone = Tone()
            await tone.publish(alice)
            await bob.event("track_published")
            await asyncio.sleep(1)
            assert not bob.seen("track_subscribed")
            await tone.stop()
