"""Every message of the native dialect, version 1. PROTOCOL.md says when each is sent.

Clients of any language can code against these models; the browser and Python clients of this repository do.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from signaling.native.values import (
    MAX_AUDIENCE,
    MAX_DESTINATIONS,
    MAX_SECTIONS,
    Attributes,
    Binding,
    ClientInfo,
    ConnectionQuality,
    DataTrackInfo,
    Departure,
    Encryption,
    Fps,
    HeightPx,
    IceServer,
    Id,
    Identity,
    Layer,
    LocalRoute,
    Message,
    Metadata,
    Mid,
    Name,
    ParticipantInfo,
    Payload,
    Permissions,
    Priority,
    ReceivedDataTrack,
    RoomInfo,
    Sdp,
    SectionTrack,
    ServerInfo,
    Source,
    Speaker,
    Topic,
    WantedLayer,
)

PROTOCOL_VERSION = 1

Sequence = Annotated[int, Field(ge=0)]
DataTrackNumber = Annotated[int, Field(ge=1, le=2**16 - 1)]
RequestId = Annotated[int, Field(ge=0, le=2**53 - 1)]
TimeMs = Annotated[float, Field(ge=0)]


class Request(Message):
    """What a client sends. With a `request_id` the answer, `ok` or `error` carries it back."""

    request_id: RequestId | None = None


class TrackRequest(Message):
    """What the client says about a section of its offer that it sends in."""

    mid: Mid
    cid: Annotated[str, Field(max_length=128)] = ""
    """The client's own track id (`a=msid`); only for its logs."""
    source: Source = "unknown"
    name: Name = ""
    muted: bool = False
    width: Annotated[int, Field(ge=0, le=16384)] = 0
    height: Annotated[int, Field(ge=0, le=16384)] = 0
    layers: Annotated[tuple[Layer, ...], Field(max_length=8)] = ()
    encryption: Encryption = "none"
    stereo: bool = False


TrackRequests = Annotated[tuple[TrackRequest, ...], Field(max_length=MAX_SECTIONS)]


class Join(Request):
    """First message of a new session. Answered by `joined`, or by `error` and a close."""

    type: Literal["join"] = "join"
    protocol: int
    offer: Sdp | None = None
    """The first offer, so that media needs no further round trip. Spare receive sections become slots."""
    tracks: TrackRequests = ()
    auto_subscribe: bool = True
    data: Literal["native", "livekit"] = "native"
    """What its data channels speak: our envelope, or LiveKit's `DataPacket` under LiveKit's labels."""
    client: ClientInfo = ClientInfo()
    local_ring: Annotated[str, Field(max_length=128)] = ""
    """Of agents that the server started: the secret it gave them. Media then passes through shared memory."""


class Resume(Request):
    """First message instead of `join` after a dropped WebSocket. Answered by `resumed`, or as `join`."""

    type: Literal["resume"] = "resume"
    protocol: int
    session_id: Id
    last_seq: Sequence
    """`seq` of the last event that was handled."""
    offer: Sdp | None = None
    """With a new ufrag: an ICE restart, when the network changed."""


class Offer(Request):
    """Publish, unpublish by direction, add receive sections, restart ICE. Answered by `answer`."""

    type: Literal["offer"] = "offer"
    id: Annotated[int, Field(ge=0, le=2**53 - 1)]
    """Chosen by the client, echoed in the answer."""
    sdp: Sdp
    tracks: TrackRequests = ()
    """For each section newly sent in."""


class Trickle(Request):
    """A candidate of the client. A server that is ICE-lite may ignore it: it learns addresses from checks."""

    type: Literal["trickle"] = "trickle"
    candidate: Annotated[str, Field(max_length=1024)]
    """As RTCIceCandidate.candidate; "" ends the list."""
    mid: Annotated[str, Field(max_length=32)] = ""


class Mute(Request):
    """Mute or unmute an own track. Others see it in `participants`."""

    type: Literal["mute"] = "mute"
    track_id: Id
    muted: bool


class Unpublish(Request):
    """End an own track. The section stays and can be published in again by an offer."""

    type: Literal["unpublish"] = "unpublish"
    track_id: Id


