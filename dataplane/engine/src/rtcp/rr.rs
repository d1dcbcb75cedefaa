//! Receiver report and the report block it shares with the sender report (RFC 3550, 6.4).

use std::time::Duration;

use super::{MAX_COUNT, number, put_u32, take_u32, write_packet};
use crate::error::{Format, ParseError};
use crate::units::q16_to_duration;

const BLOCK_LEN: usize = 24;
/// A longer round trip is a stale or forged report.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);

/// Reception of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the beginning; 24 bits signed, negative after duplicates.
    pub cumulative_lost: i32,
    /// Highest sequence number, extended by its cycles.
    pub highest_sequence: u32,
    /// Interarrival jitter in RTP ticks.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time; 0 before the first.
    pub last_sr: u32,
    /// Time from that report's arrival to this block, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    fn parse(bytes: &[u8; BLOCK_LEN]) -> Self {
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Self {
            ssrc: word(0),
            fraction_lost: bytes[4],
            // Shifted up and back down, to extend the sign.
            cumulative_lost: ((word(4) << 8) as i32) >> 8,
            highest_sequence: word(8),
            jitter: word(12),
            last_sr: word(16),
            delay_since_last_sr: word(20),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7F_FFFF) as u32 & 0xFF_FFFF;
        put_u32(out, self.ssrc);
        put_u32(out, u32::from(self.fraction_lost) << 24 | lost);
        put_u32(out, self.highest_sequence);
        put_u32(out, self.jitter);
        put_u32(out, self.last_sr);
        put_u32(out, self.delay_since_last_sr);
    }

    /// Round-trip time, if our sender report came back.
    ///
    /// `now` is the middle 32 bits of the NTP time (in the clock of the reports we sent) at which
    /// this block arrived. None without a sender report, and for what would be nothing, negative,
    /// or over 10 s.
    #[must_use]
    pub fn round_trip(&self, now: u32) -> Option<Duration> {
        if self.last_sr == 0 {
            return None;
        }
        // Modulo 2^32: compact NTP wraps every 18.2 hours.
        let ticks = now.wrapping_sub(self.last_sr).wrapping_sub(self.delay_since_last_sr);
        let round_trip = q16_to_duration(ticks);
        (ticks != 0 && round_trip < MAX_ROUND_TRIP).then_some(round_trip)
    }
}

/// Iterator over the report blocks of one packet.
#[derive(Debug, Clone)]
pub struct ReportBlocks<'a> {
    blocks: std::slice::Iter<'a, [u8; BLOCK_LEN]>,
}

impl<'a> ReportBlocks<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8], format: Format) -> Result<Self, ParseError> {
        let blocks = body.as_chunks().0.get(..usize::from(count));
        blocks.map(|blocks| Self { blocks: blocks.iter() }).ok_or(ParseError::Truncated(format))
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        self.blocks.next().map(ReportBlock::parse)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.blocks.size_hint()
    }
}

impl ExactSizeIterator for ReportBlocks<'_> {}

/// What a participant that sends nothing received.
#[derive(Debug, Clone)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub sender_ssrc: u32,
    /// One block per source; may be empty.
    pub reports: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, mut body: &'a [u8]) -> Result<Self, ParseError> {
        let sender_ssrc = take_u32(&mut body, Format::ReceiverReport)?;
        let reports = ReportBlocks::parse(count, body, Format::ReceiverReport)?;
        Ok(Self { sender_ssrc, reports })
    }
}

/// Appends receiver reports: one packet, more if there are over 31 blocks; an empty one for none.
pub fn write_rr(out: &mut Vec<u8>, sender_ssrc: u32, reports: &[ReportBlock]) {
    let (first, rest) = reports.split_at(reports.len().min(MAX_COUNT));
    write_packet(out, first.len() as u8, number::RR, |out| {
        put_u32(out, sender_ssrc);
        write_blocks(out, first);
    });
    if !rest.is_empty() {
        write_rr(out, sender_ssrc, rest);
    }
}

pub(super) fn write_blocks(out: &mut Vec<u8>, reports: &[ReportBlock]) {
    reports.iter().for_each(|report| report.write(out));
}
