//! The lowest budget of the last seconds: what has held for a while will hold a little longer.

use std::time::{Duration, Instant};

/// How long a budget must have held before more is built on it. The reference has 5 s; with a probe
/// every 5 s and one window for each of two steps that brings the top layer back too late.
pub(super) const SPAN: Duration = Duration::from_secs(3);
/// The window moves in such steps.
const BUCKET: Duration = Duration::from_millis(500);
const BUCKETS: usize = (SPAN.as_millis() / BUCKET.as_millis()) as usize;

/// Minimum over [`SPAN`], to the length of a bucket.
#[derive(Debug)]
pub(super) struct Lowest {
    buckets: [i64; BUCKETS],
    current: i64,
    began: Option<Instant>,
}

impl Default for Lowest {
    fn default() -> Self {
        Self { buckets: [i64::MAX; BUCKETS], current: i64::MAX, began: None }
    }
}

impl Lowest {
    pub(super) fn add(&mut self, value: i64, now: Instant) {
        let began = *self.began.get_or_insert(now);
        let passed = now.saturating_duration_since(began).as_nanos() / BUCKET.as_nanos();
        if passed >= BUCKETS as u128 {
            // A gap: the last known value held all the while.
            self.buckets = [self.current; BUCKETS];
        } else {
            for _ in 0..passed {
                self.buckets.rotate_right(1);
                self.buckets[0] = self.current;
            }
        }
        if passed > 0 {
            self.began = Some(began + BUCKET * u32::try_from(passed).unwrap_or(u32::MAX));
            self.current = value;
        }
        self.current = self.current.min(value);
    }

    pub(super) fn get(&self) -> i64 {
        self.buckets.iter().copied().fold(self.current, i64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dip_is_remembered_for_the_span() {
        let (mut lowest, start) = (Lowest::default(), Instant::now());
        let mut forgotten = None;
        for i in 0..100_u32 {
            let at = start + Duration::from_millis(100) * i;
            lowest.add(if i == 20 { 1 } else { 5 }, at);
            if i > 20 && lowest.get() == 5 && forgotten.is_none() {
                forgotten = Some(at - (start + Duration::from_secs(2)));
            }
        }
        let after = forgotten.unwrap();
        assert!(after >= SPAN && after <= SPAN + BUCKET * 2, "{after:?}");
    }

    #[test]
    fn after_silence_the_last_value_counts_and_then_the_new_one() {
        let (mut lowest, start) = (Lowest::default(), Instant::now());
        lowest.add(3, start);
        lowest.add(9, start + Duration::from_secs(60));
        assert_eq!(lowest.get(), 3);
        for i in 1..40_u32 {
            lowest.add(9, start + Duration::from_secs(60) + Duration::from_millis(100) * i);
        }
        assert_eq!(lowest.get(), 9);
    }
}
