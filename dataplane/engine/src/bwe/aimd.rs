//! Rate from usage: additive or multiplicative increase, multiplicative decrease (gcc-02 section 5.5;
//! libwebrtc `aimd_rate_control.cc`).

use std::time::{Duration, Instant};

use crate::bwe::trendline::Usage;
use crate::units::Bitrate;

/// Back off to this share of what arrives.
const BETA: f64 = 0.85;
/// Taken off on top, so that the queue drains.
const DECREASE_MARGIN: Bitrate = Bitrate::kbps(5);
/// Growth a second while the capacity is unknown.
const GROWTH: f64 = 1.08;
const MIN_GROWTH: Bitrate = Bitrate::kbps(1);
/// Additive growth a second is at least this.
const MIN_ADDITIVE: Bitrate = Bitrate::kbps(4);
/// Added to the round trip in the additive law: the time to notice.
const RESPONSE: Duration = Duration::from_millis(100);
/// The estimate runs no further ahead of what is acknowledged.
const AHEAD: f64 = 1.5;
const AHEAD_MARGIN: Bitrate = Bitrate::kbps(10);
const MIN_DECREASE_INTERVAL: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_millis(200));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Hold,
    Increase,
    Decrease,
}

/// Delay-based estimate.
#[derive(Debug)]
pub(super) struct Aimd {
    estimate: Bitrate,
    state: State,
    capacity: Capacity,
    last_change: Option<Instant>,
    last_decrease: Option<Instant>,
}

impl Aimd {
    pub(super) fn new(start: Bitrate) -> Self {
        Self {
            estimate: start,
            state: State::Hold,
            capacity: Capacity::default(),
            last_change: None,
            last_decrease: None,
        }
    }

    pub(super) fn estimate(&self) -> Bitrate {
        self.estimate
    }

    pub(super) fn last_decrease(&self) -> Option<Instant> {
        self.last_decrease
    }

    /// A probe measured this much.
    pub(super) fn on_probe(&mut self, rate: Bitrate, now: Instant) {
        self.capacity.on_probe(rate);
        self.estimate = rate;
        self.last_change = Some(now);
    }

    /// This much arrived without a queue.
    pub(super) fn raise(&mut self, acked: Bitrate, now: Instant) {
        if acked > self.estimate {
            self.estimate = acked;
            self.last_change = Some(now);
        }
    }

    /// One step. `limited`: less was sent than allowed, so nothing was learned about more.
    pub(super) fn update(
        &mut self,
        usage: Usage,
        acked: Option<Bitrate>,
        rtt: Duration,
        limited: bool,
        now: Instant,
    ) {
        self.state = match (usage, self.state) {
            (Usage::Over, _) => State::Decrease,
            (Usage::Under, _) => State::Hold,
            (Usage::Normal, State::Hold) => State::Increase,
            (Usage::Normal, state) => state,
        };
        match self.state {
            State::Hold => self.last_change = Some(now),
            State::Increase => self.increase(acked, rtt, limited, now),
            State::Decrease => self.decrease(acked, rtt, now),
        }
    }

    fn increase(&mut self, acked: Option<Bitrate>, rtt: Duration, limited: bool, now: Instant) {
        let elapsed = self.last_change.replace(now).map_or(Duration::ZERO, |last| now - last);
        if acked.is_some_and(|acked| self.capacity.is_exceeded_by(acked)) {
            self.capacity.forget();
        }
        if limited {
            return;
        }
        let seconds = elapsed.as_secs_f64().min(1.0);
        let step = if self.capacity.known().is_some() {
            additive(self.estimate, rtt) * seconds
        } else {
            (self.estimate * (GROWTH.powf(seconds) - 1.0)).max(MIN_GROWTH * seconds)
        };
        let ceiling = acked.map_or(Bitrate::MAX, |acked| acked * AHEAD + AHEAD_MARGIN);
        if self.estimate < ceiling {
            self.estimate = (self.estimate + step).min(ceiling);
        }
    }

    fn decrease(&mut self, acked: Option<Bitrate>, rtt: Duration, now: Instant) {
        // Without any acknowledged rate all that is known is that this is too much.
        let acked = acked.unwrap_or(self.estimate);
        let interval = rtt.clamp(MIN_DECREASE_INTERVAL.0, MIN_DECREASE_INTERVAL.1);
        let recent = self.last_decrease.is_some_and(|last| now - last < interval);
        if recent && acked >= self.estimate * 0.5 {
            self.state = State::Hold;
            return;
        }
        // Where that is more than the estimate, the queue drains already.
        let target = acked * BETA - DECREASE_MARGIN;
        if self.capacity.is_far_above(acked) {
            self.capacity.forget();
        }
        self.capacity.on_overuse(acked);
        self.estimate = self.estimate.min(target);
        self.last_decrease = Some(now);
        self.last_change = Some(now);
        self.state = State::Hold;
    }
}

