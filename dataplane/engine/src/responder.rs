//! Which of a subscriber's NACKs to answer, so that repair never adds to the congestion.
//!
//! [`Responder`], one per outgoing SSRC, judges single packets; [`RepairBudget`], one per
//! transport, bounds bytes and work.
//!
//! Receivers ask at once for a number that was overtaken (libwebrtc, `nack_requester.cc`), and on a
//! path with jitter most of those arrive by themselves. What is asked for a second time is lost.
//! So a part of the budget is kept for second requests.

use std::time::{Duration, Instant};

/// A packet is not sent again within this part of a round trip, in quarters: a receiver asks again after the round
/// trip it measured, and jitter brings half of these requests earlier than by ours. Refused, a packet waits a whole
/// round trip more.
const INTERVAL_QUARTERS: u32 = 3;
/// And never within this.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
/// Requests for one packet that are answered, from the second on with two copies. LiveKit
/// `pkg/sfu/sequencer.go` has the same number.
const MAX_ANSWERS: u8 = 3;
/// Until a keyframe has come, what lost packets of its own included, its receiver shows what was sent
/// before.
const KEYFRAME_ARRIVES: Duration = Duration::from_millis(300);

/// Part of the media bytes that repair may take, and part of one second's media that may be spent in a
/// burst on top of it. str0m `send.rs` caps the share at the same.
const BLIND: Shares = Shares { steady: 0.15, burst: 0.35 };
/// The same where the path is measured and repair counts as a part of what it takes. Where jitter makes
/// packets overtake each other about half of what is asked for was not lost; libwebrtc allows as much as
/// the whole target rate.
const MEASURED: Shares = Shares { steady: 0.3, burst: 0.5 };
/// Bytes/s that repair may always take (20 kbit/s).
const MIN_BYTES_PER_S: f64 = 2_500.0;
/// Bytes of a burst always allowed: about eight packets.
const MIN_BURST: f64 = 10_000.0;
/// Over which the media rate is averaged.
const RATE_WINDOW: Duration = Duration::from_millis(500);
/// Part of the depth that first requests leave for second ones.
const RESERVE: f64 = 0.5;
/// Numbers looked at in one NACK packet.
const MAX_PER_PACKET: u32 = 256;
/// Numbers looked at per second on one transport.
const MAX_PER_SECOND: u32 = 2_000;

/// Why a number is not answered. Ordinary: count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotResent {
    /// From before a keyframe that must have come by now: the receiver does not need it.
    #[error("from before the newest keyframe")]
    BeforeKeyframe,
    /// Sent within about the last round trip: the answer is still under way.
    #[error("sent a moment ago")]
    TooSoon,
    /// Sent again as often as allowed.
    #[error("sent again too often")]
    TooOften,
}

#[derive(Debug, Clone, Copy)]
struct Shares {
    steady: f64,
    burst: f64,
}

/// How sure it is that a packet asked for is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// It may only have been overtaken.
    First,
    /// It did not come since the first time.
    Again,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    out: u64,
    /// When it was asked for first; None: it only went out late.
    first: Option<Instant>,
    /// When it was sent last, other than as one of the answers that were not paid for.
    sent: Option<Instant>,
    /// `sent` before the newest answer.
    sent_before: Option<Instant>,
    answers: u8,
}

/// Remembers what was asked for and sent again on one outgoing SSRC.
#[derive(Debug)]
pub struct Responder {
    /// By `out % len`; a power of two.
    asked: Box<[Option<Asked>]>,
    keyframe: Option<(u64, Instant)>,
}

impl Responder {
    /// Remembers about `packets` of the newest; as many as the cache holds is enough.
    #[must_use]
    pub fn new(packets: usize) -> Self {
        Self { asked: vec![None; packets.next_power_of_two()].into(), keyframe: None }
    }

    /// A keyframe starts at this output number; packets before it are soon not repaired any more.
    pub fn on_keyframe(&mut self, out: u64, now: Instant) {
        self.keyframe = Some((out, now));
    }

    /// A late packet goes out by the ordinary way now: a NACK for it crosses it on the wire.
    pub fn on_late(&mut self, out: u64, now: Instant) {
        let at = self.index(out);
        let sent = Some(now);
        self.asked[at] = Some(Asked { out, first: None, sent, sent_before: None, answers: 0 });
    }

