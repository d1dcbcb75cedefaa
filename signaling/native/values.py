"""Limits and shared fields of the native dialect; its pictures of room, participant and track."""

import base64
import binascii
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

MAX_SDP_BYTES = 256 * 1024  # a browser's offer with 200 sections is about 150 kB
MAX_SECTIONS = 200  # media sections in one description; bounds every list that names one entry per section
MAX_NAME_CHARS = 256  # identity, room name, display name, track name
MAX_METADATA_CHARS = 512 * 1024  # LiveKit's limit for metadata
MAX_ATTRIBUTES = 64  # keys per participant; bounds what one join makes everyone else read
MAX_ATTRIBUTE_CHARS = 8 * 1024  # one value
MAX_TOPIC_CHARS = 256  # the envelope on data channels has one byte for it
MAX_DATA_BYTES = 64 * 1024  # as on data channels, so that the path does not decide what fits
MAX_DESTINATIONS = 256  # identities of one data message; more means: send to the room
MAX_AUDIENCE = 1024  # names, and tracks of one name, in a list of who may have tracks
MAX_HEIGHT_PX = 4320  # 8K


def _reject_control(text: str) -> str:
    if any(char < " " or char == "\x7f" for char in text):
        msg = "control characters are not allowed"
        raise ValueError(msg)
    return text


def _decode_base64(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        msg = "not valid base64 (RFC 4648 section 4, with padding)"
        raise ValueError(msg) from error


def _encode_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


Name = Annotated[str, Field(max_length=MAX_NAME_CHARS), AfterValidator(_reject_control)]
"""Free text that is shown to people; "" means none."""
Id = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_reject_control)]
Identity = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_reject_control)]
Mid = Annotated[str, Field(min_length=1, max_length=32), AfterValidator(_reject_control)]
"""The `a=mid` of a media section (RFC 8843)."""
Sdp = Annotated[str, Field(min_length=1, max_length=MAX_SDP_BYTES)]
Metadata = Annotated[str, Field(max_length=MAX_METADATA_CHARS)]
Attributes = Annotated[
    dict[Identity, Annotated[str, Field(max_length=MAX_ATTRIBUTE_CHARS)]], Field(max_length=MAX_ATTRIBUTES)
]
Topic = Annotated[str, Field(max_length=MAX_TOPIC_CHARS), AfterValidator(_reject_control)]
Payload = Annotated[
    bytes,
    BeforeValidator(_decode_base64),
    Field(max_length=MAX_DATA_BYTES),
    PlainSerializer(_encode_base64, return_type=str),
]
HeightPx = Annotated[int, Field(ge=0, le=MAX_HEIGHT_PX)]
Fps = Annotated[int, Field(ge=0, le=240)]
Priority = Annotated[int, Field(ge=1, le=255)]

Kind = Literal["audio", "video"]
Source = Literal["microphone", "camera", "screen_share", "screen_share_audio", "unknown"]
Encryption = Literal["none", "gcm", "custom"]
ParticipantKind = Literal["standard", "agent", "ingress", "egress", "sip", "connector", "bridge", "relay"]
ParticipantState = Literal["joining", "active", "leaving", "gone"]


class Message(BaseModel):
    """One JSON text frame, or a part of one. Unknown fields are ignored: a newer peer may send more."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Layer(Message):
    """One simulcast layer of a published video track, lowest quality first."""

    rid: Annotated[str, Field(max_length=16)] = ""
    """`a=rid` (RFC 8853); "" when the track has one layer."""
    width: Annotated[int, Field(ge=0, le=16384)] = 0
    height: Annotated[int, Field(ge=0, le=16384)] = 0
    """Pixels; 0 is unknown."""
    max_bitrate_bps: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """0 is unknown."""
    active: bool = False
    """From the server: packets of it arrive."""


class TrackInfo(Message):
    """A published track as everyone in the room sees it."""

    id: Id
    participant_id: Id
    identity: str
    kind: Kind
    source: Source
    name: str = ""
    muted: bool = False
    mime: str = ""
    """Codec as `audio/opus`; "" until it is known."""
    simulcast: bool = False
    width: int = 0
    height: int = 0
    layers: tuple[Layer, ...] = ()
    encryption: Encryption = "none"
    stereo: bool = False


class DataTrackInfo(Message):
    """A published data track as everyone in the room sees it."""

    id: Id
    name: str
    encryption: Encryption = "none"


class ReceivedDataTrack(Message):
    """A data track that the client gets."""

    number: int
    """Stands in its packets."""
    track_id: Id
    participant_id: Id
    identity: str
    name: str


class Permissions(Message):
    """What a participant may do now. The server may change it while the session runs."""

    can_subscribe: bool = True
    can_publish: bool = True
    can_publish_data: bool = True
    can_publish_sources: tuple[Source, ...] | None = None
    """Null: every source. A list, even an empty one: only those."""
    can_update_metadata: bool = False
    hidden: bool = False


class ParticipantInfo(Message):
    """A member of the room with its tracks."""

    id: Id
    identity: str
    name: str = ""
    metadata: str = ""
    attributes: dict[str, str] = {}
    kind: ParticipantKind = "standard"
    state: ParticipantState = "joining"
    joined_at: float = 0.0
    """Seconds since 1970, UTC."""
    version: int = 0
    """Grows with every change; an older picture is stale."""
    permissions: Permissions = Permissions()
    tracks: tuple[TrackInfo, ...] = ()
    data_tracks: tuple[DataTrackInfo, ...] = ()


class RoomInfo(Message):
    """The room as its members see it."""

    id: Id
    name: str
    metadata: str = ""
    created_at: float = 0.0
    """Seconds since 1970, UTC."""
    max_participants: int = 0
    """0: no limit."""
    recording: bool = False


class IceServer(Message):
    """As RTCIceServer of WebRTC. Empty list: the candidates in the answer are enough."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = ""


class LocalRoute(Message):
    """Where an agent that the server started finds its transport."""

    worker: int
    """Which of the rings it was given, counted from 0."""
    route: int
    """Number of the transport on it."""


class ServerInfo(Message):
    """Who answered."""

    version: str
    node: str


class ClientInfo(Message):
    """Who asks; for logs and statistics only."""

    sdk: Annotated[Name, Field(max_length=64)] = ""
    version: Annotated[Name, Field(max_length=64)] = ""


class SectionTrack(Message):
    """Which track a section of the client's offer became."""

    mid: Mid
    track: TrackInfo


class Binding(Message):
    """Which section of the client carries a track to it."""

    track_id: Id
    mid: Mid


class Speaker(Message):
    """Somebody who can be heard."""

    participant_id: Id
    identity: str
    track_id: Id
    level: Annotated[float, Field(ge=0.0, le=1.0)]
    """0 silent to 1 loudest."""


class ConnectionQuality(Message):
    """How good somebody's connection is, in its worse direction."""

    participant_id: Id
    identity: str
    quality: Literal["lost", "poor", "good", "excellent"]
    score: Annotated[float, Field(ge=1.0, le=4.5)]
    """Mean opinion score (ITU-T G.107, annex B)."""


class WantedLayer(Message):
    """A layer of an own track, and whether anybody takes it."""

    rid: str
    wanted: bool


class Departure(Message):
    """A participant that is gone."""

    id: Id
    identity: str
    reason: str
    """A leave code, see PROTOCOL.md."""
