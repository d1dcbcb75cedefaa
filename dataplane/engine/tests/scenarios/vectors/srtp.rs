//! Numbers under which packets are encrypted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use airside_engine::codec::Codec;
use airside_engine::command::{Command, MediaKind};

use crate::sim::network::Flight;
use crate::sim::{Layers, Payload, Sim, wish};

const RTX: u8 = 97;
const HIGHEST_FIRST: u64 = 32_767;

/// RTP packets of a capture as (both ends, SSRC, payload type, number), with their bytes; the headers
/// are in clear.
fn media(
    flights: &[Flight],
) -> impl Iterator<Item = ((SocketAddr, SocketAddr, u32), u8, u16, &[u8])> {
    let rtp = |data: &[u8]| (128..192).contains(&data[0]) && !(192..224).contains(&data[1]);
    flights.iter().filter(move |flight| rtp(&flight.data)).map(|flight| {
        let data = &flight.data;
        let ssrc = u32::from_be_bytes(data[8..12].try_into().unwrap());
        let number = u16::from_be_bytes(data[2..4].try_into().unwrap());
        ((flight.from, flight.to, ssrc), data[1] & 0x7f, number, &data[..])
    })
}

#[test]
fn ten_thousand_streams_begin_where_no_receiver_guesses_the_wrong_rollover() {
    let mut sim = Sim::new(631, 1);
    sim.congestion_control = false;
    let alice = sim.connect();
    let microphone = sim.publish_audio(alice);
    let peers: Vec<_> = (0..10).map(|_| sim.connect()).collect();
    for bob in peers {
        for _ in 0..1000 {
            let slot = sim.add_slot(bob, MediaKind::Audio).slot;
            let (track, wish) = (microphone.track, wish(720));
            sim.command(0, Command::Subscribe { slot, track, wish });
        }
    }
    let server = sim.nodes[0].address;
    sim.network.capture = Some(Vec::new());
    sim.run_ms(25);
    let flights = sim.network.capture.take().unwrap();
    let mut first = BTreeMap::new();
    for ((from, _, ssrc), _, number, _) in media(&flights) {
        if from == server {
            first.entry(ssrc).or_insert(number);
        }
    }
    assert_eq!(first.len(), 10_000);
    assert!(first.values().all(|number| (1..=32_767).contains(number)));
    let distinct: BTreeSet<u16> = first.values().copied().collect();
    assert!(distinct.len() > 8000, "drawn at random: {}", distinct.len());
}

/// One SSRC in the order of sending.
#[derive(Default)]
struct Line {
    newest: Option<u64>,
    sent: BTreeMap<u64, Vec<u8>>,
}

impl Line {
    /// RFC 3711, section 3.3.1, from the sender's side: the nearest index. True: sent before.
    fn on_packet(&mut self, number: u16, data: &[u8]) -> bool {
        let index = match self.newest {
            None => u64::from(number),
            Some(newest) => {
                let ahead = number.wrapping_sub(newest as u16).cast_signed();
                newest.checked_add_signed(ahead.into()).unwrap()
            }
        };
        self.newest = self.newest.max(Some(index));
        match self.sent.get(&index) {
            Some(before) => {
                assert_eq!(before, data, "index {index} stands for two packets");
                true
            }
            None => {
                self.sent.insert(index, data.to_vec());
                false
            }
        }
    }
}

/// RFC 7714, section 8.1: one key, one index, one packet.
#[test]
fn no_index_ever_stands_for_two_packets() {
    const WITHOUT_RTX: Payload = (Codec::Vp8, 96, None);
    let mut sim = Sim::new(632, 1);
    let (alice, bob, carol) = (sim.connect(), sim.connect(), sim.connect());
    let mut cameras =
        [sim.publish_video(alice, Layers::Three), sim.publish_video(carol, Layers::One)];
    let mut microphone = sim.publish_audio(alice);
    sim.network.capture = Some(Vec::new());
    let voice = sim.subscribe(&mut microphone, bob);
    let repaired = sim.subscribe(&mut cameras[0], bob);
    let repeated = sim.subscribe_as(&mut cameras[0], carol, &[WITHOUT_RTX]);
    sim.run_ms(1000);
    sim.network.conditions.loss = 0.05;
    for round in 0..12 {
        let height_px = [0, 180, 720, 360][round % 4];
        for slot in [repaired.slot, repeated.slot] {
            sim.command(0, Command::UpdateSubscription { slot, wish: wish(height_px) });
        }
        let muted = round % 2 == 0;
        sim.command(0, Command::SetTrackMuted { track: microphone.track, muted });
        sim.run_ms(600);
        if round % 3 == 2 {
            [voice.slot, repeated.slot]
                .into_iter()
                .for_each(|slot| sim.command(0, Command::Unsubscribe { slot }));
            sim.bind(&mut cameras[round % 2], repeated);
            sim.bind(&mut microphone, voice);
        }
    }
    assert_eq!(sim.failures(), Vec::<String>::new());

    let flights = sim.network.capture.take().unwrap();
    let (mut lines, mut repeats, mut again) = (BTreeMap::<_, Line>::new(), 0, 0);
    for (name, payload_type, number, data) in media(&flights) {
        let line = lines.entry(name).or_default();
        let before = line.newest;
        let repeat = line.on_packet(number, data);
        let first = line.sent.first_key_value().map(|(index, _)| *index);
        assert!(first.is_some_and(|first| (1..=HIGHEST_FIRST).contains(&first)), "{name:?}");
        if payload_type == RTX {
            again += 1;
            assert!(!repeat && before.is_none_or(|before| Some(before + 1) == line.newest));
        }
        repeats += usize::from(repeat);
    }
    assert!(repeats > 10 && again > 30, "{repeats} repeated, {again} by RTX");

    // SRTCP: bit E, and indices that only rise (RFC 7714, section 9.1).
    let mut indices = BTreeMap::new();
    for flight in flights.iter().filter(|flight| (192..224).contains(&flight.data[1])) {
        if !(128..192).contains(&flight.data[0]) {
            continue;
        }
        let word = u32::from_be_bytes(*flight.data.last_chunk().unwrap());
        assert_eq!(word >> 31, 1, "encrypted");
        let before = indices.insert((flight.from, flight.to), word);
        assert!(before.is_none_or(|before| word == before + 1), "{before:?} then {word}");
    }
    assert!(indices.len() >= 6);
}
