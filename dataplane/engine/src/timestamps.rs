//! Timestamps of one outgoing stream over changes of its source.
//!
//! Receivers pace pictures and align sound by timestamps, so after a switch they must continue the
//! time of capture. Sender reports tell it: both sources' reports lie on our wall clock (see
//! [`crate::sender::PublisherClock`]), so the distance of their first and last frames is known.
//! Without reports the time of sending has to do. The map of one source is one constant.

use std::time::{Duration, Instant};

use crate::sender::SourceClock;

/// How long a switch waits for the reports that would align it. Two report intervals are less.
const MAX_WAIT_FOR_REPORT: Duration = Duration::from_secs(3);
/// A keyframe captured so much before the last frame sent is worth asking another.
/// LiveKit `pkg/sfu/forwarder.go`.
const MAX_BEHIND: Duration = Duration::from_millis(50);
/// Alignment further than this from the time of sending is a wrong clock.
const MAX_DEVIATION: Duration = Duration::from_secs(2);
/// After a mute the publisher's clock may have stood still. LiveKit, as above.
const MAX_DEVIATION_AFTER_MUTE: Duration = Duration::from_millis(200);
/// Two switches within this are a loop (livekit#4594) ...
const RAPID: Duration = Duration::from_millis(100);
/// ... which is broken for so long.
const RAPID_BLOCK: Duration = Duration::from_secs(1);
/// Step of a switch that only the time of sending can place: one frame of audio.
const MIN_STEP: Duration = Duration::from_millis(20);

/// How the new source relates to what was sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    /// Another source, while the old one still runs: the switch may be refused.
    Running,
    /// Another source, or the same one restarted; nothing runs meanwhile.
    Rebound,
    /// The same source, after we had paused it.
    Resumed,
    /// The same source, after the publisher sent nothing; its clock may have stood still.
    Unmuted,
}

/// Stay with the running source and try again at its next keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A sender report is missing; asked long enough, the switch is done without.
    #[error("no sender report yet")]
    NoReport,
    /// The keyframe is older than what was sent. Refused once, then squeezed in.
    #[error("keyframe behind the running source")]
    Behind,
    /// Two switches in a moment.
    #[error("switched a moment ago")]
    TooSoon,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    out: u32,
    sent: Instant,
}

/// Timestamps of one outgoing SSRC.
#[derive(Debug)]
pub struct TimestampMap {
    clock_rate: u32,
    /// Output minus source timestamp.
    shift: u32,
    newest: Option<Newest>,
    waiting_since: Option<Instant>,
    refused_behind: bool,
    last_switch: Option<Instant>,
    blocked_until: Option<Instant>,
    rapid_switches: u32,
}

