//! Sender reports for subscribers (RFC 3550, section 6.4.1).
//!
//! A subscriber gets the publisher's own pairs of wall clock and timestamp, so that audio and video
//! of one publisher stay in step exactly. Their wall clock is moved to ours by one offset per
//! publisher ([`PublisherClock`]): a slot that carries one publisher after the other stays on one
//! line, which receivers fit over many reports.

use std::time::{Duration, Instant};

use crate::units::NtpTime;

/// One in so many of the distance is followed when reports take longer than before: queueing
/// comes and goes, the shortest path tells the clocks apart.
const RISE: i64 = 64;
/// Offsets further apart are a stepped clock: start anew (10 s in 32.32).
const STEP: u64 = 10 << 32;

/// Offset between the wall clock of one publisher and ours, transit included.
#[derive(Debug, Clone, Default)]
pub struct PublisherClock {
    /// Ours minus theirs, 32.32 seconds.
    offset: Option<i64>,
}

impl PublisherClock {
    /// Learns from any sender report of the publisher and returns its wall clock on our line.
    /// `arrival` is our wall clock when it came.
    pub fn on_sender_report(&mut self, ntp: NtpTime, arrival: NtpTime) -> NtpTime {
        #[expect(clippy::cast_possible_wrap, reason = "the signed distance is what is wanted")]
        let sample = arrival.0.wrapping_sub(ntp.0) as i64;
        let offset = match self.offset {
            Some(offset) if sample.abs_diff(offset) < STEP && sample > offset => {
                offset + (sample - offset) / RISE
            }
            // First, shorter than ever, or stepped.
            _ => sample,
        };
        self.offset = Some(offset);
        NtpTime(ntp.0.wrapping_add_signed(offset))
    }

    /// A time on the publisher's wall clock, moved to ours. None before its first report.
    #[must_use]
    pub fn to_ours(&self, ntp: NtpTime) -> Option<NtpTime> {
        Some(NtpTime(ntp.0.wrapping_add_signed(self.offset?)))
    }
}

/// The newest sender report of one source: the same moment on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceClock {
    /// Wall clock, moved to our line by [`PublisherClock`].
    pub ntp: NtpTime,
    /// The source's timestamp.
    pub rtp: u32,
    /// When the report came.
    pub arrival: Instant,
}

/// How timestamps of an outgoing stream belong to wall clock.
#[derive(Debug, Clone, Copy)]
pub enum Mapping {
    /// By the source's own report; `shift` is what is added to its timestamps.
    Source {
        /// Newest report of the source that is forwarded.
        clock: SourceClock,
        /// Output timestamp minus source timestamp.
        shift: u32,
    },
    /// By the time of sending, for sources without a report.
    Sending {
        /// Our wall clock now.
        ntp: NtpTime,
    },
}

/// The sender's part of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// Wall clock.
    pub ntp: NtpTime,
    /// The same moment as output timestamp.
    pub rtp: u32,
    /// Packets sent, modulo 2^32.
    pub packets: u32,
    /// Payload bytes sent, modulo 2^32.
    pub octets: u32,
}

/// Counters and report clock of one outgoing SSRC.
#[derive(Debug)]
pub struct Sender {
    clock_rate: u32,
    packets: u32,
    octets: u32,
    /// Newest timestamp sent, and when.
    last_sent: Option<(u32, Instant)>,
    last_report: Option<(NtpTime, u32)>,
}

impl Sender {
    /// `clock_rate` in ticks per second.
    #[must_use]
    pub fn new(clock_rate: u32) -> Self {
        Self { clock_rate, packets: 0, octets: 0, last_sent: None, last_report: None }
    }

