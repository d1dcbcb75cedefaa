//! Every way of layering through the whole engine: what a subscriber gets can be decoded, whatever
//! it asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use airside_engine::codec::{Codec, Detail, Keyframe};
use airside_engine::command::{Command, MediaKind, Source};
use airside_engine::load::GeneratedPacket;
use airside_engine::packet::SourcePacket;
use airside_engine::rtp::ExtensionKind;

use crate::encoders::{Av1, H264, H265, Sent, Vp8, Vp9};
use crate::sim::{Payload, Published, Sim, Subscribed, VP8, wish};

const VP9: Payload = (Codec::Vp9, 98, Some(99));
const AV1: Payload = (Codec::Av1, 45, Some(46));
const AVC: Payload = (Codec::H264, 108, Some(109));
const HEVC: Payload = (Codec::H265, 116, Some(117));
/// Temporal layers of successive pictures.
const PATTERN: [u8; 4] = [0, 2, 1, 2];

/// A camera in any codec: 30 pictures a second, keyframes when asked for.
enum Encoder {
    Vp8(Vec<Vp8>),
    H264(Vec<H264>),
    H265(Vec<H265>),
    Vp9(Box<Vp9>),
    Av1(Box<Av1>),
}

impl Encoder {
    fn payload(&self) -> Payload {
        match self {
            Self::Vp8(_) => VP8,
            Self::H264(_) => AVC,
            Self::H265(_) => HEVC,
            Self::Vp9(_) => VP9,
            Self::Av1(_) => AV1,
        }
    }

    fn streams(&self) -> usize {
        match self {
            Self::Vp8(streams) => streams.len(),
            Self::H264(streams) => streams.len(),
            Self::H265(streams) => streams.len(),
            Self::Vp9(_) | Self::Av1(_) => 1,
        }
    }

    /// `number`: since the keyframe, with which the pattern of temporal layers begins.
    fn picture(&mut self, key: bool, number: usize) -> Vec<Sent> {
        let temporal = if key { 0 } else { PATTERN[number % 4] };
        // libwebrtc's first picture of T2 in a pattern may be taken from, and each of T1.
        let sync = number % 4 == 1 || number % 4 == 2;
        let mut all = Vec::new();
        match self {
            Self::Vp8(streams) => {
                streams.iter_mut().for_each(|each| all.extend(each.picture(key, temporal, sync)));
            }
            Self::H264(streams) => {
                let spare = u8::from(temporal > 0);
                streams.iter_mut().for_each(|each| all.extend(each.picture(key, spare)));
            }
            Self::H265(streams) => {
                streams.iter_mut().for_each(|each| all.extend(each.picture(key, temporal)));
            }
            Self::Vp9(encoder) => all.extend(encoder.picture(key, temporal, sync)),
            Self::Av1(encoder) => all.extend(encoder.picture(key, temporal)),
        }
        all
    }
}

struct Camera {
    published: Published,
    encoder: Encoder,
    started: bool,
    /// Pictures since the last keyframe.
    next: usize,
    asked: u64,
    /// Bytes added to each packet, by layer of a single stream.
    ballast: [usize; 3],
}

impl Camera {
    fn new(sim: &mut Sim, encoder: Encoder) -> Self {
        let streams = encoder.streams();
        Self::with_streams(sim, encoder, streams)
    }

    /// Of so many negotiated streams, whatever the encoder makes of them.
    fn with_streams(sim: &mut Sim, encoder: Encoder, streams: usize) -> Self {
        let alice = sim.connect();
        let payload = encoder.payload();
        let published = sim.publish_as(alice, MediaKind::Video, Source::Local, streams, &[payload]);
        Self { published, encoder, started: false, next: 0, asked: 0, ballast: [0; 3] }
    }

    fn watch(&mut self, sim: &mut Sim) -> Subscribed {
        let bob = sim.connect();
        let payload = self.encoder.payload();
        sim.subscribe_as(&mut self.published, bob, &[payload])
    }

