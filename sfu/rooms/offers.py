"""An offer in two steps: `prepare` may refuse and changes nothing, `commit` cannot fail."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sfu.core.errors import LimitExceededError
from sfu.core.ids import Mid, RoomId, SlotId
from sfu.dataplane.commands import Command
from sfu.participants.connection import Connection
from sfu.participants.participant import Participant
from sfu.participants.permissions import Permissions
from sfu.participants.publishing import (
    Publication,
    Publications,
    add_track,
    make_track,
    match,
    renew_track,
    track_cid,
)
from sfu.participants.requests import TrackRequest
from sfu.participants.sink import LeaveCode, PublishedTrack, Reconnect
from sfu.participants.validation import check_offer
from sfu.rooms.context import Context, Seat
from sfu.rooms.room import Room
from sfu.transport.peer import Considered
from sfu.transport.sdp.grammar import write


@dataclass(frozen=True, slots=True)
class PreparedOffer:
    """An offer that was found good."""

    connection: Connection
    considered: Considered
    publications: Publications

    @property
    def answer_sdp(self) -> str:
        """The answer in text."""
        return write(self.considered.negotiation.answer)


def prepare(
    context: Context,
    room: RoomId,
    sdp: str,
    requests: Sequence[TrackRequest],
    permissions: Permissions,
    connection: Connection | None = None,
    publications: Mapping[Mid, Publication] | None = None,
    retired: Collection[Mid] = (),
) -> PreparedOffer:
    """Find the answer to an offer, and what it publishes.

    Args:
        context: The node.
        room: Where.
        sdp: The offer.
        requests: What its sending sections are.
        permissions: Of whoever offers.
        connection: Its transport; None: the offer begins one.
        publications: What it publishes already.
        retired: Sections whose track was ended here.

    Raises:
        SdpError, NegotiationError, TrackUndeclaredError, TrackSectionError, InvalidRequestError,
        PermissionDeniedError, LimitExceededError: Nothing has changed.
    """
    limits = context.settings.limits
    check_offer(sdp, tuple(requests), limits)
    if connection is None:
        connection = Connection(context.plane, room, context.policy)
    considered = connection.consider(sdp)
    if len(considered.negotiation.agreed.sections) > limits.sections:
        raise LimitExceededError("the number of media sections", limits.sections)
    found = match(considered.negotiation.plan.receive, requests, publications or {}, retired)
    for _, request in found.new:
        permissions.require_publish(request.source)
    if len(found.new) + len(found.kept) > limits.tracks_per_participant:
        raise LimitExceededError("the number of tracks published at once", limits.tracks_per_participant)
    if found.refused:
        # Which sections to refuse is known only from a first answer: a track's name may be in the offer.
        considered = connection.consider(sdp, found.refused)
    return PreparedOffer(connection, considered, found)


def commit(room: Room, member: Participant, prepared: PreparedOffer) -> tuple[PublishedTrack, ...]:
    """Make it true, for the plane and for the room. Returns the tracks it publishes."""
    connection, found = prepared.connection, prepared.publications
    first, had_data, old_slots = member.connection is None, connection.has_data, set(connection.slots)
    commands = connection.commit(prepared.considered)
    member.connection = connection
    if first:
        _register(room, member, connection)
    for item in found.ended:
        del member.publications[item.section.mid]
        room.drop_track(item.track)
    commands += _renew(room, member, found, connection)
    # Sections that no longer send need not be remembered: used again, they come with an entry.
    member.retired = set(found.refused)
    new = _publish(room, member, found, connection, commands)
    room.context.plane.apply(commands)
    for item in new:
        room.add_track(member, item.track)
    _index_slots(room, member, old_slots)
    if connection.has_data and not had_data:
        room.set_member(member)
    elif had_data and not connection.has_data:
        room.unset_member(member)
    if new or found.ended:
        room.changed(member)
    member.subscriber.sections_changed()
    room.planner.mark(member)
    return tuple(PublishedTrack(item.section.mid, item.cid or None, item.track.info) for item in new)


def _publish(
    room: Room, member: Participant, found: Publications, connection: Connection, commands: list[Command]
) -> list[Publication]:
    new: list[Publication] = []
    for section, request in found.new:
        track_id = room.context.plane.new_track_id()
        track = make_track(section, request, track_id, member.sid, member.identity)
        item = Publication(track, section, track_cid(section, request))
        member.publications[section.mid] = item
        commands.append(add_track(track, section, connection.transport, room.id))
        new.append(item)
    return new


def _renew(room: Room, member: Participant, found: Publications, connection: Connection) -> list[Command]:
    commands: list[Command] = []
    for section, item in found.kept:
        if section == item.section:
            continue
        member.publications[section.mid] = Publication(item.track, section, item.cid)
        if (section.codecs, section.layers) == (item.section.codecs, item.section.layers):
            continue
        renew_track(item.track, section)
        commands.append(add_track(item.track, section, connection.transport, room.id))
        room.changed(member)
        room.replan_receivers(item.track)
    return commands


def _register(room: Room, member: Participant, connection: Connection) -> None:
    context = room.context
    context.directory.transports[connection.transport] = Seat(room, member)

    def give_up() -> None:
        member.connect_timer = None
        text = "no connection came up in time; media may be blocked by a firewall"
        room.remove(member, LeaveCode.MEDIA_FAILED, text, Reconnect.REJOIN)

    member.connect_timer = context.clock.call_later(context.settings.session.connect_timeout_s, give_up)


def _index_slots(room: Room, member: Participant, old: set[SlotId]) -> None:
    slots = room.context.directory.slots
    for slot in member.slots.keys() - old:
        slots[slot] = member
    for slot in old - member.slots.keys():
        slots.pop(slot, None)
