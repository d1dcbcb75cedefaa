import json

import pytest

from sfu.core.codecs import TrackSource
from sfu.core.ids import Identity, RoomName, WorkerId
from sfu.dataplane.commands import SendData, SetMember
from sfu.dataplane.events import CommandFailed, DataReady, Resync, SlotLayer, Speakers, WorkerStats
from sfu.participants.permissions import Permissions
from sfu.participants.requests import ParticipantUpdate, RoomOptions
from sfu.participants.sink import (
    DataReceived,
    LeaveCode,
    ParticipantsChanged,
    PermissionsChanged,
    Reconnect,
    RoomUpdated,
    SpeakersChanged,
)
from sfu.rooms.room import CLEAR_SLICE
from tests.support.domain import ROOM, Client, World, grant, raises_code, run

CAMERA, MICROPHONE = TrackSource.CAMERA, TrackSource.MICROPHONE
NOBODY = Identity("nobody")
NOWHERE = RoomName("nowhere")


@pytest.fixture
def world() -> World:
    return World()


def speaking(world: World, name: str) -> Client:
    client = world.client(name)
    return client.join(client.send_in(MICROPHONE))


class TestLife:
    def test_created_room_that_nobody_enters_ends(self, world: World) -> None:
        world.create_room(empty_timeout_s=60)
        first = world.service.get_room(ROOM).sid
        world.settle(59)
        assert world.service.get_room(ROOM).sid == first
        world.settle(2)
        raises_code("room_not_found", lambda: world.service.get_room(ROOM))
        world.create_room()
        assert world.service.get_room(ROOM).sid != first
        assert world.observer.closed_rooms == ["empty"]

    def test_created_again_is_the_same_room(self, world: World) -> None:
        first = world.service.create_room(ROOM, RoomOptions(metadata="a"))
        assert world.service.create_room(ROOM, RoomOptions(metadata="b")) == first

    def test_last_to_leave_starts_the_departure_time(self, world: World) -> None:
        alice = world.client("alice").join()
        sid = world.service.get_room(ROOM).sid
        alice.session.leave()
        world.settle(15)
        bob = world.client("bob").join()
        assert world.service.get_room(ROOM).sid == sid
        world.settle(1000)
        assert bob.session.alive, "the timer stopped when somebody came"
        bob.session.leave()
        world.settle(25)
        assert world.service.list_rooms() == []
        assert world.observer.closed_rooms == ["departed"]
        assert world.clock.pending == 0

    def test_zero_departure_time_ends_it_at_once(self) -> None:
        world = World(room={"departure_timeout_s": 0.0})
        world.client("alice").join().session.leave()
        world.settle()
        assert world.service.counts().rooms == 0

    def test_deleting_tells_everyone(self, world: World) -> None:
        alice, bob = speaking(world, "alice"), world.client("bob").receive(1).join()
        world.service.delete_room(ROOM)
        for client in (alice, bob):
            assert client.inbox.leave is not None
            assert client.inbox.leave.code is LeaveCode.ROOM_DELETED
            assert client.inbox.leave.reconnect is Reconnect.NO
        world.settle()
        assert world.plane.transports == {}
        assert world.plane.tracks == {}
        assert world.clock.pending == 0
        assert (world.observer.tracks, world.observer.subscriptions, world.observer.rooms) == (0, 0, 0)
        raises_code("room_not_found", lambda: world.service.delete_room(ROOM))
        again = speaking(world, "alice")
        assert again.session.alive

    def test_a_large_room_is_cleared_a_few_members_per_turn(self, world: World) -> None:
        speaker = speaking(world, "speaker")
        clients = [speaker, *(world.client(f"p{index}").receive(1).join() for index in range(60))]
        world.service.delete_room(ROOM)
        told = [client for client in clients if client.inbox.leave is not None]
        assert 0 < len(told) <= CLEAR_SLICE
        waiting = next(client for client in clients if client.inbox.leave is None)
        before = len(waiting.inbox.received)
        raises_code("session_gone", lambda: waiting.session.update_metadata(ParticipantUpdate()))
        raises_code("session_gone", lambda: waiting.resume(0))
        raises_code("room_not_found", lambda: world.service.get_room(ROOM))
        again = speaking(world, "speaker")
        assert all(client.inbox.leave is not None for client in clients)
        assert len(waiting.inbox.received) == before + 1, "news of a room that is gone"
        assert again.session.alive
        again.session.leave()
        world.settle(1000)
        assert world.plane.transports == {}
        assert world.plane.tracks == {}
        assert world.clock.pending == 0
        assert (world.observer.tracks, world.observer.subscriptions, world.observer.rooms) == (0, 0, 0)

    def test_shutdown_tells_everyone_and_closes_the_plane(self, world: World) -> None:
        alice = speaking(world, "alice")
        run(world.service.close(1.0))
        assert alice.inbox.leave is not None
        assert alice.inbox.leave.code is LeaveCode.SERVER_SHUTDOWN
        assert alice.inbox.leave.reconnect is Reconnect.REJOIN
        assert world.plane.closed
        assert world.clock.pending == 0
        raises_code("server_draining", lambda: world.client("bob").join())
        raises_code("server_draining", lambda: world.service.create_room(NOWHERE))
        raises_code("invalid_request", lambda: world.service.create_room(RoomName("")))

    def test_list_and_counts(self, world: World) -> None:
        speaking(world, "alice")
        world.client("bob").receive(1).join()
        world.service.create_room(RoomName("other"))
        assert {room.name for room in world.service.list_rooms()} == {ROOM, "other"}
        assert [room.name for room in world.service.list_rooms([RoomName("other"), NOWHERE])] == ["other"]
        counts = world.service.counts()
        assert (counts.rooms, counts.participants, counts.tracks, counts.subscriptions) == (2, 2, 1, 1)
        room = world.service.get_room(ROOM)
        assert (room.num_participants, room.num_publishers) == (2, 1)

    def test_metadata(self, world: World) -> None:
        alice = world.client("alice").join()
        assert world.service.update_room_metadata(ROOM, "about").metadata == "about"
        world.service.update_room_metadata(ROOM, "about")
        world.settle()
        (event,) = alice.inbox.of(RoomUpdated)
        assert event.room.value.metadata == "about"
        raises_code("limit_exceeded", lambda: world.service.update_room_metadata(ROOM, "x" * 600_000))
        raises_code("room_not_found", lambda: world.service.update_room_metadata(NOWHERE, ""))


