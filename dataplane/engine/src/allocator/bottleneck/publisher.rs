//! A camera in three simulcast layers with three temporal layers each, like VP8 in a browser.

use std::time::{Duration, Instant};

use crate::layer::{LayerRates, MAX_SPATIAL};
use crate::units::DataSize;

/// Wire rate of each layer.
pub(super) const KBPS: [f64; MAX_SPATIAL] = [160.0, 490.0, 1700.0];
/// A keyframe's size in mean frames: 10, 25 and 57 kB.
const KEYFRAME: [f64; MAX_SPATIAL] = [15.0, 12.0, 8.0];
const FPS: f64 = 30.0;
/// Temporal layer of each frame in turn, and its size in mean frames: layers hold 40, 60, 100 %.
const PATTERN: [(u8, f64); 4] = [(0, 1.6), (2, 0.8), (1, 0.8), (2, 0.8)];
/// Frames after a keyframe are so much smaller, until its bits are made up for.
const REPAYING: f64 = 0.6;
/// From a keyframe request to the frame: half a round trip each way.
const RESPONSE: Duration = Duration::from_millis(50);
/// Rates are measured over ten of these.
const BUCKET: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) spatial: u8,
    pub(super) temporal: u8,
    pub(super) keyframe: bool,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Publisher {
    next_frame: Instant,
    number: u64,
    random: u32,
    debt: [f64; MAX_SPATIAL],
    asked: [Option<Instant>; MAX_SPATIAL],
    sums: Vec<[[usize; 3]; MAX_SPATIAL]>,
    bucket_ends: Instant,
}

impl Publisher {
    pub(super) fn new(seed: u32, now: Instant) -> Self {
        Self {
            next_frame: now,
            number: 0,
            random: seed,
            debt: [0.0; MAX_SPATIAL],
            asked: [Some(now); MAX_SPATIAL],
            sums: vec![[[0; 3]; MAX_SPATIAL]; 10],
            bucket_ends: now + BUCKET,
        }
    }

    pub(super) fn ask_keyframe(&mut self, spatial: u8, now: Instant) {
        self.asked[usize::from(spatial)].get_or_insert(now);
    }

    /// Frames of all layers that come now.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<Frame> {
        if now >= self.bucket_ends {
            self.bucket_ends += BUCKET;
            self.sums.rotate_left(1);
            self.sums[9] = Default::default();
        }
        if now < self.next_frame {
            return Vec::new();
        }
        self.next_frame += Duration::from_secs_f64(1.0 / FPS);
        self.number += 1;
        (0..MAX_SPATIAL).map(|spatial| self.frame(spatial, now)).collect()
    }

    fn frame(&mut self, spatial: usize, now: Instant) -> Frame {
        let (mut temporal, share) = PATTERN[self.number as usize % PATTERN.len()];
        let mean = KBPS[spatial] * 1000.0 / 8.0 / FPS;
        let noise = 0.8 + 0.4 * f64::from(self.random() >> 16) / 65_536.0;
        let keyframe = self.asked[spatial].is_some_and(|at| now >= at + RESPONSE);
        let mut bytes = mean * share * noise;
        if keyframe {
            self.asked[spatial] = None;
            temporal = 0;
            bytes = mean * KEYFRAME[spatial];
            self.debt[spatial] += bytes - mean;
        } else if self.debt[spatial] > 0.0 {
            self.debt[spatial] -= bytes * (1.0 - REPAYING);
            bytes *= REPAYING;
        }
        let bytes = bytes as usize;
        self.sums[9][spatial][usize::from(temporal)] += bytes;
        Frame { spatial: spatial as u8, temporal, keyframe, bytes }
    }

    /// Measured over the last second.
    pub(super) fn rates(&self) -> LayerRates {
        let mut rates = LayerRates::default();
        for (spatial, row) in rates.iter_mut().enumerate() {
            let mut sum = 0;
            for temporal in 0..3 {
                sum += self.sums.iter().map(|bucket| bucket[spatial][temporal]).sum::<usize>();
                row[temporal] = DataSize::of(sum).per(Duration::from_secs(1));
            }
        }
        rates
    }

    fn random(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random
    }
}
