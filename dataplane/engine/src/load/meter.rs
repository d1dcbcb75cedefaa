//! What a load test sees of one received track: counts, loss, gaps and latency.

use std::time::{Duration, Instant};

use super::{Histogram, MeterId, Stamp};
use crate::stats::{Table, TableBuilder};

/// Receives the packets of one track. Owns no clock.
#[derive(Debug)]
pub struct Meter {
    epoch: Instant,
    packets: u64,
    bytes: u64,
    unstamped: u64,
    first_seq: Option<u64>,
    highest_seq: u64,
    first_arrival: Option<Instant>,
    last_arrival: Option<Instant>,
    max_gap: Duration,
    gaps_over_60_ms: u64,
    latency: Histogram,
}

/// Figures of a [`Meter`] since it began.
#[derive(Clone, Debug, Default)]
pub struct MeterStats {
    /// Packets received.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets missing from the received range of sequence numbers, as of now.
    pub lost: u64,
    /// Packets without a stamp: not from a generator.
    pub unstamped: u64,
    /// Longest time between two packets.
    pub max_gap_us: u64,
    /// Times between two packets above 60 ms, where an ear hears it.
    pub gaps_over_60_ms: u64,
    /// First packet, in microseconds since the epoch of the plane.
    pub first_arrival_us: u64,
    /// From the generator's clock to ours.
    pub latency: Histogram,
}

/// Above this a gap in 20 ms audio outlasts an ordinary jitter buffer (DESIGN section 1).
const AUDIBLE_GAP: Duration = Duration::from_millis(60);

impl Meter {
    /// `epoch` is the one that the generators stamp with.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            packets: 0,
            bytes: 0,
            unstamped: 0,
            first_seq: None,
            highest_seq: 0,
            first_arrival: None,
            last_arrival: None,
            max_gap: Duration::ZERO,
            gaps_over_60_ms: 0,
            latency: Histogram::default(),
        }
    }

    /// Counts one packet. `ext_seq` is its sequence number with the cycles in front.
    pub fn handle_packet(&mut self, ext_seq: u64, payload: &[u8], now: Instant) {
        self.packets += 1;
        self.bytes += payload.len() as u64;
        let first = *self.first_seq.get_or_insert(ext_seq);
        self.first_seq = Some(first.min(ext_seq));
        self.highest_seq = self.highest_seq.max(ext_seq);
        if let Some(last) = self.last_arrival {
            let gap = now.saturating_duration_since(last);
            self.max_gap = self.max_gap.max(gap);
            self.gaps_over_60_ms += u64::from(gap > AUDIBLE_GAP);
        }
        self.first_arrival.get_or_insert(now);
        self.last_arrival = Some(now);
        match Stamp::read(payload) {
            Some(stamp) => self.latency.record(stamp.age(self.epoch, now), 1),
            None => self.unstamped += 1,
        }
    }

    /// The figures so far. A gap still open at `now` counts.
    #[must_use]
    pub fn stats(&self, now: Instant) -> MeterStats {
        let expected = self.first_seq.map_or(0, |first| self.highest_seq - first + 1);
        let open_gap =
            self.last_arrival.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let first_arrival = self.first_arrival.unwrap_or(self.epoch);
        MeterStats {
            packets: self.packets,
            bytes: self.bytes,
            lost: expected.saturating_sub(self.packets),
            unstamped: self.unstamped,
            max_gap_us: micros(self.max_gap.max(open_gap)),
            gaps_over_60_ms: self.gaps_over_60_ms,
            first_arrival_us: micros(first_arrival.saturating_duration_since(self.epoch)),
            latency: self.latency.clone(),
        }
    }
}

/// Tables `meters`, a row each, and `meter_latency`, the histogram of all of them together.
pub(crate) fn tables<'a>(
    meters: impl Iterator<Item = (MeterId, &'a Meter)>,
    now: Instant,
) -> [Table; 2] {
    let mut rows = TableBuilder::new("meters");
    let mut all = Histogram::default();
    for (id, meter) in meters {
        let stats = meter.stats(now);
        rows.row()
            .count("meter", id.0)
            .count("packets", stats.packets)
            .count("bytes", stats.bytes)
            .count("lost", stats.lost)
            .count("unstamped", stats.unstamped)
            .count("max_gap_us", stats.max_gap_us)
            .count("gaps_over_60_ms", stats.gaps_over_60_ms)
            .count("first_arrival_us", stats.first_arrival_us)
            .count("latency_p50_us", stats.latency.quantile_us(0.5))
            .count("latency_p99_us", stats.latency.quantile_us(0.99))
            .count("latency_max_us", stats.latency.max_us());
        all.merge(&stats.latency);
    }
    let mut buckets = TableBuilder::new("meter_latency");
    for (upper_us, count) in all.buckets() {
        buckets.row().count("upper_us", upper_us).count("count", count);
    }
    [rows.finish(), buckets.finish()]
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(epoch: Instant, sent: Instant, counter: u64) -> Vec<u8> {
        let mut payload = vec![0; 100];
        Stamp::new(epoch, sent, counter).write(&mut payload);
        payload
    }

    #[test]
    fn loss_gap_and_latency_of_a_short_run() {
        let epoch = Instant::now();
        let mut meter = Meter::new(epoch);
        let at = |ms| epoch + Duration::from_millis(ms);
        for (seq, ms) in [(100, 20), (101, 40), (103, 120), (104, 140)] {
            meter.handle_packet(seq, &stamped(epoch, at(ms - 1), seq), at(ms));
        }
        let stats = meter.stats(at(150));
        assert_eq!((stats.packets, stats.lost, stats.unstamped), (4, 1, 0));
        assert_eq!((stats.max_gap_us, stats.gaps_over_60_ms), (80_000, 1));
        assert_eq!(stats.latency.max_us(), 1000);
        assert_eq!(stats.first_arrival_us, 20_000);
    }

    #[test]
    fn reordering_before_the_first_is_no_loss() {
        let epoch = Instant::now();
        let mut meter = Meter::new(epoch);
        for seq in [6, 5, 7] {
            meter.handle_packet(seq, &[0; 8], epoch);
        }
        let stats = meter.stats(epoch);
        assert_eq!((stats.lost, stats.unstamped), (0, 3));
    }

    #[test]
    fn figures_cross_as_a_row_each_and_one_histogram() {
        let epoch = Instant::now();
        let mut meters = [Meter::new(epoch), Meter::new(epoch)];
        for (ms, meter) in [(1, 0), (1, 1), (9, 1)] {
            let now = epoch + Duration::from_millis(ms);
            meters[meter].handle_packet(ms, &stamped(epoch, epoch, 0), now);
        }
        let numbered = meters.iter().enumerate().map(|(id, meter)| (MeterId(id as u64), meter));
        let [rows, latency] = tables(numbered, epoch);
        let column = |table: &Table, name: &str| {
            let found = table.columns.iter().find(|column| column.name == name);
            found.map(|column| column.values.clone())
        };
        use crate::stats::Values::U64;
        assert_eq!(column(&rows, "packets"), Some(U64(vec![1, 2])));
        assert_eq!(column(&rows, "lost"), Some(U64(vec![0, 7])));
        assert_eq!(column(&latency, "count"), Some(U64(vec![2, 1])));
    }

    #[test]
    fn silence_at_the_end_is_a_gap() {
        let epoch = Instant::now();
        let mut meter = Meter::new(epoch);
        assert_eq!(meter.stats(epoch).max_gap_us, 0);
        meter.handle_packet(1, &[], epoch);
        assert_eq!(meter.stats(epoch + Duration::from_secs(1)).max_gap_us, 1_000_000);
    }
}
