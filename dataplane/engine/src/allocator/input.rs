//! What a run is given.

use std::time::{Duration, Instant};

use crate::command::Wish;
use crate::ids::{SlotId, TrackId};
use crate::layer::{Layer, LayerRates, MAX_SPATIAL};
use crate::units::Bitrate;

/// Share of the estimate that is planned with; the rest is for what cannot be planned.
const PLANNED: f64 = 0.95;
/// RTCP to this receiver.
const RTCP: Bitrate = Bitrate::kbps(10);
/// Retransmissions are never given more than this share of the estimate.
const MAX_RETRANSMISSIONS: f64 = 0.15;
/// Keeps sums far from overflow when there is no estimate at all.
const UNLIMITED: Bitrate = Bitrate::mbps(100_000);
/// From this priority on a track is screen share, or pinned by its viewer.
const TOP_PRIORITY: u8 = 200;
/// A picture wanted at least this tall is a large view.
const LARGE_HEIGHT_PX: u16 = 720;
/// Height of the lowest layer where the publisher did not say; each next is twice as tall.
const ASSUMED_LOWEST_HEIGHT_PX: u16 = 180;

/// What the way to the receiver can take, and what is on it besides video.
#[derive(Clone, Copy, Debug)]
pub struct LinkState {
    /// Everything that may be sent, headers included; [`Bitrate::MAX`] without any estimate.
    pub estimate: Bitrate,
    /// Audio on the wire, peaks kept for a while: [`super::PeakRate`].
    pub audio: Bitrate,
    /// Retransmissions on the wire: [`super::MeanRate`].
    pub retransmissions: Bitrate,
    /// What waits in the pacer.
    pub queue_delay: Duration,
}

impl LinkState {
    /// What is left for video, in bits per second: audio comes first and is never touched.
    pub(super) fn for_video(&self) -> i64 {
        let estimate = self.estimate.min(UNLIMITED);
        to_i64(estimate * PLANNED - self.beside_video())
    }

    /// The estimate at which `video` bits per second would fit.
    pub(super) fn estimate_for(&self, video: i64) -> Bitrate {
        let video = Bitrate::bps(video.unsigned_abs());
        (video + self.beside_video()) * (1.0 / PLANNED)
    }

    fn beside_video(&self) -> Bitrate {
        let most = self.estimate.min(UNLIMITED) * MAX_RETRANSMISSIONS;
        self.audio + self.retransmissions.min(most) + RTCP
    }
}

/// How much a track matters to its viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A thumbnail.
    Rest,
    /// The speaker, or a large view.
    Large,
    /// Screen share, or pinned.
    Top,
}

impl Class {
    /// From what the viewer wants and whether the publisher speaks.
    #[must_use]
    pub fn of(wish: &Wish, speaking: bool) -> Self {
        if wish.priority >= TOP_PRIORITY {
            Self::Top
        } else if speaking || wish.max_height_px >= LARGE_HEIGHT_PX {
            Self::Large
        } else {
            Self::Rest
        }
    }

    /// For the pacer: 0 (thumbnail) to 2.
    #[must_use]
    pub fn importance(self) -> u8 {
        self as u8
    }
}

/// A video track in one slot.
#[derive(Clone, Copy, Debug)]
pub struct TrackInput {
    /// The section it is sent in.
    pub slot: SlotId,
    /// What the section carries; another track begins without a past.
    pub track: TrackId,
    /// How much it matters.
    pub class: Class,
    /// What the viewer wants.
    pub wish: Wish,
    /// Measured over the last second.
    pub rates: LayerRates,
    /// Picture heights by spatial layer; 0: unknown.
    pub heights_px: [u16; MAX_SPATIAL],
    /// Since when each spatial layer has been coming; `None`: it is not.
    pub alive_since: [Option<Instant>; MAX_SPATIAL],
    /// What is forwarded now; may lag behind the last decision until a keyframe comes.
    pub current: Option<Layer>,
}

impl TrackInput {
    /// Whether the viewer wants anything of it now.
    pub(super) fn is_wanted(&self) -> bool {
        !self.wish.paused && self.wish.max_height_px > 0
    }

    pub(super) fn is_alive(&self, spatial: usize) -> bool {
        self.alive_since[spatial].is_some()
    }

    pub(super) fn height_px(&self, spatial: usize) -> u16 {
        match self.heights_px[spatial] {
            0 => ASSUMED_LOWEST_HEIGHT_PX << spatial,
            known => known,
        }
    }

    /// The best live layer of at most the wanted height; the lowest live one if all are taller.
    pub(super) fn best_spatial(&self) -> Option<usize> {
        let live = |spatial: &usize| self.is_alive(*spatial);
        let fits = |spatial: &usize| self.height_px(*spatial) <= self.wish.max_height_px;
        let best = (0..MAX_SPATIAL).rev().filter(live).find(fits);
        best.or_else(|| (0..MAX_SPATIAL).find(live))
    }
}

/// Saturating at what sums of it still hold.
pub(super) fn to_i64(rate: Bitrate) -> i64 {
    i64::try_from(rate.min(UNLIMITED).as_bps()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(estimate_kbps: u64, audio_kbps: u64, rtx_kbps: u64) -> LinkState {
        LinkState {
            estimate: Bitrate::kbps(estimate_kbps),
            audio: Bitrate::kbps(audio_kbps),
            retransmissions: Bitrate::kbps(rtx_kbps),
            queue_delay: Duration::ZERO,
        }
    }

    #[test]
    fn audio_comes_first() {
        assert_eq!(link(300, 59, 0).for_video(), 216_000);
        assert_eq!(link(300, 300, 0).for_video(), 0);
    }

    #[test]
    fn retransmissions_take_fifteen_percent_at_most() {
        assert_eq!(link(1000, 0, 50).for_video(), 890_000);
        assert_eq!(link(1000, 0, 900).for_video(), 790_000);
    }

    #[test]
    fn the_estimate_for_a_budget_gives_that_budget() {
        let small = link(300, 59, 20);
        let larger = LinkState { estimate: small.estimate_for(500_000), ..small };
        assert!((larger.for_video() - 500_000).abs() <= 1);
    }

    #[test]
    fn no_estimate_is_no_limit() {
        let free = LinkState { estimate: Bitrate::MAX, ..link(0, 59, 0) };
        assert!(free.for_video() > 90_000_000_000);
    }
}
