//! Paths that stay as they are: each is used for what it can take, calmly.

use std::time::Duration;

use airside_engine::command::Command;
use airside_engine::rtp::ExtensionKind;
use airside_engine::units::Bitrate;

use super::{Call, MS, S, allocations, estimate_bps, layer};
use crate::sim::viewer::longest_freeze;
use crate::sim::{Layers, Peer, Sim};

#[test]
fn a_link_of_300_kbit_carries_a_voice_and_the_smallest_picture() {
    let mut call = Call::over("rate=300000 queue_ms=300 delay_ms=25", 541);
    call.run(40 * S);
    let (from, to) = (10 * S, 40 * S);
    let seen = format!("{:?}", call.allocations());
    assert!(call.switches(from, to) <= 3, "{seen}");
    let mut queues: Vec<_> = call.between(from, to).map(|point| point.queue).collect();
    queues.sort_unstable();
    let p95 = queues[queues.len() * 95 / 100];
    assert!(p95 < 300 * MS, "queue {p95:?}; {seen}");
    let (lost, _) = call.voice(from, to);
    assert!(lost == 0.0, "{lost} of the voice lost; {seen}");
    let watched = call.between(from, to).filter(|point| point.layer == Some(0)).count();
    assert!(watched * 10 > call.between(from, to).count() * 8, "{watched}; {seen}");
}

#[test]
fn two_pictures_that_hardly_fit_do_not_flap() {
    let mut sim = Sim::new(542, 1);
    let (alice, carol, bob) = (sim.connect(), sim.connect(), sim.connect());
    sim.network.narrow(sim.nodes[bob.node].address, "rate=1200000 queue_ms=300 delay_ms=25");
    let mut cameras = [alice, carol].map(|peer| sim.publish_video(peer, Layers::Three));
    let slots = [0, 1].map(|at: usize| sim.subscribe(&mut cameras[at], bob));
    sim.run(10 * S);
    let before = slots.map(|slot| allocations(&sim, slot.slot).len());
    let mut switches = 0;
    let mut last = slots.map(|slot| layer(&sim, slot));
    for _ in 0..400 {
        sim.run(100 * MS);
        let now = slots.map(|slot| layer(&sim, slot));
        switches += usize::from(now[0] != last[0]) + usize::from(now[1] != last[1]);
        last = now;
    }
    let told = slots.map(|slot| allocations(&sim, slot.slot));
    assert!(switches <= 8, "{switches} in 40 s of two pictures; {before:?} {told:?}");
}

#[test]
fn promise_23_one_of_ten_at_150_kbit_changes_nothing_for_the_others() {
    let mut sim = Sim::new(543, 1);
    let alice = sim.connect();
    let mut camera = sim.publish_video(alice, Layers::Three);
    let peers: Vec<Peer> = (0..10).map(|_| sim.connect()).collect();
    let address = sim.nodes[peers[0].node].address;
    sim.network.narrow(address, "rate=4000000 queue_ms=300 delay_ms=10");
    let slots: Vec<_> = peers.iter().map(|peer| sim.subscribe(&mut camera, *peer)).collect();
    sim.run(8 * S);
    assert!(slots.iter().all(|slot| layer(&sim, *slot) == Some(2)));
    let sent = |sim: &Sim| sim.nodes[alice.node].engine.stats(sim.now).total("slots", "bytes");
    let before = (sent(&sim), sim.now);
    sim.run(8 * S);
    let usual = sent(&sim) - before.0;
    sim.network.narrow(address, "rate=150000");
    let closed = (sent(&sim), sim.now);
    sim.run(8 * S);
    // Less than the smallest picture takes: it is paused, and its viewer knows why.
    let told = allocations(&sim, slots[0].slot);
    assert_eq!(layer(&sim, slots[0]), None, "{told:?}");
    assert!(told.last().is_some_and(|news| news.paused && news.reason == "paused"), "{told:?}");
    let published = (sent(&sim) - closed.0) as f64 / usual as f64;
    assert!((0.95..1.05).contains(&published), "the publisher sends {published} of before");
    for slot in &slots[1..] {
        assert_eq!(layer(&sim, *slot), Some(2));
        let freeze = longest_freeze(sim.received(*slot), closed.1, sim.now - 100 * MS);
        assert!(freeze < 150 * MS, "{freeze:?}");
    }
}

#[test]
fn a_receiver_with_nothing_but_remb_is_limited_by_its_word() {
    let mut sim = Sim::new(544, 1);
    let alice = sim.connect();
    let bob = sim.add_peer(0);
    for (node, server) in [(bob.worker, true), (bob.node, false)] {
        let mut remote = sim.remote(bob, server);
        remote.extensions.retain(|(_, kind)| *kind != ExtensionKind::TransportCc);
        remote.transport_cc = false;
        remote.remb = true;
        sim.command(node, Command::SetRemote(remote));
    }
    sim.run_until(10 * S, |sim| sim.is_connected(bob));
    sim.network.narrow(sim.nodes[bob.node].address, "rate=1000000 queue_ms=300 delay_ms=25");
    let mut camera = sim.publish_video(alice, Layers::Three);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run(20 * S);
    let seen = format!("{:?}", allocations(&sim, slot.slot));
    assert!(!estimate_bps(&sim, bob).is_nan(), "{seen}");
    assert!(layer(&sim, slot).is_some_and(|layer| layer < 2), "{seen}");
}

#[test]
fn a_limit_from_outside_makes_the_picture_smaller_until_it_is_lifted() {
    let mut call = Call::over("rate=8000000 queue_ms=300 delay_ms=25", 545);
    let limit = |call: &mut Call, limit| {
        let transport = call.viewer.transport;
        call.sim.command(call.viewer.worker, Command::LimitSending { transport, limit });
        call.sim.now - call.sim.start
    };
    call.run(10 * S);
    assert_eq!(call.trace.last().unwrap().layer, Some(2), "{:?}", call.allocations());
    let most = Bitrate::kbps(300);
    let limited = limit(&mut call, Some(most));
    call.run(10 * S);
    let seen = format!("{:?}", call.allocations());
    let after = |from| call.between(limited + from, limited + 10 * S);
    assert!(after(Duration::ZERO).all(|point| point.estimate_bps <= most.as_f64_bps()), "{seen}");
    assert!(after(2 * S).all(|point| point.layer == Some(0)), "{seen}");
    let lifted = limit(&mut call, None);
    call.run(20 * S);
    assert!(call.reached(2, lifted) < 15 * S, "{:?}", call.allocations());
    // The path was never full: nobody loses a word or waits for a picture.
    let freeze = call.longest_freeze(limited, lifted + 20 * S);
    assert!(freeze < 500 * MS, "frozen for {freeze:?}; {seen}");
    assert_eq!(call.voice(limited, lifted + 20 * S).0, 0.0);
    assert_eq!(call.sim.failures(), Vec::<String>::new());
}
