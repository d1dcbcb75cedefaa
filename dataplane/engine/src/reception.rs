//! Reception of one SSRC, as a report block tells it (RFC 3550, sections 6.4.1, A.3 and A.8).

use std::time::{Duration, Instant};

use crate::units::duration_to_q16;

/// Larger jumps between arrival and timestamp are a stopped or stepped clock, not jitter.
const MAX_TRANSIT_STEP: Duration = Duration::from_secs(5);
/// Cumulative loss has 24 bits with sign.
const MAX_LOST: i64 = 0x7f_ffff;
const MIN_LOST: i64 = -0x80_0000;

/// The numbers of a report block but for the SSRC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Part of the packets lost since the last report, of 256.
    pub fraction_lost: u8,
    /// Packets lost since the start, negative with duplicates; fits 24 bits.
    pub cumulative_lost: i32,
    /// Cycles and highest number.
    pub highest: u32,
    /// In clock ticks.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time; 0 if there was none.
    pub last_sr: u32,
    /// Since then, in 1/65536 s; 0 if there was none.
    pub delay_since_last_sr: u32,
}

/// Receive statistics of one SSRC.
#[derive(Debug)]
pub struct Reception {
    clock_rate: u32,
    /// Several packets make a frame, and share its timestamp.
    frames: bool,
    /// Expected and lost in runs of numbers that are over.
    past: (u64, i64),
    /// First number since the start or restart.
    base: Option<u64>,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    received_since_report: bool,
    /// Arrival and timestamp from which jitter goes on.
    previous: Option<(Instant, u32)>,
    /// Times 16, as in A.8.
    jitter_q4: i64,
    last_sr: Option<(u32, Instant)>,
}

impl Reception {
    /// `clock_rate` in ticks per second; `frames`: several packets may make a frame (video).
    #[must_use]
    pub fn new(clock_rate: u32, frames: bool) -> Self {
        Self {
            clock_rate,
            frames,
            past: (0, 0),
            base: None,
            highest: 0,
            received: 0,
            expected_before: 0,
            received_before: 0,
            received_since_report: false,
            previous: None,
            jitter_q4: 0,
            last_sr: None,
        }
    }

    /// Counts a packet that came on the media SSRC. Retransmissions are not reported: the
    /// publisher should see the loss of the path.
    ///
    /// Of a video frame only the first packet says something about jitter; packets with the
    /// timestamp of the one before are left out by themselves.
    pub fn on_packet(&mut self, seq: u64, timestamp: u32, arrival: Instant) {
        if self.base.is_none() {
            self.base = Some(seq);
            self.highest = seq;
        }
        self.highest = self.highest.max(seq);
        self.received += 1;
        self.received_since_report = true;
        match self.previous {
            Some((_, before)) if before == timestamp => {}
            // A late packet of an earlier frame says nothing either: it need not be its first.
            _ if self.frames && seq < self.highest => {}
            Some((before, from)) => {
                self.learn_jitter(before, from, timestamp, arrival);
                self.previous = Some((arrival, timestamp));
            }
            None => self.previous = Some((arrival, timestamp)),
        }
    }

    /// The source restarted its numbers: loss counts anew.
    pub fn restart(&mut self) {
        let Self { clock_rate, frames, last_sr, jitter_q4, .. } = *self;
        let past = (self.past.0 + self.expected(), self.past.1 + self.lost());
        *self = Self { past, last_sr, jitter_q4, ..Self::new(clock_rate, frames) };
    }

    /// A sender report came; `ntp_middle` are the middle 32 bits of its NTP time.
    pub fn on_sender_report(&mut self, ntp_middle: u32, arrival: Instant) {
        self.last_sr = Some((ntp_middle, arrival));
    }

