"""Where transports, tracks and slots live, and what crosses between workers."""

from __future__ import annotations

from itertools import count

import pytest

from sfu.core.codecs import Codec, MediaKind
from sfu.core.ids import (
    Identity,
    Mid,
    ParticipantId,
    ParticipantSid,
    RoomId,
    SlotId,
    TrackId,
    TransportId,
    WorkerId,
)
from sfu.dataplane.commands import (
    AddSlot,
    AddTarget,
    AddTrack,
    AddTransport,
    Command,
    DataDialect,
    IceCredentials,
    LayerSpec,
    LocalSource,
    ReceiveCodec,
    RemoveSlot,
    RemoveTarget,
    RemoveTrack,
    RemoveTransport,
    RequestKeyframe,
    RingSource,
    RingTarget,
    Role,
    SendCodec,
    SendData,
    SetMember,
    SetTrackMuted,
    Subscribe,
    TransportSource,
    Unsubscribe,
    UpdateSubscription,
    Wish,
)
from sfu.dataplane.placement import NotPlacedError, Placed, Placement

ROOM = RoomId(1)
WISH = Wish(max_height_px=720, max_temporal=3, priority=100, may_pause=True, paused=False)
ALICE, BOB, CAROL = TransportId(1), TransportId(2), TransportId(3)
SONG = TrackId(10)
W0, W1, W2 = WorkerId(0), WorkerId(1), WorkerId(2)

slot_ids = count(100)


def add_transport(placement: Placement, transport: TransportId, worker: int, room: RoomId = ROOM) -> None:
    local = IceCredentials(f"{worker:02x}abcdefgh", "p" * 24)
    command = AddTransport(transport, room, Role.SERVER, local)
    assert placement.route(command) == [(WorkerId(worker), command)]


def track(transport: TransportId, number: TrackId = SONG, room: RoomId = ROOM) -> AddTrack:
    return AddTrack(
        track=number,
        room=room,
        source=TransportSource(transport, Mid("0")),
        kind=MediaKind.AUDIO,
        codecs=(ReceiveCodec(111, Codec.OPUS, 48000, None, False, 1),),
        layers=(LayerSpec(),),
        muted=False,
        cname="alice",
    )


def add_slot(placement: Placement, transport: TransportId) -> SlotId:
    slot = SlotId(next(slot_ids))
    codecs = (SendCodec(111, Codec.OPUS, 48000, None, 1),)
    placement.route(AddSlot(slot, transport, Mid("1"), None, MediaKind.AUDIO, 7, None, codecs))
    return slot


def two_workers() -> tuple[Placement, SlotId]:
    """Alice publishes on worker 0, Bob has a slot on worker 1."""
    placement = Placement(2)
    add_transport(placement, ALICE, 0)
    add_transport(placement, BOB, 1)
    placement.route(track(ALICE))
    return placement, add_slot(placement, BOB)


def kinds(placed: list[Placed]) -> list[tuple[int, str]]:
    return [(worker, type(command).__name__) for worker, command in placed]


class TestWorkerOfATransport:
    def test_is_what_its_ufrag_says(self) -> None:
        placement = Placement(200)
        add_transport(placement, ALICE, 0xAB)
        assert placement.worker(ALICE) == 0xAB

    def test_first_of_a_room_goes_to_the_least_loaded_and_the_next_stay_with_it(self) -> None:
        placement = Placement(3)
        add_transport(placement, ALICE, 0, RoomId(5))
        assert placement.place(ROOM) == W1
        add_transport(placement, BOB, 1)
        assert placement.place(ROOM) == W1
        assert placement.place(RoomId(5)) == W0

    def test_a_room_spreads_when_its_share_is_full(self) -> None:
        placement = Placement(2, room_share=2)
        workers = []
        for number in range(6):
            worker = placement.place(ROOM)
            add_transport(placement, TransportId(number), worker)
            workers.append(worker)
        assert workers == [0, 0, 1, 1, 0, 1]

    def test_an_empty_room_is_forgotten(self) -> None:
        placement = Placement(2)
        add_transport(placement, ALICE, 0)
        placement.route(RemoveTransport(ALICE))
        add_transport(placement, BOB, 0, RoomId(2))
        assert placement.place(ROOM) == W1
        assert placement.transports == (BOB,)


