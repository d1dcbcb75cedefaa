//! RTCP: compound packets, one file per kind.
//!
//! Reading borrows from the decrypted datagram; each kind checks all of its lengths when parsed,
//! so that the iterators it gives cannot fail and end within the packet. Writing appends whole
//! RTCP packets to a `Vec`, one after the other, so that a compound is just several calls.

mod bye;
mod fir;
mod nack;
mod pli;
mod remb;
mod rr;
mod sdes;
mod sr;
mod twcc;
mod xr;

pub use bye::{Bye, write_bye};
pub use fir::{Fir, FirEntry, write_fir};
pub use nack::{Nack, write_nack};
pub use pli::{Pli, write_pli};
pub use remb::{Remb, write_remb};
pub use rr::{ReceiverReport, ReportBlock, ReportBlocks, write_rr};
pub use sdes::{Sdes, SdesChunk, write_sdes};
pub use sr::{SenderInfo, SenderReport, write_sr};
pub use twcc::{Arrival, ArrivalClock, MAX_FEEDBACK_LEN, Twcc, build_twcc};
pub use xr::{DlrrItem, Xr, XrBlock, write_dlrr, write_rrtr};

use crate::error::{Format, ParseError};

const VERSION: u8 = 2;
const HEADER_LEN: usize = 4;
/// Largest count that the header's five bits can hold: report blocks, chunks, sources.
const MAX_COUNT: usize = 31;

/// Packet types and formats (IANA "RTP parameters").
mod number {
    pub(super) const SR: u8 = 200;
    pub(super) const RR: u8 = 201;
    pub(super) const SDES: u8 = 202;
    pub(super) const BYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
    pub(super) const XR: u8 = 207;
    pub(super) const FMT_NACK: u8 = 1;
    pub(super) const FMT_TWCC: u8 = 15;
    pub(super) const FMT_PLI: u8 = 1;
    pub(super) const FMT_FIR: u8 = 4;
    pub(super) const FMT_AFB: u8 = 15;
}

/// One RTCP packet of a kind that we use.
#[derive(Debug, Clone)]
pub enum Rtcp<'a> {
    /// Clock and counts of a sender.
    SenderReport(SenderReport<'a>),
    /// What a receiver got.
    ReceiverReport(ReceiverReport<'a>),
    /// Names of sources.
    Sdes(Sdes<'a>),
    /// Sources that stopped.
    Bye(Bye<'a>),
    /// Packets that are missing.
    Nack(Nack<'a>),
    /// Keyframe wanted.
    Pli(Pli),
    /// Keyframe wanted, counted.
    Fir(Fir<'a>),
    /// Arrival times of all packets of a transport.
    Twcc(Twcc<'a>),
    /// Receiver's estimate of the path.
    Remb(Remb<'a>),
    /// Round trip for receivers that send nothing.
    Xr(Xr<'a>),
}

/// Iterator over a compound; a single packet and a reduced-size compound (RFC 5506) are fine.
///
/// Packets of unknown kinds are skipped. After an error it ends: what came before stays valid
/// (the whole datagram was authenticated by SRTCP).
#[derive(Debug, Clone)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Over a decrypted datagram.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<Rtcp<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let parsed = Packet::split(self.rest).and_then(|(packet, rest)| {
                self.rest = rest;
                packet.interpret()
            });
            match parsed {
                Ok(None) => {}
                Ok(Some(packet)) => return Some(Ok(packet)),
                Err(error) => {
                    self.rest = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// One packet, taken out of its compound by the common header.
#[derive(Debug, Clone, Copy)]
struct Packet<'a> {
    /// Number of blocks, or the feedback format.
    count: u8,
    kind: u8,
    /// Behind the header, padding taken off.
    body: &'a [u8],
}

impl<'a> Packet<'a> {
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let &[flags, kind, w0, w1, ..] = bytes else {
            return Err(ParseError::Truncated(Format::Rtcp));
        };
        if flags >> 6 != VERSION {
            return Err(ParseError::BadVersion(Format::Rtcp));
        }
        let len = HEADER_LEN + 4 * usize::from(u16::from_be_bytes([w0, w1]));
        let (packet, rest) =
            bytes.split_at_checked(len).ok_or(ParseError::Truncated(Format::Rtcp))?;
        let mut body = &packet[HEADER_LEN..];
        if flags & 0x20 != 0 {
            let count = usize::from(*body.last().ok_or(ParseError::BadPadding(Format::Rtcp))?);
            // Not a multiple of four in the transport-wide feedback of libwebrtc.
            if count == 0 || count > body.len() {
                return Err(ParseError::BadPadding(Format::Rtcp));
            }
            body = &body[..body.len() - count];
        }
        Ok((Self { count: flags & 0x1F, kind, body }, rest))
    }

    fn interpret(self) -> Result<Option<Rtcp<'a>>, ParseError> {
        let Self { count, kind, body } = self;
        Ok(Some(match (kind, count) {
            (number::SR, _) => Rtcp::SenderReport(SenderReport::parse(count, body)?),
            (number::RR, _) => Rtcp::ReceiverReport(ReceiverReport::parse(count, body)?),
            (number::SDES, _) => Rtcp::Sdes(Sdes::parse(count, body)?),
            (number::BYE, _) => Rtcp::Bye(Bye::parse(count, body)?),
            (number::TRANSPORT_FEEDBACK, number::FMT_NACK) => Rtcp::Nack(Nack::parse(body)?),
            (number::TRANSPORT_FEEDBACK, number::FMT_TWCC) => Rtcp::Twcc(Twcc::parse(body)?),
            (number::PAYLOAD_FEEDBACK, number::FMT_PLI) => Rtcp::Pli(Pli::parse(body)?),
            (number::PAYLOAD_FEEDBACK, number::FMT_FIR) => Rtcp::Fir(Fir::parse(body)?),
            (number::PAYLOAD_FEEDBACK, number::FMT_AFB) if Remb::is_remb(body) => {
                Rtcp::Remb(Remb::parse(body)?)
            }
            (number::XR, _) => Rtcp::Xr(Xr::parse(body)?),
            _ => return Ok(None),
        }))
    }
}

/// Splits a `u32` off the front; [`ParseError::Truncated`] if there is none.
fn take_u32(bytes: &mut &[u8], format: Format) -> Result<u32, ParseError> {
    let (word, rest) = bytes.split_first_chunk().ok_or(ParseError::Truncated(format))?;
    *bytes = rest;
    Ok(u32::from_be_bytes(*word))
}

/// Whole words of a slice whose length was checked; a remainder is left out.
fn words(bytes: &[u8]) -> impl ExactSizeIterator<Item = u32> + Clone + '_ {
    bytes.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word))
}

/// Appends one packet: header, what `body` appends, and the length word that follows from it.
/// `body` must append a multiple of four bytes.
fn write_packet(out: &mut Vec<u8>, count: u8, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([VERSION << 6 | count & 0x1F, kind, 0, 0]);
    body(out);
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

fn put_u32(out: &mut Vec<u8>, word: u32) {
    out.extend(word.to_be_bytes());
}

#[cfg(test)]
mod tests;