impl TimestampMap {
    /// `clock_rate` in ticks per second, the same for all sources.
    #[must_use]
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            shift: 0,
            newest: None,
            waiting_since: None,
            refused_behind: false,
            last_switch: None,
            blocked_until: None,
            rapid_switches: 0,
        }
    }

    /// Starts a source at timestamp `first` and returns the output timestamp for it.
    ///
    /// `old` and `new` are the newest sender reports of the two sources, if they came after the
    /// source last stopped. The first source of all keeps its timestamps.
    ///
    /// # Errors
    /// Only in [`Situation::Running`]; nothing has changed then.
    pub fn switch(
        &mut self,
        first: u32,
        old: Option<SourceClock>,
        new: Option<SourceClock>,
        situation: Situation,
        now: Instant,
    ) -> Result<u32, Refused> {
        let running = situation == Situation::Running;
        let Some(newest) = self.newest else {
            return Ok(self.begin(first, first, running, now));
        };
        if running {
            self.check_rapid(now)?;
        }
        let aligned = match situation {
            Situation::Resumed | Situation::Unmuted => Some(first.wrapping_add(self.shift)),
            Situation::Running | Situation::Rebound => self.align(first, old, new),
        };
        if running && aligned.is_none() {
            let since = *self.waiting_since.get_or_insert(now);
            if now.saturating_duration_since(since) < MAX_WAIT_FOR_REPORT {
                return Err(Refused::NoReport);
            }
        }
        let elapsed = now.saturating_duration_since(newest.sent);
        let expected = newest.out.wrapping_add(self.ticks(elapsed));
        let out = aligned
            .filter(|aligned| self.is_plausible(*aligned, expected, situation))
            .unwrap_or_else(|| newest.out.wrapping_add(self.ticks(elapsed.max(MIN_STEP))));
        let behind = distance(newest.out, out);
        if behind < 0 {
            return Ok(self.begin(first, out, running, now));
        }
        if running && !self.refused_behind && behind > i64::from(self.ticks(MAX_BEHIND)) {
            self.refused_behind = true;
            return Err(Refused::Behind);
        }
        Ok(self.begin(first, newest.out.wrapping_add(1), running, now))
    }

    /// The output timestamp of a forwarded packet of the current source, new or late.
    pub fn map(&mut self, timestamp: u32, now: Instant) -> u32 {
        let out = timestamp.wrapping_add(self.shift);
        if self.newest.is_none_or(|newest| distance(out, newest.out) > 0) {
            self.newest = Some(Newest { out, sent: now });
        }
        out
    }

    /// Output minus source timestamp, for [`crate::sender::Mapping::Source`] and what is sent again.
    #[must_use]
    pub fn shift(&self) -> u32 {
        self.shift
    }

    /// Switches refused because the last one was just done.
    #[must_use]
    pub fn rapid_switches(&self) -> u32 {
        self.rapid_switches
    }

    fn begin(&mut self, first: u32, out: u32, running: bool, now: Instant) -> u32 {
        self.shift = out.wrapping_sub(first);
        self.newest = Some(Newest { out, sent: now });
        self.waiting_since = None;
        self.refused_behind = false;
        // A start is no switch: a better layer may well come right after it.
        self.last_switch = running.then_some(now);
        out
    }

    fn check_rapid(&mut self, now: Instant) -> Result<(), Refused> {
        if self.blocked_until.is_some_and(|until| now < until) {
            return Err(Refused::TooSoon);
        }
        if self.last_switch.is_some_and(|last| now.saturating_duration_since(last) < RAPID) {
            self.blocked_until = Some(now + RAPID_BLOCK);
            self.rapid_switches = self.rapid_switches.wrapping_add(1);
            return Err(Refused::TooSoon);
        }
        Ok(())
    }

    /// Where the new source's timestamp lies on the old source's clock, in output ticks.
    fn align(&self, first: u32, old: Option<SourceClock>, new: Option<SourceClock>) -> Option<u32> {
        let (old, new) = (old?, new?);
        #[expect(clippy::cast_possible_wrap, reason = "the signed distance is what is wanted")]
        let apart = i128::from(new.ntp.0.wrapping_sub(old.ntp.0) as i64);
        // 32.32 seconds to ticks, rounded; modulo 2^32 like every timestamp.
        let apart = ((apart * i128::from(self.clock_rate) + (1 << 31)) >> 32) as u32;
        let since_report = first.wrapping_sub(new.rtp);
        let on_old_clock = old.rtp.wrapping_add(apart).wrapping_add(since_report);
        Some(on_old_clock.wrapping_add(self.shift))
    }

    fn is_plausible(&self, aligned: u32, expected: u32, situation: Situation) -> bool {
        let ahead = distance(aligned, expected);
        let limit = i64::from(self.ticks(MAX_DEVIATION));
        let limit_behind = match situation {
            Situation::Unmuted => i64::from(self.ticks(MAX_DEVIATION_AFTER_MUTE)),
            _ => limit,
        };
        (-limit_behind..=limit).contains(&ahead)
    }

    fn ticks(&self, time: Duration) -> u32 {
        (time.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000) as u32
    }
}

/// Signed distance of two timestamps modulo 2^32: positive when `to` lies before `from`.
fn distance(from: u32, to: u32) -> i64 {
    #[expect(clippy::cast_possible_wrap, reason = "the signed distance is what is wanted")]
    let distance = from.wrapping_sub(to) as i32;
    i64::from(distance)
}

#[cfg(test)]
mod tests {
    use crate::units::NtpTime;

    use super::*;

    const RATE: u32 = 90_000;
    const NTP: NtpTime = NtpTime(4_000_000_000 << 32);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// One layer: its timestamp at capture time zero.
    #[derive(Clone, Copy)]
    struct Layer {
        base: u32,
    }

