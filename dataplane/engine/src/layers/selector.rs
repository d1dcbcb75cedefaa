//! One subscription's choice among a track's layers.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use super::filter::Filter;
use super::streams::Streams;
use super::{Cause, Decision, Forward, Packet, Shape, Switch};
use crate::codec::{Codec, Keyframe};
use crate::layer::Layer;

/// After a downgrade for congestion, until the lower layer's keyframe comes, the old layer goes on
/// without its upper temporal layers for so long; then it stops.
pub(crate) const MAX_OVERLOAD: Duration = Duration::from_millis(300);

/// What of the current stream is forwarded.
#[derive(Debug, Clone, Copy)]
struct Position {
    /// First number of the stream; earlier ones have no place.
    first: u64,
    highest: u64,
    /// The newest packet forwarded ended a picture.
    complete: bool,
}

/// Which pictures are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pictures {
    All,
    Keyframes,
    /// All, once a keyframe has come: what is between refers to what was left out.
    FromKeyframe,
}

/// Decides about each packet of a track for one subscriber. Make a new one for another track or
/// another codec.
///
/// Change the target with [`Self::set_target`], feed each packet to [`Self::decide`], and keep
/// asking the publisher for a keyframe of [`Self::waits_for`].
#[derive(Clone, Debug)]
pub struct Selector {
    shape: Shape,
    audio: bool,
    target: Option<Layer>,
    streams: Streams,
    filter: Filter,
    position: Position,
    pictures: Pictures,
    /// Timestamp of the newest keyframe.
    key_picture: Option<u32>,
    /// A downgrade for congestion that waits for its keyframe.
    overloaded_since: Option<Instant>,
}

impl Selector {
    /// Paused until the first target.
    #[must_use]
    pub fn new(codec: Codec, shape: Shape) -> Self {
        Self {
            shape,
            audio: !codec.is_video(),
            target: None,
            streams: Streams::default(),
            filter: Filter::new(codec, shape),
            position: Position { first: 0, highest: 0, complete: true },
            pictures: Pictures::All,
            key_picture: None,
            overloaded_since: None,
        }
    }

    /// The same for one who passes on all there is inside a stream: a publisher, not a subscriber.
    #[must_use]
    pub fn whole(codec: Codec) -> Self {
        Self { filter: Filter::Whole, ..Self::new(codec, Shape::Simulcast) }
    }

    /// Where it takes the track's spatial layers to be.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The highest layers to forward from now on; None pauses, and what follows is a new start.
    pub fn set_target(&mut self, target: Option<Layer>, cause: Cause, now: Instant) {
        let target = target.map(|Layer { spatial, temporal }| {
            Layer::new(spatial.min(Layer::TOP.spatial), temporal.min(Layer::TOP.temporal))
        });
        if target == self.target && cause == Cause::Wish {
            return;
        }
        let waited = self.overloaded_since.filter(|_| self.is_above_target());
        self.target = target;
        self.streams.set_target(target.map(|target| match self.shape {
            Shape::Simulcast => target.spatial,
            Shape::Svc { .. } => 0,
        }));
        let overloaded = cause == Cause::Congestion && self.is_above_target();
        self.overloaded_since = overloaded.then(|| waited.unwrap_or(now));
    }

    /// Forward keyframes only, or all pictures again from the next keyframe on.
    pub fn set_keyframes_only(&mut self, only: bool) {
        self.pictures = match (self.pictures, only) {
            (_, true) => Pictures::Keyframes,
            (Pictures::Keyframes, false) => Pictures::FromKeyframe,
            (now, false) => now,
        };
    }

    /// Bit per stream that has packets now (all, until this is called). A subscription whose
    /// stream died takes any keyframe within its target.
    pub fn set_live(&mut self, streams: u8) {
        self.streams.set_live(streams);
    }

    /// The network still cannot take what is sent. If a downgrade has waited too long for its
    /// keyframe, forwarding stops until that comes; true if so.
    pub fn on_overload(&mut self, now: Instant) -> bool {
        let waits = self.is_above_target() && self.waits_for().is_some();
        let since = self.overloaded_since.filter(|_| waits);
        let stops = since.is_some_and(|since| now.saturating_duration_since(since) >= MAX_OVERLOAD);
        if stops {
            self.stop();
        }
        stops
    }

    /// The current source ended or began to count anew: what follows is a new start.
    pub fn stop(&mut self) {
        self.streams.stop();
        self.overloaded_since = None;
    }

    /// A packet without payload (padding) was left out; its number is no gap.
    pub fn on_padding(&mut self, stream: u8, seq: u64) {
        if self.streams.current() == Some(stream) {
            self.position.highest = self.position.highest.max(seq);
        }
    }

