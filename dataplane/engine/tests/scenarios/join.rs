//! A call comes up, carries audio and video both ways, and ends.

use std::time::Duration;

use crate::sim::{Layers, Sim, packet_of};
use airside_engine::codec::Keyframe;
use airside_engine::command::Command;
use airside_engine::event::{CloseReason, Event, TransportState};

#[test]
fn transport_connects_and_is_removed_in_order() {
    let mut sim = Sim::new(1, 1);
    let peer = sim.connect();
    use TransportState::{Closed, Connected, IceConnected};
    assert_eq!(sim.states(0, peer.transport), [IceConnected, Connected]);
    assert_eq!(sim.states(peer.node, peer.transport), [IceConnected, Connected]);
    assert!(sim.now - sim.start < Duration::from_millis(300), "{:?}", sim.now - sim.start);

    sim.command(0, Command::RemoveTransport { transport: peer.transport });
    sim.run_ms(100);
    assert_eq!(sim.states(0, peer.transport).last(), Some(&Closed));
    let closed = sim.nodes[peer.node].events.iter().any(|event| {
        matches!(event, Event::TransportState { reason: CloseReason::PeerClosed, .. })
    });
    assert!(closed, "the client heard the close_notify");
    let stats = sim.nodes[0].engine.stats(sim.now);
    assert_eq!(stats.total("worker", "transports"), 0);
    assert_eq!(stats.total("worker", "addresses"), 0);
}

#[test]
fn audio_flows_both_ways_without_loss() {
    let mut sim = Sim::new(2, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut from_alice = sim.publish_audio(alice);
    let mut from_bob = sim.publish_audio(bob);
    let at_bob = sim.subscribe(&mut from_alice, bob);
    let at_alice = sim.subscribe(&mut from_bob, alice);
    sim.run_ms(2000);
    assert_eq!(sim.failures(), Vec::<String>::new());
    for slot in [at_bob, at_alice] {
        let packets = sim.received(slot);
        assert!(packets.len() > 90, "{}", packets.len());
        for pair in packets.windows(2) {
            assert_eq!(pair[1].ext_seq, pair[0].ext_seq + 1);
            assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(960));
            assert_eq!(packet_of(&pair[1]), packet_of(&pair[0]) + 1);
        }
        assert_eq!(packets[0].extensions.audio_level, Some(0x80 | 20));
    }
}

#[test]
fn video_starts_at_a_keyframe_soon_after_subscribing() {
    let mut sim = Sim::new(3, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::One);
    sim.run_ms(3000);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run_ms(1000);
    assert_eq!(sim.failures(), Vec::<String>::new());
    let packets = sim.received(slot);
    assert_eq!(packets.first().map(|packet| packet.frame.keyframe), Some(Keyframe::Yes));
    let first = packets[0].arrival - sim.start;
    let subscribed = sim.now - sim.start - Duration::from_secs(1);
    assert!(first - subscribed < Duration::from_millis(300), "{first:?} after {subscribed:?}");
    for pair in packets.windows(2) {
        assert_eq!(pair[1].ext_seq, pair[0].ext_seq + 1);
        assert_eq!(packet_of(&pair[1]), packet_of(&pair[0]) + 1);
    }
    let stats = sim.nodes[0].engine.stats(sim.now);
    assert_eq!(stats.total("layers", "keyframe_requests"), 1);
}

#[test]
fn subscribers_get_reports_from_which_round_trips_are_measured() {
    let mut sim = Sim::new(4, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut microphone = sim.publish_audio(alice);
    let mut camera = sim.publish_video(alice, Layers::One);
    sim.subscribe(&mut microphone, bob);
    sim.subscribe(&mut camera, bob);
    sim.run_ms(6000);
    let stats = sim.nodes[0].engine.stats(sim.now);
    let Some(airside_engine::stats::Values::F64(rtts)) = stats.column("transports", "rtt_s") else {
        panic!("no column");
    };
    for rtt in rtts {
        assert!((0.019..0.025).contains(rtt), "{rtts:?}");
    }
    assert!(stats.total("transports", "transport_cc_received") > 100);
    assert_eq!(stats.total("transports", "transport_cc_lost"), 0);
    assert_eq!(stats.total("layers", "lost"), 0);
    assert_eq!(stats.total("slots", "lost"), 0);
}
