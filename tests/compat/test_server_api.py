"""`livekit-api`, as it is on PyPI, drives the whole RoomService."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from livekit import api, rtc

from tests.compat.livekit_client import MODES, Tone, clients, hears
from tests.support.server import API_KEY, API_SECRET, Server

ROOM = "lobby"

# The development secret is short on purpose.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The HMAC key is")]


@pytest.fixture
async def lk(server: Server) -> AsyncIterator[api.LiveKitAPI]:
    async with api.LiveKitAPI(server.url, API_KEY, API_SECRET) as client:
        yield client


async def test_rooms(lk: api.LiveKitAPI) -> None:
    made = await lk.room.create_room(
        api.CreateRoomRequest(
            name=ROOM, empty_timeout=60, departure_timeout=7, max_participants=3, metadata="m"
        )
    )
    assert made.sid.startswith("RM_")
    assert (made.empty_timeout, made.departure_timeout, made.max_participants) == (60, 7, 3)
    again = await lk.room.create_room(api.CreateRoomRequest(name=ROOM, max_participants=5))
    assert (again.sid, again.max_participants, again.metadata) == (made.sid, 5, "m")
    await lk.room.create_room(api.CreateRoomRequest(name="other"))
    listed = await lk.room.list_rooms(api.ListRoomsRequest())
    assert {room.name for room in listed.rooms} == {ROOM, "other"}
    named = await lk.room.list_rooms(api.ListRoomsRequest(names=["other", "missing"]))
    assert [room.name for room in named.rooms] == ["other"]
    changed = await lk.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=ROOM, metadata="new"))
    assert changed.metadata == "new"
    await lk.room.delete_room(api.DeleteRoomRequest(room=ROOM))
    with pytest.raises(api.TwirpError) as excinfo:
        await lk.room.delete_room(api.DeleteRoomRequest(room=ROOM))
    assert (excinfo.value.code, excinfo.value.status) == ("not_found", 404)
    assert excinfo.value.message == "requested room does not exist"


async def test_participants(server: Server, lk: api.LiveKitAPI) -> None:
    async with clients(server, "alice", "bob", single=True) as (alice, bob):
        await alice.connect(ROOM)
        await bob.connect(ROOM)
        tone = Tone()
        track = await tone.publish(alice)
        await bob.track_of("alice")
        who = api.RoomParticipantIdentity(room=ROOM, identity="alice")
        listed = await lk.room.list_participants(api.ListParticipantsRequest(room=ROOM))
        assert {person.identity for person in listed.participants} == {"alice", "bob"}
        found = await lk.room.get_participant(who)
        assert [item.sid for item in found.tracks] == [track.sid]

        muted = await lk.room.mute_published_track(
            api.MuteRoomTrackRequest(room=ROOM, identity="alice", track_sid=track.sid, muted=True)
        )
        assert muted.track.muted
        await bob.event("track_muted")
        with pytest.raises(api.TwirpError) as excinfo:
            await lk.room.mute_published_track(
                api.MuteRoomTrackRequest(room=ROOM, identity="alice", track_sid=track.sid, muted=False)
            )
        assert excinfo.value.code == "failed_precondition"

        permission = api.ParticipantPermission(can_subscribe=True, can_publish=False, can_publish_data=True)
        updated = await lk.room.update_participant(
            api.UpdateParticipantRequest(
                room=ROOM,
                identity="alice",
                name="Alice L.",
                metadata="about",
                attributes={"role": "guest"},
                permission=permission,
            )
        )
        assert (updated.name, updated.metadata, dict(updated.attributes)) == (
            "Alice L.",
            "about",
            {"role": "guest"},
        )
        await bob.event("track_unpublished", lambda publication, _: publication.sid == track.sid)

        await lk.room.send_data(
            api.SendDataRequest(room=ROOM, data=b"news", topic="t", destination_identities=["bob"])
        )
        packet, *_ = await bob.event("data_received")
        assert (bytes(packet.data), packet.topic, packet.participant) == (b"news", "t", None)

        await lk.room.remove_participant(who)
        reason, *_ = await alice.event("disconnected")
        assert reason == rtc.DisconnectReason.PARTICIPANT_REMOVED
        await bob.event("participant_disconnected")
        with pytest.raises(api.TwirpError) as excinfo:
            await lk.room.get_participant(who)
        assert (excinfo.value.code, excinfo.value.message) == ("not_found", "participant does not exist")

        await lk.room.delete_room(api.DeleteRoomRequest(room=ROOM))
        reason, *_ = await bob.event("disconnected")
        assert reason == rtc.DisconnectReason.ROOM_DELETED
        await tone.stop()


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_moved_to_another_room(server: Server, lk: api.LiveKitAPI, single: bool) -> None:
    async with clients(server, "alice", "bob", "eve", single=single) as (alice, bob, eve):
        await alice.connect("here")
        await bob.connect("here")
        await eve.connect("there")
        tones = Tone(), Tone()
        await tones[0].publish(alice)
        await tones[1].publish(eve)
        assert await hears(await bob.track_of("alice"))
        await lk.room.move_participant(
            api.MoveParticipantRequest(room="here", identity="alice", destination_room="there")
        )
        await alice.event("moved")
        assert alice.room.name == "there"
        await bob.event("participant_disconnected")
        assert await hears(await eve.track_of("alice"))
        assert await hears(await alice.track_of("eve"))
        await eve.event("active_speakers_changed", lambda who: "alice" in {item.identity for item in who})
        await alice.me.publish_data(b"hello there")
        await eve.event("data_received", lambda packet: bytes(packet.data) == b"hello there")
        assert not bob.seen("data_received")
        assert not alice.seen("reconnecting")
        await alice.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT)
        await alice.event("reconnected")
        assert "eve" in alice.room.remote_participants, "and it comes back to where it was moved"
        for tone in tones:
            await tone.stop()


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_forwarded_to_another_room(server: Server, lk: api.LiveKitAPI, single: bool) -> None:
    async with clients(server, "alice", "bob", "eve", single=single) as (alice, bob, eve):
        await alice.connect("stage")
        await bob.connect("stage")
        await eve.connect("overflow")
        tone = Tone()
        await tone.publish(alice)
        forward = api.ForwardParticipantRequest(room="stage", identity="alice", destination_room="overflow")
        await lk.room.forward_participant(forward)
        assert await hears(await eve.track_of("alice"))
        assert await hears(await bob.track_of("alice"))
        await alice.room.disconnect()
        await eve.event("participant_disconnected")
        with pytest.raises(api.TwirpError) as excinfo:
            await lk.room.forward_participant(forward)
        assert excinfo.value.code == "not_found"
        forward.destination_room = "stage"
        with pytest.raises(api.TwirpError) as excinfo:
            await lk.room.forward_participant(forward)
        assert excinfo.value.code in ("invalid_argument", "not_found")
        await tone.stop()


async def test_what_others_serve_is_refused_clearly(lk: api.LiveKitAPI) -> None:
    for call in (
        lk.egress.list_egress(api.ListEgressRequest()),
        lk.ingress.list_ingress(api.ListIngressRequest()),
        lk.sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest()),
    ):
        with pytest.raises(api.TwirpError) as excinfo:
            await call
        assert (excinfo.value.code, excinfo.value.status) == ("unimplemented", 501)


async def test_a_wrong_secret_opens_nothing(server: Server) -> None:
    async with api.LiveKitAPI(server.url, API_KEY, "wrong") as client:
        with pytest.raises(api.TwirpError) as excinfo:
            await client.room.list_rooms(api.ListRoomsRequest())
        assert excinfo.value.status == 401
