//! One direction of a network path.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::config::LinkConfig;
use crate::loss::Loss;

/// Why a packet did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// The link was down.
    Outage,
    /// The dice.
    Random,
    /// The bottleneck's queue was full, or the policer's bucket empty.
    Queue,
}

/// What the link really did, to compare others' figures with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packets given to `send`.
    pub sent: u64,
    /// Packets taken from `poll`.
    pub delivered: u64,
    /// Bytes taken from `poll`.
    pub delivered_bytes: u64,
    /// Dropped while down.
    pub dropped_outage: u64,
    /// Dropped by the dice.
    pub dropped_random: u64,
    /// Dropped by the full queue.
    pub dropped_queue: u64,
    /// Time all delivered packets spent inside.
    pub delay_sum: Duration,
    /// The longest that one of them waited for the bottleneck.
    pub longest_queue: Duration,
}

impl std::ops::AddAssign for Totals {
    /// Of two links; the longest queue is that of either.
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.delivered_bytes += other.delivered_bytes;
        self.dropped_outage += other.dropped_outage;
        self.dropped_random += other.dropped_random;
        self.dropped_queue += other.dropped_queue;
        self.delay_sum += other.delay_sum;
        self.longest_queue = self.longest_queue.max(other.longest_queue);
    }
}

/// A direction of a link, with its packets on the way.
#[derive(Debug)]
pub struct Link<T> {
    config: LinkConfig,
    loss: Loss,
    jitter: StdRng,
    /// When the bottleneck has sent all it holds.
    free_at: Option<Instant>,
    /// Latest arrival given out so far: without reordering nobody arrives before it.
    last_due: Option<Instant>,
    on_the_way: BinaryHeap<Reverse<Flight<T>>>,
    order: u64,
    totals: Totals,
}

impl<T> Link<T> {
    /// A link at rest. `seed` decides every packet's fate.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            config,
            loss: Loss::new(seed),
            jitter: StdRng::seed_from_u64(!seed),
            free_at: None,
            last_due: None,
            on_the_way: BinaryHeap::new(),
            order: 0,
            totals: Totals::default(),
        }
    }

    /// What it does now.
    pub fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// Changes what it does to packets sent from now on.
    pub fn configure(&mut self, config: LinkConfig) {
        self.config = config;
    }

    /// What it did so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// How long a packet sent now would wait for the bottleneck.
    pub fn queue_delay(&self, now: Instant) -> Duration {
        if self.config.bucket_bytes > 0 { Duration::ZERO } else { self.owed(now) }
    }

    /// How long the bottleneck needs for what it has taken.
    fn owed(&self, now: Instant) -> Duration {
        self.free_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Puts a packet of `size` bytes on the wire.
    ///
    /// # Errors
    /// Why it will never arrive.
    pub fn send(&mut self, packet: T, size: usize, now: Instant) -> Result<(), Drop> {
        self.totals.sent += 1;
        let lost = self.loss.next(self.config.loss, self.config.burst);
        let spread: f64 = self.jitter.random();
        if self.config.down {
            self.totals.dropped_outage += 1;
            return Err(Drop::Outage);
        }
        if lost {
            self.totals.dropped_random += 1;
            return Err(Drop::Random);
        }
        let Some(left_at) = self.pass_bottleneck(size, now) else {
            self.totals.dropped_queue += 1;
            return Err(Drop::Queue);
        };
        let mut due = left_at + self.config.delay + self.config.jitter.mul_f64(2.0 * spread);
        if !self.config.reorder {
            due = self.last_due.map_or(due, |last| due.max(last));
        }
        self.last_due = Some(self.last_due.map_or(due, |last| due.max(last)));
        self.order += 1;
        let order = self.order;
        self.on_the_way.push(Reverse(Flight { due, order, sent: now, size, packet }));
        Ok(())
    }

    /// The next packet that has arrived by `now`, in order of arrival.
    pub fn poll(&mut self, now: Instant) -> Option<T> {
        if self.on_the_way.peek()?.0.due > now {
            return None;
        }
        let flight = self.on_the_way.pop()?.0;
        self.totals.delivered += 1;
        self.totals.delivered_bytes += flight.size as u64;
        self.totals.delay_sum += flight.due.duration_since(flight.sent);
        Some(flight.packet)
    }

    /// When the next packet arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.on_the_way.peek().map(|flight| flight.0.due)
    }

    /// When a packet has left the bottleneck; `None`: its queue is full, or its bucket empty.
    fn pass_bottleneck(&mut self, size: usize, now: Instant) -> Option<Instant> {
        if self.config.rate_bps == 0 {
            return Some(now);
        }
        let wait = self.owed(now);
        let queued = wait.as_secs_f64() * self.config.rate_bps as f64 / 8.0;
        let policed = self.config.bucket_bytes > 0;
        let room = if policed { self.config.bucket_bytes } else { self.config.queue_bytes() };
        if queued as u64 + size as u64 > room.max(size as u64) {
            return None;
        }
        let sending = Duration::from_secs_f64(size as f64 * 8.0 / self.config.rate_bps as f64);
        let left_at = now + wait + sending;
        self.free_at = Some(left_at);
        if policed {
            return Some(now);
        }
        self.totals.longest_queue = self.totals.longest_queue.max(wait);
        Some(left_at)
    }
}

