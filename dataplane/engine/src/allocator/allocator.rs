//! The allocator of one receiving transport.

use std::time::{Duration, Instant};

use crate::allocator::costs::{Costs, SMOOTHING_S, measured_at};
use crate::allocator::input::{LinkState, TrackInput};
use crate::allocator::ladder::Ladder;
use crate::allocator::memory::{Ceiling, Memory};
use crate::allocator::reason::{Decision, Notice, Quality, Reason};
use crate::allocator::rounds::{Candidate, Rounds};
use crate::allocator::window::Lowest;
use crate::layer::Layer;
use crate::pacer::LONG_QUEUE;
use crate::units::Bitrate;

/// What is forwarded may cost so much more than the budget for a while. An estimate falls to 0.85
/// of what arrived (`bwe`), so after a brief overuse the path still takes this much.
const TOLERATED: f64 = 1.2;
/// The same for the lowest layers, which may cost [`TOLERATED`] without end: less is no picture at
/// all, and a path that cannot take them shows that by its queue.
const TOLERATED_LOWEST: f64 = 1.6;
/// For so long: until an estimate that was too low has grown back.
const TOLERATED_FOR: Duration = Duration::from_secs(4);
/// The same right after a larger picture came: its keyframe makes a queue, the estimate falls below
/// what the path takes, and a probe sets it right.
const TOLERATED_AFTER_KEYFRAME: f64 = 1.45;
const AFTER_KEYFRAME: Duration = Duration::from_secs(3);
/// Share of the budget planned with while the pacer's queue is long.
const DRAINING: f64 = 0.9;
/// Between two larger pictures or resumes on one transport: keyframes in turn, not at once ...
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);
/// ... and on a slow link, where one keyframe fills it for half a second, this long.
const SLOW_KEYFRAME_INTERVAL: Duration = Duration::from_secs(2);
const SLOW: Bitrate = Bitrate::kbps(500);
/// A new run while somebody could get more.
const DEFICIENT_INTERVAL: Duration = Duration::from_secs(1);
/// ... and while somebody waits for a step that fits to hold for a while.
const SETTLING_INTERVAL: Duration = Duration::from_millis(250);
/// A new run while everybody has all: only to follow what layers cost.
const INTERVAL: Duration = Duration::from_secs(5);
/// A change of the budget by this share is worth a run.
const CHANGED: f64 = 0.1;
/// Runs come no closer than this while nothing but time passes.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Probing for a step begins so long before it may be taken.
const PROBE_AHEAD: Duration = Duration::from_secs(5);
/// The goal of a probe is so much beyond what the step needs.
const GOAL_MARGIN: f64 = 1.02;

/// Sums of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What all targets cost.
    pub allocated: Bitrate,
    /// What there is for video.
    pub available: Bitrate,
    /// Estimate at which the cheapest next step would fit: probe up to there. `None`: nothing to
    /// gain, or not yet.
    pub goal: Option<Bitrate>,
    /// Estimate at which everything wanted would fit, audio included: no need for more.
    pub wanted: Bitrate,
    /// Somebody gets less than wanted because of the link.
    pub deficient: bool,
    /// Tracks that may not pause cost more than there is: ask their publishers for less.
    pub overshoot: bool,
}

/// Decides what one receiver gets, run after run.
///
/// Contract: call `observe` with each new estimate; when it says so, at `poll_timeout`, and when a
/// wish, a layer or a slot changed, call `run` and apply the decisions.
#[derive(Debug, Default)]
pub struct Allocator {
    window: Lowest,
    memories: Vec<Memory>,
    candidates: Vec<Candidate>,
    decisions: Vec<Decision>,
    /// Budget and booking of the last run.
    used: Option<(i64, i64)>,
    deficient: bool,
    last_run: Option<Instant>,
    wake: Option<Instant>,
    /// Since when what is held, or all lowest layers together, has cost more than there is.
    held_over: Option<Instant>,
    lowest_over: Option<Instant>,
    /// When somebody last got a larger picture or was resumed.
    last_keyframe: Option<Instant>,
    /// When somebody last got another picture, larger or smaller.
    changed: Option<Instant>,
}

impl Allocator {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes what the link can do now. True: it differs so much that `run` should follow.
    pub fn observe(&mut self, link: &LinkState, now: Instant) -> bool {
        let budget = link.for_video();
        self.window.add(budget, now);
        let (Some((used, booked)), Some(last)) = (self.used, self.last_run) else { return true };
        if self.poll_timeout().is_some_and(|at| now >= at) {
            return true;
        }
        let less = budget < booked;
        let lower = (budget as f64) < used as f64 * (1.0 - CHANGED);
        let higher = (budget as f64) > used as f64 * (1.0 + CHANGED);
        let rested = now >= last + MIN_INTERVAL;
        (less && (lower || rested)) || (higher && self.deficient && rested)
    }

