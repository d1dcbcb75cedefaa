//! Transport-wide congestion control feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3).

mod build;

pub use build::{Arrival, MAX_FEEDBACK_LEN, build_twcc};

use super::take_u32;
use crate::error::{Format, ParseError};

/// Unit of a delta.
const TICK_US: i64 = 250;
/// Unit of the reference time: 64 ms.
const TICKS_PER_REFERENCE: i64 = 256;
/// The reference time has 24 bits: it wraps every 12.4 days.
const REFERENCE_MASK: i64 = 0xFF_FFFF;
const TICKS_PER_WRAP: i64 = (REFERENCE_MASK + 1) * TICKS_PER_REFERENCE;
const CHUNK_LEN: usize = 2;
/// Base sequence, status count, reference time, feedback count.
const FIXED_LEN: usize = 8;
/// Symbols that a vector chunk holds: one bit each, or two.
const ONE_BIT_SYMBOLS: usize = 14;
const TWO_BIT_SYMBOLS: usize = 7;
const MAX_RUN: usize = 0x1FFF;

/// What became of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Symbol {
    NotReceived = 0,
    /// One byte: 0..=63.75 ms after the packet before.
    SmallDelta = 1,
    /// Two bytes, signed: up to 8.2 s either way.
    LargeDelta = 2,
}

impl Symbol {
    fn from_bits(bits: u16) -> Result<Self, ParseError> {
        match bits & 0b11 {
            0 => Ok(Self::NotReceived),
            1 => Ok(Self::SmallDelta),
            2 => Ok(Self::LargeDelta),
            _ => Err(ParseError::BadValue(Format::Twcc)),
        }
    }

    const fn delta_len(self) -> usize {
        self as usize
    }
}

/// One chunk: a run of one symbol, or a short vector of symbols.
#[derive(Debug, Clone, Copy)]
enum Chunk {
    Run(Symbol, usize),
    OneBit(u16),
    TwoBit(u16),
}

impl Chunk {
    fn parse(&[high, low]: &[u8; CHUNK_LEN]) -> Result<Self, ParseError> {
        let word = u16::from_be_bytes([high, low]);
        match word >> 14 {
            0b10 => Ok(Self::OneBit(word)),
            0b11 => Ok(Self::TwoBit(word)),
            _ => Ok(Self::Run(Symbol::from_bits(word >> 13)?, usize::from(word) & MAX_RUN)),
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Run(_, len) => len,
            Self::OneBit(_) => ONE_BIT_SYMBOLS,
            Self::TwoBit(_) => TWO_BIT_SYMBOLS,
        }
    }

    /// Symbol at `at`, which is less than [`Chunk::len`].
    fn symbol(self, at: usize) -> Result<Symbol, ParseError> {
        match self {
            Self::Run(symbol, _) => Ok(symbol),
            Self::OneBit(word) => Symbol::from_bits(word >> (ONE_BIT_SYMBOLS - 1 - at) & 1),
            Self::TwoBit(word) => Symbol::from_bits(word >> (2 * (TWO_BIT_SYMBOLS - 1 - at))),
        }
    }

    /// Bytes of delta that its first `count` packets have. A run is not walked.
    fn delta_len(self, count: usize) -> Result<usize, ParseError> {
        match self {
            Self::Run(symbol, _) => Ok(symbol.delta_len() * count),
            _ => (0..count).map(|at| self.symbol(at).map(Symbol::delta_len)).sum(),
        }
    }
}

/// Arrival times of consecutive packets of a transport.
///
/// A few bytes can claim 65535 lost packets, so nothing here walks packet by packet but over the
/// received ones, each of which takes at least a byte. Lost is what lies in
/// `base_sequence .. base_sequence + status_count` and is not among [`Twcc::received`].
#[derive(Debug, Clone, Copy)]
pub struct Twcc<'a> {
    /// Who received.
    pub sender_ssrc: u32,
    /// Any source of the transport.
    pub media_ssrc: u32,
    /// Number of the first packet reported on.
    pub base_sequence: u16,
    /// How many packets are reported on, lost ones included; at least 1.
    pub status_count: u16,
    /// Counts the reports of this receiver.
    pub feedback_count: u8,
    reference: u32,
    chunks: &'a [[u8; CHUNK_LEN]],
    deltas: &'a [u8],
}

