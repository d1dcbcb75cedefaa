//! Which voices of a large room are forwarded: the few that speak. Decided with each packet where
//! the publishers' packets come in.

use std::hash::Hash;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

/// Loudness over the noise floor that is speech, if the client sets no voice bit.
const SPEECH_DB: f32 = 10.0;
/// ... in so many packets in a row.
const SPEECH_PACKETS: u8 = 2;
/// A voice bit below this is not believed.
const FAINTEST_DBOV: u8 = 90;
/// The noise floor falls at once and rises so fast (dB per second): speech has pauses, noise has
/// none.
const FLOOR_RISE_DB_PER_S: f32 = 2.0;
/// Weight of the newest packet in a voice's loudness.
const SMOOTHING: f32 = 0.5;
/// A newcomer must be so much louder than the one it replaces ...
const LOUDER_DB: f32 = 6.0;
/// ... unless that one has been silent for so long, or came in less than this before.
const PATIENCE: Duration = Duration::from_millis(500);
/// Without speech for so long a voice goes out: longer than a pause between sentences.
const HOLD: Duration = Duration::from_secs(2);
/// Packets before the one that opened the gate that belong to the onset of speech; they are in the
/// cache, so start the subscriber's map so many earlier.
const PRE_ROLL: u8 = 2;
/// 0 of the loudness used here, in dB below full scale.
const SILENCE_DBOV: u8 = 127;

/// Whether a packet is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate<K> {
    /// No.
    Shut,
    /// Yes.
    Open,
    /// From here on.
    Opens {
        /// So many packets before it should be sent too.
        pre_roll: u8,
        /// The voice that goes out for it.
        instead_of: Option<K>,
    },
}

#[derive(Debug)]
struct Voice {
    /// Decibels over silence.
    loudness: f32,
    floor: f32,
    speech_packets: u8,
    last_packet: Instant,
    last_speech: Option<Instant>,
    open_since: Option<Instant>,
}

/// The gates of one room. `K` names a track.
#[derive(Debug)]
pub struct TopN<K> {
    capacity: usize,
    voices: FxHashMap<K, Voice>,
    open: Vec<K>,
    dominant: Option<K>,
}

impl<K: Copy + Eq + Hash> TopN<K> {
    /// At most `capacity` voices at once.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            voices: FxHashMap::default(),
            open: Vec::with_capacity(capacity),
            dominant: None,
        }
    }

    /// The active speaker (see [`crate::speakers`]), whom nobody replaces.
    pub fn set_dominant(&mut self, track: Option<K>) {
        self.dominant = track;
    }

    /// The newest packet of a track came. `dbov` and `voice` are its level extension's; 127 and
    /// false without one.
    pub fn on_packet(&mut self, track: K, dbov: u8, voice: bool, now: Instant) -> Gate<K> {
        let known = self.voices.entry(track).or_insert_with(|| Voice::new(now));
        let speaks = known.hear(dbov, voice, now);
        if known.open_since.is_some() {
            if known.silence(now) < HOLD {
                return Gate::Open;
            }
            self.shut(track);
            return Gate::Shut;
        }
        if !speaks {
            return Gate::Shut;
        }
        let loudness = known.loudness;
        let instead_of = if self.open.len() < self.capacity {
            None
        } else {
            let Some(weakest) = self.weakest(loudness, now) else { return Gate::Shut };
            self.shut(weakest);
            Some(weakest)
        };
        if let Some(voice) = self.voices.get_mut(&track) {
            voice.open_since = Some(now);
        }
        self.open.push(track);
        Gate::Opens { pre_roll: PRE_ROLL, instead_of }
    }

    /// A track ended or was muted. True if it was open.
    pub fn remove(&mut self, track: K) -> bool {
        let open = self.shut(track);
        self.voices.remove(&track);
        open
    }

    /// Shuts the gate of one voice that has been silent too long, or stopped sending. Call until
    /// None.
    pub fn poll_shut(&mut self, now: Instant) -> Option<K> {
        let silent =
            |track: &&K| self.voices.get(track).is_none_or(|voice| voice.silence(now) >= HOLD);
        let track = *self.open.iter().find(silent)?;
        self.shut(track);
        Some(track)
    }

    /// When [`Self::poll_shut`] may have something.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let speech = |track| self.voices.get(track)?.last_speech;
        Some(self.open.iter().filter_map(speech).min()? + HOLD)
    }

    /// Tracks that are forwarded now.
    #[must_use]
    pub fn open(&self) -> &[K] {
        &self.open
    }

    fn shut(&mut self, track: K) -> bool {
        let before = self.open.len();
        self.open.retain(|open| *open != track);
        if let Some(voice) = self.voices.get_mut(&track) {
            voice.open_since = None;
        }
        self.open.len() < before
    }

    /// Who goes out for a newcomer of this loudness: whoever was silent longest, else the quietest
    /// if it is much quieter.
    fn weakest(&self, loudness: f32, now: Instant) -> Option<K> {
        let others = || {
            let others = self.open.iter().filter(|track| Some(**track) != self.dominant);
            others.filter_map(|track| Some((*track, self.voices.get(track)?)))
        };
        let silent = others()
            .filter(|(_, voice)| voice.silence(now) >= PATIENCE)
            .max_by_key(|(_, voice)| voice.silence(now));
        let quiet = || {
            let settled = |voice: &Voice| {
                let open = voice.open_since.map(|since| now.saturating_duration_since(since));
                open.is_some_and(|open| open >= PATIENCE)
            };
            others()
                .filter(|(_, voice)| voice.loudness + LOUDER_DB <= loudness && settled(voice))
                .min_by(|(_, a), (_, b)| a.loudness.total_cmp(&b.loudness))
        };
        silent.or_else(quiet).map(|(track, _)| track)
    }
}

