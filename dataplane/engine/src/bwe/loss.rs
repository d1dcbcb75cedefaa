//! Loss-based estimate by maximum likelihood (libwebrtc `loss_based_bwe_v2.cc`).
//!
//! Two causes of loss are told apart: a path that loses a share of everything, and a bottleneck
//! that loses what exceeds it. Each candidate rate is scored by how well it explains the recent
//! observations; so 5 % of random radio loss does not starve a link, and a full queue does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::units::Bitrate;

/// Shortest observation.
const OBSERVATION: Duration = Duration::from_millis(250);
const WINDOW: usize = 15;
/// Older ones say nothing of the path now: where little is sent, one may take seconds.
const MEMORY: Duration = Duration::from_secs(6);
/// Fewer say nothing: one lost packet of ten is no rate of loss.
const MIN_OBSERVATIONS: usize = 3;
/// Weight of an observation against the next newer one.
const AGE_WEIGHT: f64 = 0.9;
const CANDIDATE_FACTORS: [f64; 3] = [1.02, 1.0, 0.95];
const INHERENT_LOSS_FLOOR: f64 = 1e-3;
/// A path may lose this much of itself, plus more at low rates where one packet is a large share.
const INHERENT_LOSS_OFFSET: f64 = 0.05;
const INHERENT_LOSS_BALANCE_BPS: f64 = 75_000.0;
/// Of two rates that explain the losses equally well the higher is right.
const RATE_BIAS: f64 = 0.0002;
const RATE_BIAS_LOG: f64 = 0.02;
const NEWTON_STEPS: u32 = 2;
const NEWTON_SCALE: f64 = 0.75;
/// After a decrease, growth in one window is bounded.
const WINDOW_GROWTH: f64 = 1.3;
const GROWTH_WINDOW: Duration = Duration::from_millis(300);
/// After a decrease the rate is held; doubles with every further one, forgotten after a quiet time.
const HOLD: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(10));
const QUIET: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, Default)]
struct Observation {
    packets: f64,
    lost: f64,
    rate_bps: f64,
    bytes: f64,
    lost_bytes: f64,
}

/// Loss-based estimate; `None` while nothing limits.
#[derive(Debug)]
pub(super) struct LossBased {
    /// With the time at which each ended.
    observations: VecDeque<(Instant, Observation)>,
    partial: Observation,
    partial_since: Option<(Instant, Instant)>,
    limit: Option<Bitrate>,
    inherent_loss: f64,
    hold: Duration,
    hold_until: Option<Instant>,
    growth_base: Option<(Bitrate, Instant)>,
    last_decrease: Option<Instant>,
}

impl LossBased {
    pub(super) fn new() -> Self {
        Self {
            observations: VecDeque::with_capacity(WINDOW + 1),
            partial: Observation::default(),
            partial_since: None,
            limit: None,
            inherent_loss: 0.01,
            hold: HOLD.0,
            hold_until: None,
            growth_base: None,
            last_decrease: None,
        }
    }

    /// The rate that the losses allow.
    pub(super) fn limit(&self) -> Option<Bitrate> {
        self.limit
    }

    /// Share of bytes lost, newer observations counting more.
    pub(super) fn average_loss(&self) -> f64 {
        let (mut lost, mut all) = (0.0, 0.0);
        for (weight, observation) in self.weighted() {
            lost += weight * observation.lost_bytes;
            all += weight * observation.bytes;
        }
        if all > 0.0 { lost / all } else { 0.0 }
    }

    /// Counts one packet whose fate is known.
    pub(super) fn add(&mut self, sent: Instant, size: usize, lost: bool) {
        let begun = self.partial_since.map(|(first, _)| first);
        if begun.is_some_and(|first| sent.saturating_duration_since(first) > MEMORY) {
            (self.partial, self.partial_since) = (Observation::default(), None);
        }
        let (first, last) = self.partial_since.get_or_insert((sent, sent));
        *first = (*first).min(sent);
        *last = (*last).max(sent);
        self.partial.packets += 1.0;
        self.partial.bytes += size as f64;
        if lost {
            self.partial.lost += 1.0;
            self.partial.lost_bytes += size as f64;
        }
    }

    /// A packet that was counted as lost has come late.
    pub(super) fn recover(&mut self, size: usize) {
        let in_partial = (self.partial.lost > 0.0).then_some(&mut self.partial);
        let mut closed = self.observations.iter_mut().rev().map(|(_, observation)| observation);
        let of = in_partial.or_else(|| closed.find(|observation| observation.lost > 0.0));
        if let Some(observation) = of {
            observation.lost -= 1.0;
            observation.lost_bytes = (observation.lost_bytes - size as f64).max(0.0);
        }
    }

