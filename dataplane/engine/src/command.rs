//! What the control plane tells one worker's engine. Per change, never per packet.
//!
//! Commands are ordered per worker and idempotent; one that cannot be done is answered by
//! [`Event::CommandFailed`](crate::event::Event::CommandFailed), everything else by silence.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::codec::Codec;
use crate::ids::{ParticipantId, RoomId, SlotId, TapId, TrackId, TransportId, WorkerId};
use crate::load::{GeneratorSpec, MeterId};
use crate::rtp::{ExtensionKind, PlayoutDelay};
use crate::units::Bitrate;

/// ICE user fragment and password of one side (RFC 8445 section 5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceCredentials {
    /// 4 to 256 ice-chars.
    pub ufrag: String,
    /// 22 to 256 ice-chars.
    pub password: String,
}

/// Which half of ICE and DTLS we play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// ICE-lite responder and DTLS server: what a client connects to.
    Server,
    /// Full controlling ICE agent and DTLS/SCTP client: load test, dense agents, links.
    Client,
}

/// One command to one worker.
#[derive(Clone, Debug)]
pub enum Command {
    /// Creates a transport; from now on STUN for its ufrag is answered.
    AddTransport(AddTransport),
    /// What negotiation found out about the far side. Sent again after each negotiation.
    SetRemote(SetRemote),
    /// A candidate that came after the description. Client role only.
    AddRemoteCandidate {
        /// Which transport.
        transport: TransportId,
        /// Where to send checks.
        address: SocketAddr,
    },
    /// New local credentials; the old ones hold until the first valid check with the new.
    RestartIce {
        /// Which transport.
        transport: TransportId,
        /// The credentials now in signaling.
        local: IceCredentials,
    },
    /// Sends no more than that, however much the path takes. Does nothing on a transport without
    /// congestion control.
    LimitSending {
        /// Which transport.
        transport: TransportId,
        /// The estimate is never above it; `None` lifts the limit.
        limit: Option<Bitrate>,
    },
    /// Sends close_notify, forgets the transport with its tracks, slots and channels.
    RemoveTransport {
        /// Which transport.
        transport: TransportId,
    },
    /// Starts to accept a published track, or mirrors one whose home is another worker.
    AddTrack(AddTrack),
    /// A muted track sends no keyframe requests and is not missed by quality.
    SetTrackMuted {
        /// Which track.
        track: TrackId,
        /// New state.
        muted: bool,
    },
    /// Forgets the track; slots that carried it fall silent.
    RemoveTrack {
        /// Which track.
        track: TrackId,
    },
    /// Sends a track's packets to a reader that is not a slot.
    AddTarget {
        /// Which track.
        track: TrackId,
        /// The reader.
        target: Target,
    },
    /// Ends what `AddTarget` began.
    RemoveTarget {
        /// Which track.
        track: TrackId,
        /// The reader.
        target: Target,
    },
    /// Agrees an outgoing section. It stays silent until a track is bound.
    AddSlot(AddSlot),
    /// Ends an outgoing section.
    RemoveSlot {
        /// Which slot.
        slot: SlotId,
    },
    /// Binds a track to a slot: a source switch, with a keyframe request for video.
    Subscribe {
        /// The free or used slot.
        slot: SlotId,
        /// What it carries from now on.
        track: TrackId,
        /// What the subscriber wants of it.
        wish: Wish,
    },
    /// Changes the wish of a bound slot.
    UpdateSubscription {
        /// Which slot.
        slot: SlotId,
        /// The new wish.
        wish: Wish,
    },
    /// Unbinds; the slot keeps its sequence numbers for the next track.
    Unsubscribe {
        /// Which slot.
        slot: SlotId,
    },
    /// Asks the publisher for a keyframe, within the throttle.
    RequestKeyframe {
        /// Which track.
        track: TrackId,
        /// Index into its layers.
        layer: u8,
    },
    /// Adds or changes a member in the data routing table. Sent to every worker.
    SetMember(Member),
    /// Takes a member out of the data routing table.
    RemoveMember {
        /// Its room.
        room: RoomId,
        /// Who.
        participant: ParticipantId,
    },
    /// A data message from the server itself; each worker serves its own members.
    SendData(SendData),
    /// Sends the packets of a data track to these people, in place of those who had them before. Goes to
    /// the worker of its publisher.
    SetDataTrack(DataTrack),
    /// Forgets a data track.
    RemoveDataTrack {
        /// Whose transport its packets come by.
        publisher: TransportId,
        /// What its publisher calls it.
        handle: u16,
    },
    /// Asks for one [`Event::DataReceived`](crate::event::Event::DataReceived).
    ReadDataReceived {
        /// Whose messages come by it.
        transport: TransportId,
        /// Comes back with the answer.
        token: u64,
    },
    /// Asks for one [`Event::Stats`](crate::event::Event::Stats).
    ReadStats {
        /// Comes back with the answer.
        token: u64,
    },
}

