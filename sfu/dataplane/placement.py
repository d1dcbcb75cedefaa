"""Which worker does what: from commands of the domain to commands per worker. Pure.

A transport lives on one worker, with its slots and the tracks it publishes. A slot on another worker that
wants a track gets it from a mirror there: the home worker sends each packet once to that worker, which
has a track of the same id with a ring as its source. Mirrors are counted by the slots that use them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sfu.core.errors import ServerError
from sfu.core.ids import RoomId, SlotId, TrackId, TransportId, WorkerId
from sfu.dataplane.commands import (
    AddRemoteCandidate,
    AddSlot,
    AddTarget,
    AddTrack,
    AddTransport,
    Command,
    LimitSending,
    RemoveDataTrack,
    RemoveMember,
    RemoveSlot,
    RemoveTarget,
    RemoveTrack,
    RemoveTransport,
    RequestKeyframe,
    RestartIce,
    RingSource,
    RingTarget,
    SendData,
    SetDataTrack,
    SetMember,
    SetRemote,
    SetTrackMuted,
    Subscribe,
    TransportSource,
    Unsubscribe,
    UpdateSubscription,
)

ROOM_SHARE = 50
"""Transports of one room on a worker before the next worker gets some: a conversation of 50, ten of them
speaking, is 25 000 packets a second, and a packet that stays on its worker crosses no ring."""

WORKER_DIGITS = 2
"""Lower-case hexadecimal digits at the start of a local ufrag: the worker its transport is on."""


class NotPlacedError(ServerError):
    """A command names a transport, track or slot that is not there; it may just have closed."""

    code = "not_placed"

    def __init__(self, kind: str, number: int) -> None:
        super().__init__(f"no such {kind}")
        self.kind = kind
        self.number = number


Placed = tuple[WorkerId, Command]


@dataclass(slots=True)
class _Transport:
    worker: WorkerId
    room: RoomId
    slots: set[SlotId] = field(default_factory=set)
    tracks: set[TrackId] = field(default_factory=set)
    """Published on it."""


@dataclass(slots=True)
class _Track:
    home: WorkerId
    spec: AddTrack
    slots: set[SlotId] = field(default_factory=set)
    """That carry it."""
    mirrors: Counter[WorkerId] = field(default_factory=Counter)
    """How many of the slots, by worker; the home has no entry."""


@dataclass(slots=True)
class _Slot:
    id: SlotId
    worker: WorkerId
    transport: TransportId
    track: TrackId | None = None


@dataclass(slots=True)
class _Room:
    worker: WorkerId
    """Where its next transport goes, and what is not on a transport."""
    share: Counter[WorkerId] = field(default_factory=Counter)


class Placement:
    """Remembers what lives where. Owns no native object: every method returns what is to be told to whom."""

    def __init__(self, workers: int, room_share: int = ROOM_SHARE) -> None:
        self._workers = [WorkerId(index) for index in range(workers)]
        self._room_share = room_share
        self._load: Counter[WorkerId] = Counter()
        self._rooms: dict[RoomId, _Room] = {}
        self._transports: dict[TransportId, _Transport] = {}
        self._tracks: dict[TrackId, _Track] = {}
        self._slots: dict[SlotId, _Slot] = {}

    @property
    def transports(self) -> tuple[TransportId, ...]:
        """All that are there."""
        return tuple(self._transports)

    def place(self, room: RoomId) -> WorkerId:
        """The worker for a new transport of this room: the room's own until its share there is full."""
        known = self._rooms.get(room)
        if known is None:
            return self._least_loaded()
        if known.share[known.worker] < self._room_share:
            return known.worker
        return min(self._workers, key=lambda worker: (known.share[worker], self._load[worker]))

    def home(self, track: TrackId) -> WorkerId:
        """The worker a track's packets come in at. Raises NotPlacedError."""
        return self._track(track).home

    def worker(self, transport: TransportId) -> WorkerId:
        """The worker a transport is on. Raises NotPlacedError."""
        return self._transport(transport).worker

    def route(self, command: Command) -> list[Placed]:
        """What to tell which worker, in this order.

        Raises:
            NotPlacedError: It is about something that is not there. Nothing changed.
        """
        return list(self._route(command))

    def transport_closed(self, transport: TransportId) -> list[Placed]:
        """An engine says that a transport is gone with all that was on it; the others need to know."""
        return list(self._forget_transport(transport))

    def _route(self, command: Command) -> Iterator[Placed]:
        match command:
            case AddTransport():
                yield self._add_transport(command), command
            case SetRemote() | AddRemoteCandidate() | RestartIce() | LimitSending():
                yield self._transport(command.transport).worker, command
            case RemoveTransport():
                yield self._transport(command.transport).worker, command
                yield from self._forget_transport(command.transport)
            case AddTrack():
                yield from self._add_track(command)
            case SetTrackMuted():
                track = self._track(command.track)
                track.spec = replace(track.spec, muted=command.muted)
                yield from ((worker, command) for worker in (track.home, *track.mirrors))
            case RemoveTrack():
                yield self._track(command.track).home, command
                yield from self._forget_track(command.track)
            case AddTarget() | RemoveTarget() | RequestKeyframe():
                yield self._track(command.track).home, command
            case AddSlot():
                transport = self._transport(command.transport)
                if command.slot not in self._slots:
                    slot = _Slot(command.slot, transport.worker, command.transport)
                    self._slots[command.slot] = slot
                    transport.slots.add(command.slot)
                yield transport.worker, command
            case RemoveSlot():
                slot = self._slot(command.slot)
                yield slot.worker, command
                yield from self._unbind(slot)
                del self._slots[command.slot]
                self._transport(slot.transport).slots.discard(command.slot)
            case Subscribe():
                yield from self._subscribe(command)
            case UpdateSubscription():
                yield self._slot(command.slot).worker, command
            case Unsubscribe():
                slot = self._slot(command.slot)
                yield slot.worker, command
                yield from self._unbind(slot)
            case SetMember():
                member = replace(command, worker=self._transport(command.transport).worker)
                yield from ((worker, member) for worker in self._workers)
            case SetDataTrack():
                # Somebody's transport may have closed meanwhile: the domain will hear of it.
                ids = (item for item in command.subscribers if isinstance(item, int))
                placed = tuple(
                    (item, self._transports[item].worker) for item in ids if item in self._transports
                )
                yield self._transport(command.publisher).worker, replace(command, subscribers=placed)
            case RemoveDataTrack():
                yield self._transport(command.publisher).worker, command
            case RemoveMember() | SendData():
                # Each worker serves the members whose transports it has.
                yield from ((worker, command) for worker in self._workers)

    def _add_transport(self, command: AddTransport) -> WorkerId:
        worker = WorkerId(int(command.local.ufrag[:WORKER_DIGITS], 16))
        self._transports[command.transport] = _Transport(worker, command.room)
        room = self._rooms.setdefault(command.room, _Room(worker))
        room.share[worker] += 1
        room.worker = self.place(command.room)
        self._load[worker] += 1
        return worker

    def _add_track(self, command: AddTrack) -> Iterator[Placed]:
        known = self._tracks.get(command.track)
        if known is not None:
            # Negotiated anew: same home, perhaps other codecs.
            known.spec = command
        else:
            match command.source:
                case TransportSource(transport=transport):
                    publisher = self._transport(transport)
                    publisher.tracks.add(command.track)
                    home = publisher.worker
                case RingSource(home=home):
                    pass
                case _:
                    home = self.place(command.room)
            known = self._tracks[command.track] = _Track(home, command)
        yield known.home, command
        for worker in known.mirrors:
            yield worker, self._mirror(known)

    def _subscribe(self, command: Subscribe) -> Iterator[Placed]:
        slot, track = self._slot(command.slot), self._track(command.track)
        before = slot.track
        if before != command.track and slot.worker != track.home:
            track.mirrors[slot.worker] += 1
            if track.mirrors[slot.worker] == 1:
                yield slot.worker, self._mirror(track)
                yield track.home, AddTarget(command.track, RingTarget(slot.worker))
        yield slot.worker, command
        if before != command.track:
            # Only now: a mirror that both need is not taken down and put up again.
            yield from self._unbind(slot)
            slot.track = command.track
            track.slots.add(command.slot)

    def _unbind(self, slot: _Slot) -> Iterator[Placed]:
        """Count the slot out of the mirror it used."""
        track_id, slot.track = slot.track, None
        if track_id is None:
            return
        track = self._tracks[track_id]
        track.slots.discard(slot.id)
        if slot.worker == track.home:
            return
        track.mirrors[slot.worker] -= 1
        if track.mirrors[slot.worker] == 0:
            del track.mirrors[slot.worker]
            yield track.home, RemoveTarget(track_id, RingTarget(slot.worker))
            yield slot.worker, RemoveTrack(track_id)

    def _forget_track(self, track_id: TrackId) -> Iterator[Placed]:
        track = self._tracks.pop(track_id)
        for worker in track.mirrors:
            yield worker, RemoveTrack(track_id)
        for slot in track.slots:
            self._slots[slot].track = None
        source = track.spec.source
        if isinstance(source, TransportSource) and source.transport in self._transports:
            self._transports[source.transport].tracks.discard(track_id)

    def _forget_transport(self, transport_id: TransportId) -> Iterator[Placed]:
        transport = self._transports.pop(transport_id, None)
        if transport is None:
            return
        self._load[transport.worker] -= 1
        room = self._rooms[transport.room]
        room.share[transport.worker] -= 1
        if room.share.total() == 0:
            del self._rooms[transport.room]
        for slot_id in transport.slots:
            yield from self._unbind(self._slots.pop(slot_id))
        for track_id in transport.tracks:
            yield from self._forget_track(track_id)

    def _mirror(self, track: _Track) -> AddTrack:
        return replace(track.spec, source=RingSource(track.home))

    def _least_loaded(self) -> WorkerId:
        return min(self._workers, key=lambda worker: self._load[worker])

    def _transport(self, transport: TransportId) -> _Transport:
        if (found := self._transports.get(transport)) is None:
            raise NotPlacedError("transport", transport)
        return found

    def _track(self, track: TrackId) -> _Track:
        if (found := self._tracks.get(track)) is None:
            raise NotPlacedError("track", track)
        return found

    def _slot(self, slot: SlotId) -> _Slot:
        if (found := self._slots.get(slot)) is None:
            raise NotPlacedError("slot", slot)
        return found
