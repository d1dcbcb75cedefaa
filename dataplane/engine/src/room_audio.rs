//! Who is heard in each room, from the audio levels of this worker's publishers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::audio_level::AudioLevel;
use crate::codec::opus::Toc;
use crate::command::MediaKind;
use crate::engine::Engine;
use crate::error::DropReason;
use crate::event::Event;
use crate::ids::{RoomId, TrackId};
use crate::packet::{Form, SourcePacket};
use crate::ring::RingMessage;
use crate::rtp;
use crate::slot::Slot;
use crate::speakers::{INTERVAL, Speakers};
use crate::speech::{Edge, Speech};
use crate::timers::{TimerKey, Wake};
use crate::top_n::{Gate, TopN};
use crate::track::TrackSource;

/// Level of a packet without the extension: silence.
const NO_LEVEL_DBOV: u8 = 127;
/// For the gates such a packet is a quiet voice.
const UNKNOWN_DBOV: u8 = 50;
/// Digital silence.
const SILENCE_DBOV: u8 = 127;
/// After so much of it a talk spurt has ended, and packets are left out until sound comes: what
/// decoders make of nothing is silent too. Longer than a pause between words.
const MAX_SILENCE: Duration = Duration::from_secs(2);
/// From more voices on a worker than this, a few are forwarded: all of them would be more packets
/// than the video of a small room.
const LARGE_ROOM: usize = 16;

/// One audio track as the room hears it.
#[derive(Debug)]
struct Voice {
    /// Key of the track.
    track: usize,
    id: TrackId,
    level: AudioLevel,
    speech: Speech,
    last_timestamp: Option<u32>,
    /// How long its packets have been digital silence.
    silence: Duration,
    /// Subscribers do not get its packets now.
    withheld: bool,
}

/// What becomes of an audio packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It goes to everybody.
    Pass,
    /// It goes to those only who asked for this voice in particular.
    Withhold,
    /// It goes to everybody again, and begins a talk spurt.
    Resume {
        /// With so many before it, if they are still there.
        pre_roll: u8,
    },
}

/// The voices of one room on this worker.
#[derive(Debug)]
pub(crate) struct RoomAudio {
    /// By key of the track: each packet looks its voice up.
    voices: Vec<Voice>,
    speakers: Speakers<TrackId>,
    speaking: Vec<TrackId>,
    /// The voices that are forwarded, once the room is large; 0 places: all.
    gates: TopN<usize>,
    places: usize,
    wake: Wake,
}

impl RoomAudio {
    fn new(places: usize) -> Self {
        Self {
            voices: Vec::new(),
            speakers: Speakers::default(),
            speaking: Vec::new(),
            gates: TopN::new(places),
            places,
            wake: Wake::default(),
        }
    }

    fn add(&mut self, track: usize, id: TrackId) {
        let voice = Voice {
            track,
            id,
            level: AudioLevel::default(),
            speech: Speech::default(),
            last_timestamp: None,
            silence: Duration::ZERO,
            withheld: false,
        };
        if let Err(place) = self.place(track) {
            self.voices.insert(place, voice);
        }
    }

    /// Where a track's voice is, or would be.
    fn place(&self, track: usize) -> Result<usize, usize> {
        self.voices.binary_search_by_key(&track, |voice| voice.track)
    }

    fn is_large(&self) -> bool {
        self.places > 0 && self.voices.len() > LARGE_ROOM
    }

    /// Audio tracks that are heard now.
    pub(crate) fn speaking(&self) -> &[TrackId] {
        &self.speaking
    }
}

fn speech_event(room: RoomId, track: TrackId, edge: Edge) -> Event {
    let (speaking, at) = match edge {
        Edge::Started(at) => (true, at),
        Edge::Ended(at) => (false, at),
    };
    Event::Speech { room, track, speaking, at }
}

impl Engine {
    /// A published audio track may speak; mirrors of other workers' tracks are heard there.
    pub(crate) fn join_room_audio(&mut self, room: RoomId, key: usize, now: Instant) {
        let track = &self.tracks[key];
        if track.kind != MediaKind::Audio || !track.is_home() {
            return;
        }
        let places = self.voices;
        let audio = self.rooms.entry(room).or_insert_with(|| RoomAudio::new(places));
        audio.add(key, track.id);
        self.timers.arm(TimerKey::Room(room), &mut audio.wake, now + INTERVAL);
    }

    pub(crate) fn leave_room_audio(&mut self, room: RoomId, key: usize) {
        let Some(audio) = self.rooms.get_mut(&room) else { return };
        audio.gates.remove(key);
        let Ok(place) = audio.place(key) else { return };
        let mut voice = audio.voices.remove(place);
        if let Some(edge) = voice.speech.finish() {
            self.out.events.push(speech_event(room, voice.id, edge));
        }
    }

