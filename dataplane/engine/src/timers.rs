//! Wake-up times of everything that has one, in order.
//!
//! Each owner keeps its own entry in a [`Wake`]: arming is free on the packet path when an earlier
//! time is set already. Waking too early is harmless, and so is a key whose owner is gone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::ids::RoomId;

/// Nobody is woken twice within this time, so that a deadline that stays in the past costs a little
/// work and never the worker.
const MIN_STEP: Duration = Duration::from_millis(1);

/// Who is to be woken: keys of the engine's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    Transport(usize),
    Track(usize),
    Room(RoomId),
}

/// When its owner will be woken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wake(Option<Instant>);

#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, TimerKey)>,
    /// After the newest time at which somebody was woken.
    floor: Option<Instant>,
}

impl Timers {
    /// Wakes `key` at `at` or before.
    #[inline]
    pub(crate) fn arm(&mut self, key: TimerKey, wake: &mut Wake, at: Instant) {
        let at = self.floor.map_or(at, |floor| at.max(floor));
        match wake.0 {
            Some(earlier) if earlier <= at => return,
            Some(later) => {
                self.queue.remove(&(later, key));
            }
            None => {}
        }
        wake.0 = Some(at);
        self.queue.insert((at, key));
    }

    /// Ends a wake-up, when its owner goes.
    pub(crate) fn disarm(&mut self, key: TimerKey, wake: &mut Wake) {
        if let Some(at) = wake.0.take() {
            self.queue.remove(&(at, key));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes out one due key. Its owner then calls [`Wake::fired`] and arms again.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<TimerKey> {
        let (at, key) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.floor = Some(now + MIN_STEP);
        Some(key)
    }
}

impl Wake {
    pub(crate) fn fired(&mut self) {
        self.0 = None;
    }
}

/// The earlier of two optional times.
pub(crate) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_owner_has_one_entry_and_only_earlier_times_move_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut timers, mut wake) = (Timers::default(), Wake::default());
        let key = TimerKey::Transport(3);
        timers.arm(key, &mut wake, at(20));
        timers.arm(key, &mut wake, at(30));
        assert_eq!(timers.next(), Some(at(20)));
        timers.arm(key, &mut wake, at(10));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(10)), Some(key));
        assert_eq!(timers.next(), None);
        wake.fired();
        timers.arm(key, &mut wake, at(5));
        assert_eq!(
            timers.pop_due(at(10)),
            None,
            "a deadline in the past does not hold up the rest"
        );
        assert_eq!(timers.pop_due(at(11)), Some(key));
        wake.fired();
        timers.arm(key, &mut wake, at(40));
        timers.disarm(key, &mut wake);
        assert_eq!(timers.next(), None);
    }
}
