//! Asks a publisher again for packets that did not arrive: one generator per media SSRC.
//!
//! Feed it what [`crate::seq_num::SeqTracker`] says about each packet; call [`NackGenerator::due`]
//! on a tick of 10 to 20 ms, or at once when told [`Action::NackNow`], and put the numbers into one
//! generic NACK (RFC 4585, section 6.2.1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Shortest wait before the first request: most reordering is over by then.
const MIN_REORDER_WAIT: Duration = Duration::from_millis(10);
/// Longest wait that a reordering network is granted.
const MAX_REORDER_WAIT: Duration = Duration::from_millis(100);
/// Samples above the estimate raise it 19 times as far as those below lower it: the 95th centile.
const REORDER_RISE: u32 = 19;
/// Part of the distance by which one sample moves the estimate, times [`REORDER_RISE`].
const REORDER_STEP: u32 = 40;
/// A gap of so many packets is loss, not reordering: ask at once ...
const BURST: u64 = 3;
/// ... unless packets came out of order by themselves within this time.
const REORDERING_MEMORY: Duration = Duration::from_secs(10);
/// Shortest time between two requests for a number.
const MIN_RETRY: Duration = Duration::from_millis(20);
/// A number is not asked for later than this: its frame is long over.
const GIVE_UP: Duration = Duration::from_millis(1500);
/// A larger gap is an outage: a keyframe is cheaper than repair.
const MAX_GAP: u64 = 1000;
/// Requests per number, and numbers waited for, of video (libwebrtc has 10 and 1000).
const VIDEO_TRIES: u8 = 8;
const VIDEO_MISSING: usize = 500;
/// For audio a late packet is soon useless: after a longer round trip it is not asked for, nor sent
/// again.
pub(crate) const MAX_AUDIO_RTT: Duration = Duration::from_millis(100);
const AUDIO_TRIES: u8 = 2;
const AUDIO_MISSING: usize = 50;

/// What the caller should do besides waiting for the tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Wait,
    /// Call [`NackGenerator::due`] now: a burst was lost.
    NackNow,
    /// Too much is missing to repair: request a keyframe. Only for video.
    RequestKeyframe,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    seq: u64,
    since: Instant,
    next: Instant,
    tries: u8,
}

/// The numbers one media SSRC owes us.
#[derive(Debug)]
pub struct NackGenerator {
    /// Ascending by number.
    missing: VecDeque<Missing>,
    reorder_wait: Duration,
    last_reordered: Option<Instant>,
    last_keyframe: u64,
    max_tries: u8,
    max_missing: usize,
    wants_keyframes: bool,
    /// Over longer ways nothing is asked for.
    max_rtt: Duration,
}

impl NackGenerator {
    /// For video: eight tries, and a keyframe request when it gets too much.
    #[must_use]
    pub fn video() -> Self {
        Self::new(VIDEO_TRIES, VIDEO_MISSING, Duration::MAX, true)
    }

    /// For audio: two tries where the way is short, and what is lost beyond that is left to redundancy
    /// and concealment.
    #[must_use]
    pub fn audio() -> Self {
        Self::new(AUDIO_TRIES, AUDIO_MISSING, MAX_AUDIO_RTT, false)
    }

    fn new(max_tries: u8, max_missing: usize, max_rtt: Duration, wants_keyframes: bool) -> Self {
        Self {
            missing: VecDeque::with_capacity(max_missing),
            reorder_wait: MIN_REORDER_WAIT,
            last_reordered: None,
            last_keyframe: 0,
            max_tries,
            max_missing,
            wants_keyframes,
            max_rtt,
        }
    }

    /// A packet is the newest, and `gap` numbers directly before it have not been seen.
    pub fn on_newest(&mut self, seq: u64, gap: u64, now: Instant) -> Action {
        if gap == 0 {
            return Action::Wait;
        }
        if gap > MAX_GAP {
            return self.overflow();
        }
        let in_order = self
            .last_reordered
            .is_none_or(|last| now.saturating_duration_since(last) > REORDERING_MEMORY);
        let burst = gap >= BURST && in_order;
        let first_wait = if burst { Duration::ZERO } else { self.reorder_wait };
        for lost in seq - gap..seq {
            if self.missing.len() == self.max_missing && !self.make_room() {
                return self.overflow();
            }
            let entry = Missing { seq: lost, since: now, next: now + first_wait, tries: 0 };
            self.missing.push_back(entry);
        }
        if burst { Action::NackNow } else { Action::Wait }
    }

