"""For clients that read in descriptions which track a section carries: what those may say now, and when a new
one is due.

A track is named only to somebody who has been told of it, and a section that carried another one says nothing
in between: WebRTC announces a section's media once, when it begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sfu.core.ids import Mid, ParticipantSid, TrackSid
from sfu.participants.participant import Participant
from sfu.participants.sink import SectionsNeeded
from sfu.rooms import routes

if TYPE_CHECKING:
    from sfu.rooms.room import Room


def answer_names(room: Room, member: Participant, *, snapshot: bool) -> dict[Mid, tuple[str, str]]:
    """Bind what can be bound, and take it as described by the answer that goes out now.

    Args:
        room: Where.
        member: Whose offer is answered.
        snapshot: It gets to know everyone here beside the answer.
    """
    routes.route(room, member)
    describe(room, member, sayable(room, member, snapshot=snapshot))
    member.renewal_asked = False
    # What is missing, and what could not be said, is asked for after the answer.
    member.subscriber.sections_changed()
    room.planner.mark(member)
    return names(room, member, member.described)


def sayable(room: Room, member: Participant, *, snapshot: bool = False) -> dict[Mid, TrackSid]:
    """What a description may say now."""
    if not snapshot:
        room.broadcast.catch_up(member)
    said: dict[Mid, TrackSid] = {}
    for slot, item in member.subscriber.applied.items():
        mid = member.slots[slot].mid
        told = snapshot or not room.broadcast.is_pending(item.participant)
        if told and member.described.get(mid, item.sid) == item.sid:
            said[mid] = item.sid
    return said


def describe(room: Room, member: Participant, said: dict[Mid, TrackSid]) -> None:
    """This is what the member is told now.

    A section that falls silent gets another slot: libwebrtc plays what comes there later only if it has
    another SSRC (`RestartMediaChannel` of its receivers does nothing for the one that it had).
    """
    silent = member.described.keys() - said.keys()
    for slot in [slot for slot in member.slots.values() if slot.mid in silent]:
        routes.renew_slot(room, member, slot)
    member.described = said


def names(room: Room, member: Participant, said: Mapping[Mid, TrackSid]) -> dict[Mid, tuple[str, str]]:
    """The same as stream and track ids. A track that ended meanwhile is left out."""
    name = member.shape.names
    if name is None:
        return {}
    tracks = {mid: room.catalog.get(sid) for mid, sid in said.items()}
    return {mid: name(track.info, room.sync_streams) for mid, track in tracks.items() if track is not None}


def stereo(room: Room, said: Mapping[Mid, TrackSid]) -> frozenset[Mid]:
    """The sections among them that carry two channels."""
    tracks = {mid: room.catalog.get(sid) for mid, sid in said.items()}
    return frozenset(mid for mid, track in tracks.items() if track is not None and track.info.stereo)


def unannounced(room: Room, member: Participant) -> ParticipantSid | None:
    """A publisher it receives from, of whom something is yet to be told."""
    publishers = (item.participant for item in member.subscriber.applied.values())
    return next((sid for sid in publishers if room.broadcast.is_pending(sid)), None)


def ask(room: Room, member: Participant, needed: SectionsNeeded | None) -> None:
    """Tell a client that offers on its one transport to do so again, if there is a reason."""
    if member.connection is None:
        # Its first offer is on its way.
        member.subscriber.sections_changed()
        return
    current = {mid: sid for sid, mid in member.bound()}
    if needed is None and (current == member.described or member.renewal_asked):
        return
    member.renewal_asked = True
    room.broadcast.tell(member, needed or SectionsNeeded(0, 0), unannounced(room, member))
