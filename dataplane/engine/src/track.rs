//! What one participant publishes in one section: its layers, and who gets them.

mod layer;
mod measure;

pub(crate) use layer::{Layer, Placed};

use std::time::{Duration, Instant};

use crate::codec::Codec;
use crate::command::{AddTrack, MediaKind, ReceiveCodec, Target};
use crate::fanout::Fanout;
use crate::ids::{RoomId, TrackId, WorkerId};
use crate::layer::{LayerRates, MAX_SPATIAL};
use crate::layers::Shape;
use crate::layers::liveness::{Life, StreamKind};
use crate::load::Generator;
use crate::nack::NackGenerator;
use crate::packet::SourcePacket;
use crate::quality::TrackMeter;
use crate::redundancy::Redundancy;
use crate::rtp::ShortName;
use crate::timers::{Wake, earliest};
use crate::wanted::Wanted;
use measure::Measure;

/// Heights assumed for layers of unknown height: what every browser scales 720p to.
const ASSUMED_LOWEST_HEIGHT_PX: u16 = 180;

/// Where packets come from.
#[derive(Debug)]
pub(crate) enum TrackSource {
    /// A publisher on this worker.
    Transport { key: usize, mid: Option<ShortName> },
    /// The same track on its home worker.
    Ring { home: WorkerId },
    /// Made here on the clock.
    Generator(Box<Generator>),
    /// Fed by the shell.
    Local,
}

/// A published track on one worker.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) id: TrackId,
    pub(crate) room: RoomId,
    pub(crate) kind: MediaKind,
    pub(crate) muted: bool,
    pub(crate) cname: String,
    pub(crate) source: TrackSource,
    pub(crate) codecs: Vec<ReceiveCodec>,
    /// Lowest quality first; at least one and at most eight.
    pub(crate) layers: Vec<Layer>,
    pub(crate) fanout: Vec<Fanout>,
    /// Readers that get source numbering.
    pub(crate) readers: Vec<Target>,
    /// Which layers anybody takes.
    pub(crate) wanted: Wanted,
    pub(crate) meter: TrackMeter,
    pub(crate) wake: Wake,
    /// What its layers cost and which are there; only of video.
    measure: Option<Measure>,
    /// A slot here asks for this voice in particular.
    pub(crate) pinned: bool,
    /// Workers with such a slot.
    pub(crate) pinned_on: Vec<WorkerId>,
    /// Of Opus that may be looked into.
    pub(crate) redundancy: Option<Redundancy>,
}

impl Track {
    pub(crate) fn new(spec: AddTrack, source: TrackSource, now: Instant) -> Self {
        let count = spec.layers.len();
        let codec = spec.codecs.first();
        let clock_rate = codec.map_or_else(|| Codec::Vp8.clock_rate(), |codec| codec.clock_rate);
        let redundancy = Redundancy::new(&spec.codecs, spec.encrypted);
        let streams = spec.layers.iter().enumerate();
        let measure = (spec.kind == MediaKind::Video).then(|| Measure::new(count, spec.screen));
        Self {
            id: spec.track,
            room: spec.room,
            kind: spec.kind,
            muted: spec.muted,
            cname: spec.cname,
            source,
            layers: streams
                .map(|(index, layer)| {
                    let life = match spec.kind {
                        MediaKind::Audio => StreamKind::Audio,
                        _ if spec.screen || count == 1 => StreamKind::Screen,
                        _ if index == 0 => StreamKind::Lowest,
                        MediaKind::Video => StreamKind::Upper,
                    };
                    Layer::new(layer, spec.kind, life, count - 1 - index, clock_rate)
                })
                .collect(),
            codecs: spec.codecs,
            fanout: Vec::new(),
            readers: Vec::new(),
            wanted: Wanted::new(count, now),
            meter: TrackMeter::new(spec.kind),
            wake: Wake::default(),
            measure,
            pinned: false,
            pinned_on: Vec::new(),
            redundancy,
        }
    }

    /// The transport that publishes it, if that is on this worker.
    pub(crate) fn transport(&self) -> Option<usize> {
        match self.source {
            TrackSource::Transport { key, .. } => Some(key),
            _ => None,
        }
    }

    /// Whether what happens to layers is ours to tell.
    pub(crate) fn is_home(&self) -> bool {
        !matches!(self.source, TrackSource::Ring { .. })
    }

    /// Where its spatial layers are.
    pub(crate) fn shape(&self) -> Shape {
        self.measure.as_ref().map_or(Shape::Simulcast, |measure| measure.shape)
    }

