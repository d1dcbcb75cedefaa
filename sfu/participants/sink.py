"""How the domain speaks to a client, whatever its dialect: one method, these events.

Order is what a client may rely on: an event about a track comes after the one that announced the track,
and `Leave` is the last thing a sink is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Protocol

from sfu.core.ids import Identity, Mid, ParticipantSid, SessionId, TrackSid, WorkerId
from sfu.core.shared import Shared
from sfu.dataplane.events import AllocationReason
from sfu.participants.info import ParticipantInfo, ParticipantQuality, RoomInfo, Speaker
from sfu.participants.permissions import Permissions
from sfu.tracks.data_track import DataTrackInfo
from sfu.tracks.track import TrackInfo


class LeaveCode(StrEnum):
    """Why somebody is no longer here. Wire format."""

    CLIENT_LEFT = "client_left"
    DUPLICATE_IDENTITY = "duplicate_identity"
    """The same identity joined again."""
    REMOVED = "removed"
    """By the server API."""
    ROOM_DELETED = "room_deleted"
    SERVER_SHUTDOWN = "server_shutdown"
    SIGNAL_LOST = "signal_lost"
    """The WebSocket was gone for longer than the resume window."""
    MEDIA_LOST = "media_lost"
    """No consent checks any more (RFC 7675), or its data channel stayed full."""
    MEDIA_CLOSED = "media_closed"
    """The client closed its peer connection."""
    MEDIA_FAILED = "media_failed"
    """ICE or DTLS never came up, or the certificate was not the announced one."""
    MOVED = "moved"
    """To another room, by the server API. Others are told this much."""
    SUPERSEDED = "superseded"
    """Only this WebSocket ends: another one resumed the session."""
    NEGOTIATION_FAILED = "negotiation_failed"
    """Offers or answers do not fit what was agreed, or none came."""
    ROOM_CLOSED = "room_closed"
    """Nobody was left whom the room is for."""
    INTERNAL = "internal"


class Reconnect(StrEnum):
    """What a client should do after `Leave`."""

    NO = "no"
    RESUME = "resume"
    """Open a new WebSocket and resume this session."""
    REJOIN = "rejoin"
    """Join again from the beginning."""


class ResumeTrial(Enum):
    """When a resume is cut off that a client wants cut off."""

    AT_ONCE = auto()
    """Before it is told anything."""
    AFTER_FIRST_WORD = auto()
    """As soon as it was told that it may go on."""


@dataclass(frozen=True, slots=True)
class PublishedTrack:
    """A track entry and what became of it."""

    mid: Mid
    cid: str | None
    track: TrackInfo


@dataclass(frozen=True, slots=True)
class OfferResult:
    """What an offer led to."""

    answer_sdp: str
    tracks: tuple[PublishedTrack, ...]
    """Tracks that this offer published."""
    bound: tuple[tuple[TrackSid, Mid], ...] = ()
    """What the answer says the sections carry, in dialects that read it there."""


@dataclass(frozen=True, slots=True)
class JoinedState:
    """Everything a client must know to begin, or to begin again after it lost too much."""

    session_id: SessionId
    participant: ParticipantInfo
    room: Shared[RoomInfo]
    participants: Shared[tuple[Shared[ParticipantInfo], ...]]
    """Everyone visible. May hold the receiver itself: compare sids."""
    answer_sdp: str | None
    """Answer to the offer in the same request, if there was one."""
    published: tuple[PublishedTrack, ...]
    """The receiver's own tracks."""
    bound: tuple[tuple[TrackSid, Mid], ...]
    """Subscriptions that are on a section now. Empty on a first join, where `SubscriptionBound` follows,
    unless the answer says what its sections carry."""
    resume_window_s: float
    local_route: tuple[WorkerId, int] | None = None
    """Whose ring its transport is on, and which number it has there; None: it is on the network."""


@dataclass(frozen=True, slots=True)
class Joined:
    """First event of a session."""

    state: JoinedState


@dataclass(frozen=True, slots=True)
class Resumed:
    """First event after a WebSocket resumed a session. Repeats the number it goes on from."""

    state: JoinedState | None
    """None: every event missed follows. Else some were forgotten: replace all state by this one."""
    answer_sdp: str | None
    """Answer to the offer in the resume request (an ICE restart)."""
    left: tuple[ParticipantLeft, ...] = ()
    """With `state`: those the client may still believe to be here, as far as is remembered."""
    received: int = 0
    """Number of the last reliable data message that came from a client that counts; 0: none, or unknown."""
    trial: ResumeTrial | None = None
    """The client wants to see how it gets through a resume that is cut off: close its connection."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The receiver is in another room from now on, with its connections, its tracks and its session."""

    state: JoinedState


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """Who is gone, and why."""

    sid: ParticipantSid
    identity: Identity
    reason: LeaveCode
    info: Shared[ParticipantInfo] | None = None
    """As it was last seen."""


@dataclass(frozen=True, slots=True)
class ParticipantsChange:
    """Changes of 50 to 100 ms in one. Apply `left` first, then the others.

    A track that was unpublished is missing from its participant. `joined` may repeat somebody that a
    snapshot already held, and `left` may name somebody never seen; both are harmless.
    """

    left: tuple[ParticipantLeft, ...]
    joined: tuple[Shared[ParticipantInfo], ...]
    updated: tuple[Shared[ParticipantInfo], ...]


@dataclass(frozen=True, slots=True)
class ParticipantsChanged:
    """The same object for everyone in the room."""

    change: Shared[ParticipantsChange]


