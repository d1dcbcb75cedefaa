"""People who are moved to another room, or shown in one."""

from __future__ import annotations

import pytest

from sfu.core.codecs import TrackSource
from sfu.core.errors import InvalidRequestError, RoomFullError
from sfu.core.ids import Identity, RoomName
from sfu.participants.happenings import Kind
from sfu.participants.requests import ParticipantUpdate, RoomOptions
from sfu.participants.sink import Joined, Leave, LeaveCode, Moved, ParticipantsChanged, TrackReceived
from tests.support.domain import Client, World

CAMERA = TrackSource.CAMERA
SIDE = RoomName("side")
ADA, BOB = Identity("ada"), Identity("bob")


@pytest.fixture
def world() -> World:
    return World()


def publisher(world: World, name: str) -> Client:
    client = world.client(name).receive(1, 1)
    client.join(client.send_in(CAMERA, "cam")).connect()
    return client


def listener(world: World, name: str, room: RoomName) -> Client:
    world.room = room
    client = world.client(name).receive(1, 1).join().connect()
    world.room = RoomName("lobby")
    return client


def details(client: Client) -> list[tuple[str, ...]]:
    """Details of Ada's kind, each time that the client was told of her."""
    told = [person.value for event in client.inbox.of(Joined) for person in event.state.participants.value]
    for event in client.inbox.of(ParticipantsChanged):
        change = event.change.value
        told += (person.value for person in (*change.joined, *change.updated))
    return [person.kind_details for person in told if person.identity == ADA]


class TestMove:
    def test_with_tracks_and_session(self, world: World) -> None:
        ada = publisher(world, "ada")
        bob = world.client("bob").receive(1, 1).join().connect()
        eve = listener(world, "eve", SIDE)
        world.settle()
        assert len(world.plane.carries) == 1, "bob has her camera"
        track = ada.session.info.tracks[0]
        world.service.move_participant(world.room, ADA, SIDE)
        world.settle()
        assert "ada" not in bob.inbox.people
        assert eve.inbox.people["ada"] == ("cam",)
        assert len(world.plane.carries) == 1, "eve has it, and bob no longer"
        (moved,) = ada.inbox.of(Moved)
        assert moved.state.room.value.name == SIDE
        assert {item.value.identity for item in moved.state.participants.value} == {"ada", "eve"}
        assert ada.session.room_name == SIDE
        assert ada.session.info.sid == moved.state.participant.sid
        assert ada.session.info.tracks[0].sid == track.sid
        (command,) = world.plane.tracks.values()
        assert command.room == world.service._registry.get(SIDE).id
        kinds = [
            (event.kind, event.room.name)
            for _, event in world.service.journal.after(0, 100)
            if event.participant is not None and event.participant.identity == "ada"
        ]
        assert kinds[-4:] == [
            (Kind.TRACK_UNPUBLISHED, "lobby"),
            (Kind.PARTICIPANT_LEFT, "lobby"),
            (Kind.PARTICIPANT_JOINED, SIDE),
            (Kind.TRACK_PUBLISHED, SIDE),
        ]

    def test_what_it_received_is_replaced(self, world: World) -> None:
        publisher(world, "ada")
        bob = world.client("bob").receive(1, 1).join().connect()
        world.settle()
        world.service.create_room(SIDE)
        world.service.move_participant(world.room, BOB, SIDE)
        world.settle()
        assert not world.plane.carries
        world.service.move_participant(SIDE, BOB, world.room)
        world.settle()
        assert len(world.plane.carries) == 1, "and back again"
        assert bob.inbox.leave is None

    def test_it_can_leave_and_come_back(self, world: World) -> None:
        ada = publisher(world, "ada")
        world.service.move_participant(world.room, ADA, SIDE)
        old = ada.detach()
        ada.resume(old.last_seq)
        assert ada.inbox.of(Leave) == []
        ada.session.leave()
        world.settle()
        assert not world.service.list_participants(SIDE)
        assert not world.plane.transports

    def test_the_room_it_left_ends_and_the_new_one_does_too(self, world: World) -> None:
        ada = publisher(world, "ada")
        world.service.move_participant(world.room, ADA, SIDE)
        world.settle(21)
        assert [room.name for room in world.service.list_rooms()] == [SIDE]
        ada.session.leave()
        world.settle(21)
        assert not world.service.list_rooms()
        held = world.service.debug_state()["held"]
        assert isinstance(held, dict)
        assert (held["tracks"], held["slots"], held["sessions"]) == (0, 0, 0)
        assert not world.plane.transports

    def test_refusals_change_nothing(self, world: World) -> None:
        ada = publisher(world, "ada")
        world.service.create_room(SIDE, RoomOptions(max_participants=1))
        listener(world, "eve", SIDE)
        with pytest.raises(RoomFullError):
            world.service.move_participant(world.room, ADA, SIDE)
        with pytest.raises(InvalidRequestError):
            world.service.move_participant(world.room, ADA, world.room)
        assert ada.session.room_name == world.room

    def test_whoever_has_its_identity_there_leaves(self, world: World) -> None:
        publisher(world, "ada")
        other = listener(world, "ada", SIDE)
        world.service.move_participant(world.room, ADA, SIDE)
        assert other.inbox.leave is not None
        assert other.inbox.leave.code is LeaveCode.DUPLICATE_IDENTITY


