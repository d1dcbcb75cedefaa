//! What workers of one process tell each other.

use std::sync::Arc;

use crate::data::DataDelivery;
use crate::ids::TrackId;
use crate::net::Tuple;
use crate::packet::SourcePacket;
use crate::sender::SourceClock;

/// One message from worker to worker; handed over by the I/O shell in order.
#[derive(Clone, Debug)]
pub enum RingMessage {
    /// A packet of a track that has a `Target::Ring` to this worker.
    Packet(Arc<SourcePacket>),
    /// The publisher's clocks, for sender reports and timestamps over layer switches.
    SenderReport {
        /// Which track.
        track: TrackId,
        /// Index into its layers.
        layer: u8,
        /// Both clocks, the wall clock moved to ours.
        clock: SourceClock,
    },
    /// A subscriber over there needs a keyframe; the home worker throttles.
    Keyframe {
        /// Which track.
        track: TrackId,
        /// Index into its layers.
        layer: u8,
    },
    /// The best layer that slots over there take changed; for the home worker.
    Wanted {
        /// Which track.
        track: TrackId,
        /// Index into its layers; `None`: they take nothing.
        best: Option<u8>,
    },
    /// Whether a subscriber over there asks for this voice in particular.
    Pin {
        /// Which track.
        track: TrackId,
        /// It does, or no longer.
        pinned: bool,
    },
    /// An address on the shared port was proved, or forgotten, by the sending worker's transports.
    Address {
        /// The path.
        tuple: Tuple,
        /// Proved, or forgotten.
        present: bool,
    },
    /// A data message for members whose transports are over there.
    Data(DataDelivery),
}
