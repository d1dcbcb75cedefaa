//! Loudness of one audio track from the level extension (RFC 6464), over windows of speech.
//!
//! The rule is LiveKit's (`pkg/sfu/audio/audiolevel.go`): a window counts when enough of it is
//! loud; its level is its loudest packet, lowered by the part that was quiet; windows are smoothed.

use std::time::{Duration, Instant};

/// Audio over which one value is made.
const WINDOW: Duration = Duration::from_millis(400);
/// Loud means at most so many dB below full scale.
const ACTIVE_DBOV: u8 = 35;
/// Part of the window that must be loud: coughs and key strokes are shorter.
const MIN_ACTIVE: f32 = 0.4;
/// Weight of the newest window, 2 / (n + 1) for n = 2 windows.
const SMOOTHING: f32 = 2.0 / 3.0;
/// Without packets for two windows the track is silent.
const STALE: Duration = Duration::from_millis(800);
/// A packet stands for at least and at most this, whatever it claims: clients are not trusted.
const MIN_PACKET: Duration = Duration::from_millis(10);
const MAX_PACKET: Duration = Duration::from_millis(120);
/// Silence of the extension's scale, in dB below full scale.
const SILENCE_DBOV: f32 = 127.0;

/// Observes one track.
#[derive(Debug, Default)]
pub struct AudioLevel {
    /// Smoothed amplitude, 0 to 1.
    amplitude: f32,
    window_start: Option<Instant>,
    observed: Duration,
    active: Duration,
    loudest: u8,
    last_packet: Option<Instant>,
}

impl AudioLevel {
    /// A packet came. `dbov`: the extension's level, 0 loud to 127 silent (use 127 without the
    /// extension). `duration`: audio since the packet before, by timestamps, so that loss and long
    /// packets do not bias.
    pub fn on_packet(&mut self, dbov: u8, duration: Duration, now: Instant) {
        if self.last_packet.is_some_and(|last| now.saturating_duration_since(last) > STALE) {
            *self = Self::default();
        }
        self.last_packet = Some(now);
        let duration = duration.clamp(MIN_PACKET, MAX_PACKET);
        let window_start = *self.window_start.get_or_insert(now);
        if self.observed.is_zero() {
            self.loudest = u8::MAX;
        }
        self.observed += duration;
        if dbov <= ACTIVE_DBOV {
            self.active += duration;
            self.loudest = self.loudest.min(dbov);
        }
        // By the clock as well: during discontinuous transmission packets claim too little.
        if self.observed >= WINDOW || now.saturating_duration_since(window_start) >= WINDOW {
            self.close_window(now);
        }
    }

    /// Loudness now, in equal steps of decibels: 255 full scale, 0 silence or not speaking.
    #[must_use]
    pub fn level(&self, now: Instant) -> u8 {
        let stale = self.last_packet.is_none_or(|last| now.saturating_duration_since(last) > STALE);
        if stale || self.amplitude <= 0.0 {
            return 0;
        }
        let dbov = -20.0 * self.amplitude.log10();
        ((SILENCE_DBOV - dbov) / SILENCE_DBOV * 255.0).clamp(0.0, 255.0) as u8
    }

    fn close_window(&mut self, now: Instant) {
        let part = self.active.as_secs_f32() / self.observed.max(WINDOW).as_secs_f32();
        if part >= MIN_ACTIVE {
            let dbov = f32::from(self.loudest) - 20.0 * part.log10();
            let amplitude = 10f32.powf(-dbov / 20.0);
            self.amplitude += (amplitude - self.amplitude) * SMOOTHING;
        } else {
            self.amplitude = 0.0;
        }
        self.window_start = Some(now);
        self.observed = Duration::ZERO;
        self.active = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Feeds packets of `ptime` from `at` for `length`.
    fn feed(level: &mut AudioLevel, at: Instant, length: u64, ptime: u64, dbov: u8) -> Instant {
        for step in 0..length / ptime {
            level.on_packet(dbov, ms(ptime), at + ms(step * ptime));
        }
        at + ms(length)
    }

    #[test]
    fn speech_is_heard_within_a_window_whatever_the_packet_time() {
        for ptime in [20, 60] {
            let start = Instant::now();
            let mut level = AudioLevel::default();
            let end = feed(&mut level, start, 480, ptime, 20);
            assert!(level.level(end) > 190, "{ptime} ms: {}", level.level(end));
        }
    }

    #[test]
    fn cough_of_100_ms_and_background_noise_are_not_speech() {
        let start = Instant::now();
        let mut level = AudioLevel::default();
        let at = feed(&mut level, start, 200, 20, 90);
        let at = feed(&mut level, at, 100, 20, 5);
        let at = feed(&mut level, at, 500, 20, 90);
        assert_eq!(level.level(at), 0);
        let at = feed(&mut level, at, 2000, 20, 36);
        assert_eq!(level.level(at), 0);
    }

    #[test]
    fn silence_ends_it_at_the_next_window_and_a_stop_after_two() {
        let start = Instant::now();
        let mut level = AudioLevel::default();
        let spoken = feed(&mut level, start, 800, 20, 20);
        assert!(level.level(spoken) > 0);
        assert_eq!(level.level(spoken + ms(800)), 0, "packets stopped");
        let quiet = feed(&mut level, spoken, 400, 20, 127);
        assert_eq!(level.level(quiet), 0);
    }

    #[test]
    fn discontinuous_transmission_ends_it_too() {
        let start = Instant::now();
        let mut level = AudioLevel::default();
        let spoken = feed(&mut level, start, 800, 20, 20);
        level.on_packet(127, ms(400), spoken + ms(400));
        assert_eq!(level.level(spoken + ms(400)), 0);
    }

    #[test]
    fn loss_does_not_make_a_speaker_quieter() {
        let start = Instant::now();
        let mut whole = AudioLevel::default();
        let mut lossy = AudioLevel::default();
        for step in 0..100 {
            let at = start + ms(20 * step);
            whole.on_packet(25, ms(20), at);
            if step % 2 == 0 {
                lossy.on_packet(25, ms(40), at);
            }
        }
        let at = start + ms(2000);
        assert!(whole.level(at).abs_diff(lossy.level(at)) <= 2);
    }

    #[test]
    fn louder_is_higher_and_full_scale_is_the_top() {
        let start = Instant::now();
        let levels: Vec<u8> = [35, 20, 0]
            .into_iter()
            .map(|dbov| {
                let mut level = AudioLevel::default();
                let end = feed(&mut level, start, 4000, 20, dbov);
                level.level(end)
            })
            .collect();
        assert!(levels[0] < levels[1] && levels[1] < levels[2], "{levels:?}");
        assert!(levels[2] >= 254);
    }
}
