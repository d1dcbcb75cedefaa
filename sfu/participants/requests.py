"""What signaling asks for, in the domain's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sfu.core.codecs import Encryption, MediaKind, TrackSource
from sfu.core.ids import Identity, ParticipantSid, RoomName, SessionId, TrackSid
from sfu.dataplane.commands import DataDialect
from sfu.participants.info import NO_CLIENT, AgentRequest, ClientInfo, ParticipantKind
from sfu.participants.permissions import Grant
from sfu.tracks.hints import NO_HINTS, TrackHints
from sfu.tracks.layers import LayerInfo
from sfu.tracks.subscription import DEFAULT_WISH, SubscriptionWish
from sfu.tracks.track import TrackInfo


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
    kind: MediaKind | None = None
    """For a source that may be either; None: by the section."""
    mime: str = ""
    """What will be sent first, where a track is declared before its section."""
    sid: TrackSid | None = None
    """Given out when it was declared; None: the track gets a new one."""
    hints: TrackHints = NO_HINTS
    backup_mime: str = ""
    """A second codec that can be sent beside the first, once somebody needs it."""
    backup: bool = False
    """This is that second codec of the track `sid`, which is published already."""


SectionNames = Callable[[TrackInfo, bool], tuple[str, str]]
"""Stream and track id of the section that carries a track; the flag: the room wants a participant's tracks in
one stream, so that they are played in sync."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a client's dialect negotiates. The default is the native one: entries come with offers, and a track
    is bound to a section without any further description."""

    declares: bool = False
    """Tracks are declared before their sections. A section that nobody declared yet waits."""
    names: SectionNames | None = None
    """Descriptions say which track a section carries; None: they do not."""
    two_connections: bool = False
    """The client offers only what it sends; a second transport, on which we offer, carries what it gets."""
    data: DataDialect = DataDialect.NATIVE
    """How its data messages look."""
    return_grace_s: float = 0.0
    """So long after it lost its transport others are not told that it left: it joins anew by itself."""


NATIVE_SHAPE = Shape()


@dataclass(frozen=True, slots=True)
class RoomOptions:
    """How to make a room. None: the server's default."""

    metadata: str = ""
    empty_timeout_s: float | None = None
    departure_timeout_s: float | None = None
    max_participants: int | None = None
    sync_streams: bool = False
    """Name a participant's tracks as one stream, so that they are played in sync."""
    agents: tuple[AgentRequest, ...] = ()
    """What it shall have from its beginning."""
    min_playout_delay_ms: int = 0
    max_playout_delay_ms: int = 0
    """Bounds of receivers' jitter buffers for video; 0: theirs to choose. For those who come from then on."""
    preset: str = ""
    """A configuration of the settings that says what is left out here; "": none."""


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
    local_ring: str = ""
    """Secret of an agent that this server started: its media is to travel in shared memory."""
    auto_subscribe: bool = True
    wish: SubscriptionWish = DEFAULT_WISH
    """For tracks that come unasked."""
    auto_data_tracks: bool = False
    """As `auto_subscribe`, of data tracks."""
    client: ClientInfo = NO_CLIENT
    shape: Shape = NATIVE_SHAPE
    kind_details: tuple[str, ...] = ()
    """Finer than `kind`, for its peers."""
    room_options: RoomOptions | None = None
    """From the token's `roomConfig`; used only if this join creates the room."""
    started_at: float | None = None
    """`Clock.monotonic()` when the request arrived; None: now."""
    authorized_at: float | None = None
    """`Clock.monotonic()` when the token was found good; None: now."""


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """Come back to a session after its WebSocket was lost."""

    session_id: SessionId | None
    """None: in a dialect whose clients have only their token; `participant` names the stay."""
    room: RoomName
    identity: Identity
    """From the token, like `room`; both must be the session's."""
    last_seq: int
    """The last event the client has seen; 0: none."""
    offer_sdp: str | None = None
    """With a new ICE user fragment if the network changed."""
    tracks: tuple[TrackRequest, ...] = ()
    participant: ParticipantSid | None = None


@dataclass(frozen=True, slots=True)
class ParticipantUpdate:
    """A change by its owner or by an administrator. None leaves a field as it is."""

    name: str | None = None
    metadata: str | None = None
    attributes: Mapping[str, str] | None = None
    """Merged key by key; an empty value removes its key."""
