//! Subscribers behind narrow and lossy paths, on a virtual clock.

mod audio;
mod capacity;
mod cut;
mod links;
mod loss;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use airside_engine::codec::Keyframe;
use airside_engine::command::Command;
use airside_engine::event::{Event, SlotAllocation};
use airside_engine::ids::SlotId;
use airside_engine::packet::SourcePacket;
use airside_engine::stats::Values;

use crate::sim::network::Conditions;
use crate::sim::viewer::{is_stuck, longest_freeze};
use crate::sim::{Layers, Peer, Sim, Subscribed};

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
/// libwebrtc waits so long for a keyframe's missing packet before it asks for another.
const PATIENCE: Duration = Duration::from_millis(300);
/// More packets than arrive between two looks at them.
const RECENT: usize = 200;

/// What was to be seen at one moment, from outside and in the server's figures.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: Duration,
    layer: Option<u64>,
    estimate_bps: f64,
    queue: Duration,
    /// Packets that the path has lost so far.
    lost: u64,
}

/// A camera of three layers and a microphone, and one who sees and hears them.
struct Call {
    sim: Sim,
    viewer: Peer,
    address: SocketAddr,
    video: Subscribed,
    voice: Subscribed,
    trace: Vec<Point>,
    /// Number of the newest keyframe's first packet.
    keyframe: u64,
    asked: Option<Instant>,
    keyframes_asked: u32,
}

impl Call {
    /// The viewer's path is such a link.
    fn over(link: &str, seed: u64) -> Self {
        Self::with_delay(link, seed, Conditions::default().delay)
    }

    /// The same with so much delay on the publisher's way, in each direction.
    fn with_delay(link: &str, seed: u64, delay: Duration) -> Self {
        let mut sim = Sim::new(seed, 1);
        sim.network.conditions.delay = delay;
        let (alice, viewer) = (sim.connect(), sim.connect());
        let address = sim.nodes[viewer.node].address;
        sim.network.narrow(address, link);
        let mut camera = sim.publish_video(alice, Layers::Three);
        let mut microphone = sim.publish_audio(alice);
        let voice = sim.subscribe(&mut microphone, viewer);
        let video = sim.subscribe(&mut camera, viewer);
        Self {
            sim,
            viewer,
            address,
            video,
            voice,
            trace: Vec::new(),
            keyframe: 0,
            asked: None,
            keyframes_asked: 0,
        }
    }

    /// The link changes; returns when.
    fn change(&mut self, link: &str) -> Duration {
        self.sim.network.narrow(self.address, link);
        self.sim.now - self.sim.start
    }

    /// Lets time pass and writes down what happens.
    fn run(&mut self, time: Duration) {
        let end = self.sim.now + time;
        while self.sim.now < end {
            self.sim.run(20 * MS);
            self.decode();
            let lane = self.sim.network.lanes.iter().find(|lane| lane.leads_to(self.address));
            let lost = lane.map_or(0, |lane| lane.streams.values().map(|log| log.lost).sum());
            let point = Point {
                at: self.sim.now - self.sim.start,
                layer: layer(&self.sim, self.video),
                estimate_bps: estimate_bps(&self.sim, self.viewer),
                queue: self.sim.network.queue_delay(self.address, self.sim.now),
                lost,
            };
            self.trace.push(point);
        }
    }

    /// A decoder that is stuck asks for a keyframe.
    fn decode(&mut self) {
        let packets = self.sim.received(self.video);
        let starts = |packet: &Arc<SourcePacket>| packet.frame.keyframe == Keyframe::Yes;
        let newest = packets.iter().rev().take(RECENT).filter(|packet| starts(packet));
        self.keyframe = newest.map(|packet| packet.ext_seq).fold(self.keyframe, u64::max);
        // It may have been overtaken by what follows it.
        let since: Vec<_> =
            packets.iter().filter(|packet| packet.ext_seq >= self.keyframe).cloned().collect();
        let rested = self.asked.is_none_or(|at| self.sim.now >= at + PATIENCE);
        if rested && is_stuck(&since, self.sim.now, PATIENCE) {
            self.asked = Some(self.sim.now);
            self.keyframes_asked += 1;
            let track = self.video.track;
            self.sim.command(self.viewer.node, Command::RequestKeyframe { track, layer: 0 });
        }
    }

    fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Point> {
        self.trace.iter().filter(move |point| point.at > from && point.at <= to)
    }

    /// When a layer first was forwarded after a moment, counted from it.
    fn reached(&self, layer: u64, after: Duration) -> Duration {
        let found = self.trace.iter().find(|p| p.at > after && p.layer == Some(layer));
        found.unwrap_or_else(|| panic!("never layer {layer}: {:?}", self.allocations())).at - after
    }

    fn longest_queue(&self, from: Duration, to: Duration) -> Duration {
        self.between(from, to).map(|point| point.queue).max().unwrap()
    }

    fn longest_freeze(&self, from: Duration, to: Duration) -> Duration {
        let start = self.sim.start;
        longest_freeze(self.sim.received(self.video), start + from, start + to)
    }

    /// Changes of the picture's size.
    fn switches(&self, from: Duration, to: Duration) -> usize {
        let layers: Vec<_> = self.between(from, to).map(|point| point.layer).collect();
        layers.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    /// What the server told about the video's slot.
    fn allocations(&self) -> Vec<SlotAllocation> {
        allocations(&self.sim, self.video.slot)
    }

    /// Share of the voice that was lost, and the longest time without any of it.
    fn voice(&self, from: Duration, to: Duration) -> (f64, Duration) {
        let start = self.sim.start;
        let within = |at: &Instant| (start + from..start + to).contains(at);
        let heard: Vec<_> =
            self.sim.received(self.voice).iter().filter(|p| within(&p.arrival)).collect();
        let gap =
            heard.windows(2).map(|pair| pair[1].arrival.saturating_duration_since(pair[0].arrival));
        let gap = gap.max().unwrap();
        let first = heard.iter().map(|packet| packet.ext_seq).min().unwrap();
        let last = heard.iter().map(|packet| packet.ext_seq).max().unwrap();
        let sent = last - first + 1;
        ((sent - heard.len() as u64) as f64 / sent as f64, gap)
    }
}

fn allocations(sim: &Sim, slot: SlotId) -> Vec<SlotAllocation> {
    let events = sim.nodes.iter().take(sim.workers).flat_map(|node| &node.events);
    let of = |event: &Event| match event {
        Event::SlotAllocation(news) if news.slot == slot => Some(news.clone()),
        _ => None,
    };
    events.filter_map(of).collect()
}

/// One value of one row of a worker's figures; NaN where there is none.
fn figure(sim: &Sim, worker: usize, table: &str, key: (&str, u64), name: &str) -> f64 {
    let stats = sim.nodes[worker].engine.stats(sim.now);
    let Some(Values::U64(keys)) = stats.column(table, key.0) else { panic!("no {}", key.0) };
    let row = keys.iter().position(|value| *value == key.1).unwrap();
    match stats.column(table, name) {
        Some(Values::U64(values)) if values[row] == u64::MAX => f64::NAN,
        Some(Values::U64(values)) => values[row] as f64,
        Some(Values::F64(values)) => values[row],
        None => panic!("no column {name}"),
    }
}

fn estimate_bps(sim: &Sim, peer: Peer) -> f64 {
    figure(sim, peer.worker, "transports", ("transport", peer.transport.0), "estimate_bps")
}

/// The layer that a slot forwards.
fn layer(sim: &Sim, slot: Subscribed) -> Option<u64> {
    let layer = figure(sim, slot.subscriber.worker, "slots", ("slot", slot.slot.0), "layer");
    (!layer.is_nan()).then_some(layer as u64)
}