    /// Asks to send an output number again; Ok counts as done. `narrowed`: there is no room for what
    /// came before a keyframe.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(
        &mut self,
        out: u64,
        rtt: Duration,
        narrowed: bool,
        now: Instant,
    ) -> Result<Request, NotResent> {
        let arrives = if narrowed { Duration::ZERO } else { KEYFRAME_ARRIVES };
        let keyframe = self.keyframe.filter(|(first, _)| out < *first);
        if keyframe.is_some_and(|(_, sent)| now.saturating_duration_since(sent) >= arrives) {
            return Err(NotResent::BeforeKeyframe);
        }
        let at = self.index(out);
        let known = self.asked[at].filter(|asked| asked.out == out);
        let (first, sent, answers) =
            known.map_or((None, None, 0), |asked| (asked.first, asked.sent, asked.answers));
        if answers >= MAX_ANSWERS {
            return Err(NotResent::TooOften);
        }
        let interval = (rtt * INTERVAL_QUARTERS / 4).max(MIN_INTERVAL);
        if sent.is_some_and(|sent| now.saturating_duration_since(sent) < interval) {
            return Err(NotResent::TooSoon);
        }
        let again = first.is_some_and(|first| now.saturating_duration_since(first) >= MIN_INTERVAL);
        self.asked[at] = Some(Asked {
            out,
            first: first.or(Some(now)),
            sent: Some(now),
            sent_before: sent,
            answers: answers + 1,
        });
        Ok(if again { Request::Again } else { Request::First })
    }

    /// What was admitted could not be paid for: it may be asked for again.
    pub fn retract(&mut self, out: u64) {
        let at = self.index(out);
        if let Some(asked) = self.asked[at].as_mut().filter(|asked| asked.out == out) {
            asked.sent = asked.sent_before;
            asked.answers = asked.answers.saturating_sub(1);
        }
    }

    fn index(&self, out: u64) -> usize {
        out as usize & (self.asked.len() - 1)
    }
}

/// What one transport may spend on repair.
#[derive(Debug)]
pub struct RepairBudget {
    shares: Shares,
    /// Bytes that may be spent now.
    tokens: f64,
    refilled: Instant,
    media_since_refill: f64,
    window_start: Instant,
    media_in_window: f64,
    media_per_s: f64,
    numbers_in_packet: u32,
    second_start: Instant,
    numbers_in_second: u32,
}

