//! Sound of local sources on an exact grid: what Python hands over in batches leaves every 20 ms.
//!
//! Where nothing is queued silence is sent, so that receivers hear no loss and meters see an end. Pure
//! but for the gauge: time comes in as `now`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// One Opus packet; what every stack sends.
const FRAME: Duration = Duration::from_millis(20);
/// Of RTP's clock for Opus (RFC 7587, section 4.1).
const FRAME_TICKS: u32 = 960;
/// A grid that is further behind than this goes on from now: the process stood still.
const MAX_BEHIND: Duration = Duration::from_millis(200);
/// Frames to wait for before sound begins, so that a writer in real time may be one late; who writes
/// ahead has them at once. Each gap makes it one more, for a writer that is later than that.
const CUSHION: usize = 2;
/// The most a writer's lateness is made up for: 120 ms.
const MAX_CUSHION: usize = 6;
/// Silence shorter than this between two frames was a gap in the sound, not its end.
const GAP: Duration = Duration::from_millis(200);
/// Frames that may wait: 10 s. Python keeps a few.
const MAX_QUEUED: usize = 500;
/// Digital silence, full band, 20 ms, mono (RFC 6716, sections 3.1 and 4.3): TOC and a range coder
/// that says silence.
const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
/// The level of silence in -dBov (RFC 6464).
const SILENT: u8 = 127;

/// 20 ms of Opus and its level in -dBov.
pub(crate) type Frame = (u8, Vec<u8>);

/// What Python sees of a player, without asking its worker.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    queued: AtomicUsize,
    played: AtomicU64,
    gaps: AtomicU64,
    dropped: AtomicU64,
}

/// A player's figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayerFigures {
    /// Frames that wait.
    pub queued: usize,
    /// Frames sent since the start, silence not counted.
    pub played: u64,
    /// Times the queue ran dry and went on within 200 ms.
    pub gaps: u64,
    /// Frames there was no room for.
    pub dropped: u64,
}

impl Gauge {
    pub(crate) fn read(&self) -> PlayerFigures {
        PlayerFigures {
            queued: self.queued.load(Ordering::Relaxed),
            played: self.played.load(Ordering::Relaxed),
            gaps: self.gaps.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}

/// What leaves at one point of the grid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Played {
    pub(crate) timestamp: u32,
    /// First of a talk spurt (RFC 7587, section 4.1).
    pub(crate) marker: bool,
    pub(crate) level: u8,
    pub(crate) payload: Vec<u8>,
}

/// Plays one track.
#[derive(Debug)]
pub(crate) struct Player {
    gauge: Arc<Gauge>,
    queue: VecDeque<Frame>,
    next: Instant,
    timestamp: u32,
    paused: bool,
    cushion: usize,
    /// Sound is on; else silence, until there is enough.
    sounding: bool,
    filling_since: Option<Instant>,
    ran_dry: Option<Instant>,
}

impl Player {
    /// The grid begins at `now`.
    pub(crate) fn new(gauge: Arc<Gauge>, timestamp: u32, now: Instant) -> Self {
        Self {
            gauge,
            queue: VecDeque::new(),
            next: now,
            timestamp,
            paused: false,
            cushion: CUSHION,
            sounding: false,
            filling_since: None,
            ran_dry: None,
        }
    }

    /// Frames to be played after those that wait.
    pub(crate) fn push(&mut self, frames: Vec<Frame>, now: Instant) {
        let room = MAX_QUEUED - self.queue.len();
        let beyond = frames.len().saturating_sub(room);
        self.gauge.dropped.fetch_add(beyond as u64, Ordering::Relaxed);
        self.queue.extend(frames.into_iter().take(room));
        if !self.queue.is_empty() {
            self.filling_since.get_or_insert(now);
        }
        self.tell();
    }

    /// Forgets what waits: the next point of the grid is silent.
    pub(crate) fn flush(&mut self) {
        self.queue.clear();
        self.stop();
        self.ran_dry = None;
        self.tell();
    }

    /// Sends nothing at all, while time goes on; what waits stays.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// When the next frame leaves.
    pub(crate) fn due(&self) -> Instant {
        self.next
    }

    /// What leaves now. Call it again until it is `None`.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Played> {
        while self.next <= now {
            if now - self.next > MAX_BEHIND {
                self.step();
                continue;
            }
            let at = self.next;
            let timestamp = self.timestamp;
            self.step();
            if self.paused {
                continue;
            }
            return Some(self.play(timestamp, at));
        }
        None
    }

    fn step(&mut self) {
        self.next += FRAME;
        self.timestamp = self.timestamp.wrapping_add(FRAME_TICKS);
    }

    fn play(&mut self, timestamp: u32, at: Instant) -> Played {
        // A short sound is not held back for longer than the cushion is worth.
        let longest = FRAME * self.cushion as u32;
        let waited = self.filling_since.is_some_and(|since| at.duration_since(since) >= longest);
        let begins = !self.sounding && (self.queue.len() >= self.cushion || waited);
        if begins {
            self.sounding = true;
            if self.ran_dry.take().is_some_and(|dry| at.duration_since(dry) < GAP) {
                self.gauge.gaps.fetch_add(1, Ordering::Relaxed);
                self.cushion = (self.cushion + 1).min(MAX_CUSHION);
            }
        }
        let frame = if self.sounding { self.queue.pop_front() } else { None };
        let Some((level, payload)) = frame else {
            if self.sounding {
                self.stop();
                self.ran_dry = Some(at);
            }
            return Played { timestamp, marker: false, level: SILENT, payload: SILENCE.to_vec() };
        };
        self.gauge.played.fetch_add(1, Ordering::Relaxed);
        self.tell();
        Played { timestamp, marker: begins, level, payload }
    }

