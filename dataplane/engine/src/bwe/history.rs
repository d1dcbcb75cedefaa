//! What was sent and not yet acknowledged, by transport-wide sequence number.

use std::time::{Duration, Instant};

use crate::bwe::probe::ProbeId;

/// Packets remembered: at 5000 packets a second, over a second and a half of round trip.
const CAPACITY: usize = 8192;
/// Extended numbers begin here, so that an older one never falls below zero.
const FIRST_CYCLE: u64 = 1 << 16;

/// What a packet carries; audio is never throttled but counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketClass {
    /// Opus.
    Audio,
    /// A forwarded video packet.
    Video,
    /// A retransmission that was asked for.
    Retransmission,
    /// A probe: padding, or a packet sent again unasked.
    Padding,
}

/// One packet as it left.
#[derive(Clone, Copy, Debug)]
pub struct SentPacket {
    /// Transport-wide sequence number, extended.
    pub seq: u64,
    /// Bytes on the wire, IP and UDP headers included.
    pub size: usize,
    /// What it carries.
    pub class: PacketClass,
    /// The probe cluster it belongs to.
    pub probe: Option<ProbeId>,
    /// When it left.
    pub at: Instant,
}

/// A packet whose fate the peer has told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) sent: SentPacket,
    /// On the peer's clock, any origin; `None`: not received (so far).
    pub(super) arrival: Option<Duration>,
}

/// Ring of sent packets.
#[derive(Debug)]
pub(super) struct History {
    slots: Box<[Option<SentPacket>]>,
    next_seq: u64,
    in_flight: usize,
}

impl History {
    pub(super) fn new() -> Self {
        Self { slots: vec![None; CAPACITY].into_boxed_slice(), next_seq: FIRST_CYCLE, in_flight: 0 }
    }

    /// Remembers a packet; `seq` is the 16-bit number it carries. Numbers rise by one a packet.
    pub(super) fn sent(
        &mut self,
        seq: u16,
        size: usize,
        class: PacketClass,
        probe: Option<ProbeId>,
        at: Instant,
    ) -> SentPacket {
        let seq = self.extend(seq, true);
        self.next_seq = self.next_seq.max(seq + 1);
        let packet = SentPacket { seq, size, class, probe, at };
        if let Some(old) = self.slots[index(seq)].replace(packet) {
            self.in_flight = self.in_flight.saturating_sub(old.size);
        }
        self.in_flight += size;
        packet
    }

    /// Looks up one entry of a feedback message and forgets the packet once it was received.
    pub(super) fn resolve(&mut self, seq: u16, arrival: Option<Duration>) -> Option<Outcome> {
        let seq = self.extend(seq, false);
        let slot = &mut self.slots[index(seq)];
        let sent = slot.filter(|packet| packet.seq == seq)?;
        if arrival.is_some() {
            *slot = None;
            self.in_flight = self.in_flight.saturating_sub(sent.size);
        }
        Some(Outcome { sent, arrival })
    }

    /// Bytes sent and not acknowledged.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The extended number nearest to the newest one.
    fn extend(&self, seq: u16, sending: bool) -> u64 {
        let reference = if sending { self.next_seq } else { self.next_seq.saturating_sub(1) };
        let difference = seq.wrapping_sub(reference as u16).cast_signed();
        reference.saturating_add_signed(i64::from(difference))
    }
}

fn index(seq: u64) -> usize {
    seq as usize % CAPACITY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_and_resolve_once() {
        let (mut history, now) = (History::new(), Instant::now());
        for i in 0..70_000_u32 {
            history.sent(i as u16, 100, PacketClass::Video, None, now);
        }
        let outcome = history.resolve(69_999_u32 as u16, Some(Duration::ZERO)).unwrap();
        assert_eq!(outcome.sent.seq, FIRST_CYCLE + 69_999);
        assert!(history.resolve(69_999_u32 as u16, Some(Duration::ZERO)).is_none());
    }

    #[test]
    fn a_loss_may_be_corrected_by_later_feedback() {
        let (mut history, now) = (History::new(), Instant::now());
        history.sent(0, 100, PacketClass::Audio, None, now);
        assert!(history.resolve(0, None).unwrap().arrival.is_none());
        assert!(history.resolve(0, Some(Duration::ZERO)).is_some());
        assert_eq!(history.in_flight(), 0);
    }

    #[test]
    fn unknown_numbers_are_ignored() {
        let mut history = History::new();
        assert!(history.resolve(77, Some(Duration::ZERO)).is_none());
    }
}