impl<'a> Twcc<'a> {
    /// Checks chunks and deltas in time proportional to the packet's length.
    pub(super) fn parse(mut body: &'a [u8]) -> Result<Self, ParseError> {
        const TRUNCATED: ParseError = ParseError::Truncated(Format::Twcc);
        let sender_ssrc = take_u32(&mut body, Format::Twcc)?;
        let media_ssrc = take_u32(&mut body, Format::Twcc)?;
        let (&[b0, b1, c0, c1, r0, r1, r2, feedback_count], rest) =
            body.split_first_chunk::<FIXED_LEN>().ok_or(TRUNCATED)?;
        let status_count = u16::from_be_bytes([c0, c1]);
        if status_count == 0 {
            return Err(ParseError::BadValue(Format::Twcc));
        }
        let mut left = usize::from(status_count);
        let mut deltas_len = 0;
        let mut chunk_count = 0;
        let (all_chunks, _) = rest.as_chunks();
        while left > 0 {
            let chunk = Chunk::parse(all_chunks.get(chunk_count).ok_or(TRUNCATED)?)?;
            let used = chunk.len().min(left);
            deltas_len += chunk.delta_len(used)?;
            left -= used;
            chunk_count += 1;
        }
        let (chunks, _) = all_chunks.split_at(chunk_count);
        let start = chunk_count * CHUNK_LEN;
        let deltas = rest.get(start..start + deltas_len).ok_or(TRUNCATED)?;
        Ok(Self {
            sender_ssrc,
            media_ssrc,
            base_sequence: u16::from_be_bytes([b0, b1]),
            status_count,
            feedback_count,
            reference: u32::from_be_bytes([0, r0, r1, r2]),
            chunks,
            deltas,
        })
    }

    /// Packets that arrived: number, and arrival time in microseconds of the receiver's clock.
    ///
    /// That clock starts anywhere and wraps every 12.4 days, also within a report: times are in
    /// `0..2^24 * 64 ms`, and only differences modulo that mean something.
    #[must_use]
    pub fn received(&self) -> Received<'a> {
        Received {
            chunks: self.chunks.iter(),
            chunk: Chunk::Run(Symbol::NotReceived, 0),
            at: 0,
            sequence: self.base_sequence,
            left: usize::from(self.status_count),
            ticks: i64::from(self.reference) * TICKS_PER_REFERENCE,
            deltas: self.deltas,
        }
    }
}

/// Arrival times of one receiver on a clock that does not wrap. Reports come more often than half a
/// wrap, so the nearest reading is the right one.
#[derive(Debug, Clone, Default)]
pub struct ArrivalClock {
    newest_us: Option<i64>,
}

impl ArrivalClock {
    /// The next time as [`Twcc::received`] gives it, from the first one on.
    pub fn unwrap(&mut self, at_us: i64) -> i64 {
        const WRAP_US: i64 = TICKS_PER_WRAP * TICK_US;
        let newest_us = self.newest_us.get_or_insert(at_us);
        let ahead = (at_us - *newest_us).rem_euclid(WRAP_US);
        let at_us = *newest_us + if ahead < WRAP_US / 2 { ahead } else { ahead - WRAP_US };
        *newest_us = at_us.max(*newest_us);
        at_us
    }
}

/// Iterator over the packets of a report that arrived.
#[derive(Debug, Clone)]
pub struct Received<'a> {
    chunks: std::slice::Iter<'a, [u8; CHUNK_LEN]>,
    chunk: Chunk,
    at: usize,
    /// Of the packet at `at` in `chunk`.
    sequence: u16,
    left: usize,
    ticks: i64,
    deltas: &'a [u8],
}

impl Iterator for Received<'_> {
    /// (transport-wide sequence number, arrival in microseconds)
    type Item = (u16, i64);

    fn next(&mut self) -> Option<(u16, i64)> {
        while self.left > 0 {
            if self.at >= self.chunk.len() {
                self.chunk = Chunk::parse(self.chunks.next()?).ok()?;
                self.at = 0;
                if let Chunk::Run(Symbol::NotReceived, len) = self.chunk {
                    let skipped = len.min(self.left);
                    self.sequence = self.sequence.wrapping_add(skipped as u16);
                    self.left -= skipped;
                    self.at = len;
                    continue;
                }
            }
            // A run of length 0 is legal, if pointless.
            if self.chunk.len() == 0 {
                continue;
            }
            let symbol = self.chunk.symbol(self.at).ok()?;
            let sequence = self.sequence;
            self.at += 1;
            self.sequence = sequence.wrapping_add(1);
            self.left -= 1;
            let delta = match symbol {
                Symbol::NotReceived => continue,
                Symbol::SmallDelta => {
                    let (delta, rest) = self.deltas.split_first()?;
                    self.deltas = rest;
                    i64::from(*delta)
                }
                Symbol::LargeDelta => {
                    let (delta, rest) = self.deltas.split_first_chunk()?;
                    self.deltas = rest;
                    i64::from(i16::from_be_bytes(*delta))
                }
            };
            self.ticks += delta;
            return Some((sequence, self.ticks.rem_euclid(TICKS_PER_WRAP) * TICK_US));
        }
        None
    }
}