@dataclass(frozen=True, slots=True)
class RoomUpdated:
    """Metadata or recording state changed. The same object for everyone in the room."""

    room: Shared[RoomInfo]


@dataclass(frozen=True, slots=True)
class SpeakersChanged:
    """Who speaks now, loudest first; nobody else does. The same object for everyone in the room."""

    speakers: Shared[tuple[Speaker, ...]]


@dataclass(frozen=True, slots=True)
class QualityChanged:
    """Whose connections are better or worse than was told before; who was never named is excellent. The same
    object for everyone in the room, but for what newcomers are told."""

    qualities: Shared[tuple[ParticipantQuality, ...]]


@dataclass(frozen=True, slots=True)
class StreamStateChanged:
    """What the receiver's network allows a video track it is subscribed to, and why not more."""

    track: TrackSid
    participant: ParticipantSid
    """Its publisher."""
    paused: bool
    """The network is why nothing is sent."""
    height_px: int
    """Of the picture that is sent, or will be from its next keyframe on; 0 none, or unknown."""
    reason: AllocationReason
    text: str
    """The reason for people: `360p: the link gives 620 kbit/s, 720p needs 1500`."""
    estimate_bps: int | None
    """What may be sent to the receiver in all. None: no limit is known."""
    available_bps: int
    """What of it this track could have; 0 where the reason names none."""
    needed_bps: int
    """What the next better quality needs; 0 where the reason names none."""


@dataclass(frozen=True, slots=True)
class WantedLayer:
    """One layer of an own track, and whether anybody takes it."""

    rid: str
    """`a=rid` of simulcast; "" without."""
    wanted: bool


@dataclass(frozen=True, slots=True)
class WantedLayersChanged:
    """The receiver's own video track: it may leave out the layers that nobody takes (dynacast)."""

    track: TrackSid
    mime: str
    layers: tuple[WantedLayer, ...]
    """Lowest first; what is wanted has no gaps."""


@dataclass(frozen=True, slots=True)
class DataTracksChanged:
    """The data tracks that the receiver gets, all of them, by the number that stands in their packets."""

    tracks: Mapping[int, DataTrackInfo]


@dataclass(frozen=True, slots=True)
class SubscriptionBound:
    """From now on this section carries that track."""

    track: TrackSid
    participant: ParticipantSid
    mid: Mid


@dataclass(frozen=True, slots=True)
class SubscriptionUnbound:
    """The section is free; the track may be gone, declined, or no longer allowed."""

    track: TrackSid
    mid: Mid


@dataclass(frozen=True, slots=True)
class SectionsNeeded:
    """Subscriptions wait: offer this many more receiving sections. None at all, only to clients that read in
    answers what sections carry: offer again, there is news."""

    audio: int
    video: int


@dataclass(frozen=True, slots=True)
class OfferMade:
    """Our offer on the second transport of a client that has two: feed its answer to `Session.answer`."""

    id: int
    """Counts up from 1."""
    sdp: str
    bound: tuple[tuple[TrackSid, Mid], ...]
    """What its sections carry from now on."""


@dataclass(frozen=True, slots=True)
class TrackReceived:
    """For the first time somebody receives the receiver's own track."""

    track: TrackSid


@dataclass(frozen=True, slots=True)
class TrackAccessChanged:
    """A publisher lets the receiver have a track, or no longer."""

    track: TrackSid
    participant: ParticipantSid
    allowed: bool


@dataclass(frozen=True, slots=True)
class SubscriptionFailed:
    """This track cannot be delivered; asked again only if something changes."""

    track: TrackSid
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class PermissionsChanged:
    """The receiver may do more or less than before."""

    permissions: Permissions


@dataclass(frozen=True, slots=True)
class TrackMutedByServer:
    """An administrator (un)muted the receiver's own track. The client should stop or start capture."""

    track: TrackSid
    muted: bool


@dataclass(frozen=True, slots=True)
class TrackUnpublishedByServer:
    """The receiver's own track is no longer published, for a reason in `code` (an error code)."""

    track: TrackSid
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class MediaStateChanged:
    """The receiver's own transport, as the server sees it: `connecting`, `connected` or `disconnected`."""

    state: str


@dataclass(frozen=True, slots=True)
class DataReceived:
    """A data message for a client that has no data channel."""

    sender: Identity | None
    """None: the server, or somebody hidden."""
    topic: str
    payload: bytes
    reliable: bool


@dataclass(frozen=True, slots=True)
class Leave:
    """The session is over for this sink. Send it, then close."""

    code: LeaveCode
    text: str
    reconnect: Reconnect


DomainEvent = (
    Joined
    | Resumed
    | Moved
    | ParticipantsChanged
    | RoomUpdated
    | SpeakersChanged
    | QualityChanged
    | StreamStateChanged
    | WantedLayersChanged
    | DataTracksChanged
    | SubscriptionBound
    | SubscriptionUnbound
    | SectionsNeeded
    | OfferMade
    | TrackReceived
    | TrackAccessChanged
    | SubscriptionFailed
    | PermissionsChanged
    | TrackMutedByServer
    | TrackUnpublishedByServer
    | MediaStateChanged
    | DataReceived
    | Leave
)


class ParticipantSink(Protocol):
    """One connected client. Implemented by signaling."""

    def send(self, seq: int, event: DomainEvent) -> None:
        """Queue an event for the client, without blocking and without raising.

        `seq` counts up by one per event of a session; the client names the last one it has seen when
        it resumes. A sink whose queue is full cuts its own connection and then calls `Session.detach`
        from a later turn of the loop.
        """
