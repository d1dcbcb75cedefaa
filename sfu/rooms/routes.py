"""What a member's sections carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.core.ids import SlotId
from sfu.dataplane.commands import Command, Subscribe
from sfu.participants.participant import Participant
from sfu.participants.sink import SectionsNeeded, TrackReceived
from sfu.rooms import backups
from sfu.router.plan import Slot

if TYPE_CHECKING:
    from sfu.rooms.room import Room


def route(room: Room, member: Participant) -> SectionsNeeded | None:
    """Move what its sections carry towards what it wants; what is missing for that, if it is news."""
    limit = room.context.settings.limits.sections
    step = member.subscriber.replan(
        room.catalog, member.slots, member.permissions.can_subscribe, max(0, limit - member.sections)
    )
    downlink = member.downlink
    room.context.plane.apply(step.commands if downlink is None else downlink.routes(step.commands))
    for track in step.bound:
        room.context.observer.subscription_bound(track.kind)
        owner = room.context.directory.tracks[track.id][0].participant
        if track.sid not in owner.heard:
            owner.heard.add(track.sid)
            room.broadcast.tell(owner, TrackReceived(track.sid))
    for track in step.backups:
        backups.ask(room, track)
    for kind in step.unbound:
        room.context.observer.subscription_unbound(kind)
    for event, about in step.events:
        room.broadcast.tell(member, event, about)
    return step.needed


def renew_slot(room: Room, member: Participant, slot: Slot) -> None:
    """Put another slot, with another SSRC, in the place of one of the member's."""
    slots = room.context.directory.slots
    del slots[slot.id]
    connection, downlink = member.connection, member.downlink
    new: SlotId | None = None
    commands: list[Command] = []
    if downlink is not None:
        new, commands = downlink.renew_slot(slot)
    elif connection is not None:
        new, commands = connection.renew_slot(slot)
    if new is not None:
        slots[new] = member
        moved = member.subscriber.move(slot.id, new)
        if moved is not None and downlink is None:
            commands.append(Subscribe(new, moved.track, moved.wish))
    room.context.plane.apply(commands)
