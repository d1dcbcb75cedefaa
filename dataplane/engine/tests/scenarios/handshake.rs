//! DTLS at the edge of a transport: order of arrival, certificates, and many at once.

use std::time::Duration;

use airside_dtls::Role as DtlsRole;
use airside_engine::command::{Command, SetRemote};
use airside_engine::error::DropReason;
use airside_engine::event::{CloseReason, Event, TransportState};

use crate::sim::{RawClient, Sim};

fn close_reasons(sim: &Sim, client: &RawClient) -> Vec<CloseReason> {
    let of_client = |event: &Event| match event {
        Event::TransportState { transport, state: TransportState::Closed, reason, .. }
            if *transport == client.peer.transport =>
        {
            Some(*reason)
        }
        _ => None,
    };
    sim.nodes[0].events.iter().filter_map(of_client).collect()
}

#[test]
fn handshake_runs_before_signaling_has_spoken_but_keys_are_held_back() {
    let mut sim = Sim::new(51, 1);
    let mut client = RawClient::new(&mut sim);
    let check = client.check(|_| {});
    client.send(&mut sim, &check);
    client.shake_hands(&mut sim);
    assert!(client.out.is_some(), "the client has keys");
    use TransportState::{Connected, IceConnected};
    assert_eq!(sim.states(0, client.peer.transport), [IceConnected]);
    let packet = client.rtp(5, 111, 1, b"early");
    client.send(&mut sim, &packet);
    assert_eq!(sim.dropped(0, DropReason::SrtpNoContext), 1);

    let remote = client.remote();
    sim.command(0, Command::SetRemote(remote));
    assert_eq!(sim.states(0, client.peer.transport), [IceConnected, Connected]);
}

#[test]
fn wrong_fingerprint_closes_without_keys_or_data() {
    let mut sim = Sim::new(52, 1);
    for fingerprints in [
        vec![("sha-256".to_owned(), vec![7; 32])],
        Vec::new(),
        vec![("sha-1".to_owned(), vec![7; 20])],
        vec![("sha-256".to_owned(), vec![7; 3])],
    ] {
        let mut client = RawClient::new(&mut sim);
        let remote = SetRemote { fingerprints, ..client.remote() };
        sim.command(0, Command::SetRemote(remote));
        let check = client.check(|_| {});
        client.send(&mut sim, &check);
        client.shake_hands(&mut sim);
        assert_eq!(close_reasons(&sim, &client), [CloseReason::FingerprintMismatch]);
        assert!(!sim.states(0, client.peer.transport).contains(&TransportState::Connected));
    }
}

#[test]
fn one_right_fingerprint_among_others_is_enough() {
    let mut sim = Sim::new(53, 1);
    let mut client = RawClient::new(&mut sim);
    let mut remote = client.remote();
    remote.fingerprints.insert(0, ("sha-256".into(), vec![7; 32]));
    sim.command(0, Command::SetRemote(remote));
    let check = client.check(|_| {});
    client.send(&mut sim, &check);
    client.shake_hands(&mut sim);
    assert_eq!(sim.states(0, client.peer.transport).last(), Some(&TransportState::Connected));
}

#[test]
fn server_greets_a_peer_that_wants_to_be_the_dtls_server() {
    for checks_come_first in [false, true] {
        let mut sim = Sim::new(55, 1);
        let mut client = RawClient::new(&mut sim);
        let remote = SetRemote { dtls_active: Some(true), ..client.remote() };
        let check = client.check(|_| {});
        if checks_come_first {
            client.send(&mut sim, &check);
            sim.command(0, Command::SetRemote(remote));
        } else {
            sim.command(0, Command::SetRemote(remote));
            client.send(&mut sim, &check);
        }
        client.shake_hands_as(&mut sim, DtlsRole::Server);
        assert_eq!(sim.states(0, client.peer.transport).last(), Some(&TransportState::Connected));
        let packet = client.rtp(5, 111, 1, b"by the server's half of the keys");
        client.send(&mut sim, &packet);
        assert_eq!(sim.dropped(0, DropReason::SrtpAuthFailed), 0);
        assert_eq!(sim.dropped(0, DropReason::RtpUnknownSsrc), 1, "read, and of no track");
    }
}

#[test]
fn handshake_that_never_ends_times_out() {
    let mut sim = Sim::new(54, 1);
    let client = RawClient::new(&mut sim);
    let remote = client.remote();
    sim.command(0, Command::SetRemote(remote));
    for _ in 0..16 {
        let check = client.check(|_| {});
        client.send(&mut sim, &check);
        client.idle(&mut sim, Duration::from_secs(2));
    }
    assert_eq!(close_reasons(&sim, &client), [CloseReason::HandshakeTimeout]);
}

#[test]
fn hundred_handshakes_at_once_leave_audio_alone() {
    let mut sim = Sim::new(55, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut microphone = sim.publish_audio(alice);
    let slot = sim.subscribe(&mut microphone, bob);
    sim.run_ms(500);
    let joining: Vec<_> = (0..100).map(|_| sim.join()).collect();
    sim.run_until(Duration::from_secs(10), |sim| {
        joining.iter().all(|peer| sim.is_connected(*peer))
    });
    let packets = sim.received(slot);
    let gaps = packets.windows(2).map(|pair| pair[1].arrival - pair[0].arrival);
    assert!(gaps.max().unwrap() < Duration::from_millis(60));
}

#[test]
fn handshakes_are_worked_off_a_few_per_turn() {
    let mut sim = Sim::new(56, 1);
    let clients: Vec<RawClient> = (0..10).map(|_| RawClient::new(&mut sim)).collect();
    for client in &clients {
        let check = client.check(|_| {});
        client.send(&mut sim, &check);
        let identity = client.identity.clone();
        let mut dtls =
            airside_dtls::Dtls::new(&identity, airside_dtls::Role::Client, sim.now).unwrap();
        while let Some(hello) = dtls.poll_transmit() {
            client.send(&mut sim, &hello);
        }
    }
    let now = sim.now;
    let waiting = |sim: &Sim| sim.nodes[0].engine.stats(now).total("worker", "handshakes_waiting");
    assert_eq!(waiting(&sim), 10, "taking datagrams in does no public-key operation");
    assert!(sim.nodes[0].engine.poll_timeout().unwrap() <= now, "but wants to go on at once");
    sim.nodes[0].engine.handle_timeout(now);
    assert_eq!(waiting(&sim), 8);
}
