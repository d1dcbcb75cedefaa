//! What was decided for a track, and why, in numbers and in words.

use std::fmt;

use crate::ids::SlotId;
use crate::layer::Layer;
use crate::units::Bitrate;

/// A picture as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    /// Height of the picture.
    pub height_px: u16,
    /// With all of its frames.
    pub full_rate: bool,
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}p", self.height_px)?;
        if self.full_rate { Ok(()) } else { f.write_str(" at a lower frame rate") }
    }
}

/// Why a track gets what it gets, and not more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is all that is wanted and published.
    Wanted,
    /// The viewer wants nothing now.
    NotWanted,
    /// No layer of it is coming.
    NotPublished,
    /// The next better quality does not fit.
    Link {
        /// What the link gives this track.
        available: Bitrate,
        /// The next better quality.
        next: Quality,
        /// What that needs.
        needed: Bitrate,
    },
    /// The next better quality fits; it is taken when that has held for a while.
    Settling {
        /// The next better quality.
        next: Quality,
        /// What that needs.
        needed: Bitrate,
    },
    /// Not even the lowest quality fits.
    Paused {
        /// What the link gives this track.
        available: Bitrate,
        /// What the lowest quality needs.
        needed: Bitrate,
    },
    /// The lowest quality does not fit, and this track may not be paused.
    Overshoot {
        /// What the link gives this track.
        available: Bitrate,
        /// What the lowest quality needs.
        needed: Bitrate,
    },
}

impl Reason {
    /// Number for tables of figures, in the order of the variants.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Wanted => 0,
            Self::NotWanted => 1,
            Self::NotPublished => 2,
            Self::Link { .. } => 3,
            Self::Settling { .. } => 4,
            Self::Paused { .. } => 5,
            Self::Overshoot { .. } => 6,
        }
    }

    /// What the link gives the track, and what it needs for more; zero where that is no question.
    #[must_use]
    pub fn rates(&self) -> (Bitrate, Bitrate) {
        match *self {
            Self::Wanted | Self::NotWanted | Self::NotPublished => (Bitrate::ZERO, Bitrate::ZERO),
            Self::Settling { needed, .. } => (needed, needed),
            Self::Link { available, needed, .. }
            | Self::Paused { available, needed }
            | Self::Overshoot { available, needed } => (available, needed),
        }
    }

    /// Name for programs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::NotWanted => "not_wanted",
            Self::NotPublished => "not_published",
            Self::Link { .. } => "link",
            Self::Settling { .. } => "settling",
            Self::Paused { .. } => "paused",
            Self::Overshoot { .. } => "overshoot",
        }
    }
}

/// News for the client about a pause that the network caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// From now on nothing comes.
    Paused,
    /// It comes again.
    Resumed,
}

/// The answer for one track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which section.
    pub slot: SlotId,
    /// What to forward; `None`: nothing.
    pub target: Option<Layer>,
    /// While another picture is forwarded still, because the target's keyframe has not come: up to
    /// which temporal layer. `None`: what is left of the link does not even take its base, stop.
    pub meanwhile: Option<u8>,
    /// The target as people name it.
    pub quality: Option<Quality>,
    /// The network is why nothing is forwarded; the viewer is told.
    pub paused: bool,
    /// `paused` changed in this run.
    pub notice: Option<Notice>,
    /// Smoothed cost of the target.
    pub rate: Bitrate,
    /// Why, and why not more.
    pub reason: Reason,
}

impl Decision {
    /// The network is why it is not more.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        !matches!(self.reason, Reason::Wanted | Reason::NotWanted | Reason::NotPublished)
    }
}

/// For people: `360p: the link gives 620 kbit/s, 720p needs 1500`.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quality {
            Some(quality) => write!(f, "{quality}: ")?,
            None if self.paused => f.write_str("paused: ")?,
            None => f.write_str("off: ")?,
        }
        match self.reason {
            Reason::Wanted => f.write_str("all that is wanted"),
            Reason::NotWanted => f.write_str("not wanted"),
            Reason::NotPublished => f.write_str("nothing is published"),
            Reason::Link { available, next, needed } => {
                let (available, needed) = (kbps(available), kbps(needed));
                write!(f, "the link gives {available} kbit/s, {next} needs {needed}")
            }
            Reason::Settling { next, needed } => {
                write!(f, "{next} needs {} kbit/s and is about to follow", kbps(needed))
            }
            Reason::Paused { available, needed } | Reason::Overshoot { available, needed } => {
                let (available, needed) = (kbps(available), kbps(needed));
                write!(f, "the link gives {available} kbit/s, the lowest layer needs {needed}")
            }
        }
    }
}

fn kbps(rate: Bitrate) -> u64 {
    rate.as_bps().saturating_add(500) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_reads_like_a_sentence() {
        let mut decision = Decision {
            slot: SlotId(1),
            target: Some(Layer::new(1, 2)),
            meanwhile: Some(2),
            quality: Some(Quality { height_px: 360, full_rate: true }),
            paused: false,
            notice: None,
            rate: Bitrate::kbps(490),
            reason: Reason::Link {
                available: Bitrate::kbps(620),
                next: Quality { height_px: 720, full_rate: true },
                needed: Bitrate::kbps(1500),
            },
        };
        assert_eq!(decision.to_string(), "360p: the link gives 620 kbit/s, 720p needs 1500");
        decision.quality = None;
        decision.paused = true;
        decision.reason =
            Reason::Paused { available: Bitrate::kbps(40), needed: Bitrate::kbps(71) };
        assert_eq!(
            decision.to_string(),
            "paused: the link gives 40 kbit/s, the lowest layer needs 71"
        );
    }
}
