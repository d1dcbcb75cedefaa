//! Any order of commands on any network: nobody is closed, nothing fails, nothing is left over.

use std::net::SocketAddr;
use std::time::Duration;

use airside_engine::command::{Command, MediaKind, SetRemote};
use airside_engine::event::{CloseReason, Event};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::sim::{Layers, Peer, Published, Sim, Subscribed, client_credentials, credentials, wish};

/// Everybody and everything there is at the moment.
struct World {
    sim: Sim,
    random: SmallRng,
    peers: Vec<Peer>,
    published: Vec<Published>,
    slots: Vec<(Subscribed, MediaKind)>,
    restarts: u32,
}

impl World {
    fn any<T: Clone>(random: &mut SmallRng, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[random.random_range(0..from.len())].clone())
    }

    fn step(&mut self) {
        let Self { sim, random, peers, published, slots, restarts } = self;
        match random.random_range(0..100) {
            0..6 if peers.len() < 6 => {
                let peer = sim.join();
                sim.run_until(Duration::from_secs(29), |sim| sim.is_connected(peer));
                peers.push(peer);
            }
            6..8 if peers.len() > 2 => {
                let peer = peers.swap_remove(random.random_range(0..peers.len()));
                published.retain(|track| {
                    if track.publisher == peer {
                        end(sim, track);
                    }
                    track.publisher != peer
                });
                slots.retain(|(slot, _)| slot.subscriber != peer);
                let transport = peer.transport;
                sim.command(peer.worker, Command::RemoveTransport { transport });
                sim.command(peer.node, Command::RemoveTransport { transport });
            }
            8..16 if published.len() < 12 => {
                let Some(peer) = Self::any(random, peers) else { return };
                let voices =
                    published.iter().filter(|track| track.kind == MediaKind::Audio).count();
                published.push(match random.random_range(0..3) {
                    // As many as a room forwards at once.
                    0 if voices < 6 => sim.publish_audio(peer),
                    1 => sim.publish_video(peer, Layers::One),
                    _ => sim.publish_video(peer, Layers::Three),
                });
            }
            16..20 if !published.is_empty() => {
                let track = published.swap_remove(random.random_range(0..published.len()));
                end(sim, &track);
            }
            20..30 if slots.len() < 30 => {
                let Some(peer) = Self::any(random, peers) else { return };
                let video = random.random_bool(0.5);
                let kind = if video { MediaKind::Video } else { MediaKind::Audio };
                slots.push((sim.add_slot(peer, kind), kind));
            }
            30..32 if !slots.is_empty() => {
                let (slot, _) = slots.swap_remove(random.random_range(0..slots.len()));
                sim.command(slot.subscriber.worker, Command::RemoveSlot { slot: slot.slot });
            }
            32..62 => {
                let Some((slot, kind)) = Self::any(random, slots) else { return };
                let same = |track: &&mut Published| track.kind == kind;
                let fitting: Vec<_> = published.iter_mut().filter(same).collect();
                let count = fitting.len();
                let chosen = random.random_range(0..count.max(1));
                if let Some(track) = fitting.into_iter().nth(chosen) {
                    sim.bind(track, slot);
                }
            }
            62..68 => {
                let Some((slot, _)) = Self::any(random, slots) else { return };
                sim.command(slot.subscriber.worker, Command::Unsubscribe { slot: slot.slot });
            }
            68..78 => {
                let Some((slot, _)) = Self::any(random, slots) else { return };
                let mut wish = wish([0, 90, 180, 360, 720, 2160][random.random_range(0..6)]);
                wish.max_temporal = random.random_range(0..5);
                wish.priority = random.random_range(0..255);
                wish.paused = random.random_bool(0.1);
                wish.keyframe_interval_ms = [0, 0, 0, 500][random.random_range(0..4)];
                let update = Command::UpdateSubscription { slot: slot.slot, wish };
                sim.command(slot.subscriber.worker, update);
            }
            78..86 => {
                let Some(track) = Self::any(random, published) else { return };
                let muted = random.random_bool(0.4);
                let track_muted = Command::SetTrackMuted { track: track.track, muted };
                sim.command(track.publisher.worker, track_muted);
            }
            86..90 => {
                let Some(peer) = Self::any(random, peers) else { return };
                *restarts += 1;
                restart(sim, peer, &format!("r{restarts}"));
            }
            90..93 => {
                let Some(peer) = Self::any(random, peers) else { return };
                let port = random.random_range(1024..60_000);
                let SocketAddr::V4(mut moved) = sim.nodes[peer.node].address else { return };
                moved.set_port(port);
                sim.nodes[peer.node].address = moved.into();
            }
            93..97 => {
                let conditions = &mut sim.network.conditions;
                conditions.loss = [0.0, 0.0, 0.02, 0.2][random.random_range(0..4)];
                conditions.duplicates = [0.0, 0.0, 0.1][random.random_range(0..3)];
                let jitter_ms = [0, 0, 5, 40][random.random_range(0..4)];
                conditions.jitter = Duration::from_millis(jitter_ms);
            }
            _ => sim.now += Duration::from_millis(random.random_range(0..900)),
        }
    }
}

