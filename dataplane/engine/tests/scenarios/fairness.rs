//! Nobody pays for anybody else: not the publisher for its subscribers, not one subscriber for
//! another, not one room for the next.

use std::hash::{DefaultHasher, Hash, Hasher};

use airside_engine::codec::Codec;
use airside_engine::command::{Command, MediaKind, Source};
use airside_engine::error::DropReason;
use airside_engine::load::GeneratedPacket;

use crate::sim::{Layers, OPUS, Payload, Published, Sim, packet_of, wish};

/// Bytes that a client has sent and received.
fn traffic(sim: &Sim, node: usize) -> (u64, u64) {
    let stats = sim.nodes[node].engine.stats(sim.now);
    (stats.total("transports", "bytes_sent"), stats.total("transports", "bytes_received"))
}

#[test]
fn promise_20_uplink_of_a_publisher_does_not_depend_on_its_subscribers() {
    let sent = |subscribers: usize| {
        let mut sim = Sim::new(81, 2);
        let agent = sim.connect();
        let mut voice = sim.publish_audio(agent);
        for _ in 0..subscribers {
            let peer = sim.connect();
            sim.subscribe(&mut voice, peer);
        }
        sim.run_ms(1000);
        let before = traffic(&sim, agent.node).0;
        sim.run_ms(10_000);
        traffic(&sim, agent.node).0 - before
    };
    let (one, many) = (sent(1), sent(60));
    assert!(many.abs_diff(one) * 100 < one, "{one} with one, {many} with sixty");
}

#[test]
fn promise_21_what_an_agent_gets_does_not_grow_with_the_room() {
    let got = |others: usize| {
        let mut sim = Sim::new(82, 1);
        let (user, agent) = (sim.connect(), sim.connect());
        let mut voice = sim.publish_audio(user);
        sim.subscribe(&mut voice, agent);
        for _ in 0..others {
            let (a, b) = (sim.connect(), sim.connect());
            let mut other = sim.publish_video(a, Layers::Three);
            sim.subscribe(&mut other, b);
        }
        sim.run_ms(1000);
        let before = traffic(&sim, agent.node).1;
        sim.run_ms(5000);
        traffic(&sim, agent.node).1 - before
    };
    let (alone, crowded) = (got(0), got(12));
    assert!(crowded.abs_diff(alone) * 100 < alone, "{alone} alone, {crowded} in a crowd");
}

#[test]
fn promise_22_payloads_go_through_unchanged() {
    let codecs: [(MediaKind, Payload); 4] = [
        (MediaKind::Audio, OPUS),
        (MediaKind::Video, (Codec::H264, 108, Some(109))),
        (MediaKind::Video, (Codec::H265, 116, Some(117))),
        (MediaKind::Video, (Codec::Av1, 45, Some(46))),
    ];
    let hash = |payload: &[u8]| {
        let mut hasher = DefaultHasher::new();
        payload.hash(&mut hasher);
        hasher.finish()
    };
    for (kind, payload) in codecs {
        let mut sim = Sim::new(83, 1);
        let (alice, bob) = (sim.connect(), sim.connect());
        let mut published = sim.publish_as(alice, kind, Source::Local, 1, &[payload]);
        let slot = sim.subscribe_as(&mut published, bob, &[payload]);
        let mut sent = Vec::new();
        for count in 0..100u32 {
            // What is behind the codec's first bytes is nobody's business: it may be encrypted.
            let head: &[u8] = match payload.0 {
                Codec::H264 => &[0x67, 0x42, 0xe0, 0x1f],
                Codec::H265 => &[33 << 1, 1],
                Codec::Av1 => &[0x18, 0x0a],
                _ => &[0xF8],
            };
            let noise = (0..60u32).map(|at| (count * 31 + at * 17) as u8);
            let bytes: Vec<u8> = head.iter().copied().chain(noise).collect();
            let packet = GeneratedPacket {
                layer: 0,
                timestamp: count * 960,
                marker: true,
                level: None,
                descriptor: None,
                payload: &bytes,
            };
            let now = sim.now;
            sim.nodes[alice.node].engine.inject(published.local, &packet, now).unwrap();
            sim.collect(alice.node);
            sent.push(hash(&bytes));
            sim.run_ms(20);
        }
        sim.run_ms(100);
        let got: Vec<u64> = sim.received(slot).iter().map(|packet| hash(&packet.payload)).collect();
        let from = sent.iter().position(|hash| Some(hash) == got.first()).unwrap();
        assert_eq!(got, sent[from..], "{:?}", payload.0);
        assert!(got.len() >= 95, "{:?}: {}", payload.0, got.len());
    }
}

