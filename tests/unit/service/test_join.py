import pytest

from sfu.core.codecs import TrackSource
from sfu.core.errors import AirsideError
from sfu.core.ids import RoomName
from sfu.core.observer import JoinStep
from sfu.dataplane.commands import AddSlot, AddTransport, LocalPath, SetRemote
from sfu.participants.permissions import Grant
from sfu.participants.requests import JoinRequest, RoomOptions, TrackRequest
from sfu.participants.sink import Joined, LeaveCode, ParticipantsChanged, Reconnect
from tests.support.domain import ROOM, World, grant, raises_code
from tests.support.recording_plane import LOCAL_SECRET


@pytest.fixture
def world() -> World:
    return World()


def test_join_answers_the_first_offer_and_tells_the_plane(world: World) -> None:
    alice = world.client("alice").receive(2, 1).with_data()
    alice.join(alice.send_in(TrackSource.MICROPHONE))
    state = alice.inbox.of(Joined)[0].state
    assert state.answer_sdp is not None
    assert state.answer_sdp.count("\r\nm=") == 5
    assert [item.track.source for item in state.published] == [TrackSource.MICROPHONE]
    assert state.participant.identity == "alice"
    assert state.room.value.name == ROOM
    assert [type(command) for command in world.plane.commands[:2]] == [AddTransport, SetRemote]
    assert len(world.plane.sent(AddSlot)) == 3
    assert len({ssrc for slot in world.plane.sent(AddSlot) for ssrc in (slot.ssrc, slot.rtx_ssrc)}) >= 4
    assert len(world.plane.tracks) == 1
    assert len(world.plane.members) == 1


def test_joined_is_the_first_event_and_numbers_count_from_one(world: World) -> None:
    alice = world.client("alice").join()
    world.client("bob").join()
    assert isinstance(alice.inbox.events[0], Joined)
    assert [seq for seq, _ in alice.inbox.received] == list(range(1, len(alice.inbox.received) + 1))


def test_join_without_an_offer_makes_no_transport(world: World) -> None:
    alice = world.client("alice").join()
    assert alice.debug["transport"] is None
    assert world.plane.commands == []


def test_others_learn_of_a_join_with_its_tracks(world: World) -> None:
    alice = world.client("alice").join()
    bob = world.client("bob")
    bob.join(bob.send_in(TrackSource.CAMERA, "cam"))
    assert alice.inbox.people == {"alice": (), "bob": ("cam",)}
    assert set(bob.inbox.people) == {"alice", "bob"}


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (Grant(room=ROOM), "permission_denied"),
        (Grant(room_join=True), "invalid_request"),
    ],
)
def test_grant_must_allow_the_join(world: World, wrong: Grant, code: str) -> None:
    raises_code(code, lambda: world.client("alice").join(grant=wrong))
    assert world.observer.outcomes == [code]
    assert world.service.counts().rooms == 0


def test_identity_and_limits(world: World) -> None:
    raises_code("invalid_request", lambda: world.client("").join())
    raises_code("limit_exceeded", lambda: world.client("x" * 257).join())
    raises_code("limit_exceeded", lambda: world.client("a").join(metadata="é" * 300_000))
    raises_code("limit_exceeded", lambda: world.client("a").join(attributes={"k": "v" * 70_000}))
    raises_code("limit_exceeded", lambda: world.client("a").join(grant=grant(room=RoomName("r" * 300))))
    assert world.service.counts().participants == 0


def test_tracks_without_an_offer_are_refused(world: World) -> None:
    entry = TrackRequest(source=TrackSource.CAMERA, mid="0")
    raises_code("invalid_request", lambda: world.client("alice").join(entry))


def test_an_agent_beside_the_server_is_reached_in_memory(world: World) -> None:
    agent = world.client("agent").receive(1).join(local_ring=LOCAL_SECRET)
    (added,) = world.plane.sent(AddTransport)
    assert added.local_path == LocalPath(0, added.transport)
    assert agent.inbox.of(Joined)[0].state.local_route == (0, added.transport)
    alice = world.client("alice").receive(1).join()
    assert world.plane.sent(AddTransport)[1].local_path is None
    assert alice.inbox.of(Joined)[0].state.local_route is None


def test_nobody_else_asks_for_a_local_ring(world: World) -> None:
    mallory = world.client("mallory").receive(1)
    raises_code("local_ring_refused", lambda: mallory.join(local_ring="forged"))
    raises_code("invalid_request", lambda: mallory.join(local_ring=LOCAL_SECRET, offer=False))
    assert world.service.counts().rooms == 0
    assert not world.plane.commands


