//! Sequence numbers of one subscriber's copy of a track: contiguous over what we leave out on
//! purpose, with gaps kept where the source lost packets, never used twice.
//!
//! Use per packet of the current source: decide first whether to forward, then call [`SeqMap::map`]
//! or [`SeqMap::exclude`], never both. Start, source switch, resume and restart of the source are
//! all [`SeqMap::switch`]. A NACK is answered through [`SeqMap::source_of`].
//!
//! Giving an output number twice would repeat an AES-GCM nonce, so duplicates are refused here and
//! not only by replay windows: a packet may come on its own SSRC and by RTX (RFC 7714, 8.4).

use std::ops::Range;

use crate::offset_map::OffsetMap;

/// First number of a stream is in 1..=32767: a receiver that misses the packets before the first
/// wrap would guess the wrong rollover counter (RFC 3711, section 3.3.1).
const FIRST_OUT_RANGE: u32 = 32_767;
/// Ranges of a video map; each dropped frame costs one, so about 8 s of dropping every second
/// frame at 30 fps.
pub const VIDEO_RANGES: usize = 128;
/// Ranges of an audio map, where little is left out.
pub const AUDIO_RANGES: usize = 16;
/// Source numbers over which duplicates are known; later ones are too old. Power of two.
const WINDOW: u64 = 1024;

/// Why a packet has no output number. Ordinary: count it and go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unmapped {
    /// Not of the source that is forwarded now.
    #[error("packet of another source")]
    OtherSource,
    /// From before the switch to this source, or older than the map remembers.
    #[error("packet too old")]
    TooOld,
    /// Its number was used.
    #[error("duplicate packet")]
    Duplicate,
    /// Left out on purpose before.
    #[error("packet left out before")]
    Excluded,
}

/// The packet behind an output number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceSeq {
    /// As given to [`SeqMap::switch`].
    pub source: u32,
    /// Extended source number.
    pub seq: u64,
}

/// Map of one outgoing SSRC, which outlives its sources.
#[derive(Clone, Debug)]
pub struct SeqMap {
    map: OffsetMap,
    source: Option<u32>,
    /// Highest output number used; the next source starts above.
    last_out: u64,
    anything_sent: bool,
    /// One bit per source number of the window, at `seq % WINDOW`: sent.
    sent: [u64; (WINDOW / 64) as usize],
}

impl SeqMap {
    /// A map whose first output number is in 1..=32767, chosen by `random`.
    #[must_use]
    pub fn new(random: u32, max_ranges: usize) -> Self {
        Self {
            map: OffsetMap::new(max_ranges),
            source: None,
            last_out: u64::from(random % FIRST_OUT_RANGE),
            anything_sent: false,
            sent: [0; (WINDOW / 64) as usize],
        }
    }

    /// Starts forwarding `source` at its packet `first` and returns the output number for it.
    ///
    /// Does the work of [`Self::map`] for `first`. `hole`: leave one number unused, because the
    /// last frame of the old source may be incomplete and must not be glued to the new one.
    /// `source` is any name the caller can find the packet's cache by. Earlier output numbers no
    /// longer lead to a packet.
    pub fn switch(&mut self, source: u32, first: u64, hole: bool) -> u64 {
        let out = self.last_out + 1 + u64::from(hole && self.anything_sent);
        self.map.restart(first, out);
        self.map.keep(first);
        self.source = Some(source);
        self.sent = [0; (WINDOW / 64) as usize];
        self.mark_sent(first);
        self.last_out = out;
        self.anything_sent = true;
        out
    }

    /// The extended output number of a packet that will be sent, once per packet.
    ///
    /// # Errors
    /// Why it must not be sent.
    pub fn map(&mut self, source: u32, seq: u64) -> Result<u64, Unmapped> {
        if self.source != Some(source) {
            return Err(Unmapped::OtherSource);
        }
        self.advance(seq);
        if seq <= self.map.highest() {
            if self.map.highest() - seq >= WINDOW
                || self.map.oldest().is_none_or(|oldest| seq < oldest)
            {
                return Err(Unmapped::TooOld);
            }
            if self.is_sent(seq) {
                return Err(Unmapped::Duplicate);
            }
        }
        let out = self.map.keep(seq).ok_or(Unmapped::Excluded)?;
        self.mark_sent(seq);
        self.last_out = self.last_out.max(out);
        Ok(out)
    }

