//! Goodbye (RFC 3550, section 6.6).

use super::{MAX_COUNT, number, put_u32, words, write_packet};
use crate::error::{Format, ParseError};

/// Sources that stopped. The reason text is ignored.
#[derive(Debug, Clone, Copy)]
pub struct Bye<'a> {
    sources: &'a [u8],
}

impl<'a> Bye<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, ParseError> {
        let sources =
            body.get(..4 * usize::from(count)).ok_or(ParseError::Truncated(Format::Bye))?;
        Ok(Self { sources })
    }

    /// The sources; the caller checks that they are the sender's own.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        words(self.sources)
    }
}

/// Appends a goodbye for `ssrcs`; more packets if there are over 31, none for none.
pub fn write_bye(out: &mut Vec<u8>, ssrcs: &[u32]) {
    for ssrcs in ssrcs.chunks(MAX_COUNT) {
        write_packet(out, ssrcs.len() as u8, number::BYE, |out| {
            ssrcs.iter().for_each(|ssrc| put_u32(out, *ssrc));
        });
    }
}
