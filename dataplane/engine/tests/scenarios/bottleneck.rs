//! One subscriber behind a narrow path, on a virtual clock.

use std::time::Duration;

use crate::sim::{Layers, Peer, Sim, Subscribed};
use airside_engine::stats::Values;

const MS: Duration = Duration::from_millis(1);

fn limited(seed: u64) -> Sim {
    let mut sim = Sim::new(seed, 1);
    sim.congestion_control = true;
    sim
}

/// The layer that a slot forwards.
fn layer(sim: &Sim, slot: Subscribed) -> Option<u64> {
    let stats = sim.nodes[slot.subscriber.worker].engine.stats(sim.now);
    let column = |name| match stats.column("slots", name) {
        Some(Values::U64(values)) => values.clone(),
        _ => panic!("no column {name}"),
    };
    let at = column("slot").iter().position(|id| *id == slot.slot.0).unwrap();
    Some(column("layer")[at]).filter(|layer| *layer != u64::MAX)
}

/// The longest time between two complete frames from `from` on.
fn longest_freeze(sim: &Sim, slot: Subscribed, from: Duration) -> Duration {
    let packets = sim.received(slot);
    let ends = packets.iter().filter(|packet| packet.frame.end || packet.marker);
    let times: Vec<_> = ends.map(|p| p.arrival).filter(|at| *at >= sim.start + from).collect();
    times.windows(2).map(|pair| pair[1].saturating_duration_since(pair[0])).max().unwrap()
}

/// Which layer was forwarded when, and how long the path's queue was.
fn follow(
    sim: &mut Sim,
    slot: Subscribed,
    time: Duration,
) -> Vec<(Duration, Option<u64>, Duration)> {
    let address = sim.nodes[slot.subscriber.node].address;
    let end = sim.now + time;
    let mut trace = Vec::new();
    while sim.now < end {
        sim.run(20 * MS);
        let queue = sim.network.queue_delay(address, sim.now);
        let at = sim.now - sim.start;
        trace.push((at, layer(sim, slot), queue));
    }
    trace
}

#[test]
fn the_right_layer_comes_within_two_seconds_of_an_idle_room() {
    let mut sim = limited(51);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::Three);
    sim.run_ms(10_000);
    let slot = sim.subscribe(&mut camera, bob);
    let trace = follow(&mut sim, slot, 4000 * MS);
    let subscribed = trace[0].0 - 20 * MS;
    let first = trace.iter().find(|(_, layer, _)| layer.is_some()).unwrap().0 - subscribed;
    let top = trace.iter().find(|(_, layer, _)| *layer == Some(2)).unwrap().0 - subscribed;
    assert!(first < 400 * MS, "first picture after {first:?}");
    assert!(top < 2000 * MS, "top layer after {top:?}");
    assert_eq!(sim.failures(), Vec::<String>::new());
}

#[test]
fn layers_follow_a_bottleneck_that_closes_and_opens_again() {
    let mut sim = limited(52);
    let (alice, bob) = (sim.connect(), sim.connect());
    let address = sim.nodes[bob.node].address;
    sim.network.narrow(address, "rate=4000000 queue_ms=300 delay_ms=25");
    let mut camera = sim.publish_video(alice, Layers::Three);
    let mut microphone = sim.publish_audio(alice);
    let voice = sim.subscribe(&mut microphone, bob);
    let slot = sim.subscribe(&mut camera, bob);
    let before = follow(&mut sim, slot, 20_000 * MS);
    assert_eq!(before.last().unwrap().1, Some(2), "4 Mbit/s carry the top layer");

    sim.network.narrow(address, "rate=300000");
    let closed = sim.now - sim.start;
    let narrow = follow(&mut sim, slot, 20_000 * MS);
    let down = narrow.iter().find(|(_, layer, _)| *layer == Some(0)).unwrap().0 - closed;
    assert!(down <= 1000 * MS, "down after {down:?}");
    let late = narrow.iter().filter(|(at, ..)| *at > closed + 2000 * MS);
    let queue = late.map(|(_, _, queue)| *queue).max().unwrap();
    assert!(queue < 150 * MS, "queue of {queue:?} after two seconds");

    sim.network.narrow(address, "rate=4000000");
    let opened = sim.now - sim.start;
    let wide = follow(&mut sim, slot, 20_000 * MS);
    let up = wide.iter().find(|(_, layer, _)| *layer == Some(2)).unwrap().0 - opened;
    assert!(up <= 15_000 * MS, "up after {up:?}");
    let spoken = sim.received(voice);
    let gap = spoken.windows(2).map(|pair| pair[1].arrival - pair[0].arrival).max().unwrap();
    assert!(gap < 500 * MS, "audio gap of {gap:?}");
    let missing = spoken.last().unwrap().ext_seq - spoken[0].ext_seq + 1 - spoken.len() as u64;
    assert!(missing * 100 < spoken.len() as u64, "{missing} of {} missing", spoken.len());
}

#[test]
fn one_throttled_subscriber_of_ten_changes_nothing_for_the_others() {
    let mut sim = limited(53);
    let alice = sim.connect();
    let mut camera = sim.publish_video(alice, Layers::Three);
    let peers: Vec<Peer> = (0..10).map(|_| sim.connect()).collect();
    let address = sim.nodes[peers[0].node].address;
    sim.network.narrow(address, "rate=4000000 queue_ms=300 delay_ms=10");
    let slots: Vec<_> = peers.iter().map(|peer| sim.subscribe(&mut camera, *peer)).collect();
    sim.run_ms(8000);
    assert!(slots.iter().all(|slot| layer(&sim, *slot) == Some(2)));
    sim.network.narrow(address, "rate=300000");
    let closed = sim.now - sim.start;
    sim.run_ms(10_000);
    assert_eq!(layer(&sim, slots[0]), Some(0));
    for slot in &slots[1..] {
        assert_eq!(layer(&sim, *slot), Some(2));
        let freeze = longest_freeze(&sim, *slot, closed);
        assert!(freeze < 100 * MS, "{freeze:?}");
    }
}

#[test]
fn video_does_not_freeze_under_five_percent_loss_and_a_long_round_trip() {
    let mut sim = limited(54);
    let (alice, bob) = (sim.connect(), sim.connect());
    let address = sim.nodes[bob.node].address;
    sim.network.narrow(address, "loss=0.05 delay_ms=90");
    let mut camera = sim.publish_video(alice, Layers::Three);
    let slot = sim.subscribe(&mut camera, bob);
    let trace = follow(&mut sim, slot, 30_000 * MS);
    let freeze = longest_freeze(&sim, slot, 5000 * MS);
    assert!(freeze < 500 * MS, "frozen for {freeze:?}");
    assert!(trace.iter().skip(500).all(|(_, layer, _)| layer.is_some()));
}