class Subscribe(Request):
    """Ask for a track. Leads to `subscribed`, `sections_needed` or `subscription_failed`."""

    type: Literal["subscribe"] = "subscribe"
    track_id: Id
    max_height_px: HeightPx | None = None
    """Tallest picture wanted; 0 pauses the video; absent: as tall as there is."""
    paused: bool = False
    """Nothing is sent, the subscription and its section stay."""
    priority: Priority | None = None
    """1 (thumbnail) to 255 (screen share); absent: by source."""
    max_fps: Fps | None = None
    """Pictures per second that are enough, 1 or 2: keyframes alone; 0 or absent: all there are."""


class UpdateSubscription(Request):
    """Change what is wanted of a subscribed track. Absent fields stay as they are."""

    type: Literal["update_subscription"] = "update_subscription"
    track_id: Id
    max_height_px: HeightPx | None = None
    paused: bool | None = None
    priority: Priority | None = None
    max_fps: Fps | None = None


class Unsubscribe(Request):
    """Decline a track, also one that auto-subscription would bring. Leads to `unsubscribed`."""

    type: Literal["unsubscribe"] = "unsubscribe"
    track_id: Id


class AudienceEntry(Message):
    """Somebody who may have tracks of the client."""

    identity: Identity
    tracks: Annotated[tuple[Id, ...], Field(max_length=MAX_AUDIENCE)] | None = None
    """Only these; null: all of them, those to come included."""


class SetAudience(Request):
    """Decide who may have the client's tracks. Whoever loses or gets one hears `track_access`."""

    type: Literal["set_audience"] = "set_audience"
    everyone: bool
    participants: Annotated[tuple[AudienceEntry, ...], Field(max_length=MAX_AUDIENCE)] = ()
    """Without `everyone`: only these."""


class UpdateMe(Request):
    """Change own name, metadata or attributes; needs `can_update_metadata`.

    Absent fields stay as they are; an attribute set to "" is removed.
    """

    type: Literal["update_me"] = "update_me"
    name: Name | None = None
    metadata: Metadata | None = None
    attributes: Attributes | None = None


class Data(Request):
    """A data message for clients without a data channel. Others get it on theirs."""

    type: Literal["data"] = "data"
    payload: Payload
    """Base64 (RFC 4648 section 4)."""
    topic: Topic = ""
    reliable: bool = True
    destinations: Annotated[tuple[Identity, ...], Field(max_length=MAX_DESTINATIONS)] = ()
    """Identities; empty: everyone in the room."""


class PublishDataTrack(Request):
    """Publish packets of the client's own on the channel `tracks`. Answered by `data_track_published`."""

    type: Literal["publish_data_track"] = "publish_data_track"
    number: DataTrackNumber
    """Chosen by the client; it stands in the packets that it sends."""
    name: Name
    encryption: Encryption = "none"


class UnpublishDataTrack(Request):
    """End an own data track."""

    type: Literal["unpublish_data_track"] = "unpublish_data_track"
    number: DataTrackNumber


class SubscribeDataTracks(Request):
    """Get the packets of data tracks, or no longer. Leads to `data_tracks`."""

    type: Literal["subscribe_data_tracks"] = "subscribe_data_tracks"
    track_ids: Annotated[tuple[Id, ...], Field(max_length=MAX_AUDIENCE)]
    """Those that are not there are passed over."""
    subscribe: bool = True


class Ping(Request):
    """Proves that the client lives. Answered by `pong`."""

    type: Literal["ping"] = "ping"
    time: TimeMs
    """The client's clock, any epoch, milliseconds."""


class Leave(Request):
    """The client goes. The server ends the session and closes with 1000."""

    type: Literal["leave"] = "leave"
    reason: Name = ""


FirstMessage = Join | Resume
ClientMessage = (
    Join
    | Resume
    | Offer
    | Trickle
    | Mute
    | Unpublish
    | Subscribe
    | UpdateSubscription
    | Unsubscribe
    | SetAudience
    | UpdateMe
    | Data
    | PublishDataTrack
    | UnpublishDataTrack
    | SubscribeDataTracks
    | Ping
    | Leave
)


class Event(Message):
    """News of the session. `seq` rises by one with each event, also across a resume."""

    seq: Sequence = 0


class Reply(Message):
    """Answers one request; not part of the numbered events and not repeated after a resume."""

    request_id: RequestId | None = None


