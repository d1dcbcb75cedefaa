//! Records when packets arrived, for transport-wide congestion control feedback to a publisher
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01). One recorder per transport.
//!
//! Feed it only packets that passed authentication, retransmissions and probes included.

use std::time::{Duration, Instant};

use crate::rtcp::Arrival;
use crate::seq_num::SeqUnwrapper;

/// Time between reports while packets keep coming ...
const INTERVAL: Duration = Duration::from_millis(50);
/// ... at least so many: video and a voice over 300 kbit/s are four. A voice alone is fewer.
const ENOUGH: usize = 3;
/// Time after which even one packet is reported.
const MAX_INTERVAL: Duration = Duration::from_millis(100);
/// Numbers remembered, and the longest report; at 1000 packets/s half a second. Power of two.
const WINDOW: u64 = 512;
/// A report is due at once when so many numbers wait: half of the window.
const MANY: u64 = WINDOW / 2;

/// One report's worth of arrivals, as [`crate::rtcp::build_twcc`] takes them.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrivals<'a> {
    /// First number to report on; what is not among `received` from here on is lost.
    pub base: u64,
    /// What arrived, ascending by number, in microseconds since the recorder's epoch.
    pub received: &'a [Arrival],
    /// Feedback packet count, to be raised by the builder with each packet it makes.
    pub count: &'a mut u8,
}

/// Arrivals of one transport by transport-wide sequence number.
#[derive(Debug)]
pub struct Recorder {
    numbers: SeqUnwrapper,
    /// By number modulo [`WINDOW`]; valid between `highest - WINDOW` and `highest`.
    arrived: Box<[Option<Instant>]>,
    highest: Option<u64>,
    /// First number of the next report: after the last one reported, or a late one before it.
    next: u64,
    /// Packets that came since the last report.
    pending: usize,
    /// Last report, or the first packet after a silence.
    since: Option<Instant>,
    count: u8,
    scratch: Vec<Arrival>,
    epoch: Instant,
}

impl Recorder {
    /// `epoch` lies before all arrivals; any moment at the start of the process.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        Self {
            numbers: SeqUnwrapper::default(),
            arrived: vec![None; WINDOW as usize].into(),
            highest: None,
            next: 0,
            pending: 0,
            since: None,
            count: 0,
            scratch: Vec::with_capacity(WINDOW as usize),
            epoch,
        }
    }

    /// A packet with this number arrived. Duplicates keep the first time.
    pub fn on_packet(&mut self, seq: u16, arrival: Instant) {
        let number = self.numbers.unwrap(seq);
        match self.highest {
            None => {
                self.next = number;
                self.highest = Some(number);
            }
            Some(highest) if number > highest => self.advance(highest, number),
            Some(highest) if highest - number >= WINDOW => return,
            Some(_) => {}
        }
        let place = &mut self.arrived[Self::index(number)];
        if place.is_some() {
            return;
        }
        *place = Some(arrival);
        if self.pending == 0 {
            // After a silence the first packet waits for company as long as any other.
            let earliest = arrival.checked_sub(INTERVAL);
            self.since =
                Some(self.since.map_or(arrival, |since| earliest.map_or(since, |e| since.max(e))));
        }
        self.pending += 1;
        // A late one is reported again, with what followed it.
        self.next = self.next.min(number);
    }

    /// When [`Self::take`] has a report.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (since, highest) = (self.since?, self.highest?);
        if self.pending == 0 {
            return None;
        }
        if highest.saturating_sub(self.next) >= MANY {
            return Some(since);
        }
        Some(since + if self.pending >= ENOUGH { INTERVAL } else { MAX_INTERVAL })
    }

    /// The report that is due, if one is.
    pub fn take(&mut self, now: Instant) -> Option<Arrivals<'_>> {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return None;
        }
        let highest = self.highest?;
        let first = self.next.max(highest.saturating_sub(WINDOW - 1));
        self.scratch.clear();
        for number in first..=highest {
            if let Some(arrival) = self.arrived[Self::index(number)] {
                let at = arrival.saturating_duration_since(self.epoch);
                self.scratch.push(Arrival { sequence: number, at_us: at.as_micros() as i64 });
            }
        }
        self.next = highest + 1;
        self.pending = 0;
        self.since = Some(now);
        Some(Arrivals { base: first, received: &self.scratch, count: &mut self.count })
    }

    fn advance(&mut self, highest: u64, number: u64) {
        if number - highest >= WINDOW {
            // A jump: what came before is too far away to share a report.
            self.arrived.fill(None);
            self.next = number;
            self.pending = 0;
        } else {
            for entering in highest + 1..=number {
                self.arrived[Self::index(entering)] = None;
            }
        }
        self.highest = Some(number);
    }

    fn index(number: u64) -> usize {
        (number % WINDOW) as usize
    }
}