/// About one packet a response time (gcc-02 section 5.5), as a rate per second.
fn additive(estimate: Bitrate, rtt: Duration) -> Bitrate {
    const FRAMES_PER_S: f64 = 30.0;
    const MAX_PACKET_BITS: f64 = 1200.0 * 8.0;
    let frame_bits = estimate.as_f64_bps() / FRAMES_PER_S;
    let packets = (frame_bits / MAX_PACKET_BITS).ceil().max(1.0);
    let response = (rtt + RESPONSE).as_secs_f64();
    Bitrate::from_f64_bps(frame_bits / packets / response).max(MIN_ADDITIVE)
}

/// Where the path showed its limit: a mean with a deviation.
#[derive(Debug, Default)]
struct Capacity {
    mean_kbps: Option<f64>,
    deviation: f64,
}

impl Capacity {
    const FROM_OVERUSE: f64 = 0.05;
    const FROM_PROBE: f64 = 0.5;
    const DEVIATION_RANGE: (f64, f64) = (0.4, 2.5);

    fn known(&self) -> Option<Bitrate> {
        self.mean_kbps.map(|kbps| Bitrate::from_f64_bps(kbps * 1e3))
    }

    fn forget(&mut self) {
        *self = Self::default();
    }

    fn is_exceeded_by(&self, rate: Bitrate) -> bool {
        self.bound(1.0).is_some_and(|bound| rate > bound)
    }

    fn is_far_above(&self, rate: Bitrate) -> bool {
        self.bound(-1.0).is_some_and(|bound| rate < bound)
    }

    fn bound(&self, sign: f64) -> Option<Bitrate> {
        let mean = self.mean_kbps?;
        let sigma = (self.deviation.max(Self::DEVIATION_RANGE.0) * mean).sqrt();
        Some(Bitrate::from_f64_bps((mean + sign * 3.0 * sigma).max(0.0) * 1e3))
    }

    fn on_overuse(&mut self, rate: Bitrate) {
        self.update(rate, Self::FROM_OVERUSE);
    }

    fn on_probe(&mut self, rate: Bitrate) {
        self.update(rate, Self::FROM_PROBE);
    }

    fn update(&mut self, rate: Bitrate, weight: f64) {
        let sample = rate.as_f64_bps() / 1e3;
        let mean = self.mean_kbps.map_or(sample, |mean| (1.0 - weight) * mean + weight * sample);
        self.mean_kbps = Some(mean);
        let error = (mean - sample) * (mean - sample) / mean.max(1.0);
        self.deviation = ((1.0 - weight) * self.deviation + weight * error)
            .clamp(Self::DEVIATION_RANGE.0, Self::DEVIATION_RANGE.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);
    const STEP: Duration = Duration::from_millis(25);

    fn run(aimd: &mut Aimd, from: Instant, usage: Usage, acked: Bitrate, steps: u32) -> Instant {
        for i in 0..steps {
            aimd.update(usage, Some(acked), RTT, false, from + STEP * i);
        }
        from + STEP * steps
    }

    #[test]
    fn grows_eight_percent_a_second_while_the_limit_is_unknown() {
        let mut aimd = Aimd::new(Bitrate::mbps(1));
        run(&mut aimd, Instant::now(), Usage::Normal, Bitrate::mbps(10), 41);
        let ratio = aimd.estimate().as_f64_bps() / 1e6;
        assert!((ratio - GROWTH).abs() < 0.01, "{ratio}");
    }

    #[test]
    fn never_runs_far_ahead_of_what_is_acknowledged() {
        let mut aimd = Aimd::new(Bitrate::kbps(300));
        run(&mut aimd, Instant::now(), Usage::Normal, Bitrate::kbps(300), 4000);
        assert!(aimd.estimate() <= Bitrate::kbps(460));
    }

    #[test]
    fn overuse_falls_below_what_arrives_once_a_round_trip() {
        let (mut aimd, now) = (Aimd::new(Bitrate::mbps(2)), Instant::now());
        aimd.update(Usage::Over, Some(Bitrate::mbps(1)), RTT, false, now);
        assert_eq!(aimd.estimate(), Bitrate::kbps(845));
        aimd.update(Usage::Over, Some(Bitrate::kbps(800)), RTT, false, now + STEP);
        assert_eq!(aimd.estimate(), Bitrate::kbps(845));
        aimd.update(Usage::Over, Some(Bitrate::kbps(800)), RTT, false, now + 3 * STEP);
        assert_eq!(aimd.estimate(), Bitrate::kbps(675));
    }

    #[test]
    fn near_a_known_limit_growth_is_additive() {
        let (mut aimd, now) = (Aimd::new(Bitrate::mbps(2)), Instant::now());
        aimd.update(Usage::Over, Some(Bitrate::mbps(1)), RTT, false, now);
        let before = aimd.estimate();
        run(&mut aimd, now + RTT, Usage::Normal, Bitrate::mbps(1), 41);
        let grown = aimd.estimate() - before;
        assert!(grown > Bitrate::kbps(20) && grown < Bitrate::kbps(80), "{grown}");
    }
}
