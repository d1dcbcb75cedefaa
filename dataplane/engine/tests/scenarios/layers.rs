//! Simulcast: which layer a subscriber gets, and how it changes.

use std::time::Duration;

use airside_engine::codec::Keyframe;
use airside_engine::command::Command;
use airside_engine::event::Event;
use airside_engine::ids::SlotId;

use crate::sim::{Layers, Sim, Subscribed, wish};

/// Layers that a slot was told to forward, in order.
fn told(sim: &Sim, slot: SlotId) -> Vec<Option<u8>> {
    let layer = |event: &Event| match event {
        Event::SlotLayer { slot: id, layer } if *id == slot => Some(*layer),
        _ => None,
    };
    sim.nodes[0].events.iter().filter_map(layer).collect()
}

fn assert_continuous(sim: &Sim, slot: Subscribed) {
    let packets = sim.received(slot);
    assert!(!packets.is_empty());
    for pair in packets.windows(2) {
        // One number may be left out at a switch, where the old frame was cut.
        let step = pair[1].ext_seq - pair[0].ext_seq;
        let key = pair[1].frame.keyframe == Keyframe::Yes;
        assert!(step == 1 || step == 2 && key, "{} then {}", pair[0].ext_seq, pair[1].ext_seq);
        let ticks = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(ticks < 180_000, "timestamps go on: {ticks}");
    }
}

#[test]
fn subscriber_gets_the_best_layer_for_its_size_and_switches_at_keyframes() {
    let mut sim = Sim::new(11, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::Three);
    sim.run_ms(2000);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run_ms(2000);
    assert_eq!(told(&sim, slot.slot).last(), Some(&Some(2)));

    for (height_px, layer) in [(360, 1), (100, 0), (400, 1), (720, 2)] {
        let wish = wish(height_px);
        sim.command(0, Command::UpdateSubscription { slot: slot.slot, wish });
        sim.run_ms(5000);
        assert_eq!(told(&sim, slot.slot).last(), Some(&Some(layer)), "for {height_px}");
    }
    assert_eq!(sim.failures(), Vec::<String>::new());
    assert_continuous(&sim, slot);
    // One to start, one for each of four switches; each may need another at a refused keyframe.
    let requests = sim.nodes[0].engine.stats(sim.now).total("layers", "keyframe_requests");
    assert!((5..12).contains(&requests), "{requests}");
}

#[test]
fn lower_layer_takes_over_when_the_current_one_stops() {
    let mut sim = Sim::new(12, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::Three);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run_ms(4000);
    assert_eq!(told(&sim, slot.slot).last(), Some(&Some(2)));

    // The publisher's network got worse: it stops its top layer.
    sim.command(alice.node, Command::Unsubscribe { slot: camera.slots[2] });
    sim.run_ms(4000);
    assert_eq!(told(&sim, slot.slot).last(), Some(&Some(1)));
    let stopped = sim.nodes[0].events.iter().any(
        |event| matches!(event, Event::LayerStopped { track, layer: 2 } if *track == camera.track),
    );
    assert!(stopped);

    let track = camera.local;
    let again = Command::Subscribe { slot: camera.slots[2], track, wish: wish(u16::MAX) };
    sim.command(alice.node, again);
    sim.run_ms(6000);
    assert_eq!(told(&sim, slot.slot).last(), Some(&Some(2)));
    assert_continuous(&sim, slot);
}

#[test]
fn pausing_stops_video_and_resuming_starts_at_a_keyframe() {
    let mut sim = Sim::new(13, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::One);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run_ms(2000);
    sim.command(0, Command::UpdateSubscription { slot: slot.slot, wish: wish(0) });
    sim.run_ms(100);
    let before = sim.received(slot).len();
    sim.run_ms(3000);
    assert_eq!(sim.received(slot).len(), before, "nothing while paused");
    sim.command(0, Command::UpdateSubscription { slot: slot.slot, wish: wish(720) });
    sim.run_ms(1000);
    let packets = sim.received(slot);
    assert_eq!(packets[before].frame.keyframe, Keyframe::Yes);
    assert!(packets[before].ext_seq - packets[before - 1].ext_seq <= 2);
    let gap = packets[before].timestamp.wrapping_sub(packets[before - 1].timestamp);
    let seconds = f64::from(gap) / 90_000.0;
    assert!((3.0..3.6).contains(&seconds), "timestamps follow the clock: {seconds}");
}

#[test]
fn muted_track_is_dropped_and_resumes_without_a_jump() {
    let mut sim = Sim::new(14, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut microphone = sim.publish_audio(alice);
    let slot = sim.subscribe(&mut microphone, bob);
    sim.run_ms(1000);
    let track = microphone.track;
    sim.command(0, Command::SetTrackMuted { track, muted: true });
    sim.run_ms(60);
    let before = sim.received(slot).len();
    sim.run_ms(2000);
    assert_eq!(sim.received(slot).len(), before);
    sim.command(0, Command::SetTrackMuted { track, muted: false });
    sim.run_ms(1000);
    let packets = sim.received(slot);
    assert!(packets.len() > before + 45, "{}", packets.len() - before);
    assert_eq!(packets[before].ext_seq, packets[before - 1].ext_seq + 1);
    assert!(packets[before].marker, "a talk spurt begins");
    let stats = sim.nodes[bob.node].engine.stats(sim.now);
    assert_eq!(stats.total("layers", "nacks_sent"), 0, "nobody asks for what was muted");
}

#[test]
fn keyframe_requests_of_many_subscribers_are_throttled() {
    let mut sim = Sim::new(15, 1);
    let alice = sim.connect();
    let mut camera = sim.publish_video(alice, Layers::One);
    sim.run(Duration::from_secs(1));
    for _ in 0..20 {
        let peer = sim.connect();
        sim.subscribe(&mut camera, peer);
    }
    let before = sim.nodes[0].engine.stats(sim.now).total("layers", "keyframe_requests");
    sim.run(Duration::from_secs(2));
    let stats = sim.nodes[0].engine.stats(sim.now);
    let requests = stats.total("layers", "keyframe_requests");
    assert!(requests - before <= 4, "{before} then {requests}");
    assert_eq!(stats.total("slots", "switches"), 20);
}