class TestSubscriptionOnTheSameWorker:
    def test_needs_no_mirror(self) -> None:
        placement = Placement(2)
        add_transport(placement, ALICE, 1)
        placement.route(track(ALICE))
        slot = add_slot(placement, ALICE)
        command = Subscribe(slot, SONG, WISH)
        assert placement.route(command) == [(W1, command)]
        assert kinds(placement.route(Unsubscribe(slot))) == [(1, "Unsubscribe")]


class TestSubscriptionOnAnotherWorker:
    def test_first_slot_makes_a_mirror_before_it_binds(self) -> None:
        placement, slot = two_workers()
        mirror, target, bind = placement.route(Subscribe(slot, SONG, WISH))
        assert mirror[0] == W1
        assert isinstance(mirror[1], AddTrack)
        assert mirror[1].source == RingSource(W0)
        assert target == (W0, AddTarget(SONG, RingTarget(W1)))
        assert bind == (W1, Subscribe(slot, SONG, WISH))

    def test_next_slot_shares_it_and_the_last_takes_it_down(self) -> None:
        placement, first = two_workers()
        second = add_slot(placement, BOB)
        placement.route(Subscribe(first, SONG, WISH))
        assert kinds(placement.route(Subscribe(second, SONG, WISH))) == [(1, "Subscribe")]
        assert kinds(placement.route(Unsubscribe(first))) == [(1, "Unsubscribe")]
        assert placement.route(RemoveSlot(second)) == [
            (W1, RemoveSlot(second)),
            (W0, RemoveTarget(SONG, RingTarget(W1))),
            (W1, RemoveTrack(SONG)),
        ]

    def test_repeated_subscribe_counts_once(self) -> None:
        placement, slot = two_workers()
        placement.route(Subscribe(slot, SONG, WISH))
        assert kinds(placement.route(Subscribe(slot, SONG, WISH))) == [(1, "Subscribe")]
        assert len(placement.route(Unsubscribe(slot))) == 3

    def test_switch_of_a_slot_moves_it_to_the_other_mirror(self) -> None:
        placement, slot = two_workers()
        other = TrackId(11)
        placement.route(track(ALICE, other))
        placement.route(Subscribe(slot, SONG, WISH))
        assert kinds(placement.route(Subscribe(slot, other, WISH))) == [
            (1, "AddTrack"),
            (0, "AddTarget"),
            (1, "Subscribe"),
            (0, "RemoveTarget"),
            (1, "RemoveTrack"),
        ]

    def test_unbound_slot_unsubscribes_alone(self) -> None:
        placement, slot = two_workers()
        assert kinds(placement.route(Unsubscribe(slot))) == [(1, "Unsubscribe")]

    def test_mute_and_renegotiation_reach_the_mirror(self) -> None:
        placement, slot = two_workers()
        placement.route(Subscribe(slot, SONG, WISH))
        muted = SetTrackMuted(SONG, True)
        assert placement.route(muted) == [(W0, muted), (W1, muted)]
        assert kinds(placement.route(track(ALICE))) == [(0, "AddTrack"), (1, "AddTrack")]

    def test_mirror_of_a_muted_track_begins_muted(self) -> None:
        placement, slot = two_workers()
        placement.route(SetTrackMuted(SONG, True))
        (_, mirror), *_ = placement.route(Subscribe(slot, SONG, WISH))
        assert isinstance(mirror, AddTrack)
        assert mirror.muted

    def test_end_of_the_track_takes_the_mirror_with_it(self) -> None:
        placement, slot = two_workers()
        placement.route(Subscribe(slot, SONG, WISH))
        assert placement.route(RemoveTrack(SONG)) == [(W0, RemoveTrack(SONG)), (W1, RemoveTrack(SONG))]
        assert kinds(placement.route(Unsubscribe(slot))) == [(1, "Unsubscribe")]


