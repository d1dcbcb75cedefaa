"""Who loses its transport and joins anew is not seen to have left."""

from __future__ import annotations

import pytest
from livekit.protocol import models, rtc

from sfu.core.ids import TransportId
from sfu.dataplane.events import CloseReason, TransportState
from sfu.participants.sink import LeaveCode, ParticipantsChanged
from signaling.livekit.context import RETURN_GRACE_S
from tests.support.domain import World
from tests.unit.livekit.support import Wire

GONE = models.ParticipantInfo.State.DISCONNECTED


@pytest.fixture
def alice() -> Wire:
    return Wire(World(), "alice").join()


@pytest.fixture
def bob(alice: Wire) -> Wire:
    return Wire(alice.world, "bob").join()


def lose(wire: Wire, reason: CloseReason = CloseReason.PEER_CLOSED) -> None:
    """Its transport closes."""
    (transport,) = (
        item.transport for item in wire.world.plane.members.values() if item.identity == wire.token.identity
    )
    wire.world.plane.transport_state(TransportId(transport), TransportState.CLOSED, reason)
    wire.world.settle()


def seen(wire: Wire) -> list[tuple[str, int]]:
    """Sids of alice in updates, with their states."""
    updates = (item for update in wire.all("update") for item in update.participants)
    return [(item.sid, item.state) for item in updates if item.identity == "alice"]


@pytest.mark.parametrize("reason", [CloseReason.PEER_CLOSED, CloseReason.CONSENT_EXPIRED])
def test_a_new_join_takes_the_place_of_the_old_one(alice: Wire, bob: Wire, reason: CloseReason) -> None:
    alice.publish()
    bob.frames.clear()
    lose(alice, reason)
    assert alice.last("leave").action == rtc.LeaveRequest.Action.RECONNECT
    assert alice.closed is not None
    alice.world.settle(RETURN_GRACE_S - 1)
    assert not seen(bob)
    again = Wire(alice.world, "alice").join()
    sid = again.last("join").participant.sid
    assert {item for item, _ in seen(bob)} == {sid}
    alice.world.settle(2 * RETURN_GRACE_S)
    assert GONE not in {state for _, state in seen(bob)}


def test_who_does_not_come_back_has_left(alice: Wire, bob: Wire) -> None:
    sid = alice.last("join").participant.sid
    bob.frames.clear()
    alice.dialect.handle_disconnect()
    lose(alice)
    newcomer = Wire(alice.world, "eve").join()
    assert [item.identity for item in newcomer.last("join").other_participants] == ["bob"]
    assert not seen(bob)
    alice.world.settle(RETURN_GRACE_S)
    assert seen(bob) == [(sid, GONE)]


def test_who_says_goodbye_has_left_at_once(alice: Wire, bob: Wire) -> None:
    alice.ask(leave=rtc.LeaveRequest())
    assert seen(bob)[-1][1] == GONE


def test_a_silent_client_without_a_socket_has_left_at_once(alice: Wire, bob: Wire) -> None:
    alice.dialect.handle_disconnect()
    lose(alice, CloseReason.CONSENT_EXPIRED)
    assert seen(bob)[-1][1] == GONE


def test_a_client_that_was_told_to_join_anew_may_say_goodbye_first(alice: Wire, bob: Wire) -> None:
    alice.ask(simulate=rtc.SimulateScenario(leave_request_full_reconnect=True))
    alice.ask(leave=rtc.LeaveRequest())
    again = Wire(alice.world, "alice").join()
    assert GONE not in {state for _, state in seen(bob)}
    assert seen(bob)[-1][0] == again.last("join").participant.sid


def test_native_clients_see_one_go_as_the_other_comes(alice: Wire) -> None:
    native = alice.world.client("native").receive(1).join()
    old = alice.last("join").participant.sid
    lose(alice)
    before = len(native.inbox.received)
    again = Wire(alice.world, "alice").join()
    (change,) = (
        event.change.value
        for _, event in native.inbox.received[before:]
        if isinstance(event, ParticipantsChanged)
    )
    assert [(item.sid, item.reason) for item in change.left] == [(old, LeaveCode.DUPLICATE_IDENTITY)]
    assert [item.value.sid for item in change.joined] == [again.last("join").participant.sid]


def test_a_room_that_ends_forgets_them(alice: Wire, bob: Wire) -> None:
    lose(alice)
    alice.world.service.delete_room(alice.world.room)
    bob.frames.clear()
    alice.world.settle(2 * RETURN_GRACE_S)
    assert not seen(bob)
