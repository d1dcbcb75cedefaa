//! What one worker's engine tells the control plane. In batches, never per packet.

use std::time::Instant;

use std::net::SocketAddr;

use crate::ids::{RoomId, SlotId, TrackId, TransportId};
use crate::layer::Layer;
use crate::quality::Verdict;
use crate::stats::StatsColumns;

/// States of a transport as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportState {
    /// A valid check came (or, in client role, one of ours was answered).
    IceConnected,
    /// DTLS is done, the fingerprint matched, SRTP keys are in place.
    Connected,
    /// No consent for 10 s; media still flows if it can.
    Disconnected,
    /// Gone; see the reason. Nothing of it exists any more.
    Closed,
}

/// Why a transport closed. Text for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Not closed.
    None,
    /// By command.
    Removed,
    /// The peer sent an authenticated close_notify.
    PeerClosed,
    /// No check for 30 s (RFC 7675).
    ConsentExpired,
    /// No handshake within 30 s of the first check.
    HandshakeTimeout,
    /// The peer's part in the handshake was not acceptable.
    HandshakeFailed,
    /// The certificate is not the one in signaling.
    FingerprintMismatch,
    /// A reliable channel stayed full.
    DataBackpressure,
    /// A bug on our side, contained in this transport.
    Internal,
}

/// What the allocator decided for a video slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotAllocation {
    /// Which slot.
    pub slot: SlotId,
    /// What it is to forward; `None`: nothing.
    pub target: Option<Layer>,
    /// The network is why nothing is forwarded.
    pub paused: bool,
    /// Why it gets this and not more, for programs; see `allocator::Reason::as_str`.
    pub reason: &'static str,
    /// The same for people: `360p: the link gives 620 kbit/s, 720p needs 1500`.
    pub text: String,
    /// What may be sent to the subscriber in all, in bits per second. `None`: no limit is known.
    pub estimate_bps: Option<u64>,
    /// What of it this track could have; 0 where the reason names none.
    pub available_bps: u64,
    /// What the next better quality needs; 0 where the reason names none.
    pub needed_bps: u64,
}

/// The two ways of a transport, as its peer sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// What the peer publishes.
    Up,
    /// What the peer receives.
    Down,
}

/// One piece of news.
#[derive(Clone, Debug)]
pub enum Event {
    /// On change.
    TransportState {
        /// Which.
        transport: TransportId,
        /// New state.
        state: TransportState,
        /// Only with `Closed`.
        reason: CloseReason,
        /// The selected pair's far end.
        remote: Option<SocketAddr>,
    },
    /// The peer's data channels work: reliable and lossy both open.
    DataReady {
        /// Which.
        transport: TransportId,
    },
    /// First packet of a layer since it last stopped.
    LayerStarted {
        /// Which track.
        track: TrackId,
        /// Index into its layers.
        layer: u8,
        /// What codec it really sends (index into the track's codecs).
        codec: u8,
    },
    /// A layer fell silent.
    LayerStopped {
        /// Which track.
        track: TrackId,
        /// Index into its layers.
        layer: u8,
    },
    /// What a slot forwards changed; coalesced.
    SlotLayer {
        /// Which slot.
        slot: SlotId,
        /// `None`: nothing (paused, or waiting for a keyframe).
        layer: Option<u8>,
    },
    /// What the way to a subscriber allows one of its video slots changed, or why; coalesced. Only
    /// for transports whose bandwidth is estimated.
    SlotAllocation(SlotAllocation),
    /// The best layer of a track that anybody takes changed: its publisher may leave out what is
    /// above it. More is told at once, less late; coalesced.
    WantedLayers {
        /// Which track.
        track: TrackId,
        /// Index into its layers; `None`: nobody takes anything.
        best: Option<u8>,
    },
    /// Somebody who gets a track made in this process waits for a keyframe: whoever feeds it is to
    /// make one. Told again until it comes.
    KeyframeWanted {
        /// Which track.
        track: TrackId,
        /// Index into its layers.
        layer: u8,
    },
    /// How good the way to or from a peer is changed, in a word; at most once in 5 s for each
    /// direction.
    Quality {
        /// Whose.
        transport: TransportId,
        /// Which way.
        direction: Direction,
        /// Of its worst track.
        verdict: Verdict,
    },
    /// Active speakers of this worker's publishers changed; at most 2.5/s per room.
    Speakers {
        /// Which room.
        room: RoomId,
        /// Loudest first: track and level, 0 (silent) to 255 (loud). Empty: nobody speaks.
        speakers: Vec<(TrackId, u8)>,
    },
    /// Somebody began to speak, or has stopped for a while.
    Speech {
        /// Which room.
        room: RoomId,
        /// Whose voice.
        track: TrackId,
        /// Which of both.
        speaking: bool,
        /// Arrival of the packet that it began or ended with.
        at: Instant,
    },
    /// A local ring is over.
    LocalRingClosed {
        /// Which, as the I/O shell numbers them.
        ring: u16,
        /// Its other process wrote what cannot be; else that has gone, or the ring was closed.
        broken: bool,
    },
    /// A data message addressed to the server.
    Data {
        /// Who sent it.
        transport: TransportId,
        /// Begins with `airside/`.
        topic: String,
        /// Opaque.
        payload: Vec<u8>,
    },
    /// Answer to `ReadDataReceived`.
    DataReceived {
        /// As asked.
        token: u64,
        /// Of the newest reliable message that its sender numbered; 0: none came.
        sequence: u32,
    },
    /// Answer to `ReadStats`.
    Stats {
        /// As asked.
        token: u64,
        /// One worker's figures.
        columns: Box<StatsColumns>,
    },
    /// A command could not be done.
    CommandFailed {
        /// Its name.
        command: &'static str,
        /// The id it was about.
        id: u64,
        /// What was wrong.
        reason: &'static str,
    },
    /// The queue overflowed and merged: read the stats.
    Resync,
}
