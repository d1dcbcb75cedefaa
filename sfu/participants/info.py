"""What is told about rooms and participants. Frozen: replaced when something changes, never edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sfu.core.ids import Identity, ParticipantSid, RoomName, RoomSid, TrackSid
from sfu.core.quality import QualityClass
from sfu.participants.permissions import Permissions
from sfu.tracks.data_track import DataTrackInfo
from sfu.tracks.track import TrackInfo


class ParticipantKind(StrEnum):
    """The token's `kind` claim."""

    STANDARD = "standard"
    AGENT = "agent"
    INGRESS = "ingress"
    EGRESS = "egress"
    SIP = "sip"
    CONNECTOR = "connector"
    BRIDGE = "bridge"
    RELAY = "relay"


FORWARDED = "forwarded"
"""A detail of its kind, for rooms that it is only shown in."""


class ParticipantState(StrEnum):
    """How far it has come."""

    JOINING = "joining"
    """Admitted; its media transport is not connected yet, or it has none."""
    ACTIVE = "active"
    """Its transport is connected."""
    LEAVING = "leaving"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """What a client says about itself. For logs, statistics and its peers; decides nothing here."""

    sdk: str = ""
    version: str = ""
    address: str = ""
    protocol: int = 0
    """Version of what clients speak among themselves; 0: none."""
    capabilities: tuple[str, ...] = ()
    """The same, feature by feature."""


NO_CLIENT = ClientInfo()


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
    client: ClientInfo = NO_CLIENT
    kind_details: tuple[str, ...] = ()
    data_tracks: tuple[DataTrackInfo, ...] = ()

    @property
    def dependent(self) -> bool:
        """Here for the sake of others: it keeps no room open and takes nobody's place."""
        return is_dependent(self.kind, self.permissions)


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """An agent that a room shall have, by a token, by the room's options or by the server API."""

    agent_name: str = ""
    """Workers of that name; empty: those without one, who serve every room that names nobody."""
    metadata: str = ""
    """Handed to each job."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """The same."""
    restart: bool = True
    """A job that fails is given to a worker again."""


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
    """Neither hidden nor dependent ones are counted. Not pushed on every join: as of when this was made."""
    num_publishers: int
    recording: bool
    """Somebody with the `recorder` permission is here."""
    sync_streams: bool = False
    """A participant's tracks are named as one stream."""
    agents: tuple[AgentRequest, ...] = ()
    """Asked for when it was made; none: whoever serves every room."""


def is_dependent(kind: ParticipantKind, permissions: Permissions) -> bool:
    """See `ParticipantInfo.dependent`."""
    return kind in _DEPENDENT_KINDS or permissions.agent or permissions.recorder


_DEPENDENT_KINDS = frozenset({ParticipantKind.AGENT, ParticipantKind.EGRESS})


@dataclass(frozen=True, slots=True)
class Speaker:
    """Somebody whose voice is heard now."""

    participant: ParticipantSid
    identity: Identity
    track: TrackSid
    level: float
    """0 (just audible) to 1 (as loud as can be)."""


@dataclass(frozen=True, slots=True)
class ParticipantQuality:
    """How good somebody's connection is, in its worse direction."""

    participant: ParticipantSid
    identity: Identity
    quality: QualityClass
    score: float
    """Mean opinion score, 1 to 4.5 (ITU-T G.107, annex B)."""
