//! Readers that are not receivers: they see what the source sent, in its numbering.

use airside_engine::command::{Command, MediaKind, Source, Target};
use airside_engine::ids::TapId;
use airside_engine::load::{GeneratedPacket, MeterId};

use crate::sim::{Layers, Sim};

#[test]
fn tap_gets_all_layers_with_source_numbering_and_no_rewrite() {
    let mut sim = Sim::new(71, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::Three);
    sim.subscribe(&mut camera, bob);
    let tap = TapId(9);
    let target = Target::Tap(tap);
    sim.command(0, Command::AddTarget { track: camera.track, target });
    sim.run_ms(3000);
    let packets = sim.nodes[0].taps[&tap].clone();
    for layer in 0..3 {
        let of_layer: Vec<_> = packets.iter().filter(|packet| packet.layer == layer).collect();
        assert!(of_layer.len() > 30, "layer {layer}: {}", of_layer.len());
        for pair in of_layer.windows(2) {
            assert_eq!(pair[1].ext_seq, pair[0].ext_seq + 1);
        }
    }
    sim.command(0, Command::RemoveTarget { track: camera.track, target });
    sim.run_ms(100);
    let before = sim.nodes[0].taps[&tap].len();
    sim.run_ms(500);
    assert_eq!(sim.nodes[0].taps[&tap].len(), before);
}

#[test]
fn local_source_is_forwarded_byte_for_byte() {
    let mut sim = Sim::new(72, 1);
    let alice = sim.connect();
    let bob = sim.connect();
    let mut spoken = sim.publish(alice, MediaKind::Audio, Source::Local, 1);
    let slot = sim.subscribe(&mut spoken, bob);
    for count in 0..50u32 {
        let payload = [0xF8, count as u8, 2, 3];
        let packet = GeneratedPacket {
            layer: 0,
            timestamp: count * 960,
            marker: count == 0,
            level: Some(30),
            descriptor: None,
            payload: &payload,
        };
        let now = sim.now;
        let done = sim.nodes[alice.node].engine.inject(spoken.local, &packet, now);
        assert_eq!(done, Ok(()));
        sim.run_ms(20);
    }
    sim.run_ms(100);
    let payloads: Vec<u8> = sim.received(slot).iter().map(|packet| packet.payload[1]).collect();
    assert_eq!(payloads, (0..50).collect::<Vec<u8>>());
}

#[test]
fn meter_measures_latency_from_the_generator() {
    let mut sim = Sim::new(73, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut microphone = sim.publish_audio(alice);
    let slot = sim.subscribe(&mut microphone, bob);
    let target = Target::Meter(MeterId(4));
    sim.command(bob.node, Command::AddTarget { track: slot.track, target });
    sim.run_ms(2000);
    let stats = sim.nodes[bob.node].engine.stats(sim.now);
    assert!(stats.total("meters", "packets") > 90);
    assert_eq!(stats.total("meters", "lost"), 0);
    let p50 = stats.total("meters", "latency_p50_us");
    assert!((19_000..24_000).contains(&p50), "{p50}");
}
