//! Publishing and subscribing in a simulation: what signaling would do, and made-up media.

use std::time::Duration;

use airside_engine::codec::Codec;
use airside_engine::command::{
    AddSlot, AddTrack, Command, LayerSpec, MediaKind, ReceiveCodec, SendCodec, Source, Target, Wish,
};
use airside_engine::ids::{SlotId, TapId, TrackId, WorkerId};
use airside_engine::load::{AudioSpec, GeneratorSpec, VideoLayerSpec, VideoSpec};
use airside_engine::packet::SourcePacket;

use super::{Peer, ROOM, Sim};

/// What a client publishes.
#[derive(Clone, Debug)]
pub struct Published {
    pub publisher: Peer,
    /// On the server's workers.
    pub track: TrackId,
    /// On the client.
    pub local: TrackId,
    pub kind: MediaKind,
    pub slots: Vec<SlotId>,
    pub mirrored: Vec<usize>,
    pub payloads: Vec<Payload>,
}

/// One track at one subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Subscribed {
    pub subscriber: Peer,
    /// On the server.
    pub slot: SlotId,
    /// On the client.
    pub track: TrackId,
    pub tap: TapId,
    pub ssrc: u32,
}

/// Heights and bitrates of a made-up camera.
#[derive(Clone, Copy, Debug)]
pub enum Layers {
    /// 720p.
    One,
    /// 180p, 360p and 720p with rids q, h and f.
    Three,
}

const RIDS: [&str; 3] = ["q", "h", "f"];
const HEIGHTS_PX: [u16; 3] = [180, 360, 720];
const BITRATES_BPS: [u32; 3] = [150_000, 500_000, 1_500_000];

/// Codec, payload type, and that of its RTX.
pub type Payload = (Codec, u8, Option<u8>);

pub const OPUS: Payload = (Codec::Opus, 111, None);
pub const RED: Payload = (Codec::Red, 63, None);
pub const VP8: Payload = (Codec::Vp8, 96, Some(97));

fn usual(kind: MediaKind) -> &'static [Payload] {
    match kind {
        MediaKind::Audio => &[OPUS],
        MediaKind::Video => &[VP8],
    }
}

fn receive_codecs(payloads: &[Payload]) -> Vec<ReceiveCodec> {
    let codec = |&(codec, payload_type, rtx_payload_type): &Payload| ReceiveCodec {
        payload_type,
        codec,
        clock_rate: codec.clock_rate(),
        rtx_payload_type,
        nack: true,
        pli: true,
        fir: false,
        format: 1,
    };
    payloads.iter().map(codec).collect()
}

fn send_codecs(payloads: &[Payload]) -> Vec<SendCodec> {
    let codec = |&(codec, payload_type, rtx_payload_type): &Payload| SendCodec {
        payload_type,
        codec,
        clock_rate: codec.clock_rate(),
        rtx_payload_type,
        format: 1,
    };
    payloads.iter().map(codec).collect()
}

pub fn wish(max_height_px: u16) -> Wish {
    Wish {
        max_height_px,
        max_temporal: 3,
        priority: 1,
        may_pause: true,
        paused: false,
        keyframe_interval_ms: 0,
    }
}

impl Sim {
    /// A microphone: 50 packets a second.
    pub fn publish_audio(&mut self, publisher: Peer) -> Published {
        let spec = GeneratorSpec::Audio(AudioSpec { payload_len: 80, level: 20 });
        self.publish(publisher, MediaKind::Audio, Source::Generator(spec), 1)
    }

    /// A camera at 20 frames a second, a keyframe each ten seconds unless asked for.
    pub fn publish_video(&mut self, publisher: Peer, layers: Layers) -> Published {
        let count = match layers {
            Layers::One => 1,
            Layers::Three => 3,
        };
        let layer = |at: usize| VideoLayerSpec {
            bitrate_bps: BITRATES_BPS[at],
            fps: 20,
            height_px: HEIGHTS_PX[at],
        };
        let spec = GeneratorSpec::Video(VideoSpec {
            layers: (3 - count..3).map(layer).collect(),
            keyframe_interval: Duration::from_secs(10),
        });
        self.publish(publisher, MediaKind::Video, Source::Generator(spec), count)
    }

    /// Both ends of a published section.
    pub fn publish(
        &mut self,
        publisher: Peer,
        kind: MediaKind,
        source: Source,
        layers: usize,
    ) -> Published {
        self.publish_as(publisher, kind, source, layers, usual(kind))
    }

