//! One track: the figures of a window, and a score from them.

use std::time::{Duration, Instant};

use crate::layer::Layer;

/// Figures are taken and scored at this interval.
pub const WINDOW: Duration = Duration::from_secs(5);
/// Of packets, one percent lost costs so many points.
const OPUS_WEIGHT: f64 = 8.0;
const RED_WEIGHT: f64 = 4.0;
const VIDEO_WEIGHT: f64 = 10.0;
/// Effective delay up to here costs a point per 40 ms, beyond it one per 10 ms.
const DELAY_KNEE_MS: f64 = 160.0;
/// A layer below the wanted one costs so many points.
const LAYER_POINTS: f64 = 35.0;
/// A score that falls is followed quickly, one that rises slowly.
const FALLING: f64 = 0.8;
const RISING: f64 = 0.4;
/// The worst score while packets come.
const FLOOR: f64 = 30.0;
/// No packets: poor. And no reports either: lost.
const DRY: f64 = 40.0;
const SILENT: f64 = 20.0;
const PAUSED: f64 = 30.0;
const BEST: f64 = 100.0;
/// Packet rates are counted in steps of so many a second, to find the usual one.
const RATE_BIN: f64 = 2.0;
const RATE_BINS: usize = 64;
/// The usual rate is believed after so many windows.
const MIN_WINDOWS: u8 = 10;
/// From here on old counts are halved, so that the usual rate may change: ten minutes.
const MAX_WINDOWS: u8 = 120;

/// What a track carries, as far as loss matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackKind {
    /// Opus. Whether its in-band FEC is on is not seen from here, so it counts as off.
    Opus,
    /// Opus with redundancy (RFC 2198).
    Red,
    /// Any video codec.
    Video,
}

/// Figures of one track in one direction over one window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// Packets that should have arrived, padding and unused numbers left out.
    pub packets: u64,
    /// Of them, those that never did, after all repair.
    pub lost: u64,
    /// The largest interarrival jitter reported or measured.
    pub jitter: Duration,
    /// The largest round trip measured.
    pub rtt: Option<Duration>,
    /// Mean distance between wanted and forwarded layer: [`LayerDistance`].
    pub layer_distance: f64,
    /// It was muted by its publisher, or wanted by nobody, for part of the window.
    pub idle: Duration,
    /// The network is why it is paused now.
    pub paused: bool,
    /// A report or any other sign of the far side came.
    pub heard: bool,
}

/// Score of one track.
#[derive(Debug)]
pub struct TrackScore {
    kind: TrackKind,
    score: f64,
    /// How many windows had each packet rate.
    rates: [u8; RATE_BINS],
    windows: u8,
}

impl TrackScore {
    /// Begins at the best.
    #[must_use]
    pub fn new(kind: TrackKind) -> Self {
        Self { kind, score: BEST, rates: [0; RATE_BINS], windows: 0 }
    }

    /// RED or FEC were turned on or off.
    pub fn set_kind(&mut self, kind: TrackKind) {
        self.kind = kind;
    }

    /// The last score, 0 to 100.
    #[must_use]
    pub fn get(&self) -> f64 {
        self.score
    }

    /// Takes in the figures of the last [`WINDOW`].
    pub fn update(&mut self, window: &Window) -> f64 {
        if window.idle * 2 >= WINDOW {
            // Muted, or muted for too long to say anything.
            if window.idle >= WINDOW {
                self.score = BEST;
            }
            return self.score;
        }
        let fresh = if window.paused {
            self.score = PAUSED;
            return self.score;
        } else if window.packets == 0 {
            if window.heard { DRY } else { SILENT }
        } else {
            let usual = self.learn_rate(window.packets);
            self.packets(window, usual).min(layers(window)).max(FLOOR)
        };
        let weight = if fresh < self.score { FALLING } else { RISING };
        self.score += weight * (fresh - self.score);
        if window.packets == 0 {
            // Nothing at all comes: that is no matter of taste.
            self.score = self.score.min(fresh);
        }
        self.score
    }

