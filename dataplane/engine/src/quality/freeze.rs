//! For how long a picture stood still, as far as the server can tell.
//!
//! Two causes are seen from here:
//!
//! - **A gap.** Frames did not come, or were not forwarded. As in the browser's own statistic (W3C
//!   webrtc-stats, `totalFreezesDuration`): the time between two frames counts in full if it is at
//!   least `max(3 d, d + 150 ms)`, with `d` the mean time between the last 30 frames.
//! - **A break.** The receiver has asked for a keyframe, or a packet was given up: what follows
//!   cannot be decoded. Frozen from then until a keyframe is forwarded, and a round trip more: half
//!   of one passed before we heard of it, half will pass until the keyframe is seen.
//!
//! A gap within a break is not counted twice. What the receiver's own jitter buffer and decoder do
//! is not seen.

use std::time::{Duration, Instant};

/// Frames in the mean.
const FRAMES: f64 = 30.0;
const GAP_FACTOR: f64 = 3.0;
const GAP_S: f64 = 0.150;
/// Before there is a mean: 30 frames a second.
const FIRST_INTERVAL_S: f64 = 1.0 / 30.0;

/// Freezes of one video stream.
#[derive(Debug)]
pub struct FreezeMeter {
    mean_s: f64,
    last: Option<Instant>,
    broken: Option<Instant>,
    frozen: Duration,
    count: u32,
}

impl Default for FreezeMeter {
    fn default() -> Self {
        Self {
            mean_s: FIRST_INTERVAL_S,
            last: None,
            broken: None,
            frozen: Duration::ZERO,
            count: 0,
        }
    }
}

impl FreezeMeter {
    /// The last packet of a frame came (uplink) or was forwarded (downlink). `keyframe`: the frame
    /// stands alone. `rtt`: to the receiver; zero on the uplink.
    pub fn on_frame(&mut self, keyframe: bool, rtt: Duration, now: Instant) {
        if let Some(since) = self.broken {
            if keyframe {
                self.freeze(now.saturating_duration_since(since) + rtt);
                self.broken = None;
                self.last = Some(now);
            }
            return;
        }
        let Some(last) = self.last.replace(now) else { return };
        let interval = now.saturating_duration_since(last);
        if self.is_gap(interval) {
            self.freeze(interval);
        }
        self.mean_s += (interval.as_secs_f64() - self.mean_s) / FRAMES;
    }

    /// From now on nothing can be decoded: a keyframe request came in, or a packet was given up.
    pub fn on_break(&mut self, now: Instant) {
        let Some(last) = self.last else { return };
        // Where nothing had come for long, the picture stands still since then.
        let gap = self.is_gap(now.saturating_duration_since(last));
        self.broken.get_or_insert(if gap { last } else { now });
    }

    /// Muted, paused, or no longer wanted: the viewer knows, and what follows is no freeze.
    pub fn on_stop(&mut self, now: Instant) {
        if let Some(since) = self.broken.take() {
            self.freeze(now.saturating_duration_since(since));
        }
        self.last = None;
    }

    /// In all, an unfinished freeze left out.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.frozen
    }

    /// How often.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    fn is_gap(&self, interval: Duration) -> bool {
        interval.as_secs_f64() >= (GAP_FACTOR * self.mean_s).max(self.mean_s + GAP_S)
    }

    fn freeze(&mut self, time: Duration) {
        self.frozen += time;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn play(meter: &mut FreezeMeter, from: Instant, frames: u32, interval_ms: u32) -> Instant {
        for i in 0..frames {
            meter.on_frame(false, Duration::ZERO, from + i * interval_ms * MS);
        }
        from + frames * interval_ms * MS
    }

    #[test]
    fn steady_frames_never_freeze_at_any_rate() {
        let (mut meter, mut now) = (FreezeMeter::default(), Instant::now());
        for interval_ms in [33, 66, 133, 250] {
            now = play(&mut meter, now, 100, interval_ms);
        }
        assert_eq!(meter.count(), 0);
    }

    #[test]
    fn a_gap_counts_in_full() {
        let (mut meter, now) = (FreezeMeter::default(), Instant::now());
        let now = play(&mut meter, now, 100, 33);
        play(&mut meter, now + 467 * MS, 100, 33);
        assert_eq!((meter.count(), meter.total()), (1, 500 * MS));
        let slow = play(&mut meter, now + 4000 * MS, 1, 33);
        play(&mut meter, slow + 140 * MS, 1, 33);
        assert_eq!(meter.count(), 2, "173 ms is less than 33 + 150");
    }

    #[test]
    fn a_break_lasts_until_the_keyframe_is_seen() {
        let (mut meter, now) = (FreezeMeter::default(), Instant::now());
        let now = play(&mut meter, now, 30, 33);
        meter.on_break(now);
        play(&mut meter, now, 10, 33);
        meter.on_break(now + 200 * MS);
        meter.on_frame(true, 60 * MS, now + 330 * MS);
        assert_eq!((meter.count(), meter.total()), (1, 390 * MS));
        play(&mut meter, now + 363 * MS, 30, 33);
        assert_eq!(meter.count(), 1);
    }

    #[test]
    fn a_break_after_a_gap_began_with_it() {
        let (mut meter, now) = (FreezeMeter::default(), Instant::now());
        let now = play(&mut meter, now, 30, 33);
        meter.on_break(now + 967 * MS);
        meter.on_frame(true, Duration::ZERO, now + 1067 * MS);
        assert_eq!((meter.count(), meter.total()), (1, 1100 * MS));
    }

    #[test]
    fn what_the_viewer_knows_of_is_no_freeze() {
        let (mut meter, now) = (FreezeMeter::default(), Instant::now());
        meter.on_break(now);
        let now = play(&mut meter, now, 30, 33);
        meter.on_stop(now);
        play(&mut meter, now + 10_000 * MS, 30, 33);
        assert_eq!(meter.count(), 0);
    }
}
