//! Is the queue on the path growing? A line through recent delays, and a threshold that adapts
//! (gcc-02 sections 5.3 to 5.5; libwebrtc `trendline_estimator.cc`).

use std::collections::VecDeque;

use crate::bwe::groups::Delta;

/// Groups in the line.
const WINDOW: usize = 20;
/// Weight of the old value in the smoothed delay.
const SMOOTHING: f64 = 0.9;
/// Makes the slope comparable with the threshold.
const GAIN: f64 = 4.0;
/// The slope counts fully after this many deltas.
const MAX_DELTAS: u32 = 60;
const INITIAL_THRESHOLD_MS: f64 = 12.5;
const THRESHOLD_RANGE_MS: (f64, f64) = (6.0, 600.0);
/// Adaptation of the threshold: up while exceeded, down slower while not, per millisecond.
const THRESHOLD_UP: f64 = 0.0087;
const THRESHOLD_DOWN: f64 = 0.039;
/// A spike this far above the threshold does not move it.
const SPIKE_MS: f64 = 15.0;
const MAX_ADAPT_STEP_MS: f64 = 100.0;
/// With less delay than this above the least of the window the queue has gone, though the smoothed
/// line still rises.
const EMPTY_MS: f64 = 10.0;
/// A packet that jitter let pass shows that there is no queue: of delays that scatter by so much more,
/// one more of the newest is asked, up to so many.
const SCATTER_STEP_MS: f64 = 2.5;
const MAX_NEWEST: usize = 8;
/// So many standard errors must the line's slope be above nothing: jitter makes slopes too, of both
/// signs, where a queue makes a line. At three of them chance did it once in a quarter of an hour of
/// 30 ms jitter, and a false fall takes the picture away for seconds; at four not in an hour.
const STANDS_OUT: f64 = 5.0;
/// The trend must stay above the threshold for this long.
const OVERUSE_MS: f64 = 10.0;

/// What the delays say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// The queue is draining.
    Under,
    /// Steady.
    Normal,
    /// The queue grows.
    Over,
}

#[derive(Debug)]
pub(super) struct Trendline {
    /// Arrival and smoothed accumulated delay, both in milliseconds.
    points: VecDeque<(f64, f64)>,
    /// Accumulated delay of the same groups, not smoothed.
    delays_ms: VecDeque<f64>,
    first_arrival_ms: Option<f64>,
    accumulated_ms: f64,
    smoothed_ms: f64,
    deltas: u32,
    threshold_ms: f64,
    last_update_ms: Option<f64>,
    previous_trend: f64,
    over_for_ms: Option<f64>,
    over_count: u32,
    usage: Usage,
}

