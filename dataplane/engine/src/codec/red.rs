//! Redundant audio data: splitting a packet into its blocks (RFC 2198, section 3).

use super::Malformed;

/// Blocks one packet may have. Browsers send up to 9 redundant ones and the primary.
pub const MAX_BLOCKS: usize = 16;

/// One encoding of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Block<'a> {
    /// Payload type of the block's codec.
    pub payload_type: u8,
    /// Ticks before the packet's timestamp, 0..=16383; 0 for the primary.
    pub timestamp_offset: u16,
    /// The encoded frame; may be empty.
    pub data: &'a [u8],
}

/// The blocks of a packet, oldest redundancy first, the primary last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks<'a> {
    blocks: [Block<'a>; MAX_BLOCKS],
    len: usize,
}

impl<'a> Blocks<'a> {
    /// Splits an RTP payload.
    ///
    /// # Errors
    /// Headers without end, block lengths past the end, or more than [`MAX_BLOCKS`] blocks.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut blocks = [Block::default(); MAX_BLOCKS];
        let mut lengths = [0usize; MAX_BLOCKS];
        let mut len = 0;
        let mut rest = payload;
        loop {
            let block = blocks.get_mut(len).ok_or(Malformed)?;
            match *rest {
                [first, ref after @ ..] if first & 0x80 == 0 => {
                    block.payload_type = first;
                    rest = after;
                    break;
                }
                [first, second, third, fourth, ref after @ ..] => {
                    block.payload_type = first & 0x7f;
                    block.timestamp_offset = u16::from(second) << 6 | u16::from(third >> 2);
                    lengths[len] = usize::from(third & 3) << 8 | usize::from(fourth);
                    rest = after;
                }
                _ => return Err(Malformed),
            }
            len += 1;
        }
        for (block, length) in blocks[..len].iter_mut().zip(lengths) {
            block.data = rest.get(..length).ok_or(Malformed)?;
            rest = &rest[length..];
        }
        blocks[len].data = rest;
        Ok(Self { blocks, len: len + 1 })
    }

    /// The newest frame.
    #[must_use]
    pub fn primary(&self) -> Block<'a> {
        self.blocks[self.len - 1]
    }

    /// Repeats of earlier frames, oldest first.
    #[must_use]
    pub fn redundant(&self) -> &[Block<'a>] {
        &self.blocks[..self.len - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primary_alone() {
        let blocks = Blocks::parse(&[111, 1, 2, 3]).unwrap();
        assert_eq!(
            blocks.primary(),
            Block { payload_type: 111, timestamp_offset: 0, data: &[1, 2, 3] }
        );
        assert!(blocks.redundant().is_empty());
    }

    #[test]
    fn one_redundant_block_and_every_truncation() {
        // PT 111, offset 960, length 2; primary PT 111.
        let payload = [0x80 | 111, 960u16.to_be_bytes()[0] << 2 | 0x0f, 0x00, 2, 111, 8, 9, 7];
        let blocks = Blocks::parse(&payload).unwrap();
        assert_eq!(blocks.redundant()[0].data, [8, 9]);
        assert_eq!(blocks.redundant()[0].timestamp_offset, 960);
        assert_eq!(blocks.primary().data, [7]);
        for len in 0..7 {
            assert_eq!(Blocks::parse(&payload[..len]), Err(Malformed), "{len}");
        }
        assert!(Blocks::parse(&payload[..7]).unwrap().primary().data.is_empty());
    }

    #[test]
    fn largest_offset_and_length() {
        let mut payload = vec![0x80 | 111, 0xff, 0xff, 0xff, 111];
        payload.resize(5 + 1023, 0);
        let blocks = Blocks::parse(&payload).unwrap();
        assert_eq!(blocks.redundant()[0].timestamp_offset, 16_383);
        assert_eq!(blocks.redundant()[0].data.len(), 1023);
        assert!(blocks.primary().data.is_empty());
        assert_eq!(Blocks::parse(&payload[..payload.len() - 1]), Err(Malformed));
    }

    #[test]
    fn number_of_blocks_is_bounded() {
        let headers = |redundant: usize| {
            let mut payload = [0x80 | 111, 0, 0, 0].repeat(redundant);
            payload.push(111);
            payload
        };
        assert_eq!(Blocks::parse(&headers(15)).unwrap().redundant().len(), 15);
        assert_eq!(Blocks::parse(&headers(16)), Err(Malformed));
    }
}
