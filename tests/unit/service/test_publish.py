import pytest

from sfu.core.codecs import MediaKind, TrackSource
from sfu.core.ids import TrackSid, WorkerId
from sfu.dataplane.commands import AddTrack, RemoveTrack, SetTrackMuted
from sfu.dataplane.events import LayerStarted, LayerStopped
from sfu.participants.requests import TrackRequest
from sfu.participants.sink import TrackMutedByServer, TrackUnpublishedByServer
from sfu.tracks.layers import LayerInfo
from tests.support.domain import ROOM, Client, World, grant, raises_code
from tests.unit.transport.support import video

CAMERA, MICROPHONE, SCREEN = TrackSource.CAMERA, TrackSource.MICROPHONE, TrackSource.SCREEN_SHARE


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Client:
    return world.client("alice").receive(1).join()


def test_entry_matches_by_mid_or_by_the_clients_own_name(world: World, alice: Client) -> None:
    by_mid = alice.send_in(MICROPHONE, "m")
    by_cid = alice.send_in(CAMERA, "c", cid="browser-track")
    published = alice.offer(by_mid, by_cid)
    assert {(item.mid, item.cid, item.track.name) for item in published} == {
        ("1", None, "m"),
        ("2", "browser-track", "c"),
    }


def test_section_without_entry_is_refused_by_name(world: World, alice: Client) -> None:
    alice.send_in(CAMERA)
    before = list(world.plane.commands)
    assert "section 1" in raises_code("track_undeclared", alice.offer)
    assert world.plane.commands == before


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([TrackRequest(source=CAMERA, mid="9")], "track_section"),
        ([TrackRequest(source=CAMERA, cid="nowhere")], "track_section"),
        ([TrackRequest(source=CAMERA, mid="0")], "track_section"),
        ([TrackRequest(source=CAMERA)], "invalid_request"),
        ([TrackRequest(source=CAMERA, mid="1"), TrackRequest(source=SCREEN, mid="1")], "track_section"),
        ([TrackRequest(source=MICROPHONE, mid="1")], "invalid_request"),
        ([TrackRequest(source=CAMERA, mid="1", name="n" * 300)], "limit_exceeded"),
        ([TrackRequest(source=CAMERA, mid="1", layers=(LayerInfo(),) * 17)], "limit_exceeded"),
    ],
)
def test_entry_that_fits_nothing(world: World, alice: Client, entries: list[TrackRequest], code: str) -> None:
    alice.send_in(CAMERA)
    raises_code(code, lambda: alice.offer(*entries))
    assert alice.debug["tracks"] == []


def test_permissions_are_checked_per_source(world: World) -> None:
    only_audio = grant(can_publish_sources=frozenset({MICROPHONE}))
    alice = world.client("alice").receive(1).join(grant=only_audio)
    alice.publish(MICROPHONE)
    entry = alice.send_in(CAMERA)
    assert "camera" in raises_code("permission_denied", lambda: alice.offer(entry))
    bob = world.client("bob")
    raises_code("permission_denied", lambda: bob.join(bob.send_in(CAMERA), grant=grant(can_publish=False)))
    carol = world.client("carol")
    raises_code("permission_denied", lambda: carol.join(carol.send_in(CAMERA), grant=grant(hidden=True)))


def test_track_limit(world: World) -> None:
    world = World(limits={"tracks_per_participant": 2})
    alice = world.client("alice")
    alice.join(alice.send_in(CAMERA), alice.send_in(MICROPHONE))
    entry = alice.send_in(SCREEN)
    raises_code("limit_exceeded", lambda: alice.offer(entry))
    assert len(alice.debug["tracks"]) == 2


def test_section_and_size_limits() -> None:
    world = World(limits={"sections": 3, "sdp_bytes": 4000})
    alice = world.client("alice").receive(4)
    raises_code("limit_exceeded", alice.join)
    alice.sections = alice.sections[:3]
    alice.join()
    raises_code("limit_exceeded", lambda: alice.session.offer("v=0\r\n" * 2000))
    raises_code("limit_exceeded", lambda: alice.session.offer("é" * 3000))


