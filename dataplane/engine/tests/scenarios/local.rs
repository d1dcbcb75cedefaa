//! A process beside the server: its transport is a ring, without checks, keys or estimates.

use std::time::Duration;

use airside_engine::codec::Keyframe;
use airside_engine::command::{AddTransport, Command, DataDialect, LocalPath, Role};
use airside_engine::envelope::{self, DataMessage};
use airside_engine::error::DropReason;
use airside_engine::event::{CloseReason, Event, TransportState};
use airside_engine::ids::TransportId;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::sim::{Layers, Peer, ROOM, Sim, packet_of};

fn closed(sim: &Sim, node: usize) -> Vec<CloseReason> {
    let events = sim.nodes[node].events.iter();
    events
        .filter_map(|event| match event {
            Event::TransportState { state: TransportState::Closed, reason, remote, .. } => {
                assert_eq!(*remote, None, "it has no address on the network");
                Some(*reason)
            }
            _ => None,
        })
        .collect()
}

fn path(peer: Peer) -> LocalPath {
    LocalPath { ring: peer.node as u16, route: peer.transport.0 }
}

#[test]
fn it_is_connected_at_once_and_ends_with_a_word() {
    let mut sim = Sim::new(301, 1);
    let agent = sim.join_locally();
    sim.run_ms(1);
    use TransportState::{Closed, Connected, IceConnected};
    for node in [0, agent.node] {
        assert_eq!(sim.states(node, agent.transport), [IceConnected, Connected]);
    }
    let stats = sim.nodes[0].engine.stats(sim.now);
    assert_eq!(stats.total("transports", "local"), 1);
    assert_eq!(stats.total("transports", "connected"), 1);
    sim.command(agent.node, Command::RemoveTransport { transport: agent.transport });
    sim.run_ms(1);
    assert_eq!(sim.states(0, agent.transport).last(), Some(&Closed));
    assert_eq!(closed(&sim, 0), [CloseReason::PeerClosed]);
    let stats = sim.nodes[0].engine.stats(sim.now);
    assert_eq!(stats.total("worker", "transports"), 0);
    assert_eq!(stats.total("worker", "addresses"), 0);
    assert_eq!(sim.dropped(0, DropReason::UnknownAddress), 0);
}

#[test]
fn sound_flows_both_ways_between_it_and_people_on_any_worker() {
    let mut sim = Sim::new(302, 2);
    let (alice, agent) = (sim.connect(), sim.join_locally());
    assert_ne!(alice.worker, agent.worker);
    let mut from_alice = sim.publish_audio(alice);
    let mut from_agent = sim.publish_audio(agent);
    let at_agent = sim.subscribe(&mut from_alice, agent);
    let at_alice = sim.subscribe(&mut from_agent, alice);
    sim.run_ms(2000);
    assert_eq!(sim.failures(), Vec::<String>::new());
    for slot in [at_agent, at_alice] {
        let packets = sim.received(slot);
        assert!(packets.len() > 90, "{}", packets.len());
        for pair in packets.windows(2) {
            assert_eq!(pair[1].ext_seq, pair[0].ext_seq + 1);
            assert_eq!(packet_of(&pair[1]), packet_of(&pair[0]) + 1);
        }
        assert_eq!(packets[0].extensions.audio_level, Some(0x80 | 20));
    }
    for node in 0..2 {
        let stats = sim.nodes[node].engine.stats(sim.now);
        assert_eq!(stats.total("layers", "nacks_sent"), 0);
        assert_eq!(stats.total("slots", "lost"), 0);
    }
}

#[test]
fn pictures_start_at_a_keyframe_and_nothing_is_measured() {
    let mut sim = Sim::new(303, 1);
    let (alice, agent) = (sim.connect(), sim.join_locally());
    let mut camera = sim.publish_video(alice, Layers::One);
    sim.run_ms(3000);
    let begun = sim.now;
    let slot = sim.subscribe(&mut camera, agent);
    sim.run_ms(2000);
    assert_eq!(sim.failures(), Vec::<String>::new());
    let packets = sim.received(slot);
    assert_eq!(packets.first().map(|packet| packet.frame.keyframe), Some(Keyframe::Yes));
    assert!(packets[0].arrival - begun < Duration::from_millis(150));
    for pair in packets.windows(2) {
        assert_eq!(packet_of(&pair[1]), packet_of(&pair[0]) + 1);
    }
    let client = sim.nodes[agent.node].engine.stats(sim.now);
    assert_eq!(client.total("transports", "transport_feedbacks"), 0);
    let server = sim.nodes[0].engine.stats(sim.now);
    // Probes and feedback are alice's alone.
    let Some(airside_engine::stats::Values::F64(estimates)) =
        server.column("transports", "estimate_bps")
    else {
        panic!("no column");
    };
    assert_eq!(estimates.len(), 2);
    assert!(estimates[1].is_nan(), "{estimates:?}");
}

