//! What the server says about a participant's network is what the network really did.

use std::time::Duration;

use airside_engine::command::Command;
use airside_engine::event::{Direction, Event};
use airside_engine::quality::{Class, WINDOW};
use airside_engine::stats::Values;

use crate::sim::lane::{Lane, StreamLog};
use crate::sim::{Layers, Peer, Sim, Subscribed};

/// 3 % of loss, 120 ms of delay each way, and jitter of 30 ms: twice that at most, 30 in the mean.
const BAD: &str = "loss=0.03 delay_ms=120 jitter_ms=30 reorder=1";
const SECOND: Duration = Duration::from_secs(1);

/// A figure of the row whose `key` is `id`, in the tables of one worker.
fn figure(sim: &Sim, worker: usize, table: &str, key: &str, id: u64, name: &str) -> f64 {
    let stats = sim.nodes[worker].engine.stats(sim.now);
    let Some(Values::U64(keys)) = stats.column(table, key) else { panic!("{table}.{key}") };
    let row = keys.iter().position(|each| *each == id).unwrap();
    match stats.column(table, name).unwrap() {
        Values::U64(values) => values[row] as f64,
        Values::F64(values) => values[row],
    }
}

fn verdicts(sim: &Sim, peer: Peer) -> Vec<(Direction, Class)> {
    let told = |event: &Event| match event {
        Event::Quality { transport, direction, verdict } if *transport == peer.transport => {
            Some((*direction, verdict.class))
        }
        _ => None,
    };
    sim.nodes[peer.worker].events.iter().filter_map(told).collect()
}

fn worsen(sim: &mut Sim, peer: Peer, link: &str) {
    let client = sim.nodes[peer.node].address;
    let lanes = [true, false].map(|up| Lane::new(client, up, link, 7 + u64::from(up)));
    sim.network.lanes = lanes.into();
}

fn assert_within(what: &str, measured: f64, true_value: f64) {
    let ratio = measured / true_value;
    assert!((0.9..=1.1).contains(&ratio), "{what}: {measured} of {true_value}");
}

/// Means over time of a figure of ours and of its true value.
#[derive(Default)]
struct Means {
    ours: f64,
    truth: f64,
    count: f64,
}

impl Means {
    fn add(&mut self, ours: f64, truth: f64) {
        self.ours += ours;
        self.truth += truth;
        self.count += 1.0;
    }

    fn assert(&self, what: &str) {
        assert_within(what, self.ours / self.count, self.truth / self.count);
    }
}

/// One stream: a row of the server's, and the SSRC on the wire.
struct Stream {
    name: &'static str,
    table: &'static str,
    key: &'static str,
    id: u64,
    ssrc: u32,
    up: usize,
    jitter: Means,
}

impl Stream {
    fn counts(&self, sim: &Sim) -> [f64; 2] {
        ["expected", "lost"].map(|name| figure(sim, 0, self.table, self.key, self.id, name))
    }

    fn log(&self, sim: &Sim) -> StreamLog {
        sim.network.lanes[self.up].streams[&self.ssrc].clone()
    }
}

