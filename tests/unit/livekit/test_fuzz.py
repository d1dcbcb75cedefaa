"""Bytes that are nearly requests: cut, flipped, spliced. Each is refused or does something lawful."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from livekit.protocol import models, room, rtc

from sfu.core.errors import AirsideError
from sfu.core.ids import Identity, RoomName
from sfu.participants.permissions import Grant
from signaling.auth import Token
from signaling.livekit.room_service import RoomService
from signaling.livekit.twirp import TwirpError
from tests.support.domain import World, run
from tests.unit.livekit.support import Wire, context


def seeds(track: str) -> list[bytes]:
    """One good request of every kind."""
    requests = [
        rtc.SignalRequest(add_track=rtc.AddTrackRequest(cid="cam", name="cam", type=models.TrackType.VIDEO)),
        rtc.SignalRequest(mute=rtc.MuteTrackRequest(sid=track, muted=True)),
        rtc.SignalRequest(subscription=rtc.UpdateSubscription(track_sids=[track], subscribe=True)),
        rtc.SignalRequest(track_setting=rtc.UpdateTrackSettings(track_sids=[track], width=320, height=180)),
        rtc.SignalRequest(update_metadata=rtc.UpdateParticipantMetadata(name="n", attributes={"a": "b"})),
        rtc.SignalRequest(
            subscription_permission=rtc.SubscriptionPermission(
                track_permissions=[rtc.TrackPermission(participant_identity="bob", track_sids=[track])]
            )
        ),
        rtc.SignalRequest(sync_state=rtc.SyncState(track_sids_disabled=[track])),
        rtc.SignalRequest(update_video_track=rtc.UpdateLocalVideoTrack(track_sid=track, width=1, height=1)),
        rtc.SignalRequest(publish_data_track_request=rtc.PublishDataTrackRequest(pub_handle=1, name="d")),
        rtc.SignalRequest(simulate=rtc.SimulateScenario(speaker_update=1)),
        rtc.SignalRequest(ping=5),
    ]
    return [request.SerializeToString() for request in requests]


def mutated(raw: bytes, source: random.Random) -> bytes:
    """A few bytes of it are others, or missing, or there twice."""
    data = bytearray(raw)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(data) + 1)
        match source.randrange(4):
            case 0 if data:
                data[at % len(data)] ^= 1 << source.randrange(8)
            case 1:
                del data[at:]
            case 2:
                data[at:at] = bytes(source.randrange(256) for _ in range(source.randint(1, 8)))
            case _:
                data += data[at:]
    return bytes(data)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_requests(caplog: pytest.LogCaptureFixture, seed: int) -> None:
    source, world = random.Random(seed), World()
    alice, bob = Wire(world, "alice", can_update_own_metadata=True).join(), Wire(world, "bob").join()
    track = bob.publish()
    known = seeds(track.sid)
    for _ in range(20):
        frame = mutated(source.choice(known), source)
        run(alice.dialect.handle_frame(frame))
    world.settle()
    assert bob.closed is None
    (kept,) = world.service.get_participant(world.room, bob.token.identity).tracks
    assert (kept.sid, kept.muted) == (track.sid, False)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR], "a bug of ours"


ALL = Grant(
    room=RoomName("lobby"),
    room_create=True,
    room_list=True,
    room_admin=True,
    destination_room=RoomName("side"),
)
CALLS: dict[str, Any] = {
    "CreateRoom": room.CreateRoomRequest(name="lobby", max_participants=3, metadata="m"),
    "ListRooms": room.ListRoomsRequest(names=["lobby"]),
    "ListParticipants": room.ListParticipantsRequest(room="lobby"),
    "GetParticipant": room.RoomParticipantIdentity(room="lobby", identity="bob"),
    "MutePublishedTrack": room.MuteRoomTrackRequest(room="lobby", identity="bob", track_sid="TR", muted=True),
    "UpdateParticipant": room.UpdateParticipantRequest(
        room="lobby", identity="bob", name="B", permission=models.ParticipantPermission(can_publish=True)
    ),
    "UpdateSubscriptions": room.UpdateSubscriptionsRequest(room="lobby", identity="bob", track_sids=["TR"]),
    "SendData": room.SendDataRequest(room="lobby", data=b"x", destination_identities=["bob"]),
    "UpdateRoomMetadata": room.UpdateRoomMetadataRequest(room="lobby", metadata="n"),
    "MoveParticipant": room.MoveParticipantRequest(room="lobby", identity="bob", destination_room="side"),
    "ForwardParticipant": room.ForwardParticipantRequest(
        room="lobby", identity="bob", destination_room="side"
    ),
    "RemoveParticipant": room.RoomParticipantIdentity(room="lobby", identity="bob"),
    "DeleteRoom": room.DeleteRoomRequest(room="lobby"),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_of_the_server_api(name: str) -> None:
    source, world = random.Random(name), World()
    Wire(world, "bob").join().publish()
    service = RoomService(context(world), world.settings)
    method = service.methods()["livekit.RoomService", name]
    token = Token("devkey", Identity(""), ALL, world.clock.wall() + 60)
    for _ in range(150):
        try:
            request = method.request.FromString(mutated(CALLS[name].SerializeToString(), source))
        except DecodeError:
            continue
        try:
            run(method.handle(request, token))  # type: ignore[arg-type]
        except (AirsideError, TwirpError):
            continue
    world.settle()