class TestAdministration:
    def test_who_is_not_here(self, world: World) -> None:
        world.client("alice").join()
        raises_code("participant_not_found", lambda: world.service.get_participant(ROOM, NOBODY))
        raises_code("participant_not_found", lambda: world.service.remove_participant(ROOM, NOBODY))
        raises_code("room_not_found", lambda: world.service.list_participants(NOWHERE))

    def test_update(self, world: World) -> None:
        alice, bob = world.client("alice").join(attributes={"a": "1", "b": "2"}), world.client("bob").join()
        change = ParticipantUpdate(name="Alice", metadata="m", attributes={"a": "", "c": "3"})
        info = world.service.update_participant(ROOM, alice.identity, change)
        assert (info.name, info.metadata, dict(info.attributes)) == ("Alice", "m", {"b": "2", "c": "3"})
        world.settle()
        before = len(bob.inbox.of(ParticipantsChanged))
        world.service.update_participant(ROOM, alice.identity, ParticipantUpdate(name="Alice"))
        world.settle()
        assert len(bob.inbox.of(ParticipantsChanged)) == before, "nothing changed"

    def test_too_long_an_update_changes_nothing(self, world: World) -> None:
        alice = world.client("alice").join()
        huge = ParticipantUpdate(name="new", attributes={"k": "v" * 70_000})
        raises_code("limit_exceeded", lambda: world.service.update_participant(ROOM, alice.identity, huge))
        assert world.service.get_participant(ROOM, alice.identity).name == ""

    def test_own_metadata_needs_a_permission(self, world: World) -> None:
        alice = world.client("alice").join()
        change = ParticipantUpdate(name="Al")
        raises_code("permission_denied", lambda: alice.session.update_metadata(change))
        allowed = grant(can_update_own_metadata=True).permissions()
        world.service.update_participant(ROOM, alice.identity, permissions=allowed)
        world.settle()
        assert alice.inbox.of(PermissionsChanged) == [PermissionsChanged(allowed)]
        alice.session.update_metadata(change)
        assert world.service.get_participant(ROOM, alice.identity).name == "Al"

    def test_data_permission_reaches_the_plane(self, world: World) -> None:
        alice = world.client("alice").with_data().join()
        assert [member.can_publish for member in world.plane.sent(SetMember)] == [True]
        forbidden = Permissions(can_publish_data=False)
        world.service.update_participant(ROOM, alice.identity, permissions=forbidden)
        assert not next(iter(world.plane.members.values())).can_publish
        raises_code("permission_denied", lambda: alice.session.send_data(b"x"))
        alice.session.leave()
        assert world.plane.members == {}

    def test_statistics(self, world: World) -> None:
        alice, bob = speaking(world, "alice"), world.client("bob").receive(1).join()
        (track,), (slot,) = world.plane.tracks, world.plane.slots
        nan = float("nan")
        world.plane.worker_stats = (
            WorkerStats(
                WorkerId(0),
                {
                    "transports": {"transport": [alice.transport, bob.transport], "rtt_ms": [nan, 2.5]},
                    "layers": {"track": [999, track], "layer": [0, 0], "packets": [1, 77]},
                    "slots": {"slot": [slot], "packets": [76]},
                },
            ),
        )
        mine = run(world.service.participant_stats(ROOM, alice.identity))
        assert mine["transport"] == {"worker": 0, "rtt_ms": None}
        assert [row["packets"] for row in mine["published"]] == [77]  # type: ignore[attr-defined]
        others = run(world.service.participant_stats(ROOM, bob.identity))
        assert others["subscribed"] == [
            {"track": alice.debug["tracks"][0], "mid": "0", "worker": 0, "packets": 76}
        ]


