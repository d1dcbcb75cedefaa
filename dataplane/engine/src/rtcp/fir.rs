//! Full intra request (RFC 5104, section 4.3.1).

use super::{number, put_u32, take_u32, write_packet};
use crate::error::{Format, ParseError};

const ENTRY_LEN: usize = 8;

/// Keyframes wanted of several sources.
#[derive(Debug, Clone, Copy)]
pub struct Fir<'a> {
    /// Who asks.
    pub sender_ssrc: u32,
    entries: &'a [[u8; ENTRY_LEN]],
}

/// One source's keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirEntry {
    /// Whose keyframe.
    pub media_ssrc: u32,
    /// Changes with each new request; the same number is a repeated one.
    pub sequence: u8,
}

impl<'a> Fir<'a> {
    pub(super) fn parse(mut body: &'a [u8]) -> Result<Self, ParseError> {
        let sender_ssrc = take_u32(&mut body, Format::Fir)?;
        // "SSRC of media source" is unused here.
        take_u32(&mut body, Format::Fir)?;
        let (entries, remainder) = body.as_chunks();
        if entries.is_empty() || !remainder.is_empty() {
            return Err(ParseError::BadLength(Format::Fir));
        }
        Ok(Self { sender_ssrc, entries })
    }

    /// The requests in order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = FirEntry> + use<'a> {
        self.entries.iter().map(|&[s0, s1, s2, s3, sequence, ..]| FirEntry {
            media_ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
            sequence,
        })
    }
}

/// Appends a request for one source's keyframe.
pub fn write_fir(out: &mut Vec<u8>, sender_ssrc: u32, entry: FirEntry) {
    write_packet(out, number::FMT_FIR, number::PAYLOAD_FEEDBACK, |out| {
        put_u32(out, sender_ssrc);
        put_u32(out, 0);
        put_u32(out, entry.media_ssrc);
        out.extend([entry.sequence, 0, 0, 0]);
    });
}