def test_simulcast_layers_get_their_heights_by_rid(world: World, alice: Client) -> None:
    rids = ["a=rid:q send", "a=rid:h send", "a=rid:f send", "a=simulcast:send q;h;f"]
    alice.sections.append(video("1", *rids, direction="sendonly"))
    layers = (LayerInfo("f", 1280, 720), LayerInfo("q", 320, 180), LayerInfo("h", 640, 360))
    (item,) = alice.offer(TrackRequest(source=CAMERA, mid="1", layers=layers))
    assert [(layer.rid, layer.height_px) for layer in item.track.layers] == [
        ("q", 180),
        ("h", 360),
        ("f", 720),
    ]
    assert item.track.simulcast
    assert (item.track.width_px, item.track.height_px) == (1280, 720)
    assert [layer.height_px for layer in world.plane.sent(AddTrack)[0].layers] == [180, 360, 720]


def test_heights_are_halved_where_only_the_highest_is_known(world: World, alice: Client) -> None:
    rids = ["a=rid:q send", "a=rid:h send", "a=rid:f send", "a=simulcast:send q;h;f"]
    alice.sections.append(video("1", *rids, direction="sendonly"))
    (item,) = alice.offer(TrackRequest(source=CAMERA, mid="1", width_px=1280, height_px=720))
    assert [layer.height_px for layer in item.track.layers] == [180, 360, 720]


def test_section_that_stops_sending_ends_its_track(world: World, alice: Client) -> None:
    bob = world.client("bob").receive(0, 1).join()
    alice.publish(CAMERA, "cam")
    assert list(bob.inbox.people["alice"]) == ["cam"]
    assert list(bob.carried().values()) == ["cam"]
    alice.set_direction("1", "inactive")
    alice.offer()
    assert not bob.inbox.people["alice"]
    assert bob.inbox.bound == {}
    assert world.plane.tracks == {}
    alice.set_direction("1", "sendonly")
    raises_code("track_undeclared", alice.offer)
    alice.offer(TrackRequest(source=CAMERA, mid="1", name="again"))
    assert list(bob.carried().values()) == ["again"]


def test_repeating_an_entry_changes_nothing(world: World, alice: Client) -> None:
    entry = alice.send_in(CAMERA)
    (first,) = alice.offer(entry)
    assert alice.offer(entry) == ()
    assert alice.debug["tracks"] == [first.track.sid]


def test_another_track_in_the_same_section_replaces_the_first(world: World, alice: Client) -> None:
    entry = alice.send_in(CAMERA)
    (first,) = alice.offer(entry)
    (second,) = alice.offer(TrackRequest(source=SCREEN, mid="1", cid="other"))
    assert second.track.sid != first.track.sid
    assert alice.debug["tracks"] == [second.track.sid]
    assert len(world.plane.tracks) == 1


def test_unpublish_keeps_the_next_offer_possible(world: World, alice: Client) -> None:
    sid = alice.publish(CAMERA)
    alice.session.unpublish(sid)
    assert [command.track for command in world.plane.sent(RemoveTrack)]
    # The client still sends there, and says nothing about it: the answer turns that down.
    result = alice.session.offer(alice.offer_sdp, ())
    assert result.tracks == ()
    assert "a=inactive" in result.answer_sdp
    alice.publish(MICROPHONE)
    (again,) = alice.offer(TrackRequest(source=CAMERA, mid="1", name="again"))
    assert again.track.name == "again"
    raises_code("track_not_found", lambda: alice.session.unpublish(sid))


def test_mute_is_told_to_all_and_to_the_plane(world: World, alice: Client) -> None:
    bob = world.client("bob").join()
    sid = alice.publish(MICROPHONE)
    alice.session.mute(sid, True)
    alice.session.mute(sid, True)
    world.settle()
    assert [command.muted for command in world.plane.sent(SetTrackMuted)] == [True]
    assert bob.inbox.people["alice"]
    info = world.service.get_participant(ROOM, alice.identity)
    assert info.tracks[0].muted
    raises_code("track_not_found", lambda: bob.session.mute(sid, True))
    raises_code("track_not_found", lambda: alice.session.mute(TrackSid("TR_nobody"), True))


