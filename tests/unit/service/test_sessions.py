import pytest

from sfu.core.codecs import TrackSource
from sfu.core.ids import Identity, RoomName, SessionId, TrackSid
from sfu.dataplane.commands import RestartIce, SetRemote
from sfu.dataplane.events import CloseReason, TransportState
from sfu.participants.requests import ParticipantUpdate, ResumeRequest
from sfu.participants.sink import Leave, LeaveCode, MediaStateChanged, Reconnect, Resumed
from sfu.tracks.subscription import SubscriptionWish
from tests.support.domain import ROOM, Client, Inbox, World, raises_code, run

CAMERA, MICROPHONE = TrackSource.CAMERA, TrackSource.MICROPHONE


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Client:
    client = world.client("alice").receive(1, 1)
    return client.join(client.send_in(CAMERA, "cam")).connect()


class TestResume:
    def test_media_survives_and_missed_events_follow(self, world: World, alice: Client) -> None:
        old = alice.detach()
        bob = world.client("bob").join()
        transports = dict(world.plane.transports)
        world.settle(10)
        alice.resume(old.last_seq)
        assert alice.inbox.of(Resumed) == [Resumed(None, None)]
        numbers = [seq for seq, _ in alice.inbox.received]
        assert numbers == list(range(old.last_seq, old.last_seq + len(numbers)))
        assert "bob" in {
            person.value.identity
            for event in alice.inbox.events[1:]
            for person in getattr(event, "change").value.joined  # noqa: B009
        }
        assert world.plane.transports == transports
        assert bob.inbox.people["alice"] == ("cam",)
        assert bob.inbox.leave is None

    def test_too_much_missed_gives_the_whole_state(self) -> None:
        world = World(session={"replay_events": 3})
        alice = world.client("alice").receive(1).join()
        old = alice.detach()
        for index in range(5):
            other = world.client(f"p{index}")
            other.join(other.send_in(MICROPHONE, "mic"))
        alice.resume(old.last_seq)
        (resumed,) = alice.inbox.of(Resumed)
        assert resumed.state is not None
        assert set(alice.inbox.people) == {"alice", "p0", "p1", "p2", "p3", "p4"}
        assert alice.inbox.bound.keys() == {"0"}
        # The numbers go on from there.
        world.client("late").join()
        assert alice.inbox.received[1][0] == alice.inbox.received[0][0] + 1

    @pytest.mark.parametrize("last_seq", [0, -5, 10_000])
    def test_number_that_was_never_given_out(self, world: World, alice: Client, last_seq: int) -> None:
        alice.detach()
        alice.resume(last_seq)
        assert alice.inbox.of(Resumed)[0].state is not None

    def test_window_ends(self, world: World, alice: Client) -> None:
        bob = world.client("bob").join()
        alice.detach()
        world.settle(31)
        assert not alice.session.alive
        assert bob.inbox.people == {"bob": ()}
        assert world.observer.left == ["signal_lost"]
        raises_code("session_gone", lambda: alice.resume(1))

    def test_again_and_again(self, world: World, alice: Client) -> None:
        for _ in range(20):
            old = alice.detach()
            world.settle(20)
            alice.resume(max(old.last_seq, 1))
        world.settle(100)
        assert alice.session.alive

    def test_new_socket_before_the_old_one_is_known_dead(self, world: World, alice: Client) -> None:
        old, alice.inbox = alice.inbox, Inbox()
        alice.resume(old.last_seq)
        assert old.leave is not None
        assert old.leave.code is LeaveCode.SUPERSEDED
        # The old socket's end comes late: it is not the session's.
        alice.session.detach(old)
        world.settle(60)
        assert alice.session.alive
        assert alice.inbox.leave is None

    def test_is_for_the_same_identity_in_the_same_room(self, world: World, alice: Client) -> None:
        secret = alice.session.session_id
        mallory = ResumeRequest(secret, ROOM, Identity("mallory"), 1)
        raises_code("session_gone", lambda: run(world.service.resume(mallory, Inbox())))
        elsewhere = ResumeRequest(secret, RoomName("other"), alice.identity, 1)
        raises_code("session_gone", lambda: run(world.service.resume(elsewhere, Inbox())))
        unknown = ResumeRequest(SessionId("SE_x"), ROOM, alice.identity, 1)
        raises_code("session_gone", lambda: run(world.service.resume(unknown, Inbox())))
        assert alice.inbox.leave is None

    def test_after_replacement_by_a_new_join(self, world: World, alice: Client) -> None:
        alice.detach()
        again = world.client("alice").join()
        raises_code("session_gone", lambda: alice.resume(1))
        assert again.session.alive
        world.settle(60)
        assert again.session.alive, "the old session's timer is not its own"

    def test_after_a_kick(self, world: World, alice: Client) -> None:
        old = alice.detach()
        world.service.remove_participant(ROOM, alice.identity)
        raises_code("session_gone", lambda: alice.resume(old.last_seq))

    def test_kick_while_the_client_comes_back(self, world: World, alice: Client) -> None:
        old = alice.detach()
        alice.resume(old.last_seq)
        world.service.remove_participant(ROOM, alice.identity)
        assert alice.inbox.leave is not None
        assert alice.inbox.leave.code is LeaveCode.REMOVED
        assert alice.inbox.leave.reconnect is Reconnect.NO
        alice.session.detach(alice.inbox)
        world.settle()
        assert world.clock.pending == 1, "only the room's expiry"

    def test_with_a_bad_offer_leaves_the_session_waiting(self, world: World, alice: Client) -> None:
        old = alice.detach()
        alice.sections.append("m=nonsense")
        raises_code("invalid_sdp", lambda: alice.resume(old.last_seq, offer=True))
        alice.sections.pop()
        alice.resume(old.last_seq, offer=True)
        assert alice.session.alive

    def test_leave_after_resume_by_the_stale_session_object(self, world: World, alice: Client) -> None:
        stale = alice.session
        old = alice.detach()
        alice.resume(old.last_seq)
        stale.leave()
        assert not alice.session.alive, "both are doors of one participant"


