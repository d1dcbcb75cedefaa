import pytest

from sfu.core.codecs import TrackSource
from sfu.core.ids import TrackSid, WorkerId
from sfu.dataplane.commands import Subscribe, Unsubscribe
from sfu.dataplane.events import LayerStarted
from sfu.participants.sink import (
    SectionsNeeded,
    SubscriptionBound,
    SubscriptionFailed,
    SubscriptionUnbound,
)
from sfu.tracks.subscription import SubscriptionWish
from tests.support.domain import ROOM, Client, World, grant, raises_code
from tests.unit.transport.support import session

CAMERA, MICROPHONE, SCREEN = TrackSource.CAMERA, TrackSource.MICROPHONE, TrackSource.SCREEN_SHARE


@pytest.fixture
def world() -> World:
    return World()


def publisher(world: World, name: str, *sources: TrackSource) -> Client:
    client = world.client(name)
    return client.join(*(client.send_in(source, f"{name}-{source.value}") for source in sources))


def test_tracks_come_unasked_on_sections_of_their_kind(world: World) -> None:
    publisher(world, "alice", CAMERA, MICROPHONE)
    bob = world.client("bob").receive(1, 1).join()
    assert bob.carried() == {"0": "alice-microphone", "1": "alice-camera"}
    carol = world.client("carol").receive(1, 1).join()
    assert carol.carried() == bob.carried()
    assert world.observer.subscriptions == 4


def test_nobody_receives_itself(world: World) -> None:
    alice = world.client("alice").receive(2, 2)
    alice.join(alice.send_in(CAMERA))
    assert alice.carried() == {}
    (sid,) = alice.debug["tracks"]
    raises_code("invalid_request", lambda: alice.session.subscribe(TrackSid(sid)))


def test_missing_sections_are_asked_for_and_used(world: World) -> None:
    publisher(world, "alice", CAMERA, MICROPHONE)
    publisher(world, "carol", CAMERA, MICROPHONE)
    bob = world.client("bob").receive(1).join()
    assert bob.inbox.of(SectionsNeeded) == [SectionsNeeded(audio=1, video=2)]
    bob.receive(1, 1).offer()
    assert len(bob.carried()) == 3
    assert bob.inbox.of(SectionsNeeded)[-1] == SectionsNeeded(audio=0, video=1)
    bob.receive(0, 1).offer()
    assert len(bob.carried()) == 4
    assert len(bob.inbox.of(SectionsNeeded)) == 2


def test_client_without_a_transport_is_asked_for_sections_too(world: World) -> None:
    publisher(world, "alice", MICROPHONE)
    bob = world.client("bob").join()
    assert bob.inbox.of(SectionsNeeded) == [SectionsNeeded(1, 0)]
    bob.receive(1).offer()
    assert bob.carried() == {"0": "alice-microphone"}


def test_a_client_that_offers_nothing_is_not_asked_again_and_again(world: World) -> None:
    bob = world.client("bob").join()
    for index in range(60):
        publisher(world, f"p{index}", MICROPHONE)
    asked = bob.inbox.of(SectionsNeeded)
    assert len(asked) <= 16
    assert asked[-1] == SectionsNeeded(16, 0)


def test_section_limit_ends_the_asking() -> None:
    world = World(limits={"sections": 3})
    for index in range(5):
        publisher(world, f"p{index}", MICROPHONE)
    bob = world.client("bob").receive(1).join()
    assert bob.inbox.of(SectionsNeeded) == [SectionsNeeded(2, 0)]
    bob.receive(2).offer()
    assert len(bob.carried()) == 3
    assert len(bob.inbox.of(SectionsNeeded)) == 1


def test_freed_section_goes_to_whoever_waits(world: World) -> None:
    alice = publisher(world, "alice", MICROPHONE)
    publisher(world, "carol", MICROPHONE)
    bob = world.client("bob").receive(1).join()
    assert bob.carried() == {"0": "alice-microphone"}
    alice.session.leave()
    world.settle()
    assert bob.carried() == {"0": "carol-microphone"}
    kinds = (SubscriptionUnbound, SubscriptionBound)
    told = [type(event) for event in bob.inbox.events if isinstance(event, kinds)]
    assert told == [SubscriptionBound, SubscriptionUnbound, SubscriptionBound]