    /// Counts a packet with a payload. True if a layer inside its stream came to life.
    pub(crate) fn measure(&mut self, packet: &SourcePacket, now: Instant) -> bool {
        let Some(measure) = &mut self.measure else { return false };
        let Some(codec) = self.codecs.get(usize::from(packet.codec)) else { return false };
        measure.on_packet(codec.codec, packet, now)
    }

    /// Somebody asks for this voice in particular: it is never withheld.
    pub(crate) fn is_pinned(&self) -> bool {
        self.pinned || !self.pinned_on.is_empty()
    }

    /// What each layer costs, over the last second (a screen: four); zero: not there.
    pub(crate) fn rates(&mut self, now: Instant) -> LayerRates {
        self.measure.as_mut().map(|measure| *measure.rates(now)).unwrap_or_default()
    }

    /// Since when each spatial layer has been coming; None: it is not.
    pub(crate) fn alive_since(&self) -> [Option<Instant>; MAX_SPATIAL] {
        match (&self.measure, self.shape()) {
            (Some(measure), Shape::Svc { .. }) => measure.alive_since(),
            _ => std::array::from_fn(|at| self.layers.get(at)?.liveness.alive_since()),
        }
    }

    /// Bit per stream that has packets.
    pub(crate) fn live_streams(&self) -> u8 {
        let live = self.layers.iter().enumerate().filter(|(_, layer)| layer.is_live());
        live.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// Picture heights by spatial layer; 0: unknown, or not there.
    pub(crate) fn heights_px(&self) -> [u16; MAX_SPATIAL] {
        if !self.shape().is_svc() || self.layers.len() > 1 {
            return std::array::from_fn(|at| {
                self.layers.get(at).map_or(0, |layer| layer.height_px)
            });
        }
        // What was announced is the largest; each below has half of it (W3C webrtc-svc, L3T3).
        let top = self.alive_since().iter().rposition(Option::is_some);
        let (Some(top), Some(layer)) = (top, self.layers.first()) else { return [0; MAX_SPATIAL] };
        std::array::from_fn(|at| if at <= top { layer.height_px >> (top - at) } else { 0 })
    }

    /// The best spatial layer for a picture of at most this height, whether it comes or not; the
    /// lowest live one if all that come are taller.
    pub(crate) fn choose_layer(&self, max_height_px: u16) -> Option<u8> {
        if self.kind == MediaKind::Audio {
            return Some(0);
        }
        if max_height_px == 0 {
            return None;
        }
        let heights_px = self.heights_px();
        let height_px = |at: usize| match heights_px[at] {
            0 => ASSUMED_LOWEST_HEIGHT_PX << at,
            known => known,
        };
        // Of a stream there may be more inside than has come; of streams there are as many as agreed.
        let count = match self.shape() {
            Shape::Svc { .. } => MAX_SPATIAL,
            Shape::Simulcast => self.layers.len().min(MAX_SPATIAL),
        };
        let fitting = (0..count).rev().find(|at| height_px(*at) <= max_height_px);
        let alive = self.alive_since();
        let lowest = alive.iter().position(Option::is_some).unwrap_or(0);
        Some(fitting.map_or(lowest, |fitting| fitting.max(lowest)) as u8)
    }

    /// Acts on what fell silent. Bits of the streams that did, and whether any layer did.
    pub(crate) fn handle_silence(&mut self, now: Instant) -> (u8, bool) {
        let mut streams = 0;
        for (at, layer) in self.layers.iter_mut().enumerate() {
            if layer.liveness.handle_timeout(now) == Some(Life::Dead) {
                streams |= 1 << at;
            }
        }
        let inside = self.measure.as_mut().is_some_and(|measure| measure.handle_timeout(now));
        (streams, inside || streams != 0)
    }

    /// When repair, keyframe requests, liveness or the generator want to be looked after.
    pub(crate) fn poll_timeout(&self, rtt: Duration) -> Option<Instant> {
        let generated = match &self.source {
            TrackSource::Generator(generator) => generator.poll_timeout(),
            _ => None,
        };
        let inside = self.measure.as_ref().and_then(Measure::poll_timeout);
        let demand = self.wanted.poll_timeout().filter(|_| self.kind == MediaKind::Video);
        let own = earliest(earliest(generated, demand), inside);
        self.layers.iter().fold(own, |soonest, layer| {
            let stop = layer.liveness.poll_timeout();
            let wanted = layer.keyframe.poll_timeout(rtt);
            let repair = layer.nack.as_ref().and_then(NackGenerator::poll_timeout);
            earliest(soonest, earliest(stop, earliest(wanted, repair)))
        })
    }
}