#[cfg(test)]
mod tests {
    use crate::rtcp::build_twcc;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Base and numbers received, as on the wire.
    fn take(recorder: &mut Recorder, now: Instant) -> Option<(u16, Vec<u16>)> {
        let arrivals = recorder.take(now)?;
        let received = arrivals.received.iter().map(|arrival| arrival.sequence as u16);
        Some((arrivals.base as u16, received.collect()))
    }

    #[test]
    fn many_packets_are_reported_after_50_ms_and_few_after_100() {
        let start = Instant::now();
        let mut recorder = Recorder::new(start);
        assert_eq!(recorder.poll_timeout(), None);
        recorder.on_packet(1, start);
        assert_eq!(recorder.poll_timeout(), Some(start + ms(100)));
        for seq in 2..=10 {
            recorder.on_packet(seq, start + ms(seq.into()));
        }
        assert_eq!(recorder.poll_timeout(), Some(start + ms(50)));
        assert_eq!(take(&mut recorder, start + ms(49)), None);
        assert_eq!(take(&mut recorder, start + ms(50)), Some((1, (1..=10).collect())));
        assert_eq!(take(&mut recorder, start + ms(200)), None, "nothing new");
    }

    #[test]
    fn lost_packets_between_reports_are_not_received_and_wrap() {
        let start = Instant::now();
        let mut recorder = Recorder::new(start);
        recorder.on_packet(65_534, start);
        assert_eq!(take(&mut recorder, start + ms(100)), Some((65_534, vec![65_534])));
        recorder.on_packet(1, start + ms(110));
        let report = Some((65_535, vec![1]));
        assert_eq!(take(&mut recorder, start + ms(200)), report, "goes on where the last ended");
        recorder.on_packet(2, start + ms(210));
        recorder.on_packet(4, start + ms(211));
        assert_eq!(take(&mut recorder, start + ms(300)), Some((2, vec![2, 4])));
    }

    #[test]
    fn late_packet_is_reported_with_what_followed_it() {
        let start = Instant::now();
        let mut recorder = Recorder::new(start);
        for seq in [10, 12, 13] {
            recorder.on_packet(seq, start);
        }
        assert_eq!(take(&mut recorder, start + ms(100)), Some((10, vec![10, 12, 13])));
        recorder.on_packet(11, start + ms(120));
        recorder.on_packet(14, start + ms(121));
        assert_eq!(take(&mut recorder, start + ms(200)), Some((11, vec![11, 12, 13, 14])));
    }

    #[test]
    fn duplicates_keep_the_first_time_and_trigger_nothing() {
        let start = Instant::now();
        let mut recorder = Recorder::new(start);
        recorder.on_packet(5, start);
        recorder.on_packet(5, start + ms(9));
        let report = recorder.take(start + ms(100)).unwrap();
        assert_eq!(report.received.iter().map(|one| one.at_us).collect::<Vec<_>>(), [0]);
        recorder.on_packet(5, start + ms(130));
        assert_eq!(recorder.poll_timeout(), None);
    }

    #[test]
    fn reports_can_be_built_and_read_back() {
        let start = Instant::now();
        let mut recorder = Recorder::new(start);
        for (seq, at) in [(65_535, 0), (1, 10), (2, 9_010)] {
            recorder.on_packet(seq, start + ms(at));
        }
        let report = recorder.take(start + ms(9100)).unwrap();
        let packets = build_twcc(1, 2, report.count, report.base, report.received);
        assert_eq!(packets.len(), 2, "a delta over 8.19 s starts a new packet");
        recorder.on_packet(3, start + ms(9_200));
        assert_eq!(recorder.take(start + ms(9_300)).map(|report| *report.count), Some(2));
    }

    #[test]
    fn window_is_bounded() {
        let start = Instant::now();
        let mut recorder = Recorder::new(start);
        for seq in 0..1000u16 {
            recorder.on_packet(seq, start);
        }
        assert_eq!(recorder.poll_timeout(), Some(start), "overdue");
        let (base, received) = take(&mut recorder, start).unwrap();
        assert_eq!((base, received.len()), (488, 512));
        recorder.on_packet(10, start);
        assert_eq!(recorder.poll_timeout(), None, "too late to report");
        recorder.on_packet(9000, start);
        assert_eq!(take(&mut recorder, start + ms(100)), Some((9000, vec![9000])));
    }

    #[test]
    fn first_packet_after_a_silence_waits_for_company() {
        let start = Instant::now();
        let mut recorder = Recorder::new(start);
        recorder.on_packet(1, start);
        recorder.take(start + ms(100));
        recorder.on_packet(2, start + ms(5000));
        assert_eq!(recorder.poll_timeout(), Some(start + ms(5050)));
    }
}
