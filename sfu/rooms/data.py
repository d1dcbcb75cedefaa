"""Data messages that pass through Python: from the server API, and to or from clients without a channel."""

from __future__ import annotations

from collections.abc import Sequence

from sfu.core.ids import Identity
from sfu.dataplane.commands import SendData
from sfu.participants.participant import Participant
from sfu.participants.sink import DataReceived
from sfu.rooms.room import Room


def send(
    room: Room,
    payload: bytes,
    *,
    reliable: bool,
    topic: str,
    destinations: Sequence[Identity],
    sender: Participant | Identity | None,
) -> None:
    """Deliver by data channel where there is one, else by signaling.

    Args:
        room: Where.
        payload: What.
        reliable: Over the reliable channel.
        topic: What about.
        destinations: Identities; those that are not here are passed over. Empty: everyone.
        sender: A member, which does not get it back; or the name to show; or None, the server.
    """
    if destinations:
        chosen = [room.members[name] for name in dict.fromkeys(destinations) if name in room.members]
    else:
        chosen = list(room.members.values())
    receivers = [member for member in chosen if member is not sender]
    shown = _shown(sender)
    channels = tuple(member.id for member in receivers if member.by_channel)
    # An empty list would mean everyone.
    if channels:
        command = SendData(
            room=room.id,
            destinations=channels,
            reliable=reliable,
            topic=topic,
            payload=payload,
            sender=shown or "",
        )
        room.context.plane.apply([command])
    event = DataReceived(shown, topic, payload, reliable)
    for member in receivers:
        if not member.by_channel:
            room.broadcast.tell(member, event)


def _shown(sender: Participant | Identity | None) -> Identity | None:
    if isinstance(sender, Participant):
        return sender.identity if sender.visible else None
    return sender