    /// A late packet came, by itself or (`repaired`) as a retransmission.
    ///
    /// True if it was waited for.
    pub fn on_late(&mut self, seq: u64, repaired: bool, now: Instant) -> bool {
        let Ok(at) = self.missing.binary_search_by_key(&seq, |missing| missing.seq) else {
            return false;
        };
        if let Some(entry) = self.missing.remove(at)
            && !repaired
        {
            self.last_reordered = Some(now);
            self.learn_reordering(now.saturating_duration_since(entry.since));
        }
        true
    }

    /// A keyframe starts at this number; what was lost before it matters less.
    pub fn on_keyframe(&mut self, seq: u64) {
        self.last_keyframe = self.last_keyframe.max(seq);
    }

    /// Forgets everything: the source restarted, stopped or is not wanted.
    pub fn clear(&mut self) {
        self.missing.clear();
    }

    /// Hands out the numbers to ask for now, ascending, as they are on the wire.
    pub fn due(&mut self, now: Instant, rtt: Duration, mut request: impl FnMut(u16)) {
        if rtt > self.max_rtt {
            return self.missing.clear();
        }
        let max_tries = self.max_tries;
        self.missing.retain_mut(|entry| {
            if now.saturating_duration_since(entry.since) > GIVE_UP {
                return false;
            }
            if now < entry.next {
                return true;
            }
            if entry.tries == max_tries {
                return false;
            }
            request(entry.seq as u16);
            entry.next = now + retry_after(rtt, entry.tries);
            entry.tries += 1;
            true
        });
    }

    /// When [`Self::due`] has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.missing.iter().map(|entry| entry.next).min()
    }

    fn learn_reordering(&mut self, delay: Duration) {
        let delay = delay.min(MAX_REORDER_WAIT);
        self.reorder_wait = if delay > self.reorder_wait {
            self.reorder_wait + (delay - self.reorder_wait) * REORDER_RISE / REORDER_STEP
        } else {
            self.reorder_wait - (self.reorder_wait - delay) / REORDER_STEP
        };
        self.reorder_wait = self.reorder_wait.max(MIN_REORDER_WAIT);
    }

    /// Gives up what was lost before the last keyframe; false if that frees nothing.
    fn make_room(&mut self) -> bool {
        let before = self.missing.len();
        let keyframe = self.last_keyframe;
        self.missing.retain(|entry| entry.seq >= keyframe);
        if !self.wants_keyframes && self.missing.len() == before {
            self.missing.pop_front();
        }
        self.missing.len() < before
    }

    fn overflow(&mut self) -> Action {
        self.missing.clear();
        if self.wants_keyframes { Action::RequestKeyframe } else { Action::Wait }
    }
}

