//! Random loss, single or in bursts.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Gilbert's two-state model: in the bad state every packet is lost.
#[derive(Debug)]
pub(crate) struct Loss {
    random: StdRng,
    bad: bool,
}

impl Loss {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), bad: false }
    }

    /// Whether the next packet is lost. `share` is the long-run share of lost packets, `burst` the
    /// mean length of a run of them.
    pub(crate) fn next(&mut self, share: f64, burst: f64) -> bool {
        // One number a packet, whatever the settings: a change of one does not move the others' fate.
        let dice: f64 = self.random.random();
        if share <= 0.0 {
            self.bad = false;
        } else if share >= 1.0 {
            self.bad = true;
        } else if burst <= 1.0 {
            self.bad = dice < share;
        } else {
            let leave = 1.0 / burst;
            let enter = (share * leave / (1.0 - share)).min(1.0);
            self.bad = if self.bad { dice >= leave } else { dice < enter };
        }
        self.bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(share: f64, burst: f64) -> (f64, f64) {
        let mut loss = Loss::new(7);
        let fates: Vec<bool> = (0..200_000).map(|_| loss.next(share, burst)).collect();
        let lost = fates.iter().filter(|lost| **lost).count() as f64;
        let runs = fates.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        (lost / fates.len() as f64, lost / runs.max(1.0))
    }

    #[test]
    fn share_and_burst_length_are_what_was_asked() {
        for (share, burst) in [(0.01, 1.0), (0.05, 3.0), (0.2, 8.0)] {
            let (measured_share, measured_burst) = run(share, burst);
            assert!((measured_share / share - 1.0).abs() < 0.1, "{share}: {measured_share}");
            assert!((measured_burst / burst - 1.0).abs() < 0.3, "{burst}: {measured_burst}");
        }
    }

    #[test]
    fn nothing_and_everything() {
        assert_eq!(run(0.0, 5.0).0, 0.0);
        assert_eq!(run(1.0, 5.0).0, 1.0);
    }
}
