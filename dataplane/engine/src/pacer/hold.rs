//! While the path itself holds a long queue nothing but audio leaves: video waits here, where it can
//! be dropped, and audio is not stuck behind it.

use std::time::{Duration, Instant};

use crate::ids::SlotId;

/// With more than this in the queue of the path a hold begins ...
pub(super) const HOLD_ABOVE: Duration = Duration::from_millis(400);
/// ... until there is less than this; what is known of the queue is a round trip old. It is looked
/// at again at the pace of [`HOLD_TICK`].
pub(super) const HOLD_UNTIL_BELOW: Duration = Duration::from_millis(200);
/// Keyframes are asked for so much earlier: they have to be encoded, and come from afar.
pub(super) const PREPARE: Duration = Duration::from_millis(200);
pub(super) const HOLD_TICK: Duration = Duration::from_millis(50);
/// But no longer than this, ...
const MAX_HOLD: Duration = Duration::from_millis(1500);
/// ... and not again so soon after: the queue may be made by others.
const HOLD_PAUSE: Duration = Duration::from_secs(5);

/// Of one transport.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// Only audio leaves, since then.
    since: Option<Instant>,
    /// Nothing new is to be made for it either.
    paused: bool,
    /// But these go on: what is left of them is little.
    spared: Vec<SlotId>,
    not_before: Option<Instant>,
}

impl Hold {
    /// The path's queue has this length. True: [`Self::paused`] has changed.
    pub(super) fn update(&mut self, queue: Duration, now: Instant) -> bool {
        let before = self.paused;
        match self.since {
            Some(since) => {
                self.paused &= queue >= HOLD_UNTIL_BELOW + PREPARE;
                if queue < HOLD_UNTIL_BELOW || now >= since + MAX_HOLD {
                    self.since = None;
                    self.paused = false;
                    self.spared.clear();
                    self.not_before = Some(now + HOLD_PAUSE);
                }
            }
            None => {
                let rested = self.not_before.is_none_or(|at| now >= at);
                self.since = (queue > HOLD_ABOVE && rested).then_some(now);
                self.paused = self.on();
            }
        }
        before != self.paused
    }

    pub(super) fn on(&self) -> bool {
        self.since.is_some()
    }

    /// Ends before [`Self::on`] does.
    pub(super) fn paused(&self) -> bool {
        self.paused
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