    /// Closes an observation that is long enough and weighs the candidates.
    pub(super) fn update(&mut self, acked: Option<Bitrate>, delay_based: Bitrate, now: Instant) {
        let Some((first, last)) = self.partial_since else { return };
        if last - first < OBSERVATION {
            return;
        }
        self.partial.rate_bps = self.partial.bytes * 8.0 / (last - first).as_secs_f64();
        self.observations.push_back((now, std::mem::take(&mut self.partial)));
        self.partial_since = None;
        let old = |(at, _): &(Instant, Observation)| now.saturating_duration_since(*at) > MEMORY;
        while self.observations.len() > WINDOW || self.observations.front().is_some_and(old) {
            self.observations.pop_front();
        }
        if self.observations.len() >= MIN_OBSERVATIONS {
            self.choose(acked, delay_based, now);
        }
    }

    /// A probe went through at this rate. Where nothing was lost of late the path takes it: media that
    /// is too little to observe much must not keep an old limit.
    pub(super) fn on_probe(&mut self, rate: Bitrate) {
        let lost = |of: &Observation| of.lost > 0.0;
        if lost(&self.partial) || self.observations.iter().any(|(_, of)| lost(of)) {
            return;
        }
        self.limit = self.limit.map(|limit| limit.max(rate));
    }

    fn choose(&mut self, acked: Option<Bitrate>, delay_based: Bitrate, now: Instant) {
        let current = self.limit.unwrap_or(delay_based).min(delay_based.max(Bitrate::bps(1)));
        let scaled = CANDIDATE_FACTORS.map(|factor| current * factor);
        let more = [acked, Some(delay_based)];
        let mut best = (f64::NEG_INFINITY, current, self.inherent_loss);
        for rate in scaled.into_iter().chain(more.into_iter().flatten()) {
            let inherent = self.fit_inherent_loss(rate);
            let score = self.score(rate, inherent);
            if score > best.0 {
                best = (score, rate, inherent);
            }
        }
        self.inherent_loss = best.2;
        let mut rate = best.1;
        // More loss than the path's own: this much is not the time to grow.
        if rate > current && self.average_loss() > self.inherent_loss + INHERENT_LOSS_OFFSET {
            rate = current;
        }
        if let Some(bound) = self.instant_bound() {
            rate = rate.min(bound.max(acked.unwrap_or(bound) * 0.5));
        }
        rate = self.bound_growth(rate, current, now);
        if rate < current {
            self.on_decrease(now);
        }
        self.growth_base = match self.growth_base {
            Some((base, since)) if now - since < GROWTH_WINDOW => Some((base, since)),
            _ => Some((rate, now)),
        };
        let free = rate >= delay_based && self.average_loss() < INHERENT_LOSS_OFFSET;
        self.limit = if free { None } else { Some(rate) };
    }

    fn on_decrease(&mut self, now: Instant) {
        if self.last_decrease.is_some_and(|last| now - last > QUIET) {
            self.hold = HOLD.0;
        }
        if self.hold_until.is_none_or(|until| now >= until) {
            self.hold_until = Some(now + self.hold);
            self.hold = (self.hold * 2).min(HOLD.1);
        }
        self.last_decrease = Some(now);
    }

    fn bound_growth(&self, rate: Bitrate, current: Bitrate, now: Instant) -> Bitrate {
        if rate <= current || self.limit.is_none() {
            return rate;
        }
        if self.hold_until.is_some_and(|until| now < until) {
            return current;
        }
        match self.growth_base {
            Some((base, since)) if now - since < GROWTH_WINDOW => rate.min(base * WINDOW_GROWTH),
            _ => rate.min(current * WINDOW_GROWTH),
        }
    }

    /// A hard bound from the loss alone: the more is lost the less may be sent.
    fn instant_bound(&self) -> Option<Bitrate> {
        let excess = self.average_loss() - 2.0 * INHERENT_LOSS_OFFSET;
        (excess > 0.0).then(|| Bitrate::from_f64_bps(INHERENT_LOSS_BALANCE_BPS / excess))
    }

    fn weighted(&self) -> impl Iterator<Item = (f64, &Observation)> {
        self.observations.iter().rev().scan(1.0, |weight, (_, observation)| {
            let now = *weight;
            *weight *= AGE_WEIGHT;
            Some((now, observation))
        })
    }

    fn inherent_loss_ceiling(rate: Bitrate) -> f64 {
        let balance = INHERENT_LOSS_BALANCE_BPS / rate.as_f64_bps().max(1.0);
        (INHERENT_LOSS_OFFSET + balance).min(0.5)
    }

