"""Data tracks of native clients, beside LiveKit's, on a whole control plane with a virtual clock."""

from __future__ import annotations

import json
from typing import Any

import pytest
from livekit.protocol import rtc

from sfu.core.ids import Identity
from sfu.dataplane.commands import RemoveDataTrack, SetDataTrack
from sfu.participants.permissions import Grant
from sfu.telemetry.metrics import Metrics
from signaling.auth import Token
from signaling.native import messages, values
from signaling.native.dialect import NativeContext, NativeDialect
from tests.support.domain import World, run
from tests.unit.livekit.support import Wire
from tests.unit.transport.support import data, session


class Native:
    """One client: what it was sent, and what it sends."""

    def __init__(self, world: World, identity: str, **grant: Any) -> None:
        self.world = world
        self.frames: list[Any] = []
        context = NativeContext(
            service=world.service,
            clock=world.clock,
            metrics=Metrics("test"),
            server=values.ServerInfo(version="1", node="local"),
            ping_interval_s=10,
            ping_timeout_s=15,
        )
        claims = Grant(room=world.room, room_join=True, **grant)
        token = Token("devkey", Identity(identity), claims, world.clock.wall() + 3600)
        self.dialect = NativeDialect(context, token, self)
        self.say(type="join", protocol=1, offer=session(data("0")))

    # As `Outgoing`.

    def send(self, frame: bytes) -> None:
        self.frames.append(messages.SERVER_MESSAGE.validate_json(frame))

    def close(self, code: int, reason: str) -> None:
        raise AssertionError((code, reason))

    # As a client.

    def say(self, **message: Any) -> None:
        run(self.dialect.handle_frame(json.dumps(message)))
        self.world.settle()

    def last(self, kind: str) -> Any:
        return [frame for frame in self.frames if frame.type == kind][-1]

    def publish(self, number: int = 1, name: str = "pose") -> Any:
        self.say(type="publish_data_track", request_id=7, number=number, name=name)
        return self.last("data_track_published").track


@pytest.fixture
def ada() -> Native:
    return Native(World(), "ada")


def test_one_is_published_seen_wanted_and_ended(ada: Native) -> None:
    bob = Native(ada.world, "bob")
    track = ada.publish()
    answer = ada.last("data_track_published")
    assert (answer.request_id, answer.number, track.name) == (7, 1, "pose")
    (seen,) = bob.last("participants").updated
    assert seen.data_tracks == (track,)
    bob.say(type="subscribe_data_tracks", track_ids=[track.id, "DTR_none"])
    (got,) = bob.last("data_tracks").tracks
    assert (got.track_id, got.identity, got.name) == (track.id, "ada", "pose")
    route = ada.world.plane.sent(SetDataTrack)[-1]
    assert (route.handle, route.subscribed_as, len(route.subscribers)) == (1, got.number, 1)
    bob.say(type="subscribe_data_tracks", track_ids=[track.id], subscribe=False)
    assert bob.last("data_tracks").tracks == ()
    ada.say(type="unpublish_data_track", number=1)
    assert ada.world.plane.sent(RemoveDataTrack)
    assert bob.last("participants").updated[0].data_tracks == ()


def test_livekits_clients_get_them_and_give_theirs(ada: Native) -> None:
    alice = Wire(ada.world, "alice").join()
    track = ada.publish()
    (shown,) = (item for item in alice.last("update").participants if item.identity == "ada")
    assert [(item.sid, item.name) for item in shown.data_tracks] == [(track.id, "pose")]
    alice.ask(
        update_data_subscription=rtc.UpdateDataSubscription(
            updates=[rtc.UpdateDataSubscription.Update(track_sid=track.id, subscribe=True)]
        )
    )
    (handle,) = alice.last("data_track_subscriber_handles").sub_handles.values()
    assert (handle.track_sid, handle.publisher_identity) == (track.id, "ada")
    alice.ask(publish_data_track_request=rtc.PublishDataTrackRequest(pub_handle=3, name="theirs"))
    theirs = alice.last("publish_data_track_response").info
    ada.say(type="subscribe_data_tracks", track_ids=[theirs.sid])
    assert [item.name for item in ada.last("data_tracks").tracks] == ["theirs"]


def test_what_cannot_be_is_refused(ada: Native) -> None:
    ada.publish()
    for number, name in ((1, "other"), (2, "pose"), (2, ""), (2, "n" * 257)):
        before = len(ada.frames)
        ada.say(type="publish_data_track", request_id=8, number=number, name=name)
        assert ada.frames[before].type == "error"
    ada.say(type="unpublish_data_track", request_id=9, number=5)
    assert (ada.last("error").request_id, ada.last("error").code) == (9, "data_track")
    ada.say(type="publish_data_track", request_id=9, number=0, name="zero")
    assert ada.last("error").code == "bad_message"
    mute = Native(ada.world, "mute", can_publish_data=False)
    mute.say(type="publish_data_track", number=1, name="x")
    assert mute.last("error").code == "permission_denied"
