"""What we tell one worker's engine. Names and fields as in dataplane/engine/src/command.rs.

Enums are the text of their Rust names in snake case. Ids are allocated by the facade, never reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sfu.core.codecs import Codec, MediaKind
from sfu.core.ids import (
    Identity,
    Mid,
    ParticipantId,
    ParticipantSid,
    RoomId,
    SlotId,
    TapId,
    TrackId,
    TransportId,
    WorkerId,
)

_UNPLACED = WorkerId(0)


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """ICE user fragment and password of one side (RFC 8445 section 5.3)."""

    ufrag: str
    password: str


class Role(StrEnum):
    """Which half of ICE and DTLS we play."""

    SERVER = "server"
    """ICE-lite responder and DTLS server: what a client connects to."""
    CLIENT = "client"
    """Full controlling ICE agent and DTLS/SCTP client: load test, dense agents, links."""


class DataDialect(StrEnum):
    """How a member's data messages look on the wire."""

    NATIVE = "native"
    """`envelope::native`."""
    LIVEKIT = "livekit"
    """`envelope::livekit`."""


@dataclass(frozen=True, slots=True)
class LocalPath:
    """The way to a process beside ours: no check, handshake or cipher is in between."""

    ring: int
    """Number of the ring that the worker shares with it."""
    route: int
    """Which of the transports on it: the same number on both sides."""


@dataclass(frozen=True, slots=True)
class AddTransport:
    """Creates a transport; from now on STUN for its ufrag is answered."""

    transport: TransportId
    room: RoomId
    role: Role
    local: IceCredentials
    """The ufrag begins with the owner worker; `DataPlane.credentials` makes them so."""
    socket: int = 0
    """Client role: number of a socket that no other transport uses (`DataPlane.open_socket`)."""
    local_path: LocalPath | None = None
    """The peer is a process beside ours; socket and credentials are then not used."""


@dataclass(frozen=True, slots=True)
class SetRemote:
    """What negotiation found out about the far side. Sent again after each negotiation."""

    transport: TransportId
    ice: IceCredentials | None
    """Needed in client role to send checks; a lite responder does without."""
    fingerprints: tuple[tuple[str, bytes], ...]
    """Hash name in lower case, digest."""
    candidates: tuple[tuple[str, int], ...]
    """IP address and port. Client role only."""
    extensions: tuple[tuple[int, str], ...]
    """Id and URI; URIs the engine has no use for are passed over."""
    allow_mixed: bool
    transport_cc: bool
    remb: bool
    data: bool
    dtls_active: bool | None = None
    """We send the ClientHello (`a=setup:active` agreed). None: as the role has it."""
    opens_channels: bool = False
    """We open the data channels, labelled as the member's dialect wants them; else the peer does."""
    congestion_control: bool = False
    """Send no more than the peer reports to arrive: paced, and with layers chosen by bitrate."""
    playout_delay: tuple[int, int] | None = None
    """Bounds of its jitter buffer for all video, least and most, in units of 10 ms (12 bits each)."""


@dataclass(frozen=True, slots=True)
class AddRemoteCandidate:
    """A candidate that came after the description. Client role only."""

    transport: TransportId
    address: tuple[str, int]


@dataclass(frozen=True, slots=True)
class RestartIce:
    """New local credentials; the old ones hold until the first valid check with the new."""

    transport: TransportId
    local: IceCredentials


@dataclass(frozen=True, slots=True)
class LimitSending:
    """Sends no more than that, however much the path takes. Does nothing without congestion control."""

    transport: TransportId
    bitrate_bps: int | None
    """The estimate is never above it; None lifts the limit."""


