//! Maps one rising counter onto another with numbers left out on purpose.
//!
//! The heart of [`crate::seq_map`] (sequence numbers) and of VP8 picture ids. A list of ranges
//! `[first, last] -> shift` says which source numbers exist for the receiver:
//! - a number lost upstream keeps its place, so that the receiver asks for it and a late arrival
//!   fits in;
//! - a number left out on purpose has no place: the numbers behind it move down by one;
//! - one left out only after its place was given leaves a hole that maps to nothing.

use std::collections::VecDeque;
use std::ops::Range;

#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    last: u64,
    /// `out = source + shift`.
    shift: i64,
}

impl Run {
    fn out(&self, src: u64) -> u64 {
        src.wrapping_add_signed(self.shift)
    }
}

/// A bounded, order preserving, invertible map from source to output numbers.
#[derive(Clone, Debug)]
pub(crate) struct OffsetMap {
    ranges: VecDeque<Run>,
    max_ranges: usize,
    /// Highest source number kept or left out.
    highest: u64,
    /// Shift of numbers above `highest`.
    shift: i64,
    /// Where this source began.
    start: u64,
}

impl OffsetMap {
    /// An empty map: nothing has an output number until [`Self::restart`].
    ///
    /// `max_ranges` bounds its memory (24 bytes each, taken at once); beyond it the oldest range
    /// is forgotten. Each run of left out numbers costs one.
    #[must_use]
    pub(crate) fn new(max_ranges: usize) -> Self {
        let max_ranges = max_ranges.max(2);
        Self {
            ranges: VecDeque::with_capacity(max_ranges),
            max_ranges,
            highest: 0,
            shift: 0,
            start: u64::MAX,
        }
    }

    /// Forgets everything and maps `src` to `out`; numbers below `src` map to nothing.
    pub(crate) fn restart(&mut self, src: u64, out: u64) {
        self.ranges.clear();
        self.highest = src.saturating_sub(1);
        self.start = src;
        #[expect(clippy::cast_possible_wrap, reason = "the signed distance is what is wanted")]
        let shift = out.wrapping_sub(src) as i64;
        self.shift = shift;
    }

    /// The output number of a packet that is forwarded, new or late.
    ///
    /// None when it was left out, is older than the map remembers or than its start.
    pub(crate) fn keep(&mut self, src: u64) -> Option<u64> {
        if src < self.start {
            return None;
        }
        if src <= self.highest {
            return self.get(src);
        }
        self.reserve_through(src);
        Some(src.wrapping_add_signed(self.shift))
    }

    /// Leaves a number out. When it is the newest the gap is closed, else it becomes a hole.
    pub(crate) fn exclude(&mut self, src: u64) {
        if src < self.start {
            return;
        }
        if src > self.highest {
            self.reserve_through(src - 1);
            self.highest = src;
            self.shift -= 1;
            return;
        }
        let at = self.ranges.partition_point(|range| range.last < src);
        let Some(range) = self.ranges.get(at).copied().filter(|range| range.first <= src) else {
            return;
        };
        self.ranges.remove(at);
        if src < range.last {
            self.insert(at, Run { first: src + 1, ..range });
        }
        if range.first < src {
            self.insert(at, Run { last: src - 1, ..range });
        }
    }

    /// Leaves out numbers in a row, all above [`Self::highest`].
    pub(crate) fn exclude_new(&mut self, numbers: Range<u64>) {
        let Range { start: first, end } = numbers;
        debug_assert!(first > self.highest);
        if first >= self.start && first < end {
            self.reserve_through(first - 1);
            self.highest = end - 1;
            self.shift = self.shift.wrapping_sub_unsigned(end - first);
        }
    }

    /// The output number of a source number already handled, or reserved in a gap.
    #[must_use]
    pub(crate) fn get(&self, src: u64) -> Option<u64> {
        let at = self.ranges.partition_point(|range| range.last < src);
        let range = self.ranges.get(at).filter(|range| range.first <= src)?;
        Some(range.out(src))
    }

    /// The source number behind an output number; the inverse of [`Self::get`].
    #[must_use]
    pub(crate) fn source_of(&self, out: u64) -> Option<u64> {
        let at = self.ranges.partition_point(|range| range.out(range.last) < out);
        let range = self.ranges.get(at).filter(|range| range.out(range.first) <= out)?;
        Some(out.wrapping_add_signed(-range.shift))
    }

    /// Highest source number kept or left out since [`Self::restart`].
    #[must_use]
    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    /// Oldest source number that still has a place.
    #[must_use]
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.ranges.front().map(|range| range.first)
    }

    /// Gives every number above `highest` up to `src` its place.
    fn reserve_through(&mut self, src: u64) {
        if src <= self.highest {
            return;
        }
        match self.ranges.back_mut() {
            Some(range) if range.last == self.highest && range.shift == self.shift => {
                range.last = src;
            }
            _ => {
                let range = Run { first: self.highest + 1, last: src, shift: self.shift };
                self.insert(self.ranges.len(), range);
            }
        }
        self.highest = src;
    }

    fn insert(&mut self, at: usize, range: Run) {
        let full = self.ranges.len() == self.max_ranges;
        if full {
            self.ranges.pop_front();
        }
        self.ranges.insert(at.saturating_sub(usize::from(full)), range);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_a_place_before_the_start() {
        let mut map = OffsetMap::new(4);
        assert_eq!(map.keep(10), None);
        map.restart(10, 100);
        assert_eq!(map.keep(9), None);
        assert_eq!(map.keep(10), Some(100));
    }

    #[test]
    fn late_exclusion_splits_a_range() {
        let mut map = OffsetMap::new(8);
        map.restart(10, 100);
        map.keep(10);
        map.keep(14);
        map.exclude(12);
        assert_eq!(
            [10, 11, 12, 13, 14].map(|src| map.get(src)),
            [Some(100), Some(101), None, Some(103), Some(104)]
        );
        assert_eq!(map.source_of(102), None);
        assert_eq!(map.source_of(103), Some(13));
        map.exclude(14);
        assert_eq!(map.keep(15), Some(105), "the place of 14 was given already");
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_range_goes_first() {
        let mut map = OffsetMap::new(4);
        map.restart(0, 0);
        for src in 0..100 {
            if src % 2 == 0 {
                map.keep(src);
            } else {
                map.exclude(src);
            }
        }
        assert_eq!(map.ranges.len(), 4);
        assert_eq!(map.get(98), Some(49));
        assert_eq!(map.get(90), None);
        assert_eq!(map.source_of(49), Some(98));
    }
}