    fn stop(&mut self) {
        self.sounding = false;
        self.filling_since = None;
    }

    fn tell(&self) {
        self.gauge.queued.store(self.queue.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(count: usize) -> Vec<Frame> {
        (0..count).map(|number| (30, vec![number as u8; 4])).collect()
    }

    fn player() -> (Player, Instant) {
        let now = Instant::now();
        (Player::new(Arc::default(), 7, now), now)
    }

    /// Payload at each point of the grid from `from` on; `None` where nothing is sent.
    fn run(player: &mut Player, from: Instant, points: u32) -> Vec<Option<u8>> {
        let point = |index| {
            let played = player.poll(from + FRAME * index)?;
            Some(if played.level == SILENT { u8::MAX } else { played.payload[0] })
        };
        (0..points).map(point).collect()
    }

    const QUIET: Option<u8> = Some(u8::MAX);

    #[test]
    fn every_point_has_a_packet_and_the_clock_never_jumps() {
        let (mut player, now) = player();
        player.push(frames(3), now);
        let mut stamps = Vec::new();
        for index in 0..6 {
            let played = player.poll(now + FRAME * index).unwrap();
            assert_eq!(played.marker, index == 0);
            stamps.push(played.timestamp);
            assert_eq!(player.poll(now + FRAME * index), None);
        }
        assert_eq!(stamps, (0..6).map(|index| 7 + 960 * index).collect::<Vec<_>>());
        let figures = PlayerFigures { played: 3, ..PlayerFigures::default() };
        assert_eq!(player.gauge.read(), figures);
    }

    #[test]
    fn sound_waits_for_a_cushion_but_not_for_ever() {
        let (mut player, now) = player();
        player.push(frames(1), now);
        assert_eq!(run(&mut player, now, 4), [QUIET, QUIET, Some(0), QUIET]);
        player.push(frames(2), now + FRAME * 4);
        assert_eq!(run(&mut player, now + FRAME * 4, 3), [Some(0), Some(1), QUIET]);
    }

    #[test]
    fn a_short_silence_is_a_gap_and_a_long_one_the_end() {
        let (mut player, now) = player();
        player.push(frames(2), now);
        run(&mut player, now, 4);
        player.push(frames(2), now + FRAME * 4);
        run(&mut player, now + FRAME * 4, 14);
        assert_eq!(player.gauge.read().gaps, 1);
        player.push(frames(2), now + FRAME * 18);
        run(&mut player, now + FRAME * 18, 6);
        assert_eq!(player.gauge.read().gaps, 1);
        assert_eq!(player.gauge.read().played, 6);
    }

    #[test]
    fn each_gap_makes_the_cushion_larger() {
        let (mut player, mut at) = player();
        // The first sound is none, and what it makes is of use to the next.
        for cushion in [2, 2, 3, 4, 5, 6, 6] {
            let before = frames(cushion - 1);
            player.push(before, at);
            assert_eq!(run(&mut player, at, 1), [QUIET], "less than {cushion}");
            player.push(frames(1), at + FRAME);
            assert_ne!(run(&mut player, at + FRAME, 1), [QUIET], "{cushion}");
            run(&mut player, at + FRAME * 2, cushion as u32);
            at += FRAME * (cushion as u32 + 2);
        }
    }

    #[test]
    fn a_flush_silences_the_next_point_and_is_no_gap() {
        let (mut player, now) = player();
        player.push(frames(50), now);
        assert_eq!(run(&mut player, now, 2), [Some(0), Some(1)]);
        player.flush();
        assert_eq!(run(&mut player, now + FRAME * 2, 1), [QUIET]);
        player.push(frames(2), now + FRAME * 3);
        assert_eq!(run(&mut player, now + FRAME * 3, 1), [Some(0)]);
        assert_eq!(player.gauge.read().gaps, 0);
    }

    #[test]
    fn a_pause_sends_nothing_and_keeps_time() {
        let (mut player, now) = player();
        player.pause(true);
        assert_eq!(run(&mut player, now, 5), [None; 5]);
        player.pause(false);
        assert_eq!(player.poll(now + FRAME * 5).unwrap().timestamp, 7 + 960 * 5);
    }

    #[test]
    fn a_little_lateness_is_made_up_and_much_is_forgotten() {
        let (mut player, now) = player();
        player.push(frames(100), now);
        let mut late = |at: Duration| std::iter::from_fn(|| player.poll(now + at)).count();
        assert_eq!(late(FRAME * 5), 6);
        assert_eq!(late(FRAME * 100), 11);
        let figures = player.gauge.read();
        assert_eq!((figures.queued, figures.played), (83, 17));
        assert_eq!(player.poll(now + FRAME * 101).unwrap().timestamp, 7 + 960 * 101);
    }

    #[test]
    fn what_may_wait_is_bounded() {
        let (mut player, now) = player();
        player.push(frames(MAX_QUEUED + 3), now);
        let figures = player.gauge.read();
        assert_eq!((figures.queued, figures.dropped), (MAX_QUEUED, 3));
    }
}