def test_shared_screen_is_first_in_line(world: World) -> None:
    publisher(world, "alice", CAMERA)
    publisher(world, "carol", SCREEN)
    bob = world.client("bob").receive(0, 1).join()
    assert bob.carried() == {"0": "carol-screen_share"}
    assert bob.wish("0").priority > 100


def test_chosen_subscriptions(world: World) -> None:
    alice = publisher(world, "alice", CAMERA, MICROPHONE)
    bob = world.client("bob").receive(1, 1).join(auto_subscribe=False)
    assert bob.carried() == {}
    assert bob.inbox.of(SectionsNeeded) == []
    camera = TrackSid(alice.debug["tracks"][0])
    bob.session.subscribe(camera, SubscriptionWish(max_height_px=360, priority=7))
    world.settle()
    assert bob.carried() == {"1": "alice-camera"}
    assert (bob.wish("1").max_height_px, bob.wish("1").priority) == (360, 7)
    bob.session.update_subscription(camera, SubscriptionWish(max_height_px=0))
    world.settle()
    assert bob.wish("1").max_height_px == 0
    assert bob.session.wish(camera).max_height_px == 0
    assert len(world.plane.sent(Subscribe)) == 1, "an update is no new binding"
    bob.session.unsubscribe(camera)
    world.settle()
    assert bob.carried() == {}
    raises_code("track_not_found", lambda: bob.session.update_subscription(camera, SubscriptionWish()))
    raises_code("track_not_found", lambda: bob.session.wish(camera))


def test_declined_track_stays_away_until_asked_for(world: World) -> None:
    alice = publisher(world, "alice", CAMERA)
    bob = world.client("bob").receive(0, 1).join()
    (camera,) = alice.debug["tracks"]
    bob.session.unsubscribe(camera)
    world.settle()
    world.client("carol").receive(1).join()
    assert bob.carried() == {}
    assert bob.inbox.of(SectionsNeeded) == []
    bob.session.subscribe(camera)
    world.settle()
    assert bob.carried() == {"0": "alice-camera"}


def test_flapping_subscribe_is_one_binding_in_the_end(world: World) -> None:
    alice = publisher(world, "alice", CAMERA)
    bob = world.client("bob").receive(0, 1).join()
    (camera,) = alice.debug["tracks"]
    before = len(world.plane.commands)
    for _ in range(50):
        bob.session.unsubscribe(camera)
        bob.session.subscribe(camera)
    world.settle()
    assert world.plane.commands[before:] == []
    assert bob.carried() == {"0": "alice-camera"}
    assert bob.debug["wishes"] == 1


@pytest.mark.parametrize(
    "wish",
    [
        SubscriptionWish(max_height_px=-1),
        SubscriptionWish(max_height_px=5000),
        SubscriptionWish(priority=0),
        SubscriptionWish(priority=256),
        SubscriptionWish(max_temporal=8),
    ],
)
def test_wish_out_of_range(world: World, wish: SubscriptionWish) -> None:
    alice = publisher(world, "alice", CAMERA)
    bob = world.client("bob").join()
    (camera,) = alice.debug["tracks"]
    raises_code("invalid_request", lambda: bob.session.subscribe(camera, wish))


def test_unknown_track(world: World) -> None:
    bob = world.client("bob").join()
    raises_code("track_not_found", lambda: bob.session.subscribe(TrackSid("TR_x")))
    raises_code("track_not_found", lambda: bob.session.unsubscribe(TrackSid("TR_x")))


def test_no_common_codec_names_both_sides(world: World) -> None:
    publisher(world, "alice", CAMERA)
    bob = world.client("bob").receive(0, 1)
    bob.sections[0] = bob.sections[0].replace("VP8/90000", "AV1/90000")
    bob.join()
    (failed,) = bob.inbox.of(SubscriptionFailed)
    assert failed.code == "no_common_codec"
    assert "video/VP8" in failed.text
    assert "video/AV1" in failed.text
    assert bob.inbox.of(SectionsNeeded) == []
    # Told once; again when asked by name.
    world.client("carol").join()
    assert len(bob.inbox.of(SubscriptionFailed)) == 1
    bob.session.subscribe(failed.track)
    world.settle()
    assert len(bob.inbox.of(SubscriptionFailed)) == 2