/// See [`Command::AddTransport`].
#[derive(Clone, Debug)]
pub struct AddTransport {
    /// Chosen by Python.
    pub transport: TransportId,
    /// Scope of its data messages.
    pub room: RoomId,
    /// Which half of ICE and DTLS we play.
    pub role: Role,
    /// Our credentials; the ufrag begins with the owner worker as two lower-case hex digits.
    pub local: IceCredentials,
    /// The socket that a client sends its checks by, one of its own per client transport: that is
    /// all that tells two of them apart at one server address. Unused in server role.
    pub socket: u16,
    /// The peer is a process beside ours, and no check, handshake or cipher is in between.
    pub local_path: Option<LocalPath>,
}

/// The way to a process beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPath {
    /// The ring that we share with it, as the I/O shell numbers them.
    pub ring: u16,
    /// Which of the transports on it: the same number on both sides.
    pub route: u64,
}

/// See [`Command::SetRemote`].
#[derive(Clone, Debug)]
pub struct SetRemote {
    /// Which transport.
    pub transport: TransportId,
    /// Needed in client role to send checks; a lite responder does without.
    pub ice: Option<IceCredentials>,
    /// `a=fingerprint` lines: hash name in lower case, bytes. At least one must match the certificate.
    pub fingerprints: Vec<(String, Vec<u8>)>,
    /// Where to send checks. Client role only.
    pub candidates: Vec<SocketAddr>,
    /// Header extensions agreed for the BUNDLE group, by id.
    pub extensions: Vec<(u8, ExtensionKind)>,
    /// `a=extmap-allow-mixed` was agreed: two-byte headers may be sent.
    pub allow_mixed: bool,
    /// The publisher wants transport-wide feedback (`transport-cc` agreed).
    pub transport_cc: bool,
    /// The publisher wants REMB (`goog-remb` agreed and no transport-cc).
    pub remb: bool,
    /// An SCTP association was agreed.
    pub data: bool,
    /// We open the data channels, labelled as the member's dialect wants them. Server role only: a
    /// client always does.
    pub opens_channels: bool,
    /// We send the ClientHello (`a=setup:active` agreed). `None`: as the transport's role has it. A
    /// peer that takes a lite agent's offer may choose to be the DTLS server (RFC 8842 section 5.3).
    pub dtls_active: Option<bool>,
    /// No more is sent than the way to the peer takes, as far as the peer reports on it: packets are
    /// paced, and video layers chosen by bitrate. Server role only; stays on once it was.
    pub congestion_control: bool,
    /// Told with every picture sent to it: bounds of its jitter buffer, for all video.
    pub playout_delay: Option<PlayoutDelay>,
}

impl SetRemote {
    /// What a peer with media alone agrees on: transport-wide feedback, no data, nothing limited.
    #[must_use]
    pub fn of_media(
        transport: TransportId,
        ice: IceCredentials,
        sha256: &[u8],
        extensions: &[(u8, ExtensionKind)],
    ) -> Self {
        Self {
            transport,
            ice: Some(ice),
            fingerprints: vec![("sha-256".to_owned(), sha256.to_vec())],
            candidates: Vec::new(),
            extensions: extensions.to_vec(),
            allow_mixed: true,
            transport_cc: true,
            remb: false,
            data: false,
            opens_channels: false,
            dtls_active: None,
            congestion_control: false,
            playout_delay: None,
        }
    }
}

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// Opus.
    Audio,
    /// Anything with keyframes.
    Video,
}

/// Where a track's packets come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A publisher on this worker.
    Transport {
        /// Its transport.
        transport: TransportId,
        /// The section it publishes in.
        mid: String,
    },
    /// Another worker of this process, whose track has the same id.
    Ring {
        /// The worker the publisher is on.
        home: WorkerId,
    },
    /// Made here on the clock, for load tests.
    Generator(GeneratorSpec),
    /// Fed from this process by `plane.write_track` (dense agents).
    Local,
}

/// A codec a publisher may send, by payload type.
#[derive(Clone, Debug)]
pub struct ReceiveCodec {
    /// 0..=127, outside 64..=95.
    pub payload_type: u8,
    /// What it is.
    pub codec: Codec,
    /// RTP ticks per second.
    pub clock_rate: u32,
    /// Payload type of its RTX stream.
    pub rtx_payload_type: Option<u8>,
    /// Generic NACK agreed.
    pub nack: bool,
    /// `nack pli` agreed.
    pub pli: bool,
    /// `ccm fir` agreed.
    pub fir: bool,
    /// Names codec plus format parameters; equal numbers may be forwarded to each other.
    pub format: u16,
}

/// One simulcast layer, or the only one.
#[derive(Clone, Debug, Default)]
pub struct LayerSpec {
    /// `a=rid` of simulcast (RFC 8853).
    pub rid: Option<String>,
    /// Declared by `a=ssrc`.
    pub ssrc: Option<u32>,
    /// Declared by `a=ssrc-group:FID`.
    pub rtx_ssrc: Option<u32>,
    /// Picture height that the client announced; 0 unknown.
    pub height_px: u16,
}

