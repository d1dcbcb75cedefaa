//! Handing out a budget: lowest layers first, then what is preferred by class, then the rest in
//! turns.

use crate::allocator::input::Class;
use crate::allocator::ladder::Ladder;
use crate::allocator::memory::Ceiling;

/// One track during a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Which input it is.
    pub(super) index: usize,
    pub(super) class: Class,
    pub(super) priority: u8,
    pub(super) may_pause: bool,
    pub(super) ladder: Ladder,
    /// The rung of the last run.
    pub(super) held: Option<usize>,
    pub(super) ceiling: Ceiling,
    /// New, or newly wanted larger.
    pub(super) starting: bool,
    /// The network paused it in an earlier run.
    pub(super) paused: bool,
    pub(super) chosen: Option<usize>,
    /// Set aside for a paused track that is about to resume.
    pub(super) reserved: i64,
    /// It has its lowest layer though that does not fit.
    pub(super) forced: bool,
}

impl Candidate {
    /// What is booked for it.
    pub(super) fn booked(&self) -> i64 {
        self.ladder.cost(self.chosen) + self.reserved
    }

    fn spatial(&self, rung: Option<usize>) -> Option<u8> {
        rung.and_then(|rung| self.ladder.steps().get(rung)).map(|step| step.layer.spatial)
    }
}

/// Up to where a round goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Preferred,
    Top,
}

/// The budget of one run.
#[derive(Debug)]
pub(super) struct Rounds {
    /// For what was forwarded before, and for what is new.
    pub(super) stay: i64,
    /// For what is better than before.
    pub(super) up: i64,
    /// For new tracks: what is there now.
    pub(super) now: i64,
    /// Booked so far.
    pub(super) total: i64,
    /// A track that holds something may still be given a larger picture.
    pub(super) keyframe_left: bool,
}

impl Rounds {
    /// All rounds after the lowest layers. `candidates` in order: class, priority.
    pub(super) fn climb(&mut self, candidates: &mut [Candidate]) {
        for class in [Class::Top, Class::Large, Class::Rest] {
            self.round(candidates, Some(class), Reach::Preferred);
        }
        self.round(candidates, None, Reach::Top);
    }

    /// First keeps what each has, so that nobody's picture is swapped for another's; then improves.
    fn round(&mut self, candidates: &mut [Candidate], class: Option<Class>, reach: Reach) {
        for keep in [true, false] {
            loop {
                let mut moved = false;
                let in_class = |c: &&mut Candidate| class.is_none_or(|class| c.class == class);
                for candidate in candidates.iter_mut().filter(in_class) {
                    let turns = if candidate.class == Class::Rest { 1 } else { 2 };
                    for _ in 0..turns {
                        moved |= self.step(candidate, keep, reach);
                    }
                }
                if !moved {
                    break;
                }
            }
        }
    }

    /// One rung up, if it fits.
    fn step(&mut self, candidate: &mut Candidate, keep: bool, reach: Reach) -> bool {
        let Some(chosen) = candidate.chosen else { return false };
        let last = match (keep, candidate.held) {
            (true, Some(held)) => held,
            (true, None) => return false,
            (false, _) => candidate.ceiling.rung,
        };
        let last = match reach {
            Reach::Preferred => last.min(candidate.ladder.preferred()),
            Reach::Top => last,
        };
        for next in chosen + 1..=last.min(candidate.ladder.top().unwrap_or(0)) {
            let more = candidate.ladder.cost(Some(next)) - candidate.ladder.cost(Some(chosen));
            // Only the next rung, or one above that costs nothing more (a still screen).
            if more > 0 && next > chosen + 1 {
                continue;
            }
            let held = candidate.held.is_some_and(|held| next <= held);
            let limit = match (held, candidate.starting) {
                (true, _) => self.stay,
                (false, true) => self.now,
                (false, false) => self.up,
            };
            if more > 0 && self.total + more > limit {
                continue;
            }
            if !self.may_enlarge(candidate, next) {
                return false;
            }
            self.total += more;
            candidate.chosen = Some(next);
            return true;
        }
        false
    }

    /// One larger picture in a run, besides new tracks: each brings a keyframe.
    fn may_enlarge(&mut self, candidate: &Candidate, next: usize) -> bool {
        let held = candidate.spatial(candidate.held);
        if candidate.starting || candidate.spatial(Some(next)) <= held {
            return true;
        }
        let already = candidate.spatial(candidate.chosen) > held;
        let allowed = already || self.keyframe_left;
        self.keyframe_left &= already;
        allowed
    }
}