def test_mute_by_an_administrator_holds_even_if_the_client_does_not_obey(world: World, alice: Client) -> None:
    bob = world.client("bob").receive(1).join()
    sid = alice.publish(MICROPHONE)
    world.service.mute_track(ROOM, alice.identity, sid, True)
    world.settle()
    assert alice.inbox.of(TrackMutedByServer) == [TrackMutedByServer(sid, True)]
    assert bob.wish("0").paused
    alice.session.mute(sid, False)
    world.settle()
    assert not bob.wish("0").paused
    raises_code("track_not_found", lambda: world.service.mute_track(ROOM, bob.identity, sid, True))


def test_revoked_permission_ends_tracks_at_once(world: World, alice: Client) -> None:
    bob = world.client("bob").receive(1, 1).join()
    camera, microphone = alice.publish(CAMERA), alice.publish(MICROPHONE)
    permissions = grant(can_publish_sources=frozenset({MICROPHONE})).permissions()
    world.service.update_participant(ROOM, alice.identity, permissions=permissions)
    world.settle()
    assert [event.track for event in alice.inbox.of(TrackUnpublishedByServer)] == [camera]
    assert alice.debug["tracks"] == [microphone]
    assert bob.inbox.people["alice"] == ("microphone",)
    assert list(bob.inbox.bound.values()) == [microphone]
    # An offer that was on its way still describes the section as sending: no harm.
    assert alice.offer() == ()
    raises_code("permission_denied", lambda: alice.offer(TrackRequest(source=CAMERA, mid="1")))


def test_revoked_during_publish(world: World, alice: Client) -> None:
    entry = alice.send_in(CAMERA)
    permissions = grant(can_publish=False).permissions()
    world.service.update_participant(ROOM, alice.identity, permissions=permissions)
    raises_code("permission_denied", lambda: alice.offer(entry))
    assert world.plane.tracks == {}


def test_layers_and_codec_become_known_from_packets(world: World, alice: Client) -> None:
    bob = world.client("bob").join()
    alice.publish(CAMERA)
    (track,) = world.plane.tracks
    world.plane.emit(LayerStarted(WorkerId(0), track, 0, 0))
    world.settle()
    info = world.service.get_participant(ROOM, alice.identity).tracks[0]
    assert info.layers[0].active
    version = world.service.get_participant(ROOM, alice.identity).version
    world.plane.emit(LayerStarted(WorkerId(0), track, 0, 0), LayerStarted(WorkerId(0), track, 7, 0))
    assert world.service.get_participant(ROOM, alice.identity).version == version
    world.plane.emit(LayerStopped(WorkerId(0), track, 0))
    assert not world.service.get_participant(ROOM, alice.identity).tracks[0].layers[0].active
    assert bob.inbox.people["alice"] == ("camera",)


def test_news_about_an_ended_track_is_passed_over(world: World, alice: Client) -> None:
    alice.session.unpublish(alice.publish(CAMERA))
    (command,) = world.plane.sent(AddTrack)
    world.plane.emit(LayerStarted(WorkerId(0), command.track, 0, 0))
    assert alice.debug["tracks"] == []


def test_many_cycles_leave_sections_and_ids_bounded(world: World, alice: Client) -> None:
    alice.connect()
    bob = world.client("bob").receive(1, 1).join().connect()
    entry = alice.send_in(CAMERA)
    for _ in range(200):
        (item,) = alice.offer(entry)
        assert bob.inbox.bound == {"1": item.track.sid}
        alice.set_direction("1", "inactive")
        alice.offer()
        assert bob.inbox.bound == {}
        alice.set_direction("1", "sendonly")
    held = world.service.debug_state()["held"]
    assert held == {"transports": 2, "tracks": 0, "slots": 3, "sessions": 2}
    assert len(world.plane.slots) == 3
    assert bob.debug["wishes"] == 0
    assert world.observer.tracks == 0
    assert world.observer.subscriptions == 0


def test_cname_is_one_per_participant(world: World, alice: Client) -> None:
    alice.publish(CAMERA)
    alice.publish(MICROPHONE)
    assert {command.cname for command in world.plane.sent(AddTrack)} == {alice.session.sid}
    assert {command.kind for command in world.plane.sent(AddTrack)} == set(MediaKind)
