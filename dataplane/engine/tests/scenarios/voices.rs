//! Many voices in one room: the few that speak are forwarded, silence costs nothing, and no gap is
//! heard as a loss.

use std::time::Duration;

use airside_engine::command::{Command, MediaKind, Source, Wish};
use airside_engine::event::Event;
use airside_engine::ids::TrackId;
use airside_engine::load::GeneratedPacket;
use airside_engine::net::{Datagram, Protocol};

use crate::sim::{OPUS, Published, RED, Sim, Subscribed, wish};

const FRAME: u32 = 960;
const SPEECH: u8 = 30;
const NOISE: u8 = 80;
const SILENCE: u8 = 127;

struct Room {
    sim: Sim,
    voices: Vec<Published>,
    frame: u32,
}

impl Room {
    fn new(seed: u64, workers: usize, voices: usize) -> Self {
        let mut sim = Sim::new(seed, workers);
        let alice = sim.connect();
        let make =
            |sim: &mut Sim| sim.publish_as(alice, MediaKind::Audio, Source::Local, 1, &[OPUS]);
        let voices = (0..voices).map(|_| make(&mut sim)).collect();
        Self { sim, voices, frame: 0 }
    }

    /// Frames of 20 ms from everybody, as loud as `level` says.
    fn speak(&mut self, frames: u32, level: impl Fn(usize) -> u8) {
        for _ in 0..frames {
            for (at, voice) in self.voices.iter().enumerate() {
                let payload = [&[0xF8][..], &self.frame.to_be_bytes(), &[7; 20]].concat();
                let packet = GeneratedPacket {
                    layer: 0,
                    timestamp: self.frame * FRAME,
                    marker: false,
                    level: Some(level(at)),
                    descriptor: None,
                    payload: &payload,
                };
                let now = self.sim.now;
                let engine = &mut self.sim.nodes[voice.publisher.node].engine;
                engine.inject(voice.local, &packet, now).unwrap();
            }
            self.sim.collect(self.voices[0].publisher.node);
            self.frame += 1;
            self.sim.run_ms(20);
        }
    }

    fn hear_all(&mut self) -> Vec<Subscribed> {
        let bob = self.sim.connect();
        let mut voices = std::mem::take(&mut self.voices);
        let slots = voices.iter_mut().map(|voice| self.sim.subscribe(voice, bob)).collect();
        self.voices = voices;
        slots
    }

    /// Frames received since the last call. Their numbers are contiguous, and their times right.
    fn heard(&mut self, slot: Subscribed) -> Vec<u32> {
        let packets = self.sim.take_received(slot);
        let frame = |payload: &[u8]| u32::from_be_bytes(payload[1..5].try_into().unwrap());
        for pair in packets.windows(2) {
            assert_eq!(pair[1].ext_seq, pair[0].ext_seq + 1, "nothing to ask for");
            let (before, after) = (frame(&pair[0].payload), frame(&pair[1].payload));
            let ticks = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            assert_eq!(ticks, (after - before) * FRAME, "time goes on over the gap");
            assert_eq!(pair[1].marker, after > before + 1, "a talk spurt begins");
        }
        packets.iter().map(|packet| frame(&packet.payload)).collect()
    }
}

/// The generator's packets have the voice bit set, so quiet ones are below what is believed.
const QUIET: u8 = 110;

#[test]
fn few_of_many_voices_are_forwarded_and_a_new_one_from_its_onset() {
    let mut room = Room::new(61, 1, 30);
    let slots = room.hear_all();
    room.speak(150, |_| QUIET);
    slots.iter().for_each(|slot| drop(room.heard(*slot)));
    room.speak(100, |voice| if voice < 4 { SPEECH } else { QUIET });
    let began = 150;
    for (voice, slot) in slots.iter().enumerate() {
        let heard = room.heard(*slot);
        if voice < 4 {
            assert!(heard.len() >= 100, "{voice}: {}", heard.len());
            assert!(heard[0] < began, "{voice}: the onset came too: {}", heard[0]);
        } else {
            assert_eq!(heard, [], "{voice}");
        }
    }
    // All at once: six are let in.
    room.speak(100, |_| SPEECH);
    let open = slots.iter().filter(|slot| room.heard(**slot).len() > 80).count();
    assert_eq!(open, 6);
    let stats = room.sim.nodes[0].engine.stats(room.sim.now);
    assert_eq!(stats.total("slots", "nacked"), 0);
}

