//! What is left out of the stream that is forwarded, by codec.

use super::dependency::DependencyFilter;
use super::temporal::TemporalFilter;
use super::vp9::Vp9Filter;
use super::{Decision, Forward, Packet, Shape};
use crate::codec::Codec;
use crate::layer::Layer;

/// A filter's answer about one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) keep: bool,
    /// Lost numbers directly before it that belonged to what is left out.
    pub(super) lost: u16,
    pub(super) marker: bool,
    pub(super) targets: Option<u32>,
}

impl Verdict {
    pub(super) fn keep(marker: bool) -> Self {
        Self { keep: true, lost: 0, marker, targets: None }
    }

    pub(super) const LEAVE_OUT: Self = Self { keep: false, lost: 0, marker: false, targets: None };
}

impl From<Verdict> for Decision {
    fn from(verdict: Verdict) -> Self {
        let Verdict { keep, lost, marker, targets } = verdict;
        if keep {
            Self::Forward(Forward { lost, marker, targets })
        } else {
            Self::LeaveOut { lost }
        }
    }
}

/// Filters one stream.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    /// Audio, and who takes a publisher's place: all or nothing.
    Whole,
    /// VP8, H.264 and H.265, and AV1 of a publisher without dependency descriptors.
    Temporal(TemporalFilter),
    Vp9(Vp9Filter),
    Dependency(DependencyFilter),
}

impl Filter {
    pub(super) fn new(codec: Codec, shape: Shape) -> Self {
        match codec {
            Codec::Vp8 | Codec::H264 | Codec::H265 | Codec::Av1 => {
                Self::Temporal(TemporalFilter::new(codec))
            }
            Codec::Vp9 => Self::Vp9(Vp9Filter::new(shape)),
            Codec::Opus | Codec::Red => Self::Whole,
        }
    }

    /// Forwarding of a stream starts at this packet, the first of a keyframe. `limit`: the highest
    /// layers wanted, inside the stream.
    pub(super) fn start(&mut self, packet: &Packet<'_>, limit: Layer) -> Verdict {
        // Whether an AV1 stream has usable descriptors is known only now.
        match (&*self, packet.dependency) {
            (Self::Temporal(_), Some(_)) => *self = Self::Dependency(DependencyFilter::default()),
            (Self::Dependency(_), None) => *self = Self::Temporal(TemporalFilter::new(Codec::Av1)),
            _ => {}
        }
        match self {
            Self::Whole => Verdict::keep(packet.marker),
            Self::Temporal(filter) => filter.start(packet, limit),
            Self::Vp9(filter) => filter.start(packet, limit),
            Self::Dependency(filter) => filter.start(packet, limit),
        }
    }

    /// `gap`: how many numbers directly before this packet have not been seen.
    pub(super) fn decide(&mut self, packet: &Packet<'_>, gap: u16, limit: Layer) -> Verdict {
        match self {
            Self::Whole => Verdict::keep(packet.marker),
            Self::Temporal(filter) => filter.decide(packet, gap, limit),
            Self::Vp9(filter) => filter.decide(packet, gap, limit),
            Self::Dependency(filter) => filter.decide(packet, gap, limit),
        }
    }

    /// How a packet was forwarded, None if it was not or is forgotten.
    pub(super) fn again(&self, packet: &Packet<'_>) -> Option<Verdict> {
        match self {
            Self::Whole => Some(Verdict::keep(packet.marker)),
            Self::Temporal(filter) => filter.again(packet),
            Self::Vp9(filter) => filter.again(packet),
            Self::Dependency(filter) => filter.again(packet),
        }
    }

    /// The wanted layers cannot be reached without a keyframe.
    pub(super) fn needs_keyframe(&self) -> bool {
        match self {
            Self::Whole => false,
            Self::Temporal(filter) => filter.needs_keyframe(),
            Self::Vp9(filter) => filter.needs_keyframe(),
            Self::Dependency(filter) => filter.needs_keyframe(),
        }
    }

    /// The layers inside the stream that are forwarded now.
    pub(super) fn current(&self) -> Layer {
        match self {
            Self::Whole => Layer { spatial: 0, ..Layer::TOP },
            Self::Temporal(filter) => filter.current(),
            Self::Vp9(filter) => filter.current(),
            Self::Dependency(filter) => filter.current(),
        }
    }
}
