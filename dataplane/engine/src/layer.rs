//! A quality of a video track: which picture size, which share of its frames.

use std::fmt;

use crate::units::Bitrate;

/// Spatial layers of a track at most: three simulcast streams, or three SVC layers.
pub const MAX_SPATIAL: usize = 3;
/// Temporal layers of a spatial layer at most.
pub const MAX_TEMPORAL: usize = 4;

/// One quality of one track. Ordered by spatial layer, then by temporal layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Layer {
    /// Index of the simulcast stream or SVC spatial layer, smallest picture first.
    pub spatial: u8,
    /// Highest temporal layer taken with it.
    pub temporal: u8,
}

impl Layer {
    /// Everything there is: no codec numbers its layers with more than 3 bits.
    pub const TOP: Self = Self { spatial: 7, temporal: 7 };

    /// Names a layer.
    #[must_use]
    pub const fn new(spatial: u8, temporal: u8) -> Self {
        Self { spatial, temporal }
    }

    /// All of `other`'s layers are within this one.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        other.spatial <= self.spatial && other.temporal <= self.temporal
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S{}T{}", self.spatial, self.temporal)
    }
}

/// What each layer costs, `[spatial][temporal]`: all bits on the wire that forwarding it takes, so
/// the layers it is built on are counted in. Zero: not there, or not measured yet.
pub type LayerRates = [[Bitrate; MAX_TEMPORAL]; MAX_SPATIAL];
