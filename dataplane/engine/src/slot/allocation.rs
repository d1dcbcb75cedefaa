//! What the path to the subscriber allows a slot.

use std::time::{Duration, Instant};

use super::Slot;
use crate::allocator::{Decision, Reason};
use crate::command::MediaKind;
use crate::layer::Layer;
use crate::layers::Cause;
use crate::timestamps::Situation;
use crate::units::Bitrate;

/// Figures of an unchanged decision are told again when they are so much off ...
const NEWS: f64 = 0.25;
/// ... but not more often than this.
const NEWS_INTERVAL: Duration = Duration::from_secs(5);

/// What the allocator decided for a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocation {
    pub(crate) decision: Decision,
    /// For the pacer.
    importance: u8,
    /// What the control plane knows, and since when.
    told: (Decision, Instant),
}

impl Slot {
    /// The path allows this from now on; `retarget` follows. True: the control plane should know.
    pub(crate) fn allocate(&mut self, decision: Decision, importance: u8, now: Instant) -> bool {
        let told = self.allocation.map(|allocation| allocation.told);
        let news = told.is_none_or(|(told, at)| {
            is_news(&decision, &told)
                || now >= at + NEWS_INTERVAL && is_off(decision.reason, told.reason)
        });
        let told = told.filter(|_| !news).unwrap_or((decision, now));
        self.allocation = Some(Allocation { decision, importance, told });
        news
    }

    pub(crate) fn allocation(&self) -> Option<&Allocation> {
        self.allocation.as_ref()
    }

    /// What to forward, and why, if the allocator has decided.
    pub(crate) fn allocated(&self) -> Option<(Option<Layer>, Cause)> {
        let decision = self.allocation.as_ref().map(|allocation| allocation.decision);
        let decision = decision?;
        if self.lowest_only {
            return Some((decision.target.map(|_| Layer::default()), Cause::Congestion));
        }
        let cause = if decision.is_congested() { Cause::Congestion } else { Cause::Wish };
        Some((decision.target, cause))
    }

    /// How much it matters among those of its transport; see [`crate::pacer::Header`].
    pub(crate) fn importance(&self) -> u8 {
        self.allocation.map_or(0, |given| given.importance)
    }

    /// The allocator chooses the layer, if the transport has one.
    pub(crate) fn is_allocated(&self) -> bool {
        self.kind == MediaKind::Video
            && self.bound.as_ref().is_some_and(|bound| bound.fixed_layer.is_none())
    }

    /// The path cannot take the picture that is still forwarded.
    pub(crate) fn is_leaving(&self) -> bool {
        let Some((target, Cause::Congestion)) = self.allocated() else { return false };
        let spatial = |layer: Layer| layer.spatial;
        target.map(spatial) < self.current().map(spatial)
    }

    /// The queue on the path is so long that what is sent now would only be late; or no longer. The
    /// lowest layers can go on by themselves: it takes no keyframe to end this.
    pub(crate) fn keep_lowest(&mut self, only: bool) {
        self.lowest_only = only;
    }

    /// What was sent last did not get through: nothing more until a keyframe.
    pub(crate) fn break_off(&mut self) {
        self.stop(Situation::Resumed);
    }
}

/// Another decision, or another reason for it.
fn is_news(decision: &Decision, told: &Decision) -> bool {
    let key = |decision: &Decision| (decision.target, decision.paused, decision.reason.as_str());
    key(decision) != key(told)
}

/// The figures of a reason have changed a lot.
fn is_off(reason: Reason, told: Reason) -> bool {
    let ((available, needed), (old_available, old_needed)) = (reason.rates(), told.rates());
    let off = |new: Bitrate, old: Bitrate| new < old * (1.0 - NEWS) || new > old * (1.0 + NEWS);
    off(available, old_available) || off(needed, old_needed)
}
