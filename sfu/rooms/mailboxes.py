"""Addresses at which one participant can answer the server by data channel. Messages are its dialect's."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from sfu.core.ids import TransportId
from sfu.dataplane.commands import DataDialect, SendData
from sfu.participants.participant import Participant

if TYPE_CHECKING:
    from sfu.rooms.context import Directory
    from sfu.rooms.room import Room

PREFIX = "airside/answer/"
"""Of addresses; the packet plane brings what is sent to `airside/...` to the server and to nobody else."""

Receive = Callable[[bytes | None], None]
"""Called with each message, and with None when the participant is gone."""


class Mailbox:
    """Open from its making to `close`, or until its participant leaves."""

    def __init__(self, room: Room, participant: Participant, receive: Receive) -> None:
        self.address = PREFIX + secrets.token_hex(16)
        self._room = room
        self._participant = participant
        self._receive = receive
        room.context.directory.mailboxes[self.address] = self

    def send(self, message: bytes, dialect: DataDialect) -> bool:
        """Send one whole message of a dialect; False if the participant speaks another, or has no channel."""
        member = self._participant
        if not member.present or not member.by_channel or member.shape.data is not dialect:
            return False
        command = SendData(
            room=self._room.id,
            destinations=(member.id,),
            reliable=True,
            topic="",
            payload=message,
            sender=self.address,
            packet=dialect,
        )
        self._room.context.plane.apply([command])
        return True

    def deliver(self, transport: TransportId, message: bytes) -> None:
        """A message that was sent to this address. What others send there is passed over."""
        if self._participant.connection_of(transport) is not None:
            self._receive(message)

    def end_for(self, member: Participant) -> None:
        """A participant is gone: if it is this one, nobody will answer."""
        if member is self._participant:
            self.close()
            self._receive(None)

    def close(self) -> None:
        """Nothing is received any more. May be called twice."""
        self._room.context.directory.mailboxes.pop(self.address, None)


def end_all(directory: Directory, member: Participant) -> None:
    """Its participant is gone."""
    for box in list(directory.mailboxes.values()):
        box.end_for(member)
