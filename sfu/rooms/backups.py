"""A track's picture in a second codec, for receivers that cannot decode the first.

Its publisher says with the track that it could, and is asked once somebody needs it. As soon as it comes
everybody who can take the second codec gets it; the plane finds that nobody takes the first any more, and the
publisher is told to stop that. With `BackupPolicy.SIMULCAST` it sends both: the others keep the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.dataplane.commands import RemoveTrack
from sfu.participants.participant import Participant
from sfu.participants.sink import WantedLayer, WantedLayersChanged
from sfu.rooms.context import Seat
from sfu.tracks.track import Track

if TYPE_CHECKING:
    from sfu.rooms.room import Room


def ask(room: Room, track: Track) -> None:
    """Somebody cannot decode a track as it is: its publisher should send the second codec too."""
    if not track.backup_wanted:
        track.backup_wanted = True
        owner = room.context.directory.tracks[track.id][0].participant
        room.broadcast.tell(owner, wanted(track))


def wanted(track: Track) -> WantedLayersChanged:
    """What its publisher is told."""
    layers = tuple(WantedLayer(layer.rid or "", True) for layer in track.info.layers)
    return WantedLayersChanged(track.sid, track.info.backup_mime, layers)


def add(room: Room, owner: Participant, backup: Track) -> None:
    """It is published; the plane knows it already. Whoever waits for it gets it."""
    room.context.directory.tracks[backup.id] = (Seat(room, owner), backup)
    room.replan_receivers(backup)


def drop(room: Room, backup: Track, *, forgotten: bool = False) -> None:
    """It ends, alone or with its track. Does nothing if it has ended already."""
    directory, original = room.context.directory, backup.original
    entry = directory.tracks.pop(backup.id, None)
    if entry is None or original is None:
        return
    original.detach()
    if not forgotten:
        # Takes it from every section; those are planned anew.
        room.context.plane.apply([RemoveTrack(backup.id)])
    for each in (room, *directory.shown_in(entry[0].participant)):
        _take_away(each, backup)


def _take_away(room: Room, backup: Track) -> None:
    for member in room.members.values():
        slots = [slot for slot, item in member.subscriber.applied.items() if item.track == backup.id]
        for slot in slots:
            member.subscriber.lose(slot)
            room.context.observer.subscription_unbound(backup.kind)
        if slots:
            room.planner.mark(member)
