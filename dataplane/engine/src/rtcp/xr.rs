//! Extended reports: round trip for receivers that send no media (RFC 3611, sections 4.4, 4.5).

use std::time::Duration;

use super::rr::ReportBlock;
use super::{number, put_u32, take_u32, write_packet};
use crate::error::{Format, ParseError};
use crate::units::NtpTime;

const BLOCK_RRTR: u8 = 4;
const BLOCK_DLRR: u8 = 5;
const BLOCK_HEADER_LEN: usize = 4;
const DLRR_ITEM_LEN: usize = 12;

/// Extended report.
#[derive(Debug, Clone, Copy)]
pub struct Xr<'a> {
    /// Who reports.
    pub sender_ssrc: u32,
    blocks: &'a [u8],
}

/// A block of a kind that we use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XrBlock {
    /// Receiver reference time: asks for a [`XrBlock::Dlrr`] about it.
    Rrtr(NtpTime),
    /// One answer to a receiver reference time.
    Dlrr(DlrrItem),
}

/// How long a sender held one receiver's reference time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DlrrItem {
    /// The receiver that asked.
    pub ssrc: u32,
    /// Middle 32 bits of its reference time.
    pub last_rr: u32,
    /// Time from that report's arrival to this one, in 1/65536 s.
    pub delay_since_last_rr: u32,
}

impl DlrrItem {
    /// Round-trip time, by the rules of [`ReportBlock::round_trip`].
    #[must_use]
    pub fn round_trip(&self, now: u32) -> Option<Duration> {
        let block = ReportBlock {
            last_sr: self.last_rr,
            delay_since_last_sr: self.delay_since_last_rr,
            ..ReportBlock::default()
        };
        block.round_trip(now)
    }
}

impl<'a> Xr<'a> {
    pub(super) fn parse(mut body: &'a [u8]) -> Result<Self, ParseError> {
        let sender_ssrc = take_u32(&mut body, Format::Xr)?;
        let mut rest = body;
        while !rest.is_empty() {
            let (kind, block, behind) = split_block(rest)?;
            let well_sized = match kind {
                BLOCK_RRTR => block.len() == 8,
                BLOCK_DLRR => block.len().is_multiple_of(DLRR_ITEM_LEN),
                _ => true,
            };
            if !well_sized {
                return Err(ParseError::BadLength(Format::Xr));
            }
            rest = behind;
        }
        Ok(Self { sender_ssrc, blocks: body })
    }

    /// Reference times and answers in order, one entry for each; other blocks are skipped.
    pub fn blocks(&self) -> impl Iterator<Item = XrBlock> + use<'a> {
        let mut rest = self.blocks;
        let raw = std::iter::from_fn(move || {
            let (kind, block, behind) = split_block(rest).ok()?;
            rest = behind;
            Some((kind, block))
        });
        raw.flat_map(|(kind, block)| {
            let rrtr = block
                .first_chunk()
                .filter(|_| kind == BLOCK_RRTR)
                .map(|ntp| XrBlock::Rrtr(NtpTime(u64::from_be_bytes(*ntp))));
            let items = if kind == BLOCK_DLRR { block } else { &[] };
            let items = items.as_chunks::<DLRR_ITEM_LEN>().0;
            rrtr.into_iter().chain(items.iter().map(|item| XrBlock::Dlrr(dlrr_item(item))))
        })
    }
}

fn dlrr_item(bytes: &[u8; DLRR_ITEM_LEN]) -> DlrrItem {
    let [s0, s1, s2, s3, l0, l1, l2, l3, d0, d1, d2, d3] = *bytes;
    DlrrItem {
        ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
        last_rr: u32::from_be_bytes([l0, l1, l2, l3]),
        delay_since_last_rr: u32::from_be_bytes([d0, d1, d2, d3]),
    }
}

/// Kind, contents, and what follows.
fn split_block(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), ParseError> {
    const TRUNCATED: ParseError = ParseError::Truncated(Format::Xr);
    let &[kind, _, w0, w1, ..] = bytes else { return Err(TRUNCATED) };
    let len = BLOCK_HEADER_LEN + 4 * usize::from(u16::from_be_bytes([w0, w1]));
    let (block, rest) = bytes.split_at_checked(len).ok_or(TRUNCATED)?;
    Ok((kind, &block[BLOCK_HEADER_LEN..], rest))
}

/// Appends our reference time.
pub fn write_rrtr(out: &mut Vec<u8>, sender_ssrc: u32, now: NtpTime) {
    write_packet(out, 0, number::XR, |out| {
        put_u32(out, sender_ssrc);
        out.extend([BLOCK_RRTR, 0, 0, 2]);
        out.extend(now.0.to_be_bytes());
    });
}

/// Appends answers to receivers' reference times; nothing for none.
pub fn write_dlrr(out: &mut Vec<u8>, sender_ssrc: u32, items: &[DlrrItem]) {
    // One datagram holds far fewer, and a block's length field no more than about 5400.
    const MAX_ITEMS: usize = 80;
    for items in items.chunks(MAX_ITEMS) {
        write_packet(out, 0, number::XR, |out| {
            put_u32(out, sender_ssrc);
            out.extend([BLOCK_DLRR, 0]);
            out.extend(((items.len() * DLRR_ITEM_LEN / 4) as u16).to_be_bytes());
            for item in items {
                put_u32(out, item.ssrc);
                put_u32(out, item.last_rr);
                put_u32(out, item.delay_since_last_rr);
            }
        });
    }
}
