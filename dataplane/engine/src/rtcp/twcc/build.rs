//! Writing feedback: arrivals to symbols, symbols to chunks, split where a packet is full.

use super::{
    MAX_RUN, ONE_BIT_SYMBOLS, REFERENCE_MASK, Symbol, TICK_US, TICKS_PER_REFERENCE, TWO_BIT_SYMBOLS,
};
use crate::rtcp::{number, put_u32, write_packet};

/// A feedback packet is at most this long, so that SRTCP's trailer and a path with less than an
/// Ethernet MTU leave it whole.
pub const MAX_FEEDBACK_LEN: usize = 1200;
/// Common header, two SSRCs, fixed part.
const HEAD_LEN: usize = 20;
/// A wider gap is a restart of the sender's numbers, not loss, and is not reported on.
const MAX_GAP: u64 = MAX_RUN as u64;

/// One packet that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Transport-wide number, extended to 64 bits.
    pub sequence: u64,
    /// Microseconds of any clock that does not jump; not negative.
    pub at_us: i64,
}

/// Builds the RTCP packets that report `arrivals`, which are sorted by number without repeats.
///
/// `base` is the first number to report on: what lies between it and the first arrival counts as
/// lost. Each packet is at most [`MAX_FEEDBACK_LEN`] long; a new one begins also where a delta
/// leaves the 16 bits it has (8.19 s). `feedback_count` is the number for the first, and is left
/// at the number for the next call.
#[must_use]
pub fn build_twcc(
    sender_ssrc: u32,
    media_ssrc: u32,
    feedback_count: &mut u8,
    base: u64,
    arrivals: &[Arrival],
) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut base = base;
    let mut left = arrivals;
    while let Some(first) = left.first() {
        let report = Report::gather(base, first.at_us, left);
        packets.push(report.write(sender_ssrc, media_ssrc, *feedback_count));
        *feedback_count = feedback_count.wrapping_add(1);
        left = &left[report.taken..];
        base = report.next_base;
    }
    packets
}

/// The contents of one packet.
struct Report {
    base: u64,
    next_base: u64,
    reference: i64,
    symbols: Vec<Symbol>,
    deltas: Vec<u8>,
    taken: usize,
}

impl Report {
    /// Takes arrivals from the front of `arrivals`, at least one.
    fn gather(base: u64, first_us: i64, arrivals: &[Arrival]) -> Self {
        let reference = first_us / TICK_US / TICKS_PER_REFERENCE;
        let mut report = Self {
            base,
            next_base: base,
            reference,
            symbols: Vec::new(),
            deltas: Vec::new(),
            taken: 0,
        };
        let mut ticks = reference * TICKS_PER_REFERENCE;
        // Bound of the chunks' size so far, counted in symbols of a two-bit vector.
        let mut chunk_symbols = 0;
        for arrival in arrivals {
            let mut gap = arrival.sequence.saturating_sub(report.next_base);
            if gap > MAX_GAP {
                if report.taken > 0 {
                    report.next_base = arrival.sequence;
                    break;
                }
                report.base = arrival.sequence;
                gap = 0;
            }
            // From the rounded time of the packet before, so that rounding does not add up.
            let delta = arrival.at_us / TICK_US - ticks;
            let Ok(large_delta) = i16::try_from(delta) else { break };
            let symbol =
                if (0..=255).contains(&delta) { Symbol::SmallDelta } else { Symbol::LargeDelta };
            // A long gap splits the vector it falls into and adds a run: three chunks at most.
            chunk_symbols += match gap as usize {
                short @ ..ONE_BIT_SYMBOLS => short + 1,
                _ => 3 * TWO_BIT_SYMBOLS + 1,
            };
            let len = HEAD_LEN
                + 2 * chunk_symbols.div_ceil(TWO_BIT_SYMBOLS)
                + report.deltas.len()
                + symbol.delta_len();
            let statuses = report.symbols.len() + gap as usize + 1;
            if report.taken > 0 && (len > MAX_FEEDBACK_LEN - 4 || statuses > usize::from(u16::MAX))
            {
                break;
            }
            report.symbols.resize(report.symbols.len() + gap as usize, Symbol::NotReceived);
            report.symbols.push(symbol);
            match symbol {
                Symbol::SmallDelta => report.deltas.push(delta as u8),
                _ => report.deltas.extend(large_delta.to_be_bytes()),
            }
            ticks += delta;
            report.next_base = arrival.sequence + 1;
            report.taken += 1;
        }
        report
    }

    fn write(&self, sender_ssrc: u32, media_ssrc: u32, feedback_count: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_LEN + self.deltas.len() + self.symbols.len() / 2);
        write_packet(&mut out, number::FMT_TWCC, number::TRANSPORT_FEEDBACK, |out| {
            put_u32(out, sender_ssrc);
            put_u32(out, media_ssrc);
            out.extend((self.base as u16).to_be_bytes());
            out.extend((self.symbols.len() as u16).to_be_bytes());
            let reference = (self.reference & REFERENCE_MASK) as u32;
            put_u32(out, reference << 8 | u32::from(feedback_count));
            write_chunks(out, &self.symbols);
            out.extend(&self.deltas);
            out.resize(out.len().next_multiple_of(4), 0);
        });
        out
    }
}

/// Runs where they are longer than a vector would be, else the widest vector that fits.
fn write_chunks(out: &mut Vec<u8>, mut symbols: &[Symbol]) {
    while let Some(&first) = symbols.first() {
        let run = symbols.iter().take(MAX_RUN).take_while(|symbol| **symbol == first).count();
        let vector = &symbols[..symbols.len().min(ONE_BIT_SYMBOLS)];
        let one_bit = !vector.contains(&Symbol::LargeDelta);
        let widest = if one_bit { ONE_BIT_SYMBOLS } else { TWO_BIT_SYMBOLS };
        let (word, used) = if run >= widest.min(symbols.len()) {
            ((first as u16) << 13 | run as u16, run)
        } else if one_bit {
            (vector_bits(0b10, vector, 1, ONE_BIT_SYMBOLS), vector.len())
        } else {
            let vector = &vector[..vector.len().min(TWO_BIT_SYMBOLS)];
            (vector_bits(0b11, vector, 2, TWO_BIT_SYMBOLS), vector.len())
        };
        out.extend(word.to_be_bytes());
        symbols = &symbols[used..];
    }
}

/// A vector chunk; places that `symbols` does not fill stay "not received".
fn vector_bits(tag: u16, symbols: &[Symbol], width: usize, places: usize) -> u16 {
    symbols.iter().enumerate().fold(tag << 14, |word, (at, symbol)| {
        word | (*symbol as u16) << (width * (places - 1 - at))
    })
}