/// A packet between `send` and `poll`; ordered by arrival, then by sending.
#[derive(Debug)]
struct Flight<T> {
    due: Instant,
    order: u64,
    sent: Instant,
    size: usize,
    packet: T,
}

impl<T> PartialEq for Flight<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Flight<T> {}

impl<T> PartialOrd for Flight<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Flight<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn link(text: &str) -> (Link<u32>, Instant) {
        (Link::new(text.parse().unwrap(), 42), Instant::now())
    }

    fn drain(link: &mut Link<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| link.poll(now)).collect()
    }

    #[test]
    fn a_perfect_link_delivers_at_once_and_in_order() {
        let (mut link, now) = link("");
        for i in 0..10 {
            link.send(i, 1200, now).unwrap();
        }
        assert_eq!(drain(&mut link, now), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn delay_is_kept() {
        let (mut link, now) = link("delay_ms=50");
        link.send(1, 100, now).unwrap();
        assert_eq!(link.poll_timeout(), Some(now + 50 * MS));
        assert!(drain(&mut link, now + 49 * MS).is_empty());
        assert_eq!(drain(&mut link, now + 50 * MS), [1]);
    }

    #[test]
    fn a_bottleneck_spaces_packets_and_drops_at_a_full_queue() {
        // 1250 bytes at 1 Mbit/s take 10 ms; 50 ms of queue hold five.
        let (mut link, now) = link("rate=1000000 queue_ms=50");
        let fates: Vec<_> = (0..8).map(|i| link.send(i, 1250, now)).collect();
        assert_eq!(fates.iter().filter(|fate| fate.is_ok()).count(), 5);
        assert_eq!(fates[5], Err(Drop::Queue));
        assert_eq!(drain(&mut link, now + 10 * MS), [0]);
        assert_eq!(drain(&mut link, now + 30 * MS), [1, 2]);
        assert_eq!(link.queue_delay(now + 30 * MS), 20 * MS);
    }

    #[test]
    fn a_policer_drops_what_is_beyond_its_bucket_and_delays_nothing() {
        // 1250 bytes at 1 Mbit/s take 10 ms; the bucket holds four.
        let (mut link, now) = link("rate=1000000 bucket=5000");
        let passed = |link: &mut Link<u32>, now| {
            (0..8).filter(|packet| link.send(*packet, 1250, now).is_ok()).count()
        };
        assert_eq!(passed(&mut link, now), 4);
        assert_eq!(drain(&mut link, now).len(), 4);
        assert_eq!(link.queue_delay(now), Duration::ZERO);
        assert_eq!(passed(&mut link, now + 20 * MS), 2, "what the rate has earned since");
        assert_eq!(passed(&mut link, now + 900 * MS), 4, "and never more than the bucket");
    }

    #[test]
    fn the_rate_is_met_under_overload() {
        let (mut link, start) = link("rate=2000000 queue_ms=300");
        let mut got = 0;
        for ms in 0..10_000 {
            let now = start + ms * MS;
            let _ = link.send(0, 1000, now);
            got += drain(&mut link, now).len();
        }
        let rate = got as f64 * 8000.0 / 10.0;
        assert!((rate / 2_000_000.0 - 1.0).abs() < 0.02, "{rate}");
        assert!(link.totals().longest_queue <= 300 * MS);
    }

    #[test]
    fn jitter_reorders_only_where_it_may() {
        for (text, may) in [("jitter_ms=30", false), ("jitter_ms=30 reorder=1", true)] {
            let (mut link, start) = link(text);
            for i in 0..1000 {
                link.send(i, 100, start + i * MS).unwrap();
            }
            let order = drain(&mut link, start + 10_000 * MS);
            assert_eq!(order.len(), 1000);
            assert_eq!(!order.is_sorted(), may, "{text}");
        }
    }

    #[test]
    fn an_outage_lets_nothing_pass_and_ends() {
        let (mut link, now) = link("down=1");
        assert_eq!(link.send(1, 100, now), Err(Drop::Outage));
        let mut config = *link.config();
        config.update("down=0").unwrap();
        link.configure(config);
        assert_eq!(link.send(2, 100, now), Ok(()));
    }

    #[test]
    fn the_same_seed_gives_the_same_fates() {
        let fates = |seed| {
            let config = "loss=0.1 burst=3 jitter_ms=20 reorder=1".parse().unwrap();
            let (mut link, start) = (Link::new(config, seed), Instant::now());
            for i in 0..500_u32 {
                let _ = link.send(i, 100, start + i * MS);
            }
            drain(&mut link, start + 10_000 * MS)
        };
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
    }

    #[test]
    fn totals_add_up() {
        let (mut link, start) = link("loss=0.1 rate=500000 queue_ms=100 delay_ms=20");
        for i in 0..2000_u32 {
            let _ = link.send(i, 500, start + i * 5 * MS);
        }
        drain(&mut link, start + 60_000 * MS);
        let totals = link.totals();
        let dropped = totals.dropped_random + totals.dropped_queue + totals.dropped_outage;
        assert_eq!(totals.sent, totals.delivered + dropped);
        assert_eq!(totals.delivered_bytes, totals.delivered * 500);
        assert!(totals.delay_sum >= 20 * MS * totals.delivered as u32);
    }
}