class TestForward:
    def test_seen_and_heard_in_both(self, world: World) -> None:
        ada = publisher(world, "ada")
        bob = world.client("bob").receive(1, 1).join().connect()
        eve = listener(world, "eve", SIDE)
        world.service.forward_participant(world.room, ADA, SIDE)
        world.settle()
        assert eve.inbox.people["ada"] == bob.inbox.people["ada"] == ("cam",)
        assert len(set(world.plane.carries.values())) == 1
        assert len(world.plane.carries) == 2
        assert "eve" not in ada.inbox.people
        late = listener(world, "late", SIDE)
        assert late.inbox.people["ada"] == ("cam",)
        assert ada.inbox.of(TrackReceived)

    def test_only_those_it_is_forwarded_to_are_told_so(self, world: World) -> None:
        ada = publisher(world, "ada")
        bob, eve = world.client("bob").join(), listener(world, "eve", SIDE)
        world.service.forward_participant(world.room, ADA, SIDE)
        world.settle()
        late = listener(world, "late", SIDE)
        world.service.update_participant(world.room, ADA, ParticipantUpdate(metadata="new"))
        world.settle()
        assert set(details(late)) == set(details(eve)) == {("forwarded",)}
        assert set(details(bob)) == {()}
        assert ada.session.info.kind_details == ()
        world.service.move_participant(world.room, ADA, SIDE)
        world.settle()
        assert details(eve)[-1] == ()

    def test_it_ends_with_her(self, world: World) -> None:
        ada = publisher(world, "ada")
        eve = listener(world, "eve", SIDE)
        world.service.forward_participant(world.room, ADA, SIDE)
        world.settle()
        ada.session.unpublish(ada.session.info.tracks[0].sid)
        world.settle()
        assert eve.inbox.people["ada"] == ()
        ada.session.leave()
        world.settle()
        assert "ada" not in eve.inbox.people
        assert not world.plane.carries

    def test_it_ends_with_the_room(self, world: World) -> None:
        ada = publisher(world, "ada")
        listener(world, "eve", SIDE)
        world.service.forward_participant(world.room, ADA, SIDE)
        world.settle()
        world.service.delete_room(SIDE)
        world.settle()
        assert not world.plane.carries
        assert ada.inbox.leave is None
        world.service.forward_participant(world.room, ADA, SIDE)
        world.settle()
        assert not world.service.list_participants(SIDE), "a guest is no participant"

    def test_a_guest_gives_way_to_whoever_joins(self, world: World) -> None:
        publisher(world, "ada")
        eve = listener(world, "eve", SIDE)
        world.service.forward_participant(world.room, ADA, SIDE)
        world.settle()
        listener(world, "ada", SIDE)
        world.settle()
        assert eve.inbox.people["ada"] == ()
        with pytest.raises(InvalidRequestError):
            world.service.forward_participant(world.room, ADA, SIDE)

    def test_a_guest_that_moves_is_none_any_more(self, world: World) -> None:
        publisher(world, "ada")
        eve = listener(world, "eve", SIDE)
        world.service.forward_participant(world.room, ADA, SIDE)
        world.settle()
        world.service.move_participant(world.room, ADA, SIDE)
        world.settle()
        assert eve.inbox.people["ada"] == ("cam",)
        assert [item.identity for item in world.service.list_participants(SIDE)] == ["eve", "ada"]
