//! Datagrams of a video section without RTX, as they went out: a NACK is answered with the same bytes.
//!
//! RFC 4585 lets a packet be sent again under its own number. Encrypted anew it would not be the
//! same packet, since its extensions change, and under AES-GCM one number may never stand for two
//! (RFC 7714, section 8.1).

/// About a second of a camera; a power of two.
const PACKETS: usize = 128;

#[derive(Clone, Debug, Default)]
struct Kept {
    index: u64,
    datagram: Vec<u8>,
}

/// The newest datagrams, by number. Its memory is used again.
#[derive(Debug)]
pub(crate) struct SentRing(Box<[Kept]>);

impl SentRing {
    pub(crate) fn new() -> Self {
        Self(vec![Kept::default(); PACKETS].into())
    }

    /// Remembers what went out under an extended number.
    pub(crate) fn keep(&mut self, index: u64, datagram: &[u8]) {
        let place = self.place(index);
        if let Some(kept) = self.0.get_mut(place) {
            kept.index = index;
            kept.datagram.clear();
            kept.datagram.extend_from_slice(datagram);
        }
    }

    /// What went out under this number, if it is not too long ago.
    pub(crate) fn get(&self, index: u64) -> Option<&[u8]> {
        let kept = self.0.get(self.place(index))?;
        (kept.index == index && !kept.datagram.is_empty()).then_some(&kept.datagram[..])
    }

    fn place(&self, index: u64) -> usize {
        index as usize & (self.0.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_as_they_were() {
        let mut ring = SentRing::new();
        assert_eq!(ring.get(0), None);
        for index in 0..200 {
            ring.keep(index, &[index as u8; 3]);
        }
        assert_eq!(ring.get(199), Some(&[199; 3][..]));
        assert_eq!(ring.get(72), Some(&[72; 3][..]));
        assert_eq!(ring.get(71), None);
        assert_eq!(ring.get(200), None);
    }
}