#[test]
fn voice_that_somebody_asks_for_is_never_withheld() {
    // The subscriber is on the other worker than the voices.
    for workers in [1, 2] {
        let mut room = Room::new(62, workers, 30);
        let slots = room.hear_all();
        room.speak(20, |_| QUIET);
        let wanted = slots[20];
        let mut wish = wish(720);
        wish.priority = 200;
        let command = Command::UpdateSubscription { slot: wanted.slot, wish };
        room.sim.command(wanted.subscriber.worker, command);
        room.speak(150, |_| QUIET);
        slots.iter().for_each(|slot| drop(room.heard(*slot)));
        room.speak(100, |voice| if voice < 10 { SPEECH } else { QUIET });
        let heard = room.heard(wanted).len();
        assert!(heard >= 99, "{workers} workers: {heard}");
        assert_eq!(room.heard(slots[21]), []);
    }
}

#[test]
fn digital_silence_is_left_out_after_a_while_in_any_room() {
    let mut room = Room::new(63, 1, 2);
    let slots = room.hear_all();
    room.speak(100, |_| NOISE);
    slots.iter().for_each(|slot| drop(room.heard(*slot)));
    room.speak(500, |voice| if voice == 0 { SILENCE } else { NOISE });
    assert!((95..=110).contains(&room.heard(slots[0]).len()));
    assert!(room.heard(slots[1]).len() >= 498);
    room.speak(50, |_| SPEECH);
    let heard = room.heard(slots[0]);
    assert_eq!((heard[0], heard.len() >= 49), (600, true));
    let stats = room.sim.nodes[slots[0].subscriber.node].engine.stats(room.sim.now);
    assert_eq!(stats.total("layers", "nacks_sent"), 0, "nobody asks for what was left out");
}

#[test]
fn hundred_mutes_leave_no_glitch() {
    let mut room = Room::new(64, 1, 1);
    let slot = room.hear_all()[0];
    room.speak(20, |_| SPEECH);
    let track = room.voices[0].track;
    for _ in 0..100 {
        room.sim.command(0, Command::SetTrackMuted { track, muted: true });
        room.sim.run_ms(60);
        // The clock of a muted microphone goes on.
        room.frame += 3;
        room.sim.command(0, Command::SetTrackMuted { track, muted: false });
        room.speak(5, |_| SPEECH);
    }
    let heard = room.heard(slot);
    assert!(heard.len() >= 515, "{}", heard.len());
    let stats = room.sim.nodes[slot.subscriber.node].engine.stats(room.sim.now);
    assert_eq!(stats.total("layers", "nacks_sent"), 0);
}

#[test]
fn redundant_sound_of_a_large_room_begins_with_its_first_packet() {
    let mut room = Room::new(65, 1, 20);
    let bob = room.sim.connect();
    let slot = room.sim.subscribe_as(&mut room.voices[0], bob, &[OPUS, RED]);
    room.speak(150, |_| QUIET);
    drop(room.heard(slot));
    room.speak(50, |voice| if voice == 0 { SPEECH } else { QUIET });
    let heard = room.heard(slot);
    assert!(heard[0] <= 150 && heard.len() >= 49, "{heard:?}");
}

#[test]
fn datagrams_of_one_turn_for_one_receiver_lie_side_by_side() {
    let mut sim = Sim::new(76, 1);
    let publishers: Vec<_> = (0..3).map(|_| sim.connect()).collect();
    let (bob, carol) = (sim.connect(), sim.connect());
    let mut voices: Vec<Published> = publishers
        .iter()
        .map(|publisher| sim.publish_as(*publisher, MediaKind::Audio, Source::Local, 1, &[OPUS]))
        .collect();
    let slots: Vec<Subscribed> = [bob, carol]
        .into_iter()
        .flat_map(|subscriber| {
            voices.iter_mut().map(|voice| sim.subscribe(voice, subscriber)).collect::<Vec<_>>()
        })
        .collect();
    sim.run_ms(100);

    // One batch: a packet of each of the three.
    let now = sim.now;
    let mut batch = Vec::new();
    for voice in &voices {
        let client = &mut sim.nodes[voice.publisher.node];
        let payload = [0xF8; 60];
        let packet = GeneratedPacket {
            layer: 0,
            timestamp: FRAME,
            marker: false,
            level: Some(SPEECH),
            descriptor: None,
            payload: &payload,
        };
        client.engine.inject(voice.local, &packet, now).unwrap();
        let arena = client.engine.transmits();
        let sent = arena.entries().iter().map(|entry| (client.address, arena.data(entry).to_vec()));
        batch.extend(sent.collect::<Vec<_>>());
        arena.clear();
    }
    let mut datagrams: Vec<Datagram<'_>> = batch
        .iter_mut()
        .map(|(remote, data)| Datagram { local: 0, remote: *remote, protocol: Protocol::Udp, data })
        .collect();
    let server = &mut sim.nodes[0].engine;
    server.handle_datagrams(&mut datagrams, now);
    let sent: Vec<_> = server.transmits().entries().iter().map(|sent| sent.tuple.remote).collect();
    let [bob, carol] = [bob, carol].map(|peer| sim.nodes[peer.node].address);
    assert_eq!(sent, [bob, bob, bob, carol, carol, carol]);
    sim.collect(0);
    sim.run_ms(100);
    assert!(slots.iter().all(|slot| sim.received(*slot).len() == 1));
}

