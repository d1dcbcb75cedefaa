//! Losses that may turn out to be late arrivals.
//!
//! A report lists as missing what is merely overtaken. Where the times on the way scatter, a burst of
//! packets so looks like a burst of losses until the next report; so all that is told waits for as
//! long as the times scatter before it is believed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::bwe::history::Outcome;

/// No report is believed later than this.
const MAX_WAIT: Duration = Duration::from_millis(100);
/// Packets that wait at most; the oldest is believed then.
const MAX_WAITING: usize = 2048;

/// What was told of one packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    told: Instant,
    seq: u64,
    pub(super) sent: Instant,
    pub(super) size: usize,
    pub(super) lost: bool,
}

/// What was told and is not believed yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct Fates {
    waiting: VecDeque<Fate>,
}

impl Fates {
    /// A packet was told of for the first time.
    pub(super) fn add(&mut self, outcome: &Outcome, now: Instant) {
        let sent = &outcome.sent;
        let lost = outcome.arrival.is_none();
        let fate = Fate { told: now, seq: sent.seq, sent: sent.at, size: sent.size, lost };
        self.waiting.push_back(fate);
    }

    /// A packet that was told to be lost has come. False: that is believed already.
    pub(super) fn recover(&mut self, seq: u64) -> bool {
        let found = self.waiting.iter_mut().find(|fate| fate.seq == seq);
        found.map(|fate| fate.lost = false).is_some()
    }

    /// The next one to believe, where the times on the way scatter so far.
    pub(super) fn settle(&mut self, scatter: Duration, now: Instant) -> Option<Fate> {
        let wait = scatter.min(MAX_WAIT);
        let oldest = self.waiting.front()?;
        let due = now.saturating_duration_since(oldest.told) >= wait;
        let full = self.waiting.len() > MAX_WAITING;
        if due || full { self.waiting.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bwe::history::SentPacket;

    const MS: Duration = Duration::from_millis(1);

    fn outcome(seq: u64, arrival: Option<Duration>, at: Instant) -> Outcome {
        Outcome { sent: SentPacket { seq, size: 1200, probe: None, at }, arrival, was_lost: false }
    }

    #[test]
    fn what_comes_late_was_never_lost() {
        let (mut fates, start) = (Fates::default(), Instant::now());
        fates.add(&outcome(1, Some(MS), start), start);
        fates.add(&outcome(2, None, start), start);
        fates.add(&outcome(3, None, start), start);
        assert!(fates.settle(60 * MS, start + 59 * MS).is_none());
        assert!(fates.recover(2));
        let mut lost = Vec::new();
        while let Some(fate) = fates.settle(60 * MS, start + 60 * MS) {
            lost.push(fate.lost);
        }
        assert_eq!(lost, [false, false, true]);
        assert!(!fates.recover(3), "believed already");
    }

    #[test]
    fn where_nothing_scatters_all_is_believed_at_once() {
        let (mut fates, start) = (Fates::default(), Instant::now());
        fates.add(&outcome(1, None, start), start);
        assert!(fates.settle(Duration::ZERO, start).is_some_and(|fate| fate.lost));
    }

    #[test]
    fn the_wait_and_the_waiting_are_bounded() {
        let (mut fates, start) = (Fates::default(), Instant::now());
        for seq in 0..=MAX_WAITING as u64 {
            fates.add(&outcome(seq, None, start), start);
        }
        assert!(fates.settle(Duration::MAX, start).is_some());
        assert!(fates.settle(Duration::MAX, start).is_none());
        assert!(fates.settle(Duration::MAX, start + MAX_WAIT).is_some());
    }
}
