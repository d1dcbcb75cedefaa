//! Reads bit fields, most significant first.

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
}
