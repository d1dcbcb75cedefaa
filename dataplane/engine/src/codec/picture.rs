//! Picture ids of VP8 and VP9: unwrapped once at ingress, continued across source switches and
//! dropped pictures at egress.

use crate::offset_map::OffsetMap;

/// Larger forward jumps of the newest packet are a new run of ids (an encoder was made anew), as
/// are all backward ones. As many pictures as packets that can be lost without a restart.
const MAX_JUMP: u16 = 3000;
/// Ranges of pictures remembered per subscription: 4 s of dropping every second picture at 30 fps.
const RANGES: usize = 64;
/// Unwrapped ids start here, so that ids before the first one exist.
const FIRST: u64 = 1 << 16;

/// A picture id as it is in the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    /// 0..=127, or 0..=32767 when `long`.
    pub value: u16,
    /// Written with 15 bits.
    pub long: bool,
}

impl PictureId {
    /// Reads the one or two bytes at the start of `data`.
    pub(crate) fn read(data: &[u8]) -> Option<(Self, usize)> {
        let first = *data.first()?;
        if first & 0x80 == 0 {
            return Some((Self { value: first.into(), long: false }, 1));
        }
        let value = u16::from(first & 0x7f) << 8 | u16::from(*data.get(1)?);
        Some((Self { value, long: true }, 2))
    }
}

/// Unwraps the picture ids (or AV1 frame numbers) of one published layer.
#[derive(Clone, Debug, Default)]
pub struct PictureIds {
    /// Last value on the wire, its mask, and what it was unwrapped to.
    last: Option<(u16, u16, u64)>,
}

impl PictureIds {
    /// A number that rises by one per picture, whatever the width on the wire and wherever the
    /// encoder restarts. `newest`: the packet has the highest sequence number so far.
    ///
    /// None for a late packet that cannot be placed.
    pub fn unwrap(&mut self, id: PictureId, newest: bool) -> Option<u64> {
        self.unwrap_masked(id.value, if id.long { 0x7fff } else { 0x7f }, newest)
    }

    /// The same for a counter of any width; `mask` has a one for each of its bits.
    pub fn unwrap_masked(&mut self, value: u16, mask: u16, newest: bool) -> Option<u64> {
        let Some((last, last_mask, picture)) = self.last else {
            let picture = FIRST | u64::from(value);
            self.last = Some((value, mask, picture));
            return Some(picture);
        };
        let both = mask & last_mask;
        if newest {
            let step = match value.wrapping_sub(last) & both {
                step if step <= MAX_JUMP => step,
                _ => 1,
            };
            let picture = picture + u64::from(step);
            self.last = Some((value, mask, picture));
            return Some(picture);
        }
        let back = last.wrapping_sub(value) & both;
        (back <= MAX_JUMP).then(|| picture - u64::from(back))
    }
}

/// The counters of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureNumbers {
    /// Unwrapped picture id at ingress; at egress its low 15 bits go on the wire.
    pub picture: Option<u64>,
    /// TL0PICIDX, counts pictures of temporal layer 0.
    pub tl0: Option<u8>,
    /// KEYIDX of VP8, 5 bits.
    pub key: Option<u8>,
}

/// Continues the counters of one subscription over its sources.
#[derive(Clone, Debug)]
pub struct PictureRewriter {
    pictures: OffsetMap,
    last: Option<PictureNumbers>,
    tl0_shift: u8,
    key_shift: u8,
}

impl Default for PictureRewriter {
    fn default() -> Self {
        Self { pictures: OffsetMap::new(RANGES), last: None, tl0_shift: 0, key_shift: 0 }
    }
}

impl PictureRewriter {
    /// A source starts at this keyframe: each counter continues with one more than its last
    /// value. The first source keeps its own numbers.
    pub fn switch(&mut self, first: PictureNumbers) -> PictureNumbers {
        if let Some(picture) = first.picture {
            let out = match self.last.and_then(|last| last.picture) {
                Some(last) => last + 1,
                None => picture,
            };
            self.pictures.restart(picture, out);
        }
        let shift = |last: Option<u8>, first: Option<u8>| match (last, first) {
            (Some(last), Some(first)) => last.wrapping_add(1).wrapping_sub(first),
            _ => 0,
        };
        self.tl0_shift = shift(self.last.and_then(|last| last.tl0), first.tl0);
        self.key_shift = shift(self.last.and_then(|last| last.key), first.key);
        self.map(first).unwrap_or(first)
    }

    /// Counters of a forwarded packet, new or late. None: its picture has no place any more.
    pub fn map(&mut self, numbers: PictureNumbers) -> Option<PictureNumbers> {
        let picture = match numbers.picture {
            Some(picture) => Some(self.pictures.keep(picture)?),
            None => None,
        };
        let out = self.shifted(numbers, picture);
        let newer = self.last.is_none_or(|last| last.picture <= out.picture);
        if newer {
            let last = self.last.unwrap_or(out);
            self.last = Some(PictureNumbers {
                picture: out.picture.or(last.picture),
                tl0: out.tl0.or(last.tl0),
                key: out.key.or(last.key),
            });
        }
        Some(out)
    }

    /// Leaves a picture out and closes the gap.
    pub fn exclude(&mut self, numbers: PictureNumbers) {
        if let Some(picture) = numbers.picture {
            self.pictures.exclude(picture);
        }
    }

