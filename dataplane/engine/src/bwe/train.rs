//! A bottleneck seen in one frame.
//!
//! A frame's packets leave within milliseconds and pass the bottleneck one after the other: how far
//! apart they arrive is what the path takes (packet dispersion). When that is suddenly much less
//! than the estimate, there is no need to wait for a queue.

use std::time::{Duration, Instant};

use crate::pacer::MIN_PROBE_SIZE;
use crate::units::{Bitrate, DataSize};

/// Packets that leave so soon after the one before are of one train.
const MAX_GAP: Duration = Duration::from_millis(10);
/// Fewer may be chance, and voices alone (below [`MIN_PROBE_SIZE`]) say nothing of the rate of a path.
const MIN_PACKETS: usize = 4;
/// Stretched by so much on the way, the largest gap left out: a pause of the path is one gap, and
/// jitter lets a train's packets arrive together.
const MIN_STRETCH: Duration = Duration::from_millis(70);
/// Of the estimate: less than this is a change of the path.
const MUCH_LESS: f64 = 0.6;

/// Packets behind one another in a full queue arrive each after the time that its own bytes take:
/// rates of single gaps are within this factor of their mean, and no gap is left out.
const EVEN: f64 = 1.6;
/// So few will do then, ...
const MIN_EVEN_PACKETS: usize = 3;
/// ... if the last was late, and they take so much longer, and so many times as long, to arrive as
/// they took to leave.
const MIN_EVEN_STRETCH: Duration = Duration::from_millis(40);
const EVEN_STRETCH: f64 = 2.0;

/// Looks at packets in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Train {
    even: Even,
    first: Option<(Instant, Duration)>,
    last: Option<(Instant, Duration)>,
    packets: usize,
    /// Of all but the first.
    bytes: usize,
    largest_gap: Duration,
}

impl Train {
    pub(super) fn add(&mut self, sent: Instant, arrival: Duration, size: usize) {
        self.even.add(sent, arrival, size);
        let Some((last_sent, last_arrival)) = self.last.replace((sent, arrival)) else {
            self.first = Some((sent, arrival));
            self.packets = 1;
            return;
        };
        let apart = sent.saturating_duration_since(last_sent);
        if apart > MAX_GAP {
            let even = std::mem::take(&mut self.even);
            *self = Self { even, last: self.last, first: self.last, packets: 1, ..Self::default() };
            return;
        }
        self.packets += 1;
        self.bytes += size;
        self.largest_gap = self.largest_gap.max(arrival.saturating_sub(last_arrival));
    }

    /// What the path takes, if this train says that it is much less than the estimate. `late`: its
    /// last packet was longer under way than the usual scatter explains.
    pub(super) fn limit(&self, estimate: Bitrate, late: bool) -> Option<Bitrate> {
        let even = self.even.rate().filter(|_| late);
        let rate = even.or_else(|| self.rate())?;
        (rate < estimate * MUCH_LESS).then_some(rate)
    }

    fn rate(&self) -> Option<Bitrate> {
        let ((first_sent, first_arrival), (last_sent, last_arrival)) = (self.first?, self.last?);
        let arriving = last_arrival.saturating_sub(first_arrival);
        let sending = last_sent.saturating_duration_since(first_sent);
        let stretch = arriving.saturating_sub(self.largest_gap).saturating_sub(sending);
        let small = self.bytes < self.packets * MIN_PROBE_SIZE;
        if self.packets < MIN_PACKETS || small || stretch < MIN_STRETCH {
            return None;
        }
        Some(DataSize::of(self.bytes).per(arriving))
    }
}

/// The newest packets of a train that arrived in order and evenly.
#[derive(Debug, Default)]
struct Even {
    first: Option<(Instant, Duration)>,
    last: Option<(Instant, Duration)>,
    packets: usize,
    /// Of all but the first.
    bytes: usize,
}

impl Even {
    fn add(&mut self, sent: Instant, arrival: Duration, size: usize) {
        let (now, mean) = ((sent, arrival), self.mean());
        let Some(last) = self.last.replace(now) else {
            *self = Self { first: Some(now), last: Some(now), packets: 1, bytes: 0 };
            return;
        };
        let gap = arrival.saturating_sub(last.1);
        let apart = sent.saturating_duration_since(last.0);
        if sent < last.0 || apart > MAX_GAP || gap.is_zero() {
            *self = Self { first: Some(now), last: Some(now), packets: 1, bytes: 0 };
            return;
        }
        let own = DataSize::of(size).per(gap);
        let fits = |rate: Bitrate| own < rate * EVEN && rate < own * EVEN;
        if mean.is_none_or(fits) {
            self.packets += 1;
            self.bytes += size;
        } else {
            *self = Self { first: Some(last), last: Some(now), packets: 2, bytes: size };
        }
    }

