//! Loss on both paths: repaired from the publisher, and from the cache.

use std::sync::Arc;
use std::time::Duration;

use airside_engine::codec::{Codec, Keyframe};
use airside_engine::packet::SourcePacket;
use airside_engine::stats::Values;

use crate::sim::{Layers, Payload, Sim, Subscribed, packet_of};

fn numbers(sim: &Sim, slot: Subscribed) -> Vec<u64> {
    let mut numbers: Vec<u64> = sim.received(slot).iter().map(|packet| packet_of(packet)).collect();
    numbers.sort_unstable();
    numbers
}

/// Packets that never came, but for those just before a keyframe: they are not worth repair.
pub fn missing(sim: &Sim, slot: Subscribed) -> Vec<u64> {
    const BEFORE_KEYFRAME: u64 = 120;
    let key = |packet: &&Arc<SourcePacket>| packet.frame.keyframe == Keyframe::Yes;
    let keyframes: Vec<u64> =
        sim.received(slot).iter().filter(key).map(|packet| packet_of(packet)).collect();
    let superseded = |number: &u64| {
        keyframes.iter().any(|key| (1..=BEFORE_KEYFRAME).contains(&key.saturating_sub(*number)))
    };
    let numbers = numbers(sim, slot);
    let gaps = numbers.windows(2).flat_map(|pair| pair[0] + 1..pair[1]);
    gaps.filter(|number| !superseded(number)).collect()
}

#[test]
fn video_is_whole_under_five_percent_loss_both_ways() {
    // With one seed in thirty a packet is lost as often as it may be sent, and given up.
    let mut sim = Sim::new(100, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    sim.network.conditions.loss = 0.05;
    sim.network.conditions.jitter = Duration::from_millis(2);
    let mut camera = sim.publish_video(alice, Layers::One);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run(Duration::from_secs(20));
    sim.network.conditions.loss = 0.0;
    sim.run(Duration::from_secs(1));

    let numbers = numbers(&sim, slot);
    assert!(numbers.len() > 2500, "{}", numbers.len());
    assert_eq!(missing(&sim, slot), Vec::<u64>::new());
    assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "none twice");
    let server = sim.nodes[0].engine.stats(sim.now);
    assert!(server.total("layers", "repaired") > 50);
    assert!(server.total("slots", "resent") > 50);
    assert!(sim.network.lost > 200);
}

#[test]
fn who_has_no_rtx_gets_the_same_packet_again() {
    const VP8_WITHOUT_RTX: Payload = (Codec::Vp8, 96, None);
    let mut sim = Sim::new(26, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::One);
    let slot = sim.subscribe_as(&mut camera, bob, &[VP8_WITHOUT_RTX]);
    sim.run(Duration::from_secs(2));
    sim.network.conditions.loss = 0.03;
    sim.run(Duration::from_secs(10));
    sim.network.conditions.loss = 0.0;
    sim.run(Duration::from_secs(1));

    let numbers = numbers(&sim, slot);
    assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "none twice");
    let server = sim.nodes[0].engine.stats(sim.now);
    assert!(server.total("slots", "resent") > 20);
    // The first loss is what makes the server keep packets.
    assert!(missing(&sim, slot).len() < 5, "{:?}", missing(&sim, slot));
}

#[test]
fn repair_is_not_much_more_than_what_was_lost() {
    let mut sim = Sim::new(22, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::One);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run(Duration::from_secs(2));
    sim.network.conditions.loss = 0.02;
    sim.run(Duration::from_secs(20));
    let stats = sim.nodes[0].engine.stats(sim.now);
    let (resent, sent) = (stats.total("slots", "resent"), stats.total("slots", "packets"));
    assert!(resent as f64 / sent as f64 <= 0.04, "{resent} of {sent}");
    assert!(sim.received(slot).len() as f64 >= 0.999 * sent as f64);
}

#[test]
fn every_layer_of_a_simulcast_is_repaired_also_when_its_first_loss_comes_late() {
    let mut sim = Sim::new(25, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::Three);
    sim.subscribe(&mut camera, bob);
    sim.run(Duration::from_secs(5));
    sim.network.conditions.loss = 0.05;
    sim.run(Duration::from_secs(10));
    let stats = sim.nodes[0].engine.stats(sim.now);
    let Some(Values::U64(repaired)) = stats.column("layers", "repaired") else { panic!() };
    assert!(repaired.iter().all(|count| *count > 5), "{repaired:?}");
}

#[test]
fn reordering_within_ten_milliseconds_asks_for_nothing() {
    let mut sim = Sim::new(23, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    sim.network.conditions.jitter = Duration::from_millis(5);
    let mut microphone = sim.publish_audio(alice);
    let slot = sim.subscribe(&mut microphone, bob);
    sim.run(Duration::from_secs(10));
    sim.network.conditions.jitter = Duration::from_millis(28);
    sim.run(Duration::from_secs(10));
    let stats = sim.nodes[0].engine.stats(sim.now);
    assert!(stats.total("layers", "nacks_sent") < 10);
    assert!(sim.received(slot).len() > 980);
}

#[test]
fn duplicated_datagrams_reach_subscribers_once() {
    let mut sim = Sim::new(24, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    sim.network.conditions.duplicates = 0.3;
    let mut microphone = sim.publish_audio(alice);
    let slot = sim.subscribe(&mut microphone, bob);
    sim.run(Duration::from_secs(5));
    let numbers = numbers(&sim, slot);
    assert!(numbers.len() > 240);
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert!(sim.dropped(0, airside_engine::error::DropReason::SrtpReplayed) > 50);
}

#[test]
fn join_survives_a_lossy_network() {
    for seed in 30..36 {
        let mut sim = Sim::new(seed, 1);
        sim.network.conditions.loss = 0.2;
        sim.network.conditions.duplicates = 0.1;
        sim.network.conditions.jitter = Duration::from_millis(20);
        let peer = sim.join();
        sim.run_until(Duration::from_secs(20), |sim| sim.is_connected(peer));
    }
}

#[test]
fn sound_is_asked_for_again_where_the_way_is_short_and_only_there() {
    for (delay_ms, short) in [(10, true), (60, false)] {
        let mut sim = Sim::new(107, 1);
        sim.network.conditions.delay = Duration::from_millis(delay_ms);
        let (alice, bob) = (sim.connect(), sim.connect());
        let mut microphone = sim.publish_audio(alice);
        let slot = sim.subscribe(&mut microphone, bob);
        // Until round trips are known.
        sim.run(Duration::from_secs(6));
        let stats = sim.nodes[0].engine.stats(sim.now);
        let before = numbers(&sim, slot).len();
        sim.network.conditions.loss = 0.05;
        sim.run(Duration::from_secs(20));
        sim.network.conditions.loss = 0.0;
        sim.run_ms(500);
        let after = sim.nodes[0].engine.stats(sim.now);
        let count = |group, name| after.total(group, name) - stats.total(group, name);
        let missing = missing(&sim, slot).len();
        let came = numbers(&sim, slot).len() - before;
        if short {
            assert!(missing * 100 < came, "{missing} missing of {came}");
            assert!(count("layers", "nacks_sent") > 20 && count("slots", "resent") > 20);
        } else {
            assert_eq!((count("layers", "nacks_sent"), count("slots", "resent")), (0, 0));
            assert!(missing * 20 > came, "{missing} missing of {came}");
        }
    }
}
