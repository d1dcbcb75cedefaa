"""What is told about rooms and participants. Frozen: replaced when something changes, never edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sfu.core.ids import Identity, ParticipantSid, RoomName, RoomSid, TrackSid
from sfu.participants.permissions import Permissions
from sfu.tracks.track import TrackInfo


class ParticipantKind(StrEnum):
    """The token's `kind` claim."""

    STANDARD = "standard"
    AGENT = "agent"
    INGRESS = "ingress"
    EGRESS = "egress"
    SIP = "sip"
    RELAY = "relay"


class ParticipantState(StrEnum):
    """How far it has come."""

    JOINING = "joining"
    """Admitted; its media transport is not connected yet, or it has none."""
    ACTIVE = "active"
    """Its transport is connected."""
    LEAVING = "leaving"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ParticipantInfo:
    """A participant with everything it publishes."""

    sid: ParticipantSid
    identity: Identity
    name: str
    metadata: str
    attributes: Mapping[str, str]
    kind: ParticipantKind
    state: ParticipantState
    permissions: Permissions
    joined_at: float
    """Wall clock, seconds since 1970."""
    version: int
    """Grows with every change of this participant; an older one is stale."""
    tracks: tuple[TrackInfo, ...]
    """In order of publication."""


@dataclass(frozen=True, slots=True)
class RoomInfo:
    """A room without its participants."""

    sid: RoomSid
    name: RoomName
    metadata: str
    created_at: float
    """Wall clock, seconds since 1970."""
    empty_timeout_s: float
    departure_timeout_s: float
    max_participants: int
    """0: no limit."""
    num_participants: int
    """Hidden ones are not counted. Not pushed on every join: as of when this was made."""
    num_publishers: int
    recording: bool
    """Somebody with the `recorder` permission is here."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Somebody whose voice is heard now."""

    participant: ParticipantSid
    identity: Identity
    track: TrackSid
    level: float
    """0 (just audible) to 1 (as loud as can be)."""
