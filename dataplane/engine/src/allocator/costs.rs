//! What a layer costs, calm enough to plan with.

use crate::allocator::input::{TrackInput, to_i64};
use crate::layer::{MAX_SPATIAL, MAX_TEMPORAL};

/// Time constant of smoothing: a keyframe doubles the measured second of a small layer.
pub(super) const SMOOTHING_S: f64 = 3.0;
/// Assumed for a live layer that was not measured yet, by spatial layer.
const ASSUMED_BPS: [i64; MAX_SPATIAL] = [160_000, 500_000, 1_700_000];

/// Smoothed costs of one track's layers in bits per second; zero where there is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Costs([[f32; MAX_TEMPORAL]; MAX_SPATIAL]);

impl Costs {
    /// Takes in a measurement. `weight`: of the new one, 0 to 1.
    pub(super) fn update(&mut self, track: &TrackInput, weight: f32) {
        for (spatial, row) in self.0.iter_mut().enumerate() {
            let alive = track.is_alive(spatial);
            for (temporal, cost) in row.iter_mut().enumerate() {
                let measured = to_i64(track.rates[spatial][temporal]) as f32;
                *cost = match (alive, *cost > 0.0, measured > 0.0) {
                    (false, _, _) => 0.0,
                    (true, true, true) => *cost + weight * (measured - *cost),
                    (true, false, true) => measured,
                    (true, _, false) => 0.0,
                };
            }
        }
    }

    /// Cost of each temporal layer, and how many there are: at least one.
    pub(super) fn of(&self, spatial: usize) -> ([i64; MAX_TEMPORAL], usize) {
        let mut costs = [0; MAX_TEMPORAL];
        let mut count = 0;
        for (temporal, cost) in self.0[spatial].iter().enumerate() {
            let below = if temporal == 0 { 0 } else { costs[temporal - 1] };
            costs[temporal] = below.max(*cost as i64);
            if costs[temporal] > below {
                count = temporal + 1;
            }
        }
        if count == 0 {
            return ([ASSUMED_BPS[spatial]; MAX_TEMPORAL], 1);
        }
        if costs[0] == 0 {
            // Frames above were measured and the base was not: it is part of them.
            costs[0] = costs[count - 1];
        }
        (costs, count)
    }
}
