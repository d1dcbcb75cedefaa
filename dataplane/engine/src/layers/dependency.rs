//! Layers of a stream by its dependency descriptor (AV1, appendix A).
//!
//! A decode target is followed as long as the chain that protects it is whole. A chain breaks only
//! by what was left out here: what was lost may still come, and if not the receiver asks. Targets of
//! more spatial layers are taken at keyframes only, since a marker may have closed the picture before
//! the upper layer's frame is seen; more temporal layers at a frame that is a switch for the target
//! and whose references were forwarded.

use std::sync::Arc;

use super::Packet;
use super::filter::Verdict;
use crate::codec::Keyframe;
use crate::codec::dependency_descriptor::{Dependency, Indication, Structure};
use crate::layer::Layer;

/// Frames remembered: more than a chain distance (8 bits) reaches back. LiveKit
/// `selectordecisioncache.go`.
const FRAMES: u64 = 256;
/// How far back the neighbour of a late frame is looked for.
const NEIGHBOURS: u64 = 32;

/// What became of one frame.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    /// Unwrapped frame number; 0: none.
    number: u64,
    kept: bool,
    /// Layers of the target in force.
    layer: Layer,
    /// Decode targets announced with it.
    targets: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    number: u64,
    kept: bool,
}

/// The frames of one stream at `number % FRAMES`.
#[derive(Clone, Debug)]
struct Frames(Box<[Record]>);

impl Frames {
    fn get(&self, number: u64) -> Option<Record> {
        Some(self.0[(number % FRAMES) as usize]).filter(|record| record.number == number)
    }

    fn insert(&mut self, record: Record) {
        let place = &mut self.0[(record.number % FRAMES) as usize];
        if place.number <= record.number {
            *place = record;
        }
    }

    fn was_left_out(&self, number: u64) -> bool {
        self.get(number).is_some_and(|record| !record.kept)
    }
}

#[derive(Clone, Debug)]
pub(super) struct DependencyFilter {
    /// The limit since the picture began.
    limit: Layer,
    /// Decode target that is followed, and its layers.
    current: Option<(u8, Layer)>,
    structure: Option<Arc<Structure>>,
    /// Bit per chain.
    broken_chains: u32,
    /// Timestamp of the newest picture.
    picture: Option<u32>,
    frames: Frames,
    last: Option<Last>,
    /// Since the last structure a subset was announced, which the receiver may still believe.
    restricted: bool,
    needs_keyframe: bool,
}

impl Default for DependencyFilter {
    fn default() -> Self {
        Self {
            limit: Layer::default(),
            current: None,
            structure: None,
            broken_chains: 0,
            picture: None,
            frames: Frames(vec![Record::default(); FRAMES as usize].into()),
            last: None,
            restricted: false,
            needs_keyframe: false,
        }
    }
}

impl DependencyFilter {
    pub(super) fn start(&mut self, packet: &Packet<'_>, limit: Layer) -> Verdict {
        self.frames.0.fill(Record::default());
        self.picture = None;
        self.last = None;
        self.restricted = false;
        self.decide(packet, 0, limit)
    }

    pub(super) fn decide(&mut self, packet: &Packet<'_>, gap: u16, limit: Layer) -> Verdict {
        let Some(dependency) = packet.dependency else {
            // Its structure was lost: nothing can be told until the next one.
            self.needs_keyframe |= packet.newest;
            return Verdict::LEAVE_OUT;
        };
        let record = match self.frames.get(dependency.number) {
            Some(record) => record,
            None => {
                let record = if packet.newest {
                    self.judge(packet, dependency, limit)
                } else {
                    self.judge_late(dependency)
                };
                self.frames.insert(record);
                record
            }
        };
        let mut verdict = Self::verdict(packet, dependency, record);
        if packet.newest {
            let this = Last { number: dependency.number, kept: record.kept };
            if self.lost_is_left_out(packet, this) {
                verdict.lost = gap;
            }
            self.last = Some(this);
        }
        verdict
    }

    pub(super) fn again(&self, packet: &Packet<'_>) -> Option<Verdict> {
        let dependency = packet.dependency?;
        let record = self.frames.get(dependency.number).filter(|record| record.kept)?;
        Some(Self::verdict(packet, dependency, record))
    }

    pub(super) fn needs_keyframe(&self) -> bool {
        self.needs_keyframe
    }

    pub(super) fn current(&self) -> Layer {
        self.current.map_or(Layer::default(), |(_, layer)| layer)
    }

    fn verdict(packet: &Packet<'_>, dependency: &Dependency, record: Record) -> Verdict {
        let top = dependency.frame.layers.spatial == record.layer.spatial;
        Verdict {
            keep: record.kept,
            lost: 0,
            marker: packet.marker || packet.frame.end && top,
            targets: record.targets,
        }
    }

