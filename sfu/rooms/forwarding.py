"""A participant is seen and heard in another room too, without being there.

Its tracks are the same, so the packet plane sends each packet to subscribers of both rooms. What is said in
the other room it does not get, and data stays in its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.participants.participant import Participant
from sfu.participants.sink import LeaveCode
from sfu.rooms import shown_tracks

if TYPE_CHECKING:
    from sfu.rooms.room import Room


def forward(member: Participant, target: Room) -> None:
    """Begin; nothing happens where it is forwarded to already."""
    if member in target.guests.values():
        return
    target.guests[member.identity] = member
    target.context.directory.guests.setdefault(member.sid, []).append(target)
    for track in member.tracks:
        shown_tracks.adopt(target, member, track)
    target.guests_changed(member)


def end(member: Participant, target: Room, code: LeaveCode) -> None:
    """It is seen there no longer. Its tracks must be gone from there, or never have been."""
    if not target.closed:
        target.broadcast.participant_left(member, code)
    del target.guests[member.identity]
    shown = target.context.directory.guests
    shown[member.sid].remove(target)
    if not shown[member.sid]:
        del shown[member.sid]
    target.views_changed()


def withdraw(member: Participant, target: Room, code: LeaveCode) -> None:
    """It is there for others still, but not for that room."""
    for track in member.tracks:
        shown_tracks.lose(target, track)
    end(member, target, code)
