"""More of what LiveKit's Python client can do, as it is on PyPI."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from livekit import api, rtc

from tests.compat.livekit_client import MODES, Picture, Tone, clients, hears, sees
from tests.support.server import API_KEY, API_SECRET, Server, running_server

ROOM = "features"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The HMAC key is")]


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_pictures_and_sound_go_both_ways(server: Server, single: bool) -> None:
    async with clients(server, "alice", "bob", single=single) as pair:
        senders = [(Tone(), Picture(320, 180)) for _ in pair]
        for client, (tone, picture) in zip(pair, senders, strict=True):
            await client.connect(ROOM)
            await tone.publish(client)
            await picture.publish(client)
        for client, other in zip(pair, ("bob", "alice"), strict=True):
            assert await hears(await client.track_of(other))
            assert await sees(await client.track_of(other, rtc.TrackKind.KIND_VIDEO))
        for tone, picture in senders:
            await tone.stop()
            await picture.stop()


async def test_who_may_have_a_track(server: Server) -> None:
    async with clients(server, "alice", "bob", "eve", single=True) as (alice, bob, eve):
        await alice.connect(ROOM)
        alice.me.set_track_subscription_permissions(
            allow_all_participants=False,
            participant_permissions=[
                rtc.ParticipantTrackPermission(participant_identity="bob", allow_all=True)
            ],
        )
        await bob.connect(ROOM)
        await eve.connect(ROOM)
        tone = Tone()
        await tone.publish(alice)
        assert await hears(await bob.track_of("alice"))
        assert not eve.seen("track_subscribed")
        alice.me.set_track_subscription_permissions(allow_all_participants=True)
        assert await hears(await eve.track_of("alice"))
        await tone.stop()


async def test_hidden_people_and_recorders(server: Server) -> None:
    async with clients(server, "alice", "ghost", "tape", single=True) as (alice, ghost, tape):
        await alice.connect(ROOM)
        await ghost.connect(ROOM, hidden=True)
        await ghost.me.publish_data(b"boo")
        packet, *_ = await alice.event("data_received")
        assert packet.participant is None, "nobody learns who sent it"
        await tape.connect(ROOM, hidden=True, recorder=True)
        await alice.until(lambda: alice.room.is_recording, "the recording")
        assert not alice.room.remote_participants
        assert "alice" in ghost.room.remote_participants
        assert alice.room.num_participants == 1


async def test_an_agent_is_one_and_transcribes(server: Server) -> None:
    secret = api.AccessToken(API_KEY, API_SECRET).with_identity("helper").with_kind("agent")
    grants = api.VideoGrants(room_join=True, room=ROOM, agent=True, can_update_own_metadata=True)
    async with clients(server, "alice", "helper", single=True) as (alice, helper):
        await alice.connect(ROOM)
        tone = Tone()
        track = await tone.publish(alice)
        await helper.room.connect(server.ws_url, secret.with_grants(grants).to_jwt())
        await alice.event("participant_connected")
        assert alice.room.remote_participants["helper"].kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        await helper.track_of("alice")
        words = rtc.TranscriptionSegment(
            id="1", text="hello", start_time=0, end_time=1, language="en", final=True
        )
        await helper.me.publish_transcription(
            rtc.Transcription(participant_identity="alice", track_sid=track.sid, segments=[words])
        )
        segments, who, _ = await alice.event("transcription_received")
        assert ([each.text for each in segments], who.identity) == (["hello"], "alice")
        await helper.me.publish_dtmf(code=5, digit="5")
        (tone_sent,) = await alice.event("sip_dtmf_received")
        assert (tone_sent.code, tone_sent.digit) == (5, "5")
        # Whoever is no agent may not speak for others.
        await alice.me.publish_transcription(
            rtc.Transcription(participant_identity="helper", track_sid=track.sid, segments=[words])
        )
        await alice.me.publish_data(b"afterwards")
        await helper.event("data_received")
        assert not helper.seen("transcription_received")
        await tone.stop()


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_data_tracks(server: Server, single: bool) -> None:
    async with clients(server, "alice", "bob", "eve", single=single) as (alice, bob, eve):
        await alice.connect(ROOM)
        await bob.connect(ROOM)
        await eve.connect(ROOM)
        track = await alice.me.publish_data_track(name="pose")
        with pytest.raises(rtc.participant.PublishDataTrackError):
            await alice.me.publish_data_track(name="pose")
        streams = []
        for client in (bob, eve):
            (seen,) = await client.event("data_track_published")
            assert (seen.info.name, seen.publisher_identity) == ("pose", "alice")
            streams.append(seen.subscribe())
        got = [asyncio.ensure_future(anext(stream)) for stream in streams]
        for number in range(400):
            if all(item.done() for item in got):
                break
            # A track without subscribers yet, or a lost packet: it is not sent again.
            track.try_push(rtc.DataTrackFrame(payload=b"at 1,2" * 500, user_timestamp=number))
            await asyncio.sleep(0.05)
        for frame in await asyncio.gather(*got):
            assert bytes(frame.payload) == b"at 1,2" * 500
            assert frame.user_timestamp is not None
        await track.unpublish()
        await bob.event("data_track_unpublished", lambda sid: sid == track.info.sid)
        for stream in streams:
            stream.close()


@pytest.mark.parametrize(
    "scenario",
    [
        rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT,
        rtc.SimulateScenarioKind.SIMULATE_NODE_FAILURE,
        rtc.SimulateScenarioKind.SIMULATE_MIGRATION,
        rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT,
        rtc.SimulateScenarioKind.SIMULATE_DISCONNECT_SIGNAL_ON_RESUME,
        rtc.SimulateScenarioKind.SIMULATE_FORCE_TCP,
    ],
    ids=lambda kind: rtc.SimulateScenarioKind.Name(kind).removeprefix("SIMULATE_").lower(),
)
async def test_scenarios_end_well(server: Server, scenario: rtc.SimulateScenarioKind.ValueType) -> None:
    async with clients(server, "alice", "bob", single=True) as (alice, bob):
        await alice.connect(ROOM)
        await bob.connect(ROOM)
        tone = Tone()
        await tone.publish(alice)
        await bob.track_of("alice")
        await alice.room.simulate_scenario(scenario)
        await alice.event("reconnected")
        people = bob.room.remote_participants
        await bob.until(lambda: "alice" in people and people["alice"].sid == alice.me.sid, "alice again")

        def current() -> rtc.Track | None:
            found = [track for track, _, who in bob.seen("track_subscribed") if who.sid == alice.me.sid]
            return found[-1] if found else None

        assert await hears(await bob.until(current, "her track"))
        await tone.stop()


async def test_scenarios_that_end_or_pretend(server: Server) -> None:
    async with clients(server, "alice", "bob", single=True) as (alice, bob):
        await alice.connect(ROOM)
        await bob.connect(ROOM)
        await alice.until(lambda: "bob" in alice.room.remote_participants)
        await alice.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_SPEAKER)
        await bob.event("active_speakers_changed", lambda who: "alice" in {item.identity for item in who})
        await alice.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_SERVER_LEAVE)
        await alice.event("disconnected")
        await bob.event("participant_disconnected")


async def test_permissions_are_changed_live(server: Server) -> None:
    async with (
        clients(server, "alice", "bob", single=True) as (alice, bob),
        api.LiveKitAPI(server.url, API_KEY, API_SECRET) as lk,
    ):
        await alice.connect(ROOM, canPublish=False, canSubscribe=False)
        await bob.connect(ROOM)
        tones = Tone(), Tone()
        await tones[1].publish(bob)
        with pytest.raises(rtc.participant.PublishTrackError):
            await tones[0].publish(alice)
        permission = api.ParticipantPermission(can_subscribe=True, can_publish=True, can_publish_data=True)
        await lk.room.update_participant(
            api.UpdateParticipantRequest(room=ROOM, identity="alice", permission=permission)
        )
        await alice.event("participant_permissions_changed")
        await alice.event("token_refreshed")
        await tones[0].publish(alice)
        assert await hears(await bob.track_of("alice"))
        track = await alice.track_of("bob")
        assert await hears(track)
        await lk.room.update_subscriptions(
            api.UpdateSubscriptionsRequest(
                room=ROOM, identity="alice", track_sids=[track.sid], subscribe=False
            )
        )
        path = f"/rooms/{ROOM}/participants/alice/stats"
        async with asyncio.timeout(20):
            while (await server.api("GET", path, room=ROOM))["subscribed"]:
                await asyncio.sleep(0.1)
        for tone in tones:
            await tone.stop()


async def test_a_room_by_its_preset(tmp_path: Path) -> None:
    small = "{small: {max_participants: 1, metadata: quiet, sync_streams: true}}"
    async with (
        running_server(tmp_path, room__presets=small, room__enabled_codecs="opus,vp8") as server,
        clients(server, "alice", "bob", single=True) as (alice, bob),
        api.LiveKitAPI(server.url, API_KEY, API_SECRET) as lk,
    ):
        token = api.AccessToken(API_KEY, API_SECRET).with_identity("alice").with_room_preset("small")
        grants = api.VideoGrants(room_join=True, room=ROOM)
        await alice.room.connect(server.ws_url, token.with_grants(grants).to_jwt())
        assert alice.room.metadata == "quiet"
        with pytest.raises(rtc.ConnectError, match="429"):
            await bob.connect(ROOM)
        made = await lk.room.create_room(api.CreateRoomRequest(name="other", room_preset="small"))
        assert (made.max_participants, made.metadata) == (1, "quiet")
        assert [codec.mime for codec in made.enabled_codecs] == ["video/VP8", "audio/opus"]
        with pytest.raises(api.TwirpError) as excinfo:
            await lk.room.create_room(api.CreateRoomRequest(name="third", room_preset="none"))
        assert excinfo.value.code == "invalid_argument"
        # What is not enabled is refused by itself; everything else goes on.
        picture, tone = Picture(320, 180), Tone()
        options = rtc.TrackPublishOptions(video_codec=rtc.VideoCodec.H264, simulcast=False)
        await alice.me.publish_track(picture.track, options)
        track = await tone.publish(alice)
        await alice.me.publish_data(b"still here")
        async with asyncio.timeout(20):
            who = api.RoomParticipantIdentity(room=ROOM, identity="alice")
            while [item.sid for item in (await lk.room.get_participant(who)).tracks] != [track.sid]:
                await asyncio.sleep(0.1)
        assert not alice.seen("reconnecting")
        await picture.stop()
        await tone.stop()


async def test_pictures_are_held_back_where_the_room_says_so(server: Server) -> None:
    delay_ms = 600
    async with (
        clients(server, "alice", "bob", "eve", single=True) as (alice, bob, eve),
        api.LiveKitAPI(server.url, API_KEY, API_SECRET) as lk,
    ):
        await lk.room.create_room(api.CreateRoomRequest(name="calm", min_playout_delay=delay_ms))
        eve.single = False
        await alice.connect("calm")
        picture = Picture(320, 180)
        await picture.publish(alice)
        for client in (bob, eve):
            await client.connect("calm")
            track = await client.track_of("alice", rtc.TrackKind.KIND_VIDEO)
            assert await sees(track, frames=30)

            async def held_s(track: rtc.Track = track) -> float:
                inbound = [
                    item.inbound_rtp.inbound
                    for item in await track.get_stats()
                    if item.HasField("inbound_rtp")
                ]
                return max(
                    item.jitter_buffer_delay / max(1, item.jitter_buffer_emitted_count) for item in inbound
                )

            assert await held_s() > delay_ms / 1000 / 2
        await picture.stop()