@dataclass(frozen=True, slots=True)
class RemoveTransport:
    """Sends close_notify, forgets the transport with its tracks, slots and channels."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class TransportSource:
    """A publisher on this worker, in one section of its transport."""

    transport: TransportId
    mid: Mid


@dataclass(frozen=True, slots=True)
class RingSource:
    """Another worker of this process, whose track has the same id. Made by the facade."""

    home: WorkerId


@dataclass(frozen=True, slots=True)
class LocalSource:
    """Fed from this process by `write_track`."""


@dataclass(frozen=True, slots=True)
class AudioGenerator:
    """Opus-like packets made by the engine, 50 per second, for load tests."""

    payload_bytes: int = 100
    level: int = 30
    """-dBov: 0 loudest, 127 silence (RFC 6464)."""


@dataclass(frozen=True, slots=True)
class VideoLayer:
    """One simulcast layer of a `VideoGenerator`."""

    bitrate_bps: int
    fps: int
    height_px: int


@dataclass(frozen=True, slots=True)
class VideoGenerator:
    """VP8-like packets made by the engine, for load tests. Keyframes also come on request."""

    layers: tuple[VideoLayer, ...]
    """As many as the track has, lowest quality first."""
    keyframe_interval_s: float = 10.0


@dataclass(frozen=True, slots=True)
class ReceiveCodec:
    """A codec a publisher may send, by payload type."""

    payload_type: int
    codec: Codec
    clock_rate: int
    rtx_payload_type: int | None
    nack: bool
    format: int
    """Codec plus format parameters; equal numbers may be forwarded to each other."""
    pli: bool = True
    """`nack pli` is agreed: keyframes are asked for by it."""
    fir: bool = False
    """`ccm fir` is agreed: they are asked for by it where there is no PLI."""


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One simulcast layer, or the only one."""

    rid: str | None = None
    ssrc: int | None = None
    rtx_ssrc: int | None = None
    height_px: int = 0


@dataclass(frozen=True, slots=True)
class AddTrack:
    """Starts to accept a published track. Sent again when its section was negotiated anew."""

    track: TrackId
    room: RoomId
    source: TransportSource | RingSource | LocalSource | AudioGenerator | VideoGenerator
    """A source that is no transport lives on the worker of the room."""
    kind: MediaKind
    codecs: tuple[ReceiveCodec, ...]
    layers: tuple[LayerSpec, ...]
    """Lowest quality first; at least one."""
    muted: bool
    cname: str
    """Given to subscribers: one per publishing participant (lip-sync)."""
    screen: bool = False
    """It shows a screen, which sends in bursts with long pauses."""
    encrypted: bool = False
    """Payloads are encrypted end to end: they are never made, unwrapped or wrapped by the engine."""


@dataclass(frozen=True, slots=True)
class SetTrackMuted:
    """A muted track sends no keyframe requests and is not missed by quality."""

    track: TrackId
    muted: bool


@dataclass(frozen=True, slots=True)
class RemoveTrack:
    """Forgets the track; slots that carried it fall silent and are unbound."""

    track: TrackId


@dataclass(frozen=True, slots=True)
class RingTarget:
    """Another worker, once for all its slots. Made by the facade."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class TapTarget:
    """A reader in this process, in batches."""

    tap: TapId


@dataclass(frozen=True, slots=True)
class MeterTarget:
    """Counts and times generated packets, for load tests; read by `DataPlane.stats`."""

    meter: int


@dataclass(frozen=True, slots=True)
class AddTarget:
    """Sends a track's packets to a reader that is not a slot: source numbering, no rewrite."""

    track: TrackId
    target: RingTarget | TapTarget | MeterTarget


@dataclass(frozen=True, slots=True)
class RemoveTarget:
    """Ends what `AddTarget` began."""

    track: TrackId
    target: RingTarget | TapTarget | MeterTarget


@dataclass(frozen=True, slots=True)
class SendCodec:
    """A codec a subscriber takes, by payload type."""

    payload_type: int
    codec: Codec
    clock_rate: int
    rtx_payload_type: int | None
    format: int


@dataclass(frozen=True, slots=True)
class AddSlot:
    """Agrees an outgoing section. It stays silent until a track is bound."""

    slot: SlotId
    transport: TransportId
    mid: Mid
    rid: str | None
    kind: MediaKind
    ssrc: int
    rtx_ssrc: int | None
    codecs: tuple[SendCodec, ...]
    """By preference."""