class TestHidden:
    def test_is_never_told_but_hears(self, world: World) -> None:
        alice = speaking(world, "alice")
        ghost = world.client("ghost").receive(1).join(grant=grant(hidden=True))
        speaking(world, "bob")
        assert set(ghost.inbox.people) == {"alice", "bob"}
        assert ghost.carried() == {"0": "microphone"}
        ghost.session.leave()
        world.settle()
        for event in alice.inbox.of(ParticipantsChanged):
            change = event.change.value
            assert "ghost" not in {person.value.identity for person in change.joined}
            assert "ghost" not in {left.identity for left in change.left}
        assert world.service.get_room(ROOM).num_participants == 2

    def test_becomes_visible_and_hides_again(self, world: World) -> None:
        alice = world.client("alice").join()
        ghost = world.client("ghost").join(grant=grant(hidden=True))
        world.service.update_participant(ROOM, ghost.identity, permissions=Permissions())
        world.settle()
        assert set(alice.inbox.people) == {"alice", "ghost"}
        world.service.update_participant(ROOM, ghost.identity, permissions=Permissions(hidden=True))
        world.settle()
        assert set(alice.inbox.people) == {"alice"}

    def test_recorder_shows_in_the_room(self, world: World) -> None:
        alice = world.client("alice").join()
        recorder = world.client("r").join(grant=grant(hidden=True, recorder=True))
        assert alice.inbox.of(RoomUpdated)[-1].room.value.recording
        recorder.session.leave()
        world.settle()
        assert not alice.inbox.of(RoomUpdated)[-1].room.value.recording


class TestSpeakers:
    def test_reports_of_workers_are_merged(self, world: World) -> None:
        alice, bob = speaking(world, "alice"), speaking(world, "bob")
        a, b = world.plane.tracks
        (room,) = {command.room for command in world.plane.tracks.values()}
        world.plane.emit(Speakers(WorkerId(0), room, ((a, 100),)), Speakers(WorkerId(1), room, ((b, 200),)))
        world.settle()
        (event,) = alice.inbox.of(SpeakersChanged)
        assert [speaker.identity for speaker in event.speakers.value] == ["bob", "alice"]
        assert event.speakers.value[0].level == pytest.approx(200 / 255)
        world.plane.emit(Speakers(WorkerId(1), room, ()))
        world.settle()
        assert [s.identity for s in alice.inbox.of(SpeakersChanged)[-1].speakers.value] == ["alice"]
        assert bob.inbox.of(SpeakersChanged)[-1] is alice.inbox.of(SpeakersChanged)[-1], "encoded once"

    def test_mute_and_leaving_silence_at_once(self, world: World) -> None:
        alice, bob = speaking(world, "alice"), speaking(world, "bob")
        a, b = world.plane.tracks
        room = world.plane.tracks[a].room
        world.plane.emit(Speakers(WorkerId(0), room, ((a, 100), (b, 50))))
        world.settle()
        alice.session.mute(alice.debug["tracks"][0], True)
        world.settle()
        assert [s.identity for s in bob.inbox.of(SpeakersChanged)[-1].speakers.value] == ["bob"]
        watcher = world.client("watcher").join()
        bob.session.leave()
        world.settle()
        assert watcher.inbox.of(SpeakersChanged)[-1].speakers.value == ()


