//! What a layer costs, calm enough to plan with.

use std::time::{Duration, Instant};

use crate::allocator::input::{TrackInput, to_i64};
use crate::layer::{MAX_SPATIAL, MAX_TEMPORAL};

/// Time constant of smoothing: a keyframe doubles the measured second of a small layer.
pub(super) const SMOOTHING_S: f64 = 3.0;
/// A layer is not fully measured before it has been coming for so long.
const MEASURED_AFTER: Duration = Duration::from_millis(1500);
/// Assumed for a live layer until then, by spatial layer.
const ASSUMED_BPS: [i64; MAX_SPATIAL] = [160_000, 500_000, 1_700_000];

/// Smoothed costs of one track's layers in bits per second; zero where there is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Costs([[f32; MAX_TEMPORAL]; MAX_SPATIAL]);

impl Costs {
    /// Takes in a measurement. `weight`: of the new one, 0 to 1.
    pub(super) fn update(&mut self, track: &TrackInput, weight: f32, now: Instant) {
        for (spatial, row) in self.0.iter_mut().enumerate() {
            let Some(since) = track.alive_since[spatial] else {
                *row = Default::default();
                continue;
            };
            let rates = track.rates[spatial].map(|rate| to_i64(rate) as f32);
            let young = now < since + MEASURED_AFTER;
            let highest = rates.iter().copied().fold(1.0, f32::max);
            let scale = if young { (ASSUMED_BPS[spatial] as f32 / highest).max(1.0) } else { 1.0 };
            for (cost, measured) in row.iter_mut().zip(rates) {
                let measured = measured * scale;
                let known = *cost > 0.0 && measured > 0.0 && !young;
                *cost = if known { *cost + weight * (measured - *cost) } else { measured };
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