class TestIceRestart:
    def test_new_ufrag_restarts_and_keeps_everything(self, world: World, alice: Client) -> None:
        sent = len(world.plane.sent(SetRemote))
        old = alice.detach()
        alice.ufrag = "another"
        alice.resume(old.last_seq, offer=True)
        (resumed,) = alice.inbox.of(Resumed)
        (restart,) = world.plane.sent(RestartIce)
        assert resumed.answer_sdp is not None
        assert f"a=ice-ufrag:{restart.local.ufrag}" in resumed.answer_sdp
        assert len(world.plane.sent(SetRemote)) == sent + 1
        assert len(world.plane.tracks) == 1
        assert len(world.plane.transports) == 1

    def test_same_ufrag_does_not(self, world: World, alice: Client) -> None:
        alice.offer()
        assert world.plane.sent(RestartIce) == []
        assert len(world.plane.sent(SetRemote)) == 1

    def test_other_certificate_needs_a_new_session(self, world: World, alice: Client) -> None:
        sdp = alice.offer_sdp.replace("sha-256 AB", "sha-256 EE")
        raises_code("negotiation_failed", lambda: alice.session.offer(sdp))


class TestTransport:
    @pytest.mark.parametrize(
        ("reason", "code"),
        [
            (CloseReason.PEER_CLOSED, LeaveCode.MEDIA_CLOSED),
            (CloseReason.CONSENT_EXPIRED, LeaveCode.MEDIA_LOST),
            (CloseReason.DATA_BACKPRESSURE, LeaveCode.MEDIA_LOST),
            (CloseReason.HANDSHAKE_TIMEOUT, LeaveCode.MEDIA_FAILED),
            (CloseReason.FINGERPRINT_MISMATCH, LeaveCode.MEDIA_FAILED),
            (CloseReason.INTERNAL, LeaveCode.INTERNAL),
        ],
    )
    def test_closed_by_the_plane_ends_the_session(
        self, world: World, alice: Client, reason: CloseReason, code: LeaveCode
    ) -> None:
        bob = world.client("bob").join()
        world.plane.transport_state(alice.transport, TransportState.CLOSED, reason)
        world.settle()
        assert alice.inbox.leave is not None
        assert (alice.inbox.leave.code, alice.inbox.leave.reconnect) == (code, Reconnect.REJOIN)
        assert alice.inbox.leave.text
        assert bob.inbox.people == {"bob": ()}
        assert alice.debug["state"] == "gone"
        assert world.plane.transports == {}

    def test_closed_after_leaving_is_the_end_of_it(self, world: World, alice: Client) -> None:
        transport = alice.transport
        alice.session.leave()
        assert alice.debug["state"] == "leaving"
        assert alice.inbox.leave is None, "it said so itself"
        world.plane.transport_state(transport, TransportState.CONNECTED)
        world.plane.transport_state(transport, TransportState.CLOSED, CloseReason.REMOVED)
        assert alice.debug["state"] == "gone"
        world.plane.transport_state(transport, TransportState.CLOSED, CloseReason.REMOVED)
        assert world.service.debug_state()["held"] == {
            "transports": 0,
            "tracks": 0,
            "slots": 0,
            "sessions": 0,
        }

    def test_state_is_told_to_its_owner_and_shown_to_others(self, world: World) -> None:
        bob = world.client("bob").join()
        alice = world.client("alice").receive(1).join()
        assert world.service.get_participant(ROOM, alice.identity).state.value == "joining"
        alice.connect()
        assert world.service.get_participant(ROOM, alice.identity).state.value == "active"
        for state in (TransportState.DISCONNECTED, TransportState.ICE_CONNECTED, TransportState.CONNECTED):
            world.plane.transport_state(alice.transport, state)
        told = [event.state for event in alice.inbox.of(MediaStateChanged)]
        assert told == ["connected", "disconnected", "connecting", "connected"]
        assert bob.inbox.of(MediaStateChanged) == []

    def test_that_never_comes_up(self, world: World) -> None:
        alice = world.client("alice").receive(1).join()
        world.settle(31)
        assert alice.inbox.leave is not None
        assert alice.inbox.leave.code is LeaveCode.MEDIA_FAILED
        assert len(world.observer.traces) == 1

    def test_without_media_nothing_is_waited_for(self, world: World) -> None:
        alice = world.client("alice").join()
        world.settle(1000)
        assert alice.session.alive