    impl Layer {
        fn timestamp(self, at: Duration) -> u32 {
            self.base.wrapping_add((at.as_millis() as u32).wrapping_mul(90))
        }

        fn report(self, at: Duration, start: Instant) -> Option<SourceClock> {
            let rtp = self.timestamp(at);
            Some(SourceClock { ntp: NTP.plus(at), rtp, arrival: start + at })
        }
    }

    const LOW: Layer = Layer { base: 12_345 };
    /// Wraps within the first second.
    const HIGH: Layer = Layer { base: u32::MAX - 40_000 };

    fn started(start: Instant) -> TimestampMap {
        let mut map = TimestampMap::new(RATE);
        assert_eq!(map.switch(LOW.base, None, None, Situation::Rebound, start), Ok(LOW.base));
        map
    }

    #[test]
    fn switches_with_reports_keep_the_capture_clock() {
        // The second stream wraps, the first one, both at once.
        for (first, second) in [(LOW, HIGH), (HIGH, LOW), (HIGH, Layer { base: HIGH.base + 7 })] {
            keeps_the_capture_clock(first, second);
        }
    }

    fn keeps_the_capture_clock(first: Layer, second: Layer) {
        let start = Instant::now();
        let mut map = TimestampMap::new(RATE);
        assert_eq!(map.switch(first.base, None, None, Situation::Rebound, start), Ok(first.base));
        let (mut old, mut new) = (first, second);
        let (mut newest, mut decreases) = (first.base, 0);
        for frame in 1..20 * 30u64 {
            // Arrival jitter of up to 40 ms must not reach the timestamps.
            let capture = ms(frame * 33);
            let now = start + capture + ms(frame * 7 % 40);
            let out = if frame % 30 == 0 {
                let report = ms(frame / 30 * 900);
                let (before, after) =
                    (old.report(report, start), new.report(report + ms(333), start));
                let begins = new.timestamp(capture);
                (old, new) = (new, old);
                map.switch(begins, before, after, Situation::Running, now).unwrap()
            } else {
                map.map(old.timestamp(capture), now)
            };
            let expected = first.timestamp(capture);
            assert!(distance(out, expected).abs() <= 90, "{frame}: {out} {expected}");
            assert_eq!(map.map(old.timestamp(capture), now), out, "the frame's other packets");
            decreases += usize::from(distance(out, newest) <= 0);
            newest = out;
        }
        assert_eq!(decreases, 0);
    }

    #[test]
    fn missing_report_is_waited_for_and_then_done_without() {
        let start = Instant::now();
        let mut map = started(start);
        for at in (1000..4000).step_by(500) {
            map.map(LOW.timestamp(ms(at)), start + ms(at));
            let report = LOW.report(ms(900), start);
            let first = HIGH.timestamp(ms(at));
            let switched = map.switch(first, report, None, Situation::Running, start + ms(at));
            assert_eq!(switched, Err(Refused::NoReport), "{at}");
        }
        let switched =
            map.switch(HIGH.timestamp(ms(4000)), None, None, Situation::Running, start + ms(4000));
        assert_eq!(switched, Ok(LOW.timestamp(ms(4000))), "by the time of sending");
    }

    #[test]
    fn new_track_on_a_slot_does_not_wait() {
        let start = Instant::now();
        let mut map = started(start);
        let now = start + ms(1000);
        let switched = map.switch(HIGH.timestamp(ms(1000)), None, None, Situation::Rebound, now);
        assert_eq!(switched, Ok(LOW.timestamp(ms(1000))));
    }

    #[test]
    fn report_with_a_stepped_clock_is_not_believed() {
        let start = Instant::now();
        for step in [3_600_000_i64, -3_600_000] {
            let mut map = started(start);
            let mut wrong = HIGH.report(ms(900), start).unwrap();
            wrong.ntp = NtpTime(wrong.ntp.0.wrapping_add_signed(step / 1000 * (1 << 32)));
            let now = start + ms(1000);
            let first = HIGH.timestamp(ms(1000));
            let old = LOW.report(ms(900), start);
            let switched = map.switch(first, old, Some(wrong), Situation::Running, now);
            assert_eq!(switched, Ok(LOW.timestamp(ms(1000))), "{step}");
        }
    }

