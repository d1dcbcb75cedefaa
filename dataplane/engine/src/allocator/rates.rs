//! What is on the wire besides video: audio by its peaks, retransmissions by their mean.

use std::time::{Duration, Instant};

use crate::units::{Bitrate, DataSize};

/// Audio is measured over windows of this length; two make the rate.
const WINDOW: Duration = Duration::from_secs(1);
/// A peak of audio is forgotten with this time constant: talk spurts come again.
const RELEASE_S: f64 = 5.0;
/// Time constant of the mean.
const MEAN_S: f64 = 2.0;
/// The mean is updated at this pace.
const STEP: Duration = Duration::from_millis(200);

/// Rate of audio over two seconds: rises at once, falls slowly.
#[derive(Debug, Default)]
pub struct PeakRate {
    window: Option<Instant>,
    bytes: usize,
    previous: usize,
    peak: f64,
    peaked: Option<Instant>,
}

impl PeakRate {
    /// A packet of `size` bytes on the wire leaves.
    pub fn add(&mut self, size: usize, now: Instant) {
        self.advance(now);
        self.bytes += size;
    }

    /// The rate to reserve.
    pub fn get(&mut self, now: Instant) -> Bitrate {
        self.advance(now);
        let since = self.window.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let part = since.as_secs_f64() / WINDOW.as_secs_f64();
        // The window before counts for what the present one does not cover yet.
        let bytes = self.bytes as f64 + self.previous as f64 * (1.0 - part.min(1.0));
        let rate = bytes * 8.0 / WINDOW.as_secs_f64();
        let idle = self.peaked.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        let faded = self.peak * (-idle / RELEASE_S).exp();
        if rate >= faded {
            self.peak = rate;
            self.peaked = Some(now);
        }
        Bitrate::from_f64_bps(rate.max(faded))
    }

    fn advance(&mut self, now: Instant) {
        let began = *self.window.get_or_insert(now);
        let elapsed = now.saturating_duration_since(began);
        if elapsed >= 2 * WINDOW {
            (self.previous, self.bytes) = (0, 0);
            self.window = Some(now);
        } else if elapsed >= WINDOW {
            (self.previous, self.bytes) = (self.bytes, 0);
            self.window = Some(began + WINDOW);
        }
    }
}

/// Mean rate over a few seconds.
#[derive(Debug, Default)]
pub struct MeanRate {
    bytes: usize,
    mean: f64,
    updated: Option<Instant>,
}

impl MeanRate {
    /// A packet of `size` bytes on the wire leaves.
    pub fn add(&mut self, size: usize, now: Instant) {
        self.updated.get_or_insert(now);
        self.bytes += size;
    }

    /// The mean so far.
    pub fn get(&mut self, now: Instant) -> Bitrate {
        if let Some(updated) = self.updated {
            let elapsed = now.saturating_duration_since(updated);
            if elapsed >= STEP {
                let rate = DataSize::of(self.bytes).per(elapsed).as_f64_bps();
                let weight = 1.0 - (-elapsed.as_secs_f64() / MEAN_S).exp();
                self.mean += weight * (rate - self.mean);
                self.bytes = 0;
                self.updated = Some(now);
            }
        }
        Bitrate::from_f64_bps(self.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Opus of 32 kbit/s with everything around it is 59 kbit/s (forwarding section 6.8).
    fn talk(rate: &mut PeakRate, now: &mut Instant, seconds: u32) {
        for _ in 0..50 * seconds {
            *now += 20 * MS;
            rate.add(148, *now);
            rate.get(*now);
        }
    }

    #[test]
    fn a_voice_is_measured_within_two_seconds() {
        let (mut rate, mut now) = (PeakRate::default(), Instant::now());
        talk(&mut rate, &mut now, 2);
        let kbps = rate.get(now).as_f64_bps() / 1e3;
        assert!((57.0..=63.0).contains(&kbps), "{kbps}");
    }

    #[test]
    fn silence_frees_the_reserve_slowly() {
        let (mut rate, mut now) = (PeakRate::default(), Instant::now());
        talk(&mut rate, &mut now, 3);
        let peak = rate.get(now).as_f64_bps();
        let after = |rate: &mut PeakRate, s: u64| {
            rate.get(now + Duration::from_secs(s)).as_f64_bps() / peak
        };
        assert!(after(&mut rate, 2) > 0.6);
        assert!(after(&mut rate, 20) < 0.05);
    }

    #[test]
    fn the_mean_follows_with_its_time_constant() {
        let (mut rate, start) = (MeanRate::default(), Instant::now());
        for i in 1..=1000_u32 {
            rate.add(125, start + 10 * i * MS);
            rate.get(start + 10 * i * MS);
        }
        let now = start + Duration::from_secs(10);
        let kbps = rate.get(now).as_f64_bps() / 1e3;
        assert!((95.0..=103.0).contains(&kbps), "{kbps}");
        assert!(rate.get(now + Duration::from_secs(10)) < Bitrate::kbps(3));
    }
}
