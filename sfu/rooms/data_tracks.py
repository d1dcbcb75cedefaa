"""Data tracks of one room: who publishes which, who gets it, and by which number.

The packet plane sends the packets and writes one number into each: the one by which everybody in the room
knows the track. Its publisher knows it by another, which it chose before it asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfu.core.errors import LimitExceededError
from sfu.core.ids import DataTrackSid, ParticipantSid, new_data_track_sid
from sfu.dataplane.commands import Command, RemoveDataTrack, SetDataTrack
from sfu.participants.errors import DataTrackError, DataTrackRefusal
from sfu.participants.participant import Participant
from sfu.participants.sink import DataTracksChanged
from sfu.tracks.data_track import DataTrackInfo, DataTrackRequest

if TYPE_CHECKING:
    from sfu.rooms.room import Room

HANDLES = range(1, 1 << 16)


@dataclass(slots=True, eq=False)
class DataTrack:
    """One publication."""

    info: DataTrackInfo
    publisher: Participant
    subscribed_as: int
    subscribers: dict[ParticipantSid, Participant] = field(default_factory=dict)


class DataTracks:
    """Kept by its room."""

    def __init__(self) -> None:
        self._tracks: dict[DataTrackSid, DataTrack] = {}
        self._next = HANDLES.start

    def of(self, publisher: Participant) -> list[DataTrack]:
        """What somebody publishes, oldest first."""
        return [track for track in self._tracks.values() if track.publisher is publisher]

    def publish(self, room: Room, publisher: Participant, request: DataTrackRequest) -> DataTrackInfo:
        """A new track.

        Raises:
            DataTrackError: Its number or name is wrong, or taken.
            LimitExceededError, PermissionDeniedError.
        """
        publisher.permissions.require_publish_data()
        limits = room.context.settings.limits
        own = [track.info for track in self.of(publisher)]
        if request.handle not in HANDLES:
            raise DataTrackError(DataTrackRefusal.INVALID_HANDLE)
        if not 0 < len(request.name) <= limits.name_characters:
            raise DataTrackError(DataTrackRefusal.INVALID_NAME)
        if any(info.handle == request.handle for info in own):
            raise DataTrackError(DataTrackRefusal.DUPLICATE_HANDLE)
        if any(info.name == request.name for info in own):
            raise DataTrackError(DataTrackRefusal.DUPLICATE_NAME)
        if len(own) >= limits.tracks_per_participant:
            raise LimitExceededError("the number of data tracks", limits.tracks_per_participant)
        if len(self._tracks) >= len(HANDLES):
            raise LimitExceededError("the number of data tracks of a room", len(HANDLES))
        info = DataTrackInfo(
            sid=new_data_track_sid(),
            participant=publisher.sid,
            identity=publisher.identity,
            handle=request.handle,
            name=request.name,
            encryption=request.encryption,
            description=request.description,
        )
        track = self._tracks[info.sid] = DataTrack(info, publisher, self._free_handle())
        self._show(room, publisher)
        for member in room.members.values():
            if member.auto_data_tracks and member is not publisher and member.permissions.can_subscribe:
                track.subscribers[member.sid] = member
        self._route(room, track)
        for member in track.subscribers.values():
            self._tell(room, member)
        return info

    def unpublish(self, room: Room, publisher: Participant, handle: int) -> DataTrackInfo:
        """It ends. Raises DataTrackError."""
        for track in self.of(publisher):
            if track.info.handle == handle:
                self._end(room, track)
                self._show(room, publisher)
                return track.info
        raise DataTrackError(DataTrackRefusal.INVALID_HANDLE)

    def subscribe(
        self, room: Room, member: Participant, tracks: Iterable[DataTrackSid], subscribe: bool
    ) -> None:
        """Somebody wants tracks, or no longer. Those that are not there are passed over."""
        changed = False
        for sid in tracks:
            track = self._tracks.get(sid)
            if track is None or track.publisher is member:
                continue
            if subscribe and member.permissions.can_subscribe and member.sid not in track.subscribers:
                track.subscribers[member.sid] = member
            elif not subscribe and member.sid in track.subscribers:
                del track.subscribers[member.sid]
            else:
                continue
            changed = True
            self._route(room, track)
        if changed:
            self._tell(room, member)

    def enter(self, room: Room, member: Participant) -> None:
        """Somebody is new here."""
        if member.auto_data_tracks:
            self.subscribe(room, member, list(self._tracks), True)

    def leave(self, room: Room, member: Participant) -> None:
        """Somebody goes: what it published ends, what it got too."""
        for track in self.of(member):
            self._end(room, track)
        member.data_tracks = ()
        for track in self._tracks.values():
            if track.subscribers.pop(member.sid, None) is not None:
                self._route(room, track)

    def permissions_changed(self, room: Room, member: Participant) -> None:
        """What is no longer allowed ends."""
        if not member.permissions.can_publish_data and self.of(member):
            for track in self.of(member):
                self._end(room, track)
            self._show(room, member)
        if not member.permissions.can_subscribe:
            self.subscribe(room, member, list(self._tracks), False)

    def restore(self, room: Room, member: Participant) -> None:
        """Its transport is another, or somebody's who gets it: all routes anew."""
        for track in self._tracks.values():
            if track.publisher is member or member.sid in track.subscribers:
                self._route(room, track)

    def tell_all(self, room: Room, member: Participant) -> None:
        """Which numbers stand for what, to somebody who may have missed it."""
        if any(member.sid in track.subscribers for track in self._tracks.values()):
            self._tell(room, member)

    def _free_handle(self) -> int:
        taken = {track.subscribed_as for track in self._tracks.values()}
        while self._next in taken or self._next not in HANDLES:
            self._next = self._next + 1 if self._next in HANDLES else HANDLES.start
        found = self._next
        # A number is used again as late as can be: packets of the track before may still be on their way.
        self._next += 1
        return found

    def _end(self, room: Room, track: DataTrack) -> None:
        del self._tracks[track.info.sid]
        uplink = track.publisher.connection
        if uplink is not None and uplink.transport in room.context.directory.transports:
            room.context.plane.apply([RemoveDataTrack(uplink.transport, track.info.handle)])
        for member in track.subscribers.values():
            self._tell(room, member)

    def _show(self, room: Room, publisher: Participant) -> None:
        publisher.data_tracks = tuple(track.info for track in self.of(publisher))
        room.changed(publisher)

    def _tell(self, room: Room, member: Participant) -> None:
        if not member.present or room.closed:
            return
        got = {
            track.subscribed_as: track.info
            for track in self._tracks.values()
            if member.sid in track.subscribers
        }
        room.broadcast.tell(member, DataTracksChanged(got))

    def _route(self, room: Room, track: DataTrack) -> None:
        uplink = track.publisher.connection
        known = room.context.directory.transports
        if uplink is None or uplink.transport not in known:
            return
        receiving = (member.receiving for member in track.subscribers.values())
        transports = tuple(
            item.transport for item in receiving if item is not None and item.transport in known
        )
        commands: list[Command] = [
            SetDataTrack(uplink.transport, track.info.handle, track.subscribed_as, transports)
        ]
        room.context.plane.apply(commands)