    /// Newton's method on the likelihood's slope.
    fn fit_inherent_loss(&self, rate: Bitrate) -> f64 {
        let ceiling = Self::inherent_loss_ceiling(rate);
        let mut inherent = self.inherent_loss.clamp(INHERENT_LOSS_FLOOR, ceiling);
        for _ in 0..NEWTON_STEPS {
            let (mut first, mut second) = (0.0, 0.0);
            for (weight, observation) in self.weighted() {
                let p = loss_probability(inherent, rate, observation.rate_bps);
                let kept = observation.packets - observation.lost;
                first += weight * (observation.lost / p - kept / (1.0 - p));
                second -= weight * (observation.lost / (p * p) + kept / ((1.0 - p) * (1.0 - p)));
            }
            if second < 0.0 {
                inherent =
                    (inherent - NEWTON_SCALE * first / second).clamp(INHERENT_LOSS_FLOOR, ceiling);
            }
        }
        inherent
    }

    fn score(&self, rate: Bitrate, inherent: f64) -> f64 {
        let kbps = rate.as_f64_bps() / 1e3;
        let bias = RATE_BIAS * kbps + RATE_BIAS_LOG * (1.0 + kbps).ln();
        self.weighted()
            .map(|(weight, observation)| {
                let p = loss_probability(inherent, rate, observation.rate_bps);
                let kept = observation.packets - observation.lost;
                weight * (observation.lost * p.ln() + kept * (1.0 - p).ln() + bias)
            })
            .sum()
    }
}

/// Chance to lose a packet sent at `sending_bps` over a bottleneck of `limit` on a lossy path.
fn loss_probability(inherent: f64, limit: Bitrate, sending_bps: f64) -> f64 {
    let excess = if sending_bps > limit.as_f64_bps() {
        (sending_bps - limit.as_f64_bps()) / sending_bps
    } else {
        0.0
    };
    (inherent + (1.0 - inherent) * excess).clamp(1e-6, 1.0 - 1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends 1000-byte packets at a rate for some seconds; `lose(i)` is packet i's fate.
    fn run(estimate: &mut LossBased, bps: u64, seconds: u64, lose: impl Fn(u64) -> bool) {
        let start = Instant::now();
        let packets = bps * seconds / 8000;
        for i in 0..packets {
            let at = start + Duration::from_secs_f64(i as f64 * 8000.0 / bps as f64);
            estimate.add(at, 1000, lose(i));
            estimate.update(Some(Bitrate::bps(bps)), Bitrate::bps(bps), at);
        }
    }

    #[test]
    fn no_loss_no_limit() {
        let mut estimate = LossBased::new();
        run(&mut estimate, 2_000_000, 5, |_| false);
        assert_eq!(estimate.limit(), None);
    }

    #[test]
    fn five_percent_of_random_loss_keeps_most_of_the_rate() {
        let mut estimate = LossBased::new();
        run(&mut estimate, 3_000_000, 30, |i| (i * 2_654_435_761) % 100 < 5);
        let limit = estimate.limit().unwrap_or(Bitrate::mbps(3));
        assert!(limit.as_f64_bps() >= 2.1e6, "{limit}");
    }

    #[test]
    fn heavy_loss_brings_the_rate_down() {
        let mut estimate = LossBased::new();
        run(&mut estimate, 2_000_000, 5, |i| i % 2 == 0);
        assert!(estimate.limit().unwrap() <= Bitrate::mbps(1), "{:?}", estimate.limit());
        assert!((estimate.average_loss() - 0.5).abs() < 0.02);
    }

    #[test]
    fn the_limit_goes_when_the_loss_has_gone() {
        let mut estimate = LossBased::new();
        run(&mut estimate, 1_000_000, 5, |i| i % 4 == 0);
        assert!(estimate.limit().is_some());
        let start = Instant::now() + Duration::from_secs(10);
        for i in 0..4000_u64 {
            let at = start + 8 * MS * i as u32;
            estimate.add(at, 1000, false);
            estimate.update(Some(Bitrate::mbps(1)), Bitrate::mbps(1), at);
        }
        assert_eq!(estimate.limit(), None);
    }

    #[test]
    fn what_was_lost_long_ago_is_forgotten_also_by_who_sends_little() {
        let mut estimate = LossBased::new();
        run(&mut estimate, 1_000_000, 5, |i| i % 4 == 0);
        let limit = estimate.limit().unwrap();
        estimate.on_probe(limit * 2.0);
        assert_eq!(estimate.limit(), Some(limit), "while losses are fresh");
        let start = Instant::now() + Duration::from_secs(20);
        for at in [start, start + 300 * MS] {
            estimate.add(at, 1000, false);
            estimate.update(None, Bitrate::mbps(1), at);
        }
        assert!(estimate.average_loss() < 1e-9);
        estimate.on_probe(limit * 2.0);
        assert_eq!(estimate.limit(), Some(limit * 2.0));
    }
}
