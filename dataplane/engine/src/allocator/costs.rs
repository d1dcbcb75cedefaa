//! What a layer costs, calm enough to plan with.

use std::time::{Duration, Instant};

use crate::allocator::input::{TrackInput, to_i64};
use crate::layer::{MAX_SPATIAL, MAX_TEMPORAL};

/// Time constant of smoothing: a keyframe doubles the measured second of a small layer.
pub(super) const SMOOTHING_S: f64 = 3.0;
/// A layer is not fully measured before it has been coming for so long.
const MEASURED_AFTER: Duration = Duration::from_millis(1500);
/// Assumed for a live layer until then, up to a height in pixels.
const ASSUMED_BPS: [(u16, i64); 4] =
    [(180, 160_000), (360, 500_000), (720, 1_700_000), (u16::MAX, 3_000_000)];

/// Smoothed costs of one track's layers in bits per second; zero where there is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Costs {
    measured: [[f32; MAX_TEMPORAL]; MAX_SPATIAL],
    assumed: [i64; MAX_SPATIAL],
}

impl Costs {
    /// Takes in a measurement. `weight`: of the new one, 0 to 1.
    pub(super) fn update(&mut self, track: &TrackInput, weight: f32, now: Instant) {
        for (spatial, row) in self.measured.iter_mut().enumerate() {
            let assumed = assumed(track.height_px(spatial));
            self.assumed[spatial] = assumed;
            let Some(since) = track.alive_since[spatial] else {
                *row = Default::default();
                continue;
            };
            let rates = track.rates[spatial].map(|rate| to_i64(rate) as f32);
            let young = now < since + MEASURED_AFTER;
            let highest = rates.iter().copied().fold(1.0, f32::max);
            let scale = if young { (assumed as f32 / highest).max(1.0) } else { 1.0 };
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
        for (temporal, cost) in self.measured[spatial].iter().enumerate() {
            let below = if temporal == 0 { 0 } else { costs[temporal - 1] };
            costs[temporal] = below.max(*cost as i64);
            if costs[temporal] > below {
                count = temporal + 1;
            }
        }
        if count == 0 {
            return ([self.assumed[spatial]; MAX_TEMPORAL], 1);
        }
        if costs[0] == 0 {
            // Frames above were measured and the base was not: it is part of them.
            costs[0] = costs[count - 1];
        }
        (costs, count)
    }
}

fn assumed(height_px: u16) -> i64 {
    ASSUMED_BPS.iter().find(|(most, _)| height_px <= *most).map_or(0, |(_, bps)| *bps)
}

/// When the first layer that is assumed to cost something will be measured.
pub(super) fn measured_at(track: &TrackInput, now: Instant) -> Option<Instant> {
    let at = track.alive_since.iter().flatten().map(|since| *since + MEASURED_AFTER);
    at.filter(|at| *at > now).min()
}
