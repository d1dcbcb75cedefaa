//! Redundant audio: passed on, unwrapped for those who lack it, made for those who lose packets.

use airside_engine::codec::red::Blocks;
use airside_engine::command::{MediaKind, Source};
use airside_engine::load::GeneratedPacket;

use crate::sim::{OPUS, Payload, Published, RED, Sim, Subscribed};

const FRAME: u32 = 960;

/// Frame `index`: its number, twice.
fn frame(index: u32) -> [u8; 9] {
    let mut frame = [0xF8; 9];
    frame[1..5].copy_from_slice(&index.to_be_bytes());
    frame[5..].copy_from_slice(&index.to_be_bytes());
    frame
}

fn index_of(frame: &[u8]) -> u32 {
    assert_eq!((frame.len(), &frame[1..5]), (9, &frame[5..]));
    u32::from_be_bytes(frame[1..5].try_into().unwrap())
}

/// Frame `index` as libwebrtc sends it: with the one before.
fn red(index: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    if index > 0 {
        payload.extend((1 << 31 | u32::from(OPUS.1) << 24 | FRAME << 10 | 9).to_be_bytes());
    }
    payload.push(OPUS.1);
    if index > 0 {
        payload.extend(frame(index - 1));
    }
    payload.extend(frame(index));
    payload
}

struct Microphone {
    published: Published,
    next: u32,
    red: bool,
}

impl Microphone {
    fn new(sim: &mut Sim, payloads: &[Payload]) -> Self {
        let alice = sim.connect();
        let published = sim.publish_as(alice, MediaKind::Audio, Source::Local, 1, payloads);
        Self { published, next: 0, red: payloads[0] == RED }
    }

    fn speak(&mut self, sim: &mut Sim, frames: u32) {
        for _ in 0..frames {
            let index = self.next;
            self.next += 1;
            let payload = if self.red { red(index) } else { frame(index).to_vec() };
            let packet = GeneratedPacket {
                layer: 0,
                timestamp: index * FRAME,
                marker: index == 0,
                level: Some(30),
                descriptor: None,
                payload: &payload,
            };
            let now = sim.now;
            let engine = &mut sim.nodes[self.published.publisher.node].engine;
            engine.inject(self.published.local, &packet, now).unwrap();
            sim.collect(self.published.publisher.node);
            sim.run_ms(20);
        }
    }
}

/// Frames that arrived in the main blocks, sorted; each in the place its number and time say.
fn primaries(sim: &Sim, slot: Subscribed, opus: u8) -> Vec<u32> {
    let mut places = Vec::new();
    let mut frames = Vec::new();
    for packet in sim.received(slot) {
        let index = if packet.codec == opus {
            index_of(&packet.payload)
        } else {
            index_of(Blocks::parse(&packet.payload).unwrap().primary().data)
        };
        places.push((packet.ext_seq - u64::from(index), packet.timestamp - index * FRAME));
        frames.push(index);
    }
    places.dedup();
    assert_eq!(places.len(), 1, "one line: {places:?}");
    frames.sort_unstable();
    frames
}

#[test]
fn redundancy_passes_and_is_unwrapped_for_those_who_lack_it() {
    let mut sim = Sim::new(41, 2);
    let mut microphone = Microphone::new(&mut sim, &[RED, OPUS]);
    let (bob, carol, dave) = (sim.connect(), sim.connect(), sim.connect());
    let with = sim.subscribe_as(&mut microphone.published, bob, &[RED, OPUS]);
    let without = sim.subscribe_as(&mut microphone.published, carol, &[OPUS]);
    // The other worker unwraps for itself.
    let other_name = (OPUS.0, 109, None);
    let renamed = sim.subscribe_as(&mut microphone.published, dave, &[RED, other_name]);
    microphone.speak(&mut sim, 100);
    sim.run_ms(100);
    assert!(sim.received(with).iter().all(|packet| packet.codec == 0));
    assert!(sim.received(without).iter().all(|packet| packet.payload.len() == 9));
    assert!(sim.received(renamed).iter().all(|packet| packet.codec == 1), "inside is another 111");
    for (slot, opus) in [(with, 1), (without, 0), (renamed, 1)] {
        let frames = primaries(&sim, slot, opus);
        assert!(frames.len() >= 99, "{}", frames.len());
        assert!(frames.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    }
}

#[test]
fn thirty_percent_loss_on_the_way_in_is_mostly_recovered() {
    let mut sim = Sim::new(42, 1);
    let mut microphone = Microphone::new(&mut sim, &[RED, OPUS]);
    let bob = sim.connect();
    let slot = sim.subscribe_as(&mut microphone.published, bob, &[OPUS]);
    microphone.speak(&mut sim, 50);
    let alice = microphone.published.publisher;
    sim.network.lossy_sender = Some((sim.nodes[alice.node].address, 0.3));
    microphone.speak(&mut sim, 1000);
    sim.network.lossy_sender = None;
    microphone.speak(&mut sim, 10);
    let frames = primaries(&sim, slot, 0);
    // One copy follows: gone is what was lost twice in a row, less what came again.
    let lost = 1060 - frames.len();
    assert!((1..=110).contains(&lost), "{lost}");
    assert!(sim.network.lost > 250, "{}", sim.network.lost);
    assert!(frames.windows(2).all(|pair| pair[0] < pair[1]), "none twice");
}

#[test]
fn receiver_that_loses_packets_gets_redundancy_and_hears_the_lost_frames() {
    let mut sim = Sim::new(43, 1);
    let mut microphone = Microphone::new(&mut sim, &[OPUS]);
    let (bob, carol) = (sim.connect(), sim.connect());
    let lossy = sim.subscribe_as(&mut microphone.published, bob, &[OPUS, RED]);
    let good = sim.subscribe_as(&mut microphone.published, carol, &[OPUS, RED]);
    microphone.speak(&mut sim, 250);
    assert!(sim.received(lossy).iter().all(|packet| packet.codec == 0), "nothing is lost yet");

    sim.network.lossy_receiver = Some((sim.nodes[bob.node].address, 0.1));
    microphone.speak(&mut sim, 1500);
    assert!(sim.received(good).iter().all(|packet| packet.codec == 0), "only for who needs it");
    let late: Vec<_> = sim.received(lossy).iter().rev().take(1000).collect();
    let wrapped = late.iter().filter(|packet| packet.codec == 1).count();
    assert!(wrapped > 950, "{wrapped}");
    let mut heard = Vec::new();
    for packet in sim.received(lossy).iter().filter(|packet| packet.codec == 1) {
        let blocks = Blocks::parse(&packet.payload).unwrap();
        heard.push(index_of(blocks.primary().data));
        heard.extend(blocks.redundant().iter().map(|block| index_of(block.data)));
    }
    heard.sort_unstable();
    heard.dedup();
    let (first, last) = (heard[0], *heard.last().unwrap());
    let missing = f64::from(last - first + 1) - heard.len() as f64;
    assert!(missing / f64::from(last - first) < 0.01, "{missing} of {}", last - first);
    primaries(&sim, lossy, 0);

    // It ends with the loss.
    sim.network.lossy_receiver = None;
    microphone.speak(&mut sim, 1500);
    assert_eq!(sim.received(lossy).last().unwrap().codec, 0);
}