    /// The same with these codecs; the first is what is sent.
    pub fn publish_as(
        &mut self,
        publisher: Peer,
        kind: MediaKind,
        source: Source,
        layers: usize,
        payloads: &[Payload],
    ) -> Published {
        let (track, local) = (TrackId(self.new_id()), TrackId(self.new_id()));
        let mid = format!("m{}", track.0);
        let simulcast = layers > 1;
        let specs: Vec<LayerSpec> = (0..layers)
            .map(|at| LayerSpec {
                rid: simulcast.then(|| RIDS[at].to_owned()),
                height_px: HEIGHTS_PX[at + 3 - layers],
                ..LayerSpec::default()
            })
            .collect();
        let add = |id, source| {
            Command::AddTrack(AddTrack {
                track: id,
                room: ROOM,
                source,
                kind,
                codecs: receive_codecs(payloads),
                layers: specs.clone(),
                screen: false,
                encrypted: false,
                muted: false,
                cname: "publisher".into(),
            })
        };
        let transport = publisher.transport;
        let home = Source::Transport { transport, mid: mid.clone() };
        self.command(publisher.worker, add(track, home));
        self.command(publisher.node, add(local, source));
        let mut slots = Vec::new();
        for spec in &specs {
            let slot = SlotId(self.new_id());
            let ssrc = self.new_id() as u32;
            let rtx_ssrc = (kind == MediaKind::Video).then(|| self.new_id() as u32);
            self.command(
                publisher.node,
                Command::AddSlot(AddSlot {
                    slot,
                    transport,
                    mid: mid.clone(),
                    rid: spec.rid.clone(),
                    kind,
                    ssrc,
                    rtx_ssrc,
                    codecs: send_codecs(payloads),
                }),
            );
            let all = wish(u16::MAX);
            self.command(publisher.node, Command::Subscribe { slot, track: local, wish: all });
            slots.push(slot);
        }
        Published {
            publisher,
            track,
            local,
            kind,
            slots,
            mirrored: Vec::new(),
            payloads: payloads.to_vec(),
        }
    }

    /// Both ends of a subscription, with a ring to the subscriber's worker if need be.
    pub fn subscribe(&mut self, published: &mut Published, subscriber: Peer) -> Subscribed {
        self.subscribe_as(published, subscriber, usual(published.kind))
    }

    /// The same for a subscriber that takes these codecs.
    pub fn subscribe_as(
        &mut self,
        published: &mut Published,
        subscriber: Peer,
        payloads: &[Payload],
    ) -> Subscribed {
        let slot = self.add_slot_as(subscriber, published.kind, payloads);
        self.bind(published, slot);
        slot
    }

    /// A section that carries nothing yet.
    pub fn add_slot(&mut self, subscriber: Peer, kind: MediaKind) -> Subscribed {
        self.add_slot_as(subscriber, kind, usual(kind))
    }

    fn add_slot_as(
        &mut self,
        subscriber: Peer,
        kind: MediaKind,
        payloads: &[Payload],
    ) -> Subscribed {
        let (slot, track) = (SlotId(self.new_id()), TrackId(self.new_id()));
        let tap = TapId(self.new_id());
        let ssrc = self.new_id() as u32;
        let rtx_ssrc = (kind == MediaKind::Video).then(|| self.new_id() as u32);
        let mid = format!("s{}", slot.0);
        let transport = subscriber.transport;
        self.command(
            subscriber.worker,
            Command::AddSlot(AddSlot {
                slot,
                transport,
                mid: mid.clone(),
                rid: None,
                kind,
                ssrc,
                rtx_ssrc,
                codecs: send_codecs(payloads),
            }),
        );
        let layer = LayerSpec { ssrc: Some(ssrc), rtx_ssrc, ..LayerSpec::default() };
        self.command(
            subscriber.node,
            Command::AddTrack(AddTrack {
                track,
                room: ROOM,
                source: Source::Transport { transport, mid },
                kind,
                codecs: receive_codecs(payloads),
                layers: vec![layer],
                screen: false,
                encrypted: false,
                muted: false,
                cname: String::new(),
            }),
        );
        self.command(subscriber.node, Command::AddTarget { track, target: Target::Tap(tap) });
        Subscribed { subscriber, slot, track, tap, ssrc }
    }

    /// Binds a slot to a published track, wherever its home is.
    pub fn bind(&mut self, published: &mut Published, slot: Subscribed) {
        let (home, worker) = (published.publisher.worker, slot.subscriber.worker);
        if home != worker && !published.mirrored.contains(&worker) {
            published.mirrored.push(worker);
            let count = published.slots.len();
            let layers = (0..count).map(|at| LayerSpec {
                height_px: HEIGHTS_PX[at + 3 - count],
                ..LayerSpec::default()
            });
            self.command(
                worker,
                Command::AddTrack(AddTrack {
                    track: published.track,
                    room: ROOM,
                    source: Source::Ring { home: WorkerId(home as u8) },
                    kind: published.kind,
                    codecs: receive_codecs(&published.payloads),
                    layers: layers.collect(),
                    screen: false,
                    encrypted: false,
                    muted: false,
                    cname: "publisher".into(),
                }),
            );
            let target = Target::Ring(WorkerId(worker as u8));
            self.command(home, Command::AddTarget { track: published.track, target });
        }
        let track = published.track;
        self.command(worker, Command::Subscribe { slot: slot.slot, track, wish: wish(720) });
    }

    /// What a subscriber's client has received so far, in order of arrival.
    pub fn received(&self, slot: Subscribed) -> &[std::sync::Arc<SourcePacket>] {
        let taps = &self.nodes[slot.subscriber.node].taps;
        taps.get(&slot.tap).map_or(&[], |packets| packets.as_slice())
    }

    /// Takes what has been received so far.
    pub fn take_received(&mut self, slot: Subscribed) -> Vec<std::sync::Arc<SourcePacket>> {
        let taps = &mut self.nodes[slot.subscriber.node].taps;
        taps.get_mut(&slot.tap).map(std::mem::take).unwrap_or_default()
    }
}

/// The generator's stamp of a packet: layer counters rise by one per packet.
pub fn packet_of(packet: &SourcePacket) -> u64 {
    airside_engine::load::Stamp::read(&packet.payload).unwrap().counter
}
