"""Data tracks of LiveKit's clients."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol import models, rtc

from sfu.core.ids import Identity, RoomName
from sfu.dataplane.commands import RemoveDataTrack, SetDataTrack
from sfu.participants.permissions import Permissions
from tests.support.domain import World
from tests.unit.livekit.support import Wire

Reason = rtc.RequestResponse.Reason


@pytest.fixture
def world() -> World:
    return World()


def publish(wire: Wire, handle: int = 1, name: str = "pose", **fields: Any) -> Wire:
    request = rtc.PublishDataTrackRequest(pub_handle=handle, name=name, **fields)
    return wire.ask(publish_data_track_request=request)


def want(wire: Wire, sid: str, subscribe: bool = True) -> Wire:
    update = rtc.UpdateDataSubscription.Update(track_sid=sid, subscribe=subscribe)
    return wire.ask(update_data_subscription=rtc.UpdateDataSubscription(updates=[update]))


def routes(world: World) -> list[SetDataTrack | RemoveDataTrack]:
    return [item for item in world.plane.commands if isinstance(item, SetDataTrack | RemoveDataTrack)]


class TestPublish:
    def test_it_is_answered_and_shown(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
        publish(alice, 7, "pose", schema=models.DataTrackSchemaId(name="pose.v1"))
        info = alice.last("publish_data_track_response").info
        assert (info.pub_handle, info.name, info.schema.name) == (7, "pose", "pose.v1")
        assert info.sid.startswith("DTR_")
        (seen,) = bob.last("update").participants
        assert list(seen.data_tracks) == [info]
        late = Wire(world, "late").join()
        others = {item.identity: item for item in late.last("join").other_participants}
        assert list(others["alice"].data_tracks) == [info]

    @pytest.mark.parametrize(
        ("handle", "name", "reason"),
        [
            (0, "x", Reason.INVALID_HANDLE),
            (65_536, "x", Reason.INVALID_HANDLE),
            (2, "", Reason.INVALID_NAME),
            (2, "n" * 257, Reason.INVALID_NAME),
            (1, "x", Reason.DUPLICATE_HANDLE),
            (2, "pose", Reason.DUPLICATE_NAME),
        ],
    )
    def test_what_cannot_be(self, world: World, handle: int, name: str, reason: int) -> None:
        alice = publish(Wire(world, "alice").join())
        publish(alice, handle, name)
        refusal = alice.last("request_response")
        assert refusal.reason == reason
        assert refusal.publish_data_track.pub_handle == handle
        assert len(alice.all("publish_data_track_response")) == 1

    def test_limits(self, world: World) -> None:
        alice = Wire(world, "alice").join()
        for number in range(1, 22):
            publish(alice, number, f"track {number}")
        assert alice.last("request_response").reason == Reason.LIMIT_EXCEEDED
        publish(alice, 30, "y", schema=models.DataTrackSchemaId(name="s" * 5000))
        assert alice.last("request_response").reason == Reason.INVALID_REQUEST

    def test_it_needs_the_permission(self, world: World) -> None:
        eve = publish(Wire(world, "eve", can_publish_data=False).join())
        assert eve.last("request_response").reason == Reason.NOT_ALLOWED

    def test_it_ends(self, world: World) -> None:
        alice, bob = publish(Wire(world, "alice").join()), Wire(world, "bob").join()
        alice.ask(unpublish_data_track_request=rtc.UnpublishDataTrackRequest(pub_handle=1))
        assert alice.last("unpublish_data_track_response").info.name == "pose"
        assert not bob.last("update").participants[0].data_tracks
        alice.ask(unpublish_data_track_request=rtc.UnpublishDataTrackRequest(pub_handle=1))
        assert alice.last("request_response").reason == Reason.INVALID_HANDLE
        assert isinstance(routes(world)[-1], RemoveDataTrack)


class TestSubscribe:
    def test_numbers_stand_for_tracks(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
        info = publish(alice).last("publish_data_track_response").info
        assert not bob.all("data_track_subscriber_handles")
        want(want(bob, info.sid), "DTR_missing")
        ((number, track),) = bob.last("data_track_subscriber_handles").sub_handles.items()
        assert (track.track_sid, track.publisher_identity) == (info.sid, "alice")
        route = routes(world)[-1]
        assert isinstance(route, SetDataTrack)
        assert (route.handle, route.subscribed_as, len(route.subscribers)) == (1, number, 1)
        want(bob, info.sid, False)
        assert not bob.last("data_track_subscriber_handles").sub_handles
        route = routes(world)[-1]
        assert isinstance(route, SetDataTrack)
        assert not route.subscribers

    def test_unasked_where_the_client_wants_that(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join(auto_data_tracks=True)
        info = publish(alice).last("publish_data_track_response").info
        late = Wire(world, "late").join(auto_data_tracks=True)
        for wire in (bob, late):
            (track,) = wire.last("data_track_subscriber_handles").sub_handles.values()
            assert track.track_sid == info.sid
        publish(bob, 1, "other")
        sids = {item.track_sid for item in late.last("data_track_subscriber_handles").sub_handles.values()}
        assert len(sids) == 2

    def test_a_new_track_is_routed_once_whoever_wants_it(self, world: World) -> None:
        alice = Wire(world, "alice").join()
        others = [Wire(world, f"listener {number}").join(auto_data_tracks=True) for number in range(5)]
        before = len(routes(world))
        publish(alice)
        (route,) = routes(world)[before:]
        assert isinstance(route, SetDataTrack)
        assert len(route.subscribers) == 5
        assert all(len(wire.last("data_track_subscriber_handles").sub_handles) == 1 for wire in others)

    def test_the_publisher_leaves(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join(auto_data_tracks=True)
        publish(alice)
        alice.ask(leave=rtc.LeaveRequest())
        assert not bob.last("data_track_subscriber_handles").sub_handles

    def test_the_subscriber_leaves_or_is_moved(self, world: World) -> None:
        alice = publish(Wire(world, "alice").join())
        for name in ("bob", "eve"):
            Wire(world, name).join(auto_data_tracks=True)
        world.service.remove_participant(world.room, Identity("bob"))
        world.service.move_participant(world.room, Identity("eve"), RoomName("side"))
        route = routes(world)[-1]
        assert isinstance(route, SetDataTrack)
        assert not route.subscribers
        assert alice.closed is None

    def test_the_permission_is_withdrawn(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join(auto_data_tracks=True)
        publish(alice)
        world.service.update_participant(
            world.room, Identity("alice"), permissions=Permissions(can_publish_data=False)
        )
        world.settle()
        assert not bob.last("data_track_subscriber_handles").sub_handles
        assert not world.service.get_participant(world.room, Identity("alice")).data_tracks

    def test_a_resume_tells_the_numbers_again(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join(auto_data_tracks=True)
        info = publish(alice).last("publish_data_track_response").info
        bob.dialect.handle_disconnect()
        again = Wire(world, "bob").enter(resume=True, participant=bob.last("join").participant.sid)
        assert again.last("data_track_subscriber_handles").sub_handles
        again.ask(sync_state=rtc.SyncState(publish_data_tracks=[rtc.PublishDataTrackResponse(info=info)]))
        assert again.last("leave").action == rtc.LeaveRequest.Action.RECONNECT, "that is not bob's"