    /// What to do with a packet. Nothing changes at [`Decision::Switch`] until
    /// [`Self::switched`].
    pub fn decide(&mut self, packet: &Packet<'_>) -> Decision {
        if self.streams.current() != Some(packet.stream) {
            let starts = self.audio || packet.frame.keyframe == Keyframe::Yes;
            if packet.newest && starts && self.streams.accepts(packet.stream) {
                let from = self.streams.current();
                return Decision::Switch(Switch { from, hole: !self.position.complete });
            }
            return Decision::Ignore;
        }
        if packet.seq < self.position.first {
            return Decision::Ignore;
        }
        let newest = packet.newest && packet.seq > self.position.highest;
        let gap = if newest { packet.seq - self.position.highest - 1 } else { 0 };
        let packet = Packet { newest, ..*packet };
        if !self.follow_pictures(&packet) {
            if newest {
                self.position.highest = packet.seq;
            }
            // What is missing may be the end of the last keyframe.
            let lost = if self.position.complete { gap } else { 0 };
            return Decision::LeaveOut { lost: lost.min(u16::MAX.into()) as u16 };
        }
        let verdict = self.filter.decide(&packet, gap.min(u16::MAX.into()) as u16, self.limit());
        if newest {
            self.position.highest = packet.seq;
            if verdict.keep {
                self.position.complete = verdict.marker || self.ends_picture(&packet);
            }
        }
        verdict.into()
    }

    /// The switch that [`Self::decide`] proposed is done: the packet is sent like this.
    pub fn switched(&mut self, packet: &Packet<'_>) -> Forward {
        self.streams.switch(packet.stream);
        if !self.is_above_target() {
            self.overloaded_since = None;
        }
        self.follow_pictures(packet);
        let verdict = self.filter.start(packet, self.limit());
        let complete = verdict.marker || self.ends_picture(packet);
        self.position = Position { first: packet.seq, highest: packet.seq, complete };
        Forward { lost: 0, marker: verdict.marker, targets: verdict.targets }
    }

    /// How a packet was forwarded, for sending it again. None: it was not, or that is forgotten.
    #[must_use]
    pub fn again(&self, packet: &Packet<'_>) -> Option<Forward> {
        if self.streams.current() != Some(packet.stream) || packet.seq < self.position.first {
            return None;
        }
        let verdict = self.filter.again(packet)?;
        Some(Forward { lost: 0, marker: verdict.marker, targets: verdict.targets })
    }

    /// The stream whose keyframe is needed, if one is.
    #[must_use]
    pub fn waits_for(&self) -> Option<u8> {
        if self.audio {
            return None;
        }
        let needed = || self.filter.needs_keyframe() || self.pictures == Pictures::FromKeyframe;
        let here = || self.streams.current().filter(|_| needed());
        self.streams.waits_for().or_else(here)
    }

    /// Bit per stream whose packets [`Self::decide`] wants to see.
    #[must_use]
    pub fn interest(&self) -> u8 {
        self.streams.interest()
    }

    /// The stream that is forwarded.
    #[must_use]
    pub fn stream(&self) -> Option<u8> {
        self.streams.current()
    }

    /// The layers that are forwarded; None while paused or waiting for the first keyframe.
    #[must_use]
    pub fn current(&self) -> Option<Layer> {
        let stream = self.streams.current()?;
        let inside = self.filter.current();
        Some(match self.shape {
            Shape::Simulcast => Layer::new(stream, inside.temporal),
            Shape::Svc { .. } => inside,
        })
    }

    /// Highest layers wanted inside the current stream.
    fn limit(&self) -> Layer {
        let Some(target) = self.target else { return Layer::default() };
        // Nothing but a keyframe may bring a smaller picture, but fewer of them need none.
        let overloaded = self.overloaded_since.is_some();
        match self.shape {
            Shape::Svc { .. } if overloaded && self.filter.needs_keyframe() => {
                Layer { spatial: target.spatial, temporal: 0 }
            }
            Shape::Svc { .. } => target,
            Shape::Simulcast => {
                let temporal = match self.streams.current().cmp(&Some(target.spatial)) {
                    Ordering::Equal => target.temporal,
                    Ordering::Greater if overloaded => 0,
                    // What the target allows is more than all of a lower stream.
                    Ordering::Less | Ordering::Greater => Layer::TOP.temporal,
                };
                Layer { temporal, ..Layer::TOP }
            }
        }
    }

    /// Whether the packet's picture is wanted at all.
    fn follow_pictures(&mut self, packet: &Packet<'_>) -> bool {
        if packet.frame.keyframe == Keyframe::Yes && packet.newest {
            self.key_picture = Some(packet.timestamp);
            if self.pictures == Pictures::FromKeyframe {
                self.pictures = Pictures::All;
            }
        }
        self.pictures == Pictures::All || self.key_picture == Some(packet.timestamp)
    }

    /// Forwards larger pictures than the target's.
    fn is_above_target(&self) -> bool {
        let current = match self.shape {
            Shape::Simulcast => self.streams.current(),
            Shape::Svc { .. } => self.streams.current().map(|_| self.filter.current().spatial),
        };
        current.zip(self.target).is_some_and(|(current, target)| current > target.spatial)
    }

    /// For simulcast each frame is a picture.
    fn ends_picture(&self, packet: &Packet<'_>) -> bool {
        self.shape == Shape::Simulcast && packet.frame.end
    }
}