class TestData:
    def test_channel_where_there_is_one_else_signaling(self, world: World) -> None:
        alice = world.client("alice").with_data().join()
        world.plane.emit(DataReady(WorkerId(0), alice.transport))
        bob, carol = world.client("bob").join(), world.client("carol").join()
        bob.session.send_data(b"hi", topic="chat")
        (command,) = world.plane.sent(SendData)
        assert (command.sender, command.payload, len(command.destinations)) == ("bob", b"hi", 1)
        assert carol.inbox.of(DataReceived) == [DataReceived(bob.identity, "chat", b"hi", True)]
        assert bob.inbox.of(DataReceived) == [], "not back to the sender"
        bob.session.send_data(b"x", destinations=[carol.identity, carol.identity, NOBODY])
        assert len(world.plane.sent(SendData)) == 1
        assert len(carol.inbox.of(DataReceived)) == 2
        bob.session.send_data(b"x", destinations=[NOBODY])
        assert len(world.plane.sent(SendData)) == 1, "nobody is not everybody"

    def test_data_section_that_is_given_up(self, world: World) -> None:
        alice = world.client("alice").receive(1).with_data().join()
        world.plane.emit(DataReady(WorkerId(0), alice.transport))
        alice.sections[1] = alice.sections[1].replace("m=application 9", "m=application 0")
        alice.offer()
        assert world.plane.members == {}
        world.service.send_data(ROOM, b"x")
        assert len(alice.inbox.of(DataReceived)) == 1

    def test_from_the_server(self, world: World) -> None:
        alice, bob = world.client("alice").join(), world.client("bob").join()
        world.service.send_data(ROOM, b"news", reliable=False)
        assert alice.inbox.of(DataReceived) == bob.inbox.of(DataReceived)
        assert alice.inbox.of(DataReceived) == [DataReceived(None, "", b"news", False)]
        world.service.send_data(ROOM, b"x", destinations=[bob.identity], sender=Identity("bot"))
        assert bob.inbox.of(DataReceived)[-1].sender == "bot"
        assert len(alice.inbox.of(DataReceived)) == 1

    def test_hidden_sender_is_not_named(self, world: World) -> None:
        alice = world.client("alice").join()
        ghost = world.client("ghost").join(grant=grant(hidden=True))
        ghost.session.send_data(b"boo")
        assert alice.inbox.of(DataReceived)[0].sender is None

    def test_limits(self, world: World) -> None:
        alice = world.client("alice").join()
        raises_code("limit_exceeded", lambda: alice.session.send_data(b"x" * 600_000))
        raises_code("limit_exceeded", lambda: alice.session.send_data(b"", topic="é" * 200))
        raises_code("limit_exceeded", lambda: world.service.send_data(ROOM, b"x" * 600_000))
        raises_code("room_not_found", lambda: world.service.send_data(NOWHERE, b""))


def test_other_news_of_the_plane(world: World) -> None:
    alice, bob = speaking(world, "alice"), world.client("bob").receive(1).join()
    (slot,) = world.plane.slots
    world.plane.emit(
        SlotLayer(WorkerId(0), slot, None),
        CommandFailed(WorkerId(0), "Subscribe", 7, "no such slot"),
        Resync(WorkerId(0)),
    )
    assert world.observer.failed == ["Subscribe"]
    assert world.observer.traces == []
    world.plane.emit(SlotLayer(WorkerId(0), slot, 0))
    assert len(world.observer.traces) == 1
    assert bob.debug["subscriptions"][0]["layer"] == 0
    alice.session.leave()
    world.plane.emit(SlotLayer(WorkerId(0), slot, None))


def test_debug_state_is_plain_json_without_secrets(world: World) -> None:
    alice = speaking(world, "alice")
    text = json.dumps(world.service.debug_state())
    assert alice.session.session_id not in text
    assert "192.0.2" not in text
