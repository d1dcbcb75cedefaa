//! Who speaks in a room, told only when it changes.

use std::time::{Duration, Instant};

/// Time between two lists: 2.5 a second, and at least one window of [`crate::audio_level`].
pub const INTERVAL: Duration = Duration::from_millis(400);
/// Speakers named at once; more cannot be told apart anyway.
const MAX_SPEAKERS: usize = 16;
/// Levels are told in steps of about 8 dB, so that speech does not change them all the time.
const LEVEL_STEP: u8 = 16;
/// A challenger must be so much louder than the dominant speaker (6 dB) ...
const LOUDER: u8 = 12;
/// ... in so many lists in a row.
const ROUNDS: u8 = 2;

/// The speakers of one room. `K` names a track; a speaker is its name and level, 1 to 255.
#[derive(Debug)]
pub struct Speakers<K> {
    /// As told last: the dominant one first, then by loudness.
    told: Vec<(K, u8)>,
    next: Vec<(K, u8)>,
    dominant: Option<K>,
    challenger: Option<K>,
    challenger_rounds: u8,
    last: Option<Instant>,
}

impl<K> Default for Speakers<K> {
    fn default() -> Self {
        Self {
            told: Vec::new(),
            next: Vec::new(),
            dominant: None,
            challenger: None,
            challenger_rounds: 0,
            last: None,
        }
    }
}

impl<K: Copy + Ord> Speakers<K> {
    /// Looks at all tracks of the room, with levels from [`crate::audio_level::AudioLevel`], and
    /// returns the new list if there is one to tell. Call it every [`INTERVAL`]; earlier calls do
    /// nothing.
    pub fn update(
        &mut self,
        levels: impl Iterator<Item = (K, u8)>,
        now: Instant,
    ) -> Option<&[(K, u8)]> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            return None;
        }
        self.last = Some(now);
        self.next.clear();
        self.next.extend(levels.filter(|(_, level)| *level > 0));
        self.next.sort_unstable_by_key(|(track, level)| (u8::MAX - level, *track));
        self.choose_dominant();
        self.order();
        if self.next == self.told {
            return None;
        }
        std::mem::swap(&mut self.told, &mut self.next);
        Some(&self.told)
    }

    /// The track that leads the conversation; stays through pauses of all speakers.
    #[must_use]
    pub fn dominant(&self) -> Option<K> {
        self.dominant
    }

    /// When [`Self::update`] looks again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.last.map(|last| last + INTERVAL)
    }

    fn choose_dominant(&mut self) {
        let Some(&(loudest, level)) = self.next.first() else { return };
        let held = self.next.iter().find(|(track, _)| Some(*track) == self.dominant);
        let Some(&(_, held_level)) = held else {
            self.dominant = Some(loudest);
            self.challenger = None;
            return;
        };
        if level < held_level.saturating_add(LOUDER) {
            self.challenger = None;
            return;
        }
        if self.challenger != Some(loudest) {
            self.challenger = Some(loudest);
            self.challenger_rounds = 0;
        }
        self.challenger_rounds += 1;
        if self.challenger_rounds >= ROUNDS {
            self.dominant = Some(loudest);
            self.challenger = None;
        }
    }

    /// Dominant first, then by level step; equal ones keep the order told before.
    fn order(&mut self) {
        for (_, level) in &mut self.next {
            *level = (*level / LEVEL_STEP * LEVEL_STEP).max(1);
        }
        let (told, dominant) = (&self.told, self.dominant);
        self.next.sort_unstable_by_key(|(track, level)| {
            let place = told.iter().position(|(other, _)| other == track).unwrap_or(usize::MAX);
            (Some(*track) != dominant, u8::MAX - level, place, *track)
        });
        self.next.truncate(MAX_SPEAKERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: u64 = 1;
    const BOB: u64 = 2;

    /// Runs rounds and returns how often the list was told and how often the first one changed.
    fn run(
        speakers: &mut Speakers<u64>,
        now: &mut Instant,
        rounds: usize,
        level: impl Fn(usize) -> Vec<(u64, u8)>,
    ) -> (usize, usize) {
        let (mut told, mut changes) = (0, 0);
        for round in 0..rounds {
            let before = speakers.dominant();
            told += usize::from(speakers.update(level(round).into_iter(), *now).is_some());
            changes += usize::from(speakers.dominant() != before);
            *now += INTERVAL;
        }
        (told, changes)
    }

    #[test]
    fn told_on_change_only_and_at_most_each_interval() {
        let mut now = Instant::now();
        let mut speakers = Speakers::<u64>::default();
        assert_eq!(speakers.update([(ALICE, 200)].into_iter(), now), Some(&[(ALICE, 192)][..]));
        assert_eq!(speakers.update(std::iter::empty(), now + INTERVAL / 2), None, "too soon");
        now += INTERVAL;
        assert_eq!(speakers.update([(ALICE, 206), (BOB, 0)].into_iter(), now), None);
        now += INTERVAL;
        assert_eq!(speakers.update(std::iter::empty(), now), Some(&[][..]));
        now += INTERVAL;
        assert_eq!(speakers.update(std::iter::empty(), now), None);
        assert_eq!(speakers.dominant(), Some(ALICE), "holds through silence");
    }

    #[test]
    fn two_equal_speakers_do_not_alternate() {
        let mut now = Instant::now();
        let mut speakers = Speakers::<u64>::default();
        let (_, changes) = run(&mut speakers, &mut now, 150, |round| {
            let wobble = (round * 7 % 11) as u8;
            vec![(ALICE, 190 + wobble), (BOB, 200 - wobble)]
        });
        assert!(changes <= 2, "{changes} changes in a minute");
    }

    #[test]
    fn new_speaker_leads_within_a_second() {
        let mut now = Instant::now();
        let mut speakers = Speakers::<u64>::default();
        run(&mut speakers, &mut now, 10, |_| vec![(ALICE, 200)]);
        run(&mut speakers, &mut now, 1, |_| vec![(BOB, 200)]);
        assert_eq!(speakers.dominant(), Some(BOB), "the old one fell silent");
        run(&mut speakers, &mut now, 2, |_| vec![(ALICE, 220), (BOB, 200)]);
        assert_eq!(speakers.dominant(), Some(ALICE), "talked over");
    }

    #[test]
    fn one_loud_moment_does_not_lead() {
        let mut now = Instant::now();
        let mut speakers = Speakers::<u64>::default();
        run(&mut speakers, &mut now, 5, |_| vec![(ALICE, 180)]);
        run(&mut speakers, &mut now, 1, |_| vec![(ALICE, 180), (BOB, 250)]);
        assert_eq!(speakers.dominant(), Some(ALICE));
        assert_eq!(speakers.told.first().map(|(track, _)| *track), Some(ALICE));
    }

    #[test]
    fn large_rooms_are_cut_off() {
        let mut speakers = Speakers::<u64>::default();
        let levels = (0..100).map(|id| (id, 100 + id as u8));
        let told = speakers.update(levels, Instant::now()).unwrap();
        assert_eq!(told.len(), MAX_SPEAKERS);
        assert_eq!(told[0].0, 99);
    }
}