    fn mean(&self) -> Option<Bitrate> {
        let arriving = self.last?.1.saturating_sub(self.first?.1);
        (self.packets > 1).then(|| DataSize::of(self.bytes).per(arriving))
    }

    /// How fast they arrived, if that is slower than they left.
    fn rate(&self) -> Option<Bitrate> {
        let ((first_sent, first_arrival), (last_sent, last_arrival)) = (self.first?, self.last?);
        let arriving = last_arrival.saturating_sub(first_arrival);
        let sending = last_sent.saturating_duration_since(first_sent);
        let least = (sending + MIN_EVEN_STRETCH).max(sending.mul_f64(EVEN_STRETCH));
        let enough =
            self.packets >= MIN_EVEN_PACKETS && self.bytes >= self.packets * MIN_PROBE_SIZE;
        (enough && arriving >= least).then(|| DataSize::of(self.bytes).per(arriving))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);
    const ESTIMATE: Bitrate = Bitrate::mbps(2);

    /// A frame of nine packets; gives how many had arrived when the limit was seen.
    fn frame(train: &mut Train, sent: Instant, arrivals: impl Fn(u32) -> Duration) -> Option<u32> {
        (0..9_u32).find(|at| {
            train.add(sent + MS * *at, arrivals(*at), 1100);
            train.limit(ESTIMATE, false).is_some()
        })
    }

    #[test]
    fn a_cut_shows_in_the_first_frame() {
        let (mut train, start) = (Train::default(), Instant::now());
        assert_eq!(frame(&mut train, start, |at| at * 4 * MS), None);
        let later = start + 50 * MS;
        assert_eq!(frame(&mut train, later, |at| 50 * MS + at * 30 * MS), Some(4));
        let rate = train.limit(ESTIMATE, false).unwrap();
        assert!(rate > Bitrate::kbps(280) && rate < Bitrate::kbps(300), "{rate}");
    }

    #[test]
    fn a_pause_of_the_path_is_no_limit() {
        let (mut train, start) = (Train::default(), Instant::now());
        let seen = frame(&mut train, start, |at| if at < 4 { at * MS } else { 150 * MS + at * MS });
        assert_eq!(seen, None);
    }

    #[test]
    fn packets_that_left_apart_say_nothing() {
        let (mut train, start) = (Train::default(), Instant::now());
        for at in 0..100_u32 {
            train.add(start + 20 * MS * at, 25 * MS * at, 150);
            assert_eq!(train.limit(ESTIMATE, false), None);
        }
    }

    #[test]
    fn the_usual_spread_of_a_frame_is_no_limit() {
        let (mut train, start) = (Train::default(), Instant::now());
        for at in 0..100_u32 {
            let sent = start + 50 * MS * at;
            assert_eq!(frame(&mut train, sent, |i| 50 * MS * at + 5 * MS * i), None);
        }
    }

    /// Packets that leave 5 ms after one another; gives what was seen at each.
    fn seen(arrivals: &[u32], late: bool) -> Vec<bool> {
        let (mut train, start) = (Train::default(), Instant::now());
        let each = arrivals.iter().zip(0..).map(|(arrival, at)| {
            train.add(start + 5 * MS * at, *arrival * MS, 1100);
            train.limit(ESTIMATE, late).is_some()
        });
        each.collect()
    }

    #[test]
    fn two_even_gaps_of_late_packets_are_enough() {
        assert_eq!(seen(&[0, 4, 8, 38, 68, 98], true), [false, false, false, false, true, true]);
        assert_eq!(seen(&[0, 4, 8, 38, 68], false), [false; 5], "not late");
        assert_eq!(seen(&[0, 4, 8, 20, 68], true), [false; 5], "not even");
        assert_eq!(seen(&[0, 15, 30, 45], true), [false; 4], "not slow");
    }

    #[test]
    fn voices_that_come_ever_later_say_nothing() {
        let (mut train, start) = (Train::default(), Instant::now());
        for at in 0..20_u32 {
            train.add(start + 7 * MS * at, 40 * MS * at, 150);
            assert_eq!(train.limit(ESTIMATE, true), None);
        }
        for at in 0..20_u32 {
            train.add(start + S + 20 * MS * at, S + 60 * MS * at, 1100);
            assert_eq!(train.limit(ESTIMATE, true), None, "left too far apart");
        }
    }
}
