//! Whether a published stream is there, from its packets alone.
//!
//! A publisher stops upper layers without a word: its uplink is short, its tab is hidden, or we
//! told it that nobody takes them.

use std::time::{Duration, Instant};

/// Packets are counted in cycles of this. LiveKit `streamtracker_packet.go` and its settings.
const CYCLE: Duration = Duration::from_millis(500);
/// So many cycles with enough packets make a stream stable.
const STABLE_CYCLES: u8 = 4;
/// Enough packets in a cycle for the lowest layer, which may be very small ...
const LOWEST_PACKETS: u32 = 1;
/// ... and for the others.
const UPPER_PACKETS: u32 = 5;
/// Without packets for so long a camera's stream is dead: longer than a hiccup of the uplink, soon
/// enough for a freeze under a second.
const DEAD_AFTER: Duration = Duration::from_millis(750);
/// The same for a screen, of which browsers send one frame a second while nothing moves.
const SCREEN_DEAD_AFTER: Duration = Duration::from_millis(2500);
/// The same for audio, where a silent encoder sends a packet each 400 ms at best.
const AUDIO_DEAD_AFTER: Duration = Duration::from_secs(5);

/// States of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// No packets.
    Dead,
    /// Packets came just now: good for a subscriber that has nothing.
    Young,
    /// Packets have come steadily: good to change to.
    Stable,
}

/// What the stream is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// The lowest layer of a camera, or its only one.
    Lowest,
    /// A higher layer of a camera.
    Upper,
    /// A screen, or a camera's only stream: there is no other to change to, so no hurry.
    Screen,
    /// Sound.
    Audio,
}

/// Tracks one stream. `on_packet` and `handle_timeout` return the new state if it changed.
#[derive(Debug)]
pub struct Liveness {
    kind: StreamKind,
    life: Life,
    since: Option<Instant>,
    last: Option<Instant>,
    cycle_ends: Option<Instant>,
    packets: u32,
    good_cycles: u8,
}

impl Liveness {
    /// A stream without packets so far.
    #[must_use]
    pub fn new(kind: StreamKind) -> Self {
        Self {
            kind,
            life: Life::Dead,
            since: None,
            last: None,
            cycle_ends: None,
            packets: 0,
            good_cycles: 0,
        }
    }

    /// The state.
    #[must_use]
    pub fn life(&self) -> Life {
        self.life
    }

    /// Since when packets have been coming; None while it is dead.
    #[must_use]
    pub fn alive_since(&self) -> Option<Instant> {
        self.since
    }

    /// A media packet came on the stream's own SSRC; padding and repeats do not count.
    pub fn on_packet(&mut self, now: Instant) -> Option<Life> {
        // A packet after a long silence must not hide it.
        let changed = self.handle_timeout(now);
        self.last = Some(now);
        self.packets += 1;
        if self.life == Life::Dead {
            self.packets = 1;
            self.good_cycles = 0;
            self.cycle_ends = Some(now + CYCLE);
            self.since = Some(now);
            return self.turn(Life::Young);
        }
        changed
    }

    /// Acts on passed deadlines; early and extra calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Life> {
        let dead_after = self.dead_after();
        if self.last.is_some_and(|last| now.saturating_duration_since(last) >= dead_after) {
            self.last = None;
            self.cycle_ends = None;
            self.since = None;
            return self.turn(Life::Dead);
        }
        let mut changed = None;
        while let Some(ends) = self.cycle_ends.filter(|ends| now >= *ends) {
            changed = self.close_cycle().or(changed);
            self.cycle_ends = (self.life == Life::Young).then_some(ends + CYCLE);
        }
        changed
    }

    /// When [`Self::handle_timeout`] may have something to say.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let dead = self.last? + self.dead_after();
        Some(self.cycle_ends.map_or(dead, |ends| ends.min(dead)))
    }

    fn dead_after(&self) -> Duration {
        match self.kind {
            StreamKind::Screen => SCREEN_DEAD_AFTER,
            StreamKind::Audio => AUDIO_DEAD_AFTER,
            StreamKind::Lowest | StreamKind::Upper => DEAD_AFTER,
        }
    }

    fn close_cycle(&mut self) -> Option<Life> {
        let enough = match self.kind {
            StreamKind::Lowest => LOWEST_PACKETS,
            StreamKind::Upper => UPPER_PACKETS,
            // Whole cycles pass without a packet.
            StreamKind::Screen | StreamKind::Audio => 0,
        };
        self.good_cycles = if self.packets >= enough { self.good_cycles + 1 } else { 0 };
        self.packets = 0;
        if self.good_cycles >= STABLE_CYCLES { self.turn(Life::Stable) } else { None }
    }

    fn turn(&mut self, life: Life) -> Option<Life> {
        let changed = self.life != life;
        self.life = life;
        changed.then_some(life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Packets each `interval_ms` from `from_ms` up to `to_ms`; changes with their times.
    fn run(
        liveness: &mut Liveness,
        start: Instant,
        from_ms: u64,
        to_ms: u64,
        interval_ms: u64,
    ) -> Vec<(u64, Life)> {
        let mut changes = Vec::new();
        for at in from_ms..to_ms {
            let now = start + ms(at);
            let changed = if (at - from_ms).is_multiple_of(interval_ms) {
                liveness.on_packet(now)
            } else {
                liveness.handle_timeout(now)
            };
            changes.extend(changed.map(|life| (at, life)));
        }
        changes
    }

    #[test]
    fn young_at_the_first_packet_and_stable_after_two_seconds() {
        let start = Instant::now();
        let mut upper = Liveness::new(StreamKind::Upper);
        let changes = run(&mut upper, start, 0, 3000, 33);
        assert_eq!(changes, [(0, Life::Young), (2000, Life::Stable)]);
        assert_eq!(upper.poll_timeout(), Some(start + ms(33 * 90 + 750)));
    }

    #[test]
    fn a_trickle_is_enough_for_the_lowest_layer_only() {
        let start = Instant::now();
        for (kind, stable) in [(StreamKind::Lowest, true), (StreamKind::Upper, false)] {
            let mut liveness = Liveness::new(kind);
            run(&mut liveness, start, 0, 5000, 200);
            assert_eq!(liveness.life() == Life::Stable, stable, "{kind:?}");
        }
    }

    #[test]
    fn dead_after_silence_and_young_again() {
        let start = Instant::now();
        let mut liveness = Liveness::new(StreamKind::Upper);
        run(&mut liveness, start, 0, 3000, 20);
        assert_eq!(liveness.handle_timeout(start + ms(3729)), None);
        assert_eq!(liveness.poll_timeout(), Some(start + ms(3730)));
        assert_eq!(liveness.handle_timeout(start + ms(3730)), Some(Life::Dead));
        assert_eq!(
            (liveness.handle_timeout(start + ms(9000)), liveness.poll_timeout()),
            (None, None)
        );
        assert_eq!(liveness.on_packet(start + ms(9000)), Some(Life::Young));
        assert_eq!(liveness.on_packet(start + ms(9800)), Some(Life::Young), "no timer ran");
    }

    #[test]
    fn resting_screen_lives() {
        let start = Instant::now();
        let mut liveness = Liveness::new(StreamKind::Screen);
        let changes = run(&mut liveness, start, 0, 10_000, 1000);
        assert_eq!(changes, [(0, Life::Young), (2000, Life::Stable)]);
    }
}