    /// Leaves a packet of the current source out: padding, an unwanted layer, silence.
    ///
    /// Packets of other sources and numbers already sent change nothing.
    pub fn exclude(&mut self, source: u32, seq: u64) {
        if self.source != Some(source) {
            return;
        }
        self.advance(seq);
        let late = seq <= self.map.highest();
        if late && (self.map.highest() - seq >= WINDOW || self.is_sent(seq)) {
            return;
        }
        self.map.exclude(seq);
    }

    /// The same for numbers in a row. New ones, of which a publisher can leave out thousands with each
    /// packet, are one step.
    pub fn exclude_all(&mut self, source: u32, numbers: Range<u64>) {
        if self.source != Some(source) {
            return;
        }
        let new = numbers.start.max(self.map.highest() + 1);
        for late in numbers.start..new.min(numbers.end) {
            self.exclude(source, late);
        }
        if new < numbers.end {
            self.advance(numbers.end - 1);
            self.map.exclude_new(new..numbers.end);
        }
    }

    /// Which packet was, or would have been, sent as `out`. None: that number never existed.
    #[must_use]
    pub fn source_of(&self, out: u64) -> Option<SourceSeq> {
        Some(SourceSeq { source: self.source?, seq: self.map.source_of(out)? })
    }

    /// The output number that a packet has, for sending it again. None if it has none.
    #[must_use]
    pub fn get(&self, source: u32, seq: u64) -> Option<u64> {
        if self.source == Some(source) { self.map.get(seq) } else { None }
    }

    /// Highest output number used so far, None before the first packet.
    #[must_use]
    pub fn last_out(&self) -> Option<u64> {
        self.anything_sent.then_some(self.last_out)
    }

    /// Extends a 16-bit output number from a NACK. None before the first packet and above the
    /// last number used.
    #[must_use]
    pub fn extend_out(&self, seq: u16) -> Option<u64> {
        let last = self.last_out()?;
        let behind = u64::from((last as u16).wrapping_sub(seq));
        if behind < 1 << 15 { last.checked_sub(behind) } else { None }
    }

    /// Forgets the marks of numbers that enter the window.
    fn advance(&mut self, seq: u64) {
        let highest = self.map.highest();
        if seq <= highest {
            return;
        }
        if seq - highest >= WINDOW {
            self.sent = [0; (WINDOW / 64) as usize];
            return;
        }
        for entering in highest + 1..=seq {
            let (word, bit) = Self::mark(entering);
            self.sent[word] &= !bit;
        }
    }

    fn mark(seq: u64) -> (usize, u64) {
        let at = seq % WINDOW;
        ((at / 64) as usize, 1 << (at % 64))
    }

    fn is_sent(&self, seq: u64) -> bool {
        let (word, bit) = Self::mark(seq);
        self.sent[word] & bit != 0
    }

    fn mark_sent(&mut self, seq: u64) {
        let (word, bit) = Self::mark(seq);
        self.sent[word] |= bit;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const CAMERA: u32 = 1;
    const OTHER: u32 = 2;
    /// First output number of every table row.
    const A: u64 = 1000;

    #[derive(Clone, Copy)]
    enum Step {
        Keep(u64),
        Drop(u64),
    }
    use Step::{Drop, Keep};

    type Row<'a> = (&'a str, &'a [Step], &'a [Option<u64>]);