def test_unknown_room_is_refused_when_auto_create_is_off() -> None:
    world = World(room={"auto_create": False})
    text = raises_code("room_not_found", lambda: world.client("alice").join())
    assert "requested room does not exist" in text
    world.create_room()
    world.client("alice").join()


def test_full_room(world: World) -> None:
    world.create_room(max_participants=2)
    world.client("alice").join()
    world.client("bob").join()
    raises_code("room_full", lambda: world.client("carol").join())
    # Who is in already only replaces itself.
    world.client("bob").join()


def test_node_limits() -> None:
    world = World(limits={"participants": 1})
    world.client("alice").join()
    raises_code("overloaded", lambda: world.client("bob").join())
    world = World(limits={"rooms": 1})
    world.client("alice").join()
    raises_code("overloaded", lambda: world.client("bob").join(grant=grant(room=RoomName("other"))))
    raises_code("overloaded", lambda: world.service.create_room(RoomName("third")))


def test_draining_server_admits_nobody(world: World) -> None:
    alice = world.client("alice").join()
    world.service.begin_drain()
    raises_code("server_draining", lambda: world.client("bob").join())
    old = alice.detach()
    alice.resume(old.last_seq)
    assert alice.session.alive


def test_a_refused_offer_leaves_nothing_behind(world: World) -> None:
    alice = world.client("alice").receive(1)
    alice.send_in(TrackSource.CAMERA)
    text = raises_code("track_undeclared", alice.join)
    assert "section 1" in text
    assert world.plane.commands == []
    assert alice.inbox.received == []
    assert world.service.list_rooms() == []
    assert world.observer.rooms == 0
    assert world.clock.pending == 0


def test_duplicate_identity_replaces_the_older_session(world: World) -> None:
    watcher = world.client("watcher").join()
    old = world.client("alice").receive(1)
    old.join(old.send_in(TrackSource.CAMERA, "old"))
    old_transport = old.transport
    before = len(watcher.inbox.of(ParticipantsChanged))
    new = world.client("alice").receive(1)
    new.join(new.send_in(TrackSource.CAMERA, "new"))
    assert old.inbox.leave is not None
    assert old.inbox.leave.code is LeaveCode.DUPLICATE_IDENTITY
    assert old.inbox.leave.reconnect is Reconnect.NO
    assert old_transport not in world.plane.transports
    assert watcher.inbox.people["alice"] == ("new",)
    changes = watcher.inbox.of(ParticipantsChanged)[before:]
    assert len(changes) == 1, "one consistent change"
    assert [left.reason for left in changes[0].change.value.left] == [LeaveCode.DUPLICATE_IDENTITY]
    assert world.service.counts().participants == 2
    raises_code("session_gone", lambda: old.session.offer(old.offer_sdp))
    old.session.leave()
    old.session.detach(old.inbox)
    assert new.session.alive


def test_a_refused_duplicate_leaves_the_older_session_alone(world: World) -> None:
    old = world.client("alice").join()
    new = world.client("alice")
    new.send_in(TrackSource.CAMERA)
    raises_code("track_undeclared", new.join)
    assert old.session.alive
    assert old.inbox.leave is None


def test_options_of_the_token_make_the_room_only_once(world: World) -> None:
    world.client("alice").join(room_options=RoomOptions(metadata="first", max_participants=5))
    world.client("bob").join(room_options=RoomOptions(metadata="second"))
    info = world.service.get_room(ROOM)
    assert (info.metadata, info.max_participants, info.num_participants) == ("first", 5, 2)


def test_every_step_is_timed(world: World) -> None:
    start = world.clock.monotonic()
    world.clock.advance(0.5)
    alice = world.client("alice").receive(1)
    alice.join(alice.send_in(TrackSource.MICROPHONE), started_at=start, authorized_at=start + 0.25).connect()
    assert world.observer.steps == [
        JoinStep.AUTH,
        JoinStep.ADMIT,
        JoinStep.NEGOTIATE,
        JoinStep.ICE,
        JoinStep.DTLS,
    ]
    world.first_packet(alice)
    world.first_packet(alice)
    (trace,) = world.observer.traces
    assert list(trace.steps) == list(JoinStep)
    assert trace.steps[JoinStep.AUTH] == pytest.approx(0.25)
    assert trace.steps[JoinStep.ADMIT] == pytest.approx(0.25)
    assert trace.total_s == pytest.approx(sum(trace.steps.values()))


def test_check_join_agrees_with_join(world: World) -> None:
    good = JoinRequest(grant=grant(), identity="alice")  # type: ignore[arg-type]
    world.service.check_join(good)
    assert world.service.counts().rooms == 0
    with pytest.raises(AirsideError):
        world.service.check_join(JoinRequest(grant=Grant(), identity="alice"))  # type: ignore[arg-type]
