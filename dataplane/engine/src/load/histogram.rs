//! A histogram of durations with constant relative error: 16 linear steps per power of two.

use std::time::Duration;

/// log2 of the linear steps in each power of two: quantiles are right within 1/16.
const STEP_BITS: u32 = 4;
const STEPS: usize = 1 << STEP_BITS;
/// Powers of two kept: up to 2^27 us, 134 s; what is longer counts in the last bucket.
const OCTAVES: usize = 24;
const BUCKETS: usize = (OCTAVES + 1) * STEPS;

/// Counts of durations in microseconds. Recording allocates nothing.
#[derive(Clone)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0, max_us: 0 }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram")
            .field("total", &self.total)
            .field("p50_us", &self.quantile_us(0.5))
            .field("p99_us", &self.quantile_us(0.99))
            .field("max_us", &self.max_us)
            .finish()
    }
}

impl Histogram {
    /// Counts one duration `times` times.
    pub fn record(&mut self, duration: Duration, times: u64) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.record_value(us, times);
    }

    /// Counts a plain number, for histograms of sizes instead of microseconds.
    pub fn record_value(&mut self, value: u64, times: u64) {
        self.counts[bucket(value)] += times;
        self.total += times;
        self.max_us = self.max_us.max(value);
    }

    /// Adds the counts of another one.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// How many durations were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The longest one, exact.
    #[must_use]
    pub fn max_us(&self) -> u64 {
        self.max_us
    }

    /// Upper bound of the bucket that holds the given share (0.0 to 1.0) of all; 0 when empty.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn quantile_us(&self, share: f64) -> u64 {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_bound(index).min(self.max_us);
            }
        }
        self.max_us
    }

    /// Buckets that hold something, as (upper bound in microseconds, count), shortest first.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let counted = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(index, count)| (upper_bound(index), *count))
    }
}

/// Values below `STEPS` have a bucket each; above, the top bits choose octave and step.
fn bucket(value: u64) -> usize {
    if value < STEPS as u64 {
        return usize::try_from(value).unwrap_or(0);
    }
    let octave = value.ilog2() - STEP_BITS;
    let step = usize::try_from((value >> octave) & (STEPS as u64 - 1)).unwrap_or(0);
    ((octave as usize + 1) * STEPS + step).min(BUCKETS - 1)
}

/// Largest value that lands in the bucket.
fn upper_bound(index: usize) -> u64 {
    if index < STEPS {
        return index as u64;
    }
    let octave = index / STEPS - 1;
    let step = index % STEPS;
    (((STEPS + step + 1) as u64) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_below_the_bound_of_its_bucket_within_a_sixteenth() {
        for value in (0..5_000).chain([65_535, 65_536, 1_000_000, 99_999_999]) {
            let bound = upper_bound(bucket(value));
            assert!(bound >= value, "{value} above {bound}");
            assert!(bound - value <= value / 16, "{value} far below {bound}");
        }
    }

    #[test]
    fn longer_than_the_range_counts_in_the_last_bucket() {
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_a_known_distribution() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_us(0.99), 0);
        for us in 1..=1000 {
            histogram.record(Duration::from_micros(us), 1);
        }
        assert!((500..=532).contains(&histogram.quantile_us(0.5)));
        assert!((990..=1000).contains(&histogram.quantile_us(0.99)));
        assert_eq!(histogram.quantile_us(1.0), 1000);
        assert_eq!(histogram.total(), 1000);
    }

    #[test]
    fn merging_adds_counts_and_keeps_the_maximum() {
        let (mut one, mut two) = (Histogram::default(), Histogram::default());
        one.record(Duration::from_micros(10), 3);
        two.record(Duration::from_millis(10), 1);
        one.merge(&two);
        assert_eq!((one.total(), one.max_us()), (4, 10_000));
        assert_eq!(one.buckets().map(|(_, count)| count).sum::<u64>(), 4);
    }
}
