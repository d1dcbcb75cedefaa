//! Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03).

use super::{number, put_u32, take_u32, words, write_packet};
use crate::error::{Format, ParseError};
use crate::units::Bitrate;

const IDENTIFIER: &[u8; 4] = b"REMB";
const MANTISSA_BITS: u32 = 18;
/// The list's length is one byte.
const MAX_SSRCS: usize = 255;

/// A receiver's estimate of what reaches it.
#[derive(Debug, Clone, Copy)]
pub struct Remb<'a> {
    /// Who estimates.
    pub sender_ssrc: u32,
    /// Total for the sources listed.
    pub bitrate: Bitrate,
    ssrcs: &'a [u8],
}

impl<'a> Remb<'a> {
    /// Whether application-layer feedback is this one.
    pub(super) fn is_remb(body: &[u8]) -> bool {
        body.get(8..12) == Some(IDENTIFIER)
    }

    pub(super) fn parse(mut body: &'a [u8]) -> Result<Self, ParseError> {
        let sender_ssrc = take_u32(&mut body, Format::Remb)?;
        // "SSRC of media source" is always 0; the identifier was looked at before.
        take_u32(&mut body, Format::Remb)?;
        take_u32(&mut body, Format::Remb)?;
        let word = take_u32(&mut body, Format::Remb)?;
        let count = (word >> 24) as usize;
        let (exponent, mantissa) = (word >> MANTISSA_BITS & 0x3F, u64::from(word & 0x3_FFFF));
        let bps = mantissa << exponent;
        if bps >> exponent != mantissa {
            return Err(ParseError::BadValue(Format::Remb));
        }
        let ssrcs = body.get(..4 * count).ok_or(ParseError::Truncated(Format::Remb))?;
        Ok(Self { sender_ssrc, bitrate: Bitrate::bps(bps), ssrcs })
    }

    /// The sources it is about.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        words(self.ssrcs)
    }
}

/// Appends an estimate, rounded down to 18 significant bits, for the first 255 of `ssrcs`.
pub fn write_remb(out: &mut Vec<u8>, sender_ssrc: u32, bitrate: Bitrate, ssrcs: &[u32]) {
    let ssrcs = &ssrcs[..ssrcs.len().min(MAX_SSRCS)];
    let bps = bitrate.as_bps();
    let exponent = (u64::BITS - bps.leading_zeros()).saturating_sub(MANTISSA_BITS);
    let mantissa = (bps >> exponent) as u32;
    write_packet(out, number::FMT_AFB, number::PAYLOAD_FEEDBACK, |out| {
        put_u32(out, sender_ssrc);
        put_u32(out, 0);
        out.extend(IDENTIFIER);
        put_u32(out, (ssrcs.len() as u32) << 24 | exponent << MANTISSA_BITS | mantissa);
        ssrcs.iter().for_each(|ssrc| put_u32(out, *ssrc));
    });
}