/// Ends a track on all workers and at its publisher.
fn end(sim: &mut Sim, published: &Published) {
    sim.command_all(&Command::RemoveTrack { track: published.track });
    let node = published.publisher.node;
    sim.command(node, Command::RemoveTrack { track: published.local });
    for slot in &published.slots {
        sim.command(node, Command::RemoveSlot { slot: *slot });
    }
}

fn restart(sim: &mut Sim, peer: Peer, generation: &str) {
    let (server, client) = (credentials(peer, generation), client_credentials(peer, generation));
    let transport = peer.transport;
    sim.command(peer.worker, Command::RestartIce { transport, local: server.clone() });
    sim.command(peer.node, Command::RestartIce { transport, local: client.clone() });
    let remote = SetRemote { ice: Some(server), ..sim.remote(peer, false) };
    sim.command(peer.node, Command::SetRemote(remote));
    let remote = SetRemote { ice: Some(client), ..sim.remote(peer, true) };
    sim.command(peer.worker, Command::SetRemote(remote));
}

fn closed(event: &Event) -> Option<CloseReason> {
    match event {
        Event::TransportState { reason, .. }
            if *reason != CloseReason::None && *reason != CloseReason::Removed =>
        {
            Some(*reason)
        }
        _ => None,
    }
}

#[test]
fn commands_in_any_order_on_any_network_leave_nothing_behind() {
    for seed in [0, 5, 16, 19, 21] {
        let workers = 1 + seed as usize % 2;
        let congestion_control = seed % 16 == 0;
        let mut world = World {
            sim: Sim::new(700 + seed, workers),
            random: SmallRng::seed_from_u64(seed),
            peers: Vec::new(),
            published: Vec::new(),
            slots: Vec::new(),
            restarts: 0,
        };
        world.sim.congestion_control = congestion_control;
        for _ in 0..3 {
            let peer = world.sim.connect();
            world.peers.push(peer);
        }
        for _ in 0..400 {
            world.step();
            let pause_ms = [0, 0, 1, 20, 60][world.random.random_range(0..5)];
            world.sim.run_ms(pause_ms);
        }
        // The network is good again: who has a track gets it.
        world.sim.network.conditions = crate::sim::network::Conditions::default();
        let World { mut sim, peers, mut published, slots, .. } = world;
        for track in &published {
            let unmuted = Command::SetTrackMuted { track: track.track, muted: false };
            sim.command(track.publisher.worker, unmuted);
        }
        let mut bound = Vec::new();
        for (at, (slot, kind)) in slots.iter().enumerate() {
            let fitting = published.iter_mut().filter(|track| track.kind == *kind);
            if let Some(track) = fitting.max_by_key(|track| (at as u64 * 7919 + track.track.0) % 13)
            {
                sim.bind(track, *slot);
                bound.push((*slot, track.track, *kind));
            }
        }
        // Who lost a lot and was paused takes its time to believe it.
        sim.run_ms(if congestion_control { 20_000 } else { 6000 });
        bound.iter().for_each(|(slot, ..)| drop(sim.take_received(*slot)));
        sim.run_ms(2000);
        for (slot, track, kind) in &bound {
            let count = sim.received(*slot).len();
            assert!(count >= 10, "seed {seed}: {count} of {track:?} ({kind:?}) by {slot:?}");
        }
        assert_eq!(sim.failures(), Vec::<String>::new(), "seed {seed}");
        let events = sim.nodes.iter().flat_map(|node| &node.events);
        let ends: Vec<_> = events.filter_map(closed).collect();
        assert!(ends.is_empty(), "seed {seed}: {ends:?}");
        for peer in peers {
            let transport = peer.transport;
            sim.command(peer.worker, Command::RemoveTransport { transport });
        }
        published.iter().for_each(|track| end(&mut sim, track));
        for worker in 0..workers {
            let stats = sim.nodes[worker].engine.stats(sim.now);
            let held = ["transports", "tracks", "slots", "addresses"];
            let held = held.map(|name| stats.total("worker", name));
            assert_eq!(held, [0; 4], "seed {seed}, worker {worker}");
        }
    }
}
