//! Spatial and temporal layers of VP9 in one stream: full and keyframe-only inter-layer prediction,
//! flexible and non-flexible mode (RFC 9628).
//!
//! More spatial layers come at a keyframe only. A layer that the publisher adds in mid-stream could
//! be shown at once, but when its first frame is seen the marker has gone out with the layer below,
//! and the receiver has closed the picture.
//!
//! Keyframe-only mode (k-SVC): between keyframes each layer refers to itself only, so just the top
//! one is forwarded, and less of them takes a keyframe too.
//!
//! Non-flexible mode goes up in temporal layers at switching up points (U): the specification lets
//! the layers above a U picture come from then on; libwebrtc sets U on the first picture of the
//! layer itself that may be taken. In flexible mode the references say it.

use super::filter::Verdict;
use super::history::History;
use super::{Packet, Shape};
use crate::codec::{Detail, Keyframe, vp9};
use crate::layer::Layer;

/// Pictures in a row with nothing for us, after which the layer we take has gone without a word.
const STARVED_PICTURES: u8 = 5;
/// Spatial layers that a descriptor can name (3 bits).
const MAX_SPATIAL: u8 = 8;

/// What held for one picture.
#[derive(Debug, Clone, Copy, Default)]
struct Rule {
    limit: Layer,
    /// Between keyframes take only this layer.
    only: Option<u8>,
}

impl Rule {
    fn wants(&self, frame: LayerFrame) -> bool {
        let only = self.only.filter(|_| frame.inter_picture);
        self.limit.covers(frame.layer) && only.is_none_or(|only| only == frame.layer.spatial)
    }

    /// The layer whose end is the end of the picture.
    fn top(&self) -> u8 {
        self.only.unwrap_or(self.limit.spatial)
    }
}

