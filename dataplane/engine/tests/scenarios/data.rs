//! Data messages: routing, numbering, slow readers.

use std::sync::Arc;
use std::time::Duration;

use airside_engine::command::{Command, DataDialect, SendData};
use airside_engine::envelope::{self, DataMessage};
use airside_engine::event::Event;

use crate::sim::{Peer, ROOM, Sim};

fn message<'a>(topic: &'a str, destinations: &[&'a str], payload: &'a [u8]) -> DataMessage<'a> {
    DataMessage { topic, destinations: destinations.to_vec(), payload, ..DataMessage::default() }
}

fn send(sim: &mut Sim, peer: Peer, reliable: bool, message: &DataMessage<'_>) {
    let mut bytes = Vec::new();
    envelope::encode(DataDialect::Native, message, &mut bytes).unwrap();
    let now = sim.now;
    let engine = &mut sim.nodes[peer.node].engine;
    engine.send_message(peer.transport, reliable, &bytes.into(), now).unwrap();
    sim.collect(peer.node);
}

/// What a client got: sender, topic, payload, sequence.
fn received(sim: &Sim, peer: Peer) -> Vec<(String, String, Vec<u8>, u32)> {
    let messages = sim.nodes[peer.node].messages.iter();
    messages
        .map(|(reliable, bytes)| {
            let message = envelope::decode(DataDialect::Native, *reliable, bytes).unwrap();
            let (sender, topic) = (message.sender.to_owned(), message.topic.to_owned());
            (sender, topic, message.payload.to_vec(), message.sequence)
        })
        .collect()
}

fn room(sim: &mut Sim, names: &[&str]) -> Vec<Peer> {
    let peers: Vec<Peer> = names
        .iter()
        .map(|name| {
            let peer = sim.connect();
            sim.add_member(peer, name);
            peer
        })
        .collect();
    sim.run_ms(500);
    for peer in &peers {
        let ready = sim.nodes[peer.node]
            .events
            .iter()
            .any(|event| matches!(event, Event::DataReady { .. }));
        assert!(ready, "channels are open");
    }
    peers
}

#[test]
fn messages_reach_everyone_or_those_named_on_both_workers() {
    let mut sim = Sim::new(91, 2);
    let peers = room(&mut sim, &["alice", "bob", "carol"]);
    let [alice, bob, carol] = peers[..] else { panic!() };
    send(&mut sim, alice, true, &message("chat", &[], b"hello"));
    send(&mut sim, alice, true, &message("chat", &["carol"], b"secret"));
    send(&mut sim, alice, false, &message("cursor", &[], b"1,2"));
    sim.run_ms(300);
    let hello = ("alice".to_owned(), "chat".to_owned(), b"hello".to_vec(), 1);
    let secret = ("alice".to_owned(), "chat".to_owned(), b"secret".to_vec(), 2);
    let cursor = ("alice".to_owned(), "cursor".to_owned(), b"1,2".to_vec(), 0);
    let sorted = |mut list: Vec<(String, String, Vec<u8>, u32)>| {
        list.sort();
        list
    };
    assert_eq!(sorted(received(&sim, bob)), [hello.clone(), cursor.clone()]);
    assert_eq!(sorted(received(&sim, carol)), sorted(vec![hello, secret, cursor]));
    assert_eq!(received(&sim, alice), []);
}

#[test]
fn reserved_topics_go_to_the_server_and_the_server_reaches_everyone() {
    let mut sim = Sim::new(92, 2);
    let peers = room(&mut sim, &["alice", "bob"]);
    let [alice, bob] = peers[..] else { panic!() };
    send(&mut sim, alice, true, &message("airside/ping", &[], b"?"));
    sim.run_ms(300);
    let told = sim.nodes[alice.worker].events.iter().any(|event| {
        matches!(event, Event::Data { topic, payload, .. }
            if topic == "airside/ping" && payload == b"?")
    });
    assert!(told);
    assert_eq!(received(&sim, bob), []);

    let data = SendData {
        room: ROOM,
        destinations: Vec::new(),
        reliable: true,
        topic: "airside/news".into(),
        payload: Arc::from(&b"!"[..]),
        sender: String::new(),
        packet: None,
    };
    sim.command_all(&Command::SendData(data));
    sim.run_ms(300);
    for peer in [alice, bob] {
        let news = (String::new(), "airside/news".to_owned(), b"!".to_vec(), 0);
        assert_eq!(received(&sim, peer), [news]);
    }
}

#[test]
fn reliable_messages_survive_loss_in_order() {
    let mut sim = Sim::new(93, 1);
    let peers = room(&mut sim, &["alice", "bob"]);
    sim.network.conditions.loss = 0.1;
    for count in 0..100u32 {
        send(&mut sim, peers[0], true, &message("n", &[], &count.to_be_bytes()));
        sim.run_ms(10);
    }
    sim.run(Duration::from_secs(20));
    let sequence: Vec<u32> = received(&sim, peers[1]).iter().map(|entry| entry.3).collect();
    assert_eq!(sequence, (1..=100).collect::<Vec<u32>>());
}

#[test]
fn reader_that_stops_is_cut_off_and_the_room_goes_on() {
    let mut sim = Sim::new(94, 1);
    let peers = room(&mut sim, &["alice", "bob", "carol"]);
    let [alice, bob, carol] = peers[..] else { panic!() };
    // Bob's checks still come, his acknowledgements do not.
    sim.network.deaf = Some(sim.nodes[bob.node].address);
    let payload = vec![7; 60_000];
    for _ in 0..200 {
        send(&mut sim, alice, true, &message("file", &[], &payload));
        sim.run_ms(100);
    }
    let closed = sim.nodes[0].events.iter().any(|event| {
        use airside_engine::event::{CloseReason, TransportState};
        matches!(event, Event::TransportState {
            transport, state: TransportState::Closed, reason: CloseReason::DataBackpressure, ..
        } if *transport == bob.transport)
    });
    assert!(closed);
    sim.run(Duration::from_secs(20));
    assert_eq!(received(&sim, carol).len(), 200, "the others missed nothing");
}

#[test]
fn who_is_still_connecting_misses_no_reliable_message() {
    let mut sim = Sim::new(95, 2);
    let alice = room(&mut sim, &["alice"])[0];
    let bob = sim.connect();
    sim.add_member(bob, "bob");
    for text in [b"1", b"2"] {
        send(&mut sim, alice, true, &message("chat", &[], text));
        send(&mut sim, alice, false, &message("cursor", &[], text));
    }
    sim.run_ms(500);
    send(&mut sim, alice, true, &message("chat", &[], b"3"));
    sim.run_ms(300);
    let texts: Vec<(String, Vec<u8>)> =
        received(&sim, bob).into_iter().map(|(_, topic, payload, _)| (topic, payload)).collect();
    let expected = [b"1", b"2", b"3"].map(|text| ("chat".to_owned(), text.to_vec()));
    assert_eq!(texts, expected, "in order; what is out of date soon is not kept");
}
