//! Addresses change, credentials change, consent runs out.

use std::net::SocketAddr;
use std::time::Duration;

use airside_engine::command::{Command, SetRemote};
use airside_engine::event::{CloseReason, Event, TransportState};

use crate::sim::{Peer, Sim, Subscribed, client_credentials, credentials};

struct Call {
    sim: Sim,
    alice: Peer,
    bob: Peer,
    at_bob: Subscribed,
    at_alice: Subscribed,
}

fn call(seed: u64) -> Call {
    let mut sim = Sim::new(seed, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut from_alice = sim.publish_audio(alice);
    let mut from_bob = sim.publish_audio(bob);
    let at_bob = sim.subscribe(&mut from_alice, bob);
    let at_alice = sim.subscribe(&mut from_bob, alice);
    sim.run_ms(1000);
    Call { sim, alice, bob, at_bob, at_alice }
}

/// Longest time without a packet at a subscriber.
fn longest_gap(sim: &Sim, slot: Subscribed) -> Duration {
    let packets = sim.received(slot);
    let gaps = packets.windows(2).map(|pair| pair[1].arrival - pair[0].arrival);
    gaps.max().unwrap_or(Duration::MAX)
}

#[test]
fn media_never_stops_over_an_ice_restart() {
    let Call { mut sim, alice, at_bob, at_alice, .. } = call(41);
    let server = credentials(alice, "b");
    let client = client_credentials(alice, "b");
    let transport = alice.transport;
    sim.command(0, Command::RestartIce { transport, local: server.clone() });
    sim.command(alice.node, Command::RestartIce { transport, local: client });
    let remote = SetRemote { ice: Some(server), ..sim.remote(alice, false) };
    sim.command(alice.node, Command::SetRemote(remote));
    sim.run_ms(5000);
    assert!(longest_gap(&sim, at_bob) < Duration::from_millis(45));
    assert!(longest_gap(&sim, at_alice) < Duration::from_millis(45));
    assert!(sim.is_connected(alice));
}

#[test]
fn peer_that_changes_its_address_is_followed_after_its_next_check() {
    let Call { mut sim, alice, at_bob, at_alice, .. } = call(42);
    let moved = SocketAddr::from(([172, 16, 0, 9], 999));
    sim.nodes[alice.node].address = moved;
    let before = sim.received(at_alice).len();
    sim.run_ms(6000);
    assert!(longest_gap(&sim, at_bob) < Duration::from_millis(2700));
    assert!(sim.received(at_alice).len() > before + 150, "media goes to the new address");
    assert!(sim.dropped(0, airside_engine::error::DropReason::UnknownAddress) > 0);
    assert!(sim.is_connected(alice));
}

#[test]
fn address_of_a_gone_session_serves_the_next_one() {
    let Call { mut sim, alice, .. } = call(43);
    let address = sim.nodes[alice.node].address;
    // The old session is still known; a NAT gives its address to a new client.
    sim.nodes[alice.node].address = SocketAddr::from(([192, 0, 2, 1], 1));
    let carol = sim.add_peer(0);
    sim.nodes[carol.node].address = address;
    sim.set_remotes(carol);
    sim.run_until(Duration::from_secs(5), |sim| sim.is_connected(carol));
    sim.command(0, Command::RemoveTransport { transport: alice.transport });
    sim.run_ms(3000);
    assert!(sim.is_connected(carol), "removing the old one leaves the new one its address");
}

#[test]
fn consent_runs_out_after_ten_and_thirty_seconds() {
    let Call { mut sim, alice, bob, at_alice, .. } = call(44);
    // Unplugged: from nowhere, to nowhere.
    sim.nodes[alice.node].address = SocketAddr::from(([203, 0, 113, 1], 1));
    sim.network.blocked.push(sim.nodes[alice.node].address);
    sim.run(Duration::from_secs(7));
    assert_eq!(sim.states(0, alice.transport).last(), Some(&TransportState::Connected));
    sim.run(Duration::from_secs(6));
    assert_eq!(sim.states(0, alice.transport).last(), Some(&TransportState::Disconnected));
    sim.run(Duration::from_secs(20));
    assert_eq!(sim.states(0, alice.transport).last(), Some(&TransportState::Closed));
    let expired = sim.nodes[0].events.iter().any(|event| {
        matches!(event, Event::TransportState { reason: CloseReason::ConsentExpired, transport, .. }
            if *transport == alice.transport)
    });
    assert!(expired);
    assert!(sim.is_connected(bob));
    let _ = at_alice;
}

#[test]
fn peer_that_comes_back_in_time_is_connected_again() {
    let Call { mut sim, alice, at_bob, .. } = call(45);
    let address = sim.nodes[alice.node].address;
    sim.network.blocked.push(address);
    sim.run(Duration::from_secs(15));
    assert_eq!(sim.states(0, alice.transport).last(), Some(&TransportState::Disconnected));
    sim.network.blocked.clear();
    let before = sim.received(at_bob).len();
    sim.run(Duration::from_secs(3));
    assert!(sim.is_connected(alice));
    assert!(sim.received(at_bob).len() > before + 50);
}

#[test]
fn transport_that_nobody_connects_to_expires() {
    let mut sim = Sim::new(46, 1);
    let peer = sim.add_peer(0);
    sim.run(Duration::from_secs(29));
    assert_eq!(sim.states(0, peer.transport), []);
    sim.run(Duration::from_secs(2));
    assert_eq!(sim.states(0, peer.transport), [TransportState::Closed]);
}
