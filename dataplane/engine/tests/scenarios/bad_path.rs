//! A subscriber whose path is bad, but not narrow: that is no reason to hold the picture back.

use std::time::{Duration, Instant};

use airside_engine::stats::Values;

use crate::sim::lane::Lane;
use crate::sim::{Layers, Peer, Sim, Subscribed};

const MS: Duration = Duration::from_millis(1);
const GOOD: &str = "delay_ms=10";

fn worsen(sim: &mut Sim, peer: Peer, up: &str, down: &str) {
    let client = sim.nodes[peer.node].address;
    let lanes = [(true, up, 5), (false, down, 6)];
    sim.network.lanes = lanes.map(|(up, link, seed)| Lane::new(client, up, link, seed)).into();
}

fn change(sim: &mut Sim, up: &str, down: &str) {
    sim.network.lanes[0].change(up);
    sim.network.lanes[1].change(down);
}

fn layer(sim: &Sim, slot: Subscribed) -> Option<u64> {
    let stats = sim.nodes[0].engine.stats(sim.now);
    let column = |name| match stats.column("slots", name) {
        Some(Values::U64(values)) => values.clone(),
        _ => panic!("no column {name}"),
    };
    let at = column("slot").iter().position(|id| *id == slot.slot.0).unwrap();
    Some(column("layer")[at]).filter(|layer| *layer != u64::MAX)
}

/// The longest time without the end of a frame.
fn longest_freeze(sim: &Sim, slot: Subscribed, since: Instant) -> Duration {
    let packets = sim.received(slot).iter().filter(|packet| packet.marker);
    let times: Vec<_> = packets.map(|packet| packet.arrival).filter(|at| *at >= since).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(Duration::MAX)
}

#[test]
fn promise_01_loss_and_jitter_freeze_nothing() {
    let mut sim = Sim::new(61, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    worsen(&mut sim, bob, GOOD, GOOD);
    let mut camera = sim.publish_video(alice, Layers::Three);
    let mut microphone = sim.publish_audio(alice);
    sim.subscribe(&mut microphone, bob);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run_ms(8000);
    assert_eq!(layer(&sim, slot), Some(2));

    let up = "loss=0.05 delay_ms=50";
    change(&mut sim, up, "loss=0.05 delay_ms=20 jitter_ms=30 reorder=1");
    let since = sim.now;
    // The path got longer at once, which looks like a queue and may cost one layer.
    let mut good = 0;
    for _ in 0..300 {
        sim.run(100 * MS);
        good += u32::from(layer(&sim, slot) >= Some(1));
    }
    assert!(good >= 295, "at least the middle layer for {good} of 300 looks");
    let freeze = longest_freeze(&sim, slot, since);
    assert!(freeze < 500 * MS, "{freeze:?}");
}

#[test]
fn promise_08_an_outage_is_not_taken_for_a_narrow_path() {
    let mut sim = Sim::new(62, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    worsen(&mut sim, bob, GOOD, GOOD);
    let mut camera = sim.publish_video(alice, Layers::Three);
    let mut microphone = sim.publish_audio(alice);
    let voice = sim.subscribe(&mut microphone, bob);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run_ms(8000);
    change(&mut sim, "down=1", "down=1");
    sim.run_ms(2000);
    change(&mut sim, "down=0", "down=0");
    let back = sim.now;
    sim.run_ms(3000);

    let sound = sim.received(voice).iter().map(|packet| packet.arrival).find(|at| *at > back);
    assert!(sound.unwrap() - back <= 300 * MS);
    let picture = sim.received(slot).iter().map(|packet| packet.arrival).find(|at| *at > back);
    assert!(picture.unwrap() - back <= 300 * MS);
    assert_eq!(layer(&sim, slot), Some(2), "the path takes what it took");
}
