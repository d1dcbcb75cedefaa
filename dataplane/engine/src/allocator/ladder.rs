//! The qualities of one track that may be chosen, worst first, each with its cost.

use crate::allocator::costs::Costs;
use crate::allocator::input::{Class, TrackInput};
use crate::layer::{Layer, MAX_SPATIAL, MAX_TEMPORAL};

/// A speaker's picture of this height is good enough until everybody else has one.
const PREFERRED_HEIGHT_PX: u16 = 360;
/// With so many temporal layers the lowest alone is jerky: a quarter of the frames.
const JERKY_FROM: usize = 3;

/// One rung.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Its temporal layer is the wanted one where all that exist are taken: more may appear.
    pub(super) layer: Layer,
    /// Bits per second on the wire.
    pub(super) cost: i64,
    /// All temporal layers.
    pub(super) full: bool,
}

/// All rungs up to what is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ladder {
    steps: [Step; MAX_SPATIAL * MAX_TEMPORAL],
    len: usize,
    /// Rung reached before others get more.
    preferred: usize,
}

impl Ladder {
    /// Of the live layers. Above the lowest picture the base temporal layer alone is left out if it
    /// is jerky: all frames of a smaller picture are better than a slide show of a larger one.
    pub(super) fn of(track: &TrackInput, costs: &Costs) -> Self {
        let mut ladder = Self::default();
        let Some(best) = track.best_spatial() else { return ladder };
        let wanted = track.wish.max_temporal;
        for spatial in (0..=best).filter(|spatial| track.is_alive(*spatial)) {
            let (cost, measured) = costs.of(spatial);
            let count = measured.min(usize::from(wanted) + 1);
            let first = usize::from(ladder.len > 0 && count >= JERKY_FROM);
            for (temporal, cost) in cost.iter().enumerate().take(count).skip(first) {
                let full = temporal + 1 == count;
                let taken = if full { wanted } else { temporal as u8 };
                let layer = Layer::new(spatial as u8, taken);
                ladder.steps[ladder.len] = Step { layer, cost: *cost, full };
                ladder.len += 1;
            }
        }
        ladder.preferred = ladder.preferred_for(track);
        ladder
    }

    fn preferred_for(&self, track: &TrackInput) -> usize {
        let lowest = self.steps[0].layer.spatial;
        let good_enough = |step: &Step| {
            let spatial = step.layer.spatial;
            match track.class {
                Class::Top => true,
                Class::Large => {
                    spatial == lowest
                        || track.height_px(usize::from(spatial)) <= PREFERRED_HEIGHT_PX
                }
                Class::Rest => spatial == lowest,
            }
        };
        self.steps().iter().rposition(good_enough).unwrap_or(0)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps[..self.len]
    }

    /// The highest rung; `None`: nothing is live.
    pub(super) fn top(&self) -> Option<usize> {
        self.len.checked_sub(1)
    }

    pub(super) fn preferred(&self) -> usize {
        self.preferred
    }

    pub(super) fn cost(&self, rung: Option<usize>) -> i64 {
        rung.and_then(|rung| self.steps().get(rung)).map_or(0, |step| step.cost)
    }

    /// The highest rung that is at most this layer, or the lowest of all.
    pub(super) fn rung_of(&self, layer: Layer) -> Option<usize> {
        let at_most = self.steps().iter().rposition(|step| step.layer <= layer);
        at_most.or_else(|| self.top().map(|_| 0))
    }

    /// The highest rung up to this spatial layer, or the lowest of all.
    pub(super) fn last_of(&self, spatial: u8) -> usize {
        self.steps().iter().rposition(|step| step.layer.spatial <= spatial).unwrap_or(0)
    }
}
