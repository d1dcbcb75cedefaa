//! What is remembered of a track between runs, so that its picture stays calm.

use std::time::{Duration, Instant};

use crate::allocator::costs::Costs;
use crate::allocator::input::TrackInput;
use crate::allocator::ladder::Ladder;
use crate::ids::{SlotId, TrackId};
use crate::layer::Layer;

/// A track that is new, or newly wanted larger, takes what fits now, without waiting.
const START: Duration = Duration::from_secs(3);
/// Between two larger pictures of one track: each costs a keyframe.
const SPATIAL_INTERVAL: Duration = Duration::from_secs(2);
/// Between any change of a track and more of its frames.
const TEMPORAL_INTERVAL: Duration = Duration::from_secs(1);
/// A layer must have been coming for so long before a track moves up to it.
const ALIVE: Duration = Duration::from_secs(2);
/// No larger picture for so long after congestion took one away.
const HOLD: Duration = Duration::from_secs(5);
/// A step up that did not last this long has failed ...
const TRIAL: Duration = Duration::from_secs(20);
/// ... and is not tried again for so long, doubled by each failure, at most the last of them. If
/// only frames were lost and the picture kept, the first.
const FAILED_FRAMES_HOLD: Duration = Duration::from_secs(10);
const FAILED_HOLD: Duration = Duration::from_secs(20);
const MAX_HOLD: Duration = Duration::from_secs(60);
/// Failures are forgotten after a picture has been calm for so long.
const FORGIVEN: Duration = Duration::from_secs(60);
/// What a paused track needs must have fitted for so long before it resumes: the first time within
/// [`FORGIVEN`], the second, and from the third on.
const RESUME: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

/// How far up a track may go in this run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ceiling {
    /// Highest rung; at least the one it holds.
    pub(super) rung: usize,
    /// When it may be higher.
    pub(super) until: Option<Instant>,
}

/// One track's past.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) slot: SlotId,
    pub(super) track: TrackId,
    pub(super) costs: Costs,
    pub(super) target: Option<Layer>,
    pub(super) paused: bool,
    /// Height and temporal layer of the last wish.
    wanted: Option<(u16, u8)>,
    /// Some layer of it was coming.
    live: bool,
    started: Instant,
    changed: Option<Instant>,
    raised: Option<Instant>,
    enlarged: Option<Instant>,
    no_spatial_before: Option<Instant>,
    no_temporal_before: Option<Instant>,
    failures: u32,
    failed: Option<Instant>,
    pauses: usize,
    pause_began: Option<Instant>,
    fits_since: Option<Instant>,
}

impl Memory {
    pub(super) fn new(track: &TrackInput, now: Instant) -> Self {
        Self {
            slot: track.slot,
            track: track.track,
            costs: Costs::default(),
            target: track.current,
            paused: false,
            wanted: None,
            live: false,
            started: now,
            changed: None,
            raised: None,
            enlarged: None,
            no_spatial_before: None,
            no_temporal_before: None,
            failures: 0,
            failed: None,
            pauses: 0,
            pause_began: None,
            fits_since: None,
        }
    }

    /// Takes in the wish and what layers cost now.
    pub(super) fn observe(&mut self, track: &TrackInput, weight: f32, now: Instant) {
        self.costs.update(track, weight, now);
        let wanted =
            track.is_wanted().then_some((track.wish.max_height_px, track.wish.max_temporal));
        let more = match (wanted, self.wanted) {
            (Some(new), Some(old)) => new.0 > old.0 || new.1 > old.1,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let live = track.alive_since.iter().any(Option::is_some);
        if more || live && !self.live {
            self.started = now;
        }
        self.live = live;
        self.wanted = wanted;
        if wanted.is_none() {
            // Whatever comes next comes anew.
            self.target = None;
            self.paused = false;
            self.fits_since = None;
        }
    }

    /// It takes what fits now.
    pub(super) fn is_starting(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started) < START
    }

    pub(super) fn start_ends(&self) -> Instant {
        self.started + START
    }