    /// When to run again though nothing happened.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    /// What the last run decided, in the order of its tracks.
    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Hands out the budget. `tracks`: all video tracks bound to slots of this transport, those
    /// bound first first.
    pub fn run(&mut self, link: &LinkState, tracks: &[TrackInput], now: Instant) -> Summary {
        let budget = self.budget(link, now);
        self.remember(tracks, now);
        self.wake = None;
        self.line_up(link, tracks, now);

        let held = self.candidates.iter().map(|c| c.ladder.cost(c.held)).sum();
        // The keyframe of another picture waits there for a while, and is no congestion.
        let keyframe = self.changed.is_some_and(|at| now < at + AFTER_KEYFRAME);
        let calm = link.queue_delay <= LONG_QUEUE || keyframe;
        let stay = self.tolerate(held, budget, calm, now);
        let up = self.window.get().min(budget);
        let keyframe_left = self.next_keyframe(link).is_none_or(|at| now >= at);
        let mut rounds = Rounds { stay, up, now: budget, total: 0, keyframe_left };
        self.lowest_layers(&mut rounds, calm, now);
        let mut candidates = std::mem::take(&mut self.candidates);
        rounds.climb(&mut candidates);
        self.candidates = candidates;

        self.conclude(link, tracks, budget, rounds.total, held > budget, now)
    }

    fn budget(&mut self, link: &LinkState, now: Instant) -> i64 {
        let budget = link.for_video();
        self.window.add(budget, now);
        if link.queue_delay > LONG_QUEUE { (budget as f64 * DRAINING) as i64 } else { budget }
    }

    /// One memory per track, in the order of the tracks.
    fn remember(&mut self, tracks: &[TrackInput], now: Instant) {
        let elapsed = self.last_run.map_or(0.0, |last| (now - last).as_secs_f64());
        let weight = (1.0 - (-elapsed / SMOOTHING_S).exp()) as f32;
        for (index, track) in tracks.iter().enumerate() {
            let is_it = |memory: &Memory| memory.slot == track.slot && memory.track == track.track;
            match self.memories[index.min(self.memories.len())..].iter().position(is_it) {
                Some(0) => {}
                Some(further) => self.memories.swap(index, index + further),
                None => {
                    self.memories.push(Memory::new(track, now));
                    let last = self.memories.len() - 1;
                    self.memories.swap(index, last);
                }
            }
            self.memories[index].observe(track, weight, now);
        }
        self.memories.truncate(tracks.len());
        self.last_run = Some(now);
    }

    /// Those who want something that is there, the most important first.
    fn line_up(&mut self, link: &LinkState, tracks: &[TrackInput], now: Instant) {
        self.candidates.clear();
        let keyframes = self.next_keyframe(link);
        for (index, (track, memory)) in tracks.iter().zip(&self.memories).enumerate() {
            if !track.is_wanted() {
                continue;
            }
            let ladder = Ladder::of(track, &memory.costs);
            if ladder.top().is_none() {
                continue;
            }
            self.candidates.push(Candidate {
                index,
                class: track.class,
                priority: track.wish.priority,
                may_pause: track.wish.may_pause,
                ladder,
                held: memory.target.and_then(|layer| ladder.rung_of(layer)),
                ceiling: memory.ceiling(&ladder, track, keyframes, now),
                starting: memory.is_starting(now),
                paused: memory.paused,
                chosen: None,
                reserved: 0,
                forced: false,
            });
        }
        self.candidates.sort_unstable_by(|a, b| {
            (b.class, b.priority, a.index).cmp(&(a.class, a.priority, b.index))
        });
    }

