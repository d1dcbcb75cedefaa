//! What was sent and not yet acknowledged, by transport-wide sequence number.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::bwe::probe::ProbeId;

/// Packets remembered at first: a voice has 50 a second.
const FIRST_CAPACITY: usize = 64;
/// And at most: at 5000 packets a second, over a second and a half of round trip.
const MAX_CAPACITY: usize = 8192;
/// Memory grows rather than forget a packet that left less than this ago and was not acknowledged.
const REMEMBERED: Duration = Duration::from_secs(2);
/// Extended numbers begin here, so that an older one never falls below zero.
const FIRST_CYCLE: u64 = 1 << 16;

/// One packet as it left.
#[derive(Clone, Copy, Debug)]
pub struct SentPacket {
    /// Transport-wide sequence number, extended.
    pub seq: u64,
    /// Bytes on the wire, IP and UDP headers included.
    pub size: usize,
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
    /// It was told to be lost before.
    pub(super) was_lost: bool,
}

/// A place in the ring; small, since there are many.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Since the ring began.
    at_us: u64,
    seq: u32,
    /// 0: none.
    probe: u32,
    /// Bytes sent up to and with it, modulo 2^32.
    total: u32,
    size: u16,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Sent,
    Lost,
}

const EMPTY: Entry = Entry { at_us: 0, seq: 0, probe: 0, total: 0, size: 0, state: State::Empty };

/// Ring of sent packets.
#[derive(Debug)]
pub(super) struct History {
    /// By number modulo its length, a power of two.
    entries: Vec<Entry>,
    began: Option<Instant>,
    next_seq: u64,
    /// Bytes sent, and the same up to the newest packet that the peer has told of.
    total: u32,
    told: (u64, u32),
}