#[test]
fn a_subscriber_that_loses_a_third_costs_the_others_and_the_publisher_nothing() {
    let run = |poor: bool| {
        let mut sim = Sim::new(84, 1);
        let alice = sim.connect();
        let mut camera = sim.publish_video(alice, Layers::Three);
        let peers: Vec<_> = (0..10).map(|_| sim.connect()).collect();
        let slots: Vec<_> = peers.iter().map(|peer| sim.subscribe(&mut camera, *peer)).collect();
        sim.run_ms(5000);
        if poor {
            sim.network.lossy_receiver = Some((sim.nodes[peers[0].node].address, 0.3));
        }
        sim.run_ms(2000);
        slots.iter().for_each(|slot| drop(sim.take_received(*slot)));
        let before = traffic(&sim, alice.node).0;
        sim.run_ms(10_000);
        let uplink = traffic(&sim, alice.node).0 - before;
        let bytes = |packets: Vec<std::sync::Arc<airside_engine::packet::SourcePacket>>| {
            packets.iter().map(|packet| packet.payload.len()).sum::<usize>()
        };
        let got: Vec<usize> = slots.iter().map(|slot| bytes(sim.take_received(*slot))).collect();
        (uplink, got)
    };
    let ((uplink, good), (same, others)) = (run(false), run(true));
    // Its keyframe requests may cost a keyframe now and then.
    assert!(same.abs_diff(uplink) * 20 < uplink, "publisher: {uplink}, then {same}");
    for (at, (good, now)) in good.iter().zip(&others).enumerate().skip(1) {
        assert!(now.abs_diff(*good) * 20 < *good, "{at}: {good}, then {now}");
    }
}

#[test]
fn promise_24_noisy_room_does_not_disturb_another() {
    // What a quiet call hears, with and without a crowd that joins, floods and asks all the time.
    let run = |noisy: bool| {
        let mut sim = Sim::new(85, 1);
        let (alice, bob) = (sim.connect(), sim.connect());
        let mut voice = sim.publish_audio(alice);
        let slot = sim.subscribe(&mut voice, bob);
        let mut crowd: Vec<Published> = Vec::new();
        for round in 0..20 {
            if noisy {
                let peer = sim.connect();
                let mut camera = sim.publish_video(peer, Layers::Three);
                for other in &mut crowd {
                    let slot = sim.subscribe(other, peer);
                    let update = wish(if round % 2 == 0 { 180 } else { 720 });
                    let command = Command::UpdateSubscription { slot: slot.slot, wish: update };
                    sim.command(slot.subscriber.worker, command);
                }
                let first = sim.connect();
                sim.subscribe(&mut camera, first);
                crowd.push(camera);
            } else {
                sim.run_ms(300);
            }
            sim.run_ms(200);
        }
        drop(sim.take_received(slot));
        sim.run_ms(5000);
        let numbers: Vec<u64> = sim.received(slot).iter().map(|packet| packet_of(packet)).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "none lost, none twice");
        assert_eq!(sim.dropped(0, DropReason::NoRoute), 0);
        numbers.len()
    };
    let (quiet, noisy) = (run(false), run(true));
    assert!(quiet.abs_diff(noisy) <= 1, "{quiet} packets, {noisy} beside a noisy room");
}
