//! RED around plain Opus, for subscribers with lossy links: each packet repeats the one or two
//! before it (RFC 2198; LiveKit `redreceiver.go`).

/// Frames repeated at most: runs of two losses are repaired.
pub const MAX_DISTANCE: u8 = 2;
/// Longest redundant block, 10 bits.
const MAX_BLOCK: usize = 1023;
/// Timestamp offsets have 14 bits: 341 ms at 48 kHz.
const MAX_OFFSET: u32 = (1 << 14) - 1;
/// A payload above this might not fit a packet after headers and encryption.
const MAX_PAYLOAD: usize = 1150;

#[derive(Debug, Default)]
struct Frame {
    /// 0: none.
    seq: u64,
    timestamp: u32,
    data: Vec<u8>,
}

/// The last frames of one published stream, shared by its subscribers.
#[derive(Debug, Default)]
pub struct RedEncoder {
    /// At `seq % MAX_DISTANCE`.
    frames: [Frame; MAX_DISTANCE as usize],
}

impl RedEncoder {
    /// Writes the newest packet as RED with up to `distance` frames before it.
    ///
    /// Only frames directly before it are repeated, without a lost one between, because receivers
    /// may count them back by sequence number. False, with `out` empty: there is nothing to repeat,
    /// or no room, so send it plain. A packet sent late or again is always sent plain.
    pub fn encode(
        &self,
        seq: u64,
        timestamp: u32,
        primary: &[u8],
        distance: u8,
        opus_payload_type: u8,
        out: &mut Vec<u8>,
    ) -> bool {
        out.clear();
        let mut size = 1 + primary.len();
        let mut count = 0;
        for before in 1..=u64::from(distance.min(MAX_DISTANCE)) {
            let Some(frame) = self.frame(seq.wrapping_sub(before)) else { break };
            let offset = timestamp.wrapping_sub(frame.timestamp);
            size += 4 + frame.data.len();
            if offset == 0 || offset > MAX_OFFSET || size > MAX_PAYLOAD {
                break;
            }
            count = before;
        }
        if count == 0 {
            return false;
        }
        let redundant = || (1..=count).rev().filter_map(|before| self.frame(seq - before));
        for frame in redundant() {
            let offset = timestamp.wrapping_sub(frame.timestamp);
            let length = frame.data.len() as u32;
            let header =
                1 << 31 | u32::from(opus_payload_type & 0x7f) << 24 | offset << 10 | length;
            out.extend(header.to_be_bytes());
        }
        out.push(opus_payload_type & 0x7f);
        redundant().for_each(|frame| out.extend(&frame.data));
        out.extend(primary);
        true
    }

    /// Remembers a packet after it was sent to everybody. `voice`: it is worth repeating, by the
    /// voice bit of its level extension, or else because it is not discontinuous transmission.
    pub fn push(&mut self, seq: u64, timestamp: u32, data: &[u8], voice: bool) {
        let frame = &mut self.frames[(seq % u64::from(MAX_DISTANCE)) as usize];
        frame.data.clear();
        let fits = voice && !data.is_empty() && data.len() <= MAX_BLOCK;
        frame.seq = if fits { seq } else { 0 };
        if fits {
            frame.timestamp = timestamp;
            frame.data.extend(data);
        }
    }

    fn frame(&self, seq: u64) -> Option<&Frame> {
        let frame = &self.frames[(seq % u64::from(MAX_DISTANCE)) as usize];
        (frame.seq == seq && seq > 0).then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::super::red::Blocks;
    use super::*;

    const OPUS: u8 = 109;

    /// Sends frames of `lengths` in order, 960 ticks apart; offsets and lengths of the last one.
    fn last(lengths: &[usize], distance: u8) -> Option<Vec<(u16, usize)>> {
        let mut encoder = RedEncoder::default();
        let mut out = Vec::new();
        let mut wrapped = false;
        for (at, length) in lengths.iter().enumerate() {
            let (seq, timestamp) = (65_536 + at as u64, (at as u32).wrapping_mul(960));
            let data = vec![at as u8; *length];
            wrapped = encoder.encode(seq, timestamp, &data, distance, OPUS, &mut out);
            encoder.push(seq, timestamp, &data, true);
        }
        if !wrapped {
            assert!(out.is_empty());
            return None;
        }
        let blocks = Blocks::parse(&out).unwrap();
        assert_eq!(blocks.primary().data, vec![lengths.len() as u8 - 1; *lengths.last().unwrap()]);
        let mut list = Vec::new();
        for block in blocks.redundant() {
            assert_eq!(block.payload_type, OPUS);
            assert!(block.data.iter().all(|byte| u16::from(*byte) * 960 + block.timestamp_offset
                == (lengths.len() as u16 - 1) * 960));
            list.push((block.timestamp_offset, block.data.len()));
        }
        Some(list)
    }

    #[test]
    fn frames_before_are_repeated_as_far_as_they_fit() {
        type Row<'a> = (&'a str, &'a [usize], u8, Option<&'a [(u16, usize)]>);
        let rows: [Row<'_>; 8] = [
            ("first packet", &[80], 2, None),
            ("one before", &[80, 90], 2, Some(&[(960, 80)])),
            ("two before", &[80, 90, 70], 2, Some(&[(1920, 80), (960, 90)])),
            ("distance one", &[80, 90, 70], 1, Some(&[(960, 90)])),
            ("longest block", &[1023, 10], 1, Some(&[(960, 1023)])),
            ("too long for a block", &[1024, 10], 1, None),
            ("too long for a packet", &[600, 600, 10], 2, Some(&[(960, 600)])),
            ("the primary fills it", &[80, 1140], 2, None),
        ];
        for (name, lengths, distance, expected) in rows {
            assert_eq!(last(lengths, distance).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn nothing_over_a_loss_a_pause_or_silence() {
        let mut encoder = RedEncoder::default();
        let mut out = Vec::new();
        encoder.push(100, 0, &[1; 50], true);
        assert!(!encoder.encode(102, 1920, &[3; 50], 2, OPUS, &mut out), "101 was lost");
        assert!(encoder.encode(101, 16_383, &[2; 50], 2, OPUS, &mut out), "largest offset");
        assert!(!encoder.encode(101, 16_384, &[2; 50], 2, OPUS, &mut out));
        assert!(!encoder.encode(101, 0, &[2; 50], 2, OPUS, &mut out), "same timestamp");
        encoder.push(101, 960, &[2; 50], false);
        assert!(!encoder.encode(102, 1920, &[3; 50], 2, OPUS, &mut out), "no voice");
        assert!(!RedEncoder::default().encode(0, 0, &[1], 2, OPUS, &mut out));
    }
}
