"""A packet plane that forwards nothing and remembers everything: the facade's interface for domain tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sfu.core.ids import ParticipantId, RoomId, SlotId, TrackId, TransportId, WorkerId
from sfu.dataplane.commands import (
    AddSlot,
    AddTrack,
    AddTransport,
    Command,
    IceCredentials,
    LocalPath,
    RemoveMember,
    RemoveSlot,
    RemoveTrack,
    RemoveTransport,
    SetMember,
    Subscribe,
    TransportSource,
    Unsubscribe,
    UpdateSubscription,
    Wish,
)
from sfu.dataplane.events import CloseReason, Event, TransportState, TransportStateChanged, WorkerStats
from sfu.dataplane.local_rings import LocalRingRefusedError
from sfu.dataplane.placement import Placement

T = TypeVar("T")
LOCAL_SECRET = "given-to-an-agent"


class RecordingPlane:
    """Keeps the commands, and the state that an engine would have after them.

    It is strict where the engine is lenient: a command about something that is not there fails the test.
    Every command also passes the facade's own placement.
    """

    fingerprint = "sha-256 " + ":".join(["CD"] * 32)

    def __init__(self, workers: int = 1) -> None:
        self.commands: list[Command] = []
        self.transports: dict[TransportId, AddTransport] = {}
        self.tracks: dict[TrackId, AddTrack] = {}
        self.slots: dict[SlotId, AddSlot] = {}
        self.carries: dict[SlotId, tuple[TrackId, Wish]] = {}
        self.members: dict[ParticipantId, SetMember] = {}
        self.closed = False
        self.received: dict[TransportId, int] = {}
        """Answers to `last_received`."""
        self.worker_stats: tuple[WorkerStats, ...] = ()
        self.placement = Placement(workers, room_share=2)
        self.placed: list[tuple[WorkerId, Command]] = []
        """Commands per worker, as the facade would submit them."""
        self._numbers = itertools.count(1)
        self._callbacks: list[Callable[[Event], None]] = []

    def new_room_id(self) -> RoomId:
        return RoomId(next(self._numbers))

    def new_participant_id(self) -> ParticipantId:
        return ParticipantId(next(self._numbers))

    def new_transport_id(self) -> TransportId:
        return TransportId(next(self._numbers))

    def new_track_id(self) -> TrackId:
        return TrackId(next(self._numbers))

    def new_slot_id(self) -> SlotId:
        return SlotId(next(self._numbers))

    def place(self, room: RoomId) -> WorkerId:
        return self.placement.place(room)

    def credentials(self, worker: WorkerId) -> IceCredentials:
        return IceCredentials(f"{worker:02x}ufrag{next(self._numbers):09d}", "p" * 24)

    def addresses(self, worker: WorkerId) -> tuple[tuple[str, int], ...]:
        return (("192.0.2.1", 7882),)

    def local_path(self, secret: str, worker: WorkerId, transport: TransportId) -> LocalPath:
        if secret != LOCAL_SECRET:
            raise LocalRingRefusedError
        return LocalPath(worker, transport)

    def apply(self, commands: Iterable[Command]) -> None:
        for command in commands:
            self.commands.append(command)
            self.placed += self.placement.route(command)
            self._act(command)

    def subscribe_events(self, callback: Callable[[Event], None]) -> None:
        self._callbacks.append(callback)

    async def stats(self) -> Sequence[WorkerStats]:
        return self.worker_stats

    async def last_received(self, transport: TransportId) -> int:
        return self.received.get(transport, 0)

    async def close(self, deadline_s: float) -> None:
        self.closed = True

    # For tests.

    def emit(self, *events: Event) -> None:
        """Let the engine say something."""
        for event in events:
            for callback in self._callbacks:
                callback(event)

    def transport_state(
        self, transport: TransportId, state: TransportState, reason: CloseReason = CloseReason.NONE
    ) -> None:
        """Let the engine report a transport's state; a closed one is gone."""
        if state is TransportState.CLOSED:
            self._forget_transport(transport)
            self.placed += self.placement.transport_closed(transport)
        self.emit(TransportStateChanged(WorkerId(0), transport, state, reason, None))

    def sent(self, kind: type[T]) -> list[T]:
        """Commands of one kind, in order."""
        return [command for command in self.commands if isinstance(command, kind)]

    def _act(self, command: Command) -> None:
        match command:
            case AddTransport():
                assert command.transport not in self.transports
                self.transports[command.transport] = command
            case RemoveTransport():
                assert command.transport in self.transports
                self._forget_transport(command.transport)
            case AddTrack():
                assert isinstance(command.source, TransportSource)
                assert command.source.transport in self.transports
                self.tracks[command.track] = command
            case RemoveTrack():
                del self.tracks[command.track]
                self.carries = {slot: item for slot, item in self.carries.items() if item[0] != command.track}
            case AddSlot():
                assert command.transport in self.transports
                self.slots[command.slot] = command
            case RemoveSlot():
                del self.slots[command.slot]
                self.carries.pop(command.slot, None)
            case Subscribe():
                self._check_fit(command.slot, command.track)
                self.carries[command.slot] = (command.track, command.wish)
            case UpdateSubscription():
                self.carries[command.slot] = (self.carries[command.slot][0], command.wish)
            case Unsubscribe():
                del self.carries[command.slot]
            case SetMember():
                assert command.transport in self.transports
                self.members[command.participant] = command
            case RemoveMember():
                del self.members[command.participant]
            case _:
                pass

    def _check_fit(self, slot: SlotId, track: TrackId) -> None:
        takes = {codec.format for codec in self.slots[slot].codecs}
        gives = {codec.format for codec in self.tracks[track].codecs}
        assert takes & gives, "bound without a common codec"

    def _forget_transport(self, transport: TransportId) -> None:
        self.transports.pop(transport, None)
        gone = {slot for slot, item in self.slots.items() if item.transport == transport}
        self.slots = {slot: item for slot, item in self.slots.items() if slot not in gone}
        self.tracks = {
            track: item
            for track, item in self.tracks.items()
            if not (isinstance(item.source, TransportSource) and item.source.transport == transport)
        }
        self.carries = {
            slot: item for slot, item in self.carries.items() if slot not in gone and item[0] in self.tracks
        }
