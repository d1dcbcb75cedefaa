//! Which packets of a track one subscriber gets: the decision only, without renumbering.
//!
//! One [`Selector`] per subscription. It stands on three parts: `streams` chooses among simulcast
//! streams, `filter` leaves out layers inside the stream that is forwarded, and `history`
//! remembers what was decided, so that late and repeated packets meet the same decision.
//!
//! The caller owns [`crate::seq_map::SeqMap`] and the rewriters and does to them what the
//! [`Decision`] says.

pub mod bitrates;
mod dependency;
mod filter;
mod history;
pub mod liveness;
mod selector;
mod streams;
mod temporal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod vp9;

pub(crate) use selector::MAX_OVERLOAD;
pub use selector::Selector;

use crate::codec::dependency_descriptor::{Dependency, Indication};
use crate::codec::{Codec, Detail, FrameInfo, Keyframe};
use crate::layer::Layer;
use crate::packet::SourcePacket;

/// Where a track has its spatial layers. Known from negotiation, not from packets: those of VP9
/// simulcast all say spatial layer 0 (livekit#4594).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A stream for each, or only one stream with one.
    Simulcast,
    /// Inside one stream.
    Svc {
        /// Spatial layers depend on each other in keyframes only (modes named `..._KEY`); None: not
        /// known, so it is observed.
        key_only: Option<bool>,
    },
}

impl Shape {
    /// Spatial layers are inside a stream.
    #[must_use]
    pub fn is_svc(self) -> bool {
        matches!(self, Self::Svc { .. })
    }

    /// Of a track of so many streams, as far as negotiation tells.
    #[must_use]
    pub fn of(codec: Codec, streams: usize) -> Self {
        match codec {
            Codec::Vp9 | Codec::Av1 if streams == 1 => Self::Svc { key_only: None },
            _ => Self::Simulcast,
        }
    }

    /// The layer that a packet belongs to, for measuring.
    #[must_use]
    pub fn layer(self, codec: Codec, stream: u8, frame: &FrameInfo) -> Layer {
        let spatial = match self {
            Self::Simulcast => stream,
            Self::Svc { .. } => frame.spatial,
        };
        Layer { spatial, temporal: temporal::layer(codec, frame) }
    }
}

/// Whether spatial layers inside a stream depend on each other in keyframes only, where a packet
/// tells: by the layers it refers to (VP9, of an upper layer between keyframes), or by who needs it
/// (AV1, of the lowest layer there).
pub(crate) fn observe(packet: &SourcePacket) -> Option<bool> {
    match &packet.frame.detail {
        Detail::Vp9 { descriptor, .. } => {
            let tells = packet.frame.spatial > 0 && descriptor.is_inter_picture();
            tells.then(|| !descriptor.is_inter_layer())
        }
        Detail::Dependency { .. } => {
            let between = packet.frame.spatial == 0 && packet.frame.keyframe == Keyframe::No;
            let described = packet.described.as_ref().filter(|_| between)?;
            let Dependency { structure, active_targets, frame, .. } = &described.dependency;
            let upper = structure.targets_by_quality().iter().find(|target| {
                let layers = structure.target_layers(**target);
                active_targets & 1 << **target != 0 && layers.is_some_and(|at| at.spatial > 0)
            });
            upper.map(|target| frame.indication(*target) == Indication::NotPresent)
        }
        _ => None,
    }
}

/// What a selector looks at.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Index of the stream (the track's layer in simulcast, else 0).
    pub stream: u8,
    /// Extended source number.
    pub seq: u64,
    /// Source timestamp; names the picture.
    pub timestamp: u32,
    /// Source marker bit.
    pub marker: bool,
    /// No packet with a higher number of its stream was seen.
    pub newest: bool,
    /// From the codec's payload.
    pub frame: &'a FrameInfo,
    /// From the dependency descriptor, if the stream has a usable one.
    pub dependency: Option<&'a Dependency>,
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Send it, with its number from `SeqMap::map`.
    Forward(Forward),
    /// Its stream may start here. Align the timestamps; if that is refused treat it as
    /// [`Self::Ignore`], else call [`Selector::switched`], and send it with its number from
    /// `SeqMap::switch`.
    Switch(Switch),
    /// Leave it out and close the gap: `SeqMap::exclude` this number and the `lost` ones directly
    /// before it, which never came but belonged to what is left out.
    LeaveOut {
        /// How many.
        lost: u16,
    },
    /// Not of the stream that is forwarded: change nothing.
    Ignore,
}

/// How a packet is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// So many numbers directly before it never came and belonged to what is left out:
    /// `SeqMap::exclude` them first.
    pub lost: u16,
    /// Marker bit to send.
    pub marker: bool,
    /// Decode targets to write into the dependency descriptor.
    pub targets: Option<u32>,
}

/// How a stream starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// The stream that was forwarded until now; None: nothing was.
    pub from: Option<u8>,
    /// The last picture sent may be incomplete: leave a number unused.
    pub hole: bool,
}

/// Why a target changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The subscriber wants something else, or the publisher has something else.
    Wish,
    /// The network cannot take the old one: every moment on it makes the queue longer.
    Congestion,
}