@dataclass(frozen=True, slots=True)
class RemoveSlot:
    """Ends an outgoing section."""

    slot: SlotId


@dataclass(frozen=True, slots=True)
class Wish:
    """What a subscriber wants of a track; the engine answers with what it can."""

    max_height_px: int
    """Tallest picture wanted; 0 pauses video. Layers of unknown height count by index."""
    max_temporal: int
    priority: int
    """1 (thumbnail) to 255 (screen share)."""
    may_pause: bool
    """The allocator may stop this track when the network cannot take it."""
    paused: bool
    """Nothing is sent at all."""
    keyframe_interval_ms: int = 0
    """Only keyframes, asked for so often; 0: all pictures."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Binds a track to a slot, whatever it carried before: a source switch."""

    slot: SlotId
    track: TrackId
    wish: Wish


@dataclass(frozen=True, slots=True)
class UpdateSubscription:
    """Changes the wish of a bound slot."""

    slot: SlotId
    wish: Wish


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Unbinds; the slot keeps its sequence numbers for the next track."""

    slot: SlotId


@dataclass(frozen=True, slots=True)
class RequestKeyframe:
    """Asks the publisher for a keyframe, within the throttle."""

    track: TrackId
    layer: int


@dataclass(frozen=True, slots=True)
class SetMember:
    """Adds or changes a member in the data routing table. The facade tells every worker."""

    room: RoomId
    participant: ParticipantId
    identity: Identity
    transport: TransportId
    dialect: DataDialect
    can_publish: bool
    hidden: bool
    sid: ParticipantSid
    """Public id, for dialects that show it beside the identity."""
    uplink: TransportId | None = None
    """Brings its messages, where that is not `transport`."""
    agent: bool = False
    """It may speak for others."""
    metrics: bool = False
    """It is given its peers' figures."""
    worker: WorkerId = _UNPLACED
    """Of the transport. Filled in by the facade."""


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """Takes a member out of the data routing table."""

    room: RoomId
    participant: ParticipantId


@dataclass(frozen=True, slots=True)
class SendData:
    """A data message from the server itself."""

    room: RoomId
    destinations: tuple[ParticipantId, ...]
    """Empty: everyone in the room."""
    reliable: bool
    topic: str
    """At most 256 bytes."""
    payload: bytes
    sender: str
    """Identity shown as the sender; empty for the server."""
    packet: DataDialect | None = None
    """The payload is a whole message of this dialect, for its clients alone."""


@dataclass(frozen=True, slots=True)
class SetDataTrack:
    """Sends the packets of a data track to these transports, in place of whoever had them before."""

    publisher: TransportId
    """By which its packets come."""
    handle: int
    """What its publisher calls it in its packets."""
    subscribed_as: int
    """What everybody else does."""
    subscribers: tuple[TransportId | tuple[TransportId, WorkerId], ...]
    """Transports. The facade adds the worker of each."""


@dataclass(frozen=True, slots=True)
class RemoveDataTrack:
    """Forgets a data track."""

    publisher: TransportId
    handle: int


@dataclass(frozen=True, slots=True)
class ReadDataReceived:
    """Asks the worker of a transport for `DataNumber`. Made by the facade."""

    transport: TransportId
    token: int


@dataclass(frozen=True, slots=True)
class ReadStats:
    """Asks one worker for its figures. Made by the facade."""

    token: int


Command = (
    AddTransport
    | SetRemote
    | AddRemoteCandidate
    | RestartIce
    | LimitSending
    | RemoveTransport
    | AddTrack
    | SetTrackMuted
    | RemoveTrack
    | AddTarget
    | RemoveTarget
    | AddSlot
    | RemoveSlot
    | Subscribe
    | UpdateSubscription
    | Unsubscribe
    | RequestKeyframe
    | SetMember
    | RemoveMember
    | SendData
    | SetDataTrack
    | RemoveDataTrack
)