class TestEndOfATransport:
    def test_publisher_removed_ends_its_mirrors(self) -> None:
        placement, slot = two_workers()
        placement.route(Subscribe(slot, SONG, WISH))
        assert placement.route(RemoveTransport(ALICE)) == [
            (W0, RemoveTransport(ALICE)),
            (W1, RemoveTrack(SONG)),
        ]

    def test_subscriber_closed_by_itself_ends_what_only_it_used(self) -> None:
        placement, slot = two_workers()
        placement.route(Subscribe(slot, SONG, WISH))
        assert placement.transport_closed(BOB) == [
            (W0, RemoveTarget(SONG, RingTarget(W1))),
            (W1, RemoveTrack(SONG)),
        ]
        assert placement.transport_closed(BOB) == []
        with pytest.raises(NotPlacedError):
            placement.route(Unsubscribe(slot))

    def test_nothing_is_left_after_many_lives(self) -> None:
        placement = Placement(2, room_share=1)
        for number in range(0, 200, 2):
            publisher, subscriber = TransportId(number), TransportId(number + 1)
            for transport in (publisher, subscriber):
                add_transport(placement, transport, placement.place(ROOM))
            placement.route(track(publisher, TrackId(number)))
            placement.route(Subscribe(add_slot(placement, subscriber), TrackId(number), WISH))
            placement.transport_closed(publisher)
            placement.route(RemoveTransport(subscriber))
        assert placement.transports == ()
        for table in ("_rooms", "_tracks", "_slots"):
            assert not getattr(placement, table)


class TestEveryWorker:
    def test_hears_of_members_and_of_server_data(self) -> None:
        placement, _ = two_workers()
        member = SetMember(
            ROOM,
            ParticipantId(5),
            Identity("bob"),
            BOB,
            DataDialect.NATIVE,
            True,
            False,
            ParticipantSid("PA_b"),
        )
        told = placement.route(member)
        assert [worker for worker, _ in told] == [0, 1]
        assert all(isinstance(command, SetMember) and command.worker == W1 for _, command in told)
        data = SendData(ROOM, (), True, "topic", b"x", "")
        assert placement.route(data) == [(W0, data), (W1, data)]


class TestOwnerOnly:
    def test_wishes_go_to_the_slot_and_keyframes_to_the_home(self) -> None:
        placement, slot = two_workers()
        placement.route(Subscribe(slot, SONG, WISH))
        assert kinds(placement.route(UpdateSubscription(slot, WISH))) == [(1, "UpdateSubscription")]
        assert kinds(placement.route(RequestKeyframe(SONG, 0))) == [(0, "RequestKeyframe")]

    def test_a_local_source_is_where_its_room_is(self) -> None:
        placement = Placement(2)
        add_transport(placement, ALICE, 1)
        spec = track(ALICE)
        local = AddTrack(spec.track, ROOM, LocalSource(), spec.kind, spec.codecs, spec.layers, False, "x")
        assert kinds(placement.route(local)) == [(1, "AddTrack")]
        assert placement.home(SONG) == W1


@pytest.mark.parametrize(
    "command",
    [
        RemoveTransport(CAROL),
        track(CAROL, TrackId(99)),
        RemoveTrack(TrackId(99)),
        RemoveSlot(SlotId(99)),
        Subscribe(SlotId(99), SONG, WISH),
        UpdateSubscription(SlotId(99), WISH),
        SetTrackMuted(TrackId(99), True),
        AddTarget(TrackId(99), RingTarget(W1)),
    ],
    ids=lambda command: type(command).__name__,
)
def test_what_is_not_there_is_named_and_changes_nothing(command: Command) -> None:
    placement, slot = two_workers()
    with pytest.raises(NotPlacedError) as caught:
        placement.route(command)
    assert caught.value.number in {CAROL, 99}
    assert len(placement.route(Subscribe(slot, SONG, WISH))) == 3
