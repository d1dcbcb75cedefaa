//! What one participant publishes in one section: its layers, and who gets them.

mod layer;

pub(crate) use layer::{Layer, Placed};

use std::time::{Duration, Instant};

use crate::codec::Codec;
use crate::command::{AddTrack, MediaKind, ReceiveCodec, Target};
use crate::ids::{RoomId, TrackId, WorkerId};
use crate::load::Generator;
use crate::nack::NackGenerator;
use crate::rtp::ShortName;
use crate::timers::{Wake, earliest};

/// A video layer without packets for so long has stopped. mediasoup `RtpStreamRecv.cpp`.
const VIDEO_STOPPED_AFTER: Duration = Duration::from_millis(1500);
/// The same for audio, where a silent encoder sends a packet each 400 ms at best.
const AUDIO_STOPPED_AFTER: Duration = Duration::from_secs(5);
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

/// One slot that gets this track, and which layers it wants to see at the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fanout {
    pub(crate) slot: usize,
    /// Bit per layer; others are passed over without a look at the slot.
    pub(crate) layers: u8,
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
    pub(crate) wake: Wake,
}

impl Track {
    pub(crate) fn new(spec: AddTrack, source: TrackSource) -> Self {
        let count = spec.layers.len();
        let codec = spec.codecs.first();
        let clock_rate = codec.map_or_else(|| Codec::Vp8.clock_rate(), |codec| codec.clock_rate);
        let layers = spec.layers.iter().enumerate();
        Self {
            id: spec.track,
            room: spec.room,
            kind: spec.kind,
            muted: spec.muted,
            cname: spec.cname,
            source,
            layers: layers
                .map(|(index, layer)| Layer::new(layer, spec.kind, count - 1 - index, clock_rate))
                .collect(),
            codecs: spec.codecs,
            fanout: Vec::new(),
            readers: Vec::new(),
            wake: Wake::default(),
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

    /// The best live layer for a picture of at most this height; the lowest live one if all are
    /// taller, and the one that would be taken if nothing is live yet.
    pub(crate) fn choose_layer(&self, max_height_px: u16) -> Option<u8> {
        if max_height_px == 0 && self.kind == MediaKind::Video {
            return None;
        }
        let any_live = self.layers.iter().any(|layer| layer.live);
        let usable = |index: &usize| self.layers[*index].live || !any_live;
        let fitting = (0..self.layers.len())
            .rev()
            .find(|index| usable(index) && self.height_px(*index) <= max_height_px);
        fitting.or_else(|| (0..self.layers.len()).find(usable)).map(|index| index as u8)
    }

    fn height_px(&self, index: usize) -> u16 {
        match self.layers[index].height_px {
            0 => ASSUMED_LOWEST_HEIGHT_PX << index.min(3),
            known => known,
        }
    }

    /// Silence after which a layer counts as stopped.
    pub(crate) fn stopped_after(&self) -> Duration {
        match self.kind {
            MediaKind::Audio => AUDIO_STOPPED_AFTER,
            MediaKind::Video => VIDEO_STOPPED_AFTER,
        }
    }

    /// When repair, keyframe requests, liveness or the generator want to be looked after.
    pub(crate) fn poll_timeout(&self, rtt: Duration) -> Option<Instant> {
        let generated = match &self.source {
            TrackSource::Generator(generator) => generator.poll_timeout(),
            _ => None,
        };
        self.layers.iter().fold(generated, |soonest, layer| {
            let stop = layer.last_packet.filter(|_| layer.live);
            let wanted = layer.keyframe.poll_timeout(rtt);
            let repair = layer.nack.as_ref().and_then(NackGenerator::poll_timeout);
            let stop = stop.map(|last| last + self.stopped_after());
            earliest(soonest, earliest(stop, earliest(wanted, repair)))
        })
    }
}