    /// Sends pictures, a keyframe each time one was asked for since the last.
    fn film(&mut self, sim: &mut Sim, pictures: usize) {
        let node = self.published.publisher.node;
        for _ in 0..pictures {
            let asked = sim.nodes[node].engine.stats(sim.now).total("slots", "keyframe_requests");
            let key = !self.started || asked > self.asked;
            self.asked = asked;
            self.next = if key { 0 } else { self.next };
            let picture = self.encoder.picture(key, self.next);
            let count = picture.len();
            for (at, mut sent) in picture.into_iter().enumerate() {
                sent.payload.resize(sent.payload.len() + self.ballast[at * 3 / count], 0);
                let packet = GeneratedPacket {
                    layer: sent.stream,
                    timestamp: sent.timestamp,
                    marker: sent.marker,
                    level: None,
                    descriptor: sent.descriptor.as_deref(),
                    payload: &sent.payload,
                };
                let now = sim.now;
                sim.nodes[node].engine.inject(self.published.local, &packet, now).unwrap();
            }
            sim.collect(node);
            self.started = true;
            self.next += 1;
            sim.run_ms(33);
        }
    }
}

/// Reads what a subscriber got as a decoder would, and panics where one would fail.
#[derive(Default)]
struct Decoder {
    last: Option<Arc<SourcePacket>>,
    /// Marker of the newest packet: the picture was complete.
    complete: bool,
    /// Newest picture of each layer, by number of picture; cleared by keyframes.
    newest: BTreeMap<(u8, u8), u64>,
    picture: u64,
    /// Frames of AV1 by number.
    frames: Vec<u64>,
    pictures: usize,
    keyframes: usize,
    highest: (u8, u8),
    bytes: usize,
}

impl Decoder {
    fn see_all(&mut self, packets: Vec<Arc<SourcePacket>>) -> &mut Self {
        (self.pictures, self.keyframes, self.highest, self.bytes) = (0, 0, (0, 0), 0);
        packets.into_iter().for_each(|packet| self.see(packet));
        self
    }

    fn see(&mut self, packet: Arc<SourcePacket>) {
        let frame = packet.frame;
        let key = frame.keyframe == Keyframe::Yes;
        assert_ne!(frame.keyframe, Keyframe::Unknown);
        let begins = self.last.as_ref().is_none_or(|last| last.timestamp != packet.timestamp);
        if let Some(last) = &self.last {
            let step = packet.ext_seq - last.ext_seq;
            assert!(step == 1 || step == 2 && key && !self.complete, "a hole of {step}");
            let ticks = packet.timestamp.wrapping_sub(last.timestamp);
            assert!(ticks < 180_000, "time goes on: {ticks}");
            assert_eq!(begins, self.complete || key, "the marker ends pictures, and only those");
        } else {
            assert!(key, "the first packet is a keyframe's");
        }
        if begins {
            self.pictures += 1;
            self.picture += 1;
        }
        if key && frame.start {
            self.keyframes += 1;
            self.newest.clear();
            self.frames.clear();
        }
        if frame.start {
            self.find_references(&packet);
        }
        self.highest = self.highest.max((frame.spatial, frame.temporal));
        self.bytes += packet.payload.len();
        self.complete = packet.marker;
        self.last = Some(packet);
    }

