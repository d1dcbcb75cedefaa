"""What every room shares with the others on its node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfu.core.clock import Clock
from sfu.core.ids import ParticipantSid, RoomId, SessionId, SlotId, TrackId, TransportId
from sfu.core.journal import Journal
from sfu.core.observer import Observer
from sfu.participants.happenings import Happening
from sfu.participants.participant import Participant
from sfu.participants.plane import PacketPlane
from sfu.rooms.mailboxes import Mailbox
from sfu.settings.models import Settings
from sfu.tracks.track import Track
from sfu.transport.sdp.codecs import CodecPolicy

if TYPE_CHECKING:
    from sfu.rooms.room import Room


@dataclass(frozen=True, slots=True)
class Seat:
    """A participant in its room."""

    room: Room
    participant: Participant


@dataclass(slots=True)
class Directory:
    """From an id of the plane, or a client's secret, to whom it means. Kept by the rooms."""

    rooms: dict[RoomId, Room] = field(default_factory=dict)
    transports: dict[TransportId, Seat] = field(default_factory=dict)
    """Until the plane says that it is closed."""
    tracks: dict[TrackId, tuple[Seat, Track]] = field(default_factory=dict)
    slots: dict[SlotId, Participant] = field(default_factory=dict)
    sessions: dict[SessionId, Seat] = field(default_factory=dict)
    guests: dict[ParticipantSid, list[Room]] = field(default_factory=dict)
    """Rooms in which somebody is seen and heard without being there."""
    mailboxes: dict[str, Mailbox] = field(default_factory=dict)
    """By address."""

    def shown_in(self, member: Participant) -> tuple[Room, ...]:
        """Rooms that it is a guest of."""
        return tuple(self.guests.get(member.sid, ()))


@dataclass(frozen=True, slots=True)
class Context:
    """Given to each room."""

    plane: PacketPlane
    clock: Clock
    observer: Observer
    settings: Settings
    policy: CodecPolicy
    directory: Directory
    journal: Journal[Happening]
