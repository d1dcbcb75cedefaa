from sfu.core.codecs import TrackSource
from sfu.participants.requests import ParticipantUpdate
from sfu.participants.sink import Leave, ParticipantsChanged, RoomUpdated, SubscriptionBound
from sfu.rooms.broadcast import FLUSH_INTERVAL_S, SLICE
from tests.support.domain import ROOM, Client, World

MICROPHONE = TrackSource.MICROPHONE


def changes(client: Client) -> list[ParticipantsChanged]:
    return client.inbox.of(ParticipantsChanged)


def test_after_a_quiet_time_a_change_goes_out_at_once() -> None:
    world = World()
    alice, bob = world.client("alice").join(), world.client("bob").join()
    before = len(changes(bob))
    world.settle(1)
    world.service.update_participant(ROOM, alice.identity, ParticipantUpdate(name="Al"))
    world.settle(0)
    assert len(changes(bob)) == before + 1


def test_changes_close_together_are_one() -> None:
    world = World()
    alice, bob = world.client("alice").join(), world.client("bob").join()
    world.settle(1)
    before = len(changes(bob))
    for index in range(100):
        change = ParticipantUpdate(metadata=str(index))
        world.service.update_participant(ROOM, alice.identity, change)
        world.settle(0.001)
    world.settle()
    told = changes(bob)[before:]
    assert len(told) <= 0.1 / FLUSH_INTERVAL_S + 2
    assert told[-1].change.value.updated[0].value.metadata == "99"
    assert told[-1] is changes(alice)[-1]


def test_large_room_is_served_in_slices_and_in_order() -> None:
    world = World()
    members = [world.client(f"p{index}").receive(1).join() for index in range(SLICE + 20)]
    speaker = world.client("speaker")
    speaker.join(speaker.send_in(MICROPHONE))
    world.settle(1)
    for member in members:
        # Inbox asserts that nobody is bound to somebody unknown.
        assert len(member.inbox.of(SubscriptionBound)) == 1
        assert "speaker" in member.inbox.people
    assert {len(set(map(str, member.inbox.people))) for member in members} == {SLICE + 21}


def test_leaving_in_the_middle_of_a_delivery() -> None:
    world = World()
    members = [world.client(f"p{index}").join() for index in range(SLICE + 20)]
    world.settle(1)
    members[0].session.leave()
    # The first slice is on its way when more of them go.
    for member in members[1:40]:
        member.session.leave()
    world.settle(1)
    survivors = {member.identity for member in members[40:]}
    for member in members[40:]:
        assert set(member.inbox.people) == survivors


def test_join_and_leave_within_one_flush() -> None:
    world = World()
    alice = world.client("alice").join()
    world.settle(1)
    bob = world.client("bob")
    world.settle = lambda delay_s=0.0: None  # type: ignore[method-assign]
    bob.join()
    bob.session.leave()
    world.clock.advance(1)
    assert alice.inbox.people == {"alice": ()}


def test_who_is_removed_is_told_first_what_is_new() -> None:
    world = World()
    alice, bob = world.client("alice").join(), world.client("bob").join()
    world.settle(0.001)
    # Too close to the flush before for another one.
    world.service.update_participant(ROOM, alice.identity, ParticipantUpdate(name="Al"))
    world.service.remove_participant(ROOM, bob.identity)
    assert changes(bob)[-1].change.value.updated[0].value.name == "Al"
    assert isinstance(bob.inbox.events[-1], Leave)
    world.settle()
    assert changes(alice)[-1].change.value.left[0].identity == bob.identity


def test_room_that_ends_tells_everyone_what_was_new() -> None:
    world = World()
    alice = world.client("alice").join()
    others = [world.client(f"p{index}").join() for index in range(SLICE + 20)]
    world.settle(1)
    world.service.update_room_metadata(ROOM, "first")
    # The first slice of it is on its way.
    world.settle(0)
    world.service.update_participant(ROOM, alice.identity, ParticipantUpdate(name="Al"))
    world.service.update_room_metadata(ROOM, "last")
    world.service.delete_room(ROOM)
    world.settle()
    for client in (alice, *others):
        assert [item.room.value.metadata for item in client.inbox.of(RoomUpdated)][-2:] == ["first", "last"]
        assert changes(client)[-1].change.value.updated[0].value.name == "Al"
        assert isinstance(client.inbox.events[-1], Leave)