    #[test]
    fn keyframe_behind_is_refused_once_and_then_squeezed_in() {
        let start = Instant::now();
        let mut map = started(start);
        let sent = map.map(LOW.timestamp(ms(1000)), start + ms(1000));
        let now = start + ms(1010);
        let mut switch = |capture| {
            let (old, new) = (LOW.report(ms(900), start), HIGH.report(ms(900), start));
            map.switch(HIGH.timestamp(ms(capture)), old, new, Situation::Running, now)
        };
        assert_eq!(switch(900), Err(Refused::Behind));
        assert_eq!(switch(900), Ok(sent + 1));
    }

    #[test]
    fn keyframe_a_little_behind_is_squeezed_in_at_once() {
        let start = Instant::now();
        let mut map = started(start);
        let sent = map.map(LOW.timestamp(ms(1000)), start + ms(1000));
        let (old, new) = (LOW.report(ms(900), start), HIGH.report(ms(900), start));
        let first = HIGH.timestamp(ms(960));
        let out = map.switch(first, old, new, Situation::Running, start + ms(1010));
        assert_eq!(out, Ok(sent + 1));
        // Within the frame all packets have the same timestamp, and the next frame a later one.
        assert_eq!(map.map(first, start + ms(1011)), sent + 1);
        assert_eq!(map.map(HIGH.timestamp(ms(993)), start + ms(1040)), sent + 1 + 33 * 90);
    }

    #[test]
    fn frozen_clock_advances_by_the_pause_and_a_running_one_by_itself() {
        let start = Instant::now();
        for (frozen, expected) in [(true, 10_033), (false, 10_040)] {
            let mut map = started(start);
            map.map(LOW.timestamp(ms(33)), start + ms(33));
            let first = if frozen { LOW.timestamp(ms(66)) } else { LOW.timestamp(ms(10_040)) };
            let out = map.switch(first, None, None, Situation::Unmuted, start + ms(10_033));
            assert_eq!(out, Ok(LOW.timestamp(ms(expected))), "frozen: {frozen}");
        }
    }

    #[test]
    fn pause_of_ours_keeps_the_running_clock() {
        let start = Instant::now();
        let mut map = started(start);
        let first = LOW.timestamp(ms(300_020));
        let out = map.switch(first, None, None, Situation::Resumed, start + ms(300_500));
        assert_eq!(out, Ok(first), "half a second of jitter is not a stopped clock");
    }

    #[test]
    fn audio_unmuted_after_five_minutes_has_advanced_by_them() {
        let start = Instant::now();
        let mut map = TimestampMap::new(48_000);
        map.switch(1000, None, None, Situation::Rebound, start).unwrap();
        let out = map.switch(1960, None, None, Situation::Unmuted, start + ms(300_000));
        assert_eq!(out, Ok(1000 + 300 * 48_000));
    }

    #[test]
    fn switch_loop_is_broken_and_counted() {
        let start = Instant::now();
        let mut map = started(start);
        let mut done = 0;
        let (mut old, mut new) = (LOW, HIGH);
        for at in (1000..3000).step_by(16) {
            let reports = (old.report(ms(900), start), new.report(ms(900), start));
            let first = new.timestamp(ms(at));
            let now = start + ms(at);
            if map.switch(first, reports.0, reports.1, Situation::Running, now).is_ok() {
                done += 1;
                (old, new) = (new, old);
            }
        }
        assert!(done <= 3, "{done} switches in two seconds");
        assert!(map.rapid_switches() > 0);
    }

    #[test]
    fn late_packets_do_not_move_the_newest() {
        let start = Instant::now();
        let mut map = started(start);
        map.map(LOW.timestamp(ms(1000)), start + ms(1000));
        assert_eq!(map.map(LOW.timestamp(ms(33)), start + ms(1500)), LOW.timestamp(ms(33)));
        let out = map.switch(7, None, None, Situation::Rebound, start + ms(1500));
        assert_eq!(out, Ok(LOW.timestamp(ms(1500))));
        assert_eq!((7 + 90_u32).wrapping_add(map.shift()), LOW.timestamp(ms(1501)));
    }
}
