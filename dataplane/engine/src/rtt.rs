//! Round trip times from RTCP (RFC 3550, section 6.4.1; RFC 3611, sections 4.4 and 4.5).
//!
//! A report block names the sender report it answers by the middle of its NTP time. Ours may carry
//! another clock than the one we measure with, so what we sent is remembered by that name.

use std::time::{Duration, Instant};

use crate::units::{duration_to_q16, q16_to_duration};

/// Reports remembered: the answer to the fourth but last is stale.
const REMEMBERED: usize = 4;
/// A longer round trip is a wrong clock.
const MAX_RTT: Duration = Duration::from_secs(10);
/// Two roundings to 1/65536 s; a local round trip may be shorter than that.
const ROUNDING: Duration = Duration::from_micros(31);
/// Used until the first measurement. mediasoup `NackGenerator.cpp`, `DefaultRtt`.
pub const DEFAULT_RTT: Duration = Duration::from_millis(100);

/// The reports sent on one SSRC (SR), or by one transport (XR receiver reference time).
#[derive(Debug, Clone, Default)]
pub struct SentReports {
    sent: [Option<(u32, Instant)>; REMEMBERED],
    next: usize,
}

impl SentReports {
    /// Remembers a report by the middle 32 bits of its NTP time.
    pub fn on_sent(&mut self, ntp_middle: u32, now: Instant) {
        self.sent[self.next] = Some((ntp_middle, now));
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// The round trip that a block measures: `last_report` is LSR (or LRR), `delay` is DLSR (or
    /// DLRR) in 1/65536 s.
    ///
    /// None for 0, for a report we did not send or have forgotten, and for impossible times.
    #[must_use]
    pub fn round_trip(&self, last_report: u32, delay: u32, now: Instant) -> Option<Duration> {
        if last_report == 0 {
            return None;
        }
        let (_, sent) = self.sent.iter().flatten().find(|(name, _)| *name == last_report)?;
        let elapsed = now.saturating_duration_since(*sent);
        let rtt = (elapsed + ROUNDING).checked_sub(q16_to_duration(delay))?;
        (rtt < MAX_RTT).then_some(rtt)
    }
}

/// The last receiver reference time a peer sent, to be answered by DLRR (RFC 3611, section 4.5).
#[derive(Debug, Clone, Default)]
pub struct ReferenceTime {
    last: Option<(u32, Instant)>,
}

impl ReferenceTime {
    /// A receiver reference time block came.
    pub fn on_received(&mut self, ntp_middle: u32, arrival: Instant) {
        self.last = Some((ntp_middle, arrival));
    }

    /// LRR and DLRR of the answer; once per block received.
    pub fn take_answer(&mut self, now: Instant) -> Option<(u32, u32)> {
        let (middle, arrival) = self.last.take()?;
        Some((middle, duration_to_q16(now.saturating_duration_since(arrival))))
    }
}

/// A smoothed round trip time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rtt {
    smoothed: Option<Duration>,
    /// Longest since it was last taken.
    peak: Option<Duration>,
}

impl Rtt {
    /// Takes a measurement in with a weight of 1/8 (RFC 6298, section 2).
    pub fn on_sample(&mut self, sample: Duration) {
        self.peak = self.peak.max(Some(sample));
        self.smoothed = Some(match self.smoothed {
            Some(smoothed) => (smoothed * 7 + sample) / 8,
            None => sample,
        });
    }

    /// None before the first measurement.
    #[must_use]
    pub fn measured(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The longest since the last call; none if nothing was measured.
    pub fn take_peak(&mut self) -> Option<Duration> {
        self.peak.take()
    }

    /// The measured time, else [`DEFAULT_RTT`].
    #[must_use]
    pub fn get(&self) -> Duration {
        self.smoothed.unwrap_or(DEFAULT_RTT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn elapsed_time_minus_what_the_peer_held() {
        let start = Instant::now();
        let mut sent = SentReports::default();
        sent.on_sent(7, start);
        let rtt = sent.round_trip(7, 65_536, start + ms(1080)).unwrap();
        assert!(rtt.abs_diff(ms(80)) < ms(1), "{rtt:?}");
    }

    #[test]
    fn foreign_forgotten_and_impossible_reports_measure_nothing() {
        let start = Instant::now();
        let mut sent = SentReports::default();
        sent.on_sent(0, start);
        assert_eq!(sent.round_trip(0, 0, start), None, "LSR 0: no report seen yet");
        for name in 1..=5 {
            sent.on_sent(name, start);
        }
        assert_eq!(sent.round_trip(1, 0, start), None, "forgotten");
        assert_eq!(sent.round_trip(9, 0, start), None, "never sent");
        assert_eq!(sent.round_trip(5, 65_536, start + ms(900)), None, "held longer than elapsed");
        assert_eq!(sent.round_trip(5, u32::MAX, start + ms(900)), None);
        assert_eq!(sent.round_trip(5, 0, start + ms(10_000)), None, "too long");
    }

    #[test]
    fn names_around_the_ntp_wrap_are_just_names() {
        let start = Instant::now();
        let mut sent = SentReports::default();
        sent.on_sent(u32::MAX, start);
        sent.on_sent(3, start + ms(1));
        assert!(sent.round_trip(u32::MAX, 0, start + ms(50)).is_some());
    }

    #[test]
    fn local_round_trip_below_the_resolution_is_still_one() {
        let start = Instant::now();
        let mut sent = SentReports::default();
        sent.on_sent(7, start);
        let elapsed = Duration::from_micros(500_010);
        assert!(sent.round_trip(7, 32_769, start + elapsed).is_some());
    }

    #[test]
    fn reference_time_is_answered_once() {
        let start = Instant::now();
        let mut reference = ReferenceTime::default();
        assert_eq!(reference.take_answer(start), None);
        reference.on_received(5, start);
        assert_eq!(reference.take_answer(start + ms(250)), Some((5, 16_384)));
        assert_eq!(reference.take_answer(start + ms(250)), None);
    }

    #[test]
    fn smoothing_starts_at_the_first_sample() {
        let mut rtt = Rtt::default();
        assert_eq!((rtt.measured(), rtt.get()), (None, DEFAULT_RTT));
        rtt.on_sample(ms(40));
        rtt.on_sample(ms(120));
        assert_eq!(rtt.get(), ms(50));
        assert_eq!((rtt.take_peak(), rtt.take_peak()), (Some(ms(120)), None));
    }
}