/// See [`Command::AddTrack`].
#[derive(Clone, Debug)]
pub struct AddTrack {
    /// Chosen by Python; the same on every worker that knows the track.
    pub track: TrackId,
    /// Scope of active speakers.
    pub room: RoomId,
    /// Where packets come from.
    pub source: Source,
    /// Audio or video.
    pub kind: MediaKind,
    /// By payload type.
    pub codecs: Vec<ReceiveCodec>,
    /// Lowest quality first; at least one.
    pub layers: Vec<LayerSpec>,
    /// It shows a screen, which sends in bursts with long pauses.
    pub screen: bool,
    /// Payloads are encrypted end to end: they are never made, unwrapped or wrapped here.
    pub encrypted: bool,
    /// Publishing starts muted.
    pub muted: bool,
    /// CNAME given to subscribers: one per publishing participant (lip-sync).
    pub cname: String,
}

/// A reader of a track that is not a slot. It gets source numbering, without rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Another worker, once for all its slots.
    Ring(WorkerId),
    /// A reader in this process, in batches.
    Tap(TapId),
    /// Counts and times packets, for load tests.
    Meter(MeterId),
}

impl Target {
    /// The worker, if that is what it is.
    #[must_use]
    pub fn worker(&self) -> Option<WorkerId> {
        match self {
            Self::Ring(worker) => Some(*worker),
            Self::Tap(_) | Self::Meter(_) => None,
        }
    }
}

/// A codec a subscriber takes, by payload type.
#[derive(Clone, Debug)]
pub struct SendCodec {
    /// What the subscriber calls it.
    pub payload_type: u8,
    /// What it is.
    pub codec: Codec,
    /// RTP ticks per second.
    pub clock_rate: u32,
    /// Payload type of its RTX stream.
    pub rtx_payload_type: Option<u8>,
    /// As in [`ReceiveCodec::format`].
    pub format: u16,
}

/// See [`Command::AddSlot`].
#[derive(Clone, Debug)]
pub struct AddSlot {
    /// Chosen by Python.
    pub slot: SlotId,
    /// The subscriber's transport.
    pub transport: TransportId,
    /// Written into the mid extension.
    pub mid: String,
    /// Written into the rid extension; only a client that publishes simulcast has one.
    pub rid: Option<String>,
    /// Audio or video.
    pub kind: MediaKind,
    /// Ours for the life of the transport.
    pub ssrc: u32,
    /// RTX stream, if agreed.
    pub rtx_ssrc: Option<u32>,
    /// By preference.
    pub codecs: Vec<SendCodec>,
}

/// What a subscriber wants of a track; the engine answers with what it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Tallest picture wanted; 0 pauses video. Layers of unknown height count by index.
    pub max_height_px: u16,
    /// Highest temporal layer wanted.
    pub max_temporal: u8,
    /// 1 (thumbnail) to 255 (screen share).
    pub priority: u8,
    /// The allocator may stop this track when the network cannot take it.
    pub may_pause: bool,
    /// Nothing is sent at all.
    pub paused: bool,
    /// Only keyframes, asked for so often (ms); 0: all pictures.
    pub keyframe_interval_ms: u16,
}

/// How a member's data messages look on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataDialect {
    /// `envelope::native`.
    Native,
    /// `envelope::livekit`.
    LiveKit,
}

/// See [`Command::SetMember`].
#[derive(Clone, Debug)]
pub struct Member {
    /// Scope of its messages.
    pub room: RoomId,
    /// Who.
    pub participant: ParticipantId,
    /// How others address it.
    pub identity: String,
    /// Its public id, for dialects that show it beside the identity.
    pub sid: String,
    /// Carries messages to it, and from it unless there is an uplink.
    pub transport: TransportId,
    /// The worker that owns `transport`.
    pub worker: WorkerId,
    /// Brings its messages.
    pub uplink: Option<TransportId>,
    /// Its wire format.
    pub dialect: DataDialect,
    /// It may send to others.
    pub can_publish: bool,
    /// Others do not see it: it receives, but its own messages name no visible sender.
    pub hidden: bool,
    /// It may speak for others, and say what they said.
    pub agent: bool,
    /// It is given its peers' figures.
    pub metrics: bool,
}

/// See [`Command::SendData`].
#[derive(Clone, Debug)]
pub struct SendData {
    /// Scope.
    pub room: RoomId,
    /// Empty: everyone in the room.
    pub destinations: Vec<ParticipantId>,
    /// Over the reliable channel.
    pub reliable: bool,
    /// At most 256 bytes.
    pub topic: String,
    /// Opaque.
    pub payload: Arc<[u8]>,
    /// Shown as the sender; empty for the server.
    pub sender: String,
    /// The payload is a whole message of this dialect, for its clients alone.
    pub packet: Option<DataDialect>,
}

/// See [`Command::SetDataTrack`].
#[derive(Clone, Debug)]
pub struct DataTrack {
    /// Whose transport its packets come by.
    pub publisher: TransportId,
    /// What its publisher calls it in its packets.
    pub handle: u16,
    /// What everybody else does.
    pub subscribed_as: u16,
    /// Transports of those who get it, each with its worker.
    pub subscribers: Vec<(TransportId, WorkerId)>,
}
