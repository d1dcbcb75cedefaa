//! Reads and writes bit fields, most significant first.

use super::Malformed;

pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0 }
    }

    /// The next `count` bits, at most 32.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u32, Malformed> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.data.get(self.position / 8).ok_or(Malformed)?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Ok(value)
    }

    /// Passes over bits that were read before.
    pub(crate) fn skip(&mut self, count: usize) {
        self.position += count;
    }

    /// Bits read so far.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        Ok(self.bits(1)? == 1)
    }

    /// Non-symmetric unsigned value below `n`, which is at least 1 (AV1 section 4.10.7, `ns(n)`).
    pub(crate) fn non_symmetric(&mut self, n: u32) -> Result<u32, Malformed> {
        let width = n.ilog2() + 1;
        let short = (1 << width) - n;
        let value = self.bits(width - 1)?;
        if value < short {
            return Ok(value);
        }
        Ok((value << 1) + self.bits(1)? - short)
    }
}

/// Writes to a buffer; None when it is full.
pub(crate) struct BitWriter<'a> {
    data: &'a mut [u8],
    position: usize,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(data: &'a mut [u8]) -> Self {
        Self { data, position: 0 }
    }

    /// The low `count` bits of `value`, at most 32.
    pub(crate) fn put(&mut self, value: u32, count: u32) -> Option<()> {
        for bit in (0..count).rev() {
            let byte = self.data.get_mut(self.position / 8)?;
            let mask = 0x80 >> (self.position % 8);
            if value >> bit & 1 == 1 {
                *byte |= mask;
            } else {
                *byte &= !mask;
            }
            self.position += 1;
        }
        Some(())
    }

    /// The bits of `source` from `from` up to `to`; none if they are not there.
    pub(crate) fn copy(&mut self, source: &[u8], from: usize, to: usize) -> Option<()> {
        let mut reader = BitReader::new(source);
        reader.skip(from);
        let mut left = to.checked_sub(from)? as u32;
        while left > 0 {
            let count = left.min(32);
            self.put(reader.bits(count).ok()?, count)?;
            left -= count;
        }
        Some(())
    }

    /// Fills the last byte with zeros and returns the number of bytes.
    pub(crate) fn finish(mut self) -> usize {
        let rest = self.position.next_multiple_of(8) - self.position;
        // Within a byte that is there already.
        let _ = self.put(0, rest as u32);
        self.position / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_across_bytes_and_stops_at_the_end() {
        let mut reader = BitReader::new(&[0b1010_0000, 0b0100_0000]);
        assert_eq!(reader.bits(3), Ok(0b101));
        assert_eq!(reader.bits(7), Ok(1));
        assert_eq!(reader.bits(6), Ok(0));
        assert_eq!(reader.bits(1), Err(Malformed));
    }

    #[test]
    fn non_symmetric_table_of_five() {
        // n = 5: 00 01 10 110 111.
        for (bits, expected) in [(0b0000_0000, 0), (0b0100_0000, 1), (0b1000_0000, 2)] {
            assert_eq!(BitReader::new(&[bits]).non_symmetric(5), Ok(expected));
        }
        assert_eq!(BitReader::new(&[0b1100_0000]).non_symmetric(5), Ok(3));
        assert_eq!(BitReader::new(&[0b1110_0000]).non_symmetric(5), Ok(4));
        assert_eq!(BitReader::new(&[]).non_symmetric(1), Ok(0), "one value needs no bit");
    }

    #[test]
    fn writes_what_it_read_and_stops_when_full() {
        let source = [0b1011_0010, 0b0111_1111, 0xff, 0x55, 0x0f, 0xf0];
        let mut out = [0xff; 6];
        let mut writer = BitWriter::new(&mut out);
        assert_eq!(writer.put(0b01, 2), Some(()));
        assert_eq!(writer.copy(&source, 2, 44), Some(()));
        assert_eq!(writer.copy(&source, 40, 50), None, "past the source");
        let mut writer = BitWriter::new(&mut out);
        assert_eq!(writer.copy(&source, 0, 12), Some(()));
        assert_eq!(writer.finish(), 2);
        assert_eq!(out[..2], [0b1011_0010, 0b0111_0000]);
        assert_eq!(BitWriter::new(&mut out[..1]).put(0, 9), None);
    }
}