    fn find_references(&mut self, packet: &SourcePacket) {
        let frame = packet.frame;
        let (spatial, temporal) = (frame.spatial, frame.temporal);
        match frame.detail {
            Detail::Vp8 { picture, .. } => {
                let before = self.last.as_ref().and_then(|last| match last.frame.detail {
                    Detail::Vp8 { picture, .. } => picture,
                    _ => None,
                });
                if let (Some(before), Some(this)) = (before, picture) {
                    assert_eq!(this, before + 1, "picture ids go on");
                }
            }
            Detail::Vp9 { descriptor, .. } => {
                if descriptor.is_inter_layer() {
                    let below = self.newest.iter().filter(|((at, _), _)| *at + 1 == spatial);
                    let here = below.map(|(_, picture)| *picture).max();
                    assert_eq!(here, Some(self.picture), "the layer below is in the picture");
                }
                if descriptor.is_inter_picture() {
                    assert!(self.newest.contains_key(&(spatial, 0)), "S{spatial}T0 came before");
                }
            }
            Detail::Dependency { frame: number } => {
                let described = packet.described.as_ref().unwrap();
                for distance in described.dependency.frame.references.distances() {
                    assert!(self.frames.contains(&(number - u64::from(*distance))));
                }
                self.frames.push(number);
            }
            Detail::None => {}
        }
        if temporal > 0 && !frame.switch_up && frame.detail_has_temporal_layers() {
            assert!(self.newest.contains_key(&(spatial, temporal - 1)), "T{temporal} alone");
        }
        self.newest.insert((spatial, temporal), self.picture);
    }
}

trait TemporalLayers {
    fn detail_has_temporal_layers(&self) -> bool;
}

impl TemporalLayers for airside_engine::codec::FrameInfo {
    fn detail_has_temporal_layers(&self) -> bool {
        matches!(self.detail, Detail::Vp8 { .. } | Detail::Vp9 { .. })
    }
}

/// What a subscriber wishes, and what it should then get: temporal layers, and a share of the bytes.
struct Step {
    height_px: u16,
    max_temporal: u8,
    pictures_of_four: usize,
}

/// Goes through all wishes; everything received must be decodable. Bytes of each step at rest.
fn walk(encoder: Encoder, seed: u64, temporal: bool) -> Vec<usize> {
    let mut sim = Sim::new(seed, 2);
    let camera = Camera::new(&mut sim, encoder);
    watch_all(sim, camera, temporal)
}

fn watch_all(mut sim: Sim, mut camera: Camera, temporal: bool) -> Vec<usize> {
    camera.film(&mut sim, 10);
    let (slot, other) = (camera.watch(&mut sim), camera.watch(&mut sim));
    let (mut decoder, mut undisturbed) = (Decoder::default(), Decoder::default());
    camera.film(&mut sim, 130);
    decoder.see_all(sim.take_received(slot));
    let step = |height_px, max_temporal, pictures_of_four| Step {
        height_px,
        max_temporal,
        pictures_of_four,
    };
    let steps = [
        step(720, 3, 4),
        step(720, 0, 1),
        step(360, 3, 4),
        step(180, 3, 4),
        step(180, 1, 2),
        step(720, 3, 4),
        step(360, 0, 1),
        step(720, 2, 4),
    ];
    let mut bytes = Vec::new();
    for Step { height_px, max_temporal, pictures_of_four } in steps {
        let mut wish = wish(height_px);
        wish.max_temporal = max_temporal;
        let worker = slot.subscriber.worker;
        sim.command(worker, Command::UpdateSubscription { slot: slot.slot, wish });
        camera.film(&mut sim, 100);
        decoder.see_all(sim.take_received(slot));
        camera.film(&mut sim, 100);
        decoder.see_all(sim.take_received(slot));
        let expected = if temporal { 25 * pictures_of_four } else { 100 };
        let pictures = decoder.pictures;
        let name = format!("{height_px} T{max_temporal}");
        assert!(pictures.abs_diff(expected) <= 2, "{name}: {pictures} pictures, not {expected}");
        assert_eq!(decoder.keyframes, 0, "{name}: nothing to ask for at rest");
        bytes.push(decoder.bytes);
    }
    let all = undisturbed.see_all(sim.take_received(other));
    // The first may come at a lower frame rate, until more is known of the path.
    assert!(all.pictures > 1450, "{}", all.pictures);
    assert_eq!(sim.failures(), Vec::<String>::new());
    bytes
}

#[test]
fn vp8_simulcast_with_temporal_layers() {
    walk(Encoder::Vp8((0..3).map(Vp8::new).collect()), 51, true);
}

