//! Waiting for the queue of the path: while it drains nothing but audio leaves, so that it is not
//! stuck behind old pictures.
//!
//! How long that takes is known only late: what the path has lost still counts as on its way until
//! the peer has told so. So video begins anew at once, at a keyframe that waits here; if that has
//! become old when the end is near, there is time for another.

use std::time::{Duration, Instant};

use crate::bwe::EMPTIES;
use crate::ids::SlotId;

/// With more than this in the queue of the path a hold begins ...
pub(super) const HOLD_ABOVE: Duration = Duration::from_millis(400);
/// ... until there is less than this. It is looked at again at the pace of [`HOLD_TICK`].
pub(super) const HOLD_UNTIL_BELOW: Duration = Duration::from_millis(60);
/// Keyframes are asked for so much earlier: they have to be encoded, and come from afar.
pub(super) const PREPARE: Duration = Duration::from_millis(200);
pub(super) const HOLD_TICK: Duration = Duration::from_millis(10);
/// But no longer than this, ...
const MAX_HOLD: Duration = Duration::from_millis(1500);
/// ... and not again so soon after: the queue may be made by others.
const HOLD_PAUSE: Duration = Duration::from_secs(5);
/// So long after it what had to wait meanwhile is still leaving.
const AFTERMATH: Duration = Duration::from_secs(1);

/// What has to be done about what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldStep {
    /// What was to be sent is of no use any more: go on at a keyframe.
    Begins,
    /// It will soon be over: what has become old in the queue is to be made anew.
    Ends,
}

/// Of one transport.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// Only audio leaves, since then.
    since: Option<Instant>,
    /// What had to leave before has left.
    silent: Option<Instant>,
    /// A keyframe has gone before the end.
    advanced: bool,
    /// The end is near.
    ending: bool,
    /// But these go on: what is left of them is little.
    spared: Vec<SlotId>,
    ended: Option<Instant>,
}

impl Hold {
    /// The path's queue has this length.
    pub(super) fn update(&mut self, queue: Duration, now: Instant) -> Option<HoldStep> {
        let Some(since) = self.since else {
            let rested = self.ended.is_none_or(|at| now >= at + HOLD_PAUSE);
            self.since = (queue > HOLD_ABOVE && rested).then_some(now);
            self.silent = self.since;
            (self.ending, self.advanced) = (false, false);
            return self.on().then_some(HoldStep::Begins);
        };
        let over = queue < HOLD_UNTIL_BELOW || now >= since + MAX_HOLD;
        if over {
            self.since = None;
            self.spared.clear();
            self.ended = Some(now);
        }
        let ending = over || queue < HOLD_UNTIL_BELOW + PREPARE;
        let news = ending && !self.ending;
        self.ending |= ending;
        news.then_some(HoldStep::Ends)
    }

    pub(super) fn on(&self) -> bool {
        self.since.is_some()
    }

    /// Something else than audio leaves though.
    pub(super) fn disturb(&mut self, now: Instant) {
        self.silent = Some(now);
    }

    /// Since when nothing but audio has left, if that is so.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        self.silent.filter(|_| self.on())
    }

    /// Whether a keyframe that takes the path so long goes before the end of the hold: once, when as
    /// much has left the path's queue.
    pub(super) fn advances(&mut self, takes: Duration, now: Instant) -> bool {
        let silent = self.silent_since().filter(|_| !self.advanced);
        self.advanced |= silent
            .is_some_and(|since| takes <= now.saturating_duration_since(since).mul_f64(EMPTIES));
        silent.is_some() && self.advanced
    }

    /// What waits does so because of a hold.
    pub(super) fn shows(&self, now: Instant) -> bool {
        self.on() || self.ended.is_some_and(|at| now < at + AFTERMATH)
    }

    /// This slot goes on until the end of the hold. Nothing happens where there is none.
    pub(super) fn spare(&mut self, slot: SlotId) {
        if self.on() && !self.spares(slot) {
            self.spared.push(slot);
        }
    }

    pub(super) fn spares(&self, slot: SlotId) -> bool {
        self.spared.contains(&slot)
    }

    pub(super) fn spared(&self) -> &[SlotId] {
        &self.spared
    }
}