def test_codec_that_is_really_sent_decides(world: World) -> None:
    alice = world.client("alice")
    entry = alice.send_in(CAMERA, "cam")
    both = alice.sections[0].replace("SAVPF 96 97", "SAVPF 96 97 98") + "\na=rtpmap:98 AV1/90000"
    alice.sections[0] = both
    alice.join(entry)
    bob = world.client("bob").receive(0, 1).join()
    assert bob.carried() == {"0": "cam"}
    (track,) = world.plane.tracks
    world.plane.emit(LayerStarted(WorkerId(0), track, 0, 1))
    world.settle()
    assert bob.carried() == {}
    assert bob.inbox.bound == {}
    assert "video/AV1" in bob.inbox.of(SubscriptionFailed)[0].text
    assert world.service.get_participant(ROOM, alice.identity).tracks[0].mime == "video/AV1"


def test_subscribe_permission(world: World) -> None:
    alice = publisher(world, "alice", CAMERA)
    (camera,) = alice.debug["tracks"]
    bob = world.client("bob").receive(1, 1).join(grant=grant(can_subscribe=False))
    assert bob.carried() == {}
    assert bob.inbox.of(SectionsNeeded) == []
    raises_code("permission_denied", lambda: bob.session.subscribe(camera))
    world.service.update_participant(ROOM, bob.identity, permissions=grant().permissions())
    world.settle()
    assert bob.carried() == {"1": "alice-camera"}
    revoked = grant(can_subscribe=False).permissions()
    world.service.update_participant(ROOM, bob.identity, permissions=revoked)
    world.settle()
    assert bob.carried() == {}
    assert bob.inbox.bound == {}
    assert len(world.plane.sent(Unsubscribe)) == 1


def test_section_that_stops_receiving_is_freed_and_keeps_its_ssrc(world: World) -> None:
    publisher(world, "alice", CAMERA)
    bob = world.client("bob").receive(0, 1).join()
    bob.set_direction("0", "inactive")
    bob.offer()
    assert bob.carried() == {}
    assert bob.inbox.bound == {}
    bob.set_direction("0", "recvonly")
    bob.offer()
    assert bob.carried() == {"0": "alice-camera"}
    assert len(world.plane.slots) == 1


def test_bound_track_never_moves(world: World) -> None:
    alice = publisher(world, "alice", MICROPHONE)
    publisher(world, "carol", MICROPHONE)
    publisher(world, "dave", MICROPHONE)
    bob = world.client("bob").receive(3).join()
    before = bob.carried()
    alice.session.leave()
    world.settle()
    assert {mid: name for mid, name in before.items() if "alice" not in name} == bob.carried()
    publisher(world, "erin", MICROPHONE)
    assert bob.carried() == {
        **before,
        **{mid: "erin-microphone" for mid, n in before.items() if "alice" in n},
    }


def test_administrator_subscribes_and_takes_away(world: World) -> None:
    alice = publisher(world, "alice", CAMERA)
    tracks = alice.debug["tracks"]
    bob = world.client("bob").receive(0, 1).join(auto_subscribe=False)
    world.service.update_subscriptions(ROOM, bob.identity, tracks, subscribe=True)
    world.settle()
    assert bob.carried() == {"0": "alice-camera"}
    world.service.update_subscriptions(ROOM, bob.identity, tracks, subscribe=False)
    world.settle()
    assert bob.carried() == {}
    missing = [*tracks, TrackSid("TR_x")]
    raises_code(
        "track_not_found",
        lambda: world.service.update_subscriptions(ROOM, bob.identity, missing, subscribe=True),
    )
    world.settle()
    assert bob.carried() == {}, "nothing of a refused request is done"


def test_binding_needs_no_new_description(world: World) -> None:
    bob = world.client("bob").receive(1, 1).join()
    offers_before = bob.debug["sections"]
    publisher(world, "alice", CAMERA)
    assert bob.inbox.bound
    assert bob.debug["sections"] == offers_before
    assert session(*bob.sections)