    /// One audio packet that came here first: whether it goes on.
    pub(crate) fn hear(&mut self, key: usize, packet: &SourcePacket, now: Instant) -> Heard {
        let track = &self.tracks[key];
        let Some(audio) = self.rooms.get_mut(&track.room) else { return Heard::Pass };
        let large = audio.is_large();
        let Ok(place) = audio.place(key) else { return Heard::Pass };
        let voice = &mut audio.voices[place];
        if packet.late {
            return if voice.withheld { Heard::Withhold } else { Heard::Pass };
        }
        let level = packet.extensions.audio_level.map(rtp::AudioLevel::from_byte);
        let dbov = level.map_or(NO_LEVEL_DBOV, |level| level.level);
        let ticks = voice
            .last_timestamp
            .replace(packet.timestamp)
            .map_or(0, |last| packet.timestamp.wrapping_sub(last));
        let codec = &track.codecs[usize::from(packet.codec)];
        let duration = Duration::from_secs(u64::from(ticks)) / codec.clock_rate.max(1);
        voice.level.on_packet(dbov, duration, now);
        if let Some(edge) = voice.speech.on_packet(dbov, now) {
            self.out.events.push(speech_event(track.room, voice.id, edge));
        }

        let silent = level.is_some_and(|level| level.level == SILENCE_DBOV);
        voice.silence = if silent { voice.silence + duration } else { Duration::ZERO };
        let (loudness, speaks) = match level {
            Some(level) => (level.level, level.voice),
            // Nobody knows how loud it is; who sends anything but silence wants to be heard.
            None => (UNKNOWN_DBOV, !Toc::parse(&packet.payload).dtx),
        };
        let pinned = track.is_pinned();
        let mut open = pinned || voice.silence <= MAX_SILENCE;
        let mut pre_roll = 0;
        if large {
            match audio.gates.on_packet(key, loudness, speaks, now) {
                Gate::Shut => open = pinned,
                Gate::Open => {}
                Gate::Opens { pre_roll: packets, .. } => pre_roll = packets,
            }
        }
        let was_withheld = std::mem::replace(&mut voice.withheld, !open);
        match (open, was_withheld) {
            (true, false) => Heard::Pass,
            (true, true) => Heard::Resume { pre_roll },
            (false, _) => Heard::Withhold,
        }
    }

    /// Looks again whether somebody here asks for this voice in particular, and tells its home.
    pub(crate) fn follow_pins(&mut self, key: usize) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        if track.kind != MediaKind::Audio {
            return;
        }
        let asks = |slot: usize| self.slots.get(slot).is_some_and(Slot::pins);
        let pinned = track.fanout.iter().any(|entry| asks(entry.slot));
        if std::mem::replace(&mut track.pinned, pinned) != pinned
            && let TrackSource::Ring { home } = track.source
        {
            self.out.ring(home, RingMessage::Pin { track: track.id, pinned });
        }
    }

    /// A packet that subscribers do not get; those who read the source do.
    pub(crate) fn withhold(&mut self, key: usize, packet: &SourcePacket) {
        let copy = SourcePacket { form: Form::Withheld, ..packet.without_payload() };
        let copy = self.pool.share(copy, &packet.payload);
        self.turn.push((key, copy));
    }

    /// A voice is forwarded again from this packet on. What came before it was left out, so that
    /// subscribers continue as after a pause of the publisher.
    pub(crate) fn resume(
        &mut self,
        key: usize,
        packet: &Arc<SourcePacket>,
        pre_roll: u8,
    ) -> Result<(), DropReason> {
        let track = &self.tracks[key];
        let layer = &track.layers[usize::from(packet.layer)];
        let plain = track.fanout.iter().all(|entry| entry.form == Form::Published);
        let earlier = packet.ext_seq.saturating_sub(pre_roll.into())..packet.ext_seq;
        let onset: Vec<_> = earlier
            .filter_map(|number| layer.cache.get(number).filter(|_| plain))
            .map(Arc::clone)
            .collect();
        for (at, before) in onset.iter().enumerate() {
            let fields =
                SourcePacket { restart: at == 0, form: Form::Onset, ..before.without_payload() };
            let copy = self.pool.share(fields, &before.payload);
            self.turn.push((key, copy));
        }
        let fields = SourcePacket { restart: onset.is_empty(), ..packet.without_payload() };
        let copy = self.pool.share(fields, &packet.payload);
        self.route(key, copy)
    }

    /// Tells who speaks, if that has changed.
    pub(crate) fn room_timeout(&mut self, room: RoomId, now: Instant) {
        let Some(audio) = self.rooms.get_mut(&room) else { return };
        audio.wake.fired();
        for voice in &mut audio.voices {
            if let Some(edge) = voice.speech.poll(now) {
                self.out.events.push(speech_event(room, voice.id, edge));
            }
        }
        let levels = audio.voices.iter().map(|voice| (voice.id, voice.level.level(now)));
        if let Some(speakers) = audio.speakers.update(levels, now) {
            audio.speaking.clear();
            audio.speaking.extend(speakers.iter().map(|(track, _)| *track));
            let loudest = audio.speaking.first().copied();
            let key = audio.voices.iter().find(|voice| Some(voice.id) == loudest);
            audio.gates.set_dominant(key.map(|voice| voice.track));
            self.out.events.push(Event::Speakers { room, speakers: speakers.to_vec() });
        }
        while audio.gates.poll_shut(now).is_some() {}
        if audio.voices.is_empty() {
            self.rooms.remove(&room);
        } else {
            self.timers.arm(TimerKey::Room(room), &mut audio.wake, now + INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voices_are_found_in_whatever_order_they_come() {
        let mut audio = RoomAudio::new(0);
        // Keys of tracks that ended are used again.
        for key in [5, 2, 9, 0, 7, 2] {
            audio.add(key, TrackId(key as u64));
        }
        assert_eq!(audio.voices.len(), 5, "none twice");
        for key in [0, 2, 5, 7, 9] {
            let place = audio.place(key).unwrap();
            assert_eq!(audio.voices[place].id, TrackId(key as u64));
        }
        assert!(audio.place(3).is_err());
    }
}
