//! Opus out of RED, for subscribers who do not take RED. What was lost comes back from the
//! redundancy of later packets, under the number it had (LiveKit `redprimaryreceiver.go`).

use super::Malformed;
use super::red::{Blocks, MAX_BLOCKS};

/// Packets remembered: over a second of 20 ms, and more than redundancy reaches back.
const REMEMBERED: u64 = 64;

/// One plain Opus packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Plain<'a> {
    /// Extended source number.
    pub seq: u64,
    /// Source timestamp.
    pub timestamp: u32,
    /// It was lost, and comes late.
    pub recovered: bool,
    /// The Opus packet.
    pub data: &'a [u8],
}

/// What one RED packet gives, oldest first. Empty for a late packet that was recovered before.
#[derive(Debug, Clone, Copy)]
pub struct Unwrapped<'a> {
    packets: [Plain<'a>; MAX_BLOCKS],
    len: usize,
}

impl<'a> Unwrapped<'a> {
    fn push(&mut self, packet: Plain<'a>) {
        if let Some(place) = self.packets.get_mut(self.len) {
            *place = packet;
            self.len += 1;
        }
    }

    /// The packets.
    #[must_use]
    pub fn packets(&self) -> &[Plain<'a>] {
        &self.packets[..self.len]
    }
}

/// Unwraps one published stream. Never for encrypted tracks, see [`super::red_policy`].
#[derive(Debug)]
pub struct RedDecoder {
    payload_type: u8,
    /// Number and timestamp at `seq % REMEMBERED`; number 0: none.
    seen: [(u64, u32); REMEMBERED as usize],
    /// First number of the stream; None before it.
    first: Option<u64>,
}

impl RedDecoder {
    /// `payload_type`: of Opus, inside the publisher's RED. Make a new one when the source restarts.
    #[must_use]
    pub fn new(payload_type: u8) -> Self {
        Self { payload_type, seen: [(0, 0); REMEMBERED as usize], first: None }
    }

    /// A packet of the stream came as plain Opus: senders fall back to it for large frames.
    pub fn on_plain(&mut self, seq: u64, timestamp: u32) {
        self.first.get_or_insert(seq);
        self.see(seq, timestamp);
    }