#[derive(Debug, Clone, Copy)]
struct LayerFrame {
    layer: Layer,
    inter_picture: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Picture {
    /// Unwrapped picture id.
    id: Option<u64>,
    rule: Rule,
    /// Bit per spatial layer.
    kept: u8,
    left_out: u8,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    timestamp: u32,
    picture: Picture,
    frame: LayerFrame,
    kept: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Vp9Filter {
    key_only: Option<bool>,
    limit: Layer,
    current: Layer,
    /// Spatial layers that the publisher announced.
    layers: u8,
    in_key_picture: bool,
    /// Highest spatial layer taken of the last key picture.
    key_top: u8,
    pictures: History<Picture>,
    last: Option<Last>,
    starved: u8,
}

impl Vp9Filter {
    pub(super) fn new(shape: Shape) -> Self {
        let key_only = match shape {
            Shape::Simulcast => Some(false),
            Shape::Svc { key_only } => key_only,
        };
        Self {
            key_only,
            limit: Layer::default(),
            current: Layer::default(),
            layers: MAX_SPATIAL,
            in_key_picture: false,
            key_top: 0,
            pictures: History::default(),
            last: None,
            starved: 0,
        }
    }

    pub(super) fn start(&mut self, packet: &Packet<'_>, limit: Layer) -> Verdict {
        self.pictures.clear();
        self.last = None;
        self.starved = 0;
        self.decide(packet, 0, limit)
    }

    pub(super) fn decide(&mut self, packet: &Packet<'_>, gap: u16, limit: Layer) -> Verdict {
        let Detail::Vp9 { descriptor, picture } = packet.frame.detail else {
            return Verdict::LEAVE_OUT;
        };
        let frame = layer_frame(packet, &descriptor);
        if self.pictures.get(packet.timestamp).is_none() {
            let rule = if packet.newest {
                self.begin_picture(packet, &descriptor, limit)
            } else {
                self.rule_before(packet.timestamp)
            };
            self.pictures
                .push(packet.timestamp, Picture { id: picture, rule, ..Picture::default() });
        }
        let known = self.pictures.get(packet.timestamp).unwrap_or_default();
        let bit = 1 << frame.layer.spatial;
        let keep = if (known.kept | known.left_out) & bit == 0 {
            let keep = known.rule.wants(frame) && self.is_decodable(known, frame, &descriptor);
            if let Some(record) = self.pictures.get_mut(packet.timestamp) {
                if keep { record.kept |= bit } else { record.left_out |= bit }
            }
            keep
        } else {
            known.kept & bit != 0
        };
        if !packet.newest {
            return if keep { self.verdict(packet, frame, known.rule) } else { Verdict::LEAVE_OUT };
        }
        if keep && self.in_key_picture {
            self.key_top = self.key_top.max(frame.layer.spatial);
        }
        self.observe_mode(frame, &descriptor);
        let last = Last { timestamp: packet.timestamp, picture: known, frame, kept: keep };
        let lost = if self.lost_is_left_out(packet, &last) { gap } else { 0 };
        self.last = Some(last);
        Verdict { keep, lost, ..self.verdict(packet, frame, known.rule) }
    }

    pub(super) fn again(&self, packet: &Packet<'_>) -> Option<Verdict> {
        let Detail::Vp9 { descriptor, .. } = packet.frame.detail else { return None };
        let frame = layer_frame(packet, &descriptor);
        let record = self.pictures.get(packet.timestamp)?;
        let kept = record.kept & 1 << frame.layer.spatial != 0;
        kept.then(|| self.verdict(packet, frame, record.rule))
    }

    pub(super) fn needs_keyframe(&self) -> bool {
        let (wanted, shown) = (self.shown(self.limit.spatial), self.shown(self.current.spatial));
        wanted > shown
            || wanted < shown && self.key_only == Some(true)
            || self.starved >= STARVED_PICTURES
    }

    pub(super) fn current(&self) -> Layer {
        Layer { spatial: self.shown(self.current.spatial), ..self.current }
    }

    /// A layer as far as the publisher has it.
    fn shown(&self, spatial: u8) -> u8 {
        spatial.min(self.layers - 1)
    }

    /// Follows the limit where a picture begins.
    fn begin_picture(
        &mut self,
        packet: &Packet<'_>,
        descriptor: &vp9::Descriptor,
        limit: Layer,
    ) -> Rule {
        self.limit = limit;
        self.count_starved();
        if let Some(layers) = descriptor.structure_layers {
            self.layers = layers;
        }
        self.in_key_picture = packet.frame.keyframe == Keyframe::Yes;
        if self.in_key_picture {
            self.current = limit;
            self.key_top = 0;
            return Rule { limit, only: None };
        }
        if limit.spatial < self.current.spatial && self.key_only != Some(true) {
            self.current.spatial = limit.spatial;
        }
        self.follow_temporal(packet, descriptor, limit.temporal);
        let only = (self.key_only == Some(true)).then_some(self.key_top);
        Rule { limit: self.current, only }
    }

    fn follow_temporal(&mut self, packet: &Packet<'_>, descriptor: &vp9::Descriptor, limit: u8) {
        let current = &mut self.current.temporal;
        if limit <= *current || descriptor.is_flexible() {
            *current = limit;
        } else if packet.frame.start && packet.frame.switch_up {
            let temporal = packet.frame.temporal;
            if temporal <= *current {
                *current = limit;
            } else if temporal == *current + 1 {
                *current = temporal;
            }
        }
    }

    /// Pictures whose frame rate we want, of which no layer was for us.
    fn count_starved(&mut self) {
        let Some(last) = self.last else { return };
        let wanted = last.frame.layer.temporal <= last.picture.rule.limit.temporal;
        match self.pictures.get(last.timestamp) {
            Some(picture) if picture.kept != 0 => self.starved = 0,
            _ if wanted => self.starved = self.starved.saturating_add(1),
            _ => {}
        }
    }

    /// Nothing it refers to was left out. What was lost may still come.
    fn is_decodable(
        &self,
        picture: Picture,
        frame: LayerFrame,
        descriptor: &vp9::Descriptor,
    ) -> bool {
        let spatial = frame.layer.spatial;
        if spatial > 0 && descriptor.is_inter_layer() && picture.left_out & 1 << (spatial - 1) != 0
        {
            return false;
        }
        let Some(id) = picture.id.filter(|_| descriptor.is_flexible()) else { return true };
        descriptor.references().all(|distance| {
            let id = id.wrapping_sub(distance.into());
            self.pictures
                .newest(|_, picture| picture.id == Some(id))
                .is_none_or(|picture| picture.left_out & 1 << spatial == 0)
        })
    }

    /// Inter-layer prediction between keyframes tells the mode.
    fn observe_mode(&mut self, frame: LayerFrame, descriptor: &vp9::Descriptor) {
        if frame.layer.spatial > 0 && frame.inter_picture {
            self.key_only = Some(!descriptor.is_inter_layer());
        }
    }

    /// What held when a picture that only shows up late should have come.
    fn rule_before(&self, timestamp: u32) -> Rule {
        let earlier = |at: u32, _: &Picture| timestamp.wrapping_sub(at) < 1 << 31;
        self.pictures.newest(earlier).map_or(Rule { limit: self.current, only: None }, |p| p.rule)
    }

    fn verdict(&self, packet: &Packet<'_>, frame: LayerFrame, rule: Rule) -> Verdict {
        let ends = packet.frame.end && frame.layer.spatial == rule.top();
        Verdict::keep(packet.marker || ends)
    }

    /// Whether all layer frames that the numbers lost before this packet can be of are unwanted.
    fn lost_is_left_out(&self, packet: &Packet<'_>, this: &Last) -> bool {
        let Some(before) = self.last else { return false };
        if before.kept || this.kept && !packet.frame.start {
            return false;
        }
        let unwanted = |side: &Last, spatial: std::ops::Range<u8>| {
            spatial.into_iter().all(|spatial| {
                let layer = Layer { spatial, ..side.frame.layer };
                !side.picture.rule.wants(LayerFrame { layer, ..side.frame })
            })
        };
        let (from, to) = (before.frame.layer.spatial + 1, this.frame.layer.spatial);
        if before.timestamp == this.timestamp {
            return unwanted(this, from..to);
        }
        let adjacent = before.picture.id.zip(this.picture.id).is_some_and(|(a, b)| a + 1 == b);
        adjacent && unwanted(&before, from..MAX_SPATIAL) && unwanted(this, 0..to)
    }
}

fn layer_frame(packet: &Packet<'_>, descriptor: &vp9::Descriptor) -> LayerFrame {
    LayerFrame {
        layer: Layer::new(packet.frame.spatial.min(MAX_SPATIAL - 1), packet.frame.temporal),
        inter_picture: descriptor.is_inter_picture(),
    }
}