#[test]
fn h264_simulcast_leaves_out_what_nobody_refers_to() {
    let mut sim = Sim::new(52, 1);
    let mut camera = Camera::new(&mut sim, Encoder::H264((0..3).map(H264::new).collect()));
    camera.film(&mut sim, 10);
    let slot = camera.watch(&mut sim);
    camera.film(&mut sim, 130);
    let mut decoder = Decoder::default();
    decoder.see_all(sim.take_received(slot));
    for (height_px, max_temporal, pictures) in [(720, 0, 25), (180, 3, 100), (360, 0, 25)] {
        let mut wish = wish(height_px);
        wish.max_temporal = max_temporal;
        sim.command(0, Command::UpdateSubscription { slot: slot.slot, wish });
        camera.film(&mut sim, 100);
        decoder.see_all(sim.take_received(slot));
        camera.film(&mut sim, 100);
        decoder.see_all(sim.take_received(slot));
        assert!(decoder.pictures.abs_diff(pictures) <= 2, "{height_px}: {}", decoder.pictures);
    }
}

#[test]
fn h265_simulcast_with_temporal_layers() {
    walk(Encoder::H265((0..3).map(H265::new).collect()), 53, true);
}

#[test]
fn vp9_full_svc() {
    let bytes = walk(Encoder::Vp9(Box::new(Vp9::new(3, false))), 54, true);
    assert!(bytes[2] * 3 < bytes[0] * 2 + 200, "two layers of three: {bytes:?}");
    assert!(bytes[3] * 3 < bytes[0] + 200, "one layer of three: {bytes:?}");
}

#[test]
fn vp9_svc_of_keyframes_only() {
    let bytes = walk(Encoder::Vp9(Box::new(Vp9::new(3, true))), 55, true);
    assert!(bytes[0].abs_diff(bytes[3]) < 200, "one layer at a time: {bytes:?}");
}

#[test]
fn av1_full_svc() {
    let bytes = walk(Encoder::Av1(Box::new(Av1::new(3, 3, false))), 56, true);
    assert!(bytes[3] * 3 < bytes[0] + 200, "one layer of three: {bytes:?}");
}

#[test]
fn av1_svc_of_keyframes_only() {
    let bytes = walk(Encoder::Av1(Box::new(Av1::new(3, 3, true))), 57, true);
    assert!(bytes[0].abs_diff(bytes[3]) < 200, "one layer at a time: {bytes:?}");
}

#[test]
fn av1_svc_for_those_who_do_not_take_descriptors() {
    for (seed, key_only) in [(61, false), (62, true)] {
        let mut sim = Sim::new(seed, 2);
        let camera = Camera::new(&mut sim, Encoder::Av1(Box::new(Av1::new(3, 3, key_only))));
        sim.extensions.retain(|(_, kind)| *kind != ExtensionKind::DependencyDescriptor);
        let bytes = watch_all(sim, camera, true);
        if key_only {
            assert!(bytes[0].abs_diff(bytes[3]) < 200, "one layer at a time: {bytes:?}");
        } else {
            assert!(bytes[2] * 3 < bytes[0] * 2 + 200, "two layers of three: {bytes:?}");
            assert!(bytes[3] * 3 < bytes[0] + 200, "one layer of three: {bytes:?}");
        }
    }
}

#[test]
fn vp9_layers_of_one_stream_where_three_were_agreed_on() {
    for (seed, key_only) in [(63, false), (64, true)] {
        let mut sim = Sim::new(seed, 2);
        let encoder = Encoder::Vp9(Box::new(Vp9::new(3, key_only)));
        let camera = Camera::with_streams(&mut sim, encoder, 3);
        let bytes = watch_all(sim, camera, true);
        if key_only {
            assert!(bytes[0].abs_diff(bytes[3]) < 200, "one layer at a time: {bytes:?}");
        } else {
            assert!(bytes[3] * 3 < bytes[0] + 200, "one layer of three: {bytes:?}");
        }
    }
}