impl Trendline {
    pub(super) fn new() -> Self {
        Self {
            points: VecDeque::with_capacity(WINDOW + 1),
            delays_ms: VecDeque::with_capacity(WINDOW + 1),
            first_arrival_ms: None,
            accumulated_ms: 0.0,
            smoothed_ms: 0.0,
            deltas: 0,
            threshold_ms: INITIAL_THRESHOLD_MS,
            last_update_ms: None,
            previous_trend: 0.0,
            over_for_ms: None,
            over_count: 0,
            usage: Usage::Normal,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes the next pair of groups.
    pub(super) fn update(&mut self, delta: Delta) {
        let first = *self.first_arrival_ms.get_or_insert(delta.arrival_ms);
        self.deltas = (self.deltas + 1).min(MAX_DELTAS * 16);
        self.accumulated_ms += delta.arrived_ms - delta.sent_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.accumulated_ms;
        self.points.push_back((delta.arrival_ms - first, self.smoothed_ms));
        self.delays_ms.push_back(self.accumulated_ms);
        if self.points.len() > WINDOW {
            self.points.pop_front();
            self.delays_ms.pop_front();
        }
        let trend = if self.points.len() == WINDOW {
            slope(&self.points).unwrap_or(self.previous_trend)
        } else {
            self.previous_trend
        };
        self.detect(trend, delta.sent_ms, delta.arrival_ms);
        if self.usage == Usage::Over && !self.stands_out() {
            self.usage = Usage::Normal;
        }
    }

    /// Whether the delays themselves, not smoothed, rise by more than their own scatter explains, and
    /// the newest of them are all above the least.
    fn stands_out(&self) -> bool {
        let raw = self.points.iter().zip(&self.delays_ms).map(|((x, _), y)| (*x, *y));
        let raw: VecDeque<(f64, f64)> = raw.collect();
        let Some(slope) = slope(&raw) else { return false };
        let count = raw.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| raw.iter().map(of).sum::<f64>() / count;
        let (mean_x, mean_y) = (mean(|p| p.0), mean(|p| p.1));
        let (mut spread, mut residue) = (0.0, 0.0);
        for (x, y) in &raw {
            spread += (x - mean_x).powi(2);
            residue += (y - mean_y - slope * (x - mean_x)).powi(2);
        }
        let scatter_ms = (residue / (count - 2.0).max(1.0)).sqrt();
        let newest = 1 + (scatter_ms / SCATTER_STEP_MS) as usize;
        let least =
            |delays: &mut dyn Iterator<Item = &f64>| delays.fold(f64::INFINITY, |a, b| a.min(*b));
        let emptied = least(&mut self.delays_ms.iter().rev().take(newest.min(MAX_NEWEST)));
        let waits_ms = emptied - least(&mut self.delays_ms.iter());
        waits_ms >= EMPTY_MS && slope > STANDS_OUT * scatter_ms / spread.sqrt()
    }

    fn detect(&mut self, trend: f64, sent_ms: f64, arrival_ms: f64) {
        if self.deltas < 2 {
            return;
        }
        let modified = f64::from(self.deltas.min(MAX_DELTAS)) * trend * GAIN;
        if modified > self.threshold_ms {
            let over = self.over_for_ms.map_or(sent_ms / 2.0, |over| over + sent_ms);
            self.over_for_ms = Some(over);
            self.over_count += 1;
            if over > OVERUSE_MS && self.over_count > 1 && trend >= self.previous_trend {
                self.over_for_ms = Some(0.0);
                self.over_count = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_for_ms = None;
            self.over_count = 0;
            self.usage = if modified < -self.threshold_ms { Usage::Under } else { Usage::Normal };
        }
        self.previous_trend = trend;
        self.adapt(modified.abs(), arrival_ms);
    }

    fn adapt(&mut self, modified_ms: f64, now_ms: f64) {
        let last = self.last_update_ms.replace(now_ms).unwrap_or(now_ms);
        if modified_ms > self.threshold_ms + SPIKE_MS {
            return;
        }
        let rate = if modified_ms < self.threshold_ms { THRESHOLD_DOWN } else { THRESHOLD_UP };
        let step_ms = (now_ms - last).clamp(0.0, MAX_ADAPT_STEP_MS);
        self.threshold_ms += rate * (modified_ms - self.threshold_ms) * step_ms;
        self.threshold_ms = self.threshold_ms.clamp(THRESHOLD_RANGE_MS.0, THRESHOLD_RANGE_MS.1);
    }
}

/// Least squares; `None` when all points have one x.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|p| p.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|p| p.1).sum::<f64>() / count;
    let (mut numerator, mut denominator) = (0.0, 0.0);
    for (x, y) in points {
        numerator += (x - mean_x) * (y - mean_y);
        denominator += (x - mean_x) * (x - mean_x);
    }
    (denominator > 0.0).then(|| numerator / denominator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(trendline: &mut Trendline, count: u32, start_ms: f64, growth_ms: f64) -> Vec<Usage> {
        (0..count)
            .map(|i| {
                trendline.update(Delta {
                    sent_ms: 20.0,
                    arrived_ms: 20.0 + growth_ms,
                    arrival_ms: start_ms + f64::from(i) * (20.0 + growth_ms),
                });
                trendline.usage()
            })
            .collect()
    }

    #[test]
    fn a_steady_path_is_normal() {
        let mut trendline = Trendline::new();
        assert!(feed(&mut trendline, 200, 0.0, 0.0).iter().all(|u| *u == Usage::Normal));
    }

    #[test]
    fn a_growing_queue_is_overuse_within_half_a_second() {
        let mut trendline = Trendline::new();
        feed(&mut trendline, 100, 0.0, 0.0);
        let seen = feed(&mut trendline, 25, 2000.0, 2.0);
        assert!(seen.contains(&Usage::Over));
    }

    #[test]
    fn jitter_of_sixty_milliseconds_is_no_queue_and_does_not_hide_one() {
        let mut trendline = Trendline::new();
        let mut over = 0;
        let mut noise = 1_u64;
        let mut before = (0.0, 0.0);
        let mut feed = |queue_ms: f64, i: u32| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let sent = f64::from(i) * 25.0;
            let arrival = sent + queue_ms + (noise >> 33) as f64 % 60.0;
            // What was overtaken is no group.
            if arrival >= before.1 {
                let (sent_ms, arrived_ms) = (sent - before.0, arrival - before.1);
                trendline.update(Delta { sent_ms, arrived_ms, arrival_ms: arrival });
                before = (sent, arrival);
            }
            trendline.usage() == Usage::Over
        };
        for i in 0..2400 {
            over += u32::from(feed(0.0, i));
        }
        assert!(over <= 12, "one group in two hundred: {over}");
        let noticed = (0..80).find(|i| feed(f64::from(*i) * 10.0, 2400 + i));
        assert!(noticed.is_some_and(|groups| groups <= 40), "{noticed:?}");
    }

    #[test]
    fn a_draining_queue_is_underuse() {
        let mut trendline = Trendline::new();
        feed(&mut trendline, 60, 0.0, 2.0);
        let seen = feed(&mut trendline, 40, 2000.0, -3.0);
        assert!(seen.contains(&Usage::Under));
    }

    #[test]
    fn jitter_without_trend_is_not_overuse() {
        let mut trendline = Trendline::new();
        for i in 0..500_u32 {
            let jitter = f64::from((i * 7919) % 11) - 5.0;
            let previous = f64::from((i.wrapping_sub(1).wrapping_mul(7919)) % 11) - 5.0;
            trendline.update(Delta {
                sent_ms: 20.0,
                arrived_ms: 20.0 + jitter - if i == 0 { 0.0 } else { previous },
                arrival_ms: f64::from(i) * 20.0 + jitter,
            });
            assert_ne!(trendline.usage(), Usage::Over, "delta {i}");
        }
    }
}
