//! When to send the last flight again (RFC 6347, section 4.2.4).

use std::time::{Duration, Instant};

/// First wait. RFC 6347 says 1 s; over a path that ICE has just measured that only costs join
/// time. mediasoup and LiveKit use the same (mediasoup `worker/src/RTC/DtlsTransport.cpp`).
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait between two attempts, as in mediasoup.
const MAX_WAIT: Duration = Duration::from_secs(4);

/// Timer of one flight: armed when it is sent, doubled each time it runs out.
#[derive(Debug, Default)]
pub(crate) struct Retransmit {
    wait: Duration,
    deadline: Option<Instant>,
}

impl Retransmit {
    /// A new flight went out.
    pub(crate) fn arm(&mut self, now: Instant) {
        self.wait = FIRST_WAIT;
        self.deadline = Some(now + FIRST_WAIT);
    }

    pub(crate) fn disarm(&mut self) {
        self.deadline = None;
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// True when the flight is due again; the next wait is then twice as long.
    pub(crate) fn expired(&mut self, now: Instant) -> bool {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return false;
        }
        self.wait = (self.wait * 2).min(MAX_WAIT);
        self.deadline = Some(now + self.wait);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_four_seconds() {
        let start = Instant::now();
        let mut timer = Retransmit::default();
        assert!(!timer.expired(start), "never armed");
        timer.arm(start);
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let next = timer.deadline().unwrap();
            assert!(!timer.expired(next - Duration::from_micros(1)));
            waits.push((next - now).as_millis());
            now = next;
            assert!(timer.expired(now));
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 4000, 4000]);
        timer.disarm();
        assert!(!timer.expired(now + MAX_WAIT));
    }
}
