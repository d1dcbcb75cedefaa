//! Sender report (RFC 3550, section 6.4.1).

use super::rr::{ReportBlock, ReportBlocks, write_blocks, write_rr};
use super::{MAX_COUNT, number, put_u32, take_u32, write_packet};
use crate::error::{Format, ParseError};
use crate::units::NtpTime;

/// A sender's clock pair and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderInfo {
    /// Wall clock of the report.
    pub ntp: NtpTime,
    /// The same moment in the media clock.
    pub rtp_timestamp: u32,
    /// Packets sent since the beginning.
    pub packet_count: u32,
    /// Payload bytes sent since the beginning, without headers and padding.
    pub octet_count: u32,
}

/// Clock and counts of one sender, and what it received.
#[derive(Debug, Clone)]
pub struct SenderReport<'a> {
    /// The source that is reported on, and reports.
    pub ssrc: u32,
    /// Its clock and counts.
    pub info: SenderInfo,
    /// What it received; may be empty.
    pub reports: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, mut body: &'a [u8]) -> Result<Self, ParseError> {
        const FORMAT: Format = Format::SenderReport;
        let ssrc = take_u32(&mut body, FORMAT)?;
        let seconds = take_u32(&mut body, FORMAT)?;
        let fraction = take_u32(&mut body, FORMAT)?;
        let info = SenderInfo {
            ntp: NtpTime(u64::from(seconds) << 32 | u64::from(fraction)),
            rtp_timestamp: take_u32(&mut body, FORMAT)?,
            packet_count: take_u32(&mut body, FORMAT)?,
            octet_count: take_u32(&mut body, FORMAT)?,
        };
        Ok(Self { ssrc, info, reports: ReportBlocks::parse(count, body, FORMAT)? })
    }
}

/// Appends a sender report; blocks over 31 go into receiver reports behind it.
pub fn write_sr(out: &mut Vec<u8>, ssrc: u32, info: &SenderInfo, reports: &[ReportBlock]) {
    let (first, rest) = reports.split_at(reports.len().min(MAX_COUNT));
    write_packet(out, first.len() as u8, number::SR, |out| {
        put_u32(out, ssrc);
        out.extend(info.ntp.0.to_be_bytes());
        put_u32(out, info.rtp_timestamp);
        put_u32(out, info.packet_count);
        put_u32(out, info.octet_count);
        write_blocks(out, first);
    });
    if !rest.is_empty() {
        write_rr(out, ssrc, rest);
    }
}