    /// Chooses the decode target for a new frame, and judges the frame by it.
    fn judge(&mut self, packet: &Packet<'_>, dependency: &Dependency, limit: Layer) -> Record {
        let key = packet.frame.keyframe == Keyframe::Yes;
        let begins = self.picture != Some(packet.timestamp);
        if begins {
            self.picture = Some(packet.timestamp);
            self.limit = limit;
        }
        if key
            || self.structure.as_ref().is_none_or(|held| !Arc::ptr_eq(held, &dependency.structure))
        {
            self.structure = Some(Arc::clone(&dependency.structure));
            self.current = None;
        }
        self.follow_chains(dependency);
        self.choose(dependency, key, begins);
        let indication = self
            .current
            .map_or(Indication::NotPresent, |(target, _)| dependency.frame.indication(target));
        Record {
            number: dependency.number,
            // Chains are of the lowest frame rate: above it, a frame of a smaller picture may refer
            // to one that was left out while a larger one was shown.
            kept: indication != Indication::NotPresent && self.finds_references(dependency),
            layer: self.current(),
            targets: self.announce(dependency, key),
        }
    }

    /// A frame of which nothing came in time: forwarded if its size is, since its numbers have
    /// their places already.
    fn judge_late(&self, dependency: &Dependency) -> Record {
        let near = (1..=NEIGHBOURS)
            .find_map(|back| self.frames.get(dependency.number.wrapping_sub(back)))
            .unwrap_or(Record { layer: self.current(), ..Record::default() });
        let kept = dependency.frame.layers.spatial <= near.layer.spatial;
        Record { number: dependency.number, kept, ..near }
    }

    fn follow_chains(&mut self, dependency: &Dependency) {
        for (chain, distance) in dependency.frame.chain_distances().iter().enumerate() {
            if *distance == 0 {
                self.broken_chains &= !(1 << chain);
            } else if self.frames.was_left_out(dependency.number.wrapping_sub((*distance).into())) {
                self.broken_chains |= 1 << chain;
            }
        }
    }

    /// The best decode target within the limit that can be decoded from here on.
    fn choose(&mut self, dependency: &Dependency, key: bool, begins: bool) {
        let structure = &dependency.structure;
        let active = |target: &&u8| dependency.active_targets & 1 << **target != 0;
        let layers = |target: u8| {
            let layers = structure.target_layers(target).unwrap_or_default();
            Layer::new(layers.spatial, layers.temporal)
        };
        let by_quality = structure.targets_by_quality();
        let upto = |limit: Layer| {
            by_quality.iter().filter(active).filter(move |target| limit.covers(layers(**target)))
        };
        let lowest = || by_quality.iter().rev().find(active);
        let Some(best) = upto(self.limit).next().or_else(lowest) else {
            self.current = None;
            self.needs_keyframe = true;
            return;
        };
        let best = layers(*best);
        // Until a keyframe brings a smaller picture, the larger one goes on.
        let meanwhile = Layer { spatial: self.current().spatial, ..self.limit };
        let chosen = upto(self.limit)
            .chain(upto(meanwhile))
            .chain(lowest())
            .map(|target| (*target, layers(*target)))
            .find(|(target, layer)| self.may_take(*target, *layer, dependency, key, begins));
        self.current = chosen;
        self.needs_keyframe = chosen.is_none_or(|(_, layer)| layer.spatial != best.spatial);
    }

    fn may_take(
        &self,
        target: u8,
        layer: Layer,
        dependency: &Dependency,
        key: bool,
        begins: bool,
    ) -> bool {
        let chain = dependency.structure.protected_by(target);
        if chain.is_some_and(|chain| self.broken_chains & 1 << chain != 0) {
            return false;
        }
        let Some((current, now)) = self.current else {
            return key || begins && self.is_switch(target, dependency);
        };
        if target == current {
            return true;
        }
        let same_size = layer.spatial == now.spatial;
        if layer.temporal > now.temporal {
            return (same_size || layer.spatial < now.spatial && begins)
                && self.is_switch(target, dependency);
        }
        begins && layer.spatial <= now.spatial
    }

    /// The frame starts the target, and nothing it refers to was left out.
    fn is_switch(&self, target: u8, dependency: &Dependency) -> bool {
        dependency.frame.indication(target) == Indication::Switch
            && self.finds_references(dependency)
    }

    fn finds_references(&self, dependency: &Dependency) -> bool {
        dependency.frame.references.distances().iter().all(|distance| {
            !self.frames.was_left_out(dependency.number.wrapping_sub((*distance).into()))
        })
    }

    /// The decode targets to write: those that the one followed includes, as long as the receiver
    /// might believe something else.
    fn announce(&mut self, dependency: &Dependency, key: bool) -> Option<u32> {
        let (_, layer) = self.current?;
        let mut targets = 0;
        for target in dependency.structure.targets_by_quality() {
            let layers = dependency.structure.target_layers(*target).unwrap_or_default();
            if layer.covers(Layer::new(layers.spatial, layers.temporal)) {
                targets |= 1 << target;
            }
        }
        targets &= dependency.active_targets;
        let all = targets == dependency.active_targets;
        self.restricted = !all || self.restricted && !key;
        self.restricted.then_some(targets)
    }

    /// Whether the numbers lost before this packet can only be of frames left out.
    fn lost_is_left_out(&self, packet: &Packet<'_>, this: Last) -> bool {
        self.last.is_some_and(|before| {
            let adjacent = this.number.wrapping_sub(before.number) <= 1;
            !before.kept && adjacent && (packet.frame.start || !this.kept)
        })
    }
}
