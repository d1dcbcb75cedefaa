//! The voice comes first.

use airside_engine::stats::Values;

use super::{Call, MS, S, allocations, layer};
use crate::sim::{Layers, Sim};

#[test]
fn promise_08_a_voice_is_back_at_once_after_an_outage() {
    let mut call = Call::over("rate=2000000 queue_ms=300 delay_ms=25", 531);
    call.run(15 * S);
    call.change("down=1");
    call.run(2 * S);
    let up = call.change("down=0");
    call.run(10 * S);
    let start = call.sim.start;
    let heard = call.sim.received(call.voice).iter().map(|packet| packet.arrival);
    let first = heard.clone().find(|at| *at >= start + up).unwrap() - (start + up);
    assert!(first <= 300 * MS, "voice after {first:?}");
    let (lost, gap) = call.voice(up, up + 10 * S);
    assert!(lost == 0.0 && gap < 150 * MS, "{lost} lost, {gap:?} without");
    let seen = format!("{:?}", call.allocations());
    assert!(call.trace.last().unwrap().layer.is_some(), "video is back too: {seen}");
}

#[test]
fn promise_12_video_pauses_before_the_voice_suffers_and_the_viewer_is_told_why() {
    let mut call = Call::over("rate=2000000 queue_ms=300 delay_ms=25", 532);
    call.run(15 * S);
    let closed = call.change("rate=110000");
    call.run(20 * S);
    let seen = format!("{:?}", call.allocations());
    assert_eq!(call.trace.last().unwrap().layer, None, "{seen}");
    let told = call.allocations().into_iter().rfind(|news| news.paused).unwrap();
    assert_eq!((told.reason, told.target), ("paused", None));
    assert!(told.text.starts_with("paused: the link gives "), "{}", told.text);
    assert!(told.available_bps < told.needed_bps, "{seen}");
    let (lost, gap) = call.voice(closed, closed + 20 * S);
    assert!(lost < 0.03 && gap < 400 * MS, "{lost} lost, {gap:?} without");
    let (lost, gap) = call.voice(closed + 5 * S, closed + 20 * S);
    assert!(lost == 0.0 && gap < 150 * MS, "{lost} lost, {gap:?} without");
    // And it comes back.
    let opened = call.change("rate=2000000");
    call.run(20 * S);
    assert!(call.reached(2, opened) < 20 * S);
    let told = call.allocations().into_iter().next_back().unwrap();
    assert!(!told.paused && told.target.is_some_and(|layer| layer.spatial > 0), "{told:?}");
}

#[test]
fn a_listener_costs_little_and_gets_the_right_picture_within_two_seconds() {
    let mut sim = Sim::new(533, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut microphone = sim.publish_audio(alice);
    let mut camera = sim.publish_video(alice, Layers::Three);
    sim.subscribe(&mut microphone, bob);
    sim.run(60 * S);
    let probes = |sim: &Sim| match sim.nodes[0].engine.stats(sim.now).column("transports", "probes")
    {
        Some(Values::U64(values)) => values.iter().sum::<u64>(),
        _ => panic!("no probes"),
    };
    assert_eq!(probes(&sim), 0, "nothing to probe for");
    let slot = sim.subscribe(&mut camera, bob);
    let asked = sim.now;
    sim.run_until(2 * S, |sim| layer(sim, slot) == Some(2));
    sim.run(5 * S);
    assert_eq!(layer(&sim, slot), Some(2), "{:?}", allocations(&sim, slot.slot));
    let first = sim.received(slot)[0].arrival - asked;
    assert!(first < 400 * MS, "first picture after {first:?}");
    assert_eq!(sim.failures(), Vec::<String>::new());
}