#[test]
fn promise_26_figures_are_those_of_the_network() {
    let mut sim = Sim::new(95, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let (mut voice, mut camera) = (sim.publish_audio(alice), sim.publish_video(alice, Layers::One));
    let mut others = sim.publish_audio(bob);
    let mut picture = sim.publish_video(bob, Layers::One);
    sim.subscribe(&mut voice, bob);
    sim.subscribe(&mut camera, bob);
    let heard = sim.subscribe(&mut others, alice);
    let seen = sim.subscribe(&mut picture, alice);
    worsen(&mut sim, alice, BAD);
    sim.run(5 * SECOND);

    let published = |sim: &Sim, track: u64, video: bool| {
        let lane = &sim.network.lanes[0].streams;
        let most = |(_, log): &(&u32, &StreamLog)| log.sent;
        // The busiest stream is the camera; the voice has 50 packets a second.
        let busiest = lane.iter().max_by_key(most).unwrap();
        let voice = lane.iter().find(|(_, log)| log.sent.abs_diff(250) < 25).unwrap();
        (track, *if video { busiest } else { voice }.0)
    };
    let up = |name, video, id: u64, sim: &Sim| {
        let (id, ssrc) = published(sim, id, video);
        let (table, key) = ("layers", "track");
        Stream { name, table, key, id, ssrc, up: 0, jitter: Means::default() }
    };
    let down = |name, slot: Subscribed| Stream {
        name,
        table: "slots",
        key: "slot",
        id: slot.slot.0,
        ssrc: slot.ssrc,
        up: 1,
        jitter: Means::default(),
    };
    let mut streams = [
        up("voice sent", false, voice.track.0, &sim),
        up("camera sent", true, camera.track.0, &sim),
        down("voice received", heard),
        down("picture received", seen),
    ];
    let before = streams.each_ref().map(|stream| (stream.counts(&sim), stream.log(&sim)));
    let mut rtt = Means::default();
    for _ in 0..60 {
        sim.run(SECOND);
        for stream in &mut streams {
            let ours = figure(&sim, 0, stream.table, stream.key, stream.id, "jitter_s");
            stream.jitter.add(ours, stream.log(&sim).jitter_s);
        }
        let delay = sim.network.lanes[0].mean_delay() + sim.network.lanes[1].mean_delay();
        let ours = figure(&sim, 0, "transports", "transport", alice.transport.0, "rtt_s");
        rtt.add(ours, delay.as_secs_f64());
    }
    rtt.assert("round trip");
    for (stream, (counts, log)) in streams.iter().zip(before) {
        let ([expected, lost], now) = (stream.counts(&sim), stream.log(&sim));
        let ours = (lost - counts[1]) / (expected - counts[0]);
        let truth = (now.lost - log.lost) as f64 / (now.sent - log.sent) as f64;
        assert_within(stream.name, ours, truth);
        stream.jitter.assert(stream.name);
    }
    // The same participant in one word: both directions suffer, the other one's network does not.
    let worst = |way| {
        verdicts(&sim, alice).iter().filter(|(each, _)| *each == way).map(|(_, class)| *class).min()
    };
    assert!(worst(Direction::Up).is_some_and(|class| class <= Class::Good));
    assert!(worst(Direction::Down).is_some_and(|class| class <= Class::Good));
    assert_eq!(verdicts(&sim, bob).iter().filter(|(way, _)| *way == Direction::Up).count(), 0);
}

#[test]
fn a_good_network_is_never_news() {
    let mut sim = Sim::new(96, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let (mut voice, mut camera) =
        (sim.publish_audio(alice), sim.publish_video(alice, Layers::Three));
    sim.subscribe(&mut voice, bob);
    sim.subscribe(&mut camera, bob);
    sim.run(30 * SECOND);
    assert_eq!(verdicts(&sim, alice), []);
    assert_eq!(verdicts(&sim, bob), []);
    let frozen = |table, key, id| figure(&sim, 0, table, key, id, "freezes");
    assert_eq!(frozen("layers", "track", camera.track.0), 0.0);
    assert_eq!(figure(&sim, 0, "quality", "transport", alice.transport.0, "class"), 3.0);
}

#[test]
fn a_participant_that_is_gone_is_lost_and_one_that_comes_back_is_not() {
    let mut sim = Sim::new(97, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::One);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run(10 * SECOND);
    let address = sim.nodes[alice.node].address;
    sim.network.blocked.push(address);
    sim.run(2 * WINDOW + SECOND);
    assert_eq!(verdicts(&sim, alice).last(), Some(&(Direction::Up, Class::Lost)));
    sim.network.blocked.clear();
    sim.run(10 * WINDOW);
    assert_eq!(verdicts(&sim, alice).last(), Some(&(Direction::Up, Class::Excellent)));
    assert!(!verdicts(&sim, bob).contains(&(Direction::Down, Class::Lost)));
    // Eleven seconds without a frame are one freeze, for the viewer too.
    for (table, key, id) in [("layers", "track", camera.track.0), ("slots", "slot", slot.slot.0)] {
        let frozen_s = figure(&sim, 0, table, key, id, "frozen_s");
        assert!((10.0..13.0).contains(&frozen_s), "{table}: {frozen_s}");
    }
}

#[test]
fn what_is_muted_or_taken_by_nobody_is_no_fault() {
    let mut sim = Sim::new(98, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut microphone = sim.publish_audio(alice);
    sim.subscribe(&mut microphone, bob);
    sim.run(10 * SECOND);
    let track = microphone.track;
    sim.command(0, Command::SetTrackMuted { track, muted: true });
    for slot in &microphone.slots {
        sim.command(alice.node, Command::Unsubscribe { slot: *slot });
    }
    sim.run(6 * WINDOW);
    assert_eq!(verdicts(&sim, alice), []);
    assert_eq!(verdicts(&sim, bob), []);
}