#[test]
fn a_picture_of_its_own_comes_with_a_keyframe_for_who_asks() {
    let mut sim = Sim::new(304, 1);
    let (alice, agent) = (sim.connect(), sim.join_locally());
    let mut drawn = sim.publish_video(agent, Layers::One);
    sim.run_ms(2000);
    let slot = sim.subscribe(&mut drawn, alice);
    sim.run_ms(1000);
    let packets = sim.received(slot);
    assert_eq!(packets.first().map(|packet| packet.frame.keyframe), Some(Keyframe::Yes));
    let stats = sim.nodes[0].engine.stats(sim.now);
    assert_eq!(stats.total("layers", "keyframe_requests"), 1);
}

#[test]
fn messages_pass_both_ways() {
    let mut sim = Sim::new(305, 1);
    let (alice, agent) = (sim.connect(), sim.join_locally());
    sim.add_member(alice, "alice");
    sim.add_member(agent, "agent");
    sim.run_ms(500);
    for (from, to) in [(alice, agent), (agent, alice)] {
        let mut bytes = Vec::new();
        let payload = vec![7; 20_000];
        let message = DataMessage { topic: "t", payload: &payload, ..DataMessage::default() };
        envelope::encode(DataDialect::Native, &message, &mut bytes).unwrap();
        let now = sim.now;
        let engine = &mut sim.nodes[from.node].engine;
        engine.send_message(from.transport, true, &bytes.into(), now).unwrap();
        sim.collect(from.node);
        sim.run_ms(500);
        let (reliable, bytes) = sim.nodes[to.node].messages.last().unwrap();
        let got = envelope::decode(DataDialect::Native, *reliable, bytes).unwrap();
        assert_eq!((got.topic, got.payload), ("t", &payload[..]));
    }
}

#[test]
fn whoever_does_not_show_up_is_given_up_in_time() {
    let mut sim = Sim::new(306, 1);
    let transport = TransportId(7);
    let spec = AddTransport {
        transport,
        room: ROOM,
        role: Role::Server,
        local: airside_engine::command::IceCredentials {
            ufrag: "00unused".into(),
            password: "p".repeat(22),
        },
        socket: 0,
        local_path: Some(LocalPath { ring: 9, route: 7 }),
    };
    sim.command(0, Command::AddTransport(spec.clone()));
    sim.command(0, Command::AddTransport(AddTransport { transport: TransportId(8), ..spec }));
    assert_eq!(sim.failures().len(), 1, "a route has one transport");
    sim.run(Duration::from_secs(29));
    assert_eq!(closed(&sim, 0), []);
    sim.run(Duration::from_secs(2));
    assert_eq!(closed(&sim, 0), [CloseReason::HandshakeTimeout]);
}

#[test]
fn the_end_of_a_ring_is_that_of_its_transports_and_of_no_other() {
    let mut sim = Sim::new(307, 1);
    let (alice, one, two) = (sim.connect(), sim.join_locally(), sim.join_locally());
    sim.run_ms(10);
    let now = sim.now;
    sim.nodes[0].engine.handle_local_ring_closed(one.node as u16, false, now);
    sim.collect(0);
    sim.run_ms(10);
    assert_eq!(closed(&sim, 0), [CloseReason::PeerClosed]);
    assert!(sim.is_connected(alice) && sim.is_connected(two));
}

#[test]
fn whatever_a_process_writes_harms_itself_alone() {
    let mut sim = Sim::new(308, 1);
    let (alice, agent) = (sim.connect(), sim.join_locally());
    let mut microphone = sim.publish_audio(alice);
    let bob = sim.connect();
    let at_bob = sim.subscribe(&mut microphone, bob);
    let mut from_agent = sim.publish_audio(agent);
    sim.subscribe(&mut from_agent, bob);
    sim.run_ms(500);
    let mut random = SmallRng::seed_from_u64(308);
    let before = sim.received(at_bob).len();
    for _ in 0..5000 {
        let mut data = vec![0; random.random_range(0..200)];
        random.fill_bytes(&mut data);
        if let Some(first) = data.first_mut() {
            // Media, SCTP, words, anything.
            *first = [0x80, 0x90, 0x13, 0, 2, *first][random.random_range(0..6)];
        }
        if random.random_bool(0.1) {
            data.truncate(1);
        }
        // The last word would end it.
        if data != [1] {
            sim.put_record(0, path(agent), &data);
        }
        sim.put_record(0, LocalPath { route: 9999, ..path(agent) }, &data);
    }
    sim.run_ms(1000);
    let heard = sim.received(at_bob);
    assert!(heard.len() - before > 45, "alice is heard on");
    for pair in heard.windows(2) {
        assert_eq!(pair[1].ext_seq, pair[0].ext_seq + 1);
    }
    assert!(sim.is_connected(alice) && sim.is_connected(bob));
    assert!(sim.dropped(0, DropReason::UnknownAddress) >= 4500);
}