    fn packets(&self, window: &Window, usual_share: f64) -> f64 {
        let one_way_ms = window.rtt.map_or(0.0, |rtt| rtt.as_secs_f64() * 1e3 / 2.0);
        let delay_ms = one_way_ms + 2.0 * window.jitter.as_secs_f64() * 1e3;
        let by_delay =
            if delay_ms <= DELAY_KNEE_MS { delay_ms / 40.0 } else { (delay_ms - 120.0) / 10.0 };
        let weight = match self.kind {
            TrackKind::Opus => OPUS_WEIGHT,
            TrackKind::Red => RED_WEIGHT,
            TrackKind::Video => VIDEO_WEIGHT,
        };
        let lost_percent = 100.0 * window.lost.min(window.packets) as f64 / window.packets as f64;
        (BEST - by_delay - lost_percent * weight * usual_share.sqrt()).max(0.0)
    }

    /// How much of the usual packet rate this window has, at most 1: in silence (DTX) a few packets
    /// come, and the loss of one of them is not heard.
    fn learn_rate(&mut self, packets: u64) -> f64 {
        if !matches!(self.kind, TrackKind::Opus | TrackKind::Red) {
            return 1.0;
        }
        let rate = packets as f64 / WINDOW.as_secs_f64();
        let bin = ((rate / RATE_BIN) as usize).min(RATE_BINS - 1);
        self.rates[bin] += 1;
        self.windows += 1;
        if self.windows >= MAX_WINDOWS {
            self.rates.iter_mut().for_each(|count| *count /= 2);
            self.windows /= 2;
        }
        if self.windows < MIN_WINDOWS {
            return 1.0;
        }
        let usual = (0..RATE_BINS).max_by_key(|bin| self.rates[*bin]).unwrap_or(bin);
        (rate / (usual.max(1) as f64 * RATE_BIN)).min(1.0)
    }
}

fn layers(window: &Window) -> f64 {
    (BEST - LAYER_POINTS * window.layer_distance).clamp(0.0, BEST)
}

/// Mean distance between the layer that is wanted and the one that is forwarded, over time.
#[derive(Debug, Default)]
pub struct LayerDistance {
    distance: f64,
    since: Option<Instant>,
    began: Option<Instant>,
    sum: f64,
}

impl LayerDistance {
    /// One of the two changed. A missing temporal layer counts as a part of a spatial one; nothing
    /// forwarded as one below the lowest.
    pub fn set(&mut self, wanted: Option<Layer>, forwarded: Option<Layer>, now: Instant) {
        self.add_up(now);
        self.distance = match (wanted, forwarded) {
            (None, _) => 0.0,
            (Some(wanted), None) => f64::from(wanted.spatial) + 1.0,
            (Some(wanted), Some(forwarded)) => {
                let spatial = f64::from(wanted.spatial) - f64::from(forwarded.spatial);
                let temporal = f64::from(wanted.temporal) - f64::from(forwarded.temporal);
                (spatial + temporal / (f64::from(wanted.temporal) + 1.0)).max(0.0)
            }
        };
    }

    /// The mean since the last call.
    pub fn take(&mut self, now: Instant) -> f64 {
        self.add_up(now);
        let began = self.began.replace(now).unwrap_or(now);
        let time = now.saturating_duration_since(began).as_secs_f64();
        let sum = std::mem::take(&mut self.sum);
        if time > 0.0 { sum / time } else { self.distance }
    }

