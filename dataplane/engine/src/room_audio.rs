//! Who is heard in each room, from the audio levels of this worker's publishers.

use std::time::{Duration, Instant};

use crate::audio_level::AudioLevel;
use crate::command::MediaKind;
use crate::engine::Engine;
use crate::event::Event;
use crate::ids::{RoomId, TrackId};
use crate::packet::SourcePacket;
use crate::rtp;
use crate::speakers::{INTERVAL, Speakers};
use crate::timers::{TimerKey, Wake};

/// Level of a packet without the extension: silence.
const NO_LEVEL_DBOV: u8 = 127;

/// One audio track as the room hears it.
#[derive(Debug)]
struct Voice {
    /// Key of the track.
    track: usize,
    id: TrackId,
    level: AudioLevel,
    last_timestamp: Option<u32>,
}

/// The voices of one room on this worker.
#[derive(Debug, Default)]
pub(crate) struct RoomAudio {
    voices: Vec<Voice>,
    speakers: Speakers<TrackId>,
    speaking: Vec<TrackId>,
    wake: Wake,
}

impl RoomAudio {
    /// Audio tracks that are heard now.
    pub(crate) fn speaking(&self) -> &[TrackId] {
        &self.speaking
    }
}

impl Engine {
    /// A published audio track may speak; mirrors of other workers' tracks are heard there.
    pub(crate) fn join_room_audio(&mut self, room: RoomId, key: usize, now: Instant) {
        let track = &self.tracks[key];
        if track.kind != MediaKind::Audio || !track.is_home() {
            return;
        }
        let audio = self.rooms.entry(room).or_default();
        let level = AudioLevel::default();
        audio.voices.push(Voice { track: key, id: track.id, level, last_timestamp: None });
        self.timers.arm(TimerKey::Room(room), &mut audio.wake, now + INTERVAL);
    }

    pub(crate) fn leave_room_audio(&mut self, room: RoomId, key: usize) {
        let Some(audio) = self.rooms.get_mut(&room) else { return };
        audio.voices.retain(|voice| voice.track != key);
    }

    /// One audio packet.
    pub(crate) fn hear(&mut self, key: usize, packet: &SourcePacket, now: Instant) {
        let track = &self.tracks[key];
        let Some(audio) = self.rooms.get_mut(&track.room) else { return };
        let Some(voice) = audio.voices.iter_mut().find(|voice| voice.track == key) else { return };
        if packet.late {
            return;
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
    }

    /// Tells who speaks, if that has changed.
    pub(crate) fn room_timeout(&mut self, room: RoomId, now: Instant) {
        let Some(audio) = self.rooms.get_mut(&room) else { return };
        audio.wake.fired();
        let levels = audio.voices.iter().map(|voice| (voice.id, voice.level.level(now)));
        if let Some(speakers) = audio.speakers.update(levels, now) {
            audio.speaking.clear();
            audio.speaking.extend(speakers.iter().map(|(track, _)| *track));
            self.out.events.push(Event::Speakers { room, speakers: speakers.to_vec() });
        }
        if audio.voices.is_empty() {
            self.rooms.remove(&room);
        } else {
            self.timers.arm(TimerKey::Room(room), &mut audio.wake, now + INTERVAL);
        }
    }
}
