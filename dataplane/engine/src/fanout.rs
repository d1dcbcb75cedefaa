//! What one turn sends, put in order by receiver.
//!
//! Packets come in by track, and each track has its own list of receivers. Sent track by track, a
//! receiver of ten voices would be visited ten times in a turn: its keys would leave the processor's
//! caches between two visits, and its datagrams would lie apart, where no segmented send can join them.

use std::ops::Range;

use crate::packet::Form;

/// No job.
const NONE: u32 = u32::MAX;

/// A slot that gets packets of a track.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fanout {
    pub(crate) slot: usize,
    /// Key of the slot's transport.
    pub(crate) receiver: usize,
    /// Bit per layer; others are passed over without a look at the slot.
    pub(crate) layers: u8,
    /// Audio goes to it in this form.
    pub(crate) form: Form,
}

/// The packets of one track for one slot.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Key of the track.
    pub(crate) track: usize,
    /// Place in its fan-out.
    pub(crate) entry: usize,
    /// Key of the slot, and the layers that it takes.
    pub(crate) slot: usize,
    pub(crate) layers: u8,
    /// The track's packets among those of the turn.
    pub(crate) packets: Range<usize>,
}

/// The jobs of one turn. Its memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    /// Each with the next one of its receiver.
    jobs: Vec<(Job, u32)>,
    /// By key of the receiver: its first job and its last.
    ends: Vec<(u32, u32)>,
    /// Those that have any, as they came.
    receivers: Vec<usize>,
}

impl Jobs {
    /// Adds a job behind the others of its receiver.
    #[inline]
    pub(crate) fn push(&mut self, receiver: usize, job: Job) {
        if self.ends.len() <= receiver {
            self.ends.resize(receiver + 1, (NONE, NONE));
        }
        let this = self.jobs.len() as u32;
        self.jobs.push((job, NONE));
        let (first, last) = &mut self.ends[receiver];
        if *first == NONE {
            *first = this;
            self.receivers.push(receiver);
        } else {
            self.jobs[*last as usize].1 = this;
        }
        *last = this;
    }

    /// Who gets anything.
    pub(crate) fn receivers(&self) -> &[usize] {
        &self.receivers
    }

    /// What a receiver gets, in the order in which it was pushed.
    pub(crate) fn of(&self, receiver: usize) -> impl Iterator<Item = &Job> {
        let first = self.ends.get(receiver).map_or(NONE, |(first, _)| *first);
        let job = |at: u32| self.jobs.get(at as usize);
        std::iter::successors(job(first), move |(_, next)| job(*next)).map(|(job, _)| job)
    }

    /// Forgets all jobs.
    pub(crate) fn clear(&mut self) {
        for receiver in self.receivers.drain(..) {
            self.ends[receiver] = (NONE, NONE);
        }
        self.jobs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(track: usize) -> Job {
        Job { track, entry: 0, slot: 0, layers: 1, packets: 0..1 }
    }

    fn listed(jobs: &Jobs) -> Vec<(usize, Vec<usize>)> {
        let tracks = |receiver: &usize| jobs.of(*receiver).map(|job| job.track).collect();
        jobs.receivers().iter().map(|receiver| (*receiver, tracks(receiver))).collect()
    }

    #[test]
    fn each_receiver_gets_all_its_tracks_in_order() {
        let mut jobs = Jobs::default();
        for track in 1..=3 {
            for receiver in [7, 2, 4].into_iter().filter(|receiver| receiver % 7 != track) {
                jobs.push(receiver, job(track));
            }
        }
        let all = vec![1, 2, 3];
        assert_eq!(listed(&jobs), [(7, all.clone()), (2, vec![1, 3]), (4, all)]);
        assert_eq!(jobs.of(3).count() + jobs.of(99).count(), 0);
        jobs.clear();
        assert_eq!(listed(&jobs), []);
        assert_eq!(jobs.of(7).count(), 0, "nothing is left of the turn before");
        jobs.push(2, job(5));
        assert_eq!(listed(&jobs), [(2, vec![5])]);
    }
}