class State(Message):
    """Everything a client must know to begin, or to begin again."""

    room: RoomInfo
    participant: ParticipantInfo
    """The client itself."""
    participants: tuple[ParticipantInfo, ...] = ()
    """Everyone visible. May hold the client itself."""
    tracks: tuple[SectionTrack, ...] = ()
    """The client's own published tracks."""
    subscriptions: tuple[Binding, ...] = ()
    """Bindings now in force."""


class JoinedHead(Event):
    """`joined` without the state, which the server encodes once for many."""

    type: Literal["joined"] = "joined"
    request_id: RequestId | None = None
    protocol: int
    session_id: Id
    """Secret: with a token of the same identity and room it resumes the session."""
    answer: Sdp | None = None
    ice_servers: tuple[IceServer, ...] = ()
    server: ServerInfo
    resume_window_s: float
    """How long media and membership outlive the WebSocket."""
    ping_interval_s: float
    """Send `ping` this often."""
    ping_timeout_s: float
    """No message for this long after a `ping`: the WebSocket is dead, open another and resume."""
    local_route: LocalRoute | None = None
    """Answer to `local_ring`."""


class Joined(JoinedHead):
    """The session has begun."""

    state: State


class ResumedHead(Event):
    """`resumed` without the state."""

    type: Literal["resumed"] = "resumed"
    request_id: RequestId | None = None
    session_id: Id
    answer: Sdp | None = None


class Resumed(ResumedHead):
    """The session goes on. Its `seq` is the number it goes on from."""

    state: State | None = None
    """Null: every event that was missed follows. Else some were forgotten: replace everything by this."""


class MovedHead(Event):
    """`moved` without the state."""

    type: Literal["moved"] = "moved"


class Moved(MovedHead):
    """The session goes on in another room, with its connection and its tracks: replace everything by this."""

    state: State


class Answer(Reply):
    """Answer to `offer`."""

    type: Literal["answer"] = "answer"
    id: int
    sdp: Sdp
    tracks: tuple[SectionTrack, ...] = ()
    """The tracks that this offer published."""


class Ok(Reply):
    """A request with a `request_id` that has no other answer was accepted."""

    type: Literal["ok"] = "ok"


class Error(Reply):
    """A request was refused and changed nothing. The session goes on unless a close follows."""

    type: Literal["error"] = "error"
    code: str
    message: str
    offer_id: int | None = None
    """The `id` of the refused offer."""


class Participants(Event):
    """Who left, came or changed, coalesced over 50 to 100 ms. Apply `left` first, then the others."""

    type: Literal["participants"] = "participants"
    left: tuple[Departure, ...] = ()
    """May name somebody never seen."""
    joined: tuple[ParticipantInfo, ...] = ()
    """May repeat somebody already known."""
    updated: tuple[ParticipantInfo, ...] = ()
    """Whole pictures: a track that is missing from one is gone. May hold the client itself."""


class Subscribed(Event):
    """The track arrives in this section from now on. No negotiation follows."""

    type: Literal["subscribed"] = "subscribed"
    track_id: Id
    mid: Mid


class Unsubscribed(Event):
    """The section carries nothing from now on; it will be bound again."""

    type: Literal["unsubscribed"] = "unsubscribed"
    track_id: Id
    mid: Mid


class SectionsNeeded(Event):
    """Subscriptions wait for receive sections: add so many and send an `offer`."""

    type: Literal["sections_needed"] = "sections_needed"
    audio: Annotated[int, Field(ge=0)] = 0
    video: Annotated[int, Field(ge=0)] = 0


class SubscriptionFailed(Event):
    """A wanted track cannot be sent to this client."""

    type: Literal["subscription_failed"] = "subscription_failed"
    track_id: Id
    code: str
    message: str
    """Names the codecs of both sides when they have none in common."""


class Speakers(Event):
    """Who can be heard now, loudest first; at most 2.5 times a second. Empty: nobody."""

    type: Literal["speakers"] = "speakers"
    speakers: tuple[Speaker, ...] = ()


class Quality(Event):
    """Whose connection is better or worse now, at most once a second. Who was never named: excellent."""

    type: Literal["quality"] = "quality"
    participants: tuple[ConnectionQuality, ...] = ()
    """May hold the client itself."""


