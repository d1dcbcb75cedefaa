"""What signaling asks for, in the domain's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sfu.core.codecs import Encryption, TrackSource
from sfu.core.ids import Identity, RoomName, SessionId
from sfu.participants.info import ParticipantKind
from sfu.participants.permissions import Grant
from sfu.tracks.layers import LayerInfo


@dataclass(frozen=True, slots=True)
class TrackRequest:
    """Says what one sending section of an offer is. Matched by `mid`, else by `cid`."""

    source: TrackSource
    mid: str | None = None
    """Section of the offer."""
    cid: str | None = None
    """The client's own name of the track: the second word of `a=msid`."""
    name: str = ""
    muted: bool = False
    layers: tuple[LayerInfo, ...] = ()
    """Announced sizes; matched by rid, or in order, lowest first. May be left out."""
    width_px: int = 0
    height_px: int = 0
    """Of the highest layer, when `layers` is left out."""
    encryption: Encryption = Encryption.NONE
    stereo: bool = False


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """For logs and statistics only; decides nothing."""

    sdk: str = ""
    version: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class RoomOptions:
    """How to make a room. None: the server's default."""

    metadata: str = ""
    empty_timeout_s: float | None = None
    departure_timeout_s: float | None = None
    max_participants: int | None = None


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """Everything needed to enter a room in one step."""

    grant: Grant
    identity: Identity
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    kind: ParticipantKind = ParticipantKind.STANDARD
    offer_sdp: str | None = None
    tracks: tuple[TrackRequest, ...] = ()
    """One for each section of `offer_sdp` that sends."""
    auto_subscribe: bool = True
    client: ClientInfo = ClientInfo()
    room_options: RoomOptions | None = None
    """From the token's `roomConfig`; used only if this join creates the room."""
    started_at: float | None = None
    """`Clock.monotonic()` when the request arrived; None: now."""
    authorized_at: float | None = None
    """`Clock.monotonic()` when the token was found good; None: now."""


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """Come back to a session after its WebSocket was lost."""

    session_id: SessionId
    room: RoomName
    identity: Identity
    """From the token, like `room`; both must be the session's."""
    last_seq: int
    """The last event the client has seen; 0: none."""
    offer_sdp: str | None = None
    """With a new ICE user fragment if the network changed."""
    tracks: tuple[TrackRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class ParticipantUpdate:
    """A change by its owner or by an administrator. None leaves a field as it is."""

    name: str | None = None
    metadata: str | None = None
    attributes: Mapping[str, str] | None = None
    """Merged key by key; an empty value removes its key."""