impl Voice {
    fn new(now: Instant) -> Self {
        Self {
            loudness: 0.0,
            floor: f32::from(SILENCE_DBOV),
            speech_packets: 0,
            last_packet: now,
            last_speech: None,
            open_since: None,
        }
    }

    /// Takes in a packet; true if it is speech.
    fn hear(&mut self, dbov: u8, voice: bool, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.last_packet).as_secs_f32();
        self.last_packet = now;
        let loudness = f32::from(SILENCE_DBOV - dbov.min(SILENCE_DBOV));
        self.floor = (self.floor + FLOOR_RISE_DB_PER_S * passed).min(loudness);
        self.loudness += (loudness - self.loudness) * SMOOTHING;
        self.speech_packets = if loudness >= self.floor + SPEECH_DB {
            self.speech_packets.saturating_add(1)
        } else {
            0
        };
        let speaks = voice && dbov <= FAINTEST_DBOV || self.speech_packets >= SPEECH_PACKETS;
        if speaks {
            self.last_speech = Some(now);
        }
        speaks
    }

    fn silence(&self, now: Instant) -> Duration {
        self.last_speech.map_or(Duration::MAX, |speech| now.saturating_duration_since(speech))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    const QUIET: u8 = 80;
    const SPEECH: u8 = 35;

    /// Packets of 20 ms each from all speakers, by `level(track, packet)`; what was opened and when.
    fn run(
        gates: &mut TopN<u32>,
        start: Instant,
        packets: std::ops::Range<u64>,
        tracks: u32,
        level: impl Fn(u32, u64) -> u8,
    ) -> Vec<(u64, u32, Option<u32>)> {
        let mut opened = Vec::new();
        for packet in packets {
            for track in 0..tracks {
                let now = start + ms(20 * packet);
                if let Gate::Opens { instead_of, pre_roll } =
                    gates.on_packet(track, level(track, packet), false, now)
                {
                    assert_eq!(pre_roll, PRE_ROLL);
                    opened.push((packet, track, instead_of));
                }
                assert!(gates.open().len() <= gates.capacity);
            }
        }
        opened
    }

    #[test]
    fn speech_opens_within_two_packets_and_silence_shuts_after_two_seconds() {
        let start = Instant::now();
        let mut gates = TopN::new(3);
        let level = |_, packet| if (50..100).contains(&packet) { SPEECH } else { QUIET };
        let opened = run(&mut gates, start, 0..150, 1, level);
        assert_eq!(opened, [(51, 0, None)]);
        let last_speech = start + ms(20 * 99);
        assert_eq!(gates.poll_timeout(), Some(last_speech + HOLD));
        assert_eq!(gates.poll_shut(last_speech + ms(1999)), None);
        assert_eq!(gates.poll_shut(last_speech + HOLD), Some(0));
        assert_eq!((gates.poll_shut(last_speech + HOLD), gates.poll_timeout()), (None, None));
        run(&mut gates, start, 150..300, 1, |_, _| QUIET);
        assert!(gates.open().is_empty());
    }

    #[test]
    fn voice_bit_opens_at_once_unless_it_is_a_whisper() {
        let start = Instant::now();
        let mut gates = TopN::new(1);
        assert_eq!(gates.on_packet(0, 110, true, start), Gate::Shut);
        let opens = Gate::Opens { pre_roll: PRE_ROLL, instead_of: None };
        assert_eq!(gates.on_packet(0, SPEECH, true, start), opens);
        assert_eq!(gates.on_packet(0, SPEECH, true, start), Gate::Open);
    }

    #[test]
    fn constant_noise_becomes_the_floor() {
        let start = Instant::now();
        let mut gates = TopN::new(1);
        let opened =
            run(&mut gates, start, 0..3000, 1, |_, packet| if packet < 10 { QUIET } else { 50 });
        assert_eq!(opened.len(), 1);
        assert!(gates.open().is_empty());
    }

    #[test]
    fn newcomer_replaces_the_silent_or_the_much_quieter_but_never_the_dominant() {
        let start = Instant::now();
        // level of tracks 1 and 2 from packet 100 on, and who goes out for track 2.
        let rows: [(&str, u8, u8, Option<u64>); 4] = [
            ("as loud as the quieter one", SPEECH, SPEECH, None),
            ("louder by 6 dB", SPEECH, SPEECH - 7, Some(105)),
            ("the other fell silent", QUIET, SPEECH, Some(125)),
            ("much louder, but only the dominant is left", 0, 10, None),
        ];
        for (name, one, two, expected) in rows {
            let mut gates = TopN::new(2);
            gates.set_dominant(Some(0));
            let level = move |track, packet| match (track, packet) {
                (_, 0..10) => QUIET,
                (0, _) => SPEECH,
                (1, 10..100) => SPEECH,
                (1, _) => one,
                (_, 10..100) => QUIET,
                (_, _) => two,
            };
            let opened = run(&mut gates, start, 0..150, 3, level);
            assert_eq!(opened[..2], [(11, 0, None), (11, 1, None)]);
            let replaced = opened.get(2).map(|(packet, track, instead_of)| {
                assert_eq!((*track, *instead_of), (2, Some(1)), "{name}");
                *packet
            });
            let near = replaced.zip(expected).is_some_and(|(a, b)| a <= b + 3);
            assert!(replaced == expected || near, "{name}: {replaced:?}");
        }
    }

    #[test]
    fn fifty_speakers_do_not_flap() {
        let start = Instant::now();
        let mut gates = TopN::new(3);
        // All talk at once in phrases of a second, levels within 4 dB.
        let level = |track: u32, packet: u64| {
            let talks = !(packet / 50 + u64::from(track)).is_multiple_of(3);
            if talks { 30 + (track * 7 + packet as u32) as u8 % 5 } else { QUIET }
        };
        let opened = run(&mut gates, start, 0..3000, 50, level);
        assert_eq!(gates.open().len(), 3);
        assert!(opened.len() < 3 * 60, "{} changes in a minute", opened.len());
    }

    #[test]
    fn removed_tracks_free_their_place() {
        let start = Instant::now();
        let mut gates = TopN::new(1);
        gates.on_packet(0, SPEECH, true, start);
        assert!(gates.remove(0) && !gates.remove(0));
        assert!(matches!(gates.on_packet(1, SPEECH, true, start), Gate::Opens { .. }));
    }
}
