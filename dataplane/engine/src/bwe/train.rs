//! A bottleneck seen in one frame.
//!
//! A frame's packets leave within milliseconds and pass the bottleneck one after the other: how far
//! apart they arrive is what the path takes (packet dispersion). When that is suddenly much less
//! than the estimate, there is no need to wait for a queue.

use std::time::{Duration, Instant};

use crate::units::{Bitrate, DataSize};

/// Packets that leave so soon after the one before are of one train.
const MAX_GAP: Duration = Duration::from_millis(10);
/// Fewer may be chance.
const MIN_PACKETS: usize = 4;
/// Stretched by so much on the way, the largest gap left out: a pause of the path is one gap, and
/// jitter lets a train's packets arrive together.
const MIN_STRETCH: Duration = Duration::from_millis(70);
/// Of the estimate: less than this is a change of the path.
const MUCH_LESS: f64 = 0.6;

/// Looks at packets in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Train {
    first: Option<(Instant, Duration)>,
    last: Option<(Instant, Duration)>,
    packets: usize,
    /// Of all but the first.
    bytes: usize,
    largest_gap: Duration,
}

impl Train {
    pub(super) fn add(&mut self, sent: Instant, arrival: Duration, size: usize) {
        let Some((last_sent, last_arrival)) = self.last.replace((sent, arrival)) else {
            self.first = Some((sent, arrival));
            self.packets = 1;
            return;
        };
        let apart = sent.saturating_duration_since(last_sent);
        if apart > MAX_GAP {
            *self = Self { last: self.last, first: self.last, packets: 1, ..Self::default() };
            return;
        }
        self.packets += 1;
        self.bytes += size;
        self.largest_gap = self.largest_gap.max(arrival.saturating_sub(last_arrival));
    }

    /// What the path takes, if this train says that it is much less than the estimate.
    pub(super) fn limit(&self, estimate: Bitrate) -> Option<Bitrate> {
        let ((first_sent, first_arrival), (last_sent, last_arrival)) = (self.first?, self.last?);
        let arriving = last_arrival.saturating_sub(first_arrival);
        let sending = last_sent.saturating_duration_since(first_sent);
        let stretch = arriving.saturating_sub(self.largest_gap).saturating_sub(sending);
        if self.packets < MIN_PACKETS || stretch < MIN_STRETCH {
            return None;
        }
        let rate = DataSize::of(self.bytes).per(arriving);
        (rate < estimate * MUCH_LESS).then_some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const ESTIMATE: Bitrate = Bitrate::mbps(2);

    /// A frame of nine packets; gives how many had arrived when the limit was seen.
    fn frame(train: &mut Train, sent: Instant, arrivals: impl Fn(u32) -> Duration) -> Option<u32> {
        (0..9_u32).find(|at| {
            train.add(sent + MS * *at, arrivals(*at), 1100);
            train.limit(ESTIMATE).is_some()
        })
    }

    #[test]
    fn a_cut_shows_in_the_first_frame() {
        let (mut train, start) = (Train::default(), Instant::now());
        assert_eq!(frame(&mut train, start, |at| at * 4 * MS), None);
        let later = start + 50 * MS;
        assert_eq!(frame(&mut train, later, |at| 50 * MS + at * 30 * MS), Some(4));
        let rate = train.limit(ESTIMATE).unwrap();
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
            assert_eq!(train.limit(ESTIMATE), None);
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
}
