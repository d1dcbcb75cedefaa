"""What happens in a room, as an agent's author sees it."""

from __future__ import annotations

from dataclasses import dataclass

from sfu.agents.tracks import LocalTrack, Participant, RemoteTrack
from signaling.native.values import Permissions, RoomInfo


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    """Somebody is in the room; everyone already there is in `room.participants` at the start."""

    participant: Participant


@dataclass(frozen=True, slots=True)
class ParticipantUpdated:
    """Name, metadata, attributes, permissions or state changed."""

    participant: Participant


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """Somebody went; `reason` is a leave code of PROTOCOL.md section 8."""

    participant: Participant
    reason: str


@dataclass(frozen=True, slots=True)
class TrackPublished:
    """Somebody publishes a track. It is not received before `TrackSubscribed`."""

    track: RemoteTrack


@dataclass(frozen=True, slots=True)
class TrackUnpublished:
    """Its publisher, or the server, ended it."""

    track: RemoteTrack


@dataclass(frozen=True, slots=True)
class TrackMuted:
    """Its publisher muted or unmuted it: see `track.muted`."""

    track: RemoteTrack


@dataclass(frozen=True, slots=True)
class TrackSubscribed:
    """Media of the track arrives from now on: iterate `track.audio()` or `track.video()`."""

    track: RemoteTrack


@dataclass(frozen=True, slots=True)
class TrackUnsubscribed:
    """It no longer arrives."""

    track: RemoteTrack


@dataclass(frozen=True, slots=True)
class SubscriptionFailed:
    """The track cannot be sent to us; the message names the codecs of both sides when that is why."""

    track: RemoteTrack
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class SpeakersChanged:
    """Who can be heard now, loudest first: identity and level, 0 to 1."""

    speakers: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class QualityChanged:
    """Whose connection is better or worse than before, ours included; who was never named is excellent."""

    qualities: tuple[tuple[str, str], ...]
    """Identity, and `lost`, `poor`, `good` or `excellent`."""


@dataclass(frozen=True, slots=True)
class StreamStateChanged:
    """What our network allows a video track that we receive, and why not more."""

    track: RemoteTrack
    paused: bool
    """The network takes none of it; it comes back by itself."""
    height_px: int
    """Of the picture that is sent; 0 none, or unknown."""
    message: str
    """For people: `360p: the link gives 620 kbit/s, 720p needs 1500`."""


@dataclass(frozen=True, slots=True)
class RoomUpdated:
    """Metadata or limits of the room changed."""

    info: RoomInfo


@dataclass(frozen=True, slots=True)
class PermissionsChanged:
    """What we may do changed."""

    permissions: Permissions


@dataclass(frozen=True, slots=True)
class MutedByServer:
    """The server muted or unmuted a track of ours; it has been done already."""

    track: LocalTrack


@dataclass(frozen=True, slots=True)
class UnpublishedByServer:
    """The server ended a track of ours, for example with the permission."""

    track: LocalTrack
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class DataReceived:
    """A data message. `sender` is an identity; "" is the server, or somebody hidden."""

    payload: bytes
    topic: str
    sender: str
    reliable: bool


@dataclass(frozen=True, slots=True)
class MediaStateChanged:
    """The media transport: `connecting`, `connected`, `disconnected`, `closed`."""

    state: str


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The WebSocket was lost. Media goes on; requests wait."""


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The WebSocket is back, in the same session."""


@dataclass(frozen=True, slots=True)
class TranscriptionReceived:
    """Somebody's words as text; the same segment may come again, better."""

    text: str
    identity: str
    """Whose words."""
    segment_id: str
    track_id: str
    """Of the sound; empty: none in particular."""
    final: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The session is over. `rejoin` says whether a new one makes sense."""

    code: str
    message: str
    rejoin: bool


RoomEvent = (
    ParticipantJoined
    | ParticipantUpdated
    | ParticipantLeft
    | TrackPublished
    | TrackUnpublished
    | TrackMuted
    | TrackSubscribed
    | TrackUnsubscribed
    | SubscriptionFailed
    | SpeakersChanged
    | QualityChanged
    | StreamStateChanged
    | RoomUpdated
    | PermissionsChanged
    | MutedByServer
    | UnpublishedByServer
    | DataReceived
    | TranscriptionReceived
    | MediaStateChanged
    | Reconnecting
    | Reconnected
    | Disconnected
)