/// A little over one round trip, a quarter longer with each try.
fn retry_after(rtt: Duration, tries: u8) -> Duration {
    let first = (rtt * 11 / 10).max(MIN_RETRY);
    (0..tries).fold(first, |wait, _| wait * 5 / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn due(nack: &mut NackGenerator, now: Instant) -> Vec<u16> {
        let mut seqs = Vec::new();
        nack.due(now, RTT, |seq| seqs.push(seq));
        seqs
    }

    #[test]
    fn single_loss_is_asked_for_after_the_reorder_wait_and_then_each_round_trip() {
        let start = Instant::now();
        let mut nack = NackGenerator::video();
        assert_eq!(nack.on_newest(65_538, 1, start), Action::Wait);
        assert_eq!(nack.poll_timeout(), Some(start + ms(10)));
        assert_eq!(due(&mut nack, start + ms(9)), []);
        assert_eq!(due(&mut nack, start + ms(10)), [1]);
        assert_eq!(due(&mut nack, start + ms(60)), []);
        assert_eq!(due(&mut nack, start + ms(65)), [1]);
        assert!(nack.on_late(65_537, true, start + ms(80)));
        assert!(!nack.on_late(65_537, true, start + ms(80)));
        assert_eq!(nack.poll_timeout(), None);
    }

    #[test]
    fn reordering_repaired_in_time_asks_for_nothing() {
        let start = Instant::now();
        let mut nack = NackGenerator::video();
        nack.on_newest(102, 1, start);
        nack.on_newest(103, 0, start + ms(2));
        nack.on_newest(104, 0, start + ms(4));
        assert!(nack.on_late(101, false, start + ms(8)));
        assert_eq!(due(&mut nack, start + ms(100)), []);
    }

    #[test]
    fn a_reordering_network_is_given_more_time() {
        let mut now = Instant::now();
        let mut nack = NackGenerator::video();
        for seq in 0..100 {
            nack.on_newest(100 + 2 * seq, 1, now);
            nack.on_late(99 + 2 * seq, false, now + ms(40));
            now += ms(50);
        }
        nack.on_newest(1000, 1, now);
        assert_eq!(due(&mut nack, now + ms(30)), []);
        assert_eq!(due(&mut nack, now + ms(100)), [999]);
    }

    #[test]
    fn burst_of_fifty_is_asked_for_at_once_over_the_wrap() {
        let start = Instant::now();
        let mut nack = NackGenerator::video();
        assert_eq!(nack.on_newest((1 << 17) + 20, 50, start), Action::NackNow);
        let seqs = due(&mut nack, start);
        assert_eq!(seqs.len(), 50);
        assert_eq!((seqs[0], seqs[49]), (65_506, 19));
    }

    #[test]
    fn tries_and_time_are_bounded() {
        let start = Instant::now();
        for (mut nack, expected) in [(NackGenerator::video(), 8), (NackGenerator::audio(), 2)] {
            nack.on_newest(102, 1, start);
            let mut asked = 0;
            for tick in 1..300 {
                nack.due(start + ms(10 * tick), ms(30), |_| asked += 1);
            }
            assert_eq!(asked, expected);
            assert_eq!(nack.poll_timeout(), None);
        }
        let mut nack = NackGenerator::video();
        nack.on_newest(102, 1, start);
        assert_eq!(due(&mut nack, start + ms(1501)), []);
        assert_eq!(nack.poll_timeout(), None);
    }

    #[test]
    fn sound_is_not_asked_for_over_a_long_way() {
        let start = Instant::now();
        for (rtt, expected) in [(ms(100), 1), (ms(101), 0)] {
            let mut nack = NackGenerator::audio();
            nack.on_newest(102, 1, start);
            let mut asked = 0;
            nack.due(start + ms(50), rtt, |_| asked += 1);
            assert_eq!(asked, expected);
            assert_eq!(nack.poll_timeout().is_some(), expected > 0, "and it is not waited for");
        }
    }

    #[test]
    fn outage_asks_for_a_keyframe_instead() {
        let start = Instant::now();
        let mut nack = NackGenerator::video();
        assert_eq!(nack.on_newest(2000, 1001, start), Action::RequestKeyframe);
        assert_eq!(due(&mut nack, start + ms(50)), []);
        let mut nack = NackGenerator::audio();
        assert_eq!(nack.on_newest(2000, 1001, start), Action::Wait);
    }

    #[test]
    fn overflow_drops_what_lies_before_the_keyframe_first() {
        let start = Instant::now();
        let mut nack = NackGenerator::video();
        nack.on_newest(1000, 300, start);
        nack.on_keyframe(1000);
        assert_eq!(nack.on_newest(1300, 299, start), Action::NackNow);
        assert_eq!(due(&mut nack, start).len(), 299);
        assert_eq!(nack.on_newest(1600, 299, start), Action::RequestKeyframe);
        assert_eq!(due(&mut nack, start + ms(50)), []);
    }

    #[test]
    fn audio_overflow_forgets_the_oldest() {
        let start = Instant::now();
        let mut nack = NackGenerator::audio();
        nack.on_newest(100, 40, start);
        nack.on_newest(120, 19, start);
        let seqs = due(&mut nack, start);
        assert_eq!((seqs.len(), seqs[0], seqs[49]), (50, 69, 119));
    }
}
