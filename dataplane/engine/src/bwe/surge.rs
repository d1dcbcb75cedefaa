//! A queue that grows too fast to wait for a line through it.
//!
//! A forwarded frame leaves as a burst and makes one group; on a path that was cut to a seventh its
//! packets take 200 ms to arrive, so the trendline has its second point after half a second. Here
//! each packet counts: when several in a row were much longer under way than the quickest lately,
//! the path is full.

use std::time::{Duration, Instant};

/// So much longer than the quickest. Jitter of 60 ms and a frame's own burst stay below.
const EXCESS: Duration = Duration::from_millis(150);
/// So many packets in a row.
const PACKETS: u32 = 3;
/// Late is so much later than the latest of the seconds before, ...
const LATE: Duration = Duration::from_millis(15);
/// ... and in any case what is later than jitter of 60 ms makes it.
const MAX_LATE: Duration = Duration::from_millis(70);
/// The quickest of one to two of these, on the peer's clock.
const WINDOW: Duration = Duration::from_secs(1);

/// Looks at packets in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Surge {
    epoch: Option<Instant>,
    /// Least difference of arrival and departure, in seconds: of this window and the one before.
    least: [Option<f64>; 2],
    began: Duration,
    in_a_row: u32,
    /// How much longer than the quickest the newest packet was under way.
    excess: Duration,
    /// The most of that in this window and the two before.
    most: [Option<Duration>; 3],
    /// When the packet left that was the last to leave of those that have arrived.
    newest: Option<Instant>,
    /// How much later than a packet others left that overtook it, at most, in the same windows.
    overtaken: [Duration; 3],
}

impl Surge {
    pub(super) fn add(&mut self, sent: Instant, arrival: Duration) {
        let epoch = *self.epoch.get_or_insert(sent);
        let departure = sent.saturating_duration_since(epoch);
        let delay_s = arrival.as_secs_f64() - departure.as_secs_f64();
        if arrival.saturating_sub(self.began) >= WINDOW {
            self.began = arrival;
            self.least = [None, self.least[0]];
            self.most = [None, self.most[0], self.most[1]];
            self.overtaken = [Duration::ZERO, self.overtaken[0], self.overtaken[1]];
        }
        self.least[0] = Some(self.least[0].map_or(delay_s, |least| least.min(delay_s)));
        let quickest = self.least.into_iter().flatten().fold(f64::INFINITY, f64::min);
        self.excess = Duration::from_secs_f64((delay_s - quickest).max(0.0));
        self.in_a_row = if self.excess > EXCESS { self.in_a_row + 1 } else { 0 };
        self.most[0] = self.most[0].max(Some(self.excess));
        let newest = *self.newest.insert(self.newest.map_or(sent, |newest| newest.max(sent)));
        self.overtaken[0] = self.overtaken[0].max(newest.saturating_duration_since(sent));
    }

    /// The newest packet was longer under way than the usual scatter explains.
    pub(super) fn is_late(&self) -> bool {
        let usual = self.most[1].max(self.most[2]);
        self.excess >= usual.map_or(MAX_LATE, |most| (most + LATE).min(MAX_LATE))
    }

    /// How far the times on the way scatter, second after second, so that packets overtake each other:
    /// no queue does that.
    pub(super) fn scatter(&self) -> Duration {
        self.overtaken[1].min(self.overtaken[2])
    }

    pub(super) fn is_on(&self) -> bool {
        self.in_a_row >= PACKETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_stretched_frame_is_noticed_before_it_is_complete() {
        let (mut surge, start) = (Surge::default(), Instant::now());
        for i in 0..100_u32 {
            surge.add(start + 10 * i * MS, 10 * i * MS + 500 * MS);
            assert!(!surge.is_on());
        }
        let sent = start + 1000 * MS;
        let noticed = (0..10_u32).find(|i| {
            surge.add(sent, 1500 * MS + 32 * *i * MS);
            surge.is_on()
        });
        assert_eq!(noticed, Some(7), "160, 192 and 224 ms late");
    }

    #[test]
    fn jitter_and_single_late_packets_are_no_surge() {
        let (mut surge, start) = (Surge::default(), Instant::now());
        for i in 0..1000_u32 {
            let jitter = if i % 10 == 0 { 300 } else { i * 7919 % 120 };
            surge.add(start + 10 * i * MS, (10 * i + jitter) * MS);
            assert!(!surge.is_on());
        }
    }

    #[test]
    fn a_longer_path_is_accepted_within_two_seconds() {
        let (mut surge, start) = (Surge::default(), Instant::now());
        for i in 0..400_u32 {
            let path = if i < 100 { 50 } else { 400 };
            surge.add(start + 10 * i * MS, (10 * i + path) * MS);
        }
        assert!(!surge.is_on());
    }

    #[test]
    fn late_is_what_the_seconds_before_do_not_explain() {
        for (jitter_ms, late_ms) in [(10, 26), (40, 56), (100, 71)] {
            let (mut surge, start) = (Surge::default(), Instant::now());
            for i in 0..300_u32 {
                surge.add(start + 10 * i * MS, (10 * i + i % 2 * jitter_ms) * MS);
                assert!(jitter_ms > 70 || !surge.is_late());
            }
            for (ms, late) in [(late_ms - 5, false), (late_ms, true)] {
                surge.add(start + 3000 * MS, (3000 + ms) * MS);
                assert_eq!(surge.is_late(), late, "{jitter_ms} ms: {ms}");
            }
        }
    }

    #[test]
    fn scatter_is_what_overtakes_in_every_second() {
        let (mut surge, start) = (Surge::default(), Instant::now());
        let mut second = |at: u32, late_ms: u32, queue_ms: u32| {
            let mut arrivals: Vec<_> = (100 * at..100 * (at + 1))
                .map(|i| (10 * i + queue_ms + i % 2 * late_ms, 10 * i))
                .collect();
            arrivals.sort_unstable();
            for (arrival, sent) in arrivals {
                surge.add(start + sent * MS, arrival * MS);
            }
            surge.scatter()
        };
        assert_eq!(second(0, 45, 0), Duration::ZERO, "not known yet");
        second(1, 45, 0);
        second(2, 45, 0);
        assert_eq!(
            second(3, 45, 0),
            30 * MS,
            "those 35 ms later overtake, of which every second is late"
        );
        assert_eq!(second(4, 205, 0), 30 * MS, "once");
        second(5, 0, 300);
        second(6, 0, 600);
        assert_eq!(second(7, 0, 900), Duration::ZERO, "a queue");
    }
}