    fn add_up(&mut self, now: Instant) {
        self.began.get_or_insert(now);
        let since = self.since.replace(now).unwrap_or(now);
        self.sum += self.distance * now.saturating_duration_since(since).as_secs_f64();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn voice() -> Window {
        Window {
            packets: 250,
            rtt: Some(40 * MS),
            jitter: 5 * MS,
            heard: true,
            ..Window::default()
        }
    }

    fn settled(kind: TrackKind, window: Window) -> f64 {
        let mut score = TrackScore::new(kind);
        for _ in 0..20 {
            score.update(&window);
        }
        score.get()
    }

    #[test]
    fn loss_weighs_by_what_repairs_it() {
        let lossy = Window { lost: 10, ..voice() };
        let score = |kind| settled(kind, lossy).round();
        // 4 % of loss and 30 ms of effective delay.
        assert_eq!(score(TrackKind::Opus), 67.0);
        assert_eq!(score(TrackKind::Red), 83.0);
        assert_eq!(score(TrackKind::Video), 59.0);
    }

    #[test]
    fn delay_costs_little_at_first_and_more_beyond_the_knee() {
        let far = |ms: u32| Window { rtt: Some(ms * MS), jitter: Duration::ZERO, ..voice() };
        let score = |ms| settled(TrackKind::Red, far(ms)).round();
        assert_eq!((score(80), score(320), score(600)), (99.0, 96.0, 82.0));
    }

    #[test]
    fn a_fall_is_followed_faster_than_a_rise() {
        let mut score = TrackScore::new(TrackKind::Opus);
        let bad = Window { lost: 25, ..voice() };
        let fallen = score.update(&bad);
        assert!(fallen < 50.0, "{fallen}");
        let once = score.update(&voice());
        assert!(once < 70.0, "{once}");
        assert!(score.update(&voice()) > once);
    }

    #[test]
    fn silence_with_dtx_is_not_bad_because_one_packet_is_lost() {
        let mut score = TrackScore::new(TrackKind::Opus);
        for _ in 0..20 {
            score.update(&voice());
        }
        let quiet = Window { packets: 12, lost: 1, ..voice() };
        let after = score.update(&quiet);
        assert!(after > 80.0, "{after}");
        assert!(settled(TrackKind::Video, quiet) < 40.0);
    }

    #[test]
    fn no_packets_are_poor_and_no_sign_of_life_is_lost() {
        let dry = Window { heard: true, ..Window::default() };
        assert!(settled(TrackKind::Video, dry) <= 40.0);
        assert!(settled(TrackKind::Video, Window::default()) <= 20.0);
        let mut score = TrackScore::new(TrackKind::Video);
        assert_eq!(score.update(&dry), 40.0);
    }

    #[test]
    fn mute_is_no_fault_and_a_half_muted_window_says_nothing() {
        let mut score = TrackScore::new(TrackKind::Opus);
        let half = Window { lost: 100, idle: WINDOW / 2, ..voice() };
        assert_eq!(score.update(&half), 100.0);
        score.update(&Window { lost: 100, ..voice() });
        assert!(score.get() < 50.0);
        assert_eq!(score.update(&Window { idle: WINDOW, ..Window::default() }), 100.0);
    }

    #[test]
    fn a_pause_by_the_network_counts_at_once() {
        let mut score = TrackScore::new(TrackKind::Video);
        assert_eq!(score.update(&Window { paused: true, ..Window::default() }), 30.0);
    }

    #[test]
    fn layers_below_what_is_wanted_cost_points() {
        let window = Window { layer_distance: 1.0, ..voice() };
        assert_eq!(settled(TrackKind::Video, window).round(), 65.0);
    }

    #[test]
    fn the_distance_is_a_mean_over_time() {
        let (mut distance, start) = (LayerDistance::default(), Instant::now());
        let wanted = Some(Layer::new(2, 2));
        distance.set(wanted, wanted, start);
        distance.set(wanted, Some(Layer::new(0, 2)), start + 1000 * MS);
        distance.set(wanted, Some(Layer::new(2, 1)), start + 2000 * MS);
        let mean = distance.take(start + 4000 * MS);
        assert!((mean - (2.0 + 2.0 / 3.0) / 4.0).abs() < 1e-9, "{mean}");
        let later = distance.take(start + 5000 * MS);
        assert!((later - 1.0 / 3.0).abs() < 1e-9, "{later}");
    }
}