impl History {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), began: None, next_seq: FIRST_CYCLE, total: 0, told: (0, 0) }
    }

    /// Remembers a packet; `seq` is the 16-bit number it carries. Numbers rise by one a packet.
    pub(super) fn sent(&mut self, seq: u16, size: usize, probe: Option<ProbeId>, at: Instant) {
        let seq = self.extend(seq, true);
        self.next_seq = self.next_seq.max(seq + 1);
        let began = *self.began.get_or_insert(at);
        let at_us = at.saturating_duration_since(began).as_micros() as u64;
        self.make_room(seq, at_us);
        let size = size.min(usize::from(u16::MAX)) as u16;
        let probe = probe.map_or(0, |probe| probe.0);
        let index = self.index(seq);
        self.total = self.total.wrapping_add(size.into());
        let (seq, total) = (seq as u32, self.total);
        self.entries[index] = Entry { at_us, seq, probe, total, size, state: State::Sent };
    }

    /// Looks up one entry of a feedback message and forgets the packet once it was received.
    /// `None`: unknown, or told before.
    pub(super) fn resolve(&mut self, seq: u16, arrival: Option<Duration>) -> Option<Outcome> {
        let began = self.began?;
        let seq = self.extend(seq, false);
        let index = self.index(seq);
        let entry = &mut self.entries[index];
        if entry.state == State::Empty || entry.seq != seq as u32 {
            return None;
        }
        let was_lost = entry.state == State::Lost;
        entry.state = if arrival.is_some() { State::Empty } else { State::Lost };
        let sent = SentPacket {
            seq,
            size: usize::from(entry.size),
            probe: (entry.probe != 0).then_some(ProbeId(entry.probe)),
            at: began + Duration::from_micros(entry.at_us),
        };
        if seq > self.told.0 {
            self.told = (seq, entry.total);
        }
        (arrival.is_some() || !was_lost).then_some(Outcome { sent, arrival, was_lost })
    }

    /// Which of `count` numbers from `base` on may be in the ring, as distances from `base`. A few bytes
    /// can tell of 65535 packets that were never sent.
    pub(super) fn remembered(&self, base: u16, count: u16) -> Range<u16> {
        let first = self.extend(base, false);
        let oldest = self.next_seq.saturating_sub(self.entries.len() as u64);
        let within = |number: u64| number.saturating_sub(first).min(count.into()) as u16;
        let (from, to) = (within(oldest), within(self.next_seq));
        from..to
    }

    /// Bytes sent after the newest packet that the peer has told of.
    pub(super) fn in_flight(&self) -> usize {
        self.total.wrapping_sub(self.told.1) as usize
    }

    /// Doubles the ring if the place of a new packet is held by one that is waited for.
    fn make_room(&mut self, seq: u64, at_us: u64) {
        let len = self.entries.len();
        let held = self.entries.get(seq as usize % len.max(1));
        let waits = held.is_some_and(|entry| {
            let young = at_us.saturating_sub(entry.at_us) < REMEMBERED.as_micros() as u64;
            entry.state != State::Empty && young
        });
        if len > 0 && (!waits || len >= MAX_CAPACITY) {
            return;
        }
        let more = (len * 2).max(FIRST_CAPACITY);
        let old = std::mem::replace(&mut self.entries, vec![EMPTY; more]);
        for entry in old.into_iter().filter(|entry| entry.state != State::Empty) {
            self.entries[entry.seq as usize % more] = entry;
        }
    }

    fn index(&self, seq: u64) -> usize {
        seq as usize & (self.entries.len() - 1)
    }

    /// The extended number nearest to the newest one.
    fn extend(&self, seq: u16, sending: bool) -> u64 {
        let reference = if sending { self.next_seq } else { self.next_seq.saturating_sub(1) };
        let difference = seq.wrapping_sub(reference as u16).cast_signed();
        reference.saturating_add_signed(i64::from(difference))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn only_what_was_sent_and_may_be_remembered_is_looked_at() {
        let (mut history, now) = (History::new(), Instant::now());
        assert_eq!(history.remembered(0, u16::MAX), 0..0, "nothing was sent");
        for i in 65_000..65_600_u32 {
            history.sent(i as u16, 100, None, now + MS * (i - 65_000));
        }
        let last = 65_599_u32 as u16;
        assert_eq!(history.remembered(last - 9, 10), 0..10);
        assert_eq!(history.remembered(last - 9, u16::MAX), 0..10, "what was never sent");
        let len = history.entries.len() as u16;
        assert_eq!(history.remembered(last.wrapping_sub(20_000), 20_001), 20_001 - len..20_001);
        assert_eq!(history.remembered(last.wrapping_sub(20_000), 10), 10..10, "what is too old");
        assert_eq!(history.remembered(last + 1, 100), 0..0);
    }

    #[test]
    fn numbers_wrap_and_resolve_once() {
        let (mut history, now) = (History::new(), Instant::now());
        for i in 0..70_000_u32 {
            history.sent(i as u16, 100, None, now);
        }
        let outcome = history.resolve(69_999_u32 as u16, Some(Duration::ZERO)).unwrap();
        assert_eq!(outcome.sent.seq, FIRST_CYCLE + 69_999);
        assert!(history.resolve(69_999_u32 as u16, Some(Duration::ZERO)).is_none());
    }

    #[test]
    fn a_loss_is_told_once_and_may_be_corrected() {
        let (mut history, now) = (History::new(), Instant::now());
        history.sent(0, 100, None, now);
        assert!(history.resolve(0, None).unwrap().arrival.is_none());
        assert!(history.resolve(0, None).is_none());
        assert!(history.resolve(0, Some(Duration::ZERO)).unwrap().was_lost);
        assert_eq!(history.in_flight(), 0);
    }

    #[test]
    fn unknown_numbers_are_ignored() {
        let (mut history, now) = (History::new(), Instant::now());
        assert!(history.resolve(77, Some(Duration::ZERO)).is_none());
        history.sent(0, 100, None, now);
        assert!(history.resolve(77, Some(Duration::ZERO)).is_none());
    }

    #[test]
    fn memory_follows_what_is_on_the_way() {
        let (mut voice, mut video, start) = (History::new(), History::new(), Instant::now());
        for i in 0..2000_u32 {
            voice.sent(i as u16, 100, None, start + 20 * MS * i);
            voice.resolve(i.wrapping_sub(10) as u16, Some(Duration::ZERO));
            video.sent(i as u16, 1200, Some(ProbeId(i + 1)), start + MS * i);
            video.resolve(i.wrapping_sub(500) as u16, Some(Duration::ZERO));
        }
        assert_eq!((voice.entries.len(), video.entries.len()), (64, 512));
        let outcome = video.resolve(1700, Some(Duration::ZERO)).unwrap();
        assert_eq!((outcome.sent.probe, outcome.sent.at), (Some(ProbeId(1701)), start + 1700 * MS));
    }
}
