//! What a publisher without transport-wide feedback may send, for REMB: the classic loss-based
//! rule of receive-side congestion control (draft-ietf-rmcat-gcc-02, section 6).

use std::time::{Duration, Instant};

use crate::units::Bitrate;

/// Allowed from the start, so that a publisher turns all its layers on.
pub const START: Bitrate = Bitrate::mbps(3);
/// Never allowed less: the lowest layer and audio.
const MIN: Bitrate = Bitrate::kbps(100);
/// Never allowed more.
const MAX: Bitrate = Bitrate::mbps(20);
/// Growth per second while little is lost.
const GROWTH_PER_S: f64 = 1.08;
/// Less loss than this lets the estimate grow.
const LOW_LOSS: f64 = 0.02;
/// More loss than this lowers it.
const HIGH_LOSS: f64 = 0.10;
/// The estimate stays within this factor of what arrives ...
const OVER_RECEIVED: f64 = 1.5;
/// ... plus this, since a publisher that sends one small layer must learn that it may send more.
const HEADROOM: Bitrate = Bitrate::mbps(3);
/// Time between two decreases, besides a round trip.
const DECREASE_INTERVAL: Duration = Duration::from_millis(300);
/// Time over which growth is counted at most, after a silence.
const MAX_STEP: Duration = Duration::from_secs(1);

/// The estimate for one publishing transport.
#[derive(Debug)]
pub struct ReceiveEstimate {
    estimate: f64,
    updated: Instant,
    decreased: Option<Instant>,
}

impl ReceiveEstimate {
    /// Starts at [`START`].
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { estimate: START.as_f64_bps(), updated: now, decreased: None }
    }

    /// Takes in an interval of about a second and returns what to put into the next REMB.
    ///
    /// `received`: rate of everything that arrived in it. `loss`: part of the packets that did
    /// not, 0 to 1.
    pub fn update(&mut self, received: Bitrate, loss: f64, rtt: Duration, now: Instant) -> Bitrate {
        let elapsed = now.saturating_duration_since(self.updated).min(MAX_STEP);
        self.updated = now;
        if loss < LOW_LOSS {
            self.estimate *= GROWTH_PER_S.powf(elapsed.as_secs_f64());
        } else if loss > HIGH_LOSS {
            let rested = self.decreased.is_none_or(|decreased| {
                now.saturating_duration_since(decreased) >= DECREASE_INTERVAL + rtt
            });
            if rested {
                // What is lost shows against what was sent, not against what was allowed.
                let from = self.estimate.min(received.as_f64_bps() / (1.0 - loss.min(0.99)));
                self.estimate = from * (1.0 - 0.5 * loss.min(1.0));
                self.decreased = Some(now);
            }
        }
        let ceiling = received.as_f64_bps() * OVER_RECEIVED + HEADROOM.as_f64_bps();
        self.estimate = self.estimate.min(ceiling).clamp(MIN.as_f64_bps(), MAX.as_f64_bps());
        Bitrate::from_f64_bps(self.estimate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    fn run(
        estimate: &mut ReceiveEstimate,
        now: &mut Instant,
        seconds: u32,
        kbps: u64,
        loss: f64,
    ) -> u64 {
        let mut last = Bitrate::ZERO;
        for _ in 0..seconds {
            *now += Duration::from_secs(1);
            last = estimate.update(Bitrate::kbps(kbps), loss, RTT, *now);
        }
        last.as_bps() / 1000
    }

    #[test]
    fn small_sender_is_allowed_its_upper_layers() {
        let mut now = Instant::now();
        let mut estimate = ReceiveEstimate::new(now);
        assert_eq!(run(&mut estimate, &mut now, 1, 200, 0.0), 3240);
        assert_eq!(run(&mut estimate, &mut now, 60, 200, 0.0), 3300);
    }

    #[test]
    fn growth_follows_what_arrives() {
        let mut now = Instant::now();
        let mut estimate = ReceiveEstimate::new(now);
        assert_eq!(run(&mut estimate, &mut now, 60, 4000, 0.01), 9000);
        assert_eq!(run(&mut estimate, &mut now, 60, 100_000, 0.0), 20_000);
    }

    #[test]
    fn moderate_loss_holds_and_heavy_loss_lowers() {
        let mut now = Instant::now();
        let mut estimate = ReceiveEstimate::new(now);
        assert_eq!(run(&mut estimate, &mut now, 10, 2000, 0.05), 3000);
        // 2000 arrive of 2500 sent; a tenth less than sent.
        assert_eq!(run(&mut estimate, &mut now, 1, 2000, 0.2), 2250);
        assert_eq!(run(&mut estimate, &mut now, 30, 20, 0.5), 100);
    }

    #[test]
    fn decreases_keep_their_distance() {
        let now = Instant::now();
        let mut estimate = ReceiveEstimate::new(now);
        let first = estimate.update(Bitrate::mbps(2), 0.2, RTT, now);
        let at = |ms| now + Duration::from_millis(ms);
        assert_eq!(estimate.update(Bitrate::mbps(1), 0.2, RTT, at(349)), first);
        assert!(estimate.update(Bitrate::mbps(1), 0.2, RTT, at(350)) < first);
    }

    #[test]
    fn total_loss_leaves_the_minimum() {
        let now = Instant::now();
        let mut estimate = ReceiveEstimate::new(now);
        assert_eq!(estimate.update(Bitrate::ZERO, 1.0, RTT, now), MIN);
    }
}