    /// Counters that a packet had when it was forwarded, for sending it again.
    #[must_use]
    pub fn get(&self, numbers: PictureNumbers) -> Option<PictureNumbers> {
        let picture = match numbers.picture {
            Some(picture) => Some(self.pictures.get(picture)?),
            None => None,
        };
        Some(self.shifted(numbers, picture))
    }

    fn shifted(&self, numbers: PictureNumbers, picture: Option<u64>) -> PictureNumbers {
        PictureNumbers {
            picture,
            tl0: numbers.tl0.map(|tl0| tl0.wrapping_add(self.tl0_shift)),
            key: numbers.key.map(|key| key.wrapping_add(self.key_shift) & 0x1f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(value: u16) -> PictureId {
        PictureId { value, long: true }
    }

    fn short(value: u16) -> PictureId {
        PictureId { value, long: false }
    }

    fn numbers(picture: u64, tl0: u8, key: u8) -> PictureNumbers {
        PictureNumbers { picture: Some(picture), tl0: Some(tl0), key: Some(key) }
    }

    #[test]
    fn both_widths_wrap() {
        let mut ids = PictureIds::default();
        assert_eq!(ids.unwrap(long(32_767), true), Some(FIRST + 32_767));
        assert_eq!(ids.unwrap(long(0), true), Some(FIRST + 32_768));
        assert_eq!(ids.unwrap(long(32_766), false), Some(FIRST + 32_766));
        let mut ids = PictureIds::default();
        assert_eq!(ids.unwrap(short(127), true), Some(FIRST + 127));
        assert_eq!(ids.unwrap(short(0), true), Some(FIRST + 128));
        assert_eq!(ids.unwrap(short(127), false), Some(FIRST + 127));
    }

    #[test]
    fn newest_packet_never_goes_back() {
        let mut ids = PictureIds::default();
        ids.unwrap(long(20_000), true);
        assert_eq!(ids.unwrap(long(500), true), Some(FIRST + 20_001), "a new encoder");
        assert_eq!(ids.unwrap(long(501), true), Some(FIRST + 20_002));
        assert_eq!(ids.unwrap(long(19_999), false), None, "late, from before");
    }

    #[test]
    fn counters_continue_over_a_switch_and_wrap() {
        let mut rewriter = PictureRewriter::default();
        assert_eq!(rewriter.switch(numbers(32_767, 255, 31)), numbers(32_767, 255, 31));
        assert_eq!(rewriter.switch(numbers(70_000, 9, 4)), numbers(32_768, 0, 0));
        assert_eq!(rewriter.map(numbers(70_001, 10, 4)), Some(numbers(32_769, 1, 0)));
        assert_eq!(rewriter.map(numbers(69_999, 8, 4)), None, "before the switch");
        // TL0PICIDX 255 to 0 and KEYIDX 31 to 0, at the source and, later, in what is sent.
        let mut rewriter = PictureRewriter::default();
        rewriter.switch(numbers(100, 7, 3));
        rewriter.switch(numbers(500, 255, 31));
        assert_eq!(rewriter.map(numbers(501, 0, 0)), Some(numbers(102, 9, 5)));
        assert_eq!(rewriter.map(numbers(747, 246, 26)), Some(numbers(348, 255, 31)));
        assert_eq!(rewriter.map(numbers(748, 247, 27)), Some(numbers(349, 0, 0)));
    }

    #[test]
    fn output_is_contiguous_over_a_thousand_dropped_pictures() {
        let mut rewriter = PictureRewriter::default();
        rewriter.switch(numbers(FIRST, 0, 0));
        let mut next = FIRST + 1;
        for picture in FIRST + 1..FIRST + 2001 {
            let tl0 = ((picture - FIRST) / 2) as u8;
            if picture % 2 == 1 {
                rewriter.exclude(numbers(picture, tl0, 0));
                rewriter.exclude(numbers(picture, tl0, 0)); // its second packet
            } else {
                assert_eq!(rewriter.map(numbers(picture, tl0, 0)), Some(numbers(next, tl0, 0)));
                next += 1;
            }
        }
    }

    #[test]
    fn late_packet_gets_the_number_of_its_picture() {
        let mut rewriter = PictureRewriter::default();
        rewriter.switch(numbers(100, 0, 0));
        rewriter.exclude(numbers(101, 0, 0));
        rewriter.map(numbers(102, 1, 0));
        rewriter.exclude(numbers(103, 1, 0));
        rewriter.map(numbers(104, 2, 0));
        assert_eq!(rewriter.map(numbers(102, 1, 0)), Some(numbers(101, 1, 0)));
        assert_eq!(rewriter.get(numbers(102, 1, 0)), Some(numbers(101, 1, 0)));
        assert_eq!(rewriter.get(numbers(103, 1, 0)), None);
    }

    #[test]
    fn sources_without_ids_pass_and_do_not_break_the_line() {
        let none = PictureNumbers { picture: None, tl0: None, key: None };
        let mut rewriter = PictureRewriter::default();
        rewriter.switch(numbers(500, 3, 1));
        assert_eq!(rewriter.switch(none), none);
        assert_eq!(rewriter.map(none), Some(none));
        assert_eq!(rewriter.switch(numbers(90, 7, 7)), numbers(501, 4, 2));
    }
}