    /// Gives everybody the lowest layer, or pauses.
    fn lowest_layers(&mut self, rounds: &mut Rounds, calm: bool, now: Instant) {
        let running = |c: &&Candidate| c.held.is_some();
        let lowest: i64 =
            self.candidates.iter().filter(running).map(|c| c.ladder.cost(Some(0))).sum();
        let over = lowest > rounds.now;
        self.lowest_over = self.lowest_over.filter(|_| over).or(over.then_some(now));
        let tolerated =
            self.within(lowest, rounds.now, TOLERATED_LOWEST, self.lowest_over, calm, now)
                || calm && lowest as f64 <= rounds.now as f64 * TOLERATED;
        let stay = rounds.stay.max(if tolerated { lowest } else { rounds.now });

        for candidate in self.candidates.iter_mut().filter(|c| !c.may_pause) {
            rounds.total += candidate.ladder.cost(Some(0));
            candidate.chosen = Some(0);
            candidate.forced = rounds.total > stay;
        }
        let mut resumed_or_enlarged = !rounds.keyframe_left;
        for candidate in self.candidates.iter_mut().filter(|c| c.may_pause) {
            let cost = candidate.ladder.cost(Some(0));
            let total = rounds.total + cost;
            if candidate.paused {
                let memory = &mut self.memories[candidate.index];
                let Some(at) = memory.fits(total <= rounds.up, now) else { continue };
                rounds.total = total;
                if now >= at && !resumed_or_enlarged {
                    candidate.chosen = Some(0);
                    candidate.ceiling = Ceiling { rung: 0, until: None };
                    resumed_or_enlarged = true;
                } else {
                    // Nobody else may take what it waits for.
                    candidate.reserved = cost;
                    self.wake = earliest(self.wake, Some(at.max(now + MIN_INTERVAL)));
                }
            } else if total <= if candidate.held.is_some() { stay } else { rounds.now } {
                rounds.total = total;
                candidate.chosen = Some(0);
            }
        }
        rounds.keyframe_left = !resumed_or_enlarged;
    }

    /// The limit for what is forwarded already.
    fn tolerate(&mut self, held: i64, budget: i64, calm: bool, now: Instant) -> i64 {
        let over = held > budget;
        self.held_over = self.held_over.filter(|_| over).or(over.then_some(now));
        if self.within(held, budget, TOLERATED, self.held_over, calm, now) { held } else { budget }
    }

    /// Whether a cost beyond the budget is borne for now.
    fn within(
        &self,
        cost: i64,
        budget: i64,
        factor: f64,
        since: Option<Instant>,
        calm: bool,
        now: Instant,
    ) -> bool {
        let keyframe = self.last_keyframe.is_some_and(|at| now < at + AFTER_KEYFRAME);
        let factor = if keyframe { factor.max(TOLERATED_AFTER_KEYFRAME) } else { factor };
        let brief = since.is_some_and(|since| now < since + TOLERATED_FOR);
        cost > budget && calm && brief && cost as f64 <= budget as f64 * factor
    }

    fn next_keyframe(&self, link: &LinkState) -> Option<Instant> {
        let slow = link.estimate < SLOW;
        let interval = if slow { SLOW_KEYFRAME_INTERVAL } else { KEYFRAME_INTERVAL };
        self.last_keyframe.map(|at| at + interval)
    }

    /// Turns choices into decisions, goal and sums, and remembers them.
    fn conclude(
        &mut self,
        link: &LinkState,
        tracks: &[TrackInput],
        budget: i64,
        total: i64,
        congested: bool,
        now: Instant,
    ) -> Summary {
        self.decisions.clear();
        self.decisions.extend(tracks.iter().map(idle));
        // What is borne beyond the budget is the first thing to probe for.
        let (mut goal, mut wanted) = ((total > budget).then_some(total), 0);
        let (mut allocated, mut overshoot, mut deficient) = (0, false, false);
        for candidate in &self.candidates {
            let (track, memory) = (&tracks[candidate.index], &mut self.memories[candidate.index]);
            let view = View { candidate, track, free: budget - total };
            let before = memory.target;
            let target = candidate.chosen.map(|rung| candidate.ladder.steps()[rung].layer);
            let paused = target.is_none() && (memory.paused || !candidate.starting);
            let notice = match (memory.paused, paused) {
                (false, true) => Some(Notice::Paused),
                (true, false) => Some(Notice::Resumed),
                _ => None,
            };
            if before.is_some() || notice.is_some() {
                let larger = target.map(|layer| layer.spatial) > before.map(|layer| layer.spatial);
                self.last_keyframe = self.last_keyframe.max(larger.then_some(now));
            }
            let spatial = |layer: Layer| layer.spatial;
            if target.is_some() && target.map(spatial) != before.map(spatial) {
                self.changed = Some(now);
            }
            memory.set_paused(paused, now);
            memory.decide(target, congested, now);
            let reason = view.reason();
            if matches!(reason, Reason::Settling { .. }) {
                self.wake = earliest(self.wake, Some(now + SETTLING_INTERVAL));
            }
            if let Some(missing) = view.missing(memory, now) {
                goal = Some(goal.map_or(total + missing, |goal| goal.min(total + missing)));
            }
            self.wake = earliest(self.wake, measured_at(track, now));
            self.wake = earliest(self.wake, candidate.ceiling.until.filter(|at| *at > now));
            if candidate.starting {
                self.wake = earliest(self.wake, Some(memory.start_ends()));
            }
            wanted += candidate.ladder.cost(candidate.ladder.top());
            allocated += candidate.ladder.cost(candidate.chosen);
            overshoot |= candidate.forced;
            deficient |= candidate.forced || candidate.chosen < candidate.ladder.top();
            let quality = candidate.chosen.map(|rung| view.quality(rung));
            let meanwhile = view.meanwhile(&memory.costs, target);
            let rate = bps(candidate.ladder.cost(candidate.chosen));
            let slot = track.slot;
            self.decisions[candidate.index] =
                Decision { slot, target, meanwhile, quality, paused, notice, rate, reason };
        }
        for over in [self.held_over, self.lowest_over].into_iter().flatten() {
            self.wake = earliest(self.wake, Some((over + TOLERATED_FOR).max(now + MIN_INTERVAL)));
        }
        let regular = if deficient { DEFICIENT_INTERVAL } else { INTERVAL };
        self.wake = earliest(self.wake, Some(now + regular));
        self.used = Some((budget, total));
        self.deficient = deficient;
        Summary {
            allocated: bps(allocated),
            available: bps(budget),
            goal: goal.map(|video| link.estimate_for(video) * GOAL_MARGIN),
            wanted: link.estimate_for(wanted),
            deficient,
            overshoot,
        }
    }
}

