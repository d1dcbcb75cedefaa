"""Our offers to clients that receive on a transport of its own: one at a time, whatever changes meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.core.ids import Mid, TrackSid
from sfu.participants.downlink import Downlink
from sfu.participants.participant import Participant
from sfu.participants.sink import LeaveCode, OfferMade, Reconnect, SectionsNeeded
from sfu.rooms import renewal, routes
from sfu.rooms.context import Seat

if TYPE_CHECKING:
    from sfu.rooms.room import Room

ANSWER_TIMEOUT_S = 15.0
"""For a client's answer; as LiveKit's server (`negotiationFailedTimeout`)."""


def start(room: Room, member: Participant) -> None:
    """Give it a downlink; the first offer goes out when its routes are planned, in a later turn."""
    context = room.context
    member.downlink = Downlink(
        context.plane,
        room.id,
        context.policy,
        congestion_control=context.settings.rtc.congestion_control,
        playout_delay=room.playout_delay,
    )
    room.await_connection(member)
    room.planner.mark(member)


def refresh(room: Room, member: Participant, needed: SectionsNeeded | None = None) -> None:
    """Offer anew if there is a reason and no other offer waits."""
    downlink = member.downlink
    if downlink is None or not member.present:
        return
    if needed is not None:
        _grow(room, member, downlink, needed)
    if downlink.offering:
        # Looked at again when it is answered.
        return
    waited_for = renewal.unannounced(room, member)
    if waited_for is not None and downlink.offer_id:
        room.broadcast.after(member, waited_for, lambda: refresh(room, member))
        return
    said = renewal.sayable(room, member)
    if not downlink.offer_id or downlink.grown or said != member.described:
        _send(room, member, downlink, said)


def restart(room: Room, member: Participant) -> None:
    """Its network may be another: offer with new ICE credentials, in place of any unanswered offer."""
    downlink = member.downlink
    if downlink is not None:
        _send(room, member, downlink, renewal.sayable(room, member), restart=bool(downlink.offer_id))


def accept(room: Room, member: Participant, downlink: Downlink, sdp: str) -> None:
    """The client's answer. Raises SdpError, NegotiationError; the offer then waits on."""
    commands = downlink.accept(sdp, member.subscriber.applied)
    if member.answer_timer is not None:
        member.answer_timer.cancel()
        member.answer_timer = None
    room.context.plane.apply(commands)
    member.subscriber.sections_changed()
    room.planner.mark(member)


def _grow(room: Room, member: Participant, downlink: Downlink, needed: SectionsNeeded) -> None:
    downlink.grow(needed.audio, needed.video)
    slots = room.context.directory.slots
    for slot in downlink.connection.slots:
        slots[slot] = member
    member.subscriber.sections_changed()
    # There was room for what was asked for; what cannot be decoded asks for nothing.
    routes.route(room, member)


def _send(
    room: Room, member: Participant, downlink: Downlink, said: dict[Mid, TrackSid], *, restart: bool = False
) -> None:
    first = not downlink.offer_id
    renewal.describe(room, member, said)
    sdp, commands = downlink.offer(
        renewal.names(room, member, said), stereo=renewal.stereo(room, said), restart=restart
    )
    room.context.plane.apply(commands)
    if first:
        room.context.directory.transports[downlink.transport] = Seat(room, member)
        room.update_data(member)
    member.outbox.post(OfferMade(downlink.offer_id, sdp, tuple((sid, mid) for mid, sid in said.items())))
    await_answer(room, member)


def await_answer(room: Room, member: Participant) -> None:
    """To the newest offer; it must come in time from now on."""

    def give_up() -> None:
        member.answer_timer = None
        text = "an offer of the server was not answered in time"
        room.remove(member, LeaveCode.NEGOTIATION_FAILED, text, Reconnect.REJOIN, may_return=True)

    if member.answer_timer is not None:
        member.answer_timer.cancel()
    member.answer_timer = room.context.clock.call_later(ANSWER_TIMEOUT_S, give_up)