def test_leave_is_quiet_for_the_leaver_and_told_to_others(world: World, alice: Client) -> None:
    bob = world.client("bob").join()
    alice.session.leave()
    alice.session.leave()
    world.settle()
    assert alice.inbox.of(Leave) == []
    assert bob.inbox.people == {"bob": ()}
    assert world.observer.left == ["client_left"]
    assert world.observer.tracks == 0


def test_rejoin_races_leave_one_session(world: World) -> None:
    clients = []
    for _ in range(10):
        client = world.client("alice").receive(1)
        client.join(client.send_in(CAMERA))
        clients.append(client)
        clients[0].session.leave()
        clients[0].session.detach(clients[0].inbox)
    assert [client.session.alive for client in clients] == [False] * 9 + [True]
    assert len(world.plane.transports) == 1
    assert len(world.plane.tracks) == 1
    world.settle(100)
    assert world.service.counts().participants == 0, "the last one's transport never came up"


def test_every_method_of_an_ended_session_says_so(world: World, alice: Client) -> None:
    alice.session.leave()
    door, track = alice.session, TrackSid("TR_x")
    for call in (
        lambda: door.offer("v=0"),
        lambda: door.trickle("candidate"),
        lambda: door.mute(track, True),
        lambda: door.unpublish(track),
        lambda: door.subscribe(track),
        lambda: door.unsubscribe(track),
        lambda: door.update_subscription(track, SubscriptionWish()),
        lambda: door.update_metadata(ParticipantUpdate()),
        lambda: door.send_data(b""),
    ):
        raises_code("session_gone", call)


def test_trickle_is_accepted_and_bounded(world: World, alice: Client) -> None:
    alice.session.trickle("candidate:1 1 udp 1 192.0.2.7 9 typ host", "0")
    raises_code("limit_exceeded", lambda: alice.session.trickle("x" * 2000))