    /// The report for the time since the last one. None if no packet came since.
    pub fn report(&mut self, now: Instant) -> Option<Report> {
        let base = self.base?;
        if !std::mem::take(&mut self.received_since_report) {
            return None;
        }
        let expected = self.highest - base + 1;
        let expected_now = expected - self.expected_before;
        let received_now = self.received - self.received_before;
        self.expected_before = expected;
        self.received_before = self.received;
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0);
        let (last_sr, delay_since_last_sr) = self.last_sr.map_or((0, 0), |(middle, arrival)| {
            (middle, duration_to_q16(now.saturating_duration_since(arrival)))
        });
        Some(Report {
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: self.lost().clamp(MIN_LOST, MAX_LOST) as i32,
            highest: (self.highest - (base & !0xffff)) as u32,
            jitter: self.jitter(),
            last_sr,
            delay_since_last_sr,
        })
    }

    /// Packets lost since the start or restart; negative with duplicates.
    #[must_use]
    pub fn lost(&self) -> i64 {
        #[expect(clippy::cast_possible_wrap, reason = "counters of packets stay far below 2^63")]
        let lost = self.expected() as i64 - self.received as i64;
        lost
    }

    /// Packets sent to us since the very start, and of them those the path lost.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let lost = (self.past.1 + self.lost()).max(0).unsigned_abs();
        (self.past.0 + self.expected(), lost)
    }

    fn expected(&self) -> u64 {
        self.base.map_or(0, |base| self.highest - base + 1)
    }

    /// Interarrival jitter in clock ticks.
    #[must_use]
    pub fn jitter(&self) -> u32 {
        u32::try_from(self.jitter_q4 >> 4).unwrap_or(u32::MAX)
    }

    fn learn_jitter(&mut self, before: Instant, from: u32, timestamp: u32, arrival: Instant) {
        let rate = i64::from(self.clock_rate);
        let elapsed = arrival.saturating_duration_since(before);
        let elapsed_ticks =
            (elapsed.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000) as i64;
        #[expect(clippy::cast_possible_wrap, reason = "the signed distance is what is wanted")]
        let media_ticks = i64::from(timestamp.wrapping_sub(from) as i32);
        let step = (elapsed_ticks - media_ticks).abs();
        if step <= MAX_TRANSIT_STEP.as_secs() as i64 * rate {
            self.jitter_q4 += step - ((self.jitter_q4 + 8) >> 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// 20 ms audio packets with these numbers, on time.
    fn receive(reception: &mut Reception, start: Instant, seqs: impl IntoIterator<Item = u64>) {
        for seq in seqs {
            reception.on_packet(seq, seq as u32 * 960, start + ms(20 * seq));
        }
    }

    #[test]
    fn loss_of_the_interval_and_in_all() {
        let start = Instant::now();
        let mut reception = Reception::new(48_000, false);
        receive(&mut reception, start, (65_530..65_540).filter(|seq| seq % 5 != 1));
        let report = reception.report(start).unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (51, 2), "2/10 of 256");
        assert_eq!(report.highest, 65_539, "one cycle, number 3");
        assert_eq!((report.last_sr, report.delay_since_last_sr), (0, 0));
        receive(&mut reception, start, 65_540..65_550);
        let report = reception.report(start).unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (0, 2));
    }

    #[test]
    fn duplicates_make_loss_negative_and_the_fraction_zero() {
        let start = Instant::now();
        let mut reception = Reception::new(48_000, false);
        receive(&mut reception, start, [100, 101, 101, 101]);
        let report = reception.report(start).unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (0, -2));
    }

    #[test]
    fn silent_source_has_no_block() {
        let start = Instant::now();
        let mut reception = Reception::new(48_000, false);
        assert_eq!(reception.report(start), None);
        receive(&mut reception, start, [100]);
        assert!(reception.report(start).is_some());
        assert_eq!(reception.report(start), None);
    }

    #[test]
    fn delay_since_the_sender_report() {
        let start = Instant::now();
        let mut reception = Reception::new(48_000, false);
        receive(&mut reception, start, [1]);
        reception.on_sender_report(0xdead_beef, start);
        let report = reception.report(start + ms(500)).unwrap();
        assert_eq!((report.last_sr, report.delay_since_last_sr), (0xdead_beef, 32_768));
    }

    #[test]
    fn jitter_converges_on_the_mean_deviation() {
        let start = Instant::now();
        let mut reception = Reception::new(48_000, false);
        for seq in 0..500u64 {
            // Every second packet 10 ms late: the spacing is 30 ms, then 10 ms, instead of 20.
            let late = if seq % 2 == 1 { 10 } else { 0 };
            reception.on_packet(seq, (seq * 960) as u32, start + ms(20 * seq + late));
        }
        assert!(reception.jitter().abs_diff(480) <= 16, "{}", reception.jitter());
    }

    #[test]
    fn jitter_counts_audio_packets_in_order_of_arrival() {
        let start = Instant::now();
        let mut reception = Reception::new(48_000, false);
        for seq in 0..500u64 {
            // Every second packet comes after the one behind it: D is 40 ms forth and back.
            let other = seq ^ 1;
            reception.on_packet(other, (other * 960) as u32, start + ms(20 * seq));
        }
        assert!(reception.jitter().abs_diff(1920) <= 100, "{}", reception.jitter());
    }

    #[test]
    fn packets_of_one_frame_and_a_stepped_clock_are_not_jitter() {
        let start = Instant::now();
        let mut reception = Reception::new(90_000, true);
        for frame in 0..100u64 {
            for packet in 0..10 {
                let at = start + Duration::from_micros(frame * 33_333 + packet * 2000);
                reception.on_packet(frame * 10 + packet, (frame * 3000) as u32, at);
            }
        }
        assert!(reception.jitter() <= 1, "{}", reception.jitter());
        reception.on_packet(1000, 3_000_000_000, start + ms(3400));
        assert!(reception.jitter() <= 1, "{}", reception.jitter());
    }

    #[test]
    fn restart_counts_anew() {
        let start = Instant::now();
        let mut reception = Reception::new(48_000, false);
        receive(&mut reception, start, [100, 110]);
        reception.restart();
        receive(&mut reception, start, [3 << 16 | 7]);
        let report = reception.report(start).unwrap();
        assert_eq!((report.cumulative_lost, report.highest), (0, 7));
        assert_eq!(reception.totals(), (12, 9), "what was before still counts");
    }
}