class StreamState(Event):
    """What the client's network allows a video track it is subscribed to changed, or why it is not more."""

    type: Literal["stream_state"] = "stream_state"
    track_id: Id
    state: Literal["active", "paused"]
    """`paused`: the network takes none of it; it comes back by itself."""
    height: Annotated[int, Field(ge=0)] = 0
    """Of the picture that is sent, or will be from its next keyframe on; 0: none, or unknown."""
    reason: Literal["wanted", "not_wanted", "not_published", "link", "settling", "paused", "overshoot"]
    message: str
    """The reason for people."""
    estimate_bps: Annotated[int, Field(ge=0)] | None = None
    """What may be sent to the client in all; null: no limit is known."""
    available_bps: Annotated[int, Field(ge=0)] = 0
    """What of it this track could have; 0 where the reason names none."""
    needed_bps: Annotated[int, Field(ge=0)] = 0
    """What the next better quality needs; 0 where the reason names none."""


class WantedLayers(Event):
    """Which layers of the client's own video track anybody takes: it should send no others."""

    type: Literal["wanted_layers"] = "wanted_layers"
    track_id: Id
    layers: tuple[WantedLayer, ...]
    """Lowest first."""


class RoomUpdate(Event):
    """The room changed."""

    type: Literal["room"] = "room"
    room: RoomInfo


class PermissionsUpdate(Event):
    """The client's own permissions changed."""

    type: Literal["permissions"] = "permissions"
    permissions: Permissions


class Muted(Event):
    """The server muted or unmuted a track of the client; the client should stop or start its capture."""

    type: Literal["muted"] = "muted"
    track_id: Id
    muted: bool


class Unpublished(Event):
    """The server ended a track of the client, for the reason in `code`."""

    type: Literal["unpublished"] = "unpublished"
    track_id: Id
    code: str
    message: str


class TrackReceived(Event):
    """For the first time somebody receives this track of the client."""

    type: Literal["track_received"] = "track_received"
    track_id: Id


class TrackAccess(Event):
    """A publisher lets the client have a track, or no longer. The wish for it stays."""

    type: Literal["track_access"] = "track_access"
    track_id: Id
    participant_id: Id
    allowed: bool


class DataReceived(Event):
    """A data message for a client without a data channel."""

    type: Literal["data"] = "data"
    identity: str
    """Sender; "" is the server, or somebody hidden."""
    payload: Payload
    topic: str = ""
    reliable: bool = True


class DataTrackPublished(Reply):
    """Answer to `publish_data_track`."""

    type: Literal["data_track_published"] = "data_track_published"
    number: int
    track: DataTrackInfo


class DataTracks(Event):
    """The data tracks that the client gets now, all of them."""

    type: Literal["data_tracks"] = "data_tracks"
    tracks: tuple[ReceivedDataTrack, ...] = ()


class TransportUpdate(Event):
    """The client's media transport as the server sees it."""

    type: Literal["transport"] = "transport"
    state: Literal["connecting", "connected", "disconnected"]


class Pong(Reply):
    """Answer to `ping`."""

    type: Literal["pong"] = "pong"
    time: TimeMs


class LeaveNotice(Event):
    """The server ends the session; a close follows."""

    type: Literal["leave"] = "leave"
    code: str
    message: str
    reconnect: Literal["no", "resume", "rejoin"]
    """`resume`: with the session id; `rejoin`: as a new session; `no`: it would be refused again."""


ServerMessage = (
    Joined
    | Resumed
    | Moved
    | Answer
    | Ok
    | Error
    | Participants
    | Subscribed
    | Unsubscribed
    | SectionsNeeded
    | SubscriptionFailed
    | Speakers
    | Quality
    | StreamState
    | WantedLayers
    | RoomUpdate
    | PermissionsUpdate
    | Muted
    | Unpublished
    | TrackReceived
    | TrackAccess
    | DataReceived
    | DataTrackPublished
    | DataTracks
    | TransportUpdate
    | Pong
    | LeaveNotice
)

FIRST_MESSAGE: TypeAdapter[FirstMessage] = TypeAdapter(Annotated[FirstMessage, Field(discriminator="type")])
CLIENT_MESSAGE: TypeAdapter[ClientMessage] = TypeAdapter(
    Annotated[ClientMessage, Field(discriminator="type")]
)
SERVER_MESSAGE: TypeAdapter[ServerMessage] = TypeAdapter(
    Annotated[ServerMessage, Field(discriminator="type")]
)
