"""A participant goes from one room to another with its connections, its tracks and its session.

For the people of both rooms it left and joined. It is told in one message (`Moved`) what is around it now;
its sections fall silent and carry the new room's tracks as usual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.participants.happenings import Kind
from sfu.participants.info import ParticipantState
from sfu.participants.participant import Participant
from sfu.participants.publishing import add_track
from sfu.participants.sink import LeaveCode, Moved
from sfu.rooms import downlinks, mailboxes, quality, shown_tracks
from sfu.rooms.context import Seat

if TYPE_CHECKING:
    from sfu.rooms.room import Room


def move(source: Room, member: Participant, target: Room) -> None:
    """Whoever has its identity in the target must have been removed before."""
    active = member.lifecycle.state is ParticipantState.ACTIVE
    connecting, awaited = member.connect_timer is not None, member.answer_timer is not None
    for timer in (member.connect_timer, member.answer_timer):
        if timer is not None:
            timer.cancel()
    member.connect_timer = member.answer_timer = None
    _leave(source, member, active)
    _enter(target, member, active)
    if connecting:
        target.await_connection(member)
    if awaited:
        downlinks.await_answer(target, member)


def _leave(room: Room, member: Participant, active: bool) -> None:
    ready = member.data_ready
    room.release(member)
    for track in member.tracks:
        shown_tracks.lose(room, track)
        room.note(Kind.TRACK_UNPUBLISHED, member, track)
    mailboxes.end_all(room.context.directory, member)
    room.note(Kind.PARTICIPANT_LEFT if active else Kind.PARTICIPANT_ABORTED, member, reason=LeaveCode.MOVED)
    room.broadcast.participant_left(member, LeaveCode.MOVED)
    if member.permissions.recorder:
        room.metadata_changed()
    room.occupancy_changed()
    # Its channels stay open, whichever room they serve.
    member.data_ready = ready


def _enter(room: Room, member: Participant, active: bool) -> None:
    directory = room.context.directory
    member.subscriber.begin_anew()
    member.heard.clear()
    seat = Seat(room, member)
    for connection in member.connections:
        if connection.transport in directory.transports:
            directory.transports[connection.transport] = seat
    member.touch()
    room.admit(member)
    room.update_data(member)
    if active:
        room.note(Kind.PARTICIPANT_JOINED, member)
    commands = []
    for item in member.publications.values():
        directory.tracks[item.track.id] = (seat, item.track)
        if member.connection is not None:
            commands.append(add_track(item.track, item.section, member.connection.transport, room.id))
    room.context.plane.apply(commands)
    for track in member.tracks:
        shown_tracks.adopt(room, member, track)
        room.note(Kind.TRACK_PUBLISHED, member, track)
    member.outbox.post(Moved(room.joined_state(member)))
    quality.move_in(room, member)
