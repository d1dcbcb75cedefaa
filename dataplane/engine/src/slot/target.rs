//! Which layer a slot forwards and which one it waits for (forwarding states of one subscription).
//!
//! | current | target    | meaning                                                            |
//! |---------|-----------|--------------------------------------------------------------------|
//! | equal   | equal     | forward it                                                         |
//! | some    | another   | forward current; a keyframe of target, or of one between, switches |
//! | none    | some      | wait for a keyframe of target or of a lower layer                  |
//! | none    | none      | paused                                                             |

use std::time::Instant;

use super::{Bound, Slot};
use crate::command::{MediaKind, Wish};
use crate::layer::Layer;
use crate::layers::Cause;
use crate::timestamps::Situation;
use crate::track::Track;

impl Slot {
    /// Carries `track` from now on. False if it shares no codec with the subscriber.
    pub(crate) fn bind(&mut self, key: usize, track: &Track, wish: Wish) -> bool {
        if let Some(bound) = &mut self.bound
            && bound.track == key
        {
            bound.wish = wish;
            return true;
        }
        let payload_types = self.payload_types(&track.codecs);
        if payload_types.iter().all(Option::is_none) {
            return false;
        }
        let fixed_layer = self.rid.and_then(|rid| {
            track.layers.iter().position(|layer| layer.rid == Some(rid)).map(|at| at as u8)
        });
        self.generation += 1;
        self.streams = track.layers.len() as u8;
        self.bound = Some(Bound { track: key, wish, payload_types, fixed_layer });
        true
    }

    /// Carries nothing from now on. Returns the track it carried.
    pub(crate) fn unbind(&mut self, track: Option<&Track>) -> Option<usize> {
        if let (Some(track), Some(layer)) = (track, self.last_layer()) {
            self.last_clock = track.layers.get(usize::from(layer)).and_then(|layer| layer.clock);
        }
        self.stop(Situation::Rebound);
        self.target = None;
        self.bound.take().map(|bound| bound.track)
    }

    /// What the wish alone would have: where no allocator runs, the target.
    pub(crate) fn wanted(&self, track: &Track) -> Option<Layer> {
        let bound = self.bound.as_ref()?;
        let spatial = match bound.fixed_layer {
            _ if bound.wish.paused => None,
            Some(layer) => Some(layer),
            None => track.choose_layer(bound.wish.max_height_px).map(|best| track.live_upto(best)),
        };
        spatial.map(|spatial| Layer::new(spatial, bound.wish.max_temporal))
    }

    /// The highest layers to forward from now on; None pauses, and what follows is a new start.
    pub(crate) fn set_target(&mut self, target: Option<Layer>, _cause: Cause, _now: Instant) {
        self.target = target;
        if target.is_none() {
            self.stop(Situation::Resumed);
        }
    }

    /// Which streams of the track have packets has changed.
    pub(crate) fn follow_live(&mut self, track: &Track) {
        let Some(current) = self.current else { return };
        let dead = track.layers.get(usize::from(current)).is_none_or(|layer| !layer.is_live());
        if dead && self.target_stream() != Some(current) {
            self.stop(Situation::Rebound);
        }
    }

    fn target_stream(&self) -> Option<u8> {
        self.target.map(|target| target.spatial.min(self.streams - 1))
    }

    /// The layer of the bound track that was forwarded last.
    pub(super) fn last_layer(&self) -> Option<u8> {
        let last = self.last_source?;
        let layer = (last & 7) as u8;
        (last == self.source(layer)).then_some(layer)
    }

    /// Forwards nothing until the next start.
    pub(super) fn stop(&mut self, situation: Situation) {
        if self.current.take().is_some() {
            self.situation = situation;
        }
    }

    /// The layer whose keyframe would bring it forward, if it waits for one.
    pub(crate) fn waits_for(&self) -> Option<u8> {
        let target = self.target_stream();
        target.filter(|_| self.kind == MediaKind::Video && self.current != target)
    }

    /// Bit per layer whose packets this slot wants to see.
    pub(crate) fn interest(&self) -> u8 {
        let Some(target) = self.target_stream() else { return 0 };
        let up_to_target = u8::MAX >> (7 - target.min(7));
        match self.current {
            None => up_to_target,
            Some(current) if current > target => 1 << current | 1 << target,
            Some(current) => up_to_target & (u8::MAX << current),
        }
    }

    /// Whether a keyframe of this layer is worth a switch.
    pub(super) fn may_start(&self, layer: u8) -> bool {
        match (self.current, self.target_stream()) {
            (_, None) => false,
            (_, Some(target)) if layer == target => true,
            (None, Some(target)) => layer < target,
            (Some(current), Some(target)) => current < layer && layer < target,
        }
    }
}
