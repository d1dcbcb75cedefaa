//! Generic NACK (RFC 4585, section 6.2.1).

use super::{number, put_u32, take_u32, words, write_packet};
use crate::error::{Format, ParseError};

/// Packets after the first that one entry's bitmask can name.
const MASK_BITS: u16 = 16;

/// Packets that a receiver misses.
#[derive(Debug, Clone, Copy)]
pub struct Nack<'a> {
    /// Who misses them.
    pub sender_ssrc: u32,
    /// The source they were sent by.
    pub media_ssrc: u32,
    entries: &'a [u8],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(mut body: &'a [u8]) -> Result<Self, ParseError> {
        let sender_ssrc = take_u32(&mut body, Format::Nack)?;
        let media_ssrc = take_u32(&mut body, Format::Nack)?;
        if body.is_empty() {
            return Err(ParseError::Truncated(Format::Nack));
        }
        Ok(Self { sender_ssrc, media_ssrc, entries: body })
    }

    /// The missing numbers, in the order sent: at most 17 per entry, repeats possible. The caller
    /// bounds how many it answers.
    pub fn sequences(&self) -> impl Iterator<Item = u16> + use<'a> {
        words(self.entries).flat_map(|entry| {
            let (first, mask) = ((entry >> 16) as u16, entry as u16);
            let named = (0..MASK_BITS).filter(move |bit| mask >> bit & 1 == 1);
            std::iter::once(first).chain(named.map(move |bit| first.wrapping_add(bit + 1)))
        })
    }
}

/// Appends a NACK for `missing`, which is sorted (modulo 2^16), with at most `max_entries` PID and
/// bitmask pairs. Nothing is written if there is nothing to name.
///
/// Returns how many of `missing` are named; call again with the rest.
pub fn write_nack(
    out: &mut Vec<u8>,
    sender_ssrc: u32,
    media_ssrc: u32,
    missing: &[u16],
    max_entries: usize,
) -> usize {
    if missing.is_empty() || max_entries == 0 {
        return 0;
    }
    let mut named = 0;
    write_packet(out, number::FMT_NACK, number::TRANSPORT_FEEDBACK, |out| {
        put_u32(out, sender_ssrc);
        put_u32(out, media_ssrc);
        for _ in 0..max_entries {
            let Some(&first) = missing.get(named) else { break };
            named += 1;
            let mut mask = 0u16;
            while let Some(&next) = missing.get(named) {
                match next.wrapping_sub(first) {
                    0 => {}
                    distance if distance <= MASK_BITS => mask |= 1 << (distance - 1),
                    _ => break,
                }
                named += 1;
            }
            put_u32(out, u32::from(first) << 16 | u32::from(mask));
        }
    });
    named
}