    /// Counts a packet. `payload_len`: without header and padding; retransmissions belong to
    /// their own SSRC.
    pub fn on_sent(&mut self, timestamp: u32, payload_len: usize, now: Instant) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
        if self.last_sent.is_none_or(|(last, _)| is_after(timestamp, last)) {
            self.last_sent = Some((timestamp, now));
        }
    }

    /// The source changed to another one, whose clock may lie elsewhere.
    pub fn on_switch(&mut self, clock_rate: u32) {
        self.clock_rate = clock_rate;
    }

    /// The report to send now; not while paused. Remember it for round trips
    /// ([`crate::rtt::SentReports`]).
    ///
    /// None before the first packet, and when it would put the receiver's clock back.
    pub fn report(&mut self, mapping: Mapping, now: Instant) -> Option<SenderReport> {
        let (last_timestamp, last_time) = self.last_sent?;
        let (ntp, rtp) = match mapping {
            Mapping::Source { clock, shift } => {
                let elapsed = now.saturating_duration_since(clock.arrival);
                let rtp = clock.rtp.wrapping_add(shift).wrapping_add(self.ticks(elapsed));
                (clock.ntp.plus(elapsed), rtp)
            }
            Mapping::Sending { ntp } => {
                let elapsed = now.saturating_duration_since(last_time);
                (ntp, last_timestamp.wrapping_add(self.ticks(elapsed)))
            }
        };
        let back = self.last_report.is_some_and(|(last_ntp, last_rtp)| {
            !is_after(rtp, last_rtp) || ntp.0.wrapping_sub(last_ntp.0) > u64::MAX / 2
        });
        if back {
            return None;
        }
        self.last_report = Some((ntp, rtp));
        Some(SenderReport { ntp, rtp, packets: self.packets, octets: self.octets })
    }

    /// Newest timestamp sent; 0 before the first.
    #[must_use]
    pub fn last_timestamp(&self) -> u32 {
        self.last_sent.map_or(0, |(timestamp, _)| timestamp)
    }

    /// Packets sent, modulo 2^32.
    #[must_use]
    pub fn packets(&self) -> u32 {
        self.packets
    }

    fn ticks(&self, time: Duration) -> u32 {
        (time.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000) as u32
    }
}

/// Whether a timestamp lies after another, modulo 2^32.
fn is_after(timestamp: u32, other: u32) -> bool {
    matches!(timestamp.wrapping_sub(other), 1..=0x7fff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NTP: NtpTime = NtpTime(4_000_000_000 << 32);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn report_follows_the_source_clock() {
        let start = Instant::now();
        let mut sender = Sender::new(90_000);
        let clock = SourceClock { ntp: NTP, rtp: u32::MAX - 10, arrival: start };
        let mapping = Mapping::Source { clock, shift: 1000 };
        assert_eq!(sender.report(mapping, start), None, "nothing sent yet");
        sender.on_sent(500, 1100, start);
        sender.on_sent(500, 100, start);
        let report = sender.report(mapping, start + ms(100)).unwrap();
        assert_eq!(report.ntp, NTP.plus(ms(100)));
        assert_eq!(report.rtp, 989 + 9000);
        assert_eq!((report.packets, report.octets), (2, 1200));
    }

    #[test]
    fn report_that_goes_back_is_left_out() {
        let start = Instant::now();
        let mut sender = Sender::new(90_000);
        sender.on_sent(500, 1, start);
        let clock = SourceClock { ntp: NTP, rtp: 9000, arrival: start };
        assert!(sender.report(Mapping::Source { clock, shift: 0 }, start).is_some());
        let behind = SourceClock { rtp: 8000, ..clock };
        assert_eq!(sender.report(Mapping::Source { clock: behind, shift: 0 }, start), None);
        let earlier = SourceClock { ntp: NtpTime(NTP.0 - 1), rtp: 9001, arrival: start };
        assert_eq!(sender.report(Mapping::Source { clock: earlier, shift: 0 }, start), None);
        assert!(sender.report(Mapping::Source { clock, shift: 0 }, start + ms(1)).is_some());
    }

    #[test]
    fn source_without_reports_uses_the_time_of_sending() {
        let start = Instant::now();
        let mut sender = Sender::new(48_000);
        sender.on_sent(960, 80, start);
        sender.on_sent(0, 80, start + ms(5)); // late
        let report = sender.report(Mapping::Sending { ntp: NTP }, start + ms(10)).unwrap();
        assert_eq!((report.ntp, report.rtp), (NTP, 960 + 480));
    }

    #[test]
    fn publisher_clock_follows_the_shortest_path() {
        let mut clock = PublisherClock::default();
        let theirs = |at_ms: u64| NtpTime(0).plus(ms(at_ms));
        let ours = |at_ms: u64| NTP.plus(ms(at_ms));
        assert_eq!(clock.on_sender_report(theirs(0), ours(30)), ours(30));
        assert_eq!(clock.on_sender_report(theirs(1000), ours(1020)), ours(1020));
        // 64 ms of queueing move it by one millisecond only.
        let moved = clock.on_sender_report(theirs(2000), ours(2084));
        assert!(moved.since(ours(2020)).abs_diff(ms(1)) < Duration::from_micros(1));
        // A clock stepped by an hour starts anew.
        assert_eq!(clock.on_sender_report(theirs(3_603_000), ours(3020)), ours(3020));
    }

    #[test]
    fn two_tracks_of_one_publisher_keep_their_distance() {
        let mut clock = PublisherClock::default();
        let audio = clock.on_sender_report(NtpTime(0), NTP);
        let video = clock.on_sender_report(NtpTime(0).plus(ms(500)), NTP.plus(ms(540)));
        assert!(video.since(audio).abs_diff(ms(500)) < ms(1));
    }
}
