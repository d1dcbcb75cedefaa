//! Source description: CNAMEs (RFC 3550, section 6.5).

use super::{MAX_COUNT, number, put_u32, take_u32, write_packet};
use crate::error::{Format, ParseError};

const ITEM_END: u8 = 0;
const ITEM_CNAME: u8 = 1;
const MAX_ITEM_LEN: usize = 255;

/// Names of sources.
#[derive(Debug, Clone, Copy)]
pub struct Sdes<'a> {
    count: u8,
    body: &'a [u8],
}

/// One source's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SdesChunk<'a> {
    /// The source.
    pub ssrc: u32,
    /// Ties sources of one participant together; bytes of the peer, not checked for UTF-8.
    pub cname: Option<&'a [u8]>,
}

impl<'a> Sdes<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, ParseError> {
        let mut rest = body;
        for _ in 0..count {
            rest = split_chunk(rest)?.1;
        }
        Ok(Self { count, body })
    }

    /// The chunks in order.
    pub fn chunks(&self) -> impl Iterator<Item = SdesChunk<'a>> + use<'a> {
        let mut rest = self.body;
        (0..self.count).map_while(move |_| {
            let (chunk, behind) = split_chunk(rest).ok()?;
            rest = behind;
            Some(chunk)
        })
    }
}

/// One chunk and what follows its padding. Items end with a zero byte, which must be there.
fn split_chunk(bytes: &[u8]) -> Result<(SdesChunk<'_>, &[u8]), ParseError> {
    const TRUNCATED: ParseError = ParseError::Truncated(Format::Sdes);
    let mut items = bytes;
    let ssrc = take_u32(&mut items, Format::Sdes)?;
    let mut cname = None;
    let mut at = 0;
    loop {
        let kind = *items.get(at).ok_or(TRUNCATED)?;
        if kind == ITEM_END {
            break;
        }
        let len = usize::from(*items.get(at + 1).ok_or(TRUNCATED)?);
        let value = items.get(at + 2..at + 2 + len).ok_or(TRUNCATED)?;
        if kind == ITEM_CNAME {
            cname.get_or_insert(value);
        }
        at += 2 + len;
    }
    let rest = items.get((at + 1).next_multiple_of(4)..).ok_or(TRUNCATED)?;
    Ok((SdesChunk { ssrc, cname }, rest))
}

/// Appends the CNAMEs of `sources`; more packets if there are over 31, none for none. A CNAME is
/// cut at 255 bytes.
pub fn write_sdes(out: &mut Vec<u8>, sources: &[(u32, &[u8])]) {
    for chunks in sources.chunks(MAX_COUNT) {
        write_packet(out, chunks.len() as u8, number::SDES, |out| {
            for (ssrc, cname) in chunks {
                let cname = &cname[..cname.len().min(MAX_ITEM_LEN)];
                put_u32(out, *ssrc);
                out.extend([ITEM_CNAME, cname.len() as u8]);
                out.extend(cname);
                // One to four zeros: the end, and padding to a word.
                let len = 2 + cname.len();
                out.extend(&[ITEM_END; 4][..(len + 1).next_multiple_of(4) - len]);
            }
        });
    }
}