    /// How far up time lets it go. `keyframes`: from when on a larger picture is allowed at all.
    pub(super) fn ceiling(
        &self,
        ladder: &Ladder,
        track: &TrackInput,
        keyframes: Option<Instant>,
        now: Instant,
    ) -> Ceiling {
        let free = Ceiling { rung: ladder.top().unwrap_or(0), until: None };
        let held = match self.target {
            Some(held) if !self.is_starting(now) => held,
            _ => return free,
        };
        let rung = ladder.rung_of(held).unwrap_or(0);
        let soon = self.changed.map(|at| at + TEMPORAL_INTERVAL);
        let calm = later(soon, self.no_temporal_before);
        if calm.is_some_and(|at| now < at) {
            return Ceiling { rung, until: calm };
        }
        let interval = self.enlarged.map(|at| at + SPATIAL_INTERVAL);
        let still = later(later(interval, self.no_spatial_before), keyframes);
        if still.is_some_and(|at| now < at) {
            return Ceiling { rung: ladder.last_of(held.spatial).max(rung), until: still };
        }
        self.ceiling_of_alive(ladder, track, held, rung, now).unwrap_or(free)
    }

    /// Larger pictures only once they have been coming for a while.
    fn ceiling_of_alive(
        &self,
        ladder: &Ladder,
        track: &TrackInput,
        held: Layer,
        rung: usize,
        now: Instant,
    ) -> Option<Ceiling> {
        let young = ladder.steps().iter().position(|step| {
            let since = track.alive_since[usize::from(step.layer.spatial)];
            step.layer.spatial > held.spatial && since.is_some_and(|since| now < since + ALIVE)
        })?;
        let since = track.alive_since[usize::from(ladder.steps()[young].layer.spatial)]?;
        Some(Ceiling { rung: young.saturating_sub(1).max(rung), until: Some(since + ALIVE) })
    }

    /// A paused track's lowest layer fits, or does not. `Some`: when it may resume.
    pub(super) fn fits(&mut self, fits: bool, now: Instant) -> Option<Instant> {
        if !fits {
            self.fits_since = None;
            return None;
        }
        let wait = RESUME[self.pauses.clamp(1, RESUME.len()) - 1];
        Some(*self.fits_since.get_or_insert(now) + wait)
    }

    /// When a larger picture may be tried again after congestion.
    pub(super) fn spatial_hold(&self) -> Option<Instant> {
        self.no_spatial_before
    }

    /// Notes what was decided. `congested`: it got less because the link gives less.
    pub(super) fn decide(&mut self, target: Option<Layer>, congested: bool, now: Instant) {
        if target == self.target {
            return;
        }
        let (old, new) = (self.target, target);
        if new < old {
            if congested {
                self.lowered(old, new, now);
            }
        } else {
            self.raised = Some(now);
            if new.map(|layer| layer.spatial) > old.map(|layer| layer.spatial) {
                self.enlarged = Some(now);
            }
        }
        self.changed = Some(now);
        self.target = target;
    }

    /// The network pauses it, or no longer does.
    pub(super) fn set_paused(&mut self, paused: bool, now: Instant) {
        if paused && !self.paused {
            let recently = self.pause_began.is_some_and(|at| now < at + FORGIVEN);
            self.pauses = if recently { self.pauses + 1 } else { 1 };
            self.pause_began = Some(now);
        }
        self.paused = paused;
        self.fits_since = self.fits_since.filter(|_| paused);
    }

    fn lowered(&mut self, old: Option<Layer>, new: Option<Layer>, now: Instant) {
        let failed = self.raised.take_if(|at| now < *at + TRIAL).is_some();
        if self.failed.is_none_or(|at| now >= at + FORGIVEN + MAX_HOLD) {
            self.failures = 0;
        }
        let smaller = old.map(|layer| layer.spatial) > new.map(|layer| layer.spatial);
        let (spatial, temporal) = if failed {
            self.failed = Some(now);
            let first = if smaller { FAILED_HOLD } else { FAILED_FRAMES_HOLD };
            let hold = (first * 2_u32.pow(self.failures.min(4))).min(MAX_HOLD);
            self.failures += 1;
            (hold, hold)
        } else {
            (if smaller { HOLD } else { Duration::ZERO }, TEMPORAL_INTERVAL)
        };
        self.no_spatial_before = later(self.no_spatial_before, Some(now + spatial));
        self.no_temporal_before = later(self.no_temporal_before, Some(now + temporal));
    }
}

fn later(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.max(b)
}