#[test]
fn fifty_voices_at_random_open_and_shut_without_a_gap_in_any_stream() {
    let mut room = Room::new(66, 1, 50);
    let slots = room.hear_all();
    room.speak(100, |_| QUIET);
    slots.iter().for_each(|slot| drop(room.heard(*slot)));
    let mut heard = vec![0; slots.len()];
    let mut spurts = 0;
    for phrase in 0..40usize {
        // Five others each time; the sequence of who speaks never repeats.
        let speaks = |voice: usize| (voice * 7 + phrase * phrase * 3) % 50 < 5;
        room.speak(25, |voice| if speaks(voice) { SPEECH } else { QUIET });
        for (voice, slot) in slots.iter().enumerate() {
            // Contiguous numbers, times that follow the frames, markers at talk spurts: see `heard`.
            let frames = room.heard(*slot);
            heard[voice] += frames.len();
            spurts += usize::from(!frames.is_empty());
        }
    }
    assert!(heard.iter().filter(|frames| **frames > 20).count() > 40, "{heard:?}");
    assert!(spurts > 150, "{spurts}");
    let client = room.sim.nodes[slots[0].subscriber.node].engine.stats(room.sim.now);
    assert_eq!(client.total("layers", "nacks_sent"), 0, "no gap to ask for");
}

/// Who led, list by list.
fn leaders(room: &Room) -> Vec<Option<TrackId>> {
    let first = |event: &Event| match event {
        Event::Speakers { speakers, .. } => Some(speakers.first().map(|(track, _)| *track)),
        _ => None,
    };
    room.sim.nodes[0].events.iter().filter_map(first).collect()
}

#[test]
fn a_new_speaker_leads_within_a_second_and_a_cough_never() {
    let mut room = Room::new(67, 1, 3);
    room.hear_all();
    let tracks: Vec<TrackId> = room.voices.iter().map(|voice| voice.track).collect();
    for turn in 0..8 {
        let speaker = turn % 2;
        let began = room.sim.now;
        let mut waited = None;
        for step in 0..20usize {
            // A second in, the third coughs for 100 ms, louder than anybody speaks.
            let cough = step == 10;
            room.speak(5, |voice| match voice {
                2 if cough => 5,
                voice if voice == speaker => SPEECH,
                _ => QUIET,
            });
            if waited.is_none() && leaders(&room).last() == Some(&Some(tracks[speaker])) {
                waited = Some(room.sim.now - began);
            }
        }
        let waited = waited.unwrap();
        assert!(waited <= Duration::from_secs(1), "turn {turn}: {waited:?}");
    }
    assert!(!leaders(&room).contains(&Some(tracks[2])), "the cough led");
    assert_eq!(room.sim.failures(), Vec::<String>::new());
}

#[test]
fn sound_does_not_wait_for_keyframes_whatever_is_wished() {
    let mut room = Room::new(68, 1, 1);
    let slot = room.hear_all()[0];
    room.speak(20, |_| SPEECH);
    for keyframe_interval_ms in [500, 0] {
        let wish = Wish { keyframe_interval_ms, ..wish(720) };
        room.sim.command(0, Command::UpdateSubscription { slot: slot.slot, wish });
        drop(room.heard(slot));
        room.speak(50, |_| SPEECH);
        let heard = room.heard(slot).len();
        assert!(heard >= 49, "every {keyframe_interval_ms} ms: {heard}");
    }
}