    /// Feeds a row whose first step is a keep, and gives the output relative to the first.
    fn run(steps: &[Step]) -> (SeqMap, Vec<Option<u64>>) {
        let mut map = SeqMap::new(A as u32 - 1, VIDEO_RANGES);
        let mut outs = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            match *step {
                Keep(seq) if index == 0 => outs.push(Some(map.switch(CAMERA, seq, false) - A)),
                Keep(seq) => outs.push(map.map(CAMERA, seq).ok().map(|out| out - A)),
                Drop(seq) => {
                    map.exclude(CAMERA, seq);
                    outs.push(None);
                }
            }
        }
        (map, outs)
    }

    #[test]
    fn table_of_one_source() {
        let rows: &[Row<'_>] = &[
            ("plain", &[Keep(10), Keep(11), Keep(12)], &[Some(0), Some(1), Some(2)]),
            ("drop middle", &[Keep(10), Drop(11), Keep(12)], &[Some(0), None, Some(1)]),
            ("loss then arrival", &[Keep(10), Keep(12), Keep(11)], &[Some(0), Some(2), Some(1)]),
            (
                "loss next to a drop",
                &[Keep(10), Drop(12), Keep(13), Keep(11)],
                &[Some(0), None, Some(2), Some(1)],
            ),
            ("drop is late", &[Keep(10), Keep(12), Drop(11)], &[Some(0), Some(2), None]),
            ("duplicate", &[Keep(10), Keep(10), Keep(11)], &[Some(0), None, Some(1)]),
            ("late duplicate", &[Keep(10), Keep(11), Keep(10)], &[Some(0), Some(1), None]),
            ("padding", &[Keep(10), Drop(11), Drop(12), Keep(13)], &[Some(0), None, None, Some(1)]),
            (
                "source wrap",
                &[Keep(65534), Keep(65535), Keep(65536), Keep(65537)],
                &[Some(0), Some(1), Some(2), Some(3)],
            ),
            ("left out, then seen again", &[Keep(10), Drop(11), Keep(11)], &[Some(0), None, None]),
            ("before the start", &[Keep(10), Keep(9)], &[Some(0), None]),
        ];
        for (name, steps, expected) in rows {
            assert_eq!(&run(steps).1, expected, "{name}");
        }
    }

    #[test]
    fn nack_for_a_late_drop_or_a_number_never_used_finds_nothing() {
        let (map, _) = run(&[Keep(10), Keep(12), Drop(11)]);
        assert_eq!(map.source_of(A + 1), None);
        assert_eq!(map.source_of(A + 2), Some(SourceSeq { source: CAMERA, seq: 12 }));
        assert_eq!(map.source_of(A + 3), None);
        assert_eq!(map.source_of(A - 1), None);
    }

    #[test]
    fn a_lost_number_is_found_so_that_it_can_be_fetched() {
        let (map, _) = run(&[Keep(10), Keep(12)]);
        assert_eq!(map.source_of(A + 1), Some(SourceSeq { source: CAMERA, seq: 11 }));
    }

    #[test]
    fn errors_say_why() {
        let (mut map, _) = run(&[Keep(10), Drop(11), Keep(12)]);
        assert_eq!(map.map(OTHER, 13), Err(Unmapped::OtherSource));
        assert_eq!(map.map(CAMERA, 9), Err(Unmapped::TooOld));
        assert_eq!(map.map(CAMERA, 11), Err(Unmapped::Excluded));
        assert_eq!(map.map(CAMERA, 12), Err(Unmapped::Duplicate));
        assert!(map.map(CAMERA, 12 + WINDOW).is_ok());
        assert_eq!(map.map(CAMERA, 12), Err(Unmapped::TooOld));
    }

    #[test]
    fn switch_after_a_complete_frame_continues_and_after_a_broken_one_leaves_a_hole() {
        for (hole, expected) in [(false, A + 2), (true, A + 3)] {
            let (mut map, _) = run(&[Keep(10), Keep(11)]);
            assert_eq!(map.switch(OTHER, 500, hole), expected);
            assert_eq!(map.map(OTHER, 501), Ok(expected + 1));
            assert_eq!(map.map(CAMERA, 12), Err(Unmapped::OtherSource), "old layer, late");
            assert_eq!(map.map(OTHER, 499), Err(Unmapped::TooOld), "before the keyframe");
            assert_eq!(map.source_of(A + 2).is_none(), hole, "the hole never existed");
            assert_eq!(map.source_of(A + 1), None, "a number of the old source");
        }
    }

    #[test]
    fn padding_of_another_layer_changes_nothing() {
        let (mut map, _) = run(&[Keep(10)]);
        map.exclude(OTHER, 11);
        assert_eq!(map.map(CAMERA, 11), Ok(A + 1));
    }

    #[test]
    fn restart_of_the_source_continues_without_a_jump() {
        let (mut map, _) = run(&[Keep(10), Keep(11)]);
        assert_eq!(map.switch(CAMERA, 3 << 16 | 30_101, false), A + 2);
    }

    #[test]
    fn first_number_is_low_and_the_first_switch_has_no_hole() {
        for random in [0, 32_766, 32_767, u32::MAX] {
            let first = SeqMap::new(random, AUDIO_RANGES).switch(CAMERA, 9, true);
            assert!((1..=32_767).contains(&first), "{first}");
        }
    }

    #[test]
    fn output_wraps_on_the_wire_only() {
        let mut map = SeqMap::new(32_766, VIDEO_RANGES);
        map.switch(CAMERA, 100_000, false);
        for seq in 100_001..140_000 {
            assert_eq!(map.map(CAMERA, seq), Ok(32_767 + seq - 100_000));
        }
        assert_eq!(map.extend_out(65_530), Some(65_530));
        assert_eq!(map.extend_out(3), Some(65_539));
        assert_eq!(map.extend_out(72_766u32 as u16 + 1), None, "never sent");
    }

    proptest! {
        #[test]
        fn numbers_left_out_in_a_row_are_left_out_one_by_one(
            steps in prop::collection::vec((0u64..6, 0u64..1500, any::<bool>()), 1..60),
        ) {
            let (mut one, mut all) = (SeqMap::new(7, 1000), SeqMap::new(7, 1000));
            one.switch(CAMERA, 100, false);
            all.switch(CAMERA, 100, false);
            let mut next = 101;
            for (back, count, lost) in steps {
                let first = next + u64::from(lost) - back;
                for number in first..first + count {
                    one.exclude(CAMERA, number);
                }
                all.exclude_all(CAMERA, first..first + count);
                next = next.max(first + count) + 1;
                prop_assert_eq!(one.map(CAMERA, next), all.map(CAMERA, next));
                for number in next - 6..next {
                    prop_assert_eq!(one.get(CAMERA, number), all.get(CAMERA, number));
                    prop_assert_eq!(one.map(CAMERA, number), all.map(CAMERA, number));
                }
            }
        }

        /// `order` is a shuffled stream of which some packets are lost and some are unwanted.
        #[test]
        fn any_interleaving_gives_a_true_map(
            fates in prop::collection::vec((0u8..10, 0usize..50), 1..400),
            start in 0u64..70_000,
        ) {
            // Fate 0: lost, 1-3: unwanted, else wanted. The delay reorders by up to 50.
            let mut order: Vec<(usize, u64, u8)> = fates
                .iter()
                .enumerate()
                .filter(|(_, (fate, _))| *fate != 0)
                .map(|(index, (fate, delay))| (index + delay, start + index as u64, *fate))
                .collect();
            order.sort_by_key(|(at, ..)| *at);
            let Some(first) = order.iter().find(|(_, _, fate)| *fate > 3).copied() else {
                return Ok(());
            };
            let mut map = SeqMap::new(7, 1000);
            let mut outs = BTreeMap::new();
            outs.insert(first.1, map.switch(CAMERA, first.1, false));
            let mut late_drops = BTreeSet::new();
            let mut highest = first.1;
            for (_, seq, fate) in order {
                if fate > 3 {
                    if let Ok(out) = map.map(CAMERA, seq) {
                        prop_assert!(outs.insert(seq, out).is_none(), "a number given twice");
                    } else {
                        prop_assert!(seq <= first.1, "a wanted packet was refused");
                    }
                } else {
                    if seq < highest { late_drops.insert(seq); }
                    map.exclude(CAMERA, seq);
                }
                highest = highest.max(seq);
            }
            let pairs: Vec<(u64, u64)> = outs.into_iter().collect();
            for pair in pairs.windows(2) {
                let ((src, out), (next_src, next_out)) = (pair[0], pair[1]);
                prop_assert!(next_out > out, "order");
                let lost = (src + 1..next_src)
                    .filter(|seq| fates[(seq - start) as usize].0 == 0 || late_drops.contains(seq))
                    .count() as u64;
                prop_assert_eq!(next_out - out - 1, lost, "an unexplained hole");
            }
            for (src, out) in pairs {
                prop_assert_eq!(map.source_of(out), Some(SourceSeq { source: CAMERA, seq: src }));
            }
        }
    }
}
