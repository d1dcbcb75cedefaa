//! Two workers on one port: packets cross once, and find their owner.

use std::time::Duration;

use airside_engine::codec::Keyframe;
use airside_engine::command::Command;

use crate::sim::{Layers, Sim, packet_of};

#[test]
fn call_between_two_workers_of_one_port() {
    let mut sim = Sim::new(81, 2);
    let (alice, bob) = (sim.connect(), sim.connect());
    assert_ne!(alice.worker, bob.worker);
    let mut microphone = sim.publish_audio(alice);
    let mut camera = sim.publish_video(alice, Layers::Three);
    let heard = sim.subscribe(&mut microphone, bob);
    let seen = sim.subscribe(&mut camera, bob);
    sim.run_ms(4000);
    assert_eq!(sim.failures(), Vec::<String>::new());
    let audio = sim.received(heard);
    assert!(audio.len() > 180);
    assert!(audio.windows(2).all(|pair| packet_of(&pair[1]) == packet_of(&pair[0]) + 1));
    let video = sim.received(seen);
    assert_eq!(video[0].frame.keyframe, Keyframe::Yes);
    assert!(video.len() > 100);
}

#[test]
fn loss_is_repaired_from_the_cache_of_the_subscribers_worker() {
    let mut sim = Sim::new(82, 2);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::One);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run_ms(1000);
    sim.network.conditions.loss = 0.05;
    sim.run(Duration::from_secs(10));
    sim.network.conditions.loss = 0.0;
    sim.run_ms(500);
    assert_eq!(crate::loss::missing(&sim, slot), Vec::<u64>::new());
    assert!(sim.received(slot).len() > 2000);
}

#[test]
fn timestamps_stay_aligned_over_layer_switches_on_the_other_worker() {
    let mut sim = Sim::new(83, 2);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::Three);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run_ms(3000);
    let worker = bob.worker;
    for height_px in [180, 720, 180, 720] {
        let wish = crate::sim::wish(height_px);
        sim.command(worker, Command::UpdateSubscription { slot: slot.slot, wish });
        sim.run_ms(4000);
    }
    let packets = sim.received(slot);
    let (first, last) = (&packets[0], &packets[packets.len() - 1]);
    let media = f64::from(last.timestamp.wrapping_sub(first.timestamp)) / 90_000.0;
    let clock = (last.arrival - first.arrival).as_secs_f64();
    assert!((media - clock).abs() < 0.1, "{media} s of media in {clock} s");
    let stats = sim.nodes[worker].engine.stats(sim.now);
    // The first may be a smaller picture, until more is known of the path.
    assert!((5..9).contains(&stats.total("slots", "switches")));
}

#[test]
fn mirrors_and_addresses_go_with_their_transport() {
    let mut sim = Sim::new(84, 2);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut microphone = sim.publish_audio(alice);
    sim.subscribe(&mut microphone, bob);
    sim.run_ms(500);
    sim.command(alice.worker, Command::RemoveTransport { transport: alice.transport });
    sim.command(bob.worker, Command::RemoveTrack { track: microphone.track });
    sim.run_ms(500);
    for worker in 0..2 {
        let stats = sim.nodes[worker].engine.stats(sim.now);
        assert_eq!(stats.total("worker", "tracks"), 0);
    }
    assert!(sim.is_connected(bob));
}

#[test]
fn a_peer_whose_packets_reach_the_other_worker_keeps_its_own() {
    let mut sim = Sim::new(85, 2);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut microphone = sim.publish_audio(alice);
    let heard = sim.subscribe(&mut microphone, bob);
    sim.run_ms(1000);
    // A NAT gives it another port: the kernel hashes its packets to the other worker.
    let mut moved = sim.nodes[alice.node].address;
    moved.set_port(moved.port() + 1);
    sim.nodes[alice.node].address = moved;
    // Until its next check nobody knows it there.
    sim.run_ms(2700);
    let lost = sim.take_received(heard);
    assert!(lost.len() > 40);
    sim.run_ms(5000);
    let packets = sim.received(heard);
    assert!(packets.len() >= 248, "{}", packets.len());
    assert!(packets.windows(2).all(|pair| packet_of(&pair[1]) == packet_of(&pair[0]) + 1));
    assert!(sim.is_connected(alice));
}