impl RepairBudget {
    /// A budget that allows a small burst at once.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            shares: BLIND,
            tokens: MIN_BURST,
            refilled: now,
            media_since_refill: 0.0,
            window_start: now,
            media_in_window: 0.0,
            media_per_s: 0.0,
            numbers_in_packet: 0,
            second_start: now,
            numbers_in_second: 0,
        }
    }

    /// Media was sent for the first time: it earns its share.
    pub fn on_media(&mut self, bytes: usize) {
        self.media_since_refill += bytes as f64;
        self.media_in_window += bytes as f64;
    }

    /// A NACK packet begins. `measured`: what the path takes is estimated, and repair counts in it.
    pub fn start_packet(&mut self, measured: bool) {
        self.shares = if measured { MEASURED } else { BLIND };
        self.numbers_in_packet = 0;
    }

    /// Asks to look at one more number of the NACK packet; false: ignore the rest of it.
    pub fn admit_number(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.second_start) >= Duration::from_secs(1) {
            self.second_start = now;
            self.numbers_in_second = 0;
        }
        if self.numbers_in_packet == MAX_PER_PACKET || self.numbers_in_second == MAX_PER_SECOND {
            return false;
        }
        self.numbers_in_packet += 1;
        self.numbers_in_second += 1;
        true
    }

    /// Asks to spend bytes on a retransmission; true: they are spent.
    pub fn take(&mut self, bytes: usize, request: Request, now: Instant) -> bool {
        self.refill(now);
        let bytes = bytes as f64;
        let kept = match request {
            Request::First => self.depth() * RESERVE,
            Request::Again => 0.0,
        };
        if self.tokens < bytes + kept {
            return false;
        }
        self.tokens -= bytes;
        true
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        let window = now.saturating_duration_since(self.window_start);
        if window >= RATE_WINDOW {
            let rate = self.media_in_window / window.as_secs_f64();
            self.media_per_s = (self.media_per_s + rate) / 2.0;
            self.window_start = now;
            self.media_in_window = 0.0;
        }
        let earned = (self.media_since_refill * self.shares.steady).max(MIN_BYTES_PER_S * elapsed);
        self.media_since_refill = 0.0;
        self.tokens = (self.tokens + earned).min(self.depth());
    }

    fn depth(&self) -> f64 {
        (self.media_per_s * self.shares.burst).max(MIN_BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_number_is_answered_once_in_most_of_a_round_trip_and_three_times_in_all() {
        let start = Instant::now();
        let mut responder = Responder::new(64);
        let answered =
            (0..10).filter(|i| responder.admit(7, ms(80), false, start + ms(5 * i)).is_ok());
        assert_eq!(answered.count(), 1, "ten requests in 50 ms");
        assert_eq!(responder.admit(7, RTT, false, start + ms(50)), Ok(Request::Again));
        assert_eq!(responder.admit(7, RTT, false, start + ms(87)), Err(NotResent::TooSoon));
        assert_eq!(responder.admit(7, RTT, false, start + ms(88)), Ok(Request::Again));
        assert_eq!(responder.admit(7, RTT, false, start + ms(900)), Err(NotResent::TooOften));
        assert_eq!(responder.admit(8, RTT, false, start), Ok(Request::First));
    }

    #[test]
    fn what_was_not_paid_for_is_no_answer() {
        let start = Instant::now();
        let mut responder = Responder::new(64);
        for i in 0..10 {
            let request = if i < 2 { Request::First } else { Request::Again };
            assert_eq!(responder.admit(7, RTT, false, start + ms(10 * i)), Ok(request));
            responder.retract(7);
        }
        responder.retract(8);
        assert_eq!(responder.admit(7, RTT, false, start + ms(500)), Ok(Request::Again));
        assert_eq!(responder.admit(7, RTT, false, start + ms(501)), Err(NotResent::TooSoon));
    }

    #[test]
    fn short_round_trips_wait_twenty_milliseconds() {
        let start = Instant::now();
        let mut responder = Responder::new(64);
        assert_eq!(responder.admit(7, ms(1), false, start), Ok(Request::First));
        assert_eq!(responder.admit(7, ms(1), false, start + ms(19)), Err(NotResent::TooSoon));
        assert_eq!(responder.admit(7, ms(1), false, start + ms(20)), Ok(Request::Again));
    }

    #[test]
    fn late_packet_under_way_is_not_sent_again_at_once() {
        let start = Instant::now();
        let mut responder = Responder::new(64);
        responder.on_late(7, start);
        assert_eq!(responder.admit(7, RTT, false, start + ms(10)), Err(NotResent::TooSoon));
        assert_eq!(responder.admit(7, RTT, false, start + ms(60)), Ok(Request::First));
    }

    #[test]
    fn packets_before_a_keyframe_are_not_repaired_once_that_must_have_come() {
        let start = Instant::now();
        let mut responder = Responder::new(64);
        responder.on_keyframe(100, start);
        assert_eq!(responder.admit(98, RTT, false, start + ms(299)), Ok(Request::First));
        assert_eq!(responder.admit(97, RTT, true, start), Err(NotResent::BeforeKeyframe));
        assert_eq!(
            responder.admit(99, RTT, false, start + ms(300)),
            Err(NotResent::BeforeKeyframe)
        );
        assert_eq!(responder.admit(100, RTT, false, start + ms(300)), Ok(Request::First));
    }

    #[test]
    fn numbers_are_bounded_per_packet_and_per_second() {
        let start = Instant::now();
        let mut budget = RepairBudget::new(start);
        budget.start_packet(false);
        assert_eq!((0..300).filter(|_| budget.admit_number(start)).count(), 256);
        let mut admitted = 256;
        for _ in 0..20 {
            budget.start_packet(false);
            admitted += (0..300).filter(|_| budget.admit_number(start)).count();
        }
        assert_eq!(admitted, 2000);
        budget.start_packet(false);
        assert!(budget.admit_number(start + ms(1000)));
    }

    #[test]
    fn repair_stays_within_its_share_over_a_policed_link() {
        for (measured, expected) in [(false, 0.15), (true, 0.3)] {
            // 400 kbit/s offered, of which the link loses a part: everything lost is asked for.
            let start = Instant::now();
            let mut budget = RepairBudget::new(start);
            budget.start_packet(measured);
            let (mut media, mut repair) = (0, 0);
            for packet in 0..150 * 50u64 {
                let now = start + ms(20 * packet);
                budget.on_media(1000);
                media += 1000;
                for _ in 0..2 {
                    if budget.take(1000, Request::Again, now) {
                        repair += 1000;
                    }
                }
            }
            let share = f64::from(repair) / f64::from(media);
            assert!((share - expected).abs() < 0.02, "{share}");
        }
    }

    #[test]
    fn a_burst_is_repaired_from_what_was_saved() {
        for (measured, expected) in [(false, 50..=75), (true, 80..=110)] {
            let start = Instant::now();
            let mut budget = RepairBudget::new(start);
            budget.start_packet(measured);
            let mut now = start;
            for _ in 0..400 {
                now += ms(5);
                budget.on_media(1250);
                budget.take(0, Request::Again, now);
            }
            // 2 Mbit/s: a third or a half of a second's bytes at once, and not more.
            let repaired = (0..200).filter(|_| budget.take(1250, Request::Again, now)).count();
            assert!(expected.contains(&repaired), "{repaired}");
        }
    }

    #[test]
    fn first_requests_leave_half_of_the_burst_for_second_ones() {
        let start = Instant::now();
        let mut budget = RepairBudget::new(start);
        let taken = |budget: &mut RepairBudget, request| {
            (0..100).filter(|_| budget.take(1000, request, start)).count()
        };
        assert_eq!(taken(&mut budget, Request::First), 5);
        assert_eq!(taken(&mut budget, Request::Again), 5);
    }

    #[test]
    fn audio_alone_may_always_repair_a_little() {
        let start = Instant::now();
        let mut budget = RepairBudget::new(start);
        while budget.take(100, Request::Again, start) {}
        assert!(!budget.take(100, Request::Again, start + ms(39)));
        assert!(budget.take(100, Request::Again, start + ms(41)));
    }
}