    /// Splits a RED packet, new or late.
    ///
    /// A redundant block counts as the packet so many places before its own as it stands before
    /// the primary, unless its timestamp contradicts what came.
    ///
    /// # Errors
    /// Not RED, or its primary is not Opus.
    pub fn unwrap<'a>(
        &mut self,
        seq: u64,
        timestamp: u32,
        payload: &'a [u8],
    ) -> Result<Unwrapped<'a>, Malformed> {
        let blocks = Blocks::parse(payload)?;
        let primary = blocks.primary();
        if primary.payload_type != self.payload_type {
            return Err(Malformed);
        }
        let first = *self.first.get_or_insert(seq);
        let mut unwrapped = Unwrapped { packets: [Plain::default(); MAX_BLOCKS], len: 0 };
        let is_new = !self.is_seen(seq);
        // Before its redundancy, whose timestamps it bounds.
        self.see(seq, timestamp);
        let redundant = blocks.redundant();
        for (before, block) in (1..=redundant.len() as u64).rev().zip(redundant) {
            let Some(seq) = seq.checked_sub(before).filter(|seq| *seq >= first) else { continue };
            let timestamp = timestamp.wrapping_sub(block.timestamp_offset.into());
            let of_opus = block.payload_type == self.payload_type && !block.data.is_empty();
            if of_opus && !self.is_seen(seq) && self.fits(seq, timestamp) {
                self.see(seq, timestamp);
                unwrapped.push(Plain { seq, timestamp, recovered: true, data: block.data });
            }
        }
        if is_new {
            unwrapped.push(Plain { seq, timestamp, recovered: false, data: primary.data });
        }
        Ok(unwrapped)
    }

    /// Also true for what is too old to tell.
    fn is_seen(&self, seq: u64) -> bool {
        self.seen[(seq % REMEMBERED) as usize].0 >= seq
    }

    fn see(&mut self, seq: u64, timestamp: u32) {
        let place = &mut self.seen[(seq % REMEMBERED) as usize];
        if place.0 < seq {
            *place = (seq, timestamp);
        }
    }

    /// Later than all remembered packets before it, earlier than all after it.
    fn fits(&self, seq: u64, timestamp: u32) -> bool {
        let near = self.seen.iter().filter(|(other, _)| seq.abs_diff(*other) < REMEMBERED);
        near.into_iter().all(|(other, at)| {
            #[expect(clippy::cast_possible_wrap, reason = "the signed distance is what is wanted")]
            let ahead = timestamp.wrapping_sub(*at) as i32;
            if seq > *other { ahead > 0 } else { ahead < 0 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPUS: u8 = 111;
    const FIRST: u64 = 70_000;
    const FRAME: u32 = 960;

    /// Frame `index` with `distance` frames before it; a frame is its index twice.
    fn red(index: u64, distance: u64) -> Vec<u8> {
        let mut payload = Vec::new();
        for before in (1..=distance.min(index)).rev() {
            let offset = before as u16 * FRAME as u16;
            payload.extend([0x80 | OPUS, (offset >> 6) as u8, (offset << 2) as u8, 2]);
        }
        payload.push(OPUS);
        for before in (0..=distance.min(index)).rev() {
            payload.extend([(index - before) as u8; 2]);
        }
        payload
    }

    fn see(decoder: &mut RedDecoder, index: u64, distance: u64) -> Vec<(u64, bool)> {
        let timestamp = (u32::MAX - 5000).wrapping_add(index as u32 * FRAME);
        let payload = red(index, distance);
        let unwrapped = decoder.unwrap(FIRST + index, timestamp, &payload).unwrap();
        let list = unwrapped.packets().iter().map(|packet| {
            let index = packet.seq - FIRST;
            assert_eq!(packet.data, [index as u8; 2]);
            let expected = (u32::MAX - 5000).wrapping_add(index as u32 * FRAME);
            assert_eq!(packet.timestamp, expected);
            (index, packet.recovered)
        });
        list.collect()
    }

    #[test]
    fn lost_packets_come_back_in_their_places() {
        let mut decoder = RedDecoder::new(OPUS);
        assert_eq!(see(&mut decoder, 0, 2), [(0, false)]);
        assert_eq!(see(&mut decoder, 1, 2), [(1, false)]);
        assert_eq!(see(&mut decoder, 3, 2), [(2, true), (3, false)]);
        assert_eq!(see(&mut decoder, 7, 2), [(5, true), (6, true), (7, false)], "4 is gone");
        assert_eq!(see(&mut decoder, 6, 2), [(4, true)], "late, but it brings another");
        assert_eq!(see(&mut decoder, 6, 2), [], "duplicate");
        assert_eq!(see(&mut decoder, 8, 0), [(8, false)]);
    }

    #[test]
    fn thirty_percent_loss_loses_only_runs_of_three() {
        let mut decoder = RedDecoder::new(OPUS);
        let mut state = 7u32;
        let mut got = [0u8; 2000];
        let mut lost = [false; 2000];
        for index in 0..2000u64 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            lost[index as usize] = index > 0 && state >> 16 & 0xff < 77;
            if !lost[index as usize] {
                for (index, _) in see(&mut decoder, index, 2) {
                    got[index as usize] += 1;
                }
            }
        }
        for index in 0..1997 {
            let gone = lost[index..=index + 2].iter().all(|lost| *lost);
            assert_eq!(got[index], u8::from(!gone), "{index}");
        }
    }

    #[test]
    fn nothing_from_before_the_stream_and_nothing_that_contradicts_it() {
        let mut decoder = RedDecoder::new(OPUS);
        assert_eq!(see(&mut decoder, 5, 2), [(5, false)], "the stream begins here");
        // Redundancy that skips a packet: its timestamp is that of the one received.
        let mut payload = red(7, 1);
        let offset = 2 * FRAME as u16;
        [payload[1], payload[2]] = [(offset >> 6) as u8, (offset << 2) as u8];
        let timestamp = (u32::MAX - 5000).wrapping_add(7 * FRAME);
        let unwrapped = decoder.unwrap(FIRST + 7, timestamp, &payload).unwrap();
        assert_eq!(unwrapped.packets().len(), 1);
    }

    #[test]
    fn packets_that_came_plain_are_not_recovered() {
        let mut decoder = RedDecoder::new(OPUS);
        see(&mut decoder, 0, 2);
        decoder.on_plain(FIRST + 1, (u32::MAX - 5000).wrapping_add(FRAME));
        assert_eq!(see(&mut decoder, 2, 2), [(2, false)]);
    }

    #[test]
    fn largest_offset_and_length_of_a_block() {
        let mut payload = vec![0x80 | OPUS, 0xff, 0xff, 0xff, OPUS];
        payload.resize(5 + 1023 + 9, 7);
        let mut decoder = RedDecoder::new(OPUS);
        decoder.on_plain(FIRST, 0);
        let unwrapped = decoder.unwrap(FIRST + 2, 40_000, &payload).unwrap();
        let [recovered, primary] = unwrapped.packets() else { unreachable!() };
        assert_eq!((recovered.timestamp, recovered.data.len()), (40_000 - 16_383, 1023));
        assert_eq!(primary.data.len(), 9);
    }

    #[test]
    fn other_codecs_are_not_passed_as_opus() {
        let mut decoder = RedDecoder::new(OPUS);
        assert_eq!(decoder.unwrap(FIRST, 0, &[13, 1]).err(), Some(Malformed));
        assert_eq!(decoder.unwrap(FIRST, 0, &[]).err(), Some(Malformed));
        decoder.on_plain(FIRST, 0);
        let noise = [0x80 | 13, 0x0f, 0x00, 1, OPUS, 9, 8];
        assert_eq!(decoder.unwrap(FIRST + 2, 1920, &noise).unwrap().packets().len(), 1);
    }
}