#[test]
fn promise_37_one_who_looks_gets_keyframes_alone_and_the_others_everything() {
    for (seed, encoder) in [
        (58, Encoder::Vp8((0..3).map(Vp8::new).collect())),
        (59, Encoder::Vp9(Box::new(Vp9::new(3, true)))),
        (60, Encoder::Av1(Box::new(Av1::new(3, 3, false)))),
    ] {
        let mut sim = Sim::new(seed, 2);
        let mut camera = Camera::new(&mut sim, encoder);
        camera.film(&mut sim, 10);
        let (agent, human) = (camera.watch(&mut sim), camera.watch(&mut sim));
        let (mut looks, mut watches) = (Decoder::default(), Decoder::default());
        camera.film(&mut sim, 130);
        let mut once_a_second = wish(360);
        once_a_second.keyframe_interval_ms = 1000;
        let worker = agent.subscriber.worker;
        let update = |wish| Command::UpdateSubscription { slot: agent.slot, wish };
        sim.command(worker, update(once_a_second));
        camera.film(&mut sim, 60);
        looks.see_all(sim.take_received(agent));
        watches.see_all(sim.take_received(human));
        // Ten seconds.
        camera.film(&mut sim, 303);
        looks.see_all(sim.take_received(agent));
        assert!((8..=11).contains(&looks.pictures), "{seed}: {} pictures", looks.pictures);
        assert_eq!(looks.keyframes, looks.pictures);
        watches.see_all(sim.take_received(human));
        assert!(watches.pictures >= 300, "{seed}: {} for the human", watches.pictures);
        // Back to all of it.
        sim.command(worker, update(wish(360)));
        camera.film(&mut sim, 60);
        looks.see_all(sim.take_received(agent));
        camera.film(&mut sim, 100);
        looks.see_all(sim.take_received(agent));
        let (pictures, keyframes) = (looks.pictures, looks.keyframes);
        assert!(pictures >= 98, "{seed}: {pictures}, of them {keyframes} keyframes");
    }
}

/// Layers of 70, 170 and 580 kbit/s, through 2 Mbit/s and then 250 kbit/s.
#[test]
fn promise_10_a_smaller_layer_of_one_stream_comes_without_a_freeze() {
    for (seed, encoder, keyframes) in [
        (71, Encoder::Av1(Box::new(Av1::new(3, 3, false))), 1),
        (72, Encoder::Vp9(Box::new(Vp9::new(3, false))), 1),
        (73, Encoder::Av1(Box::new(Av1::new(3, 3, true))), 3),
        (74, Encoder::Vp9(Box::new(Vp9::new(3, true))), 3),
    ] {
        let mut sim = Sim::new(seed, 1);
        let mut camera = Camera::new(&mut sim, encoder);
        camera.ballast = [100, 300, 1150];
        camera.film(&mut sim, 10);
        let slot = camera.watch(&mut sim);
        let address = sim.nodes[slot.subscriber.node].address;
        sim.network.narrow(address, "rate=2000000 queue_ms=2000 delay_ms=20");
        camera.film(&mut sim, 200);
        let top = |packet: &Arc<SourcePacket>| packet.frame.spatial == 2;
        assert!(sim.received(slot).iter().rev().take(20).any(top), "{seed}");
        sim.take_received(slot);
        let (closed, asked) = (sim.now, camera.asked);
        sim.network.narrow(address, "rate=250000");
        camera.film(&mut sim, 150);

        let packets = sim.take_received(slot);
        let ends = packets.iter().filter(|packet| packet.marker).map(|packet| packet.arrival);
        let ends: Vec<_> = std::iter::once(closed).chain(ends).collect();
        let freeze = ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        let large = packets.iter().filter(|packet| top(packet)).map(|packet| packet.arrival);
        // The last of it comes behind a queue of up to a second.
        let gone = large.max().unwrap() - closed;
        assert!(gone < Duration::from_millis(1500), "{seed}: the larger picture for {gone:?} more");
        assert!(freeze < Duration::from_millis(500), "{seed}: frozen for {freeze:?}");
        assert!(camera.asked - asked <= keyframes, "{seed}: {} keyframes", camera.asked - asked);
    }
}
