//! What a track's layers cost and which of them are there, for whoever chooses among them.

use std::time::Instant;

use crate::codec::Codec;
use crate::layer::{LayerRates, MAX_SPATIAL};
use crate::layers::bitrates::LayerBitrates;
use crate::layers::liveness::{Life, Liveness, StreamKind};
use crate::layers::{Shape, observe};
use crate::packet::SourcePacket;
use crate::timers::earliest;
use crate::units::DataSize;

/// IPv4 and UDP headers, the RTP header, what we write of extensions, and the authentication tag.
const OVERHEAD: DataSize = DataSize::bytes(20 + 8 + 12 + 20 + 16);

/// Measures one video track.
#[derive(Debug)]
pub(super) struct Measure {
    /// Codec that `shape` is of.
    codec: Option<u8>,
    streams: usize,
    /// Others than the first have sent.
    upper_streams: bool,
    screen: bool,
    pub(super) shape: Shape,
    bitrates: LayerBitrates,
    /// Layers inside the stream, where that is where they are.
    spatial: [Liveness; MAX_SPATIAL],
}

impl Measure {
    pub(super) fn new(streams: usize, screen: bool) -> Self {
        let life = |kind| Liveness::new(if screen { StreamKind::Screen } else { kind });
        Self {
            codec: None,
            streams,
            upper_streams: false,
            screen,
            shape: Shape::Simulcast,
            bitrates: LayerBitrates::new(Shape::Simulcast, screen),
            // The lowest may not come and go beside its stream.
            spatial: [StreamKind::Screen, StreamKind::Upper, StreamKind::Upper].map(life),
        }
    }

    /// Counts a packet with a payload, late ones too: they cost as much. True if a layer inside the
    /// stream came to life.
    pub(super) fn on_packet(&mut self, codec: Codec, packet: &SourcePacket, now: Instant) -> bool {
        if self.codec != Some(packet.codec) {
            self.codec = Some(packet.codec);
            self.shape = Shape::of(codec, self.streams);
            self.bitrates = LayerBitrates::new(self.shape, self.screen);
        }
        let moved = self.follow_streams(codec, packet);
        if let Shape::Svc { key_only } = &mut self.shape {
            let observed = observe(packet);
            if observed.is_some() && observed != *key_only {
                *key_only = observed;
                self.bitrates.set_shape(self.shape);
            }
        }
        let layer = self.shape.layer(codec, packet.layer, &packet.frame);
        let size = DataSize::bytes(packet.payload.len() as u64) + OVERHEAD;
        self.bitrates.on_packet(layer, size, now);
        let inside = matches!(self.shape, Shape::Svc { .. }) && !packet.late;
        let life = self.spatial.get_mut(usize::from(layer.spatial)).filter(|_| inside);
        moved | life.is_some_and(|life| life.on_packet(now) == Some(Life::Young))
    }

    /// Several streams were agreed on, but libwebrtc sends VP9 without a scalability mode as layers
    /// of the first one alone. True if the shape is another one now.
    fn follow_streams(&mut self, codec: Codec, packet: &SourcePacket) -> bool {
        if codec != Codec::Vp9 || self.streams == 1 {
            return false;
        }
        let shape = match (self.shape, packet.layer) {
            (Shape::Simulcast, 0) if packet.frame.spatial > 0 && !self.upper_streams => {
                Shape::Svc { key_only: None }
            }
            (Shape::Svc { .. }, 1..) => Shape::Simulcast,
            (shape, _) => shape,
        };
        self.upper_streams |= packet.layer > 0;
        let moved = shape.is_svc() != self.shape.is_svc();
        if moved {
            self.shape = shape;
            self.bitrates = LayerBitrates::new(shape, self.screen);
        }
        moved
    }

    pub(super) fn rates(&mut self, now: Instant) -> &LayerRates {
        self.bitrates.rates(now)
    }

    /// For layers inside a stream: since when each has been coming.
    pub(super) fn alive_since(&self) -> [Option<Instant>; MAX_SPATIAL] {
        std::array::from_fn(|at| self.spatial[at].alive_since())
    }

    /// True if a layer inside the stream died.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let died = |life: &mut Liveness| life.handle_timeout(now) == Some(Life::Dead);
        self.spatial.iter_mut().map(died).fold(false, |a, b| a | b)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.spatial.iter().map(Liveness::poll_timeout).fold(None, earliest)
    }
}