/// A chosen candidate seen with what is left.
struct View<'a> {
    candidate: &'a Candidate,
    track: &'a TrackInput,
    /// Budget that nobody took; negative when more was given than there is.
    free: i64,
}

impl View<'_> {
    fn quality(&self, rung: usize) -> Quality {
        let step = self.candidate.ladder.steps()[rung];
        let height_px = self.track.height_px(usize::from(step.layer.spatial));
        Quality { height_px, full_rate: step.full }
    }

    /// What this track could have if nobody else changed.
    fn available(&self) -> i64 {
        self.free + self.candidate.booked()
    }

    /// Most of the picture on its way out that fits: all of it on the way up.
    fn meanwhile(&self, costs: &Costs, target: Option<Layer>) -> Option<u8> {
        let (target, current) = (target?, self.track.current?);
        let wanted = self.track.wish.max_temporal;
        if current.spatial <= target.spatial {
            return Some(wanted);
        }
        let (cost, count) = costs.of(usize::from(current.spatial));
        let fits = cost[..count].iter().rposition(|cost| *cost <= self.available())?;
        Some(wanted.min(fits as u8))
    }

    fn reason(&self) -> Reason {
        let ladder = &self.candidate.ladder;
        let available = bps(self.available());
        let lowest = bps(ladder.cost(Some(0)));
        let Some(chosen) = self.candidate.chosen else {
            return Reason::Paused { available, needed: lowest };
        };
        if self.candidate.forced {
            return Reason::Overshoot { available, needed: lowest };
        }
        if Some(chosen) == ladder.top() {
            return Reason::Wanted;
        }
        let (next, needed) = (self.quality(chosen + 1), ladder.cost(Some(chosen + 1)));
        if needed > self.available() {
            Reason::Link { available, next, needed: bps(needed) }
        } else {
            Reason::Settling { next, needed: bps(needed) }
        }
    }

    /// Beyond what is booked for it, what its next step needs that is not there yet. Steps that fit
    /// now only wait; a step that is held back for long is no goal yet.
    fn missing(&self, memory: &Memory, now: Instant) -> Option<i64> {
        let ladder = &self.candidate.ladder;
        let chosen = self.candidate.chosen;
        let from = chosen.map_or(0, |rung| rung + 1);
        let next = (from..ladder.steps().len())
            .find(|rung| ladder.cost(Some(*rung)) > self.available())?;
        let spatial = |rung: usize| ladder.steps()[rung].layer.spatial;
        let larger = chosen.is_some_and(|chosen| spatial(next) > spatial(chosen));
        if larger && memory.spatial_hold().is_some_and(|at| at > now + PROBE_AHEAD) {
            return None;
        }
        Some(ladder.cost(Some(next)) - self.candidate.booked())
    }
}

/// The decision for a track that is not in the contest.
fn idle(track: &TrackInput) -> Decision {
    let reason = if track.is_wanted() { Reason::NotPublished } else { Reason::NotWanted };
    Decision {
        slot: track.slot,
        target: None,
        meanwhile: None,
        quality: None,
        paused: false,
        notice: None,
        rate: Bitrate::ZERO,
        reason,
    }
}

fn bps(value: i64) -> Bitrate {
    Bitrate::bps(u64::try_from(value).unwrap_or(0))
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
