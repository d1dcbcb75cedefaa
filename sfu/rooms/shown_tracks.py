"""Tracks that are to be had in a room: they come, go, and are for everyone or for some."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sfu.dataplane.commands import RemoveTrack
from sfu.participants.audience import Audience
from sfu.participants.happenings import Kind
from sfu.participants.participant import Participant
from sfu.participants.sink import TrackAccessChanged
from sfu.rooms import backups
from sfu.rooms.context import Seat
from sfu.tracks.track import Track

if TYPE_CHECKING:
    from sfu.rooms.room import Room

log = logging.getLogger(__name__)


def publish(room: Room, owner: Participant, track: Track) -> None:
    """A track is published; the plane knows it already. Whoever may want it is planned anew."""
    room.context.directory.tracks[track.id] = (Seat(room, owner), track)
    room.context.observer.track_published(track.kind, track.info.source)
    log.debug("%s: %s publishes %s, %s as %s", room, owner, track.sid, track.info.source, track.info.mime)
    adopt(room, owner, track)
    room.note(Kind.TRACK_PUBLISHED, owner, track)
    for other in room.context.directory.shown_in(owner):
        adopt(other, owner, track)


def adopt(room: Room, owner: Participant, track: Track) -> None:
    """A track is to be had here, whether its owner is here or elsewhere."""
    room.catalog.add(track)
    restricted = not owner.audience.everyone
    for member in room.members.values():
        if member is owner:
            continue
        if restricted:
            apply_audience(room, owner, [track], member, tell=False)
        if member.subscriber.concerns(track):
            room.planner.mark(member)


def lose(room: Room, track: Track) -> None:
    """A track goes on, but not here."""
    room.catalog.remove(track)
    room.speaking.silence(track)
    for member in room.members.values():
        member.subscriber.demand.forget(track.sid)
        room.planner.mark(member)


def set_audience(room: Room, owner: Participant, audience: Audience) -> None:
    """Its owner decides who may have its tracks, from now on."""
    owner.audience = audience
    if audience.everyone:
        room.selective.pop(owner.sid, None)
    else:
        room.selective[owner.sid] = owner
    for shown in (room, *room.context.directory.shown_in(owner)):
        for member in shown.members.values():
            if member is not owner:
                apply_audience(shown, owner, owner.tracks, member)


def apply_audience(
    room: Room, owner: Participant, tracks: Iterable[Track], member: Participant, *, tell: bool = True
) -> None:
    """Let a member have these tracks of somebody, or not; it is told what is new to it, if `tell`."""
    for track in tracks:
        # A recorder is the room's, not one of its guests.
        allowed = member.permissions.recorder or owner.audience.admits(member.identity, member.sid, track.sid)
        if member.subscriber.demand.bar(track.sid, not allowed):
            room.planner.mark(member)
            if tell:
                room.broadcast.tell(member, TrackAccessChanged(track.sid, owner.sid, allowed), owner.sid)


def end(room: Room, track: Track, forgotten: bool = False) -> None:
    """A track ends: the plane forgets it, unless it has already, and whoever received it is told."""
    if track.backup is not None:
        backups.drop(room, track.backup, forgotten=forgotten)
    room.turns.forget(track.id)
    owner = room.context.directory.tracks.pop(track.id)[0].participant
    room.note(Kind.TRACK_UNPUBLISHED, owner, track)
    if not forgotten:
        room.context.plane.apply([RemoveTrack(track.id)])
    room.context.observer.track_unpublished(track.kind, track.info.source)
    log.debug("%s: %s ended", room, track.sid)
    for shown in (room, *room.context.directory.shown_in(owner)):
        _bury(shown, track)


def _bury(room: Room, track: Track) -> None:
    """A track has ended, and the plane knows: whoever received it here is told."""
    room.catalog.remove(track)
    if room.closed:
        return
    room.speaking.silence(track)
    for member in room.members.values():
        unbound = member.subscriber.drop(track, member.slots)
        if unbound is not None:
            room.context.observer.subscription_unbound(track.kind)
            room.broadcast.tell(member, unbound, about=track.info.participant)
            room.planner.mark(member)
