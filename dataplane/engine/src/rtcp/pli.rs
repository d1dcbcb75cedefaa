//! Picture loss indication (RFC 4585, section 6.3.1).

use super::{number, put_u32, take_u32, write_packet};
use crate::error::{Format, ParseError};

/// A receiver cannot decode until the next keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pli {
    /// Who asks.
    pub sender_ssrc: u32,
    /// Whose keyframe.
    pub media_ssrc: u32,
}

impl Pli {
    pub(super) fn parse(mut body: &[u8]) -> Result<Self, ParseError> {
        Ok(Self {
            sender_ssrc: take_u32(&mut body, Format::Pli)?,
            media_ssrc: take_u32(&mut body, Format::Pli)?,
        })
    }
}

/// Appends a request for a keyframe of `media_ssrc`.
pub fn write_pli(out: &mut Vec<u8>, sender_ssrc: u32, media_ssrc: u32) {
    write_packet(out, number::FMT_PLI, number::PAYLOAD_FEEDBACK, |out| {
        put_u32(out, sender_ssrc);
        put_u32(out, media_ssrc);
    });
}
